//! The local bytes, read once and believed only when they are what the order names.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bytes::Bytes;
use evidence::digest::Sha256;
use host::files::{FileError, open_dir, open_regular, read_capped};
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
    let (dir, name) = find(evidence, path)?;
    let contents = read_capped(&dir, name, size_bytes).map_err(of_file)?;
    if contents.bytes.len() as u64 != size_bytes || Sha256::of(&contents.bytes) != sha256 {
        return Err(BodyError::Differs);
    }
    let md5 = with_md5.then(|| Md5::digest(&contents.bytes).into());
    Ok(Body {
        bytes: Bytes::from(contents.bytes),
        md5,
    })
}

/// Opens `path` below the evidence folder, as safely as [`read`]; for what is too large to be read
/// at once. Blocks.
pub(crate) fn open(evidence: &Path, path: &str, size_bytes: u64) -> Result<File, BodyError> {
    let (dir, name) = find(evidence, path)?;
    let (file, meta) = open_regular(&dir, name).map_err(of_file)?;
    if meta.size_bytes == size_bytes {
        Ok(file)
    } else {
        Err(BodyError::Differs)
    }
}

/// Fills `buffer` from there. Blocks.
pub(crate) fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> Result<(), BodyError> {
    file.read_exact_at(buffer, offset)
        .map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => BodyError::Differs,
            _ => BodyError::Unreadable(error.into()),
        })
}

/// Runs what blocks off the thread that everything waits on.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BodyError> + Send + 'static,
) -> Result<T, BodyError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(BodyError::Unreadable(error.into())),
    }
}

fn of_file(error: FileError) -> BodyError {
    match error {
        FileError::NotFound { .. } => BodyError::Missing,
        FileError::TooLarge { .. } | FileError::NotRegular { .. } => BodyError::Differs,
        error => BodyError::Unreadable(error.into()),
    }
}

fn find<'a>(evidence: &Path, path: &'a str) -> Result<(OwnedFd, &'a str), BodyError> {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    Ok((descend(evidence, folders)?, name))
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
    fn a_large_file_is_opened_with_the_size_of_the_order_alone_and_read_from_anywhere() {
        let folder = folder();
        let file = open(folder.path(), PATH, 8).unwrap();
        let mut some = [0; 3];
        read_at(&file, 2, &mut some).unwrap();
        assert_eq!(&some, b"ide");
        assert!(matches!(
            read_at(&file, 6, &mut some),
            Err(BodyError::Differs)
        ));
        for size_bytes in [7, 9] {
            let opened = open(folder.path(), PATH, size_bytes);
            assert!(matches!(opened, Err(BodyError::Differs)), "{size_bytes}");
        }
        fs::remove_file(folder.path().join(PATH)).unwrap();
        assert!(matches!(
            open(folder.path(), PATH, 8),
            Err(BodyError::Missing)
        ));
    }

    #[test]
    fn no_symlink_is_followed_on_the_way() {
        let folder = folder();
        fs::rename(folder.path().join("clinic"), folder.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", folder.path().join("clinic")).unwrap();
        assert!(matches!(read_it(folder.path()), Err(BodyError::Differs)));
        assert!(matches!(
            open(folder.path(), PATH, 8),
            Err(BodyError::Differs)
        ));
        fs::remove_file(folder.path().join("clinic")).unwrap();
        fs::create_dir_all(folder.path().join("clinic/host")).unwrap();
        std::os::unix::fs::symlink("../../real/host/EB-1.json", folder.path().join(PATH)).unwrap();
        assert!(matches!(read_it(folder.path()), Err(BodyError::Differs)));
        assert!(matches!(
            open(folder.path(), PATH, 8),
            Err(BodyError::Differs)
        ));
    }
}
