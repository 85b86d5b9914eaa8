//! The services under systemd: ready when they are, killed when they hang, reloaded without a stop,
//! started again for ever with one alarm, and refused before they are ready when a secret is not as it
//! should be.

use std::fs;

use serde_json::Value;
use tests::clinic::Role;
use tests::guest::{Host, Release};

const ROLES: [Role; 2] = [Role::Agent, Role::Uploader];

/// A host whose services are watched and started again sooner than usual, or a test takes minutes.
fn host(release: Release, test: &str) -> Option<Host> {
    let host = Host::boot(release, test)?;
    for role in ROLES {
        let folder = format!("etc/systemd/system/{}.service.d", role.service());
        let folder = host.guest.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(
            folder.join("soon.conf"),
            "[Service]\nWatchdogSec=3\nRestartSec=200ms\nRestartSteps=0\n",
        )
        .unwrap();
    }
    host.install_by_hand();
    host.configure("");
    Some(host)
}

fn restarts(host: &Host, role: Role) -> u32 {
    host.property(role, "NRestarts").parse().unwrap()
}

/// Lines of priority alert that speak of this service.
fn alarms(host: &Host, role: Role) -> Vec<String> {
    let lines = host
        .guest
        .sh("journalctl --sync; journalctl -p alert..alert -o cat");
    let unit = format!("{}.service", role.service());
    let of_it = lines.lines().filter(|line| line.contains(&unit));
    of_it.map(ToOwned::to_owned).collect()
}

/// The codes of the alarms that `status` shows of a service.
fn shown(host: &Host, role: Role) -> Vec<String> {
    let by = match role {
        Role::Agent => "agent",
        Role::Uploader => "uploader",
    };
    let status = host.status();
    let alarms = status["alarms"].as_array().cloned().unwrap_or_default();
    let code = |alarm: &Value| alarm["code"].as_str().unwrap_or_default().to_owned();
    alarms.iter().filter(|a| a["by"] == by).map(code).collect()
}

#[test]
fn a_service_that_hangs_is_killed_by_its_watchdog_and_nothing_is_lost() {
    let test = "a_service_that_hangs_is_killed_by_its_watchdog_and_nothing_is_lost";
    for release in [Release::Bookworm, Release::Trixie] {
        let Some(mut host) = host(release, test) else {
            return;
        };
        host.drop_incidents(&["INC-1"]);
        host.wait_until("the first to be confirmed", Host::is_confirmed);
        for (n, role) in ROLES.into_iter().enumerate() {
            let pid = host.pid(role);
            host.guest.sh(&format!("kill -STOP {pid}"));
            let ids = [format!("INC-{}", 2 * n + 2), format!("INC-{}", 2 * n + 3)];
            host.drop_incidents(&[&ids[0], &ids[1]]);
            host.wait_until("another process", |host| {
                host.is_active(role) && host.pid(role) != pid
            });
            host.wait_until("all to be confirmed", Host::is_confirmed);
            assert_eq!(restarts(&host, role), 1);
            let told = alarms(&host, role);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].contains("watchdog"), "{told:?}");
            assert_eq!(shown(&host, role), ["failing"]);
        }
        host.assert_proven();
    }
}

#[test]
fn a_service_that_works_or_waits_is_never_killed_and_says_how_it_stands() {
    let test = "a_service_that_works_or_waits_is_never_killed_and_says_how_it_stands";
    let Some(mut host) = host(Release::Trixie, test) else {
        return;
    };
    let began = host.guest.sh("cut -d. -f1 /proc/uptime");
    host.lose_store();
    host.drop_incidents(&["INC-1", "INC-2", "INC-3"]);
    host.wait_until("the uploader to say what waits", |host| {
        let status = host.property(Role::Uploader, "StatusText");
        status.contains("pending, oldest") && status.contains("next")
    });
    host.wait_until("the agent to say what was sealed", |host| {
        let status = host.property(Role::Agent, "StatusText");
        status.starts_with("0 drops wait, 3 sealed since start")
            && status.contains("custody due in")
    });
    // Several times the watchdog's limit, without anything to do.
    host.wait_until("some time to pass", |host| {
        let now = host.guest.sh("cut -d. -f1 /proc/uptime");
        now.trim().parse::<u64>().unwrap() > began.trim().parse::<u64>().unwrap() + 10
    });
    for role in ROLES {
        assert_eq!(restarts(&host, role), 0);
        assert_eq!(alarms(&host, role), Vec::<String>::new());
    }
    host.reach_store();
    host.wait_until("all to be confirmed", Host::is_confirmed);
    // A clean stop is none of a failure, and seals custody.
    host.guest
        .sh("systemctl stop msp-evidence-agent msp-evidence-uploader");
    for role in ROLES {
        assert_eq!(host.property(role, "Result"), "success");
        assert_eq!(alarms(&host, role), Vec::<String>::new());
    }
    assert!(
        host.journal("msp-evidence-agent")
            .contains("custody is sealed")
    );
    host.guest
        .sh("systemctl start msp-evidence-agent msp-evidence-uploader");
    host.wait_until("custody to be confirmed", Host::is_confirmed);
    host.assert_proven();
}

#[test]
fn a_configuration_is_taken_or_refused_while_the_services_work() {
    let test = "a_configuration_is_taken_or_refused_while_the_services_work";
    for release in [Release::Bookworm, Release::Trixie] {
        let Some(mut host) = host(release, test) else {
            return;
        };
        let pids = ROLES.map(|role| host.pid(role));
        let drop_in = host.guest.path().join("etc/msp/evidence.d/50-test.toml");
        for (n, limit) in [(1, "group_limit = 1"), (2, "group_limit = 7")] {
            let ids: Vec<String> = (0..8).map(|i| format!("INC-{n}-{i}")).collect();
            host.drop_incidents(&ids.iter().map(String::as_str).collect::<Vec<_>>());
            fs::write(&drop_in, format!("[agent]\n{limit}\n")).unwrap();
            host.guest
                .sh("systemctl reload msp-evidence-agent msp-evidence-uploader");
        }
        host.wait_until("all to be confirmed", Host::is_confirmed);
        for role in ROLES {
            let journal = host.journal(role.service());
            assert_eq!(
                journal.matches("the configuration was read again").count(),
                2,
                "{journal}"
            );
        }

        // One that does not parse, and one that needs a restart.
        for (broken, says) in [
            ("nonsense", "50-test.toml, line 1"),
            (
                "client_id = \"clinic-b\"",
                "client_id cannot change while the service runs",
            ),
        ] {
            fs::write(&drop_in, broken).unwrap();
            for role in ROLES {
                let reload = host.guest.run(&["systemctl", "reload", role.service()]);
                assert!(!reload.status.success(), "{broken} {role:?}");
                host.guest
                    .sh(&format!("systemctl kill -s HUP {}", role.service()));
                host.wait_until("the refusal", |host| {
                    let journal = host.journal(role.service());
                    journal.contains("the configuration was not read again")
                        && journal.contains(says)
                });
                assert!(host.is_active(role));
            }
            let ids = format!("INC-{}", says.len());
            host.drop_incidents(&[&ids]);
            // `status` reads the same configuration, and would only say what is wrong with it.
            fs::remove_file(&drop_in).unwrap();
            for role in ROLES {
                assert_eq!(shown(&host, role), ["reload_refused"]);
            }
            host.wait_until("it to be confirmed all the same", Host::is_confirmed);
            host.guest
                .sh("systemctl reload msp-evidence-agent msp-evidence-uploader");
            for role in ROLES {
                assert_eq!(shown(&host, role), Vec::<String>::new());
            }
        }
        assert_eq!(
            ROLES.map(|role| host.pid(role)),
            pids,
            "nobody was restarted"
        );
        host.assert_proven();
    }
}

#[test]
fn a_crash_loop_is_one_alarm_and_ends_by_itself_when_its_cause_does() {
    let test = "a_crash_loop_is_one_alarm_and_ends_by_itself_when_its_cause_does";
    for release in [Release::Bookworm, Release::Trixie] {
        let Some(mut host) = host(release, test) else {
            return;
        };
        host.guest.sh("systemctl stop msp-evidence-agent");
        let before = restarts(&host, Role::Agent);
        host.guest
            .sh("mv /etc/msp/credentials/signing-key-password /root/password
             systemctl start --no-block msp-evidence-agent");
        host.wait_until("some restarts", |host| {
            restarts(host, Role::Agent) >= before + 4
        });
        host.drop_incidents(&["INC-1", "INC-2"]);
        let told = alarms(&host, Role::Agent);
        assert_eq!(told.len(), 1, "{told:?}");
        let journal = host.journal("msp-evidence-agent");
        let ready = journal.lines().filter(|line| *line == "ready").count();
        assert_eq!(
            ready, 1,
            "when it was installed, and never again: {journal}"
        );
        for words in [
            "/etc/msp/signing-keys/evidence.key",
            "no password for the signing key",
            "write /etc/msp/credentials/signing-key-password, owner root, mode 0400",
        ] {
            assert!(journal.contains(words), "no {words:?} in {journal}");
        }
        let codes = shown(&host, Role::Agent);
        assert!(codes.contains(&"failing".to_owned()), "{codes:?}");
        let doctor = host.guest.run(&["msp-evidence", "doctor"]);
        let doctor = String::from_utf8(doctor.stdout).unwrap();
        assert!(doctor.contains("failed"), "{doctor}");
        // However often it is started; and from 254 on it is, by each failure.
        host.guest
            .sh("for n in 1 2 3; do systemctl start msp-evidence-alarm@agent; done");
        assert_eq!(alarms(&host, Role::Agent).len(), 1);
        let alarm = |property: &str| {
            let show = "systemctl show --value msp-evidence-alarm@agent -p";
            host.guest.sh(&format!("{show} {property}"))
        };
        assert_eq!(alarm("Result").trim(), "success", "it never fails itself");
        let log = host
            .guest
            .sh("journalctl -u msp-evidence-alarm@agent -o cat");
        let runs = log.matches("Starting msp-evidence-alarm@agent").count();
        assert_eq!(runs > 3, release.systemd() >= 254, "{log}");

        host.guest
            .sh("mv /root/password /etc/msp/credentials/signing-key-password");
        host.wait_until("the agent to recover", |host| host.is_active(Role::Agent));
        host.wait_until("all to be confirmed", Host::is_confirmed);
        assert_eq!(alarms(&host, Role::Agent).len(), 1);
        host.assert_proven();
    }
}

#[test]
fn a_secret_that_others_can_read_stops_the_start_with_the_file_and_the_remedy() {
    let test = "a_secret_that_others_can_read_stops_the_start_with_the_file_and_the_remedy";
    let Some(host) = host(Release::Bookworm, test) else {
        return;
    };
    for (role, name) in [
        (Role::Agent, "signing-key-password"),
        (Role::Uploader, "s3-credentials"),
    ] {
        let file = format!("/etc/msp/credentials/{name}");
        let unit = role.service();
        host.guest.sh(&format!(
            "systemctl stop {unit}; chmod 0755 /etc/msp/credentials; chmod 0444 {file}"
        ));
        let start = host.guest.run(&["systemctl", "start", unit]);
        assert!(!start.status.success(), "{unit}");
        let journal = host.journal(unit);
        for words in [
            &*format!("{file} can be read by others"),
            &format!("chmod 0400 {file}"),
        ] {
            assert!(journal.contains(words), "no {words:?} in {journal}");
        }
        host.guest.sh(&format!(
            "chmod 0400 {file}; chmod 0700 /etc/msp/credentials"
        ));
        host.wait_until("it to start by itself", |host| host.is_active(role));
    }
}

#[test]
fn encrypted_credentials_and_files_serve_where_plain_credentials_do_not() {
    let test = "encrypted_credentials_and_files_serve_where_plain_credentials_do_not";
    let Some(mut host) = host(Release::Trixie, test) else {
        return;
    };
    host.guest.sh("cd /etc/msp/credentials
         for name in signing-key-password s3-credentials; do
             systemd-creds encrypt --with-key=host --name=$name.cred $name $name.cred 2>/dev/null
             mv $name /root/
         done
         systemctl restart msp-evidence-agent msp-evidence-uploader");
    host.drop_incidents(&["INC-1"]);
    host.wait_until(
        "it to be confirmed with encrypted credentials",
        Host::is_confirmed,
    );
    // As on systemd 239 to 246, which hand over nothing.
    host.guest.sh("rm /etc/msp/credentials/*
         install -o msp-agent -m 0400 /root/signing-key-password /etc/msp/signing-keys/password
         install -o msp-uploader -m 0400 /root/s3-credentials /etc/msp/aws
         printf '[signing]\npassword_file = \"/etc/msp/signing-keys/password\"\n' \
             >/etc/msp/evidence.d/50-password.toml
         sed -i 's,^path_style.*,&\\ncredentials_file = \"/etc/msp/aws\",' /etc/msp/evidence.toml
         systemctl restart msp-evidence-agent msp-evidence-uploader");
    host.drop_incidents(&["INC-2"]);
    host.wait_until("it to be confirmed with files", Host::is_confirmed);
    host.assert_proven();
}
