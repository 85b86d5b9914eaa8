//! Campaigns that anyone can run again, for as long as they like; each prints its figures.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tests::campaign::{Campaign, Point, Survived};
use tests::clinic::Role;

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
}

fn main() -> ExitCode {
    let Which::Crash { sample, seed } = Arguments::parse().campaign;
    let campaign = Campaign::new("strace".into());
    let mut points = campaign.points();
    let all = points.len();
    println!("{} points of the agent", of(&points, Role::Agent));
    println!("{} points of the uploader", of(&points, Role::Uploader));
    if let Some(sample) = sample {
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        println!("seed {seed}");
        fastrand::Rng::with_seed(seed).shuffle(&mut points);
        points.truncate(sample);
    }
    let (mut crashes, mut not_reached, mut failed) = (0, 0, 0);
    for (n, point) in points.iter().enumerate() {
        match campaign.crash_at(point) {
            Survived::Crash => crashes += 1,
            Survived::NotReached => not_reached += 1,
            Survived::No(problems) => {
                failed += 1;
                println!("NOT SURVIVED  {point:?}: {problems:#?}");
            }
        }
        if (n + 1) % 25 == 0 {
            println!("{} of {} points done", n + 1, points.len());
        }
    }
    println!(
        "crash points {all}, tried {}: crashes survived {crashes}, not survived {failed}, \
         not reached this time {not_reached}",
        points.len()
    );
    if failed == 0 && crashes > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn of(points: &[Point], role: Role) -> usize {
    points.iter().filter(|point| point.role == role).count()
}
