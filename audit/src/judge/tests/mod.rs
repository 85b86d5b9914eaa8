//! Judges on evidence that lies on a shelf: what no kit of the whole program shows, and what each
//! judge does where something could not be looked at.

mod records;

use std::collections::BTreeSet;

use destination::Lock;
use evidence::bundle::{Began, ChainPosition, ChainStart, Missing, Reseals};
use evidence::custody::{ClockEvent, CustodyCause};
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::collect::testing::read_shelf;
use crate::finding::{Finding, Level};
use crate::keyring::PinnedKey;
use crate::ledger::Origin;
use crate::testing::{Host, Shelf, key, other_key, third_key};

fn ledger() -> Ledger {
    let origin = Origin {
        source: "s3://bucket/".to_owned(),
        keyring: String::new(),
        scope: String::new(),
    };
    Ledger::open(None, &origin).unwrap()
}

fn trusting(keys: &[&evidence::keys::PrivateKey]) -> Keyring {
    Keyring::of(keys.iter().map(|key| PinnedKey::new(key.public().clone())))
}

fn by_default() -> Judging {
    Judging {
        bucket_uri: Some("s3://bucket/".to_owned()),
        ..Judging::default()
    }
}

struct Said {
    ledger: Ledger,
    verdict: Verdict,
    findings: Vec<Finding>,
}

impl Said {
    fn of(&self, level: Level) -> BTreeSet<String> {
        let of = self.findings.iter().filter(|f| f.level == level);
        of.map(|f| format!("{}/{}", f.check.as_str(), f.code))
            .collect()
    }

    #[track_caller]
    fn is(&self, verdict: Verdict, failed: &[&str], unchecked: &[&str]) {
        let set = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
        assert_eq!(self.of(Level::Failed), set(failed), "{:#?}", self.findings);
        let found = self.of(Level::CouldNotCheck);
        assert_eq!(found, set(unchecked), "{:#?}", self.findings);
        assert_eq!(self.verdict, verdict, "{:#?}", self.findings);
    }

    #[track_caller]
    fn passes_with(&self, note: &str) {
        self.is(Verdict::Passed, &[], &[]);
        assert!(self.of(Level::Note).contains(note), "{:#?}", self.findings);
    }

    fn message(&self, code: &str) -> String {
        let of = self.findings.iter().find(|f| f.code.as_str() == code);
        of.unwrap_or_else(|| panic!("{code}: {:#?}", self.findings))
            .message
            .clone()
    }
}

fn judged_by(shelf: &Shelf, keyring: &Keyring, judging: &Judging) -> Said {
    let ledger = ledger();
    read_shelf(&ledger, shelf, keyring, true);
    said(ledger, keyring, judging)
}

fn said(ledger: Ledger, keyring: &Keyring, judging: &Judging) -> Said {
    let verdict = judge(&ledger, keyring, judging).unwrap();
    let mut findings = Vec::new();
    for check in Check::ALL {
        for level in [Level::Failed, Level::CouldNotCheck, Level::Note] {
            ledger
                .findings(check, level, |finding| {
                    findings.push(finding);
                    true
                })
                .unwrap();
        }
    }
    Said {
        ledger,
        verdict,
        findings,
    }
}

fn judged(shelf: &Shelf) -> Said {
    judged_by(shelf, &trusting(&[key()]), &by_default())
}

/// Two probes, custody, a probe, custody.
fn good() -> (Host, Shelf) {
    let (mut host, mut shelf) = (Host::new("h", key()), Shelf::default());
    host.probe(&mut shelf);
    host.probe(&mut shelf);
    host.custody(&mut shelf);
    host.probe(&mut shelf);
    host.custody(&mut shelf);
    (host, shelf)
}

fn began(because: ChainStart) -> Option<Began> {
    Some(Began {
        because,
        missing: Vec::new(),
    })
}

#[test]
fn good_evidence_passes_and_its_open_tail_is_named() {
    let (_, shelf) = good();
    let said = judged(&shelf);
    said.passes_with("custody/open_tail");
    for check in Check::ALL {
        let tally = said.ledger.tally(check).unwrap();
        assert_eq!(tally.passed, tally.total(), "{check:?}");
    }
    let places = said.ledger.tally(Check::Chain).unwrap();
    assert_eq!(places.total(), 5);
    assert_eq!(said.ledger.tally(Check::Custody).unwrap().total(), 4);
    assert_eq!(said.ledger.tally(Check::Sealed).unwrap().total(), 4);
    assert_eq!(said.ledger.tally(Check::Confirmed).unwrap().total(), 8);
}

#[test]
fn what_is_judged_again_is_judged_the_same() {
    let (_, mut shelf) = good();
    shelf.laid.remove(3);
    let first = judged(&shelf);
    let before = first.findings.clone();
    let again = said(first.ledger, &trusting(&[key()]), &by_default());
    assert_eq!(again.findings, before);
}

#[test]
fn what_was_not_listed_to_the_end_is_never_missing_but_unchecked() {
    let (_, mut shelf) = good();
    shelf.remove("0002");
    judged(&shelf).is(
        Verdict::Failed,
        &[
            "chain/gap",
            "confirmed/confirmed_missing",
            "sealed/sealed_missing",
        ],
        &[],
    );
    let (ledger, ring) = (ledger(), trusting(&[key()]));
    read_shelf(&ledger, &shelf, &ring, false);
    said(ledger, &ring, &by_default()).is(
        Verdict::CouldNotCheck,
        &[],
        &[
            "chain/gap",
            "confirmed/confirmed_missing",
            "sealed/sealed_missing",
            "source/not_listed",
        ],
    );
}

#[test]
fn what_could_not_be_read_is_unchecked_in_everything_that_rests_on_it() {
    let (_, mut shelf) = good();
    for laid in shelf.of("0002.json") {
        laid.facts = Err("AccessDenied".to_owned());
    }
    judged(&shelf).is(
        Verdict::CouldNotCheck,
        &[],
        &[
            "chain/gap",
            "confirmed/not_read",
            "lock/not_read",
            "retention/not_read",
            "sealed/sealed_missing",
            "signature/not_read",
        ],
    );
}

#[test]
fn a_forged_version_beside_one_that_cannot_be_read_is_not_held_against_it() {
    let (_, mut shelf) = good();
    for laid in shelf.of("0002.json") {
        laid.facts = Err("timed out".to_owned());
    }
    let path = shelf.of("0002.json").next().unwrap().listed.path.clone();
    let stored = "2026-10-02T00:00:00Z".parse().unwrap();
    shelf.lay(&path, b"{}", stored, 2193);
    let said = judged(&shelf);
    assert!(said.of(Level::CouldNotCheck).contains("signature/not_read"));
    assert!(said.of(Level::CouldNotCheck).contains("version/not_read"));
    assert_eq!(said.of(Level::Failed), BTreeSet::new());
}

#[test]
fn the_oldest_locked_version_that_verifies_is_the_evidence_whatever_lies_over_or_under_it() {
    let (_, mut shelf) = good();
    let first = shelf.of("0002.json").next().unwrap().clone();
    // Under it, from before: other bytes, locked by whoever could write.
    let mut planted = first.clone();
    planted.bytes = b"{}".to_vec();
    planted.listed.version_id = "planted".to_owned();
    planted.listed.size_bytes = 2;
    let early: Timestamp = "2026-09-01T00:00:00Z".parse().unwrap();
    planted.listed.last_modified = Some(early);
    let facts = planted.facts.as_mut().unwrap();
    (facts.size_bytes, facts.last_modified) = (2, Some(early));
    facts.lock = Some(Lock::Compliance(
        early + SignedDuration::from_hours(24 * 4000),
    ));
    shelf.laid.insert(0, planted);
    judged(&shelf).is(Verdict::Failed, &["version/shadowed"], &[]);
}

#[test]
fn the_same_bytes_stored_twice_and_locked_are_a_note() {
    let (_, mut shelf) = good();
    let first = shelf.of("0002.json").next().unwrap().clone();
    let stored = first.listed.last_modified.unwrap() + SignedDuration::from_secs(2);
    shelf.lay(&first.listed.path, &first.bytes, stored, 2193);
    judged(&shelf).passes_with("version/stored_twice");
}

#[test]
fn a_key_is_revoked_by_the_later_of_the_two_times_that_the_store_tells() {
    let (_, mut shelf) = good();
    let revoked: Timestamp = "2026-10-01T12:00:00Z".parse().unwrap();
    let ring = Keyring::of([PinnedKey {
        revoked_at: Some(revoked),
        ..PinnedKey::new(key().public().clone())
    }]);
    judged_by(&shelf, &ring, &by_default()).is(Verdict::Passed, &[], &[]);
    // The bundle was there before, its signature came after.
    for laid in shelf.of("0004.json.bundle") {
        laid.facts.as_mut().unwrap().last_modified = Some(revoked);
    }
    let said = judged_by(&shelf, &ring, &by_default());
    assert_eq!(
        said.of(Level::Failed),
        BTreeSet::from(["key/key_revoked".to_owned()])
    );
    // Stored in parts, nobody knows when that was finished.
    for laid in shelf.of("0004.json.bundle") {
        laid.facts.as_mut().unwrap().last_modified = None;
    }
    judged_by(&shelf, &ring, &by_default()).is(
        Verdict::CouldNotCheck,
        &[],
        &["key/key_time_unknown", "time/store_time_unknown"],
    );
}

#[test]
fn a_key_is_valid_from_its_first_moment_to_its_last() {
    let (_, shelf) = good();
    let at = |time: &str| Some(time.parse::<Timestamp>().unwrap());
    // The first is stored at 00:01, the last at 00:05.
    for (not_before, not_after, failed) in [
        (at("2026-10-01T00:01:00Z"), at("2026-10-01T00:05:00Z"), None),
        (
            at("2026-10-01T00:02:00Z"),
            None,
            Some("key/key_not_yet_valid"),
        ),
        (None, at("2026-10-01T00:04:59Z"), Some("key/key_expired")),
    ] {
        let ring = Keyring::of([PinnedKey {
            not_before,
            not_after,
            ..PinnedKey::new(key().public().clone())
        }]);
        let said = judged_by(&shelf, &ring, &by_default());
        let found = said.of(Level::Failed);
        assert_eq!(
            found.first().map(String::as_str),
            failed,
            "{:#?}",
            said.findings
        );
    }
}

#[test]
fn a_key_of_another_client_or_host_is_not_trusted_for_this_one() {
    let (_, shelf) = good();
    for (client, host, failed) in [
        ("c", "h", None),
        ("c", "i", Some("key/key_of_another_host")),
        ("d", "h", Some("key/key_of_another_client")),
    ] {
        let ring = trusting(&[key()]).bound_to(client, host);
        let said = judged_by(&shelf, &ring, &by_default());
        assert_eq!(said.of(Level::Failed).first().map(String::as_str), failed);
    }
}

#[test]
fn a_key_that_signs_for_two_hosts_must_be_bound_to_one() {
    let (_, mut shelf) = good();
    let mut second = Host::new("i", key());
    second.probe(&mut shelf);
    second.custody(&mut shelf);
    judged(&shelf).is(Verdict::CouldNotCheck, &[], &["key/key_unbound"]);
}

#[test]
fn rotations_are_followed_from_key_to_key_and_into_later_chains() {
    let (mut host, mut shelf) = good();
    host.rotate(&mut shelf, other_key());
    host.probe(&mut shelf);
    host.rotate(&mut shelf, third_key());
    host.custody(&mut shelf);
    let end = host.head.clone();
    host.restart(end, began(ChainStart::SpoolLost));
    host.probe(&mut shelf);
    host.custody(&mut shelf);
    judged(&shelf).passes_with("key/rotation_followed");
    // Who is given the last key only trusts nothing before it.
    let said = judged_by(&shelf, &trusting(&[third_key()]), &by_default());
    assert!(said.of(Level::Failed).contains("signature/unknown_key"));
}

#[test]
fn a_rotated_key_signs_no_other_chain_that_was_stored_later() {
    let (mut host, mut shelf) = good();
    let end = host.head.clone();
    host.rotate(&mut shelf, other_key());
    host.custody(&mut shelf);
    let mut thief = Host::new("h", key());
    thief.now = host.now;
    thief.restart(end, began(ChainStart::Forked));
    thief.probe(&mut shelf);
    thief.custody(&mut shelf);
    let said = judged(&shelf);
    let failed = said.of(Level::Failed);
    assert_eq!(failed, BTreeSet::from(["key/key_rotated_away".to_owned()]));
}

#[test]
fn a_rotation_leads_to_a_key_for_its_own_host_and_only_from_there_on() {
    let (mut host, mut shelf) = good();
    host.rotate(&mut shelf, other_key());
    host.custody(&mut shelf);
    let mut second = Host::new("i", other_key());
    second.probe(&mut shelf);
    let said = judged(&shelf);
    let failed = said.of(Level::Failed);
    assert!(
        failed.contains("key/key_of_another_host"),
        "{:#?}",
        said.findings
    );

    let (mut host, mut shelf) = (Host::new("h", other_key()), Shelf::default());
    host.probe(&mut shelf);
    host.key = key();
    host.rotate(&mut shelf, other_key());
    host.custody(&mut shelf);
    let said = judged(&shelf);
    let failed = said.of(Level::Failed);
    assert!(
        failed.contains("key/key_before_rotation"),
        "{:#?}",
        said.findings
    );
}

#[test]
fn a_bundle_that_is_said_again_fills_the_place_of_the_first() {
    let (mut host, mut shelf) = good();
    let lost = host.probe(&mut shelf);
    let at = host.head.clone().unwrap();
    host.probe(&mut shelf);
    shelf.remove(&lost);
    let said = judged(&shelf);
    assert_eq!(
        said.of(Level::Failed),
        BTreeSet::from(["chain/gap".to_owned()])
    );
    host.reseals = Some(Reseals {
        bundle_id: lost,
        sha256: at.sha256,
    });
    host.probe(&mut shelf);
    judged(&shelf).passes_with("chain/resealed");
}

#[test]
fn custody_that_is_said_again_covers_what_the_first_did() {
    for has_custody_before in [false, true] {
        let (mut host, mut shelf) = (Host::new("h", key()), Shelf::default());
        host.probe(&mut shelf);
        if has_custody_before {
            host.custody(&mut shelf);
            host.probe(&mut shelf);
        }
        let end = host.head.clone().unwrap();
        let lost = host.custody(&mut shelf);
        let at = host.head.clone().unwrap();
        let file = format!("{lost}.json");
        let first = shelf.of(&file).next().unwrap();
        let said: serde_json::Value = serde_json::from_slice(&first.bytes).unwrap();
        shelf.remove(&lost);
        // With custody before it, what lacks it is the open tail.
        let is_open = judged(&shelf).verdict == Verdict::Passed;
        assert_eq!(is_open, has_custody_before);
        host.restart(Some(end), began(ChainStart::Forked));
        host.reseals = Some(Reseals {
            bundle_id: lost,
            sha256: at.sha256,
        });
        let body = serde_json::json!({"custody": said["custody"]});
        host.seal(&mut shelf, evidence::bundle::Kind::Custody, &body);
        // What the host forgot when it began anew it would not have named again.
        let mut after = host;
        after.forget_confirmed();
        after.custody(&mut shelf);
        judged(&shelf).passes_with("custody/resealed");
    }
}

#[test]
fn no_host_excuses_or_accuses_another() {
    // Another host, with a key of its own, says that it resealed what this one lacks, and names an end of
    // this one's chain that never was.
    let (mut host, mut shelf) = good();
    let lost = host.probe(&mut shelf);
    let at = host.head.clone().unwrap();
    host.probe(&mut shelf);
    shelf.remove(&lost);
    let mut rogue = Host::new("rogue", other_key());
    rogue.restart(
        Some(ChainPosition {
            sequence: 99,
            sha256: Sha256::of(b"never was"),
            ..at.clone()
        }),
        began(ChainStart::SpoolLost),
    );
    rogue.reseals = Some(Reseals {
        bundle_id: lost,
        sha256: at.sha256,
    });
    rogue.probe(&mut shelf);
    rogue.custody(&mut shelf);
    let said = judged_by(&shelf, &trusting(&[key(), other_key()]), &by_default());
    let gaps: Vec<_> = said
        .findings
        .iter()
        .filter(|f| f.code == crate::code::Code::Gap)
        .collect();
    assert_eq!(gaps.len(), 1, "{:#?}", said.findings);
    assert_eq!(gaps[0].subject.host_id.as_deref(), Some("h"));
    assert_eq!(gaps[0].subject.sequence, Some(6));
    assert!(
        said.of(Level::Failed)
            .contains("chain_start/predecessor_missing")
    );
}

#[test]
fn a_chain_begins_where_another_ended_or_is_asked_why() {
    type Case = (
        Option<u64>,
        Option<ChainStart>,
        Result<&'static str, &'static str>,
    );
    let cases: [Case; 8] = [
        (
            Some(5),
            Some(ChainStart::SpoolLost),
            Ok("chain_start/chain_restarted"),
        ),
        (Some(5), None, Ok("chain_start/chain_restarted")),
        (
            Some(4),
            Some(ChainStart::RolledBack),
            Err("chain_start/rolled_back"),
        ),
        (
            Some(4),
            Some(ChainStart::Forked),
            Ok("chain_start/rolled_back"),
        ),
        (
            Some(9),
            Some(ChainStart::Rebuilt),
            Err("chain_start/predecessor_missing"),
        ),
        (
            None,
            Some(ChainStart::First),
            Err("chain_start/restart_unexplained"),
        ),
        (None, None, Err("chain_start/restart_unexplained")),
        (
            None,
            Some(ChainStart::SpoolLost),
            Err("chain_start/predecessor_unknown"),
        ),
    ];
    for (end, because, expected) in cases {
        let (mut host, mut shelf) = (Host::new("h", key()), Shelf::default());
        let mut ends: Vec<ChainPosition> = Vec::new();
        for _ in 0..4 {
            host.probe(&mut shelf);
            ends.extend(host.head.clone());
        }
        host.custody(&mut shelf);
        let last = host.head.clone().unwrap();
        ends.push(last.clone());
        let predecessor = end.map(|n| match ends.get(n as usize - 1) {
            Some(end) => end.clone(),
            None => ChainPosition {
                sequence: n,
                ..last
            },
        });
        host.restart(
            predecessor,
            because.map(|because| Began {
                because,
                missing: Vec::new(),
            }),
        );
        host.probe(&mut shelf);
        host.custody(&mut shelf);
        let said = judged(&shelf);
        match expected {
            Ok(note) => said.passes_with(note),
            Err(finding) => {
                let mut bad = said
                    .of(Level::Failed)
                    .into_iter()
                    .chain(said.of(Level::CouldNotCheck));
                assert!(
                    bad.any(|f| f == finding),
                    "{end:?} {because:?}: {:#?}",
                    said.findings
                );
                assert_ne!(said.verdict, Verdict::Passed);
            }
        }
    }
}

#[test]
fn what_the_host_itself_calls_lost_is_lost_unless_it_is_here() {
    for (sequence, is_lost) in [(2, false), (6, true)] {
        let (mut host, mut shelf) = good();
        let end = host.head.clone().unwrap();
        let missing = vec![Missing {
            chain_id: end.chain_id.clone(),
            from_sequence: sequence,
            to_sequence: sequence,
        }];
        let because = ChainStart::Rebuilt;
        host.restart(Some(end), Some(Began { because, missing }));
        host.probe(&mut shelf);
        host.custody(&mut shelf);
        let said = judged(&shelf);
        if is_lost {
            said.is(Verdict::Failed, &["chain_start/declared_missing"], &[]);
        } else {
            said.passes_with("chain_start/declared_missing");
        }
    }
}

#[test]
fn a_restart_of_the_machine_is_a_note() {
    let (mut host, mut shelf) = good();
    host.boot_id = "another".to_owned();
    host.probe(&mut shelf);
    judged(&shelf).passes_with("chain/restarted");
}

#[test]
fn a_clock_that_went_back_is_excused_by_custody_that_tells_of_it_and_by_nothing_less() {
    for (jumped_ms, passes) in [(-3_600_000, true), (-60_000, false), (3_600_000, false)] {
        let (mut host, mut shelf) = good();
        host.pass_mins(-60);
        let at = host.now;
        // Stored when it was sealed by a right clock, which is an hour later by this one.
        host.delay = SignedDuration::from_mins(61);
        host.probe(&mut shelf);
        host.clock_events = vec![ClockEvent { at, jumped_ms }];
        host.custody(&mut shelf);
        let said = judged(&shelf);
        if passes {
            said.passes_with("time/clock_jump");
        } else {
            said.is(Verdict::Failed, &["time/clock_went_back"], &[]);
        }
    }
}

#[test]
fn what_was_stored_before_it_says_to_have_been_sealed_fails_and_what_came_late_is_a_note() {
    for (delay_mins, failed, noted) in [
        (-5, false, false),
        (-6, true, false),
        (24 * 60, false, false),
        (24 * 60 + 1, false, true),
    ] {
        let (mut host, mut shelf) = (Host::new("h", key()), Shelf::default());
        host.delay = SignedDuration::from_mins(delay_mins);
        host.probe(&mut shelf);
        host.custody(&mut shelf);
        let said = judged(&shelf);
        let is = |level, name: &str| said.of(level).contains(name);
        assert_eq!(is(Level::Failed, "time/stored_before_sealed"), failed);
        assert_eq!(is(Level::Note, "time/stored_late"), noted, "{delay_mins}");
    }
}

#[test]
fn an_hour_and_a_quarter_without_custody_is_not_silence_and_a_minute_more_is() {
    for (mins, is_silent) in [(74, false), (75, true)] {
        let (mut host, mut shelf) = good();
        // A bundle takes a minute.
        host.pass_mins(mins);
        host.custody(&mut shelf);
        let said = judged(&shelf);
        if is_silent {
            said.is(Verdict::Failed, &["coverage/silent"], &[]);
            assert_eq!(said.ledger.tally(Check::Coverage).unwrap().failed, 2);
        } else {
            said.is(Verdict::Passed, &[], &[]);
        }
    }
}

#[test]
fn a_stop_that_custody_tells_of_is_no_silence_but_is_named_and_not_passed() {
    let (mut host, mut shelf) = good();
    host.because = CustodyCause::Stop;
    host.custody(&mut shelf);
    host.pass_mins(600);
    host.because = CustodyCause::Start;
    host.custody(&mut shelf);
    let said = judged(&shelf);
    said.passes_with("coverage/stopped");
    assert_eq!(said.ledger.tally(Check::Coverage).unwrap().total(), 1);
}

#[test]
fn bundles_that_go_on_without_custody_are_silence_too() {
    let (mut host, mut shelf) = good();
    host.pass_mins(120);
    host.probe(&mut shelf);
    judged(&shelf).is(Verdict::Failed, &["coverage/silent"], &[]);
}

#[test]
fn an_auditor_says_from_when_and_until_when_there_must_be_custody() {
    let (_, shelf) = good();
    let at = |time: &str| Some(time.parse::<Timestamp>().unwrap());
    for (from, to, failed) in [
        (
            at("2026-10-01T00:00:00Z"),
            at("2026-10-01T01:00:00Z"),
            false,
        ),
        (at("2026-09-30T00:00:00Z"), None, true),
        (None, at("2026-10-02T00:00:00Z"), true),
        (at("2026-10-01T00:00:00Z"), None, false),
    ] {
        let judging = Judging {
            from,
            to,
            ..by_default()
        };
        let said = judged_by(&shelf, &trusting(&[key()]), &judging);
        let failed = if failed {
            &["coverage/silent"][..]
        } else {
            &[]
        };
        assert_eq!(
            said.of(Level::Failed),
            failed.iter().map(|&f| f.to_owned()).collect()
        );
    }
}

#[test]
fn a_chain_without_custody_fails_once_it_should_have_some() {
    for (now, failed) in [
        ("2026-10-01T01:00:00Z", false),
        ("2026-10-01T01:15:01Z", true),
    ] {
        let (mut host, mut shelf) = (Host::new("h", key()), Shelf::default());
        host.probe(&mut shelf);
        let (ledger, ring) = (ledger(), trusting(&[key()]));
        read_shelf(&ledger, &shelf, &ring, true);
        let now: Timestamp = now.parse().unwrap();
        ledger.set_meta("now_us", &us(now).to_string()).unwrap();
        let said = said(ledger, &ring, &by_default());
        let found = said.of(Level::Failed).contains("custody/no_custody");
        assert_eq!(found, failed, "{:#?}", said.findings);
    }
}

#[test]
fn confirmations_of_another_bucket_prove_nothing_of_this_one() {
    let (_, shelf) = good();
    let judging = Judging {
        bucket_uri: Some("s3://copy/".to_owned()),
        ..by_default()
    };
    let said = judged_by(&shelf, &trusting(&[key()]), &judging);
    said.is(
        Verdict::CouldNotCheck,
        &[],
        &["confirmed/confirmed_elsewhere"],
    );
}

#[test]
fn a_lock_lasts_as_long_as_the_plan_says_and_as_the_auditor_asks() {
    let day = SignedDuration::from_hours(24);
    for (days, least, failed) in [(2192, 2192, false), (2191, 1, true), (2193, 3000, true)] {
        let (_, mut shelf) = good();
        for laid in shelf.of("0005.json") {
            let facts = laid.facts.as_mut().unwrap();
            facts.lock = Some(Lock::Compliance(facts.last_modified.unwrap() + day * days));
        }
        let judging = Judging {
            min_retention_days: least,
            ..by_default()
        };
        let said = judged_by(&shelf, &trusting(&[key()]), &judging);
        let found = said.of(Level::Failed).contains("retention/lock_too_short");
        assert_eq!(found, failed, "{days} {least}");
    }
}

#[test]
fn what_another_place_was_promised_binds_this_one_to_nothing() {
    let (_, mut shelf) = good();
    for laid in &mut shelf.laid {
        let facts = laid.facts.as_mut().unwrap();
        let days = SignedDuration::from_hours(24 * 2);
        facts.lock = Some(Lock::Compliance(facts.last_modified.unwrap() + days));
    }
    let judging = Judging {
        bucket_uri: Some("s3://backfilled/".to_owned()),
        min_retention_days: 1,
        ..by_default()
    };
    let said = judged_by(&shelf, &trusting(&[key()]), &judging);
    assert_eq!(said.of(Level::Failed), BTreeSet::new());
    let judging = Judging {
        min_retention_days: 1,
        ..by_default()
    };
    let said = judged_by(&shelf, &trusting(&[key()]), &judging);
    assert!(said.of(Level::Failed).contains("retention/lock_too_short"));
}

#[test]
fn a_lock_that_the_store_hides_is_neither_there_nor_missing() {
    let (_, mut shelf) = good();
    for laid in &mut shelf.laid {
        laid.facts.as_mut().unwrap().lock = Some(Lock::Unknown);
    }
    judged(&shelf).is(
        Verdict::CouldNotCheck,
        &[],
        &[
            "confirmed/lock_unknown",
            "lock/lock_unknown",
            "retention/lock_unknown",
        ],
    );
}

#[test]
fn an_artifact_that_no_bundle_names_is_unexpected() {
    let (_, mut shelf) = good();
    let path = shelf.of("0001.json").next().unwrap().listed.path.clone();
    let stem = path.strip_suffix(".json").unwrap();
    let sha256 = Sha256::of(b"more");
    let stored = "2026-10-01T00:00:30Z".parse().unwrap();
    shelf.lay(
        &format!("{stem}/artifacts/{sha256}/more.log"),
        b"more",
        stored,
        2193,
    );
    judged(&shelf).is(Verdict::Failed, &["unexpected/unexpected_object"], &[]);
}

#[test]
fn a_hosts_own_write_probe_is_named_and_no_failure_and_anything_beside_it_is_one() {
    let stored = "2026-10-01T00:00:30Z".parse().unwrap();
    let (_, mut shelf) = good();
    shelf.lay("c/h/write-probes/1796000000-7.txt", b"probe", stored, 2193);
    judged(&shelf).is(Verdict::Passed, &[], &[]);
    assert!(
        judged(&shelf)
            .message("write_probe")
            .contains("no evidence")
    );
    shelf.lay("c/h/write-probes/deeper/7.txt", b"hidden", stored, 2193);
    judged(&shelf).is(Verdict::Failed, &["unexpected/unexpected_object"], &[]);
}

#[test]
fn a_listing_that_tells_another_size_than_there_are_bytes_is_found() {
    let (_, mut shelf) = good();
    shelf.of("0001.json").next().unwrap().listed.size_bytes += 1;
    judged(&shelf).is(Verdict::Failed, &["version/size_differs"], &[]);
}

#[test]
fn nothing_at_all_is_never_passed_and_a_forgotten_prefix_is_named() {
    let said = judged(&Shelf::default());
    said.is(Verdict::CouldNotCheck, &[], &["source/nothing_there"]);
    assert!(said.message("nothing_there").contains("prefix"));

    let (_, mut shelf) = good();
    for laid in &mut shelf.laid {
        laid.listed.path = format!("evidence/{}", laid.listed.path);
    }
    let said = judged(&shelf);
    said.is(
        Verdict::CouldNotCheck,
        &[],
        &["source/no_evidence", "unexpected/unexpected_object"],
    );
    assert!(
        said.message("no_evidence")
            .contains("below evidence/ is laid out"),
        "{}",
        said.message("no_evidence")
    );
}

#[test]
fn whom_the_auditor_expects_and_who_is_not_there_is_missing() {
    let (_, shelf) = good();
    let expect = |client: &str, host: Option<&str>| Judging {
        expected: vec![ExpectedHost {
            client_id: Some(client.to_owned()),
            host_id: host.map(str::to_owned),
        }],
        ..by_default()
    };
    let ring = trusting(&[key()]);
    judged_by(&shelf, &ring, &expect("c", Some("h"))).is(Verdict::Passed, &[], &[]);
    judged_by(&shelf, &ring, &expect("c", None)).is(Verdict::Passed, &[], &[]);
    for judging in [expect("c", Some("i")), expect("d", None)] {
        let said = judged_by(&shelf, &ring, &judging);
        said.is(Verdict::Failed, &["source/host_missing"], &[]);
    }
    // Evidence that is not proven is none.
    let said = judged_by(&shelf, &trusting(&[other_key()]), &expect("c", Some("h")));
    assert!(said.of(Level::Failed).contains("source/host_missing"));
}
