//! Server and network faults: each is put between real daemons and a store while they work, what
//! they do and say is noted, the fault ends, and everything is judged.
//!
//! The uploader is never restarted. A case whose fault an operator must answer says so; every other
//! one has to come right by itself.

pub mod figures;
pub mod ground;
pub mod matrix;
pub mod verdict;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::clinic::{Clinic, Place, Role};
use crate::servers::Server;
use ground::{Ground, Load, Way, bucket_name};
use verdict::Verdict;

/// A bound for failures only.
const PATIENCE: Duration = Duration::from_secs(60);
/// Parts of 8 MiB and their hashes take a while on a slow machine.
const LARGE_PATIENCE: Duration = Duration::from_secs(120);

/// What `status` must come to say while the fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// The destination is `parked`, for this reason.
    Parked(&'static str),
    /// The destination is `open`: it fails, for this reason.
    Open(&'static str),
    /// Deliveries wait, and this was the last error; the destination itself may be well.
    Waits(&'static str),
    /// Objects of one bundle are blocked for this reason, and everything else goes on.
    Blocked(&'static str),
    /// Everything is confirmed although the fault lasts.
    Confirmed,
}

/// What a case does to its ground.
type Act = Box<dyn Fn(&mut Ground)>;

/// One fault.
pub struct Case {
    /// What kind it is; the sample of the tests has one of each.
    pub kind: &'static str,
    /// The fault, in words.
    pub fault: &'static str,
    way: Way,
    load: Load,
    begin: Act,
    shows: Shows,
    /// Words that one line of the log must have.
    logs: &'static [&'static str],
    end: Act,
    operator: Option<Act>,
    leaves: &'static [&'static str],
}

impl Case {
    fn new(
        kind: &'static str,
        fault: &'static str,
        shows: Shows,
        begin: impl Fn(&mut Ground) + 'static,
    ) -> Self {
        Self {
            kind,
            fault,
            way: Way::Proxy,
            load: Load::Small,
            begin: Box::new(begin),
            shows,
            logs: &[],
            end: Box::new(|_| {}),
            operator: None,
            leaves: &[],
        }
    }

    fn way(self, way: Way) -> Self {
        Self { way, ..self }
    }

    fn large(self) -> Self {
        Self {
            load: Load::Large,
            ..self
        }
    }

    fn logs(self, logs: &'static [&'static str]) -> Self {
        Self { logs, ..self }
    }

    /// What ends the fault, besides the rules of proxy and sandbox, which always end.
    fn end(self, end: impl Fn(&mut Ground) + 'static) -> Self {
        let end = Box::new(end);
        Self { end, ..self }
    }

    /// What an operator does after the fault, as the hint says.
    fn operator(self, does: impl Fn(&mut Ground) + 'static) -> Self {
        let operator: Option<Act> = Some(Box::new(does));
        Self { operator, ..self }
    }

    fn leaves(self, leaves: &'static [&'static str]) -> Self {
        Self { leaves, ..self }
    }

    /// Whether it drops an object that is uploaded in parts, which takes longer and more disk.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.load == Load::Large
    }

    /// Whether an operator has to do something after the fault.
    #[must_use]
    pub const fn needs_operator(&self) -> bool {
        self.operator.is_some()
    }
}

/// What came of a case.
#[derive(Debug, Clone)]
pub struct Report {
    /// What the uploader did, by its log: each kind of deed once, in the order of the first.
    pub did: String,
    /// What `status` said while the fault lasted.
    pub status: String,
    /// How often the fault struck.
    pub struck: u64,
    /// From the end of the fault until everything was confirmed; `None` when it never was.
    pub recovered: Option<Duration>,
    /// What is not as it should be.
    pub verdict: Verdict,
}

impl Report {
    /// Whether the case ended as it must.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.struck > 0 && self.recovered.is_some() && self.verdict.is_good()
    }
}

/// The keys of all hosts, and the store if it is a real one.
pub struct Network<'a> {
    template: Clinic,
    server: Option<&'a Server>,
    buckets: usize,
}

impl<'a> Network<'a> {
    /// On each host's own sandbox, or on `server`, in a bucket of its own for each case.
    #[must_use]
    pub fn new(server: Option<&'a Server>) -> Self {
        Self {
            template: Clinic::new(),
            server,
            buckets: 0,
        }
    }

    /// Every case for this store.
    #[must_use]
    pub fn cases(&self) -> Vec<Case> {
        matrix::cases(self.server.is_none())
    }

    /// Why this machine cannot run a case, if so.
    #[must_use]
    pub fn cannot_run(&self, case: &Case) -> Option<&'static str> {
        (case.way == Way::Name && !Ground::may_have_own_names())
            .then_some("unshare(1) cannot give a process a hosts file of its own here")
    }

    /// Runs one case on a host of its own. A panic on the way is a finding as any other.
    #[must_use]
    pub fn run(&mut self, case: &Case) -> Report {
        self.buckets += 1;
        let store = self.server.map(|server| {
            let bucket = bucket_name(self.buckets);
            let made = server.make_bucket(&bucket);
            self.template.runtime().block_on(made);
            Place {
                bucket,
                ..Place::server("main", server)
            }
        });
        let template = &self.template;
        let ran = catch_unwind(AssertUnwindSafe(|| {
            run(case, Ground::new(template, store, case.way, case.load))
        }));
        ran.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref().map(|s: &&str| (*s).to_owned()));
            Report {
                did: String::new(),
                status: String::new(),
                struck: 0,
                recovered: None,
                verdict: Verdict {
                    other: vec![format!("panicked: {}", text.unwrap_or_default())],
                    ..Verdict::default()
                },
            }
        })
    }
}

fn run(case: &Case, mut ground: Ground) -> Report {
    let mut other = Vec::new();
    if !ground.wait(PATIENCE, Ground::is_settled) {
        other.push(format!(
            "not even ready before the fault: {}",
            ground.status()
        ));
    }
    let pid = ground.clinic.pid(Role::Uploader);
    let mark = ground.events.len();
    (case.begin)(&mut ground);
    ground.drop_load();
    let patience = match case.load {
        Load::Small => PATIENCE,
        Load::Large => LARGE_PATIENCE,
    };
    let shown = ground.wait(patience, |g| {
        shows(&g.status(), case.shows, g.dropped.len())
    });
    let status = ground.status();
    if !shown {
        other.push(format!("status never said {:?}: {status}", case.shows));
    }
    let mut falsely_confirmed = verdict::falsely_confirmed(&ground);
    let struck = ground.struck();
    ground.clear();
    (case.end)(&mut ground);
    let began = Instant::now();
    if let Some(operator) = &case.operator {
        operator(&mut ground);
    }
    let settled = ground.wait(patience, |g| g.clinic.is_settled() && g.is_settled());
    let recovered = settled.then(|| began.elapsed());
    if !settled {
        other.push(format!("it does not recover: {}", ground.status()));
    }
    if ground.clinic.pid(Role::Uploader) != pid {
        other.push("the uploader was restarted".to_owned());
    }
    let events = &ground.events[mark..];
    let is_said = |event: &Value| {
        case.logs
            .iter()
            .all(|word| event.to_string().contains(word))
    };
    if !events.iter().any(is_said) {
        other.push(format!("no line of the log has {:?}", case.logs));
    }
    let did = deeds(events);
    let mut verdict = verdict::of(&ground, case.leaves);
    falsely_confirmed.append(&mut verdict.falsely_confirmed);
    falsely_confirmed.sort();
    falsely_confirmed.dedup();
    other.append(&mut verdict.other);
    Report {
        did,
        status: said(&status),
        struck,
        recovered,
        verdict: Verdict {
            falsely_confirmed,
            other,
            ..verdict
        },
    }
}

/// Whether `status` says it.
fn shows(status: &Value, what: Shows, dropped: usize) -> bool {
    let destination = &status["delivery"]["destinations"][0];
    let is =
        |state: &str, code: &str| destination["state"] == state && destination["reason"] == code;
    let blocked = status["blocked"].as_array().map_or(&[][..], Vec::as_slice);
    let waits = status["pending"].as_u64().is_some_and(|n| n > 0);
    match what {
        Shows::Parked(code) => waits && is("parked", code),
        Shows::Open(code) => waits && is("open", code),
        Shows::Waits(code) => waits && destination["last_error"]["code"] == code,
        Shows::Blocked(reason) => {
            !blocked.is_empty()
                && blocked.iter().all(|item| {
                    item["reason"] == reason && item["bundle_id"] == blocked[0]["bundle_id"]
                })
                && status["spool"]["confirmed_bundles"] == dropped - 1
        }
        Shows::Confirmed => {
            status["spool"]["confirmed_bundles"] == dropped && !waits && blocked.is_empty()
        }
    }
}

/// The part of `status` that concerns the destination, in a few words.
fn said(status: &Value) -> String {
    let destination = &status["delivery"]["destinations"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut words = vec![
        format!(
            "{} {}",
            text(&destination["state"]),
            text(&destination["reason"])
        )
        .trim()
        .to_owned(),
    ];
    if status["pending"].as_u64().is_some_and(|n| n > 0) {
        words.push(format!(
            "last error {}",
            text(&destination["last_error"]["code"])
        ));
    }
    for item in status["blocked"].as_array().into_iter().flatten() {
        words.push(format!("blocked {}", text(&item["reason"])));
    }
    words.dedup();
    words.join(", ")
}

/// What was done, from the log: events of deliveries and states of the destination.
fn deeds(events: &[Value]) -> String {
    let mut deeds: Vec<String> = Vec::new();
    for event in events {
        let fields = event.get("fields").unwrap_or(event);
        let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
        let what = match (text("path").is_empty(), text("state").is_empty()) {
            (false, false) => text("message"),
            (true, false) => text("state"),
            _ => continue,
        };
        let (reason, code) = (text("reason"), text("code"));
        let why = if reason.is_empty() { code } else { reason };
        let deed = format!("{what} {why}").trim().to_owned();
        if !deeds.contains(&deed) {
            deeds.push(deed);
        }
    }
    deeds.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn status_is_read_for_what_it_says_and_no_more() {
        let status = |state: &str, pending: u64, confirmed: u64| {
            json!({"pending": pending, "spool": {"confirmed_bundles": confirmed},
                "blocked": [{"reason": "conflict"}],
                "delivery": {"destinations": [{"state": state, "reason": "SlowDown",
                    "last_error": {"code": "Timeout"}}]}})
        };
        let open = status("open", 2, 3);
        assert!(shows(&open, Shows::Open("SlowDown"), 4));
        assert!(shows(&open, Shows::Waits("Timeout"), 4));
        assert!(shows(&status("ok", 0, 3), Shows::Blocked("conflict"), 4));
        for what in [
            Shows::Open("Timeout"),
            Shows::Parked("SlowDown"),
            Shows::Blocked("refused"),
            Shows::Confirmed,
        ] {
            assert!(!shows(&open, what, 4), "{what:?}");
        }
        assert!(!shows(&status("open", 0, 4), Shows::Open("SlowDown"), 4));
        assert!(
            !shows(&status("ok", 0, 4), Shows::Confirmed, 4),
            "one is blocked"
        );
        assert_eq!(
            said(&open),
            "open SlowDown, last error Timeout, blocked conflict"
        );
    }

    #[test]
    fn a_case_is_good_only_when_the_fault_struck_it_recovered_and_nothing_was_found() {
        let good = Report {
            did: String::new(),
            status: String::new(),
            struck: 1,
            recovered: Some(Duration::ZERO),
            verdict: Verdict::default(),
        };
        assert!(good.is_good());
        let found = || vec!["something".to_owned()];
        for verdict in [
            Verdict {
                lost: found(),
                ..Verdict::default()
            },
            Verdict {
                doubled: found(),
                ..Verdict::default()
            },
            Verdict {
                falsely_confirmed: found(),
                ..Verdict::default()
            },
            Verdict {
                other: found(),
                ..Verdict::default()
            },
        ] {
            assert!(
                !Report {
                    verdict,
                    ..good.clone()
                }
                .is_good()
            );
        }
        assert!(
            !Report {
                struck: 0,
                ..good.clone()
            }
            .is_good()
        );
        assert!(
            !Report {
                recovered: None,
                ..good
            }
            .is_good()
        );
    }

    #[test]
    fn deeds_are_named_once_in_their_order() {
        let delivery = |message: &str, code: &str| json!({"fields": {"message": message, "path": "p", "state": "pending", "code": code}});
        let destination =
            json!({"fields": {"message": "the destination fails", "state": "open", "code": "Dns"}});
        let other = json!({"fields": {"message": "ready"}});
        let events = [
            delivery("deferred", "Dns"),
            delivery("deferred", "Dns"),
            destination,
            other,
            delivery("put_succeeded", ""),
        ];
        assert_eq!(deeds(&events), "deferred Dns, open Dns, put_succeeded");
    }
}
