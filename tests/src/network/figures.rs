//! The campaign as a command: a line for each fault, and figures at the end.

use clap::ValueEnum;

use super::Network;
use crate::servers::{Kind, Server};

/// Which store the faults are put before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Store {
    /// Our own, with faults of its own.
    Sandbox,
    /// A real MinIO, which `MSP_TEST_MINIO` names.
    Minio,
}

/// Runs every case whose kind and name contain `only`, on one store or on both; prints each in a
/// line, and the figures of all. Whether everything was as it must be.
#[must_use]
pub fn run(store: Option<Store>, only: &str) -> bool {
    let mut sum = Sum::default();
    if store != Some(Store::Minio) {
        sum.run("sandbox", &mut Network::new(None), only);
    }
    if store != Some(Store::Sandbox) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let server = runtime.block_on(Server::start(Kind::Minio, "campaign network"));
        match &server {
            Some(server) => sum.run("MinIO", &mut Network::new(Some(server)), only),
            None if store.is_some() => return false,
            None => println!("MinIO is not tried: MSP_TEST_MINIO names no program"),
        }
    }
    println!(
        "faults injected {} ({} strikes), recovered {} ({} of them after an operator's answer), \
         not recovered {}, not run {}; lost {}, doubled {}, falsely confirmed {}, \
         other findings {}",
        sum.faults,
        sum.strikes,
        sum.recovered,
        sum.by_operator,
        sum.faults - sum.recovered,
        sum.not_run,
        sum.lost,
        sum.doubled,
        sum.falsely_confirmed,
        sum.other
    );
    sum.faults > 0 && sum.bad == 0
}

#[derive(Default)]
struct Sum {
    faults: usize,
    strikes: u64,
    recovered: usize,
    by_operator: usize,
    not_run: usize,
    lost: usize,
    doubled: usize,
    falsely_confirmed: usize,
    other: usize,
    bad: usize,
}

impl Sum {
    fn run(&mut self, store: &str, network: &mut Network<'_>, only: &str) {
        for case in network.cases() {
            let name = format!("{}: {}", case.kind, case.fault);
            if !name.contains(only) {
                continue;
            }
            if let Some(why) = network.cannot_run(&case) {
                self.not_run += 1;
                println!("NOT RUN  {store} | {name} | {why}");
                continue;
            }
            let report = network.run(&case);
            self.faults += 1;
            self.strikes += report.struck;
            let how = match (report.recovered, case.needs_operator()) {
                (None, _) => "NOT RECOVERED".to_owned(),
                (Some(after), false) => format!("recovered in {:.1} s", after.as_secs_f64()),
                (Some(_), true) => "recovered once an operator answered".to_owned(),
            };
            self.recovered += usize::from(report.recovered.is_some());
            self.by_operator += usize::from(report.recovered.is_some() && case.needs_operator());
            println!(
                "{store} | {name} | {} | {} | {how}",
                report.did, report.status
            );
            let found = &report.verdict;
            self.lost += found.lost.len();
            self.doubled += found.doubled.len();
            self.falsely_confirmed += found.falsely_confirmed.len();
            self.other += found.other.len();
            if !report.is_good() {
                self.bad += 1;
                println!(
                    "    NOT AS IT SHOULD BE, struck {}: {found:#?}",
                    report.struck
                );
            }
        }
    }
}
