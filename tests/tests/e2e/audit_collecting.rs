//! Collecting for an audit, while it is interrupted, and while the store goes away.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use audit::{
    Bucket, Check, Collected, Collecting, Finding, Judging, Keyring, Ledger, Level, Origin,
    Patience, PinnedKey, Progress, Source, Tally, Verdict, collect, judge,
};
use destination::S3Options;
use evidence::keys::PrivateKey;
use jiff::{SignedDuration, Timestamp};
use sandbox::{Action, Fault, Sandbox, SandboxOptions};
use tests::clinic::BUCKET;
use tests::kit::{Host, Shelf, Storing};
use tests::servers::{self, REGION};
use tokio::sync::watch;

/// More versions than a page of a listing has.
const BUNDLES: usize = 520;
const JOBS: usize = 8;

/// Evidence in a bucket, and who may be trusted.
struct Stored {
    sandbox: Sandbox,
    keyring: Keyring,
    dir: tempfile::TempDir,
}

async fn stored() -> Stored {
    let sandbox = Sandbox::start(SandboxOptions::with_bucket(BUCKET))
        .await
        .unwrap();
    let identity = sandbox.credentials().clone();
    let shelf = Shelf::Bucket {
        client: servers::client(
            &sandbox.endpoint(),
            &identity.access_key,
            &identity.secret_key,
        ),
        bucket: BUCKET.to_owned(),
        prefix: String::new(),
    };
    let key = Arc::new(PrivateKey::generate(b"host").unwrap().0);
    let keyring = Keyring::of([PinnedKey::new(key.public().clone())]);
    let start = Timestamp::now() - SignedDuration::from_hours(12);
    let uri = format!("s3://{BUCKET}/");
    let mut host = Host::new("clinic-a", "srv-1", key, &uri, start);
    for n in 1..=BUNDLES {
        let made = if n % 50 == 0 {
            host.custody(None)
        } else {
            host.incident(&format!("INC-{n}"), &BTreeMap::new())
        };
        let signature = format!("{}.bundle", made.path);
        let sealed = &made.sealed;
        shelf
            .lay(&signature, &sealed.signature, Storing::Locked)
            .await;
        shelf.lay(&made.path, &sealed.bytes, Storing::Locked).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        identity.access_key, identity.secret_key
    );
    std::fs::write(dir.path().join("credentials"), text).unwrap();
    Stored {
        sandbox,
        keyring,
        dir,
    }
}

impl Stored {
    async fn source(&self) -> Source {
        let options = S3Options {
            endpoint: Some(self.sandbox.endpoint()),
            path_style: true,
            credentials_file: Some(self.dir.path().join("credentials")),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            ..S3Options::new("audit", BUCKET, REGION)
        };
        let patience = Patience {
            attempts: 2,
            pause: Duration::from_millis(1),
        };
        Source::Bucket(Box::new(Bucket::connect(options, patience).await))
    }

    fn ledger(&self, file: Option<&Path>) -> Ledger {
        let origin = Origin {
            source: format!("s3://{BUCKET}/"),
            keyring: self.keyring.sha256().to_string(),
            scope: String::new(),
        };
        Ledger::open(file, &origin).unwrap()
    }

    /// Collects until `stops` says so.
    async fn collect(&self, ledger: &Ledger, mut stops: impl FnMut(Progress) -> bool) -> Collected {
        let (told, stop) = watch::channel(false);
        let collecting = Collecting {
            folders: vec![String::new()],
            jobs: JOBS,
            trust_checksums: false,
        };
        let source = self.source().await;
        let progress = |progress| {
            if stops(progress) {
                told.send_replace(true);
            }
        };
        collect(ledger, source, &self.keyring, &collecting, stop, progress)
            .await
            .unwrap()
    }

    fn judge(&self, ledger: &Ledger) -> (Verdict, Vec<Tally>, Vec<Finding>) {
        let judging = Judging {
            bucket_uri: Some(format!("s3://{BUCKET}/")),
            ..Judging::default()
        };
        let verdict = judge(ledger, &self.keyring, &judging).unwrap();
        let mut findings = Vec::new();
        for check in Check::ALL {
            for level in [Level::Failed, Level::CouldNotCheck, Level::Note] {
                let heard = ledger.findings(check, level, |finding| {
                    findings.push(finding);
                    true
                });
                heard.unwrap();
            }
        }
        let tallies = Check::ALL
            .map(|check| ledger.tally(check).unwrap())
            .to_vec();
        (verdict, tallies, findings)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_that_is_interrupted_goes_on_and_says_the_same_as_one_that_was_not() {
    let stored = stored().await;
    let whole = stored.ledger(None);
    assert_eq!(stored.collect(&whole, |_| false).await, Collected::Whole);
    let expected = stored.judge(&whole);
    assert_eq!(expected.0, Verdict::Passed, "{:#?}", expected.2);
    let objects = 2 * BUNDLES as u64;
    assert_eq!(stored.sandbox.hits("GetObject"), objects);
    assert_eq!(stored.sandbox.hits("ListObjectVersions"), 2);

    stored.sandbox.log().clear();
    let file = stored.dir.path().join("audit.db");
    let mut interruptions = 0;
    // In the midst of listing, and at several points of reading.
    for stop_at in [1, 2, 40, 41, 100, 200] {
        let ledger = stored.ledger(Some(&file));
        let mut heard = 0;
        let ended = stored
            .collect(&ledger, |_| {
                heard += 1;
                heard == stop_at
            })
            .await;
        assert_eq!(ended, Collected::Interrupted, "at {stop_at}");
        interruptions += 1;
    }
    let ledger = stored.ledger(Some(&file));
    assert_eq!(stored.collect(&ledger, |_| false).await, Collected::Whole);
    assert_eq!(stored.judge(&ledger), expected);
    // Each interruption costs what was in flight, and nothing else.
    let most = objects + interruptions * 2 * JOBS as u64;
    let asked = stored.sandbox.hits("GetObject");
    assert!(asked <= most, "{asked} of at most {most}");
    assert_eq!(stored.sandbox.hits("ListObjectVersions"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_away_ends_the_reading_and_nothing_unread_passes_or_fails() {
    let stored = stored().await;
    let ledger = stored.ledger(None);
    let gone = Fault {
        skip: 100,
        ..Fault::on("GetObject", Action::DropBeforeCommit)
    };
    stored.sandbox.faults().add(gone);
    assert_eq!(stored.collect(&ledger, |_| false).await, Collected::Whole);
    let asked = stored.sandbox.hits("GetObject");
    assert!(asked < 400, "{asked}: it gives up");
    let (verdict, tallies, findings) = stored.judge(&ledger);
    assert_eq!(verdict, Verdict::CouldNotCheck, "{findings:#?}");
    let is = |code: &str| findings.iter().any(|f| f.code.as_str() == code);
    assert!(is("not_all_read"), "{findings:#?}");
    let signatures = Check::ALL.iter().position(|c| *c == Check::Signature);
    let signatures = tallies[signatures.unwrap()];
    assert_eq!(signatures.total(), BUNDLES as u64, "each is counted");
    assert!(signatures.could_not_check > 0 && signatures.passed > 0);

    stored.sandbox.faults().clear();
    assert_eq!(stored.collect(&ledger, |_| false).await, Collected::Whole);
    let (verdict, _, findings) = stored.judge(&ledger);
    assert_eq!(verdict, Verdict::Passed, "{findings:#?}");
}
