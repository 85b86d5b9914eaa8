//! As whom the daemons run, and what the kernel lets them do with a file.

use std::ffi::CString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use host::instance::is_running;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

/// Read, write and search, as in one digit of a mode.
pub(crate) const READ: u32 = 4;
pub(crate) const WRITE: u32 = 2;
pub(crate) const SEARCH: u32 = 1;

/// A user whom a daemon runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    /// Its name, or its number where it has none.
    pub(crate) name: String,
    pub(crate) uid: u32,
    /// All its groups.
    pub(crate) groups: Vec<u32>,
}

impl Who {
    /// As whom the daemon runs that holds `lock`; else the packages' user of this name, else whoever
    /// owns the daemon's own folder; `None` before there is any.
    pub(crate) fn of_daemon(name: &str, folder: &Path, lock: &str) -> Option<Self> {
        let lock = folder.join(lock);
        let running = is_running(&lock)
            .then(|| std::fs::read_to_string(&lock).ok())
            .flatten()
            .and_then(|text| text.lines().next()?.parse::<u32>().ok())
            .and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok())
            .and_then(|status| Self::of_status(&status));
        running.or_else(|| Self::by_name(name, folder))
    }

    /// From `/proc/PID/status` (proc(5)): a unit may give groups that no file knows.
    fn of_status(status: &str) -> Option<Self> {
        let numbers = |field: &str| -> Option<Vec<u32>> {
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            line.split_whitespace().map(|n| n.parse().ok()).collect()
        };
        // Real, effective, saved, of the file system: the last one is what opening files goes by.
        let uid = *numbers("Uid:")?.get(3)?;
        let mut groups = numbers("Groups:")?;
        groups.push(*numbers("Gid:")?.get(3)?);
        Some(Self {
            name: user(uid),
            uid,
            groups,
        })
    }

    fn by_name(name: &str, folder: &Path) -> Option<Self> {
        let user = match User::from_name(name) {
            Ok(Some(user)) => user,
            _ => {
                let uid = std::fs::metadata(folder).ok()?.uid();
                match User::from_uid(Uid::from_raw(uid)) {
                    Ok(Some(user)) => user,
                    _ => {
                        return Some(Self {
                            name: uid.to_string(),
                            uid,
                            groups: Vec::new(),
                        });
                    }
                }
            }
        };
        let groups = CString::new(user.name.as_str())
            .ok()
            .and_then(|name| getgrouplist(&name, user.gid).ok())
            .unwrap_or_else(|| vec![user.gid]);
        Some(Self {
            name: user.name,
            uid: user.uid.as_raw(),
            groups: groups.into_iter().map(Gid::as_raw).collect(),
        })
    }

    /// Whether the mode's bits let it do all of `what` (access control lists are not looked at).
    pub(crate) fn may(&self, what: u32, file: Access) -> bool {
        if self.uid == 0 {
            return true;
        }
        let digit = if self.uid == file.uid {
            file.mode >> 6
        } else if self.groups.contains(&file.gid) {
            file.mode >> 3
        } else {
            file.mode
        };
        digit & what == what
    }
}

/// Whose a file is and who may what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The lower twelve bits.
    pub(crate) mode: u32,
}

impl Access {
    pub(crate) fn of(meta: &Metadata) -> Self {
        Self {
            uid: meta.uid(),
            gid: meta.gid(),
            mode: meta.mode() & 0o7777,
        }
    }

    /// Such as `root:msp-drop 3770`.
    pub(crate) fn shown(self) -> String {
        format!("{}:{} {:04o}", user(self.uid), group(self.gid), self.mode)
    }
}

/// A user's name, or the number.
pub(crate) fn user(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

/// A group's name, or the number.
pub(crate) fn group(gid: u32) -> String {
    match Group::from_gid(Gid::from_raw(gid)) {
        Ok(Some(group)) => group.name,
        _ => gid.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_daemon_is_whoever_the_kernel_says_with_the_groups_of_its_unit() {
        let status = "Name:\tx\nUid:\t1\t2\t3\t4000001\nGid:\t5\t6\t7\t8\nGroups:\t20 30 \n";
        let who = Who::of_status(status).unwrap();
        assert_eq!((who.uid, who.groups), (4_000_001, vec![20, 30, 8]));
        assert_eq!(who.name, "4000001", "nobody has this number");
        assert_eq!(Who::of_status("Uid:\tx\n"), None);
        let folder = tempfile::tempdir().unwrap();
        let lock = host::instance::InstanceLock::acquire(&folder.path().join("lock")).unwrap();
        let me = Who::of_daemon("no-such-user-here", folder.path(), "lock").unwrap();
        assert_eq!(me.uid, nix::unistd::geteuid().as_raw());
        drop(lock);
        assert!(Who::of_daemon("no-such-user-here", folder.path(), "lock").is_some());
        let nowhere = Path::new("/nonexistent");
        assert_eq!(Who::of_daemon("no-such-user-here", nowhere, "lock"), None);
    }

    #[test]
    fn exactly_one_digit_of_the_mode_counts_for_a_user() {
        let who = Who {
            name: "u".to_owned(),
            uid: 10,
            groups: vec![20, 30],
        };
        let file = |uid, gid, mode| Access { uid, gid, mode };
        assert!(who.may(READ | WRITE, file(10, 1, 0o600)));
        assert!(
            !who.may(READ, file(10, 20, 0o044)),
            "the owner's digit, also when it is worse"
        );
        assert!(who.may(READ | SEARCH, file(1, 30, 0o750)));
        assert!(!who.may(WRITE, file(1, 30, 0o757)));
        assert!(who.may(WRITE, file(1, 1, 0o002)));
        let root = Who { uid: 0, ..who };
        assert!(root.may(READ | WRITE, file(1, 1, 0)));
    }
}
