//! Custody: when it is sealed, what it names, and that nothing is named twice or never.

use evidence::bundle::Kind;
use evidence::custody::{Covers, Custody, CustodyCause};

use crate::clinic::{Clinic, honest_receipt};

const HOUR: u32 = 3600;

/// Every custody statement, each proven to agree with itself.
fn statements(clinic: &Clinic) -> Vec<Custody> {
    clinic
        .bundles()
        .iter()
        .filter(|bundle| bundle.header().kind == Kind::Custody)
        .map(|bundle| Custody::read(bundle).unwrap())
        .collect()
}

fn causes(clinic: &Clinic) -> Vec<CustodyCause> {
    statements(clinic).iter().map(|c| c.because).collect()
}

fn covers(custody: &Custody) -> Option<(u64, u64)> {
    let Covers {
        from_sequence,
        to_sequence,
    } = custody.covers?;
    Some((from_sequence, to_sequence))
}

fn confirm_all(clinic: &Clinic) {
    for (n, order) in clinic.orders().iter().enumerate() {
        let receipt = honest_receipt(order);
        clinic.receipt(&format!("{n}.receipt.json"), &receipt.to_bytes());
    }
}

#[test]
fn every_interval_has_its_custody_also_when_nothing_happened() {
    let clinic = Clinic::new();
    let mut agent = clinic.agent();
    assert_eq!(agent.pass().unwrap().custody, 0);
    clinic.wait(HOUR - 1);
    assert_eq!(agent.custody_due_in().as_secs(), 1);
    assert_eq!(agent.pass().unwrap().custody, 0, "a fresh host waits");
    clinic.wait(1);
    assert_eq!(agent.pass().unwrap().custody, 1);
    clinic.drop_incident("INC-1");
    assert_eq!(agent.pass().unwrap().custody, 0);
    clinic.wait(HOUR);
    agent.pass().unwrap();
    clinic.wait(HOUR);
    agent.pass().unwrap();
    let said = statements(&clinic);
    let covered: Vec<_> = said.iter().map(covers).collect();
    assert_eq!(covered, [None, Some((1, 2)), Some((3, 3))]);
    assert_eq!(causes(&clinic), [CustodyCause::Interval; 3]);
    let index = said[1].sealed[1].incident.as_ref().unwrap();
    assert_eq!(index.incident_id, "INC-1");
    assert_eq!((said[1].totals.incidents, said[1].totals.custody), (1, 1));
    assert_eq!(said[2].previous_custody.as_ref().unwrap().sequence, 3);
    assert_eq!(
        said[1].agent.key_ids,
        [clinic.public.key_id()],
        "and by whom"
    );
}

#[test]
fn a_stop_seals_custody_and_a_start_only_when_the_interval_is_over() {
    let clinic = Clinic::new();
    clinic.drop_incident("INC-1");
    let mut agent = clinic.agent();
    agent.pass().unwrap();
    agent.stop().unwrap();
    drop(agent);
    assert_eq!(causes(&clinic), [CustodyCause::Stop]);
    clinic.wait(HOUR / 2);
    let mut agent = clinic.agent();
    agent.pass().unwrap();
    assert_eq!(causes(&clinic).len(), 1, "half an hour later it is not due");
    clinic.wait(HOUR / 2);
    agent.pass().unwrap();
    assert_eq!(causes(&clinic)[1], CustodyCause::Interval);
    // Killed, and down for longer than an interval.
    drop(agent);
    clinic.wait(3 * HOUR);
    let mut agent = clinic.agent();
    agent.pass().unwrap();
    agent.pass().unwrap();
    assert_eq!(causes(&clinic)[2..], [CustodyCause::Start]);
}

#[test]
fn a_host_that_never_had_custody_makes_up_for_it_at_the_start() {
    let clinic = Clinic::new();
    clinic.drop_incident("INC-1");
    clinic.agent().pass().unwrap();
    clinic.wait(HOUR);
    clinic.agent().pass().unwrap();
    assert_eq!(causes(&clinic), [CustodyCause::Start]);
}

#[test]
fn a_fresh_host_that_is_stopped_says_so_in_its_first_bundle() {
    let clinic = Clinic::new();
    clinic.agent().stop().unwrap();
    let said = statements(&clinic);
    assert_eq!(
        (covers(&said[0]), said[0].because),
        (None, CustodyCause::Stop)
    );
}

#[test]
fn a_thousand_confirmed_incidents_do_not_wait_for_the_hour() {
    let clinic = Clinic::new();
    let mut agent = clinic.agent();
    for n in 0..1000 {
        clinic.drop_incident(&format!("INC-{n}"));
    }
    while agent.pass().unwrap().sealed > 0 {}
    confirm_all(&clinic);
    let mut custody = 0;
    loop {
        let pass = agent.pass().unwrap();
        custody += pass.custody;
        if !pass.did_something() {
            break;
        }
    }
    assert_eq!(custody, 1);
    let said = statements(&clinic);
    assert_eq!(said[0].because, CustodyCause::Load);
    assert_eq!(covers(&said[0]), Some((1, 1000)));
    assert_eq!(said[0].confirmed.len(), 2000);
    assert_eq!(said[0].totals.unconfirmed_objects, 0);
    // Its own confirmation is named by the next one and makes none by itself.
    confirm_all(&clinic);
    assert_eq!(agent.pass().unwrap().custody, 0);
    clinic.wait(HOUR);
    agent.pass().unwrap();
    let next = &statements(&clinic)[1];
    assert_eq!(next.confirmed.len(), 2);
    assert!(next.confirmed.iter().all(|entry| entry.sequence == 1001));
}

#[test]
fn what_was_confirmed_refused_or_came_again_is_named_once_whatever_is_killed() {
    let clinic = Clinic::new();
    clinic.drop_incident("INC-1");
    clinic.drop_bytes("a-patients-name.json", b"{");
    clinic.agent().pass().unwrap();
    clinic.drop_bytes("again.json", &crate::clinic::incident("INC-1"));
    clinic.agent().pass().unwrap();
    confirm_all(&clinic);
    clinic.agent().pass().unwrap();
    // None of these agents was stopped in good order.
    clinic.wait(HOUR);
    clinic.agent().pass().unwrap();
    clinic.wait(HOUR);
    clinic.agent().pass().unwrap();
    let said = statements(&clinic);
    let [first, second] = said.as_slice() else {
        panic!("{} statements", said.len())
    };
    assert_eq!(first.confirmed.len(), 2);
    assert_eq!(first.quarantined[0].reason, "truncated");
    assert!(first.quarantined[0].hmac_sha256.is_some());
    assert_eq!(first.duplicates[0].count, 1);
    assert_eq!(first.destinations[0].destination_id, "main");
    assert!(
        second.confirmed.is_empty(),
        "custody itself is not confirmed"
    );
    assert!(second.quarantined.is_empty() && second.duplicates.is_empty());
    for bundle in clinic.bundles() {
        let text = bundle.document().to_string();
        assert!(!text.contains("a-patients-name"), "names stay on the host");
    }
}

#[test]
fn a_date_that_is_set_is_said_and_neither_makes_custody_nor_prevents_it() {
    let clinic = Clinic::new();
    let mut agent = clinic.agent();
    agent.pass().unwrap();
    clinic.set_clock("2027-11-21T10:00:00Z");
    assert_eq!(agent.pass().unwrap().custody, 0);
    clinic.set_clock("2026-11-21T08:00:00Z");
    assert_eq!(agent.pass().unwrap().custody, 0);
    clinic.wait(HOUR);
    assert_eq!(agent.pass().unwrap().custody, 1);
    let events = statements(&clinic).remove(0).clock_events;
    let jumps: Vec<i64> = events.iter().map(|event| event.jumped_ms).collect();
    let year = 365 * 86_400_000;
    assert_eq!(jumps, [year, -year - 7_200_000]);
    clinic.wait(HOUR);
    agent.pass().unwrap();
    assert!(statements(&clinic)[1].clock_events.is_empty());
}

#[test]
fn while_nothing_can_be_sealed_there_is_no_custody_and_then_it_catches_up() {
    let mut clinic = Clinic::new();
    clinic.drop_incident("INC-1");
    clinic.agent().pass().unwrap();
    clinic.min_free_bytes = 1 << 50;
    clinic.wait(HOUR);
    let mut agent = clinic.agent();
    for _ in 0..3 {
        assert!(agent.pass().unwrap_err().is_disk_full());
        clinic.wait(HOUR);
    }
    agent.stop().unwrap();
    drop(agent);
    assert!(statements(&clinic).is_empty());
    clinic.min_free_bytes = 1 << 20;
    let mut agent = clinic.agent();
    assert_eq!(agent.pass().unwrap().custody, 1);
    assert_eq!(agent.pass().unwrap().custody, 0, "one, not three");
    let said = statements(&clinic);
    assert_eq!(covers(&said[0]), Some((1, 1)));
}
