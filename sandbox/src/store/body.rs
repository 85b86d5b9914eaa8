//! The bytes of a version or a part: in memory or in a file.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use bytes::Bytes;

/// Bytes that never change once stored.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Memory(Bytes),
    File(PathBuf),
}

impl Body {
    /// Opens the bytes for reading from `offset`. An open body stays readable when its version is
    /// deleted meanwhile.
    pub(crate) fn open_at(&self, offset: u64) -> io::Result<Reader> {
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                Ok(Reader::Memory(bytes.slice(start..)))
            }
            Self::File(path) => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(offset))?;
                Ok(Reader::File(file))
            }
        }
    }

    /// All bytes.
    pub(crate) fn read(&self) -> io::Result<Bytes> {
        match self {
            Self::Memory(bytes) => Ok(bytes.clone()),
            Self::File(path) => Ok(std::fs::read(path)?.into()),
        }
    }

    /// Removes the file; memory goes by itself. A file that is gone already is no error.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::File(path) => match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        }
    }
}

/// An open body.
pub(crate) enum Reader {
    Memory(Bytes),
    File(File),
}

impl Reader {
    /// The next piece of at most `limit_bytes`; empty at the end.
    pub(crate) fn piece(&mut self, limit_bytes: usize) -> io::Result<Bytes> {
        match self {
            Self::Memory(bytes) => Ok(bytes.split_to(limit_bytes.min(bytes.len()))),
            Self::File(file) => {
                let mut piece = Vec::new();
                file.by_ref()
                    .take(limit_bytes as u64)
                    .read_to_end(&mut piece)?;
                Ok(piece.into())
            }
        }
    }
}
