//! Campaigns that anyone can run again, for as long as they like; each prints its figures.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::{Parser, Subcommand};
use tests::campaign::{Campaign, Point, Survived};
use tests::clinic::Role;
use tests::disk::Cut;
use tests::faults::{Fault, Outcome};
use tests::network::figures::{self, Store};

/// Durability campaigns. Build the programs first: cargo build --workspace --bins
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    campaign: Which,
}

#[derive(Subcommand)]
enum Which {
    /// Kill either daemon at every system call that changes a file or a database, one kill a run.
    ///
    /// Needs strace. Every point, or a sample that the seed repeats.
    Crash {
        /// Only so many points, drawn at random; not given: every one.
        #[arg(long, value_name = "N")]
        sample: Option<usize>,
        /// Draws the same sample again.
        #[arg(long, value_name = "SEED")]
        seed: Option<u64>,
    },
    /// The same, and then the power is taken away: whatever was not synced is lost.
    ///
    /// Each point twice: once everything unsynced is lost, once some of it in any order, torn at
    /// sectors. Needs strace.
    Power {
        /// Only so many points, drawn at random; not given: every one.
        #[arg(long, value_name = "N")]
        sample: Option<usize>,
        /// Draws the same sample again, and loses the same.
        #[arg(long, value_name = "SEED")]
        seed: Option<u64>,
    },
    /// Let every system call of either daemon that changes or opens a file fail, one fault a run.
    ///
    /// No room at each, for one call and for some; a broken device, no quota or read only, in turn;
    /// no descriptor left at each that makes one. Needs strace.
    Faults {
        /// Only so many faults, drawn at random; not given: every one.
        #[arg(long, value_name = "N")]
        sample: Option<usize>,
        /// Draws the same sample again.
        #[arg(long, value_name = "SEED")]
        seed: Option<u64>,
        /// So many hosts at a time.
        #[arg(long, value_name = "N", default_value_t = 2)]
        jobs: usize,
    },
    /// Let very many deliveries wait for a store that is away, and measure the uploader.
    Backlog {
        /// So many deliveries.
        #[arg(long, value_name = "N", default_value_t = 1_000_000)]
        rows: u64,
    },
    /// Put server and network faults between running daemons and a store, one after the other.
    Network {
        /// The store; not given: both, if MSP_TEST_MINIO names the program.
        #[arg(long)]
        store: Option<Store>,
        /// Only faults whose name or kind contains this.
        #[arg(long, value_name = "WORDS")]
        only: Option<String>,
    },
}

/// By how much more an uploader may have in memory when very much waits.
const GROWTH_MAX_KB: u64 = 8_000;

fn main() -> ExitCode {
    match Arguments::parse().campaign {
        Which::Crash { sample, seed } => run("crashes", sample, seed, |campaign, point, _| {
            vec![campaign.crash_at(point)]
        }),
        Which::Power { sample, seed } => {
            run("power cuts", sample, seed, |campaign, point, seed| {
                [Cut::Everything, Cut::Some(seed)]
                    .map(|cut| campaign.power_cut_at(point, cut))
                    .into()
            })
        }
        Which::Faults { sample, seed, jobs } => faults(sample, seed, jobs),
        Which::Backlog { rows } => backlog(rows),
        Which::Network { store, only } => {
            if figures::run(store, only.as_deref().unwrap_or_default()) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn run(
    what: &str,
    sample: Option<usize>,
    seed: Option<u64>,
    strike: impl Fn(&Campaign, &Point, u64) -> Vec<Survived>,
) -> ExitCode {
    let campaign = Campaign::new("strace".into());
    let mut points = campaign.points();
    let all = points.len();
    println!("{} points of the agent", of(&points, Role::Agent));
    println!("{} points of the uploader", of(&points, Role::Uploader));
    let mut rng = draw(&mut points, sample, seed);
    let (mut survived, mut not_reached, mut failed) = (0, 0, 0);
    for (n, point) in points.iter().enumerate() {
        let chance = rng.u64(..);
        for result in strike(&campaign, point, chance) {
            match result {
                Survived::Crash => survived += 1,
                Survived::NotReached => not_reached += 1,
                Survived::No(problems) => {
                    failed += 1;
                    println!("NOT SURVIVED  {point:?}, chance {chance}: {problems:#?}");
                }
            }
        }
        if (n + 1) % 25 == 0 {
            println!("{} of {} points done", n + 1, points.len());
        }
    }
    println!(
        "crash points {all}, tried {}: {what} survived {survived}, not survived {failed}, \
         not reached this time {not_reached}",
        points.len()
    );
    if failed == 0 && survived > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn faults(sample: Option<usize>, seed: Option<u64>, jobs: usize) -> ExitCode {
    let mut faults = Campaign::new("strace".into()).faults();
    let all = faults.len();
    draw(&mut faults, sample, seed);
    println!("{all} faults, {} to be tried", faults.len());
    let next = AtomicUsize::new(0);
    let figures = Mutex::new(Figures::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                let campaign = Campaign::new("strace".into());
                while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = campaign.fault_at(fault);
                    let mut figures = figures.lock().unwrap_or_else(PoisonError::into_inner);
                    figures.count(fault, outcome);
                }
            });
        }
    });
    let figures = figures.into_inner().unwrap_or_else(PoisonError::into_inner);
    for ((role, word), n) in &figures.words {
        println!("{role:?} ended {n} times with: {word}");
    }
    println!(
        "faults {all}, tried {}: survived {} ({} of them with a restart), not survived {}, not \
         reached this time {}, no file there {}",
        faults.len(),
        figures.survived,
        figures.restarted,
        figures.failed,
        figures.not_reached,
        figures.no_file
    );
    for (error, n) in &figures.by_error {
        println!("  survived {error}: {n}");
    }
    if figures.failed == 0 && figures.survived > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn backlog(rows: u64) -> ExitCode {
    let figures = tests::backlog::measure(rows);
    println!(
        "{} deliveries wait: ready after {:.1?}, at work after {:.1?}, status took {:.1?}, at most {} kB \
         in memory ({} kB with nothing to do)",
        figures.pending,
        figures.ready_after,
        figures.at_work_after,
        figures.status_took,
        figures.peak_kb,
        figures.peak_idle_kb
    );
    if figures.peak_kb < figures.peak_idle_kb + GROWTH_MAX_KB {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[derive(Default)]
struct Figures {
    survived: usize,
    restarted: usize,
    failed: usize,
    not_reached: usize,
    no_file: usize,
    by_error: BTreeMap<&'static str, usize>,
    /// The last words of daemons that ended.
    words: BTreeMap<(Role, String), usize>,
}

impl Figures {
    fn count(&mut self, fault: &Fault, outcome: Outcome) {
        match outcome {
            Outcome::Survived(ends) => {
                self.survived += 1;
                self.restarted += usize::from(!ends.is_empty());
                *self.by_error.entry(fault.error).or_default() += 1;
                for word in ends {
                    *self.words.entry((fault.point.role, word)).or_default() += 1;
                }
            }
            Outcome::NotReached => self.not_reached += 1,
            Outcome::NoFile => self.no_file += 1,
            Outcome::No(problems) => {
                self.failed += 1;
                println!("NOT SURVIVED  {fault:?}: {problems:#?}");
            }
        }
        let done = self.survived + self.failed + self.not_reached + self.no_file;
        if done.is_multiple_of(50) {
            println!("{done} done");
        }
    }
}

fn draw<T>(all: &mut Vec<T>, sample: Option<usize>, seed: Option<u64>) -> fastrand::Rng {
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    if let Some(sample) = sample {
        rng.shuffle(all);
        all.truncate(sample);
    }
    rng
}

fn of(points: &[Point], role: Role) -> usize {
    points.iter().filter(|point| point.role == role).count()
}
