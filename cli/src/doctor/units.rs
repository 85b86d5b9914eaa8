//! What systemd says of the two units: failed, started again and again, changed and not loaded, and whether
//! a drop-in took away what keeps them apart from the host.
//!
//! The effective properties are judged, not the files: a drop-in may say the same as the unit.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::check::{Check, Family};
use crate::output::plain;

const FAMILY: Family = Family("services");
/// Asked of each unit.
const STATE: [&str; 6] = [
    "LoadState",
    "ActiveState",
    "Result",
    "NRestarts",
    "NeedDaemonReload",
    "DropInPaths",
];
/// What each unit must have, in systemd's words; the user is each unit's own.
const SANDBOX: [(&str, &str); 7] = [
    ("NoNewPrivileges", "yes"),
    ("ProtectSystem", "strict"),
    ("ProtectHome", "yes"),
    ("PrivateDevices", "yes"),
    ("MemoryDenyWriteExecute", "yes"),
    ("ProtectKernelModules", "yes"),
    ("CapabilityBoundingSet", ""),
];

/// Asks systemd, where it runs.
pub(crate) fn look(root: &Path) -> Vec<Check> {
    if !root.join("run/systemd/system").exists() {
        return Vec::new();
    }
    ["agent", "uploader"]
        .into_iter()
        .flat_map(|of| {
            let unit = format!("msp-evidence-{of}");
            match shown(&unit) {
                Ok(found) => judge(of, &unit, &found),
                Err(problem) => vec![FAMILY.unchecked(
                    "state",
                    &unit,
                    problem,
                    format!("systemctl show {unit}"),
                )],
            }
        })
        .collect()
}

fn shown(unit: &str) -> Result<BTreeMap<String, String>, String> {
    let names: Vec<&str> = STATE
        .into_iter()
        .chain(SANDBOX.map(|(name, _)| name))
        .chain(["User", "PrivateNetwork"])
        .collect();
    let output = Command::new("systemctl")
        .arg("show")
        .arg(format!("{unit}.service"))
        .arg(format!("--property={}", names.join(",")))
        .output()
        .map_err(|error| format!("systemctl: {error}"))?;
    if !output.status.success() {
        return Err(plain(String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// Pure. A unit that is not there was told by its file.
fn judge(of: &str, unit: &str, found: &BTreeMap<String, String>) -> Vec<Check> {
    let value = |name: &str| found.get(name).map_or("", String::as_str);
    if value("LoadState") != "loaded" {
        return Vec::new();
    }
    let mut checks = vec![match value("ActiveState") {
        "failed" => FAMILY.problem(
            "state",
            unit,
            format!("systemd calls it failed: {}", plain(value("Result"))),
            format!("why: journalctl -u {unit} -n 50; then: systemctl restart {unit}"),
        ),
        _ if value("NeedDaemonReload") == "yes" => FAMILY.warning(
            "state",
            unit,
            "its files were changed since systemd read them",
            format!("systemctl daemon-reload && systemctl restart {unit}"),
        ),
        state => FAMILY.ok("state", unit, plain(state)),
    }];
    match value("NRestarts").parse::<u64>() {
        Ok(0) => checks.push(FAMILY.ok("restarts", unit, "it was not started again by itself")),
        Ok(n) => checks.push(FAMILY.warning(
            "restarts",
            unit,
            format!("it ended and was started again {n} times since somebody started it"),
            format!("why: journalctl -u {unit} -p warning -n 50"),
        )),
        Err(_) => {}
    }
    checks.push(sandbox(of, unit, found));
    checks
}

/// Pure. What systemd does not know, as an old one may, was not taken away by anybody.
fn sandbox(of: &str, unit: &str, found: &BTreeMap<String, String>) -> Check {
    let user = format!("msp-{of}");
    let network = (of == "agent").then_some(("PrivateNetwork", "yes"));
    let weaker: Vec<String> = SANDBOX
        .into_iter()
        .chain(network)
        .chain([("User", user.as_str())])
        .filter_map(|(name, wanted)| {
            let is = found.get(name)?;
            (is != wanted).then(|| format!("{name}={} instead of {wanted:?}", plain(is)))
        })
        .collect();
    if weaker.is_empty() {
        return FAMILY.ok("sandbox", unit, "as the package has it");
    }
    let drop_ins = found.get("DropInPaths").map_or("", String::as_str);
    let whose = if drop_ins.is_empty() {
        "the unit".to_owned()
    } else {
        plain(drop_ins)
    };
    FAMILY.problem(
        "sandbox",
        unit,
        format!("it is weaker than the package's: {}", weaker.join(", ")),
        format!(
            "take that out of {whose}, then: systemctl daemon-reload && systemctl restart {unit}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    fn good() -> BTreeMap<String, String> {
        SANDBOX
            .into_iter()
            .chain([
                ("LoadState", "loaded"),
                ("ActiveState", "active"),
                ("Result", "success"),
                ("NRestarts", "0"),
                ("NeedDaemonReload", "no"),
                ("DropInPaths", ""),
                ("User", "msp-agent"),
                ("PrivateNetwork", "yes"),
            ])
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn findings(name: &str, value: &str) -> Vec<(&'static str, Verdict)> {
        let mut found = good();
        found.insert(name.to_owned(), value.to_owned());
        judge("agent", "msp-evidence-agent", &found)
            .into_iter()
            .filter(|check| check.verdict != Verdict::Ok)
            .map(|check| (check.check, check.verdict))
            .collect()
    }

    #[test]
    fn a_unit_that_fails_or_restarts_or_is_weaker_than_shipped_is_found() {
        assert_eq!(findings("Result", "success"), []);
        assert_eq!(
            findings("ActiveState", "failed"),
            [("state", Verdict::Problem)]
        );
        assert_eq!(
            findings("NeedDaemonReload", "yes"),
            [("state", Verdict::Warning)]
        );
        assert_eq!(findings("NRestarts", "3"), [("restarts", Verdict::Warning)]);
        for (name, value) in [
            ("PrivateNetwork", "no"),
            ("User", "root"),
            ("ProtectSystem", "full"),
            ("CapabilityBoundingSet", "cap_sys_admin"),
        ] {
            assert_eq!(
                findings(name, value),
                [("sandbox", Verdict::Problem)],
                "{name}"
            );
        }
        assert!(
            findings("LoadState", "not-found").is_empty(),
            "its file was looked for"
        );
    }

    #[test]
    fn the_network_is_the_uploaders_and_what_an_old_systemd_does_not_know_is_nobodys_fault() {
        let mut found = good();
        found.insert("PrivateNetwork".to_owned(), "no".to_owned());
        found.insert("User".to_owned(), "msp-uploader".to_owned());
        found.remove("MemoryDenyWriteExecute");
        let check = sandbox("uploader", "msp-evidence-uploader", &found);
        assert_eq!(check.verdict, Verdict::Ok, "{}", check.found);
    }
}
