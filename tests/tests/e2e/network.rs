//! A sample of the network campaign, one fault of each kind; `cargo run -p tests --bin campaign --
//! network` has every one.

use std::collections::BTreeMap;

use tests::network::{Case, Network};
use tests::servers::{Kind, Server};
use tests::tools::{skip, workspace_root};

/// One of each kind, drawn by the seed. Those of large objects are left to the campaign.
fn sample(network: &Network<'_>, rng: &mut fastrand::Rng) -> Vec<Case> {
    let mut by_kind: BTreeMap<&str, Vec<Case>> = BTreeMap::new();
    for case in network.cases().into_iter().filter(|c| !c.is_large()) {
        by_kind.entry(case.kind).or_default().push(case);
    }
    let draw = |mut cases: Vec<Case>| cases.swap_remove(rng.usize(..cases.len()));
    by_kind.into_values().map(draw).collect()
}

fn rng() -> (u64, fastrand::Rng) {
    let seed = std::env::var("MSP_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    eprintln!("MSP_TEST_SEED={seed}");
    (seed, fastrand::Rng::with_seed(seed))
}

fn run(network: &mut Network<'_>, cases: &[Case], seed: u64, test: &str) {
    for case in cases {
        if let Some(why) = network.cannot_run(case) {
            skip(test, why);
            continue;
        }
        let report = network.run(case);
        let name = format!("{}: {}", case.kind, case.fault);
        assert!(report.is_good(), "seed {seed}, {name}: {report:#?}");
    }
}

#[test]
fn whatever_network_or_store_do_nothing_is_lost_doubled_or_falsely_confirmed() {
    let (seed, mut rng) = rng();
    let mut network = Network::new(None);
    let cases = sample(&network, &mut rng);
    assert!(cases.len() > 9, "only {} kinds", cases.len());
    let test = "whatever_network_or_store_do_nothing_is_lost_doubled_or_falsely_confirmed";
    run(&mut network, &cases, seed, test);
}

#[test]
fn the_same_holds_on_minio() {
    let test = "the_same_holds_on_minio";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(server) = runtime.block_on(Server::start(Kind::Minio, test)) else {
        return;
    };
    let (seed, mut rng) = rng();
    let mut network = Network::new(Some(&server));
    let mut cases = sample(&network, &mut rng);
    rng.shuffle(&mut cases);
    cases.truncate(3);
    run(&mut network, &cases, seed, test);
}

#[test]
fn the_documents_have_a_row_for_each_fault() {
    let text = std::fs::read_to_string(workspace_root().join("docs/durability.md")).unwrap();
    for is_sandbox in [true, false] {
        for case in tests::network::matrix::cases(is_sandbox) {
            let row = format!("| {}: {} |", case.kind, case.fault);
            assert!(text.contains(&row), "no row {row}");
        }
    }
}
