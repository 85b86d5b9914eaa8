//! Random sequences against the model of the pipeline, for as long as one likes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use tests::interpose::Machine;
use tests::model::{Figures, World, sequences};

/// Drops, deaths at any system call, server faults, clock jumps and full disks in random order, all in
/// this process; after each sequence everything that was dropped must be in the bucket once, locked.
#[derive(Parser)]
struct Arguments {
    /// Stop after so many sequences.
    #[arg(long, value_name = "N", default_value_t = 200)]
    sequences: u64,
    /// Or after so many minutes.
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<u64>,
    /// The first sequence's seed; each next one is one more.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Go on where the last run with this file ended, and add to its figures.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Sum {
    next_seed: u64,
    system_calls: u64,
    figures: Figures,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut sum = arguments
        .resume
        .as_ref()
        .and_then(|file| std::fs::read(file).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or(Sum {
            next_seed: arguments.seed,
            ..Sum::default()
        });
    let world = World::new();
    let began = Instant::now();
    let limit = arguments.minutes.map(|n| Duration::from_secs(60 * n));
    let mut done = 0;
    while done < arguments.sequences && limit.is_none_or(|limit| began.elapsed() < limit) {
        let calls = Machine::calls();
        if let Err(why) = one(&world, sum.next_seed, &mut sum.figures) {
            println!("seed {}: {why}", sum.next_seed);
            println!("lost, doubled or falsely confirmed: see above");
            return ExitCode::FAILURE;
        }
        sum.next_seed += 1;
        sum.system_calls += Machine::calls() - calls;
        done += 1;
        if let Some(file) = &arguments.resume
            && let Ok(text) = serde_json::to_vec_pretty(&sum)
            && let Err(error) = std::fs::write(file, text)
        {
            println!("{}: {error}", file.display());
            return ExitCode::FAILURE;
        }
        if done % 100 == 0 {
            println!("{done} sequences, {} s", began.elapsed().as_secs());
        }
    }
    let f = sum.figures;
    println!(
        "sequences {}, steps {}, deaths in process {} (kills {}, power cuts {}), server faults {}, \
         clock jumps {}, full disks {}, system calls that change files {}, bundles judged {}: lost 0, \
         doubled 0, falsely confirmed 0",
        f.sequences,
        f.steps,
        f.kills + f.power_cuts,
        f.kills,
        f.power_cuts,
        f.server_faults,
        f.clock_jumps,
        f.full_disks,
        sum.system_calls,
        f.bundles
    );
    ExitCode::SUCCESS
}

/// One sequence, made smaller if it fails.
fn one(world: &World, seed: u64, figures: &mut Figures) -> Result<(), String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config {
        cases: 1,
        max_shrink_iters: 300,
        failure_persistence: None,
        ..Config::default()
    };
    let figures = std::cell::RefCell::new(figures);
    let result = TestRunner::new_with_rng(config, rng).run(&sequences(70), |steps| {
        world
            .run(&steps, &mut figures.borrow_mut())
            .map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, steps)) => Err(format!("{reason}\nafter {steps:#?}")),
        Err(TestError::Abort(reason)) => Err(reason.to_string()),
    }
}
