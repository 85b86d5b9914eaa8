//! The life of an installation, from the first package to the purge, in each guest.
//!
//! Each step is judged by what an engineer can observe: dpkg says that all went well also when a
//! service did not start. At the end the bucket is judged with nothing but the public key: every
//! incident that was ever dropped is in it, in one chain.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use tests::clinic::Role;
use tests::guest::{Host, Release, printed};

use crate::packages::{Format, Version};

const ROLES: [Role; 2] = [Role::Agent, Role::Uploader];
/// A schema that no version of ours has.
const NEWER_SCHEMA: u32 = 4096;
/// Where it stands in an SQLite file (sqlite.org/fileformat2.html, the database header).
const USER_VERSION_AT: u64 = 60;
/// What the packages must never take away, each file with its digest.
const BELONGINGS: &str = "find /etc/msp /var/lib/msp/evidence -type f -exec sha256sum {} + | sort";

#[test]
fn a_debian_11_keeps_its_evidence_through_everything_that_happens_to_the_packages() {
    live(
        Release::Bullseye,
        "a_debian_11_keeps_its_evidence_through_everything_that_happens_to_the_packages",
    );
}

#[test]
fn a_debian_12_keeps_its_evidence_through_everything_that_happens_to_the_packages() {
    live(
        Release::Bookworm,
        "a_debian_12_keeps_its_evidence_through_everything_that_happens_to_the_packages",
    );
}

#[test]
fn a_debian_13_keeps_its_evidence_through_everything_that_happens_to_the_packages() {
    live(
        Release::Trixie,
        "a_debian_13_keeps_its_evidence_through_everything_that_happens_to_the_packages",
    );
}

#[test]
fn rpm_and_dnf_keep_evidence_through_everything_that_happens_to_the_packages() {
    live(
        Release::Rpm,
        "rpm_and_dnf_keep_evidence_through_everything_that_happens_to_the_packages",
    );
}

/// A host on its way through life.
struct Life {
    host: Host,
    format: Format,
    began: Instant,
    /// Incidents so far.
    incidents: usize,
}

fn live(release: Release, test: &str) {
    let Some(host) = Host::boot(release, test) else {
        return;
    };
    let format = Format::of(release);
    if format.lay_out(&host.guest, test).is_none() {
        return;
    }
    let mut life = Life {
        host,
        format,
        began: Instant::now(),
        incidents: 0,
    };
    life.install();
    life.configure();
    life.drop_incidents();
    life.kill();
    life.reload();
    life.stop_with_work_pending();
    life.upgrade_with_work_pending();
    life.refuse_a_downgrade();
    life.hang();
    life.loop_and_recover();
    life.remove_and_reinstall();
    life.purge();
    life.step("judge the bucket");
    life.host.assert_proven();
    life.step("done");
}

impl Life {
    /// Says what comes, and when.
    fn step(&self, name: &str) {
        let secs = self.began.elapsed().as_secs_f32();
        println!("[{} {secs:5.1} s] {name}", self.host.guest.release().name());
    }

    /// Drops one more incident, which may wait.
    fn drop_one(&mut self) {
        self.incidents += 1;
        let id = format!("INC-{}", self.incidents);
        self.host.drop_incidents(&[&id]);
    }

    /// Drops one more incident and sees it confirmed.
    fn works(&mut self) {
        self.drop_one();
        self.host
            .wait_until("everything to be confirmed", Host::is_confirmed);
    }

    fn are_active(&self) {
        for role in ROLES {
            assert!(
                self.host.is_active(role),
                "{}",
                self.host.journal(role.service())
            );
        }
    }

    fn numbers(&self, pointer: &str) -> u64 {
        let status = self.host.status();
        let number = status.pointer(pointer).and_then(serde_json::Value::as_u64);
        number.unwrap_or_else(|| panic!("{pointer}: {status:#}"))
    }

    fn pids(&self) -> [String; 2] {
        ROLES.map(|role| self.host.pid(role))
    }

    /// Waits until another process than this one serves.
    fn await_other(&self, role: Role, before: &str) {
        self.host.wait_until("a new process", |host| {
            // In this order, since between the two there is none.
            ![before, "0"].contains(&host.pid(role).as_str()) && host.is_active(role)
        });
    }

    fn restarts(&self, role: Role) -> u64 {
        self.host.property(role, "NRestarts").parse().unwrap()
    }

    fn install(&self) {
        self.step("install");
        let guest = &self.host.guest;
        self.format.install(guest, Version::Old);
        for role in ROLES {
            let service = role.service();
            assert_eq!(
                guest.sh(&format!("systemctl is-enabled {service}")).trim(),
                "enabled"
            );
            // Quiet, and no failure, until somebody has configured it.
            assert_eq!(self.host.property(role, "ActiveState"), "inactive");
            assert_eq!(self.host.property(role, "Result"), "success");
        }
        let failed = guest.sh("systemctl list-units --failed --plain --no-legend 'msp-*'");
        assert_eq!(failed, "");
        assert_eq!(
            guest
                .sh("id -nG msp-agent; id -nG msp-uploader")
                .split_whitespace()
                .collect::<Vec<_>>(),
            [
                "msp-agent",
                "msp-drop",
                "msp-handover",
                "msp-uploader",
                "msp-handover"
            ]
        );
        let folders = guest.sh(
            "cd /var/lib/msp; stat -c '%n %a %U %G' drop spool quarantine requests evidence outbox \
             receipts delivery /etc/msp /etc/msp/signing-keys /etc/msp/credentials",
        );
        assert_eq!(
            folders,
            "drop 3770 msp-agent msp-drop\n\
             spool 700 msp-agent msp-agent\n\
             quarantine 700 msp-agent msp-agent\n\
             requests 700 msp-agent msp-agent\n\
             evidence 2750 msp-agent msp-handover\n\
             outbox 2750 msp-agent msp-handover\n\
             receipts 3770 msp-agent msp-handover\n\
             delivery 700 msp-uploader msp-uploader\n\
             /etc/msp 755 root root\n\
             /etc/msp/signing-keys 700 msp-agent msp-agent\n\
             /etc/msp/credentials 700 root root\n"
        );
        guest.sh(
            "msp-evidence --version; msp-evidence-agent --version; msp-evidence-uploader --version",
        );
    }

    fn configure(&self) {
        self.step("configure");
        self.host.configure("");
        self.are_active();
    }

    fn drop_incidents(&mut self) {
        self.step("drop incidents");
        for _ in 0..3 {
            self.drop_one();
        }
        self.works();
        assert_eq!(self.numbers("/spool/sealed_bundles"), 4);
    }

    fn kill(&mut self) {
        self.step("kill -9");
        let before = self.pids();
        self.host.guest.sh(&format!("kill -9 {}", before.join(" ")));
        for (role, killed) in ROLES.into_iter().zip(before) {
            self.await_other(role, &killed);
            assert_eq!(self.restarts(role), 1);
        }
        self.works();
    }

    fn reload(&mut self) {
        self.step("reload");
        let before = self.pids();
        let file = "/etc/msp/evidence.toml";
        self.host.guest.sh(&format!(
            "sed -i 's/^backoff_max_secs = 1$/backoff_max_secs = 2/' {file}
             systemctl reload msp-evidence-agent msp-evidence-uploader"
        ));
        self.are_active();
        for role in ROLES {
            let journal = self.host.journal(role.service());
            assert!(
                journal.contains("the configuration was read again"),
                "{journal}"
            );
        }
        // What cannot be understood is refused, and what runs goes on.
        self.host.guest.sh(&format!(
            "cp -p {file} /srv/good; echo 'no_such_setting = 1' >>{file}"
        ));
        for role in ROLES {
            let refused = self
                .host
                .guest
                .run(&["systemctl", "reload", role.service()]);
            assert!(!refused.status.success(), "{refused:?}");
        }
        self.host.guest.sh(&format!("cp -p /srv/good {file}"));
        self.works();
        assert_eq!(self.pids(), before, "nothing was stopped");
    }

    fn stop_with_work_pending(&mut self) {
        self.step("stop with work pending");
        self.host.lose_store();
        self.drop_one();
        self.host.wait_until("the incident to be pending", |host| {
            host.status()["pending"].as_u64() > Some(0)
        });
        let sealed = self.numbers("/spool/sealed_bundles");
        self.host
            .guest
            .sh("systemctl stop msp-evidence-agent msp-evidence-uploader");
        for role in ROLES {
            assert_eq!(self.host.property(role, "ActiveState"), "inactive");
            assert_eq!(self.host.property(role, "Result"), "success");
        }
        assert_eq!(
            self.numbers("/spool/sealed_bundles"),
            sealed + 1,
            "custody at a clean stop"
        );
        self.host
            .guest
            .sh("systemctl start msp-evidence-agent msp-evidence-uploader");
        self.host.reach_store();
        self.works();
    }

    fn upgrade_with_work_pending(&mut self) {
        self.step("upgrade with work pending");
        let guest = &self.host.guest;
        let old = self.format.installed(guest, "msp-evidence-agent");
        self.host.lose_store();
        self.drop_one();
        self.host.wait_until("the incident to be pending", |host| {
            host.status()["pending"].as_u64() > Some(0)
        });
        let before = self.pids();
        let configured = self
            .host
            .guest
            .sh("find /etc/msp -type f -exec sha256sum {} + | sort");
        self.format.install(&self.host.guest, Version::New);
        let new = self
            .format
            .installed(&self.host.guest, "msp-evidence-agent");
        assert_ne!(new, old);
        assert_eq!(self.format.installed(&self.host.guest, "msp-evidence"), new);
        self.are_active();
        for (old, new) in before.iter().zip(self.pids()) {
            assert_ne!(*old, new, "the new program runs");
        }
        assert!(self.numbers("/pending") > 0);
        let after = self
            .host
            .guest
            .sh("find /etc/msp -type f -exec sha256sum {} + | sort");
        assert_eq!(after, configured);
        self.host.reach_store();
        self.works();
    }

    /// To packages that do not know the databases of those that are installed.
    fn refuse_a_downgrade(&mut self) {
        self.step("refuse a downgrade");
        let before = self.pids();
        self.host.guest.sh(&format!(
            "sed -i.kept 's/^spool .*/spool {NEWER_SCHEMA}/' /usr/share/msp-evidence/schemas"
        ));
        self.try_downgrade();
        self.host
            .guest
            .sh("mv /usr/share/msp-evidence/schemas.kept /usr/share/msp-evidence/schemas");
        assert_eq!(self.pids(), before, "nobody was disturbed");
        self.works();
    }

    fn try_downgrade(&self) {
        let packages = ["msp-evidence", "msp-evidence-agent"];
        let installed = || packages.map(|package| self.format.installed(&self.host.guest, package));
        let before = installed();
        let refused = self.format.downgrade(&self.host.guest);
        let said = printed(&refused);
        assert!(!refused.status.success(), "{said}");
        assert!(said.contains("written by a newer version"), "{said}");
        assert_eq!(installed(), before, "{said}");
    }

    /// Says of the spool, which nobody has open, that it has this schema; what it had before.
    fn set_schema(&self, version: u32) -> u32 {
        let spool = self.host.guest.path().join("var/lib/msp/spool");
        assert!(!spool.join("spool.db-wal").exists());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(spool.join("spool.db"))
            .unwrap();
        let mut before = [0; 4];
        file.read_exact_at(&mut before, USER_VERSION_AT).unwrap();
        file.write_all_at(&version.to_be_bytes(), USER_VERSION_AT)
            .unwrap();
        u32::from_be_bytes(before)
    }

    fn hang(&mut self) {
        self.step("hang, and be killed by the watchdog");
        for role in ROLES {
            self.host.guest.sh(&format!(
                "mkdir -p /run/systemd/system/{0}.service.d
                 printf '[Service]\\nWatchdogSec=4\\nRestartSec=100ms\\nRestartSteps=0\\n' \
                     >/run/systemd/system/{0}.service.d/soon.conf
                 systemctl daemon-reload; systemctl restart {0}",
                role.service()
            ));
        }
        let before = self.pids();
        self.host
            .guest
            .sh(&format!("kill -STOP {}", before.join(" ")));
        for (role, hung) in ROLES.into_iter().zip(before) {
            self.await_other(role, &hung);
            let journal = self.host.journal(role.service());
            assert!(journal.contains("Watchdog timeout"), "{journal}");
        }
        self.works();
    }

    /// The agent cannot start, over and over, while the uploader works; then what was wrong is mended.
    fn loop_and_recover(&mut self) {
        self.step("loop, alarm, and recover");
        self.host.guest.sh("systemctl stop msp-evidence-agent");
        let known = self.set_schema(NEWER_SCHEMA);
        let started = self
            .host
            .guest
            .run(&["systemctl", "start", "msp-evidence-agent"]);
        assert!(!started.status.success(), "{started:?}");
        let before = self.restarts(Role::Agent);
        self.host.wait_until("five more starts", |host| {
            host.property(Role::Agent, "NRestarts")
                .parse::<u64>()
                .unwrap()
                >= before + 5
        });
        assert!(!self.host.is_active(Role::Agent));
        assert!(self.host.is_active(Role::Uploader));
        let alarms = self.host.guest.sh("journalctl -q -p alert -o cat");
        let of_agent = alarms
            .lines()
            .filter(|line| line.contains("msp-evidence-agent.service failed"));
        // The kill, the hang and this: one row of failures.
        assert_eq!(of_agent.count(), 1, "{alarms}");
        let failed = self
            .host
            .guest
            .sh("cat /run/msp-evidence-agent/failed.json");
        let failed: serde_json::Value = serde_json::from_str(&failed).unwrap();
        assert!(failed["count"].as_u64() >= Some(7), "{failed}");
        self.try_downgrade();
        self.drop_one();
        self.set_schema(known);
        // Nobody starts it.
        self.host
            .wait_until("the agent to recover", |host| host.is_active(Role::Agent));
        self.works();
        self.host
            .guest
            .sh("rm -r /run/systemd/system/msp-evidence-*.service.d
             systemctl daemon-reload");
    }

    fn remove_and_reinstall(&mut self) {
        self.step("remove");
        let guest = &self.host.guest;
        guest.sh("systemctl stop msp-evidence-agent msp-evidence-uploader");
        let before = guest.sh(BELONGINGS);
        guest.sh("systemctl start msp-evidence-agent msp-evidence-uploader");
        self.are_active();
        self.format.remove(guest);
        self.are_gone();
        assert_eq!(kept(&before, &guest.sh(BELONGINGS)), before);
        self.step("reinstall");
        self.format.install(guest, Version::New);
        self.are_active();
        self.works();
    }

    fn are_gone(&self) {
        let guest = &self.host.guest;
        for package in ["msp-evidence", "msp-evidence-agent"] {
            assert_eq!(self.format.installed(guest, package), "");
        }
        for role in ROLES {
            assert_eq!(self.host.property(role, "LoadState"), "not-found");
            assert_eq!(self.host.property(role, "MainPID"), "0");
        }
        assert_eq!(
            guest.sh("find /usr/bin /usr/lib/systemd -name 'msp-evidence*'"),
            ""
        );
        assert_eq!(
            guest.sh("systemctl list-units --failed --plain --no-legend 'msp-*'"),
            ""
        );
    }

    fn purge(&mut self) {
        self.step("purge");
        let guest = &self.host.guest;
        guest.sh("systemctl stop msp-evidence-uploader msp-evidence-agent");
        let before = guest.sh(BELONGINGS);
        let said = match self.format {
            Format::Deb => guest.sh("apt-get purge -y -q msp-evidence-agent msp-evidence 2>&1"),
            // It knows no purge.
            Format::Rpm => self.format.remove(guest),
        };
        assert!(said.contains("left as it is: /var/lib/msp"), "{said}");
        assert!(said.contains("left as it is: /etc/msp"), "{said}");
        self.are_gone();
        assert_eq!(guest.sh(BELONGINGS), before);
        guest.sh("id msp-agent; id msp-uploader");
    }
}

/// Those lines of `before` that are in `after`, too.
fn kept(before: &str, after: &str) -> String {
    let after: Vec<&str> = after.lines().collect();
    let kept = before.lines().filter(|line| after.contains(line));
    kept.map(|line| format!("{line}\n")).collect()
}
