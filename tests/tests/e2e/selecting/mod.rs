//! `list` and `pull` over a bucket and over a folder, and what `verify.sh` says of what was pulled.

mod forged;
mod ground;

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tests::clinic::{Clinic, Role};
use tests::servers::{Kind, Server};
use tests::tools;

use crate::incident::document;
use ground::{BUCKET, Ground, digests, in_sandbox, start};

/// Forty incidents in four hours of custody, one with artifacts, one more that no custody covers yet, and
/// another host.
fn steps() -> String {
    let mut steps = String::from("title = \"a clinic\"\nsteps = [\n");
    for hour in 0..4 {
        for n in 0..10 {
            let artifacts = if n == 5 {
                ", artifacts = { \"a b.log\" = \"what happened\" }"
            } else {
                ""
            };
            steps.push_str(&format!(
                "  {{ do = \"incident\", name = \"INC-{hour}-{n}\"{artifacts} }},\n"
            ));
        }
        steps.push_str("  { do = \"custody\" },\n  { do = \"pass\", minutes = 20 },\n");
    }
    steps.push_str(
        "  { do = \"incident\", name = \"INC-OPEN\" },\n\
         { do = \"incident\", name = \"OTHER-1\", host = \"clinic-a/srv-2\" },\n\
         { do = \"custody\", host = \"clinic-a/srv-2\" },\n]\n[expect]\nexit = 0\n",
    );
    steps
}

/// The whole of it, over any place.
fn assert_lists(ground: &Ground) {
    assert_eq!(ground.incidents(&[]).len(), 42);
    let (_, json) = ground.list(&[]);
    let rows = json["bundles"].as_array().unwrap();
    let by_custody = rows.iter().filter(|row| !row["listed_by"].is_null());
    assert_eq!(by_custody.count(), 41, "one is not covered yet");
    // Five custody bundles and the open one, two objects each, and the newest signature of each chain.
    assert_eq!(json["fetched_objects"], 2 * 6 + 2);
    assert_eq!(ground.incidents(&["--host", "srv-2"]), ["OTHER-1"]);
    assert_eq!(ground.incidents(&["--control", "164.308(a)(7)"]).len(), 42);
    assert_eq!(ground.incidents(&["--control", "164.312"]).len(), 0);
    assert_eq!(ground.incidents(&["--sla-missed"]).len(), 0);
    assert_eq!(ground.incidents(&["--severity", "HIGH"]).len(), 42);
    assert_eq!(ground.incidents(&["--text", "inc-open"]), ["INC-OPEN"]);
    assert_eq!(ground.incidents(&["--to", "2020-01"]).len(), 0);
    let csv = ground.run("list", &["--csv"]).stdout;
    let csv = String::from_utf8(csv).unwrap();
    assert!(csv.starts_with("client_id,host_id,"), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 42);
    let table = ground.run("list", &["--host", "srv-2"]);
    let said = String::from_utf8(table.stdout).unwrap();
    assert!(said.starts_with("DETECTED "), "{said}");
    assert!(
        said.contains("backup_failure") && said.lines().count() == 2,
        "{said}"
    );
    let told = String::from_utf8(table.stderr).unwrap();
    assert!(
        told.contains("1 by the word of custody, 0 read themselves"),
        "{told}"
    );
    let refused = ground.run("list", &["--control", "backup"]);
    assert_eq!(refused.status.code(), Some(1));
    let (code, json) = ground.list(&["--kind", "custody"]);
    assert_eq!((code, json["bundles"].as_array().unwrap().len()), (0, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_listed_by_its_custody_from_a_bucket_and_from_a_folder() {
    let sandbox = start().await;
    assert_lists(&in_sandbox(&sandbox, &steps()).await);
    assert_lists(&Ground::folder(&steps()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_proven_is_not_listed_but_named() {
    let forged = steps().replace(
        "name = \"INC-OPEN\"",
        "name = \"INC-OPEN\", key = \"other\"",
    );
    let ground = Ground::folder(&forged).await;
    let (code, json) = ground.list(&[]);
    assert_eq!(code, 2, "{json:#}");
    assert_eq!(json["bundles"].as_array().unwrap().len(), 41);
    let doubtful = &json["doubtful"][0];
    assert_eq!(doubtful["verdict"], "failed");
    assert!(doubtful["reason"].as_str().unwrap().contains("not trusted"));
    // Custody lists it, and it is not there: said to be so.
    let withheld = steps().replace(
        "name = \"INC-1-3\"",
        "name = \"INC-1-3\", store = \"withheld\"",
    );
    let ground = Ground::folder(&withheld).await;
    let (code, json) = ground.list(&[]);
    assert_eq!((code, &json["not_stored"]), (3, &Value::from(1)));
    let empty = Ground::folder("title = \"\"\nsteps = []\n[expect]\nexit = 0\n").await;
    assert_eq!(empty.list(&[]).0, 3, "nothing there is not nothing to say");
}

fn assert_pulls(ground: &Ground, cosign: Option<&Path>) {
    let first = ground.pull("first", &[]);
    let second = ground.pull("second", &[]);
    let pulled = digests(&first);
    assert_eq!(pulled, digests(&second), "the same, byte for byte");
    for name in [
        "verify.sh",
        "index.html",
        "manifest.json",
        "manifest.sha256",
        "store.json",
    ] {
        assert!(pulled.contains_key(Path::new(name)), "{name}");
    }
    // Again into the same folder: everything was there.
    ground.pull("first", &[]);
    assert_eq!(digests(&first), pulled);
    let Some(cosign) = cosign else { return };
    let (code, said) = ground.verify(&first, 2, cosign);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("41 answer the question"), "{said}");
    assert_ne!(
        ground.verify(&first, 1, cosign).0,
        0,
        "another host's key is missing"
    );
    let out = ground.pull("sample", &["--sample", "7", "--seed", "11"]);
    let (code, said) = ground.verify(&out, 2, cosign);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("7 of 42 drawn"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pulled_is_the_same_twice_and_stands_by_itself() {
    let test = "what_is_pulled_is_the_same_twice_and_stands_by_itself";
    let cosign = tools::for_script(test);
    let sandbox = start().await;
    assert_pulls(&in_sandbox(&sandbox, &steps()).await, cosign.as_deref());
    assert_pulls(&Ground::folder(&steps()).await, cosign.as_deref());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_on_minio() {
    let test = "list and pull: the_same_holds_on_minio";
    let Some(server) = Server::start(Kind::Minio, test).await else {
        return;
    };
    server.make_bucket(BUCKET).await;
    let (access_key, secret_key) = server.credentials();
    let ground = Ground::bucket(&steps(), &server.endpoint, access_key, secret_key).await;
    assert_lists(&ground);
    assert_pulls(&ground, tools::for_script(test).as_deref());
}

/// Nine days with a rotation on the fourth and a new chain on the sixth, two custody bundles a day.
fn days() -> String {
    let mut steps = String::from("title = \"days\"\nsteps = [\n");
    for day in 0..9 {
        match day {
            3 => steps.push_str("  { do = \"rotate\", to = \"second\" },\n"),
            5 => steps.push_str("  { do = \"restart\", because = \"spool_lost\" },\n"),
            _ => {}
        }
        for half in 0..2 {
            for n in 0..3 {
                steps.push_str(&format!(
                    "  {{ do = \"incident\", name = \"INC-{day}-{half}-{n}\" }},\n"
                ));
            }
            steps.push_str("  { do = \"custody\" },\n  { do = \"pass\", minutes = 716 },\n");
        }
    }
    steps.push_str("]\n[expect]\nexit = 0\n");
    steps
}

/// The day of the first bundle is `day` 0; what is sealed on a day may have been noticed before it.
fn day_of(ground: &Ground, day: i64) -> String {
    let (_, json) = ground.list(&["--by", "sealed"]);
    let first: jiff::Timestamp = json["bundles"][0]["generated_at"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let at = first + jiff::SignedDuration::from_hours(24 * day);
    at.to_string()[..10].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_found_and_pulled_without_what_came_before_and_after() {
    let test = "a_day_is_found_and_pulled_without_what_came_before_and_after";
    let ground = Ground::folder(&days()).await;
    let all = ground.list(&[]).1;
    assert_eq!(all["bundles"].as_array().unwrap().len(), 54);
    // Only the first key was given; the second was followed to.
    assert_eq!(all["keys"].as_array().unwrap().len(), 2);
    let cosign = tools::for_script(test);
    for day in [0, 2, 3, 4, 5, 6, 8] {
        let name = day_of(&ground, day);
        let period = ["--by", "sealed", "--from", &name, "--to", &name];
        let (code, json) = ground.list(&period);
        assert_eq!(code, 0, "{json:#}");
        let rows = json["bundles"].as_array().unwrap();
        assert!((4..=8).contains(&rows.len()), "{name}: {}", rows.len());
        for row in rows {
            let at = row["generated_at"].as_str().unwrap();
            assert!(at.starts_with(&name), "{at} on {name}");
        }
        let fetched = json["fetched_objects"].as_u64().unwrap();
        assert!(fetched < 40, "{fetched} of 146 objects");
        let Some(cosign) = &cosign else { continue };
        let kit = ground.pull(&format!("day-{day}"), &period);
        let (code, said) = ground.verify(&kit, 1, cosign);
        // Custody comes twice a day here, and of the last day nothing tells the end.
        let unknown = if day == 8 { 3 } else { 0 };
        assert_eq!(code, unknown, "day {day}: {said}");
        let asked = format!("{} answer the question", rows.len());
        assert!(said.contains(&asked), "{asked}: {said}");
    }
}

/// Only what was not pulled yet is fetched again, and nothing of the interruption is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_was_killed_goes_on_where_it_was() {
    let sandbox = start().await;
    let ground = in_sandbox(&sandbox, &steps()).await;
    let whole = digests(&ground.pull("whole", &[]));
    let fetches = || sandbox.log().hits("GetObject");
    let before = fetches();
    let out = ground.dir.path().join("killed");
    let mut killed = ground
        .command("pull", &["--out", out.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The index takes 14 fetches; it dies amid the bundles.
    let amid = before + 14 + 50;
    sandbox
        .log()
        .wait_until(|log| log.hits("GetObject") >= amid)
        .await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!out.join("manifest.json").exists(), "it was not done yet");
    let dead = fetches();
    assert!(
        ground
            .run("pull", &["--sla-missed", "--out", out.to_str().unwrap()])
            .status
            .code()
            == Some(1)
    );
    let again = ground.pull("killed", &[]);
    let fetched = fetches() - dead;
    assert!(fetched < 14 + 100 - 30, "{fetched} fetches");
    assert_eq!(digests(&again), whole);
}

/// Custody as an agent makes it, across a stop, in the words of a host's own configuration.
#[test]
fn what_real_daemons_sealed_is_listed_pulled_and_checked() {
    let test = "what_real_daemons_sealed_is_listed_pulled_and_checked";
    let mut clinic = Clinic::new();
    for (run, names) in [["INC-1", "INC-2"], ["INC-3", "INC-4"]].iter().enumerate() {
        clinic.start(Role::Agent);
        clinic.start(Role::Uploader);
        clinic.drop_document(&format!("{run}.json"), &document(names[0]));
        let files: [(&str, &[u8]); 1] = [("run log.txt", b"what happened")];
        clinic.drop_folder(&run.to_string(), &document(names[1]), &files);
        clinic.wait_until("everything to be confirmed", Clinic::is_confirmed);
        clinic.wind_down();
    }
    let key = clinic.public_key_file();
    let place = ["--destination", "main", "--key", key.to_str().unwrap()];
    let listed = clinic.cli_json(&[&["list", "--json"], &place[..]].concat());
    let rows = listed["bundles"].as_array().unwrap();
    assert_eq!(rows.len(), 4, "{listed:#}");
    assert!(rows.iter().all(|row| row["listed_by"].is_string()));
    let out = clinic.dir.path().join("pulled");
    let arguments = ["pull", "--out", out.to_str().unwrap(), "--sla-missed"];
    let none = clinic.cli(&[&arguments[..], &place].concat());
    assert_eq!(none.status.code(), Some(0), "{none:?}");
    std::fs::remove_dir_all(&out).unwrap();
    let pulled = clinic.cli(&[&arguments[..3], &place].concat());
    assert_eq!(pulled.status.code(), Some(0), "{pulled:?}");
    let Some(cosign) = tools::for_script(test) else {
        return;
    };
    let checked = std::process::Command::new(out.join("verify.sh"))
        .arg(&key)
        .env("COSIGN", cosign)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(0), "{said}");
    assert!(said.contains("2 artifacts"), "{said}");
    assert!(said.contains("4 answer the question"), "{said}");
}
