//! A booted Debian with a real systemd and a real journal, for tests that must not pretend.
//!
//! `tests/run` makes its root file system once (mmdebstrap); each guest unpacks a copy of its own
//! and boots it in a container (systemd-nspawn) in under a second. The container gets a cgroup of
//! its own in both hierarchies and no network. It runs under a shell that waits for the end of its
//! standard input, so that it ends with the test whatever ends the test, and takes its cgroups
//! with it.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::tools::{self, Tool};

/// Nothing takes so long to boot on a machine that works.
const PATIENCE: Duration = Duration::from_secs(60);

/// Boots the folder "$2" in the cgroup "$1" until standard input ends. The settings are those under
/// which systemd's own sandboxing works in a container.
const SHELL: &str = r#"
for hierarchy in unified systemd; do
    mkdir -p "/sys/fs/cgroup/$hierarchy/$1" && echo $$ >"/sys/fs/cgroup/$hierarchy/$1/cgroup.procs"
done
SYSTEMD_SECCOMP=0 SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn -q -D "$2" --boot \
    --register=no --keep-unit --private-network --resolv-conf=off --link-journal=no \
    --console=pipe --capability=all --kill-signal=SIGRTMIN+3 </dev/null &
guest=$!
cat >/dev/null
# With its first process all of the guest ends, and then nspawn by itself.
kill -9 $(cat /proc/$guest/task/$guest/children) || kill -9 $guest
wait $guest
for hierarchy in unified systemd; do
    cgroup=/sys/fs/cgroup/$hierarchy/$1
    echo $$ >"/sys/fs/cgroup/$hierarchy/cgroup.procs"
    # A cgroup can be removed once the last of its processes is wholly gone.
    for try in 1 2 3 4 5 6 7 8 9 10; do
        find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
        [ -e "$cgroup" ] || break
        sleep 0.1
    done
done
"#;

/// A running guest; it ends when this is dropped.
pub struct Guest {
    root: tempfile::TempDir,
    shell: Child,
    /// The guest's process 1, as this machine numbers it.
    init: u32,
}

impl Guest {
    /// Boots a guest and waits until systemd has started everything; `None` after saying loudly that
    /// `test` is skipped, where there is no root file system, or no right to boot it.
    ///
    /// # Panics
    /// When it does not come up in time.
    #[must_use]
    pub fn boot(test: &str) -> Option<Self> {
        let archive = tools::find(Tool::Rootfs, test)?;
        if !nix::unistd::geteuid().is_root() {
            tools::skip(test, "only root can boot a guest");
            return None;
        }
        let root = tempfile::tempdir().unwrap();
        let unpacked = Command::new("tar")
            .arg("-xf")
            .arg(&archive)
            .arg("-C")
            .arg(root.path())
            .status()
            .unwrap();
        assert!(
            unpacked.success(),
            "{} cannot be unpacked",
            archive.display()
        );
        let name = root.path().file_name()?.to_str()?.trim_start_matches('.');
        let cgroup = format!("msp-guest-{name}");
        let log = std::fs::File::create(root.path().join("boot.log")).unwrap();
        let shell = Command::new("sh")
            .args(["-c", SHELL, "sh", &cgroup])
            .arg(root.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut guest = Self {
            root,
            shell,
            init: 0,
        };
        guest.wait();
        Some(guest)
    }

    /// Its root folder, as seen from outside.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Runs a command in the guest, as root, and waits for it.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(&self, command: &[&str]) -> Output {
        Command::new("nsenter")
            .args(["-t", &self.init.to_string()])
            .args(["-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"])
            .args(command)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn wait(&mut self) {
        let began = Instant::now();
        loop {
            if let Some(init) = child_of(self.shell.id(), "systemd-nspawn")
                .and_then(|nspawn| child_of(nspawn, "systemd"))
            {
                self.init = init;
                // It waits itself, once there is a bus to ask on.
                let state = self.run(&["systemctl", "is-system-running", "--wait"]);
                let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
                if state == "running" || state == "degraded" {
                    return;
                }
            }
            let over = self.shell.try_wait().unwrap();
            let log = std::fs::read_to_string(self.path().join("boot.log")).unwrap_or_default();
            assert!(
                over.is_none() && began.elapsed() < PATIENCE,
                "the guest does not come up: {over:?}\n{log}"
            );
            // Nobody tells when its first process is there.
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // It ends because its input has; there is nothing else to wait for.
        let _ = self.shell.wait();
    }
}

/// A child of a process that runs this program.
fn child_of(parent: u32, program: &str) -> Option<u32> {
    let children =
        std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().find_map(|pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (name.trim() == program).then(|| pid.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_has_a_systemd_and_a_journal_and_leaves_nothing_behind() {
        let test = "a_guest_has_a_systemd_and_a_journal_and_leaves_nothing_behind";
        let Some(guest) = Guest::boot(test) else {
            return;
        };
        let said = guest.run(&[
            "systemd-run",
            "--wait",
            "--unit=said.service",
            "sh",
            "-c",
            "echo words; exit 3",
        ]);
        assert_eq!(said.status.code(), Some(3), "{said:?}");
        let journal = guest.run(&["journalctl", "-u", "said.service", "-o", "cat"]);
        let journal = String::from_utf8(journal.stdout).unwrap();
        assert!(journal.lines().any(|line| line == "words"), "{journal}");
        let (root, init) = (guest.path().to_owned(), guest.init);
        drop(guest);
        assert!(!root.exists(), "its files are gone");
        let status = std::fs::read_to_string(format!("/proc/{init}/status"));
        assert!(
            status.as_ref().map_or(true, |s| s.contains("Z (zombie)")),
            "its processes are gone: {status:?}"
        );
        let name = format!(
            "msp-guest-{}",
            root.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .trim_start_matches('.')
        );
        for hierarchy in ["unified", "systemd"] {
            let cgroup = Path::new("/sys/fs/cgroup").join(hierarchy).join(&name);
            assert!(!cgroup.exists(), "{} is left", cgroup.display());
        }
    }
}
