//! Safe opening and bounded reading.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

use super::error::{FileError, plain};

/// What the kernel said about an open file, not about its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMeta {
    /// Size in bytes when it was opened.
    pub size_bytes: u64,
    /// Owner.
    pub owner_uid: u32,
    /// Group.
    pub group_gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// Names this file has; more than one means that somebody else can still change it under
    /// another name.
    pub link_count: u64,
    /// Device and inode number, which say whether two names are one file.
    pub identity: (u64, u64),
    /// Last change of the bytes, in seconds since the epoch.
    pub modified_secs: i64,
    /// Last change of anything about it, in seconds and nanoseconds since the epoch. Nobody can set
    /// it back by hand.
    pub changed: (i64, i64),
}

/// A file, read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What it was when it was opened.
    pub meta: FileMeta,
}

/// Opens a folder, to be used with the other functions here. The last component may not be a
/// symlink.
///
/// # Errors
/// When it is not a folder, or may not be opened.
pub fn open_dir(path: &Path) -> Result<OwnedFd, FileError> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty())
        .map_err(|errno| FileError::from_errno(path.as_os_str(), "opening the folder", errno))
}

/// Opens a folder in a folder; a symlink is not followed.
///
/// # Errors
/// When it is not a folder, or may not be opened.
pub fn open_dir_at(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<OwnedFd, FileError> {
    let name = plain(name.as_ref())?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(dir, name, flags, Mode::empty())
        .map_err(|errno| FileError::from_errno(name, "opening the folder", errno))
}

/// Whether `dir`, opened before, is what lies at `path` now: a folder can be renamed away, or
/// mounted over, under a process that holds it open.
#[must_use]
pub fn is_at(dir: impl AsFd, path: &Path) -> bool {
    let opened = fstat(dir).map(|stat| meta_of(&stat).identity);
    let there = nix::sys::stat::lstat(path).map(|stat| meta_of(&stat).identity);
    opened.is_ok() && opened == there
}

/// What an open file is now.
///
/// # Errors
/// When the kernel does not say.
pub fn metadata_of(file: &File) -> Result<FileMeta, FileError> {
    let stat =
        fstat(file).map_err(|errno| FileError::from_errno(OsStr::new("file"), "looking", errno))?;
    Ok(meta_of(&stat))
}

/// Every name in a folder but `.` and `..`, sorted; at most `limit` of them and one more, so that
/// a caller sees that there are too many.
///
/// # Errors
/// When the folder cannot be listed.
pub fn names(dir: impl AsFd, limit: usize) -> Result<Vec<OsString>, FileError> {
    let failed = |errno| FileError::from_errno(OsStr::new("folder"), "listing", errno);
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut listing = Dir::openat(&dir, ".", flags, Mode::empty()).map_err(failed)?;
    let mut names = Vec::new();
    for entry in listing.iter() {
        let name = entry.map_err(failed)?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
            if names.len() > limit {
                break;
            }
        }
    }
    names.sort();
    Ok(names)
}

/// What is under `name`, without opening it or following a symlink: `None` when it is not a
/// regular file but exists.
///
/// # Errors
/// When the name does not exist or may not be looked at.
pub fn metadata(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<Option<FileMeta>, FileError> {
    let name = plain(name.as_ref())?;
    let stat = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
        .map_err(|errno| FileError::from_errno(name, "looking", errno))?;
    Ok((kind_of(&stat).is_none()).then(|| meta_of(&stat)))
}

/// Opens a regular file for reading: no symlink, no blocking, nothing else than a regular file.
///
/// # Errors
/// When it is something else, does not exist, or may not be read.
pub fn open_regular(
    dir: impl AsFd,
    name: impl AsRef<OsStr>,
) -> Result<(File, FileMeta), FileError> {
    let name = plain(name.as_ref())?;
    let failed = |errno| FileError::from_errno(name, "opening", errno);
    // Looked at first, since opening a device or a FIFO can itself have effects; looked at again
    // once open, since the name may have changed hands in between.
    let before = fstatat(&dir, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(failed)?;
    refuse_unless_regular(name, &before)?;
    let flags = OFlag::O_RDONLY
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_CLOEXEC
        | OFlag::O_NOCTTY;
    let fd = openat(&dir, name, flags, Mode::empty()).map_err(failed)?;
    let stat = fstat(&fd).map_err(failed)?;
    refuse_unless_regular(name, &stat)?;
    Ok((File::from(fd), meta_of(&stat)))
}

/// Reads a regular file whole, at most `max_bytes`, also when it grows while it is read.
///
/// # Errors
/// As [`open_regular`], when there is more than `max_bytes`, and when it changed meanwhile.
pub fn read_capped(
    dir: impl AsFd,
    name: impl AsRef<OsStr>,
    max_bytes: u64,
) -> Result<Contents, FileError> {
    let name = name.as_ref();
    let (file, meta) = open_regular(dir, name)?;
    let too_large = || FileError::TooLarge {
        name: name.to_string_lossy().into_owned(),
        limit_bytes: max_bytes,
    };
    if meta.size_bytes > max_bytes {
        return Err(too_large());
    }
    // One byte of room beyond the size, so that a file that did not grow is read in one call.
    let expected = usize::try_from(meta.size_bytes).map_err(|_| too_large())?;
    let mut bytes = Vec::with_capacity(expected.saturating_add(1));
    (&file)
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| FileError::from_io(name, "reading", error))?;
    if bytes.len() as u64 > max_bytes {
        return Err(too_large());
    }
    if bytes.len() as u64 != meta.size_bytes || metadata_of(&file)? != meta {
        return Err(FileError::Changing {
            name: name.to_string_lossy().into_owned(),
        });
    }
    Ok(Contents { bytes, meta })
}

fn refuse_unless_regular(name: &OsStr, stat: &FileStat) -> Result<(), FileError> {
    match kind_of(stat) {
        None => Ok(()),
        Some(kind) => Err(FileError::NotRegular {
            name: name.to_string_lossy().into_owned(),
            kind,
        }),
    }
}

/// What it is in words, or `None` for a regular file.
fn kind_of(stat: &FileStat) -> Option<&'static str> {
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    match kind {
        SFlag::S_IFREG => None,
        SFlag::S_IFLNK => Some("symlink"),
        SFlag::S_IFDIR => Some("folder"),
        SFlag::S_IFIFO => Some("FIFO"),
        SFlag::S_IFSOCK => Some("socket"),
        _ => Some("device"),
    }
}

// The widths of these fields differ between architectures, so the conversions are not all no-ops.
#[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
fn meta_of(stat: &FileStat) -> FileMeta {
    FileMeta {
        size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
        owner_uid: stat.st_uid,
        group_gid: stat.st_gid,
        mode: stat.st_mode & 0o7777,
        link_count: u64::from(stat.st_nlink),
        identity: (stat.st_dev as u64, stat.st_ino as u64),
        modified_secs: i64::from(stat.st_mtime),
        changed: (i64::from(stat.st_ctime), i64::from(stat.st_ctime_nsec)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn a_regular_file_is_read_with_its_owner_and_links() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.json"), b"{}").unwrap();
        fs::hard_link(folder.path().join("a.json"), folder.path().join("b.json")).unwrap();
        let dir = open_dir(folder.path()).unwrap();
        let read = read_capped(&dir, "a.json", 2).unwrap();
        assert_eq!(read.bytes, b"{}");
        assert_eq!(read.meta.size_bytes, 2);
        assert_eq!(read.meta.link_count, 2);
        assert_eq!(read.meta.owner_uid, nix::unistd::geteuid().as_raw());
        assert_eq!(
            read.meta.identity,
            metadata(&dir, "b.json").unwrap().unwrap().identity
        );
    }

    #[test]
    fn nothing_but_a_regular_file_gets_in_and_nothing_hangs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(path.join("real"), b"x").unwrap();
        std::os::unix::fs::symlink("real", path.join("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", path.join("dangling")).unwrap();
        fs::create_dir(path.join("sub")).unwrap();
        mkfifo(&path.join("fifo"), Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path.join("socket")).unwrap();
        let dir = open_dir(path).unwrap();
        for (name, kind) in [
            ("link", "symlink"),
            ("dangling", "symlink"),
            ("sub", "folder"),
            ("fifo", "FIFO"),
            ("socket", "socket"),
        ] {
            match read_capped(&dir, name, 10) {
                Err(FileError::NotRegular { kind: found, .. }) => assert_eq!(found, kind),
                other => panic!("{name}: {other:?}"),
            }
            assert_eq!(metadata(&dir, name).unwrap(), None);
        }
        assert!(matches!(
            read_capped(&dir, "absent", 10),
            Err(FileError::NotFound { .. })
        ));
    }

    #[test]
    fn a_name_cannot_leave_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let dir = open_dir(folder.path()).unwrap();
        for name in ["", ".", "..", "../x", "a/b", "/etc/passwd"] {
            assert!(
                matches!(read_capped(&dir, name, 10), Err(FileError::BadName { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn the_limit_holds_also_where_the_size_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), vec![b'x'; 11]).unwrap();
        let dir = open_dir(folder.path()).unwrap();
        assert!(matches!(
            read_capped(&dir, "a", 10),
            Err(FileError::TooLarge { .. })
        ));
        assert_eq!(read_capped(&dir, "a", 11).unwrap().bytes.len(), 11);
        // Files in /proc say that they have no bytes, like a file that grows after the look.
        let proc = open_dir(&Path::new("/proc").join(std::process::id().to_string())).unwrap();
        assert_eq!(metadata(&proc, "status").unwrap().unwrap().size_bytes, 0);
        assert!(matches!(
            read_capped(&proc, "status", 10),
            Err(FileError::TooLarge { .. })
        ));
    }
}
