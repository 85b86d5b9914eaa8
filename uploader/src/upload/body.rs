//! The local bytes, read once and believed only when they are what the order names.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use bytes::Bytes;
use evidence::digest::Sha256;
use host::files::{FileError, open_dir, read_capped};
use md5::{Digest as _, Md5};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

/// Bytes that match the order.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    /// MD5 of the same bytes, when asked for.
    pub(crate) md5: Option<[u8; 16]>,
}

/// Why there are no bytes to send.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The agent publishes it again from spool.db.
    #[error("the file is not in the evidence folder")]
    Missing,
    /// Size or digest are not the order's.
    #[error("the file on disk is not what the order names")]
    Differs,
    /// It could not be read.
    #[error("the file cannot be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Reads `path` below the evidence folder, without following a symlink anywhere on the way, and
/// checks it. Blocks.
pub(crate) fn read(
    evidence: &Path,
    path: &str,
    size_bytes: u64,
    sha256: Sha256,
    with_md5: bool,
) -> Result<Body, BodyError> {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let dir = descend(evidence, folders)?;
    let contents = match read_capped(&dir, name, size_bytes) {
        Ok(contents) => contents,
        Err(FileError::NotFound { .. }) => return Err(BodyError::Missing),
        Err(FileError::TooLarge { .. } | FileError::NotRegular { .. }) => {
            return Err(BodyError::Differs);
        }
        Err(error) => return Err(BodyError::Unreadable(error.into())),
    };
    if contents.bytes.len() as u64 != size_bytes || Sha256::of(&contents.bytes) != sha256 {
        return Err(BodyError::Differs);
    }
    let md5 = with_md5.then(|| Md5::digest(&contents.bytes).into());
    Ok(Body {
        bytes: Bytes::from(contents.bytes),
        md5,
    })
}

fn descend(evidence: &Path, folders: &str) -> Result<OwnedFd, BodyError> {
    let mut dir = open_dir(evidence).map_err(|error| BodyError::Unreadable(error.into()))?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    for folder in folders.split('/').filter(|f| !f.is_empty()) {
        dir = match openat(dir.as_fd(), folder, flags, Mode::empty()) {
            Ok(next) => File::from(next).into(),
            Err(Errno::ENOENT) => return Err(BodyError::Missing),
            Err(Errno::ELOOP | Errno::ENOTDIR) => return Err(BodyError::Differs),
            Err(errno) => return Err(BodyError::Unreadable(std::io::Error::from(errno).into())),
        };
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PATH: &str = "clinic/host/EB-1.json";

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("clinic/host")).unwrap();
        fs::write(folder.path().join(PATH), b"evidence").unwrap();
        folder
    }

    fn read_it(folder: &Path) -> Result<Body, BodyError> {
        read(folder, PATH, 8, Sha256::of(b"evidence"), true)
    }

    #[test]
    fn bytes_that_match_are_given_with_their_md5() {
        let folder = folder();
        let body = read_it(folder.path()).unwrap();
        assert_eq!(&body.bytes[..], b"evidence");
        // md5sum of the same bytes.
        assert_eq!(
            hex::encode(body.md5.unwrap()),
            "14e10d570047667f904261e6d08f520f"
        );
        assert!(
            read(folder.path(), PATH, 8, Sha256::of(b"evidence"), false)
                .unwrap()
                .md5
                .is_none()
        );
    }

    #[test]
    fn one_changed_byte_or_another_length_differs() {
        let folder = folder();
        for bytes in [&b"evidencf"[..], b"evidenc", b"evidence "] {
            fs::write(folder.path().join(PATH), bytes).unwrap();
            assert!(
                matches!(read_it(folder.path()), Err(BodyError::Differs)),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn a_missing_file_or_folder_is_missing() {
        let folder = folder();
        fs::remove_file(folder.path().join(PATH)).unwrap();
        assert!(matches!(read_it(folder.path()), Err(BodyError::Missing)));
        fs::remove_dir(folder.path().join("clinic/host")).unwrap();
        assert!(matches!(read_it(folder.path()), Err(BodyError::Missing)));
    }

    #[test]
    fn no_symlink_is_followed_on_the_way() {
        let folder = folder();
        fs::rename(folder.path().join("clinic"), folder.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", folder.path().join("clinic")).unwrap();
        assert!(matches!(read_it(folder.path()), Err(BodyError::Differs)));
        fs::remove_file(folder.path().join("clinic")).unwrap();
        fs::create_dir_all(folder.path().join("clinic/host")).unwrap();
        std::os::unix::fs::symlink("../../real/host/EB-1.json", folder.path().join(PATH)).unwrap();
        assert!(matches!(read_it(folder.path()), Err(BodyError::Differs)));
    }
}
