//! The host's clock: whether something keeps it right, and how far it is from a store's.
//!
//! Retention is counted from the store's date, so a wrong clock shortens no lock; but it puts wrong
//! times into evidence, and a store refuses requests that are 15 minutes off.

use std::path::Path;

use super::check::{Check, Family};

const FAMILY: Family = Family("clock");
/// Times in evidence are compared with logs of other machines.
const OFFSET_WARNED_MS: i64 = 5_000;
/// Far enough to be wrong, near enough to be put right before stores refuse.
const OFFSET_BAD_MS: i64 = 60_000;

/// What files say of the time service, below `root`.
pub(crate) fn service(root: &Path) -> Check {
    let is_there = |path: &str| root.join(path).exists();
    // systemd-timesyncd.service(8): touched once the clock was synchronised.
    if is_there("run/systemd/timesync/synchronized") {
        return FAMILY.ok(
            "service",
            "systemd-timesyncd",
            "it has synchronised the clock",
        );
    }
    for (file, name) in [
        ("run/chrony/chronyd.pid", "chronyd"),
        ("run/chronyd.pid", "chronyd"),
        ("run/ntpd.pid", "ntpd"),
    ] {
        if is_there(file) {
            return FAMILY.ok(
                "service",
                name,
                "it runs; how well is said by: chronyc tracking",
            );
        }
    }
    if is_there("run/systemd/timesync") {
        return FAMILY.warning(
            "service",
            "systemd-timesyncd",
            "it runs and has not synchronised the clock",
            "see why: timedatectl timesync-status",
        );
    }
    FAMILY.warning(
        "service",
        "time service",
        "neither chronyd nor systemd-timesyncd is seen; on a virtual machine its host may do it",
        "install one: apt-get install chrony, or dnf install chrony",
    )
}

/// How far the clock is from a store's.
pub(crate) fn offset(destination: &str, offset_ms: i64) -> Check {
    let found = format!("the store's clock is {offset_ms} ms ahead of this host's");
    let remedy = "set the clock and keep it right: chronyc makestep, or timedatectl set-ntp true";
    match offset_ms.saturating_abs() {
        off if off > OFFSET_BAD_MS => FAMILY.problem("offset", destination, found, remedy),
        off if off > OFFSET_WARNED_MS => FAMILY.warning("offset", destination, found, remedy),
        _ => FAMILY.ok("offset", destination, found),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::check::Verdict;
    use super::*;

    #[test]
    fn a_time_service_is_seen_by_its_files() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(service(root.path()).verdict, Verdict::Warning);
        fs::create_dir_all(root.path().join("run/systemd/timesync")).unwrap();
        let waiting = service(root.path());
        assert_eq!(waiting.verdict, Verdict::Warning);
        assert!(waiting.found.contains("has not synchronised"));
        fs::write(root.path().join("run/systemd/timesync/synchronized"), "").unwrap();
        assert_eq!(service(root.path()).verdict, Verdict::Ok);
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("run/chrony")).unwrap();
        fs::write(root.path().join("run/chrony/chronyd.pid"), "1\n").unwrap();
        assert_eq!(service(root.path()).subject, "chronyd");
    }

    #[test]
    fn an_offset_of_a_minute_is_a_problem_and_of_five_seconds_a_warning() {
        for (offset_ms, verdict) in [
            (0, Verdict::Ok),
            (-5_000, Verdict::Ok),
            (5_001, Verdict::Warning),
            (-60_000, Verdict::Warning),
            (-60_001, Verdict::Problem),
            (i64::MIN, Verdict::Problem),
        ] {
            assert_eq!(offset("d", offset_ms).verdict, verdict, "{offset_ms}");
        }
    }
}
