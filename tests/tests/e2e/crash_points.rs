//! Samples of the crash and power-cut campaigns; `cargo run -p tests --bin campaign -- crash` and
//! `-- power` have every point.

use tests::campaign::{Campaign, Point, Survived};
use tests::disk::Cut;
use tests::tools::{self, Tool};

/// Each takes about a second.
const SAMPLE: usize = 12;

/// Strikes a sample of points; every one must be survived, and most be reached.
fn sample(test: &str, size: usize, strike: impl Fn(&Campaign, &Point, u64) -> Survived) {
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
    let mut rng = fastrand::Rng::with_seed(seed);
    rng.shuffle(&mut points);
    let mut survived = 0;
    for point in &points[..size] {
        let chance = rng.u64(..);
        match strike(&campaign, point, chance) {
            Survived::Crash => survived += 1,
            Survived::NotReached => {}
            Survived::No(problems) => {
                panic!("seed {seed}, {point:?}, chance {chance}: {problems:#?}")
            }
        }
    }
    assert!(
        survived > size / 2,
        "only {survived} of {size} were reached"
    );
}

#[test]
fn a_kill_at_any_system_call_that_changes_a_file_loses_nothing_and_doubles_nothing() {
    sample(
        "a_kill_at_any_system_call_that_changes_a_file_loses_nothing_and_doubles_nothing",
        SAMPLE,
        |campaign, point, _| campaign.crash_at(point),
    );
}

#[test]
fn a_power_cut_at_any_system_call_loses_nothing_and_doubles_nothing() {
    sample(
        "a_power_cut_at_any_system_call_loses_nothing_and_doubles_nothing",
        SAMPLE,
        |campaign, point, chance| {
            let cut = if chance % 2 == 0 {
                Cut::Everything
            } else {
                Cut::Some(chance)
            };
            campaign.power_cut_at(point, cut)
        },
    );
}
