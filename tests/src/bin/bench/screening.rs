//! What screening costs: beside a durable commit, which every incident pays anyway; over sizes, where it must grow no
//! faster than the text; and beside ripgrep with the same patterns.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use evidence::digest::DigestKey;
use rusqlite::Connection;
use screen::Screen;
use serde_json::{Value, json};
use tests::screening::SEED;
use tests::screening::benign::benign;
use tests::screening::sensitive::{Form, sensitive};
use tests::tools::{Tool, find};

#[derive(Args)]
pub(crate) struct Options {
    /// The largest text.
    #[arg(long, value_name = "BYTES", default_value_t = 10 << 20)]
    largest: usize,
    /// A folder on the disk whose commits are measured.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) {
    let screen = Screen::built_in();
    let key = DigestKey::from_bytes([7; 32]);
    // The first use compiles what it needs; a daemon pays that once.
    let began = Instant::now();
    let warm = logs(64 << 10) + &alarming(64 << 10);
    black_box(screen.redact(&warm, &key));
    let first_ms = began.elapsed().as_secs_f64() * 1e3;

    let incident = incident();
    let commit = commits(&options.folder, incident.len());
    let of_incident = median(301, || {
        black_box(screen.redact(&incident, &key));
    });
    let shapes: [(&str, &dyn Fn(usize) -> String); 3] = [
        ("log lines", &logs),
        ("log lines, one in ten with a secret", &alarming),
        ("hostile", &hostile),
    ];
    let mut sizes = Vec::new();
    for (name, text) in shapes {
        let mut bytes = 1 << 10;
        while bytes <= options.largest {
            let text = text(bytes);
            let runs = (4 << 20) / bytes;
            let took = median(runs.clamp(3, 101), || {
                black_box(screen.redact(&text, &key));
            });
            sizes.push((name, text.len(), took));
            bytes *= 10;
        }
    }
    let text = logs(options.largest);
    let ours = median(3, || {
        black_box(screen.find(&text));
    });
    let ripgrep = find(Tool::Ripgrep, "bench screening").map(|rg| ripgrep(&rg, &screen, &text));
    if options.json {
        print_json(
            first_ms,
            (incident.len(), of_incident, commit),
            &sizes,
            (text.len(), ours, ripgrep),
        );
        return;
    }
    println!(
        "{} rules; their first use, which compiles them, took {first_ms:.0} ms",
        screen.rules().len()
    );
    println!(
        "an incident of {} bytes: {:.0} us; one durable commit of as much (SQLite, WAL, synchronous=FULL): {:.0} us; \
         ratio {:.3}\n",
        incident.len(),
        us(of_incident),
        us(commit),
        of_incident.as_secs_f64() / commit.as_secs_f64()
    );
    println!(
        "{:<38}{:>12}{:>14}{:>12}{:>10}",
        "", "bytes", "us", "ns/byte", "MB/s"
    );
    for (name, bytes, took) in &sizes {
        let ns = took.as_secs_f64() * 1e9 / *bytes as f64;
        println!(
            "{name:<38}{bytes:>12}{:>14.0}{ns:>12.1}{:>10.1}",
            us(*took),
            1e3 / ns
        );
    }
    println!();
    match ripgrep {
        Some((whole, start)) => {
            let searching = whole.saturating_sub(start);
            println!(
                "{} bytes of log lines: ours {:.0} ms; ripgrep, one thread, the same {} patterns {:.0} ms, of which {:.0} ms are \
                 its start; ratio without its start {:.2}",
                text.len(),
                us(ours) / 1e3,
                screen.rules().len(),
                us(whole) / 1e3,
                us(start) / 1e3,
                ours.as_secs_f64() / searching.as_secs_f64()
            );
        }
        None => println!("ripgrep is not here: skipped"),
    }
}

fn us(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

fn print_json(
    first_ms: f64,
    (incident_bytes, incident, commit): (usize, Duration, Duration),
    sizes: &[(&str, usize, Duration)],
    (bytes, ours, ripgrep): (usize, Duration, Option<(Duration, Duration)>),
) {
    let sizes: Vec<Value> = sizes
        .iter()
        .map(|(name, bytes, took)| json!({"text": name, "bytes": bytes, "us": us(*took)}))
        .collect();
    println!(
        "{:#}",
        json!({
            "first_ms": first_ms,
            "incident": {"bytes": incident_bytes, "us": us(incident), "commit_us": us(commit)},
            "sizes": sizes,
            "ripgrep": {"bytes": bytes, "ours_us": us(ours), "whole_us": ripgrep.map(|(w, _)| us(w)),
                "start_us": ripgrep.map(|(_, s)| us(s))},
        })
    );
}

/// The middle of so many runs.
fn median(runs: usize, mut work: impl FnMut()) -> Duration {
    let mut took: Vec<Duration> = (0..runs)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed()
        })
        .collect();
    took.sort();
    took[runs / 2]
}

/// A document as executors drop it: 4 KB, of which most is the output of what was run.
fn incident() -> String {
    let mut document: Value = serde_json::from_slice(&tests::incident::document("INC-1")).unwrap();
    let output = logs(3300);
    document["actions"][0]["stdout_excerpt"] = Value::from(output);
    serde_json::to_string_pretty(&document).unwrap()
}

/// Ordinary log lines, so many bytes.
fn logs(bytes: usize) -> String {
    let lines = benign(SEED);
    // Of different sources, not all of one first.
    let texts: Vec<&str> = (0..lines.len())
        .map(|n| lines[n * 613 % lines.len()].text.as_str())
        .collect();
    repeated(&texts, bytes)
}

/// The same with a secret or an identifier in each tenth line.
fn alarming(bytes: usize) -> String {
    let (lines, samples) = (benign(SEED), sensitive(SEED));
    let plain: Vec<_> = samples.iter().filter(|s| s.form == Form::Plain).collect();
    let texts: Vec<&str> = (0..lines.len())
        .map(|n| match n % 10 {
            0 => plain[n * 7 % plain.len()].text.as_str(),
            _ => lines[n * 613 % lines.len()].text.as_str(),
        })
        .collect();
    repeated(&texts, bytes)
}

/// What costs a careless screener most: labels without values, almost-values, endless runs, escapes upon escapes.
fn hostile(bytes: usize) -> String {
    let part = (bytes / 8).max(1);
    let mut text = String::with_capacity(bytes);
    for piece in [
        "password=",
        "1",
        "123-45-",
        "\\u0041",
        "%41",
        "a@",
        "QUFB",
        "secret: \n ",
    ] {
        repeat(&mut text, piece, part);
        text.push('\n');
    }
    text
}

fn repeat(text: &mut String, piece: &str, bytes: usize) {
    for _ in 0..bytes / piece.len() {
        text.push_str(piece);
    }
}

fn repeated(lines: &[&str], bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 512);
    for line in lines.iter().cycle() {
        if text.len() >= bytes {
            break;
        }
        let _ = writeln!(text, "{line}");
    }
    text
}

/// The middle of a hundred durable commits of one row each.
fn commits(folder: &Path, bytes: usize) -> Duration {
    let dir = tempfile::tempdir_in(folder).unwrap();
    let db = Connection::open(dir.path().join("commits.db")).unwrap();
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE row (bytes BLOB) STRICT;")
        .unwrap();
    let row = vec![b'x'; bytes];
    median(101, || {
        db.execute("INSERT INTO row VALUES (?1)", [&row]).unwrap();
    })
}

/// ripgrep over the text, and over nothing: the second is its start.
fn ripgrep(rg: &Path, screen: &Screen, text: &str) -> (Duration, Duration) {
    let dir = tempfile::tempdir().unwrap();
    let (patterns, file, empty) = (
        dir.path().join("patterns"),
        dir.path().join("text.log"),
        dir.path().join("empty.log"),
    );
    let all: String = screen
        .rules()
        .iter()
        .map(|rule| format!("{}\n", rule.pattern()))
        .collect();
    std::fs::write(&patterns, all).unwrap();
    std::fs::write(&file, text).unwrap();
    std::fs::write(&empty, "").unwrap();
    let search = |what: &Path| {
        median(3, || {
            let output = Command::new(rg)
                .args([
                    "--threads=1",
                    "--no-config",
                    "--no-unicode",
                    "--multiline",
                    "--only-matching",
                    "--byte-offset",
                ])
                .args(["--regex-size-limit=1G", "--dfa-size-limit=1G", "--file"])
                .args([&patterns, what])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().last().unwrap_or_default();
            assert!(
                matches!(output.status.code(), Some(0 | 1)),
                "ripgrep: {said}"
            );
        })
    };
    (search(&file), search(&empty))
}
