//! What an audit costs, from a bucket and from a folder, beside stock cosign in a loop.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evidence::custody::{ConfirmedEntry, ReportedBy};
use evidence::digest::Sha256;
use evidence::handover::Role;
use evidence::keys::PrivateKey;
use jiff::{SignedDuration, Timestamp};
use sandbox::{Sandbox, SandboxOptions};
use tests::clinic::BUCKET;
use tests::cosign::{Cosign, Verdict};
use tests::kit::{DESTINATION, Host, Made, Shelf, Storing};
use tests::servers::{self, REGION};
use tokio::task::JoinSet;

use crate::{Row, beside, measured, resident_kb};

pub(crate) fn audit(runtime: &tokio::runtime::Runtime, bundles: usize, sample: usize) -> Vec<Row> {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = runtime
        .block_on(Sandbox::start(SandboxOptions::with_bucket(BUCKET)))
        .unwrap();
    let identity = sandbox.credentials().clone();
    let credentials = dir.path().join("credentials");
    let text = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        identity.access_key, identity.secret_key
    );
    std::fs::write(&credentials, text).unwrap();
    let key = Arc::new(PrivateKey::generate(b"only for a benchmark").unwrap().0);
    let public = dir.path().join("msp.pub");
    std::fs::write(&public, key.public().to_pem()).unwrap();
    let folder = dir.path().join("evidence");
    let bucket = Arc::new(Shelf::Bucket {
        client: servers::client(
            &sandbox.endpoint(),
            &identity.access_key,
            &identity.secret_key,
        ),
        bucket: BUCKET.to_owned(),
        prefix: String::new(),
    });
    let copy = Arc::new(Shelf::Folder(folder.clone()));
    let began = Instant::now();
    let paths = runtime.block_on(fill(&key, bundles, &bucket, &copy));
    eprintln!(
        "{} bundles sealed and stored in {:.0} s",
        paths.len(),
        began.elapsed().as_secs_f64()
    );
    let evidence = |arguments: &[&str]| {
        let mut child = Command::new(beside("msp-evidence"))
            .arg("audit")
            .args(arguments)
            .arg("--key")
            .arg(&public)
            .env("AWS_SHARED_CREDENTIALS_FILE", &credentials)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut most_kb = None;
        loop {
            most_kb = most_kb.max(resident_kb(child.id()));
            if let Some(status) = child.try_wait().unwrap() {
                return (status.code(), most_kb);
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    };
    let in_folder = measured("audit of a folder", paths.len(), || {
        evidence(&["--folder", folder.to_str().unwrap()])
    });
    sandbox.log().clear();
    let endpoint = sandbox.endpoint();
    let mut in_bucket = measured("audit of a bucket", paths.len(), || {
        evidence(&[
            "--bucket",
            BUCKET,
            "--region",
            REGION,
            "--endpoint",
            &endpoint,
            "--path-style",
        ])
    });
    in_bucket.requests = Some(sandbox.log().counts().values().map(|c| c.arrived).sum());
    let Some(cosign) = Cosign::all("bench audit").into_iter().next() else {
        eprintln!("cosign is not here: skipped");
        return vec![in_bucket, in_folder];
    };
    let step = (paths.len() / sample.max(1)).max(1);
    let sampled: Vec<&PathBuf> = paths.iter().step_by(step).take(sample).collect();
    let by_cosign = measured("cosign verify-blob, a loop", sampled.len(), || {
        for path in &sampled {
            let blob = folder.join(path);
            let bundle = PathBuf::from(format!("{}.bundle", blob.display()));
            let verdict = cosign.verify(&public, &bundle, &blob);
            assert_eq!(verdict, Some(Verdict::Verified), "{}", blob.display());
        }
        (Some(0), None)
    });
    vec![in_bucket, in_folder, by_cosign]
}

/// Seals so many bundles, with custody after every thousand, and stores them in both places.
async fn fill(
    key: &Arc<PrivateKey>,
    bundles: usize,
    bucket: &Arc<Shelf>,
    copy: &Arc<Shelf>,
) -> Vec<PathBuf> {
    let start = Timestamp::now() - SignedDuration::from_hours(24);
    let uri = format!("s3://{BUCKET}/");
    let mut host = Host::new("clinic-a", "srv-1", Arc::clone(key), &uri, start);
    host.pace = SignedDuration::from_millis(1);
    let mut paths = Vec::new();
    while paths.len() < bundles {
        let room = bundles - paths.len() - 1;
        let mut batch: Vec<Made> = (0..room.min(999))
            .map(|n| host.incident(&format!("INC-{}-{n}", paths.len()), &Default::default()))
            .collect();
        store(&mut host, &batch, bucket, copy, &uri).await;
        let custody = host.custody(None);
        store(
            &mut host,
            std::slice::from_ref(&custody),
            bucket,
            copy,
            &uri,
        )
        .await;
        batch.push(custody);
        paths.extend(batch.iter().map(|made| PathBuf::from(&made.path)));
    }
    paths
}

async fn store(host: &mut Host, batch: &[Made], bucket: &Arc<Shelf>, copy: &Arc<Shelf>, uri: &str) {
    let mut tasks = JoinSet::new();
    let mut waiting = batch.iter().flat_map(|made| {
        [
            (made, Role::Signature, format!("{}.bundle", made.path)),
            (made, Role::Bundle, made.path.clone()),
        ]
    });
    let mut laid = Vec::new();
    loop {
        while tasks.len() < 16
            && let Some((made, role, path)) = waiting.next()
        {
            let bytes = match role {
                Role::Signature => made.sealed.signature.clone(),
                _ => made.sealed.bytes.clone(),
            };
            let (bucket, copy) = (Arc::clone(bucket), Arc::clone(copy));
            let position = made.sealed.position.clone();
            let bundle_id = made.sealed.bundle_id.to_string();
            let uri = uri.to_owned();
            tasks.spawn(async move {
                copy.lay(&path, &bytes, Storing::Locked).await;
                let laid = bucket.lay(&path, &bytes, Storing::Locked).await;
                ConfirmedEntry {
                    bundle_id,
                    chain_id: position.chain_id,
                    sequence: position.sequence,
                    uri: format!("{uri}{path}"),
                    object: path,
                    role,
                    destination_id: DESTINATION.to_owned(),
                    version_id: laid.version_id,
                    sha256: Sha256::of(&bytes),
                    size_bytes: bytes.len() as u64,
                    retain_until: laid.retain_until,
                    server_date: Timestamp::now(),
                    confirmed_at: Timestamp::now(),
                    reported_by: ReportedBy::Uploader,
                }
            });
        }
        match tasks.join_next().await {
            Some(entry) => laid.push(entry.unwrap()),
            None => break,
        }
    }
    laid.sort_by(|a, b| a.object.cmp(&b.object));
    for entry in laid {
        host.confirm(entry);
    }
}
