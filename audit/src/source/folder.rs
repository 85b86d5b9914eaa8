//! A folder that was copied from a bucket, or an agent's own evidence folder.
//!
//! Links are not followed: what a folder shows must be in it.

use std::fs::{self, FileType};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evidence::digest::Sha256Stream;

use super::{Digested, Facts, Fetched, Listed, Marker, Page, SourceError};

/// So many files make a page.
const PAGE: usize = 4096;
/// Read at once.
const PIECE_BYTES: usize = 256 << 10;

/// A folder laid out as evidence.
#[derive(Debug, Clone)]
pub struct Folder {
    root: Arc<Path>,
}

impl Folder {
    /// This folder.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn open(root: &Path) -> Result<Self, SourceError> {
        let failed = |source| SourceError::File {
            path: root.display().to_string(),
            source,
        };
        let root = fs::canonicalize(root).map_err(failed)?;
        if !root.is_dir() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
        Ok(Self { root: root.into() })
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        path: &str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, SourceError> {
        let full = self.root.join(path);
        let failed = |source| SourceError::File {
            path: path.to_owned(),
            source,
        };
        tokio::task::spawn_blocking(move || work(&full))
            .await
            .map_err(|stopped| failed(io::Error::other(stopped)))?
            .map_err(failed)
    }

    pub(super) async fn list(
        &self,
        below: &str,
        after: Option<&Marker>,
    ) -> Result<Page, SourceError> {
        let after = after.map(|marker| marker.path.clone());
        let (root, below_path) = (
            Arc::clone(&self.root),
            below.trim_end_matches('/').to_owned(),
        );
        let walked = tokio::task::spawn_blocking(move || {
            let mut entries = Vec::new();
            let start = root.join(&below_path);
            if start.is_dir() {
                walk(&root, &start, after.as_deref(), &mut entries)?;
            }
            Ok::<_, SourceError>(entries)
        })
        .await;
        let mut entries: Vec<Listed> = match walked {
            Ok(entries) => entries?,
            Err(stopped) => {
                return Err(SourceError::File {
                    path: below.to_owned(),
                    source: io::Error::other(stopped),
                });
            }
        };
        let next = (entries.len() > PAGE)
            .then(|| entries.truncate(PAGE))
            .and_then(|()| entries.last())
            .map(|last| Marker {
                path: last.path.clone(),
                version_id: None,
            });
        Ok(Page { entries, next })
    }

    pub(super) async fn fetch(&self, path: &str, max_bytes: u64) -> Result<Fetched, SourceError> {
        self.blocking(path, move |full| {
            let mut bytes = Vec::new();
            open(full)?.take(max_bytes + 1).read_to_end(&mut bytes)?;
            let size_bytes = bytes.len() as u64;
            Ok(Fetched {
                facts: facts(size_bytes),
                bytes: (size_bytes <= max_bytes).then_some(bytes),
            })
        })
        .await
    }

    pub(super) async fn digest(&self, path: &str) -> Result<Digested, SourceError> {
        self.blocking(path, |full| {
            let mut file = open(full)?;
            let mut hash = Sha256Stream::default();
            let mut buffer = vec![0; PIECE_BYTES];
            let mut size_bytes = 0;
            loop {
                match file.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) => {
                        hash.update(&buffer[..n]);
                        size_bytes += n as u64;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(Digested {
                facts: facts(size_bytes),
                sha256: hash.finish(),
            })
        })
        .await
    }
}

pub(super) const fn facts(size_bytes: u64) -> Facts {
    Facts {
        size_bytes,
        lock: None,
        last_modified: None,
        is_in_parts: false,
    }
}

/// Regular files only: opening a pipe would wait for ever.
pub(super) fn open(full: &Path) -> io::Result<fs::File> {
    if !fs::symlink_metadata(full)?.is_file() {
        return Err(io::Error::other("not a regular file; it was not followed"));
    }
    fs::File::open(full)
}

/// Adds the files below `folder` that come after `after`, depth first in the order of names, until
/// there are more than a page.
fn walk(
    root: &Path,
    folder: &Path,
    after: Option<&str>,
    entries: &mut Vec<Listed>,
) -> Result<(), SourceError> {
    let failed = |source| SourceError::File {
        path: folder.display().to_string(),
        source,
    };
    let mut here: Vec<(PathBuf, FileType)> = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        here.push((entry.path(), entry.file_type().map_err(failed)?));
    }
    here.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    for (full, kind) in here {
        if entries.len() > PAGE {
            return Ok(());
        }
        let relative = full.strip_prefix(root).unwrap_or(&full);
        // Paths are compared part by part, as the walk goes.
        let is_before = after.is_some_and(|after| relative <= Path::new(after));
        if kind.is_dir() {
            // The marker may lie below a folder that itself comes before it.
            if !is_before || after.is_some_and(|after| Path::new(after).starts_with(relative)) {
                walk(root, &full, after, entries)?;
            }
        } else if !is_before {
            let size_bytes = fs::symlink_metadata(&full).map_or(0, |meta| meta.len());
            entries.push(Listed {
                path: relative.to_string_lossy().into_owned(),
                version_id: String::new(),
                is_delete_marker: false,
                is_latest: true,
                size_bytes,
                last_modified: None,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(folder: &Folder, below: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = folder.list(below, after.as_ref()).await.unwrap();
            assert!(page.entries.len() <= PAGE);
            found.extend(page.entries.into_iter().map(|entry| entry.path));
            match page.next {
                Some(next) => after = Some(next),
                None => return found,
            }
        }
    }

    #[tokio::test]
    async fn every_file_is_listed_once_however_many_pages_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let mut made = Vec::new();
        for folder in ["a", "a.b", "a/x", "b"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
            for number in 0..1400 {
                let path = format!("{folder}/{number:04}.json");
                fs::write(dir.path().join(&path), b"x").unwrap();
                made.push(path);
            }
        }
        let folder = Folder::open(dir.path()).unwrap();
        let mut found = all(&folder, "").await;
        assert_eq!(found.len(), made.len());
        found.sort();
        made.sort();
        assert_eq!(found, made);
        assert_eq!(all(&folder, "a/").await.len(), 2800);
        assert_eq!(all(&folder, "c/").await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn links_are_listed_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), b"abc").unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("b")).unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let page = folder.list("", None).await.unwrap();
        assert_eq!(page.entries.len(), 2);
        assert!(folder.fetch("b", 10).await.is_err());
        let fetched = folder.fetch("a", 10).await.unwrap();
        assert_eq!(fetched.bytes.as_deref(), Some(b"abc".as_slice()));
        assert_eq!(folder.fetch("a", 2).await.unwrap().bytes, None);
        let digested = folder.digest("a").await.unwrap();
        assert_eq!(digested.sha256, evidence::digest::Sha256::of(b"abc"));
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Folder::open(&dir.path().join("none")).is_err());
        fs::write(dir.path().join("file"), b"x").unwrap();
        assert!(Folder::open(&dir.path().join("file")).is_err());
    }
}
