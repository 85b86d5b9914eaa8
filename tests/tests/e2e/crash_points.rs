//! A sample of the crash campaign; `cargo run -p tests --bin campaign -- crash` has every point.

use tests::campaign::{Campaign, Survived};
use tests::tools::{self, Tool};

/// Each takes about a second.
const SAMPLE: usize = 16;

#[test]
fn a_kill_at_any_system_call_that_changes_a_file_loses_nothing_and_doubles_nothing() {
    let test = "a_kill_at_any_system_call_that_changes_a_file_loses_nothing_and_doubles_nothing";
    let Some(strace) = tools::find(Tool::Strace, test) else {
        return;
    };
    let seed = std::env::var("MSP_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    eprintln!("MSP_TEST_SEED={seed}");
    let campaign = Campaign::new(strace);
    let mut points = campaign.points();
    assert!(points.len() > 400, "only {} points", points.len());
    fastrand::Rng::with_seed(seed).shuffle(&mut points);
    let mut crashes = 0;
    for point in &points[..SAMPLE] {
        match campaign.crash_at(point) {
            Survived::Crash => crashes += 1,
            Survived::NotReached => {}
            Survived::No(problems) => panic!("seed {seed}, {point:?}: {problems:#?}"),
        }
    }
    assert!(
        crashes > SAMPLE / 2,
        "only {crashes} of {SAMPLE} were reached"
    );
}
