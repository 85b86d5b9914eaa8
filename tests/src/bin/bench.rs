//! Benchmarks: what our programs need, beside what people would use otherwise, in one run.
//!
//! Machines are shared and noisy, so the ratios are what counts.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use evidence::custody::{ConfirmedEntry, ReportedBy};
use evidence::digest::Sha256;
use evidence::handover::Role;
use evidence::keys::PrivateKey;
use jiff::{SignedDuration, Timestamp};
use nix::sys::resource::{UsageWho, getrusage};
use sandbox::{Sandbox, SandboxOptions};
use tests::clinic::BUCKET;
use tests::cosign::{Cosign, Verdict};
use tests::kit::{DESTINATION, Host, Made, Shelf, Storing};
use tests::servers::{self, REGION};
use tokio::task::JoinSet;

/// Benchmarks. Build with --release, the programs too.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    which: Which,
}

#[derive(Subcommand)]
enum Which {
    /// Audit a bucket and a folder of many bundles; and verify a sample with stock cosign in a loop.
    ///
    /// Needs `msp-evidence` beside this program (cargo build --release -p cli), and cosign in
    /// MSP_TEST_COSIGN.
    Audit {
        /// So many bundles, custody included.
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        bundles: usize,
        /// So many of them with cosign.
        #[arg(long, value_name = "N", default_value_t = 100)]
        sample: usize,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let Which::Audit {
        bundles,
        sample,
        json,
    } = Arguments::parse().which;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let rows = audit(&runtime, bundles, sample);
    if json {
        let rows: Vec<_> = rows.iter().map(Row::to_json).collect();
        println!("{:#}", serde_json::Value::from(rows));
        return ExitCode::SUCCESS;
    }
    println!(
        "{:<28} {:>9} {:>9} {:>10} {:>12} {:>11} {:>9} {:>5}",
        "", "bundles", "seconds", "bundles/s", "CPU us/each", "memory kB", "requests", "exit"
    );
    for row in &rows {
        row.print();
    }
    if let [.., folder, cosign] = rows.as_slice() {
        let ratio = cosign.cpu_each_us() / folder.cpu_each_us();
        println!("cosign needs {ratio:.0} times the CPU of the audit of a folder, for each bundle");
    }
    ExitCode::SUCCESS
}

/// One measurement of a program.
struct Row {
    what: &'static str,
    bundles: usize,
    wall: Duration,
    cpu: Duration,
    /// The most that the process had resident, looked at every 20 ms.
    memory_kb: Option<u64>,
    requests: Option<u64>,
    exit: Option<i32>,
}

impl Row {
    fn cpu_each_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.bundles as f64
    }

    fn print(&self) {
        println!(
            "{:<28} {:>9} {:>9.1} {:>10.0} {:>12.0} {:>11} {:>9} {:>5}",
            self.what,
            self.bundles,
            self.wall.as_secs_f64(),
            self.bundles as f64 / self.wall.as_secs_f64(),
            self.cpu_each_us(),
            self.memory_kb.map_or("-".to_owned(), |n| n.to_string()),
            self.requests.map_or("-".to_owned(), |n| n.to_string()),
            self.exit.map_or("-".to_owned(), |n| n.to_string()),
        );
    }

    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "what": self.what,
            "bundles": self.bundles,
            "wall_secs": self.wall.as_secs_f64(),
            "cpu_secs": self.cpu.as_secs_f64(),
            "memory_kb": self.memory_kb,
            "requests": self.requests,
            "exit": self.exit,
        })
    }
}

/// Runs `work`, which waits for the processes that it starts, and measures these.
fn measured(
    what: &'static str,
    bundles: usize,
    work: impl FnOnce() -> (Option<i32>, Option<u64>),
) -> Row {
    let cpu = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
        let (user, system) = (usage.user_time(), usage.system_time());
        let micros = (user.tv_sec() + system.tv_sec()) * 1_000_000;
        Duration::from_micros(
            u64::try_from(micros + user.tv_usec() + system.tv_usec()).unwrap_or(0),
        )
    };
    let (before, began) = (cpu(), Instant::now());
    let (exit, memory_kb) = work();
    Row {
        what,
        bundles,
        wall: began.elapsed(),
        cpu: cpu() - before,
        memory_kb,
        requests: None,
        exit,
    }
}

fn audit(runtime: &tokio::runtime::Runtime, bundles: usize, sample: usize) -> Vec<Row> {
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

/// The most that a process has had resident so far (proc_pid_status(5), VmHWM).
fn resident_kb(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// A program of ours, built as this one was.
fn beside(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.with_file_name(name);
    assert!(
        Path::new(&program).exists(),
        "{} is missing: build it as this program was built",
        program.display()
    );
    program
}
