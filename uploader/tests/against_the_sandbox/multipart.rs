//! Objects too large for one request: sent in parts, resumed, given up, begun anew, and proven like
//! every other. Small here, with parts of the least size that S3 allows.

use std::os::unix::fs::FileExt as _;

use crate::clinic::*;
use evidence::digest::Sha256;
use evidence::handover::{Order, OrderedObject, Proof, Role};
use jiff::{SignedDuration, Timestamp};
use sandbox::{Action, Fault, Script, Version};
use uploader::delivery::{release, wake};

const PART: usize = 5 << 20;
const FOR_EVER: Action = Action::StallRequest { millis: 3_600_000 };

/// A clinic in which more than a megabyte is large.
async fn clinic() -> Clinic {
    let mut clinic = Clinic::new().await;
    clinic.policy.single_put_max_bytes = 1 << 20;
    clinic
}

fn noise(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    fastrand::Rng::with_seed(size as u64).fill(&mut bytes);
    bytes
}

struct Large {
    sealed: Sealed,
    path: String,
    key: String,
    bytes: Vec<u8>,
}

impl Large {
    fn file(&self, clinic: &Clinic) -> std::path::PathBuf {
        clinic.places.evidence.join(&self.path)
    }

    /// The one version at the key, which holds the bytes and is locked.
    fn only_version(&self, clinic: &Clinic) -> Version {
        let versions = clinic.versions(&self.key);
        assert_eq!(versions.len(), 1, "{versions:#?}");
        let version = versions.into_iter().next().unwrap();
        let stored = clinic
            .sandbox
            .store()
            .bytes(BUCKET, &self.key, &version.version_id);
        assert!(
            stored.unwrap() == self.bytes,
            "the bytes are those of the file"
        );
        let retention = version.lock.retention.expect("locked");
        assert_eq!(retention.mode, sandbox::Mode::Compliance);
        version
    }

    fn proof(&self, clinic: &Clinic) -> Proof {
        let confirmations = clinic.confirmations();
        let mut of_ours = confirmations.iter().filter(|c| c.path == self.path);
        of_ours.next().expect("confirmed").proof
    }
}

/// A bundle with an artifact of this size.
fn order(clinic: &mut Clinic, bytes: Vec<u8>) -> (Order, Large) {
    let (mut order, mut sealed) = clinic.order(1, &[(ID, BUCKET)]);
    let sealed = sealed.remove(0);
    let path = format!(
        "clinic/host/chain/artifacts/{}/memory.dump",
        sealed.bundle_id
    );
    let large = Large {
        key: format!("{PREFIX}{path}"),
        path,
        sealed,
        bytes,
    };
    let file = large.file(clinic);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, &large.bytes).unwrap();
    let artifact = OrderedObject {
        bundle_id: large.sealed.bundle_id.clone(),
        sequence: order.objects[0].sequence,
        role: Role::Artifact,
        path: large.path.clone(),
        size_bytes: large.bytes.len() as u64,
        sha256: Sha256::of(&large.bytes),
    };
    order.objects.insert(0, artifact);
    (order, large)
}

fn seal(clinic: &mut Clinic, size: usize) -> Large {
    let (order, large) = order(clinic, noise(size));
    clinic.publish(&order);
    large
}

/// Starts, and kills when `hits` of an operation have arrived.
async fn run_until(clinic: &Clinic, operation: &str, hits: u64) {
    let running = clinic.start().await;
    clinic
        .sandbox
        .log()
        .wait_until(|log| log.hits(operation) >= hits)
        .await;
    running.kill().await;
}

/// Parts that the store has of the one upload that is open.
fn stored_parts(clinic: &Clinic) -> Vec<u16> {
    let uploads = clinic.sandbox.store().uploads(BUCKET);
    assert_eq!(uploads.len(), 1, "{uploads:#?}");
    uploads[0].parts.keys().copied().collect()
}

#[tokio::test]
async fn a_large_object_is_sent_in_parts_and_proven_by_its_etag_without_reading_it_back() {
    let mut clinic = clinic().await;
    let large = seal(&mut clinic, 2 * PART + 1000);
    let log = Log::start();
    let running = clinic.start().await;
    clinic.until_confirmed(3).await;
    running.stop().await;

    let version = large.only_version(&clinic);
    assert_eq!(version.parts_count, Some(3));
    assert_eq!(large.proof(&clinic), Proof::EtagMd5);
    clinic.assert_stored_once(&[large.sealed]);
    for (operation, hits) in [
        ("CreateMultipartUpload", 1),
        ("UploadPart", 3),
        ("ListParts", 0),
        ("CompleteMultipartUpload", 1),
        ("AbortMultipartUpload", 0),
        ("PutObject", 2),
        ("PutObjectRetention", 0),
        ("GetObject", 0),
    ] {
        assert_eq!(clinic.sandbox.hits(operation), hits, "{operation}");
    }
    let requests = clinic.sandbox.log().requests();
    let first = |operation: &str| requests.iter().position(|r| r.operation == operation);
    assert!(first("ListObjectVersions") < first("CreateMultipartUpload"));
    assert!(
        first("CompleteMultipartUpload") < first("PutObject"),
        "the marker comes last"
    );
    for sent in [PART, 2 * PART] {
        assert!(
            log.has(&[
                "INFO",
                "progress",
                &format!("\"sent_bytes\":{sent},"),
                &large.path
            ]),
            "{}",
            log.text()
        );
    }
    assert!(clinic.primary().unwrap().uploads.is_empty());
}

#[tokio::test]
async fn a_killed_upload_is_resumed_and_only_the_missing_parts_are_sent() {
    let mut clinic = clinic().await;
    let large = seal(&mut clinic, 4 * PART + 1);
    let stall = clinic
        .sandbox
        .faults()
        .add(Fault::on("UploadPart", FOR_EVER).nth(3));
    run_until(&clinic, "UploadPart", 3).await;
    assert_eq!(stored_parts(&clinic), [1, 2]);
    let shown = &clinic.primary().unwrap().uploads[0];
    assert_eq!(shown.path, large.path);
    assert_eq!(shown.size_bytes, large.bytes.len() as u64);
    assert!(
        shown.sent_bytes >= PART as u64,
        "the first part is written at once"
    );
    clinic.sandbox.faults().remove(stall);

    // And once more, by a daemon that lost nothing but its memory.
    let stall = clinic
        .sandbox
        .faults()
        .add(Fault::on("UploadPart", FOR_EVER).nth(2));
    run_until(&clinic, "UploadPart", 5).await;
    assert_eq!(stored_parts(&clinic), [1, 2, 3]);
    clinic.sandbox.faults().remove(stall);

    let log = Log::start();
    let running = clinic.start().await;
    clinic.until_confirmed(3).await;
    running.stop().await;
    assert!(log.has(&["sending in parts", "\"stored\":3,", "\"missing\":2,"]));
    assert_eq!(
        clinic.sandbox.hits("UploadPart"),
        5 + 2,
        "two stalled, five stored"
    );
    assert_eq!(clinic.sandbox.hits("CreateMultipartUpload"), 1);
    assert_eq!(clinic.sandbox.hits("GetObject"), 0);
    large.only_version(&clinic);
    assert_eq!(large.proof(&clinic), Proof::EtagMd5);
}

#[tokio::test]
async fn an_upload_lost_between_its_beginning_and_its_first_part_is_begun_anew() {
    let mut clinic = clinic().await;
    let large = seal(&mut clinic, 2 * PART);
    // The store began it and nobody heard of it: nothing of ours knows its id.
    let fault = Fault::on("CreateMultipartUpload", Action::DropAfterCommit).nth(1);
    clinic.sandbox.faults().add(fault);
    let running = clinic.start().await;
    clinic.until_confirmed(3).await;
    running.stop().await;
    large.only_version(&clinic);
    assert_eq!(clinic.sandbox.hits("CreateMultipartUpload"), 2);
    let orphans = clinic.sandbox.store().uploads(BUCKET);
    assert_eq!(orphans.len(), 1, "left to the bucket's lifecycle rule");
    assert!(orphans[0].parts.is_empty());
}

#[tokio::test]
async fn a_completion_whose_answer_was_lost_is_adopted_and_nothing_is_sent_again() {
    for killed in [false, true] {
        let mut clinic = clinic().await;
        let large = seal(&mut clinic, 2 * PART);
        let lost = Fault::on("CompleteMultipartUpload", Action::DropAfterCommit).nth(1);
        clinic.sandbox.faults().add(lost);
        if killed {
            // Killed while it looks what came of it.
            let stall = Fault::on("ListObjectVersions", FOR_EVER).nth(2);
            let stall = clinic.sandbox.faults().add(stall);
            run_until(&clinic, "ListObjectVersions", 2).await;
            clinic.sandbox.faults().remove(stall);
        }
        let running = clinic.start().await;
        clinic.until_confirmed(3).await;
        running.stop().await;
        large.only_version(&clinic);
        assert_eq!(clinic.sandbox.hits("UploadPart"), 2, "killed: {killed}");
        assert_eq!(clinic.sandbox.hits("CompleteMultipartUpload"), 1);
        // A version that we did not hear of is ours only by its SHA-256; read once, not twice.
        assert_eq!(clinic.sandbox.hits("GetObject"), 1);
        assert!(clinic.primary().unwrap().uploads.is_empty());
    }
}

#[tokio::test]
async fn after_a_restart_before_the_proof_the_local_file_is_hashed_instead_of_the_stored_read() {
    for (content_md5, reads, proof) in [(true, 0, Proof::EtagMd5), (false, 1, Proof::ReadBack)] {
        let mut clinic = clinic().await;
        clinic.policy.content_md5 = content_md5;
        let large = seal(&mut clinic, 2 * PART);
        let stall = clinic
            .sandbox
            .faults()
            .add(Fault::on("HeadObject", FOR_EVER));
        run_until(&clinic, "HeadObject", 1).await;
        clinic.sandbox.faults().remove(stall);
        let before = clinic.sandbox.hits("UploadPart");
        let running = clinic.start().await;
        clinic.until_confirmed(3).await;
        running.stop().await;
        assert_eq!(clinic.sandbox.hits("UploadPart"), before);
        assert_eq!(
            clinic.sandbox.hits("GetObject"),
            reads,
            "MD5: {content_md5}"
        );
        assert_eq!(large.proof(&clinic), proof);
    }
}

#[tokio::test]
async fn the_bytes_are_read_back_when_the_local_file_can_no_longer_prove_them() {
    let mut clinic = clinic().await;
    let large = seal(&mut clinic, 2 * PART);
    let stall = clinic
        .sandbox
        .faults()
        .add(Fault::on("HeadObject", FOR_EVER));
    run_until(&clinic, "HeadObject", 1).await;
    clinic.sandbox.faults().remove(stall);
    std::fs::remove_file(large.file(&clinic)).unwrap();
    let running = clinic.start().await;
    clinic.until_confirmed(3).await;
    running.stop().await;
    assert_eq!(large.proof(&clinic), Proof::ReadBack);
}

#[tokio::test]
async fn a_lock_that_the_store_drops_from_a_multipart_upload_is_set_once_or_blocks() {
    for (operation, refused) in [
        ("CreateMultipartUpload", false),
        ("CompleteMultipartUpload", false),
        ("CompleteMultipartUpload", true),
    ] {
        let mut clinic = clinic().await;
        let large = seal(&mut clinic, 2 * PART);
        clinic
            .sandbox
            .faults()
            .add(Fault::on(operation, Action::LoseLock));
        if refused {
            let refuse = Fault::on("PutObjectRetention", Action::answer(403, "AccessDenied"));
            clinic.sandbox.faults().add(refuse);
        }
        let running = clinic.start().await;
        if refused {
            clinic
                .until_primary("blocked, the others confirmed", |d| {
                    (d.counts.blocked, d.counts.confirmed) == (1, 2)
                })
                .await;
            assert_eq!(clinic.blocked()[0].reason, "lock_missing");
            assert!(clinic.confirmations().iter().all(|c| c.path != large.path));
        } else {
            clinic.until_confirmed(3).await;
            large.only_version(&clinic);
        }
        running.stop().await;
        assert_eq!(clinic.sandbox.hits("PutObjectRetention"), 1, "{operation}");
    }
}

#[tokio::test]
async fn a_lock_asked_for_long_ago_is_lengthened_once_the_upload_is_complete() {
    let mut clinic = clinic().await;
    let large = seal(&mut clinic, 2 * PART);
    clinic
        .sandbox
        .faults()
        .add(Fault::on("UploadPart", FOR_EVER).nth(2));
    run_until(&clinic, "UploadPart", 2).await;
    // Two days pass for the store, more than the margin; the upload keeps the date it began with.
    let days = 2 * 86_400;
    clinic.sandbox.faults().load(Script {
        clock_offset_secs: days,
        faults: Vec::new(),
    });
    let running = clinic.start().await;
    clinic.until_confirmed(3).await;
    running.stop().await;
    assert_eq!(clinic.sandbox.hits("CreateMultipartUpload"), 1, "resumed");
    assert_eq!(clinic.sandbox.hits("PutObjectRetention"), 1);
    let until = large.only_version(&clinic).lock.retention.unwrap().until;
    let full = SignedDuration::from_hours(24 * i64::from(RETENTION_DAYS));
    let least = Timestamp::now() + SignedDuration::from_secs(days - 60) + full;
    assert!(
        until >= least,
        "{until} is less than the full retention from {least}"
    );
}

#[tokio::test]
async fn a_part_damaged_on_the_way_is_sent_again() {
    let mut clinic = clinic().await;
    let large = seal(&mut clinic, 3 * PART);
    for nth in [2, 3] {
        let fault = Fault::on("UploadPart", Action::answer(400, "BadDigest")).nth(nth);
        clinic.sandbox.faults().add(fault);
    }
    let log = Log::start();
    let running = clinic.start().await;
    // Twice in a row with nothing stored in between: as for a PUT.
    clinic
        .until_primary("blocked", |d| d.counts.blocked == 1)
        .await;
    assert_eq!(clinic.blocked()[0].reason, "refused");
    clinic
        .until_logged(&log, &["an upload in parts was aborted"])
        .await;
    assert!(clinic.sandbox.store().uploads(BUCKET).is_empty());
    running.stop().await;

    // With a part stored in between they are two accidents, not one fault.
    clinic.sandbox.faults().clear();
    for nth in [2, 4] {
        let fault = Fault::on("UploadPart", Action::answer(400, "BadDigest")).nth(nth);
        clinic.sandbox.faults().add(fault);
    }
    let now = Timestamp::now();
    release(&clinic.places.delivery, &large.sealed.bundle_id, None, now).unwrap();
    let running = clinic.start().await;
    clinic.until_confirmed(3).await;
    running.stop().await;
    large.only_version(&clinic);
}

#[tokio::test]
async fn what_somebody_else_put_into_our_upload_is_replaced() {
    let mut clinic = clinic().await;
    let large = seal(&mut clinic, 3 * PART);
    let stall = clinic
        .sandbox
        .faults()
        .add(Fault::on("UploadPart", FOR_EVER).nth(3));
    run_until(&clinic, "UploadPart", 3).await;
    clinic.sandbox.faults().remove(stall);
    let foreign = clinic.foreign();
    let upload_id = clinic.sandbox.store().uploads(BUCKET)[0].upload_id.clone();
    for number in [2, 3] {
        foreign
            .upload_part()
            .bucket(BUCKET)
            .key(&large.key)
            .upload_id(&upload_id)
            .part_number(number)
            .checksum_algorithm(aws_sdk_s3::types::ChecksumAlgorithm::Crc64Nvme)
            .body(vec![7; PART].into())
            .send()
            .await
            .unwrap();
    }
    assert_eq!(stored_parts(&clinic), [1, 2, 3]);
    let before = clinic.sandbox.hits("UploadPart");
    let running = clinic.start().await;
    clinic.until_confirmed(3).await;
    running.stop().await;
    large.only_version(&clinic);
    assert_eq!(clinic.sandbox.hits("UploadPart"), before + 2);
}

#[tokio::test]
async fn an_upload_that_the_store_does_not_know_any_more_is_begun_anew() {
    // Expired between two runs.
    let mut clinic = clinic().await;
    let large = seal(&mut clinic, 3 * PART);
    let stall = clinic
        .sandbox
        .faults()
        .add(Fault::on("UploadPart", FOR_EVER).nth(3));
    run_until(&clinic, "UploadPart", 3).await;
    clinic.sandbox.faults().remove(stall);
    let upload_id = clinic.sandbox.store().uploads(BUCKET)[0].upload_id.clone();
    let foreign = clinic.foreign();
    let abort = foreign.abort_multipart_upload().bucket(BUCKET);
    abort
        .key(&large.key)
        .upload_id(&upload_id)
        .send()
        .await
        .unwrap();
    let running = clinic.start().await;
    clinic.until_confirmed(3).await;
    running.stop().await;
    assert_eq!(clinic.sandbox.hits("CreateMultipartUpload"), 2);
    large.only_version(&clinic);

    // Or while it was under way.
    for operation in ["UploadPart", "CompleteMultipartUpload"] {
        let large = seal(&mut clinic, 2 * PART + 7);
        let gone = Fault::on(operation, Action::answer(404, "NoSuchUpload"));
        clinic
            .sandbox
            .faults()
            .add(
                gone.key(&large.path)
                    .nth(if operation == "UploadPart" { 2 } else { 1 }),
            );
        let begun = clinic.sandbox.hits("CreateMultipartUpload");
        let running = clinic.start().await;
        clinic
            .until("confirmed", |c| {
                c.confirmations().iter().any(|c| c.path == large.path)
            })
            .await;
        running.stop().await;
        assert_eq!(
            clinic.sandbox.hits("CreateMultipartUpload"),
            begun + 2,
            "{operation}"
        );
        large.only_version(&clinic);
        assert_eq!(clinic.primary().unwrap().state, "ok");
    }
}

#[tokio::test]
async fn without_the_permission_to_list_parts_everything_is_sent_again_and_nothing_is_parked() {
    let mut clinic = clinic().await;
    let large = seal(&mut clinic, 3 * PART);
    let stall = clinic
        .sandbox
        .faults()
        .add(Fault::on("UploadPart", FOR_EVER).nth(3));
    run_until(&clinic, "UploadPart", 3).await;
    clinic.sandbox.faults().remove(stall);
    let identity = clinic.sandbox.credentials().clone();
    clinic
        .sandbox
        .identities()
        .put(identity.deny("ListMultipartUploadParts"));
    let log = Log::start();
    let running = clinic.start().await;
    clinic.until_confirmed(3).await;
    running.stop().await;
    large.only_version(&clinic);
    assert!(log.has(&["WARN", "s3:ListMultipartUploadParts", &large.path]));
    assert!(!log.has(&["parked"]), "{}", log.text());
    assert_eq!(clinic.sandbox.hits("CreateMultipartUpload"), 2);
    assert!(clinic.sandbox.store().uploads(BUCKET).is_empty(), "aborted");
}

#[tokio::test]
async fn a_key_that_holds_other_bytes_is_seen_before_anything_is_sent() {
    let mut clinic = clinic().await;
    let (order, large) = order(&mut clinic, noise(2 * PART));
    let foreign = clinic.foreign();
    let put = foreign.put_object().bucket(BUCKET).key(&large.key);
    put.body(b"other".to_vec().into()).send().await.unwrap();
    clinic.publish(&order);
    let running = clinic.start().await;
    clinic
        .until_primary("blocked", |d| d.counts.blocked == 1)
        .await;
    running.stop().await;
    assert_eq!(clinic.blocked()[0].reason, "conflict");
    assert_eq!(clinic.sandbox.hits("CreateMultipartUpload"), 0);
}

#[tokio::test]
async fn a_412_at_the_completion_is_looked_at_and_what_is_no_longer_needed_is_aborted() {
    for ours in [false, true] {
        let mut clinic = clinic().await;
        let large = seal(&mut clinic, 2 * PART);
        // While a part is on its way, somebody else puts something under the key.
        let stall = Fault::on("UploadPart", Action::StallRequest { millis: 1500 }).nth(2);
        clinic.sandbox.faults().add(stall);
        let log = Log::start();
        let running = clinic.start().await;
        clinic
            .sandbox
            .log()
            .wait_until(|log| log.hits("UploadPart") == 2)
            .await;
        let body = if ours {
            large.bytes.clone()
        } else {
            b"other".to_vec()
        };
        let foreign = clinic.foreign();
        let put = foreign.put_object().bucket(BUCKET).key(&large.key);
        let put = put.body(body.into()).send().await.unwrap();
        if ours {
            clinic.until_confirmed(3).await;
            let version = large.only_version(&clinic);
            assert_eq!(
                put.version_id(),
                Some(version.version_id.as_str()),
                "adopted"
            );
            assert!(clinic.sandbox.hits("PutObjectRetention") > 0);
        } else {
            clinic
                .until_primary("blocked", |d| d.counts.blocked == 1)
                .await;
            assert_eq!(clinic.blocked()[0].reason, "conflict");
            assert_eq!(
                clinic.versions(&large.key).len(),
                1,
                "nothing was laid over it"
            );
        }
        clinic
            .until_logged(&log, &["an upload in parts was aborted"])
            .await;
        running.stop().await;
        assert!(clinic.sandbox.store().uploads(BUCKET).is_empty());
        let completions = clinic.sandbox.log().count("CompleteMultipartUpload");
        assert_eq!((completions.succeeded, completions.failed), (0, 1));
    }
}

#[tokio::test]
async fn a_conflict_or_a_wrong_sum_at_the_completion_gives_the_upload_up_and_begins_anew() {
    for (status, code) in [
        (409, "ConditionalRequestConflict"),
        (400, "InvalidPart"),
        (400, "BadDigest"),
    ] {
        let mut clinic = clinic().await;
        let large = seal(&mut clinic, 2 * PART);
        let fault = Fault::on("CompleteMultipartUpload", Action::answer(status, code)).nth(1);
        clinic.sandbox.faults().add(fault);
        let running = clinic.start().await;
        clinic.until_confirmed(3).await;
        running.stop().await;
        large.only_version(&clinic);
        for (operation, hits) in [
            ("CreateMultipartUpload", 2),
            ("UploadPart", 4),
            ("CompleteMultipartUpload", 2),
            ("AbortMultipartUpload", 1),
        ] {
            assert_eq!(clinic.sandbox.hits(operation), hits, "{code}: {operation}");
        }
        assert!(clinic.sandbox.store().uploads(BUCKET).is_empty());
    }
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_is_never_completed_and_blocks() {
    let mut clinic = clinic().await;
    let large = seal(&mut clinic, 3 * PART);
    let outage = Fault {
        skip: 1,
        ..Fault::on("UploadPart", Action::answer(503, "SlowDown"))
    };
    let outage = clinic.sandbox.faults().add(outage);
    let log = Log::start();
    let running = clinic.start().await;
    clinic
        .until_logged(&log, &["deferred", "SlowDown", &large.path])
        .await;
    // One byte of the last part; the file was looked at as a whole before.
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(large.file(&clinic))
        .unwrap();
    let at = large.bytes.len() as u64 - 1;
    let last = large.bytes[large.bytes.len() - 1];
    file.write_all_at(&[last ^ 1], at).unwrap();
    clinic.sandbox.faults().remove(outage);
    clinic
        .until_primary("blocked", |d| d.counts.blocked == 1)
        .await;
    assert_eq!(clinic.blocked()[0].reason, "local_bytes_differ");
    assert!(
        log.has(&["LocalBytesChanged", &large.path]),
        "noticed on the way"
    );
    clinic
        .until_logged(&log, &["an upload in parts was aborted"])
        .await;
    assert_eq!(clinic.sandbox.hits("CompleteMultipartUpload"), 0);
    assert!(clinic.versions(&large.key).is_empty());

    // The agent publishes it again.
    file.write_all_at(&[last], at).unwrap();
    let now = Timestamp::now();
    release(&clinic.places.delivery, &large.sealed.bundle_id, None, now).unwrap();
    wake(&clinic.places.delivery, now).unwrap();
    clinic.until_confirmed(3).await;
    running.stop().await;
    large.only_version(&clinic);
}

#[tokio::test]
async fn a_clean_stop_ends_after_the_part_in_flight_and_the_next_start_goes_on_there() {
    let mut clinic = clinic().await;
    let large = seal(&mut clinic, 8 * PART);
    let slow = Fault::on("UploadPart", Action::StallResponse { millis: 150 });
    let slow = clinic.sandbox.faults().add(slow);
    let running = clinic.start().await;
    clinic
        .sandbox
        .log()
        .wait_until(|log| log.hits("UploadPart") == 2)
        .await;
    running.stop().await;
    let parts = clinic.sandbox.log().count("UploadPart");
    assert_eq!(parts.arrived, parts.succeeded, "none was cut off");
    assert!(parts.arrived <= 3, "{parts:?}");
    assert_eq!(stored_parts(&clinic).len() as u64, parts.arrived);
    let primary = clinic.primary().unwrap();
    assert_eq!(primary.uploads[0].sent_bytes, parts.arrived * PART as u64);
    assert!(primary.last_error.is_none(), "a stop is no failure");
    clinic.sandbox.faults().remove(slow);

    let running = clinic.start().await;
    clinic.until_confirmed(3).await;
    running.stop().await;
    assert_eq!(clinic.sandbox.hits("UploadPart"), 8);
    large.only_version(&clinic);
}

#[tokio::test]
async fn a_line_that_fails_now_and_then_neither_opens_the_breaker_nor_backs_off_for_long() {
    let mut clinic = clinic().await;
    let large = seal(&mut clinic, 12 * PART);
    // Every second part fails: in each run one arrives and one does not.
    for nth in 1..=11 {
        let fault = Fault::on("UploadPart", Action::answer(503, "SlowDown")).nth(2 * nth);
        clinic.sandbox.faults().add(fault);
    }
    let log = Log::start();
    let running = clinic.start().await;
    clinic.until_confirmed(3).await;
    running.stop().await;
    large.only_version(&clinic);
    let text = log.text();
    let deferred = text.lines().filter(|line| line.contains("\"deferred\""));
    assert!(deferred.clone().count() >= 10, "{text}");
    for line in deferred {
        assert!(line.contains("\"attempt\":1,"), "{line}");
    }
    assert!(!log.has(&["the destination fails"]), "{text}");
}

#[tokio::test]
async fn small_bundles_do_not_wait_for_a_large_object_nor_for_its_memory() {
    let mut clinic = clinic().await;
    clinic.policy.body_memory_bytes = PART as u64;
    let large = seal(&mut clinic, 2 * PART);
    let stall = clinic
        .sandbox
        .faults()
        .add(Fault::on("UploadPart", FOR_EVER).nth(1));
    let running = clinic.start().await;
    clinic
        .sandbox
        .log()
        .wait_until(|log| log.hits("UploadPart") == 1)
        .await;
    let small = clinic.seal(20);
    clinic
        .until_primary("the small ones are confirmed", |d| d.counts.confirmed == 40)
        .await;
    clinic.assert_stored_once(&small);
    assert_eq!(clinic.sandbox.hits("UploadPart"), 1, "still in flight");
    assert_eq!(clinic.primary().unwrap().uploads.len(), 1);
    clinic.sandbox.faults().remove(stall);
    running.kill().await;
    let running = clinic.start().await;
    clinic.until_confirmed(43).await;
    running.stop().await;
    large.only_version(&clinic);
}

#[tokio::test]
async fn an_upload_that_could_not_be_aborted_is_aborted_at_the_next_look_at_the_bucket() {
    let mut clinic = clinic().await;
    let large = seal(&mut clinic, 2 * PART);
    clinic.sandbox.faults().add(
        Fault::on(
            "CompleteMultipartUpload",
            Action::answer(400, "EntityTooLarge"),
        )
        .nth(1),
    );
    clinic
        .sandbox
        .faults()
        .add(Fault::on("AbortMultipartUpload", Action::answer(503, "SlowDown")).nth(1));
    let log = Log::start();
    let running = clinic.start().await;
    clinic
        .until_primary("blocked", |d| d.counts.blocked == 1)
        .await;
    clinic
        .until_logged(&log, &["WARN", "could not be aborted", &large.path])
        .await;
    running.stop().await;
    assert_eq!(clinic.blocked()[0].reason, "too_large");
    assert_eq!(clinic.sandbox.store().uploads(BUCKET).len(), 1);
    let running = clinic.start().await;
    clinic
        .until_logged(&log, &["an upload in parts was aborted", &large.path])
        .await;
    running.stop().await;
    assert!(clinic.sandbox.store().uploads(BUCKET).is_empty());
    assert_eq!(clinic.sandbox.hits("AbortMultipartUpload"), 2);
}

#[tokio::test]
async fn an_object_larger_than_s3_takes_is_kept_and_shown() {
    let mut clinic = clinic().await;
    let (mut order, _) = order(&mut clinic, noise(10));
    order.objects[0].size_bytes = (5 << 40) + 1;
    clinic.publish(&order);
    let running = clinic.start().await;
    clinic
        .until_primary("blocked", |d| d.counts.blocked == 1)
        .await;
    running.stop().await;
    assert_eq!(clinic.blocked()[0].reason, "too_large");
    assert_eq!(clinic.sandbox.hits("CreateMultipartUpload"), 0);
}

#[tokio::test]
async fn kills_at_random_moments_leave_a_large_object_stored_once_and_confirmed() {
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut clinic = clinic().await;
    let large = seal(&mut clinic, 6 * PART + 1);
    for round in 0..6 {
        let requests = clinic.sandbox.log().requests().len() + rng.usize(1..9);
        let running = clinic.start().await;
        let reached = clinic
            .sandbox
            .log()
            .wait_until(|log| log.requests().len() >= requests);
        tokio::select! {
            () = reached => {}
            () = clinic.until_confirmed(3) => {}
        }
        running.kill().await;
        eprintln!("seed {seed}, round {round}: killed after {requests} requests");
    }
    let running = clinic.start().await;
    clinic.until_confirmed(3).await;
    running.stop().await;
    large.only_version(&clinic);
    clinic.assert_stored_once(&[large.sealed]);
    // A part in flight at a kill is sent again, and no other.
    assert!(clinic.sandbox.hits("UploadPart") <= 7 + 6, "seed {seed}");
}
