//! A booted Debian with a real systemd and a real journal, for tests that must not pretend.
//!
//! `tests/run` makes the files of each release once (mmdebstrap). A guest lays a tmpfs over them, so
//! it writes to nothing that lasts, and boots in a container (systemd-nspawn) in about a second. The
//! container gets a cgroup of its own in both hierarchies and a network of its own that has no way
//! out but the [`Relay`]s that a test opens. It runs under a shell, in a mount namespace and a process
//! group of its own, that waits for the end of its standard input: so it ends with the test whatever
//! ends the test, and takes its cgroups and its mounts with it.

mod host;
mod relay;
mod release;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::tools;
pub use host::{EXECUTOR, Host, printed};
pub use relay::Relay;
pub use release::Release;

/// Nothing takes so long on a machine that works.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where a guest finds what a relay leads to; kept for documentation (RFC 5737), so it is nobody's.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The name of that address in every guest.
pub const STORE_NAME: &str = "store.example";

/// Boots the folder "$3", under a tmpfs on "$2", in the cgroup "$1" until standard input ends. The
/// settings are those under which systemd's own sandboxing works in a container.
const SHELL: &str = r#"
mount -t tmpfs none "$2" && mkdir "$2/root" "$2/upper" "$2/work" &&
    mount -t overlay -o "lowerdir=$3,upperdir=$2/upper,workdir=$2/work" none "$2/root" || exit
for hierarchy in unified systemd; do
    mkdir -p "/sys/fs/cgroup/$hierarchy/$1" && echo $$ >"/sys/fs/cgroup/$hierarchy/$1/cgroup.procs"
done
SYSTEMD_SECCOMP=0 SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn -q -D "$2/root" --boot \
    --machine="$1" --register=no --keep-unit --private-network --resolv-conf=off --link-journal=no \
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
    release: Release,
    folder: tempfile::TempDir,
    root: PathBuf,
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
    pub fn boot(release: Release, test: &str) -> Option<Self> {
        let lower = release.root(test)?;
        if !nix::unistd::geteuid().is_root() {
            tools::skip(test, "only root can boot a guest");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("over")).unwrap();
        let log = fs::File::create(folder.path().join("boot.log")).unwrap();
        let shell = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .args(["sh", "-c", SHELL, "sh", &name_of(folder.path())])
            .arg(folder.path().join("over"))
            .arg(lower)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            // What interrupts the test does not interrupt its tidying up.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut guest = Self {
            release,
            folder,
            root: PathBuf::new(),
            shell,
            init: 0,
        };
        guest.wait();
        Some(guest)
    }

    /// Which system it is.
    #[must_use]
    pub const fn release(&self) -> Release {
        self.release
    }

    /// Its root folder, as seen from outside. It is another file system than any outside, so nothing
    /// can be renamed into it, and links in it lead out of it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Opens a way to `outside`, which the guest reaches as [`STORE_NAME`] on this port.
    ///
    /// # Panics
    /// When the port is taken there.
    #[must_use]
    pub fn relay(&self, runtime: &Handle, port: u16, outside: SocketAddr) -> Relay {
        let inside = SocketAddr::from((OUTSIDE, port));
        Relay::open(runtime, self.init, inside, outside)
            .unwrap_or_else(|error| panic!("no way from {inside} to {outside}: {error}"))
    }

    /// Runs a script in the guest with bash, as root, which must succeed; what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn sh(&self, script: &str) -> String {
        let output = self.run(&["bash", "-euo", "pipefail", "-c", script]);
        assert!(
            output.status.success(),
            "{script}\nin {}: {}\n{}{}",
            self.release.name(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command in the guest, as root, and waits for it; what hangs is killed after a while.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(&self, command: &[&str]) -> Output {
        Command::new("nsenter")
            .args(["-t", &self.init.to_string()])
            .args(["-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"])
            .args(["timeout", "--kill-after=1", &PATIENCE.as_secs().to_string()])
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
                    break;
                }
            }
            let over = self.shell.try_wait().unwrap();
            let log = fs::read_to_string(self.folder.path().join("boot.log")).unwrap_or_default();
            assert!(
                over.is_none() && began.elapsed() < PATIENCE,
                "the guest does not come up: {over:?}\n{log}"
            );
            // Nobody tells when its first process is there.
            std::thread::park_timeout(Duration::from_millis(20));
        }
        self.root = PathBuf::from(format!("/proc/{}/root", self.init));
        self.give_network();
    }

    /// An interface, so that a service without a network of its own reaches what is offered, and one
    /// with a loopback of its own does not.
    fn give_network(&self) {
        let hosts = self.path().join("etc/hosts");
        let mut names = fs::read_to_string(&hosts).unwrap_or_default();
        names.push_str(&format!("{OUTSIDE} {STORE_NAME}\n"));
        fs::write(&hosts, names).unwrap();
        for command in [
            "link add net0 type veth peer name net1",
            &format!("address add {OUTSIDE}/24 dev net0"),
            "link set net0 up",
            "link set net1 up",
        ] {
            // A lean guest has no ip(8) of its own.
            let output = Command::new("nsenter")
                .args(["-t", &self.init.to_string(), "-n", "ip"])
                .args(command.split(' '))
                .output()
                .unwrap();
            assert!(output.status.success(), "ip {command}: {output:?}");
        }
    }
}

/// What its cgroups are called, and its machine.
fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    format!("msp-guest-{}", name.trim_start_matches(".tmp"))
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
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_guest_has_a_systemd_and_a_journal_and_leaves_nothing_behind() {
        let test = "a_guest_has_a_systemd_and_a_journal_and_leaves_nothing_behind";
        for release in Release::DEBIAN {
            let Some(guest) = Guest::boot(release, test) else {
                return;
            };
            let version = guest.sh("systemctl --version");
            let systemd = format!("systemd {} ", release.systemd());
            assert!(version.starts_with(&systemd), "{version}");
            let said = guest.run(&[
                "systemd-run",
                "--wait",
                "--unit=said.service",
                "sh",
                "-c",
                "echo words; exit 3",
            ]);
            assert_eq!(said.status.code(), Some(3), "{said:?}");
            let journal = guest.sh("journalctl -u said.service -o cat");
            assert!(journal.lines().any(|line| line == "words"), "{journal}");
            let (folder, init) = (guest.folder.path().to_owned(), guest.init);
            drop(guest);
            assert!(!folder.exists(), "its files are gone");
            let status = fs::read_to_string(format!("/proc/{init}/status"));
            assert!(
                status.as_ref().map_or(true, |s| s.contains("Z (zombie)")),
                "its processes are gone: {status:?}"
            );
            let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
            assert!(!mounts.contains(folder.to_str().unwrap()), "{mounts}");
            for hierarchy in ["unified", "systemd"] {
                let cgroup = Path::new("/sys/fs/cgroup").join(hierarchy);
                let cgroup = cgroup.join(name_of(&folder));
                assert!(!cgroup.exists(), "{} is left", cgroup.display());
            }
        }
    }

    #[test]
    fn guests_side_by_side_reach_what_each_is_offered_and_nothing_without_a_network_does() {
        let test =
            "guests_side_by_side_reach_what_each_is_offered_and_nothing_without_a_network_does";
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let boot = || Guest::boot(Release::Bookworm, test);
        let (Some(one), Some(two)) = (boot(), boot()) else {
            return;
        };
        let offer = |guest: &Guest, word: &'static str| {
            let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let relay = guest.relay(runtime.handle(), 9000, listener.local_addr().unwrap());
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    // Whoever asks may be gone.
                    let _ = stream.unwrap().write_all(word.as_bytes());
                }
            });
            relay
        };
        let ask = |guest: &Guest, property: &str| {
            let script = format!(
                "exec systemd-run -q --pipe {property} bash -c 'cat </dev/tcp/{STORE_NAME}/9000'"
            );
            let output = guest.run(&["sh", "-c", &script]);
            String::from_utf8(output.stdout).unwrap()
        };
        let (of_one, of_two) = (offer(&one, "first"), offer(&two, "second"));
        assert_eq!(ask(&one, ""), "first");
        assert_eq!(ask(&two, ""), "second");
        assert_eq!(ask(&one, "--property=PrivateNetwork=yes"), "");
        drop(of_one);
        assert_eq!(ask(&one, ""), "");
        assert_eq!(ask(&two, ""), "second");
        drop(of_two);
    }
}
