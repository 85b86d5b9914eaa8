//! An artifact that no memory should hold: uploaded to a real server, the uploader killed twice on
//! the way, and never more than 32 MB larger than before.
//!
//! 3 GB to MinIO, and a tenth of it to versitygw for the sake of the time; `MSP_TEST_LARGE_BYTES`
//! sets the size for both.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use aws_sdk_s3::types::ObjectLockMode;
use serde_json::Value;
use tests::clinic::{BUCKET, Clinic, Place, Role};
use tests::servers::{Kind, Server};
use tests::tools;

use crate::incident::document;

/// By how much the uploader may grow.
const GROWTH_MAX_KB: u64 = 32_000;
/// The sealed copy, the parts at the server, the object made of them, and one to spare.
const COPIES: u64 = 4;
/// As the uploader cuts them.
const PART_BYTES: u64 = 8 << 20;
/// A bound for failures only.
const PATIENCE: Duration = Duration::from_secs(300);

/// Blocks of noise, each with a number of its own, so that no two parts are the same and nothing
/// is sparse.
fn write_artifact(path: &Path, size_bytes: u64) {
    let mut block = vec![0; 1 << 20];
    fastrand::Rng::with_seed(7).fill(&mut block);
    let mut file = BufWriter::with_capacity(block.len(), File::create(path).unwrap());
    let mut left = size_bytes;
    let mut number = 0_u64;
    while left > 0 {
        block[..8].copy_from_slice(&number.to_be_bytes());
        let now = block.len().min(usize::try_from(left).unwrap());
        file.write_all(&block[..now]).unwrap();
        left -= now as u64;
        number += 1;
    }
    file.flush().unwrap();
}

/// `VmRSS` now and `VmHWM`, the most it ever was, in kB.
fn memory_kb(clinic: &Clinic) -> (u64, u64) {
    let file = format!("/proc/{}/status", clinic.pid(Role::Uploader));
    let status = fs::read_to_string(file).unwrap();
    let value = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (value("VmRSS:"), value("VmHWM:"))
}

/// The next line of the uploader's log that says this and satisfies the condition.
fn await_said(clinic: &mut Clinic, message: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    let mut last = String::new();
    while began.elapsed() < PATIENCE {
        if let Some((role, event)) = clinic.next_event(Duration::from_millis(200)) {
            if role == Role::Uploader && event["message"] == message && is_it(&event) {
                return event;
            }
            last = format!("{role:?} {event}");
        }
    }
    panic!("never said: {message}; the last was {last}");
}

/// Parts that the server has, by its own account.
fn stored_parts(clinic: &Clinic, server: &Server, key: &str) -> u64 {
    clinic.runtime().block_on(async {
        let client = server.client();
        let uploads = client.list_multipart_uploads().bucket(BUCKET).prefix(key);
        let uploads = uploads.send().await.unwrap();
        assert_eq!(uploads.uploads().len(), 1, "{uploads:#?}");
        let upload_id = uploads.uploads()[0].upload_id().unwrap();
        let parts = client.list_parts().bucket(BUCKET).key(key);
        let mut pages = parts.upload_id(upload_id).into_paginator().send();
        let mut count = 0;
        while let Some(page) = pages.next().await {
            count += page.unwrap().parts().len() as u64;
        }
        count
    })
}

fn uploads_killed_twice(kind: Kind, size_bytes: u64, test: &str) {
    let size_bytes = std::env::var("MSP_TEST_LARGE_BYTES")
        .map_or(size_bytes, |text| text.parse().expect("a number of bytes"));
    let mut clinic = Clinic::new();
    let free = nix::sys::statvfs::statvfs(clinic.dir.path()).unwrap();
    if free.blocks_available() * free.fragment_size() < COPIES * size_bytes {
        return tools::skip(test, "not enough room for temporary files");
    }
    let Some(server) = clinic.runtime().block_on(Server::start(kind, test)) else {
        return;
    };
    clinic.runtime().block_on(server.make_bucket(BUCKET));
    clinic.configure(&[Place::server("main", &server)], "");
    let began = Instant::now();
    let took = |what: &str| eprintln!("{test}: {what} after {:.0?}", began.elapsed());

    // One small incident, so that what comes after is growth and not starting.
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_document("small.json", &document("INC-1"));
    clinic.wait_until("the small one", |c| {
        c.bundles().len() == 1 && c.is_settled()
    });

    let part = clinic.state("drop").join(".large.part");
    fs::create_dir_all(part.join("artifacts")).unwrap();
    fs::write(part.join("incident.json"), document("INC-2")).unwrap();
    write_artifact(&part.join("artifacts/memory.dump"), size_bytes);
    took("written");
    fs::rename(&part, clinic.state("drop").join("large")).unwrap();

    let parts = size_bytes.div_ceil(PART_BYTES);
    let (mut stored, mut growths_kb) = (0, Vec::new());
    let mut before_kb = memory_kb(&clinic).0;
    for third in 1..=2 {
        let sending = await_said(&mut clinic, "sending in parts", |_| true);
        assert_eq!(
            sending["stored"], stored,
            "what the server has is not sent again"
        );
        assert_eq!(sending["missing"], parts - stored);
        took("sending");
        await_said(&mut clinic, "progress", |event| {
            event["sent_bytes"].as_u64().unwrap() > size_bytes * third / 3
        });
        growths_kb.push(memory_kb(&clinic).1.saturating_sub(before_kb));
        clinic.kill(Role::Uploader);
        took("killed");

        let status = clinic.cli_json(&["status", "--json"]);
        let upload = &status["delivery"]["destinations"][0]["uploads"][0];
        assert_eq!(upload["size_bytes"], size_bytes);
        assert!(upload["sent_bytes"].as_u64().unwrap() > 0, "{upload}");
        let shown = clinic.cli(&["show", upload["bundle_id"].as_str().unwrap()]);
        let line = format!("uploading {} of {size_bytes} bytes", upload["sent_bytes"]);
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.contains(&line), "{shown}");
        let key = format!("p/{}", upload["path"].as_str().unwrap());
        stored = stored_parts(&clinic, &server, &key);
        assert!(
            stored * PART_BYTES > size_bytes * third / 3,
            "{stored} parts"
        );

        clinic.start(Role::Uploader);
        await_said(&mut clinic, "the destination is ready", |_| true);
        before_kb = memory_kb(&clinic).0;
    }
    let sending = await_said(&mut clinic, "sending in parts", |_| true);
    assert_eq!(sending["stored"], stored);
    clinic.wait_until("the large one", |c| {
        c.bundles().len() == 2 && c.is_settled()
    });
    growths_kb.push(memory_kb(&clinic).1.saturating_sub(before_kb));
    took("confirmed");
    eprintln!("{test}: grew by {growths_kb:?} kB");
    assert!(
        growths_kb.iter().all(|kb| *kb < GROWTH_MAX_KB),
        "{growths_kb:?} kB"
    );

    let (_, bundle) = clinic.bundles().remove(1);
    let shown = clinic.cli_json(&["show", &bundle.header().bundle_id, "--json"]);
    let location = &shown["storage_locations"][0];
    assert_eq!(location["state"], "confirmed");
    let objects = location["objects"].as_array().unwrap();
    let object = objects.iter().find(|o| o["role"] == "artifact").unwrap();
    assert_eq!(object["proof"], "etag_md5", "not read back");
    let key = object["uri"].as_str().unwrap();
    let key = key.strip_prefix("s3://evidence/").unwrap();
    let version = object["version_id"].as_str().unwrap();
    let head = clinic.runtime().block_on(async {
        let head = server.client().head_object().bucket(BUCKET).key(key);
        head.version_id(version).send().await.unwrap()
    });
    assert_eq!(head.content_length(), i64::try_from(size_bytes).ok());
    assert_eq!(head.object_lock_mode(), Some(&ObjectLockMode::Compliance));
    let until = head.object_lock_retain_until_date().unwrap().secs();
    let six_years = 2192 * 86_400;
    assert!(until >= jiff::Timestamp::now().as_second() + six_years);
    clinic.stop(Role::Uploader);
    clinic.stop(Role::Agent);
}

#[test]
fn gigabytes_reach_minio_through_two_kills_in_little_memory() {
    let test = "gigabytes_reach_minio_through_two_kills_in_little_memory";
    uploads_killed_twice(Kind::Minio, 3_000_000_000, test);
}

#[test]
fn hundreds_of_megabytes_reach_versitygw_through_two_kills_in_little_memory() {
    let test = "hundreds_of_megabytes_reach_versitygw_through_two_kills_in_little_memory";
    uploads_killed_twice(Kind::Versitygw, 300_000_000, test);
}
