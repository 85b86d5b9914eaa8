//! The gate of `systemd-analyze security`: how much of the host a break-in into a service would have.

use std::fs;
use std::io::Write as _;

use tests::guest::{Guest, Release};
use tests::tools::workspace_root;

/// The exposure that is allowed (0 is none, 10 is all), in tenths as systemd prints them.
const LIMITS: [(&str, f64); 3] = [
    ("msp-evidence-agent.service", 0.5),
    ("msp-evidence-uploader.service", 1.2),
    ("msp-evidence-alarm@agent.service", 0.5),
];

/// What systemd says of the units as they are shipped, or changed by `change`.
fn scores(guest: &Guest, change: impl Fn(String) -> String) -> Vec<(&'static str, f64)> {
    let folder = workspace_root().join("systemd");
    for name in [
        "msp-evidence-agent.service",
        "msp-evidence-uploader.service",
        "msp-evidence-alarm@.service",
    ] {
        let text = change(fs::read_to_string(folder.join(name)).unwrap());
        fs::write(guest.path().join("etc/systemd/system").join(name), text).unwrap();
    }
    guest.sh("systemctl daemon-reload");
    LIMITS
        .iter()
        .map(|(unit, _)| {
            let said = guest.sh(&format!("systemd-analyze security --no-pager {unit}"));
            let line = said.lines().last().unwrap_or_default();
            let score = line
                .split_once("exposure level for")
                .and_then(|(_, rest)| rest.split(": ").nth(1))
                .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            (*unit, score.unwrap_or_else(|| panic!("{said}")))
        })
        .collect()
}

#[test]
fn the_services_expose_no_more_of_the_host_than_is_allowed() {
    let test = "the_services_expose_no_more_of_the_host_than_is_allowed";
    for release in [Release::Bookworm, Release::Trixie] {
        let Some(guest) = Guest::boot(release, test) else {
            return;
        };
        for ((unit, score), (_, limit)) in scores(&guest, |text| text).iter().zip(LIMITS) {
            // Not captured: the numbers are to be seen in each run's log.
            let shown = format!("systemd {}: {unit} {score} of {limit}\n", release.systemd());
            std::io::stderr().write_all(shown.as_bytes()).unwrap();
            assert!(*score <= limit, "{unit}: {score}");
        }
        let open = scores(&guest, |text| {
            text.replace("RestrictNamespaces=yes\n", "")
                .replace("NoNewPrivileges=yes\n", "")
        });
        let (unit, score) = open[0];
        assert!(score > LIMITS[0].1, "the gate notices: {unit} {score}");
    }
}

#[test]
fn no_systemd_complains_about_the_units_but_of_what_it_is_too_old_for() {
    let test = "no_systemd_complains_about_the_units_but_of_what_it_is_too_old_for";
    for release in Release::DEBIAN {
        let Some(guest) = Guest::boot(release, test) else {
            return;
        };
        for program in ["msp-evidence-agent", "msp-evidence-uploader"] {
            let path = guest.path().join("usr/bin").join(program);
            fs::write(&path, "#!/bin/sh\n").unwrap();
            guest.sh(&format!("chmod 0755 /usr/bin/{program}"));
        }
        let _ = scores(&guest, |text| {
            // There are no manuals in a lean guest.
            let lines = text.lines().filter(|l| !l.starts_with("Documentation="));
            lines.map(|line| format!("{line}\n")).collect()
        });
        let verified = guest.run(&[
            "sh",
            "-c",
            "exec systemd-analyze verify /etc/systemd/system/msp-evidence-*.service 2>&1",
        ]);
        let said = String::from_utf8(verified.stdout).unwrap();
        println!("systemd {}:\n{said}", release.systemd());
        let too_old: &[&str] = match release.systemd() {
            247 => &[
                "LoadCredentialEncrypted",
                "SocketBindDeny",
                "RestartSteps",
                "RestartMaxDelaySec",
                "PrivateIPC",
            ],
            252 => &["RestartSteps", "RestartMaxDelaySec"],
            _ => &[],
        };
        let others: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("msp-evidence"))
            .filter(|line| !too_old.iter().any(|name| line.contains(name)))
            .collect();
        assert_eq!(others, Vec::<&str>::new());
        for name in too_old {
            assert!(said.contains(name), "{name} is known to it: {said}");
        }
    }
}
