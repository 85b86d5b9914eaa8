//! A folder drop: `incident.json`, the document, and `artifacts/`, files of any size.
//!
//! Nothing else may lie in the folder, and nothing but plain files in `artifacts/`: removing a
//! sealed drop must never remove what was not sealed. Everything is opened below the folder that
//! was taken, without following links, and what was read is remembered, so that the removal can
//! tell whether it is still the same.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

use host::config::DropSettings;
use host::files::{self, FileError, FileMeta};

use crate::folder::{Reading, Refusal, read_document};
use crate::screening::Screening;

/// The document's name in the folder.
pub(crate) const DOCUMENT: &str = "incident.json";
/// The folder of the files.
pub(crate) const ARTIFACTS: &str = "artifacts";

/// What a look at the folder gave.
pub(crate) struct FolderDrop {
    /// The document, read.
    pub(crate) bytes: Vec<u8>,
    /// Who wrote it.
    pub(crate) owner_uid: u32,
    /// What it was when it was read.
    pub(crate) document: FileMeta,
    /// Whether there are files to stage first.
    pub(crate) has_artifacts: bool,
}

/// Everything that was read of a folder, for comparison before it is removed.
#[derive(Debug, Clone)]
pub(crate) struct FolderRead {
    pub(crate) document: FileMeta,
    pub(crate) artifacts: Vec<(OsString, FileMeta)>,
}

/// Why the folder is not removed.
#[derive(Debug)]
pub(crate) enum NotRemoved {
    /// It holds something else than what was sealed.
    Changed,
    /// It could not be looked at, or something in it not be removed.
    Failed(FileError),
}

/// Reads the document and looks whether there are artifacts.
pub(crate) fn read(
    drop: &OwnedFd,
    held_as: &OsStr,
    limits: &DropSettings,
    screening: &Screening,
) -> Reading {
    let refused = |code: &str, message: String| Reading::Refused(Refusal::new(code, message));
    let looked = files::open_dir_at(drop, held_as)
        .and_then(|folder| files::names(&folder, 2).map(|names| (folder, names)));
    let (folder, names) = match looked {
        Ok(looked) => looked,
        Err(FileError::Denied { .. }) => {
            return refused(
                "unreadable",
                "the agent may not read the folder: producers leave folders group-writable"
                    .to_owned(),
            );
        }
        Err(error) => return Reading::Later(error),
    };
    if let Some(other) = names.iter().find(|n| *n != DOCUMENT && *n != ARTIFACTS) {
        return refused(
            "unexpected_entry",
            format!(
                "a folder drop holds {DOCUMENT} and {ARTIFACTS}/ and nothing else, not {:?}",
                screening.name(other, 100)
            ),
        );
    }
    if !names.iter().any(|name| name == DOCUMENT) {
        return refused("no_document", format!("the folder holds no {DOCUMENT}"));
    }
    let has_artifacts = if names.iter().any(|name| name == ARTIFACTS) {
        match files::open_dir_at(&folder, ARTIFACTS).and_then(|dir| files::names(&dir, 1)) {
            Ok(names) => !names.is_empty(),
            Err(FileError::NotRegular { .. } | FileError::Denied { .. }) => {
                return refused(
                    "artifacts_not_a_folder",
                    format!("{ARTIFACTS} is not a folder that the agent may read"),
                );
            }
            Err(error) => return Reading::Later(error),
        }
    } else {
        false
    };
    match read_document(&folder, OsStr::new(DOCUMENT), limits) {
        Ok(contents) => Reading::Folder(FolderDrop {
            owner_uid: contents.meta.owner_uid,
            document: contents.meta,
            bytes: contents.bytes,
            has_artifacts,
        }),
        Err(reading) => reading,
    }
}

/// Whether the folder holds exactly what was read.
pub(crate) fn is_unchanged(
    drop: &OwnedFd,
    held_as: &OsStr,
    read: &FolderRead,
) -> Result<bool, FileError> {
    let folder = files::open_dir_at(drop, held_as)?;
    let names = files::names(&folder, 2)?;
    if names.iter().any(|n| n != DOCUMENT && n != ARTIFACTS)
        || files::metadata(&folder, DOCUMENT)? != Some(read.document)
    {
        return Ok(false);
    }
    if !names.iter().any(|name| name == ARTIFACTS) {
        return Ok(read.artifacts.is_empty());
    }
    let artifacts = files::open_dir_at(&folder, ARTIFACTS)?;
    let names = files::names(&artifacts, read.artifacts.len())?;
    if names.len() != read.artifacts.len() {
        return Ok(false);
    }
    for (name, meta) in &read.artifacts {
        match files::metadata(&artifacts, name) {
            Ok(found) if found == Some(*meta) => {}
            Ok(_) | Err(FileError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Removes a folder with its document and artifacts; anything else in it stays, and the folder
/// with it.
pub(crate) fn remove(drop: &OwnedFd, name: &OsStr) -> Result<(), FileError> {
    let gone = |result| match result {
        Err(FileError::NotFound { .. }) => Ok(()),
        other => other,
    };
    let folder = match files::open_dir_at(drop, name) {
        Ok(folder) => folder,
        Err(FileError::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    match files::open_dir_at(&folder, ARTIFACTS) {
        Ok(artifacts) => {
            for artifact in files::names(&artifacts, usize::MAX - 1)? {
                gone(files::remove(&artifacts, artifact))?;
            }
            gone(files::remove_dir(&folder, ARTIFACTS))?;
        }
        Err(FileError::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    gone(files::remove(&folder, DOCUMENT))?;
    gone(files::remove_dir(drop, name))
}

/// The name as it goes into the signed bytes: as it is, or with `\xNN` for bytes that are not
/// UTF-8, and then `\\` for a backslash, so that no two names are recorded alike.
pub(crate) fn recorded_name(name: &OsStr) -> String {
    if let Some(text) = name.to_str() {
        return text.to_owned();
    }
    let mut recorded = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        recorded.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            recorded.push_str(&format!("\\x{byte:02x}"));
        }
    }
    recorded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_recorded_as_it_is_or_so_that_its_bytes_can_be_told() {
        for (name, recorded) in [
            (&b"plain.log"[..], "plain.log"),
            (b"back\\slash", "back\\slash"),
            ("größe\n".as_bytes(), "größe\n"),
            (b"bad\xff.log", "bad\\xff.log"),
            (b"bad\\\xff", "bad\\\\\\xff"),
        ] {
            assert_eq!(recorded_name(OsStr::from_bytes(name)), recorded);
        }
    }
}
