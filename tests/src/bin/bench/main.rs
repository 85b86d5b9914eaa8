//! Benchmarks: what our programs need, beside what people would use otherwise, in one run.
//!
//! Machines are shared and noisy, so the ratios are what counts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use nix::sys::resource::{UsageWho, getrusage};

mod audit;
mod capacity;
mod fleet;
mod screening;
mod seal;
mod table;

use table::{Line, Target};

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
    /// What evidence costs: disk, requests and storage for incidents, and for a host where nothing
    /// happens.
    ///
    /// Runs both daemons against the sandbox's store, seals incidents, then waits while nothing happens.
    /// Needs the daemons and `msp-evidence` beside this program.
    Capacity(capacity::Options),
    /// Seal a backlog, and one drop at a time: beside a program that does only the unavoidable, cosign, and
    /// one commit of SQLite.
    ///
    /// Needs the agent and `msp-evidence` beside this program, and cosign in MSP_TEST_COSIGN.
    Seal(seal::Options),
    /// Thousands of hosts that come back to one bucket after an outage, in simulated time, by the uploader's
    /// own limits, backoff and breaker; and without the jitter, and without the breaker.
    Fleet(fleet::Options),
    /// How large the programs are.
    Size {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// What screening costs: beside a durable commit, over sizes, and beside ripgrep with the same patterns.
    ///
    /// ripgrep is the one in MSP_TEST_RIPGREP.
    Screening(screening::Options),
}

fn main() -> ExitCode {
    match Arguments::parse().which {
        Which::Audit {
            bundles,
            sample,
            json,
        } => audit(bundles, sample, json),
        Which::Capacity(options) => capacity::run(&options),
        Which::Fleet(options) => fleet::run(&options),
        Which::Size { json } => table::print(&sizes(), json),
        Which::Seal(options) => table::print(&seal::run(&options), options.json),
        Which::Screening(options) => screening::run(&options),
    }
    ExitCode::SUCCESS
}

fn audit(bundles: usize, sample: usize, json: bool) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let rows = audit::audit(&runtime, bundles, sample);
    if json {
        let rows: Vec<_> = rows.iter().map(Row::to_json).collect();
        println!("{:#}", serde_json::Value::from(rows));
        return;
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

/// The CPU time used so far, of user and system.
fn cpu(who: UsageWho) -> Duration {
    let usage = getrusage(who).unwrap();
    let (user, system) = (usage.user_time(), usage.system_time());
    let micros = (user.tv_sec() + system.tv_sec()) * 1_000_000;
    Duration::from_micros(u64::try_from(micros + user.tv_usec() + system.tv_usec()).unwrap_or(0))
}

/// Runs `work`, which waits for the processes that it starts, and measures these.
fn measured(
    what: &'static str,
    bundles: usize,
    work: impl FnOnce() -> (Option<i32>, Option<u64>),
) -> Row {
    let cpu = || cpu(UsageWho::RUSAGE_CHILDREN);
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

/// The most that a process has had resident so far (proc_pid_status(5), VmHWM).
fn resident_kb(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn sizes() -> Vec<Line> {
    [
        ("msp-evidence-agent", 9.0),
        ("msp-evidence-uploader", 9.0),
        ("msp-evidence", 12.0),
    ]
    .map(|(name, most_mb)| Line {
        what: format!("size of {name}"),
        unit: "MB",
        ours: std::fs::metadata(beside(name)).unwrap().len() as f64 / 1e6,
        peer: None,
        target: Target::AtMost(most_mb),
    })
    .into()
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
