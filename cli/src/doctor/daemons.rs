//! The two services: whether they run, start at boot, and what they say they cannot do.

use std::path::Path;

use host::alarm::Alarm;
use host::config::Settings;
use host::instance::{AGENT_LOCK, UPLOADER_LOCK, is_running};
use host::owner::as_owner_of;
use jiff::Timestamp;
use uploader::delivery::DestinationSummary;

use super::check::{Check, Family};
use crate::output::plain;

const FAMILY: Family = Family("services");

/// Whether the agent runs, for what it alone knows.
pub(crate) fn agent_runs(settings: &Settings) -> bool {
    is_running(&settings.paths.spool.join(AGENT_LOCK))
}

/// Locks, alarms and units; `root` is `/`.
pub(crate) fn look(settings: &Settings, root: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    for (unit, lock) in [
        ("msp-evidence-agent", settings.paths.spool.join(AGENT_LOCK)),
        (
            "msp-evidence-uploader",
            settings.paths.delivery.join(UPLOADER_LOCK),
        ),
    ] {
        checks.push(running(unit, &lock));
        match host::alarm::alarms(&lock) {
            Ok(alarms) => checks.extend(alarms.iter().map(|alarm| told(unit, alarm))),
            Err(error) => checks.push(FAMILY.unchecked(
                "alarm",
                unit,
                format!("{}: {error}", lock.display()),
                "run this as root",
            )),
        }
        checks.extend(failing(unit, &root.join("run").join(unit)));
        checks.push(unit_file(unit, root));
    }
    checks
}

fn running(unit: &str, lock: &Path) -> Check {
    if is_running(lock) {
        return FAMILY.ok("running", unit, "it runs");
    }
    // A lock that cannot be seen may well be held.
    if let Err(error) = lock.metadata()
        && error.kind() != std::io::ErrorKind::NotFound
    {
        let found = format!("{}: {error}", lock.display());
        return FAMILY.unchecked("running", unit, found, "run this as root");
    }
    FAMILY.problem(
        "running",
        unit,
        "it does not run",
        format!("systemctl start {unit}; why it ended: journalctl -u {unit} -n 50"),
    )
}

/// The row of failures that it is in, as its unit's alarm noted it.
fn failing(unit: &str, folder: &Path) -> Option<Check> {
    match host::failure::standing(folder) {
        Ok(failure) => failure.map(|failure| {
            FAMILY.problem(
                "failing",
                unit,
                failure.words(unit),
                format!("what the journal says: journalctl -u {unit} -p err -n 50; it is started again by itself"),
            )
        }),
        Err(error) => Some(FAMILY.unchecked(
            "failing",
            unit,
            format!("{}: {error}", folder.display()),
            "run this as root",
        )),
    }
}

/// What it said last of itself.
fn told(unit: &str, alarm: &Alarm) -> Check {
    let found = format!(
        "{} since {}: {}",
        alarm.code,
        alarm.since,
        plain(&alarm.message)
    );
    let remedy = format!(
        "docs/operations.md, \"Alarms\", {:?}; journalctl -u {unit} -n 50",
        plain(&alarm.code)
    );
    // Work is found later, none is lost or stops.
    if alarm.code == "not_watching" {
        return FAMILY.warning("alarm", unit, found, remedy);
    }
    FAMILY.problem("alarm", unit, found, remedy)
}

/// Whether systemd starts it at boot.
fn unit_file(unit: &str, root: &Path) -> Check {
    let name = format!("{unit}.service");
    let places = [
        "etc/systemd/system",
        "usr/lib/systemd/system",
        "lib/systemd/system",
    ];
    if !places
        .iter()
        .any(|place| root.join(place).join(&name).exists())
    {
        return FAMILY.warning(
            "unit",
            unit,
            "systemd has no unit of this name, so nothing starts or watches it",
            "install the package msp-evidence-agent",
        );
    }
    let wanted = root
        .join("etc/systemd/system/multi-user.target.wants")
        .join(&name);
    // A link whose target is elsewhere in a test, or masked, is still seen as a link.
    match std::fs::symlink_metadata(&wanted) {
        Ok(_) => FAMILY.ok("unit", unit, "it is started at boot"),
        Err(_) => FAMILY.warning(
            "unit",
            unit,
            "it is not started at boot",
            format!("systemctl enable {unit}"),
        ),
    }
}

/// What the uploader has on record of each destination; nothing before its first start.
pub(crate) fn deliveries(
    settings: &Settings,
    now: Timestamp,
) -> Result<Vec<DestinationSummary>, Check> {
    let folder = &settings.paths.delivery;
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let read = as_owner_of(folder, || -> anyhow::Result<_> {
        Ok(match uploader::delivery::Reader::open(folder)? {
            Some(reader) => reader.summary(now)?.destinations,
            None => Vec::new(),
        })
    });
    read.map_err(anyhow::Error::from)
        .and_then(|result| result)
        .map_err(|error| {
            FAMILY.unchecked(
                "deliveries",
                folder.display(),
                format!("{error:#}"),
                "run this as root, or look at it with msp-evidence fsck",
            )
        })
}

/// Pure: what waits for an operator.
pub(crate) fn judge_delivery(found: &DestinationSummary) -> Check {
    let id = &found.destination_id;
    let reason = plain(found.reason.as_deref().unwrap_or("no reason is on record"));
    if found.counts.blocked > 0 {
        return FAMILY.problem(
            "deliveries",
            id,
            format!("{} objects are blocked", found.counts.blocked),
            "msp-evidence blocked list",
        );
    }
    match found.state {
        "parked" => FAMILY.problem(
            "deliveries",
            id,
            format!("parked since {}: {reason}", found.since),
            "correct what it says; it is asked again every few minutes: msp-evidence status",
        ),
        "open" => FAMILY.warning(
            "deliveries",
            id,
            format!("failing since {}, and tried again: {reason}", found.since),
            "msp-evidence status shows whether it recovers",
        ),
        state => FAMILY.ok(
            "deliveries",
            id,
            format!(
                "{state}: {} confirmed, {} on their way",
                found.counts.confirmed,
                found.counts.pending + found.counts.uploaded
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::check::Verdict;
    use super::*;

    fn settings(dir: &Path) -> Settings {
        let text = format!(
            "client_id = \"c\"\nhost_id = \"h\"\n[paths]\nstate_dir = \"{}\"\n[[destination]]\n\
             id = \"d\"\nbucket = \"bucket\"\nregion = \"r\"\n",
            dir.display()
        );
        Settings::parse(&text, Path::new("/e.toml"), std::iter::empty()).unwrap()
    }

    fn findings(settings: &Settings, root: &Path) -> Vec<(&'static str, String, Verdict)> {
        look(settings, root)
            .into_iter()
            .filter(|check| check.verdict != Verdict::Ok)
            .map(|check| (check.check, check.subject, check.verdict))
            .collect()
    }

    #[test]
    fn services_that_run_and_start_at_boot_are_good_and_their_alarms_are_problems() {
        let dir = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        let units = root.path().join("usr/lib/systemd/system");
        let wants = root
            .path()
            .join("etc/systemd/system/multi-user.target.wants");
        fs::create_dir_all(&units).unwrap();
        fs::create_dir_all(&wants).unwrap();
        let (agent, uploader) = ("msp-evidence-agent", "msp-evidence-uploader");
        for (folder, name) in [
            (&settings.paths.spool, agent),
            (&settings.paths.delivery, uploader),
        ] {
            fs::create_dir_all(folder).unwrap();
            fs::write(units.join(format!("{name}.service")), "").unwrap();
            fs::write(wants.join(format!("{name}.service")), "").unwrap();
        }
        let lock = host::instance::InstanceLock::acquire(&settings.paths.spool.join(AGENT_LOCK));
        let lock = lock.unwrap();
        assert_eq!(
            findings(&settings, root.path()),
            [("running", uploader.to_owned(), Verdict::Problem)]
        );
        let _other =
            host::instance::InstanceLock::acquire(&settings.paths.delivery.join(UPLOADER_LOCK));
        assert_eq!(findings(&settings, root.path()), []);
        lock.raise("stalled", "no room");
        lock.raise("not_watching", "no inotify");
        fs::remove_file(wants.join("msp-evidence-uploader.service")).unwrap();
        assert_eq!(
            findings(&settings, root.path()),
            [
                ("alarm", agent.to_owned(), Verdict::Problem),
                ("alarm", agent.to_owned(), Verdict::Warning),
                ("unit", uploader.to_owned(), Verdict::Warning),
            ]
        );
        let marker = root.path().join("run").join(agent);
        fs::create_dir_all(&marker).unwrap();
        let text = r#"{"first_at":"2026-11-21T10:00:00Z","last_at":"2026-11-21T10:01:00Z","count":3,
            "how":"exit-code 1","invocation":"a","alarmed_at":"2026-11-21T10:00:00Z"}"#;
        fs::write(marker.join("failed.json"), text).unwrap();
        let failing = look(&settings, root.path());
        let failing = failing
            .iter()
            .find(|check| check.check == "failing")
            .unwrap();
        assert_eq!(
            (failing.verdict, &failing.subject),
            (Verdict::Problem, &agent.to_owned())
        );
        assert!(
            failing.found.contains("failed 3 times since"),
            "{}",
            failing.found
        );
        fs::remove_dir_all(&marker).unwrap();
        let nothing = tempfile::tempdir().unwrap();
        let units = findings(&settings, nothing.path());
        assert_eq!(
            units.iter().filter(|f| f.0 == "unit").count(),
            2,
            "{units:?}"
        );
    }

    #[test]
    fn what_waits_for_an_operator_is_a_problem() {
        let summary = |state, blocked| {
            let now = Timestamp::UNIX_EPOCH;
            DestinationSummary {
                destination_id: "d".to_owned(),
                uri: "s3://bucket/".to_owned(),
                state,
                retired: None,
                reason: Some("AccessDenied".to_owned()),
                since: now,
                next_probe_at: None,
                last_ok_at: None,
                last_preflight_at: None,
                clock_offset_ms: None,
                counts: uploader::delivery::Counts {
                    blocked,
                    ..Default::default()
                },
                deferred: 0,
                oldest_pending_at: None,
                last_confirmed_at: None,
                next_retry_at: None,
                last_error: None,
                uploads: Vec::new(),
            }
        };
        assert_eq!(judge_delivery(&summary("ok", 0)).verdict, Verdict::Ok);
        assert_eq!(judge_delivery(&summary("ok", 1)).verdict, Verdict::Problem);
        assert_eq!(
            judge_delivery(&summary("parked", 0)).verdict,
            Verdict::Problem
        );
        assert_eq!(
            judge_delivery(&summary("open", 0)).verdict,
            Verdict::Warning
        );
    }
}
