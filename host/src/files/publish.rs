//! Publishing and renaming: whole or not at all, and never over something else.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, openat, renameat, renameat2};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{UnlinkatFlags, fsync, linkat, unlinkat};

use super::error::{FileError, plain};

/// Names that start so are half-written files of [`publish`]; every reader skips dot names.
pub const TEMP_PREFIX: &str = ".tmp-";

/// Whether a published file must survive a power cut at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The file and then the folder are synced before the call returns.
    Fsync,
    /// The caller can publish it again from something durable.
    None,
}

/// Whether a name that exists may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// Refused by the kernel, also when two processes race.
    Never,
    /// The old file gives way, atomically.
    Yes,
}

/// Puts `bytes` under `name` in the folder, whole or not at all, with exactly the permission bits
/// `mode` whatever the umask is.
///
/// # Errors
/// When a step fails; the half-written temporary file is removed then. [`FileError::Exists`] when
/// the name is taken and `replace` is [`Replace::Never`].
pub fn publish(
    dir: impl AsFd,
    name: impl AsRef<OsStr>,
    bytes: &[u8],
    mode: u32,
    durability: Durability,
    replace: Replace,
) -> Result<(), FileError> {
    let name = plain(name.as_ref())?;
    let dir = dir.as_fd();
    let temp = temp_name();
    let result = write_temp(dir, &temp, bytes, mode, durability)
        .map_err(|errno| FileError::from_errno(name, "writing", errno))
        .and_then(|()| match replace {
            Replace::Never => rename_noreplace(dir, &temp, dir, name),
            Replace::Yes => renameat(dir, temp.as_os_str(), dir, name)
                .map_err(|errno| FileError::from_errno(name, "renaming", errno)),
        });
    if let Err(error) = result {
        // Best effort: the caller's error is the one that matters, and readers skip the name.
        let _ = unlinkat(dir, temp.as_os_str(), UnlinkatFlags::NoRemoveDir);
        return Err(error);
    }
    match durability {
        Durability::Fsync => sync_dir(dir),
        Durability::None => Ok(()),
    }
}

/// Renames without ever replacing: the target name must be free. Not durable until the folders
/// are synced.
///
/// Where the file system knows no `RENAME_NOREPLACE`, a hard link and an unlink do the same for
/// files: link(2) also refuses a name that exists. A crash in between leaves both names.
///
/// # Errors
/// [`FileError::Exists`] when the target is taken, [`FileError::NotFound`] when the source is gone.
pub fn rename_noreplace(
    from_dir: impl AsFd,
    from: impl AsRef<OsStr>,
    to_dir: impl AsFd,
    to: impl AsRef<OsStr>,
) -> Result<(), FileError> {
    let (from, to) = (plain(from.as_ref())?, plain(to.as_ref())?);
    let result = match renameat2(&from_dir, from, &to_dir, to, RenameFlags::RENAME_NOREPLACE) {
        Err(Errno::EINVAL | Errno::ENOSYS) => link_then_unlink(&from_dir, from, &to_dir, to),
        other => other,
    };
    result.map_err(|errno| {
        let name = if errno == Errno::ENOENT { from } else { to };
        FileError::from_errno(name, "renaming", errno)
    })
}

/// Removes one file (not a folder).
///
/// # Errors
/// When it is gone already, or may not be removed.
pub fn remove(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<(), FileError> {
    let name = plain(name.as_ref())?;
    unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)
        .map_err(|errno| FileError::from_errno(name, "removing", errno))
}

/// Removes an empty folder.
///
/// # Errors
/// When it is not empty, gone already, or may not be removed.
pub fn remove_dir(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<(), FileError> {
    let name = plain(name.as_ref())?;
    unlinkat(dir, name, UnlinkatFlags::RemoveDir)
        .map_err(|errno| FileError::from_errno(name, "removing the folder", errno))
}

/// Gives a file a second name, which must be free. Not durable until the folder is synced.
///
/// # Errors
/// [`FileError::Exists`] when the name is taken, [`FileError::NotFound`] when the file is gone.
pub fn link(
    from_dir: impl AsFd,
    from: impl AsRef<OsStr>,
    to_dir: impl AsFd,
    to: impl AsRef<OsStr>,
) -> Result<(), FileError> {
    let (from, to) = (plain(from.as_ref())?, plain(to.as_ref())?);
    linkat(from_dir, from, to_dir, to, AtFlags::empty()).map_err(|errno| {
        let name = if errno == Errno::ENOENT { from } else { to };
        FileError::from_errno(name, "linking", errno)
    })
}

/// Makes earlier creations, renames and removals in the folder survive a power cut.
///
/// # Errors
/// When the device reports an error: what was published may be lost then.
pub fn sync_dir(dir: impl AsFd) -> Result<(), FileError> {
    fsync(dir).map_err(|errno| FileError::from_errno(OsStr::new("folder"), "syncing", errno))
}

/// Makes a folder, and those above it that are missing, so that they survive a power cut: without
/// that, whatever is synced in them later would still hang on a name that is not.
///
/// # Errors
/// When one cannot be made or synced.
pub fn create_dir_durably(path: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|p| !p.exists()).collect();
    for folder in missing.into_iter().rev() {
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if let Some(parent) = folder.parent().filter(|p| !p.as_os_str().is_empty()) {
            File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

/// Makes a file's bytes survive a power cut.
///
/// # Errors
/// When it cannot be opened, or the device reports an error.
pub fn sync_file(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<(), FileError> {
    let name = name.as_ref();
    let (file, _) = super::open_regular(dir, name)?;
    file.sync_all()
        .map_err(|error| FileError::from_io(name, "syncing", error))
}

/// Removes what a crash left of earlier [`publish`] calls, and says how many there were. Only for
/// a folder whose one publisher holds the instance lock, or it takes another's work away.
///
/// # Errors
/// When the folder cannot be listed or a name not removed.
pub fn remove_leftovers(dir: impl AsFd) -> Result<usize, FileError> {
    let failed = |errno| FileError::from_errno(OsStr::new("folder"), "listing", errno);
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut listing = Dir::openat(&dir, ".", flags, Mode::empty()).map_err(failed)?;
    let mut removed = 0;
    for entry in listing.iter() {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_bytes();
        if name.starts_with(TEMP_PREFIX.as_bytes()) {
            remove(&dir, OsStr::from_bytes(name))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Unique among processes of one machine; `O_EXCL` guards against everything else.
fn temp_name() -> OsString {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let counter = COUNTER.fetch_add(1, Ordering::Relaxed);
    let now = jiff::Timestamp::now().as_nanosecond();
    OsString::from(format!(
        "{TEMP_PREFIX}{}-{now:x}-{counter}",
        std::process::id()
    ))
}

fn write_temp(
    dir: impl AsFd,
    temp: &OsStr,
    bytes: &[u8],
    mode: u32,
    durability: Durability,
) -> nix::Result<()> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mode = Mode::from_bits_truncate(mode);
    // Never wider than asked, also before the chmod: the umask only takes bits away.
    let mut file = File::from(openat(dir, temp, flags, mode)?);
    file.write_all(bytes).map_err(|e| errno_of(&e))?;
    fchmod(&file, mode)?;
    if durability == Durability::Fsync {
        file.sync_all().map_err(|e| errno_of(&e))?;
    }
    Ok(())
}

fn errno_of(error: &std::io::Error) -> Errno {
    // write_all's own "wrote nothing" has no errno; it is an I/O error all the same.
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

fn link_then_unlink(
    from_dir: &impl AsFd,
    from: &OsStr,
    to_dir: &impl AsFd,
    to: &OsStr,
) -> nix::Result<()> {
    // The target is durable under its new name before the old one goes.
    linkat(from_dir, from, to_dir, to, AtFlags::empty())?;
    unlinkat(from_dir, from, UnlinkatFlags::NoRemoveDir)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::open_dir;
    use super::*;

    fn names(path: &std::path::Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_published_file_has_its_bytes_and_exact_mode_and_leaves_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let dir = open_dir(folder.path()).unwrap();
        for (name, mode, durability) in [
            ("a", 0o640, Durability::Fsync),
            ("b", 0o666, Durability::None),
        ] {
            publish(&dir, name, b"bytes", mode, durability, Replace::Never).unwrap();
            let path = folder.path().join(name);
            assert_eq!(fs::read(&path).unwrap(), b"bytes");
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
                mode
            );
        }
        assert_eq!(names(folder.path()), ["a", "b"]);
    }

    #[test]
    fn a_name_that_exists_is_replaced_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let dir = open_dir(folder.path()).unwrap();
        let put =
            |bytes: &[u8], replace| publish(&dir, "a", bytes, 0o600, Durability::None, replace);
        put(b"one", Replace::Never).unwrap();
        assert!(matches!(
            put(b"two", Replace::Never),
            Err(FileError::Exists { .. })
        ));
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"one");
        put(b"three", Replace::Yes).unwrap();
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"three");
        assert_eq!(
            names(folder.path()),
            ["a"],
            "a refused publish leaves nothing behind"
        );
    }

    #[test]
    fn one_of_many_racing_publishers_wins_and_the_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let wins: usize = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|n| {
                    let path = folder.path();
                    scope.spawn(move || {
                        let dir = open_dir(path).unwrap();
                        let bytes = [b'0' + n; 100];
                        publish(&dir, "a", &bytes, 0o600, Durability::None, Replace::Never).is_ok()
                    })
                })
                .collect();
            racers
                .into_iter()
                .map(|racer| usize::from(racer.join().unwrap()))
                .sum()
        });
        assert_eq!(wins, 1);
        let bytes = fs::read(folder.path().join("a")).unwrap();
        assert!(bytes.len() == 100 && bytes.iter().all(|b| *b == bytes[0]));
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn renaming_refuses_a_taken_target_and_reports_a_missing_source() {
        let folder = tempfile::tempdir().unwrap();
        let dir = open_dir(folder.path()).unwrap();
        fs::write(folder.path().join("a"), b"a").unwrap();
        fs::write(folder.path().join("b"), b"b").unwrap();
        let taken = rename_noreplace(&dir, "a", &dir, "b");
        assert!(matches!(taken, Err(FileError::Exists { name }) if name == "b"));
        let gone = rename_noreplace(&dir, "absent", &dir, "c");
        assert!(matches!(gone, Err(FileError::NotFound { name }) if name == "absent"));
        rename_noreplace(&dir, "a", &dir, "c").unwrap();
        assert_eq!(names(folder.path()), ["b", "c"]);
    }

    #[test]
    fn the_fallback_by_hard_link_keeps_the_same_promises() {
        let folder = tempfile::tempdir().unwrap();
        let dir = open_dir(folder.path()).unwrap();
        fs::write(folder.path().join("a"), b"a").unwrap();
        fs::write(folder.path().join("b"), b"b").unwrap();
        let rename = |to| link_then_unlink(&dir, OsStr::new("a"), &dir, OsStr::new(to));
        assert_eq!(rename("b"), Err(Errno::EEXIST));
        assert_eq!(names(folder.path()), ["a", "b"]);
        rename("c").unwrap();
        assert_eq!(names(folder.path()), ["b", "c"]);
        assert_eq!(fs::read(folder.path().join("c")).unwrap(), b"a");
    }

    #[test]
    fn leftovers_of_a_crash_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".tmp-1-2-3", ".tmp-x", ".taken-1", "a.json"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        let dir = open_dir(folder.path()).unwrap();
        assert_eq!(remove_leftovers(&dir).unwrap(), 2);
        assert_eq!(names(folder.path()), [".taken-1", "a.json"]);
    }
}
