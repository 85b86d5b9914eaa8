//! A long outage: what waited is drained in order of age, without a herd, locked for the full time,
//! and what happens now does not wait until all of it is through.
//!
//! `MSP_TEST_OUTAGE_BUNDLES=100000` with `--release` and `--nocapture` is the week of a busy host.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use sandbox::{Action, Fault};

use crate::clinic::{Clinic, RETENTION_DAYS};

const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Bundles of one group commit.
const GROUP: u64 = 50;

#[tokio::test]
async fn after_a_week_offline_all_is_drained_in_order_of_age_and_the_newest_is_not_starved() {
    let bundles: u64 = std::env::var("MSP_TEST_OUTAGE_BUNDLES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1500);
    let mut clinic = Clinic::new().await;
    let outage = clinic
        .sandbox
        .faults()
        .add(Fault::always(Action::DropBeforeCommit));
    for _ in 0..bundles / GROUP {
        clinic.seal(GROUP);
    }
    let running = clinic.start().await;
    for tenth in 1..=10 {
        clinic
            .until_primary("the orders to be imported", |d| {
                d.counts.pending >= 2 * bundles * tenth / 10 && d.state == "open"
            })
            .await;
    }
    // While the store is away, one request at a time asks whether it is back.
    let asked = clinic.sandbox.faults().struck(outage);
    assert!(
        asked < bundles / 10 + 200,
        "{asked} requests into the outage"
    );
    // The week passes for the store, whose clock decides how long is locked.
    clinic.sandbox.clock().set_offset_secs(WEEK.as_secs());
    clinic.sandbox.log().clear();
    let newest = clinic.seal(1).remove(0);
    let back = Timestamp::now() + WEEK;
    assert!(clinic.sandbox.faults().remove(outage));
    let steps = bundles.div_ceil(500).max(10);
    for step in 1..=steps {
        clinic
            .until_primary("the backlog to be drained", |d| {
                d.counts.confirmed >= 2 * bundles * step / steps
            })
            .await;
    }
    clinic.until_confirmed(2 * bundles + 2).await;
    running.stop().await;

    let mut first_put: HashMap<String, usize> = HashMap::new();
    let mut order = Vec::new();
    for request in clinic.sandbox.log().requests() {
        if request.operation == "PutObject"
            && let Some(key) = request.key
            && key.ends_with(".json")
        {
            let at = order.len();
            if *first_put.entry(key.clone()).or_insert(at) == at {
                order.push(key);
            }
        }
    }
    // The request log keeps the last ones only; of those the order is judged.
    let age = |key: &str| -> u64 {
        let number = key.rsplit('-').next().unwrap().trim_end_matches(".json");
        number.parse().unwrap()
    };
    let newest_at = order.iter().position(|key| *key == newest.key(1));
    let out_of_order = order
        .windows(2)
        .filter(|pair| age(&pair[0]) > age(&pair[1]) + 200)
        .count();
    println!(
        "{bundles} bundles: {asked} requests during the outage; the newest was stored as number \
         {newest_at:?} of the last {}; steps back by more than 200 places: {out_of_order}",
        order.len()
    );
    if (order.len() as u64) > bundles {
        assert!(
            newest_at.unwrap() < 200,
            "the newest waited for {newest_at:?}"
        );
    }
    // Only the newest that pass the queue step out of the order of age.
    assert!(
        out_of_order * 4 < order.len(),
        "{out_of_order} of {}",
        order.len()
    );

    let mut judged = 0;
    for receipt in clinic.receipts() {
        for confirmation in receipt.confirmations {
            let until = confirmation.retain_until;
            let days = SignedDuration::from_hours(24 * i64::from(RETENTION_DAYS));
            assert!(
                until >= back + days,
                "{until} is too early for {}",
                confirmation.path
            );
            judged += 1;
        }
    }
    assert_eq!(judged, 2 * bundles + 2);
    let versions = clinic.versions(&newest.key(1));
    assert_eq!(versions.len(), 1);
}
