//! `cargo run --release -p sandbox`: the whole job in a box, with nothing to install.

mod demo;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Runs the whole job on an S3 Object Lock endpoint embedded in this process.
///
/// Builds the three programs, makes keys, starts agent and uploader as processes of their own,
/// lets a sample executor drop synthetic incidents (a success, a partial failure, a failure, a
/// malformed one, a duplicate), shows each on its way, then verifies every bundle, proves that the
/// store refuses to delete, overwrite and shorten, and says where everything lies.
///
/// Exit codes: 0 all of it is true, 1 something is not, 2 usage.
#[derive(Parser)]
#[command(name = "sandbox", version)]
struct Arguments {
    /// How many incidents the sample executor drops, besides one malformed and one duplicate.
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    incidents: u32,
    /// Where everything lies; a new folder below the system's temporary folder when absent. A
    /// folder of an earlier run goes on where that ended.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Leave endpoint and daemons running until Ctrl-C, to try things out.
    #[arg(long)]
    keep_running: bool,
    /// Print the result as JSON on standard output; progress goes to standard error.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sandbox: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let options = demo::Options {
        incidents: arguments.incidents,
        dir: arguments.dir,
        keep_running: arguments.keep_running,
        json: arguments.json,
    };
    match runtime.block_on(demo::run(options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sandbox: {error:#}");
            ExitCode::FAILURE
        }
    }
}
