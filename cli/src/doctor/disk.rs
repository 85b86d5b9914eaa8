//! Room: bytes, inodes, and that the file system can be written to.

use std::path::Path;

use host::config::Settings;
use nix::sys::statvfs::{FsFlags, statvfs};

use super::check::{Check, Family};

const FAMILY: Family = Family("disk");
/// Below so many times `agent.min_free_bytes` it is time to make room.
const SOON: u64 = 4;
/// A file or two for each bundle; below so many free inodes it is time to make room.
const INODES_WARNED: u64 = 10_000;

/// What a file system says of itself.
#[derive(Debug, Clone, Copy)]
struct Room {
    free_bytes: u64,
    /// `None` where inodes are made as needed (btrfs, xfs say 0 of 0).
    free_inodes: Option<u64>,
    is_read_only: bool,
}

pub(crate) fn look(settings: &Settings) -> Vec<Check> {
    let paths = &settings.paths;
    [
        &paths.spool,
        &paths.evidence,
        &paths.drop,
        &paths.outbox,
        &paths.delivery,
    ]
    .into_iter()
    .map(|folder| {
        // Before the first start: where it will be made.
        let there = folder.ancestors().find(|path| path.exists());
        match room(there.unwrap_or(folder)) {
            Ok(room) => judge(folder, room, settings.agent.min_free_bytes),
            Err(error) => {
                FAMILY.unchecked("room", folder.display(), error.desc(), "run this as root")
            }
        }
    })
    .collect()
}

fn room(folder: &Path) -> nix::Result<Room> {
    let disk = statvfs(folder)?;
    Ok(Room {
        free_bytes: disk.blocks_available().saturating_mul(disk.fragment_size()),
        free_inodes: (disk.files() > 0).then(|| disk.files_available()),
        is_read_only: disk.flags().contains(FsFlags::ST_RDONLY),
    })
}

fn judge(folder: &Path, room: Room, min_free_bytes: u64) -> Check {
    let path = folder.display();
    let mib = |bytes: u64| bytes >> 20;
    let free = format!("{} MiB are free", mib(room.free_bytes));
    if room.is_read_only {
        return FAMILY.problem(
            "room",
            &path,
            "the file system is read only",
            format!("find out why: findmnt -T {path}; journalctl -k -g remount"),
        );
    }
    if room.free_bytes < min_free_bytes {
        return FAMILY.problem(
            "room",
            &path,
            format!(
                "{free}, less than agent.min_free_bytes ({} MiB): nothing is sealed",
                mib(min_free_bytes)
            ),
            format!("make room or enlarge the file system: df -h {path}"),
        );
    }
    match room.free_inodes {
        Some(0) => {
            return FAMILY.problem(
                "room",
                &path,
                "no inode is free: no file can be made",
                format!("see who has them: df -i {path}"),
            );
        }
        Some(few) if few < INODES_WARNED => {
            return FAMILY.warning(
                "room",
                &path,
                format!("{few} inodes are free"),
                format!("see who has them: df -i {path}"),
            );
        }
        _ => {}
    }
    if room.free_bytes < min_free_bytes.saturating_mul(SOON) {
        return FAMILY.warning(
            "room",
            &path,
            format!("{free}; sealing stops at {} MiB", mib(min_free_bytes)),
            format!("make room or enlarge the file system: df -h {path}"),
        );
    }
    FAMILY.ok("room", path, free)
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    #[test]
    fn room_is_judged_by_bytes_inodes_and_whether_it_can_be_written_to() {
        let good = Room {
            free_bytes: 10 << 30,
            free_inodes: Some(1_000_000),
            is_read_only: false,
        };
        let verdict = |room| judge(Path::new("/x"), room, 256 << 20).verdict;
        assert_eq!(verdict(good), Verdict::Ok);
        assert_eq!(
            verdict(Room {
                free_inodes: None,
                ..good
            }),
            Verdict::Ok
        );
        for bad in [
            Room {
                is_read_only: true,
                ..good
            },
            Room {
                free_bytes: (256 << 20) - 1,
                ..good
            },
            Room {
                free_inodes: Some(0),
                ..good
            },
        ] {
            assert_eq!(verdict(bad), Verdict::Problem, "{bad:?}");
        }
        for tight in [
            Room {
                free_bytes: (1 << 30) - 1,
                ..good
            },
            Room {
                free_inodes: Some(9_999),
                ..good
            },
        ] {
            assert_eq!(verdict(tight), Verdict::Warning, "{tight:?}");
        }
    }
}
