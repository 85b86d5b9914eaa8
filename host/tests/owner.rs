//! Becoming a file's owner changes the whole process, so this has a process of its own, and its
//! tests are one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use host::owner::as_owner_of;
use nix::unistd::{getegid, geteuid};

#[test]
fn work_runs_as_the_owner_and_the_caller_is_restored() {
    let error = as_owner_of(Path::new("/nonexistent/spool.db"), || ()).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/spool.db"));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("spool.db");
    fs::write(&file, b"x").unwrap();
    let before = (geteuid(), getegid());
    assert_eq!(
        as_owner_of(&file, || (geteuid(), getegid())).unwrap(),
        before
    );
    if !before.0.is_root() {
        return; // Only root can become anybody; for others the identity must simply stay.
    }

    std::os::unix::fs::chown(folder.path(), Some(4711), Some(4712)).unwrap();
    std::os::unix::fs::chown(&file, Some(4711), Some(4712)).unwrap();
    let made = folder.path().join("spool.db-wal");
    as_owner_of(&file, || fs::write(&made, b"x"))
        .unwrap()
        .unwrap();
    let meta = fs::metadata(&made).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (4711, 4712));
    assert_eq!((geteuid(), getegid()), before);

    let panicked = std::panic::catch_unwind(|| as_owner_of(&file, || panic!("in the work")));
    assert!(panicked.is_err());
    assert_eq!((geteuid(), getegid()), before, "also after a panic");
}
