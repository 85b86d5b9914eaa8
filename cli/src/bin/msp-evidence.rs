//! `msp-evidence`: the command for MSP engineers and auditors.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
