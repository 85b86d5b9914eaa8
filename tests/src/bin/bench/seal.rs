//! What sealing costs, beside a program that does only what cannot be left out.
//!
//! The floor reads the same drops, parses them once, checks the same schema, hashes once, signs and checks
//! its signature, inserts the same bytes in groups of the same size with the same durability, writes the same
//! two files and a work order for each group, and removes the drop. It numbers nothing, chains nothing, finds
//! no duplicates, screens nothing and could not say after a crash what it had done: the difference is what
//! being trusted costs.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use agent::{Agent, system_clock};
use clap::Args;
use evidence::digest::Sha256;
use evidence::keys::PrivateKey;
use evidence::{schema, signature};
use host::config::Settings;
use nix::sys::resource::UsageWho;
use notify::{RecursiveMode, Watcher as _};
use rusqlite::{Connection, params};
use serde_json::Value;
use tests::clinic::{Clinic, Role, files_below};
use tests::cosign::Cosign;

use crate::capacity::document;
use crate::table::{Line, Target};

#[derive(Args)]
pub(crate) struct Options {
    /// So many drops wait.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    incidents: usize,
    /// Each is at least so large.
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    bytes: usize,
    /// So many are dropped one at a time.
    #[arg(long, value_name = "N", default_value_t = 200)]
    singly: usize,
    /// So many are signed with cosign.
    #[arg(long, value_name = "N", default_value_t = 20)]
    sample: usize,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// As the agent's default.
const GROUP: usize = 64;

pub(crate) fn run(options: &Options) -> Vec<Line> {
    let ours = with_agent(options);
    let floor = floor(options, &ours.template);
    let each = |usage: &Usage| usage.cpu.as_secs_f64() * 1e6 / options.incidents as f64;
    let mut lines = vec![
        Line {
            what: "sealing, CPU of each".to_owned(),
            unit: "us",
            ours: each(&ours.usage),
            peer: Some((
                "the floor: the unavoidable work, bare".to_owned(),
                each(&floor),
            )),
            target: Target::RatioAtMost(1.5),
        },
        Line {
            what: "sealing with a backlog".to_owned(),
            unit: "incidents/s",
            ours: options.incidents as f64 / ours.usage.wall.as_secs_f64(),
            peer: Some((
                "the floor".to_owned(),
                options.incidents as f64 / floor.wall.as_secs_f64(),
            )),
            target: Target::AtLeast(4000.0),
        },
    ];
    if let Some(cosign) = cosign_each(options) {
        lines.push(Line {
            what: "sealing, wall time of each".to_owned(),
            unit: "us",
            ours: ours.usage.wall.as_secs_f64() * 1e6 / options.incidents as f64,
            peer: Some(("cosign sign-blob, one at a time".to_owned(), cosign)),
            target: Target::TimesBetter(500.0),
        });
    }
    let (latency, commit) = singly(options);
    lines.push(Line {
        what: "drop to sealed, one at a time, median".to_owned(),
        unit: "us",
        ours: latency,
        peer: Some((
            "one SQLite commit, synchronous=FULL, median".to_owned(),
            commit,
        )),
        target: Target::RatioAtMost(4.0),
    });
    lines
}

#[derive(Clone, Copy)]
struct Usage {
    wall: Duration,
    cpu: Duration,
}

fn measured(work: impl FnOnce()) -> Usage {
    let cpu = || crate::cpu(UsageWho::RUSAGE_SELF);
    let (before, began) = (cpu(), Instant::now());
    work();
    Usage {
        wall: began.elapsed(),
        cpu: cpu() - before,
    }
}

struct Ours {
    usage: Usage,
    /// A bundle as it was sealed, for the floor to fill in.
    template: Value,
}

fn with_agent(options: &Options) -> Ours {
    let clinic = Clinic::new();
    clinic.edit_configuration("group_limit = 16\n", "");
    let drop = clinic.state("drop");
    fill(&drop, options);
    let settings =
        Settings::load(&clinic.dir.path().join("evidence.toml"), std::iter::empty()).unwrap();
    let mut agent = Agent::open(settings, system_clock()).unwrap();
    let usage = measured(|| {
        let mut sealed = 0;
        while sealed < options.incidents {
            sealed += agent.pass().unwrap().sealed;
        }
        // What a quiet moment does, too.
        agent.sync().unwrap();
    });
    let (_, bundle) = clinic.incidents().into_iter().next().unwrap();
    Ours {
        usage,
        template: bundle.document().clone(),
    }
}

fn fill(drop: &Path, options: &Options) {
    fs::create_dir_all(drop).unwrap();
    for n in 0..options.incidents {
        let id = format!("INC-{n:07}");
        fs::write(
            drop.join(format!("{id}.json")),
            document(&id, options.bytes),
        )
        .unwrap();
    }
}

fn floor(options: &Options, template: &Value) -> Usage {
    let dir = tempfile::tempdir().unwrap();
    let drop = dir.path().join("drop");
    fill(&drop, options);
    let evidence = dir.path().join("evidence");
    let outbox = dir.path().join("outbox");
    for folder in [&evidence, &outbox] {
        fs::create_dir(folder).unwrap();
    }
    let key = PrivateKey::generate(b"only for a benchmark").unwrap().0;
    let mut db = open(&dir.path().join("floor.db"));
    measured(|| {
        let mut names: Vec<PathBuf> = fs::read_dir(&drop)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        for (n, group) in names.chunks(GROUP).enumerate() {
            let sealed: Vec<_> = group
                .iter()
                .map(|path| floor_one(path, template, &key))
                .collect();
            let tx = db.transaction().unwrap();
            for (path, (bytes, sha256, signed)) in group.iter().zip(&sealed) {
                let name = path.file_name().unwrap().to_str().unwrap();
                tx.prepare_cached(
                    "INSERT INTO bundle (name, sha256, bytes, signature) VALUES (?1, ?2, ?3, ?4)",
                )
                .unwrap()
                .execute(params![name, sha256.as_bytes(), bytes, signed])
                .unwrap();
                tx.prepare_cached("INSERT INTO seen (incident_id, sha256) VALUES (?1, ?2)")
                    .unwrap()
                    .execute(params![name, sha256.as_bytes()])
                    .unwrap();
            }
            let order = vec![b'x'; 600 * group.len()];
            tx.prepare_cached("INSERT INTO work_order (body) VALUES (?1)")
                .unwrap()
                .execute([&order])
                .unwrap();
            tx.commit().unwrap();
            for (path, (bytes, _, signed)) in group.iter().zip(&sealed) {
                let name = path.file_name().unwrap().to_str().unwrap();
                publish(&evidence, &format!("{name}.bundle"), signed);
                publish(&evidence, name, bytes);
            }
            publish(&outbox, &format!("{n}.json"), &order);
            for path in group {
                fs::remove_file(path).unwrap();
            }
        }
    })
}

fn floor_one(path: &Path, template: &Value, key: &PrivateKey) -> (Vec<u8>, Sha256, Vec<u8>) {
    let drop: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let mut document = template.clone();
    let Value::Object(fields) = drop else {
        panic!("a drop is an object");
    };
    for (name, value) in fields {
        match name.as_str() {
            // The bundle has more in these; what was dropped is in the template already.
            "incident" => document["incident"]["incident_id"] = value["incident_id"].clone(),
            "artifacts" => document["artifacts"]["log_excerpts"] = value["log_excerpts"].clone(),
            _ => {}
        }
    }
    schema::validate(&document).unwrap();
    let mut bytes = serde_json::to_vec_pretty(&document).unwrap();
    bytes.push(b'\n');
    let sha256 = Sha256::of(&bytes);
    let signed = signature::sign(&bytes, sha256, key).unwrap();
    signature::verify(&bytes, &signed, key.public()).unwrap();
    (bytes, sha256, signed)
}

fn open(path: &Path) -> Connection {
    let db = Connection::open(path).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db.pragma_update(None, "synchronous", "FULL").unwrap();
    db.execute_batch(
        "CREATE TABLE bundle (rowid INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, sha256 BLOB NOT NULL,
           bytes BLOB NOT NULL, signature BLOB NOT NULL) STRICT;
         CREATE TABLE seen (incident_id TEXT NOT NULL, sha256 BLOB NOT NULL,
           PRIMARY KEY (incident_id, sha256)) STRICT, WITHOUT ROWID;
         CREATE TABLE work_order (rowid INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;",
    )
    .unwrap();
    db
}

fn publish(folder: &Path, name: &str, bytes: &[u8]) {
    let temporary = folder.join(format!(".tmp-{name}"));
    fs::write(&temporary, bytes).unwrap();
    fs::rename(&temporary, folder.join(name)).unwrap();
}

/// Microseconds for each, with stock cosign: what a script does today.
fn cosign_each(options: &Options) -> Option<f64> {
    let cosign = Cosign::all("bench seal").into_iter().next()?;
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let done = Command::new(cosign.program())
            .args(arguments)
            .current_dir(dir.path())
            .env("COSIGN_PASSWORD", "only for a benchmark")
            .env("COSIGN_YES", "true")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(done.status.success(), "cosign {arguments:?}: {done:?}");
    };
    run(&["generate-key-pair"]);
    fs::write(dir.path().join("X.json"), document("INC-1", options.bytes)).unwrap();
    // Neither a log nor a time stamp is asked, so that nothing waits for a network.
    fs::write(dir.path().join("signing-config.json"), SIGNING_CONFIG).unwrap();
    let began = Instant::now();
    for _ in 0..options.sample {
        run(&[
            "sign-blob",
            "--key",
            "cosign.key",
            "--bundle",
            "X.json.bundle",
            "--signing-config",
            "signing-config.json",
            "X.json",
        ]);
    }
    Some(began.elapsed().as_secs_f64() * 1e6 / options.sample as f64)
}

const SIGNING_CONFIG: &str = "{\"mediaType\":\"application/vnd.dev.sigstore.signingconfig.v0.2+json\",\"rekorTlogConfig\":{},\"tsaConfig\":{}}";

/// Medians in microseconds: from the rename of a drop until its bundle is published, with the real daemon, and
/// one commit of the same bytes.
fn singly(options: &Options) -> (f64, f64) {
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    clinic.drop_document("first.json", &document("INC-first", options.bytes));
    clinic.wait_until("the first", |clinic| clinic.incidents().len() == 1);
    let (path, _) = clinic.incidents().remove(0);
    let day = path.parent().unwrap().to_owned();
    let (send, events) = std::sync::mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        for path in event.unwrap().paths {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".json")
                && !name.starts_with('.')
                && !name.ends_with(".locations.json")
            {
                // Nobody listens any more at the end.
                let _ = send.send((name, Instant::now()));
            }
        }
    })
    .unwrap();
    watcher.watch(&day, RecursiveMode::NonRecursive).unwrap();
    let mut seen: HashSet<String> = files_below(&day)
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    let mut latencies = Vec::new();
    for n in 0..options.singly {
        let bytes = document(&format!("INC-{n}"), options.bytes);
        let folder = clinic.state("drop");
        fs::write(folder.join(".next.part"), bytes).unwrap();
        let began = Instant::now();
        fs::rename(folder.join(".next.part"), folder.join(format!("{n}.json"))).unwrap();
        // Each file is told of more than once.
        let sealed = loop {
            let (name, at) = events.recv_timeout(Duration::from_secs(30)).unwrap();
            if seen.insert(name) {
                break at;
            }
        };
        latencies.push(sealed.duration_since(began));
    }
    clinic.kill(Role::Agent);
    let dir = tempfile::tempdir().unwrap();
    let mut db = open(&dir.path().join("commit.db"));
    let bytes = vec![b'x'; options.bytes];
    let commits = (0..options.singly)
        .map(|n| {
            let began = Instant::now();
            let tx = db.transaction().unwrap();
            tx.execute(
                "INSERT INTO bundle (name, sha256, bytes, signature) VALUES (?1, ?2, ?3, ?2)",
                params![n.to_string(), Sha256::of(&bytes).as_bytes(), bytes],
            )
            .unwrap();
            tx.commit().unwrap();
            began.elapsed()
        })
        .collect();
    (median_us(latencies), median_us(commits))
}

fn median_us(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}
