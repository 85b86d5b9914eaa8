//! An object of any size, copied into a file.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};

use destination::Destination as _;

use super::bucket::{Bucket, facts};
use super::folder::Folder;
use super::{Facts, Source, SourceError};

impl Source {
    /// Copies a version into `file`, from its beginning, whatever was in it.
    ///
    /// # Errors
    /// When it cannot be read, after some attempts, or not be written.
    pub async fn copy(
        &self,
        path: &str,
        version_id: &str,
        file: &File,
    ) -> Result<Facts, SourceError> {
        match self {
            Self::Bucket(bucket) => bucket.copy(path, version_id, file).await,
            Self::Folder(folder) => folder.copy(path, file).await,
        }
    }
}

fn from_the_beginning(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()
}

impl Bucket {
    async fn copy(&self, path: &str, version_id: &str, file: &File) -> Result<Facts, SourceError> {
        let key = self.key(path);
        let stored = self
            .patience
            .ask(|| async {
                let mut is_begun = false;
                self.store
                    .copy_out(&key, version_id, &mut |piece| {
                        if !is_begun {
                            // What an earlier attempt left is not the object's beginning.
                            from_the_beginning(file)?;
                            is_begun = true;
                        }
                        let mut file = file;
                        file.write_all(piece)
                    })
                    .await
            })
            .await?;
        Ok(facts(&stored))
    }
}

impl Folder {
    async fn copy(&self, path: &str, file: &File) -> Result<Facts, SourceError> {
        let failed = |source| SourceError::File {
            path: path.to_owned(),
            source,
        };
        let mut into = file.try_clone().map_err(failed)?;
        from_the_beginning(&into).map_err(failed)?;
        self.blocking(path, move |full| {
            let size_bytes = io::copy(&mut super::folder::open(full)?, &mut into)?;
            Ok(super::folder::facts(size_bytes))
        })
        .await
    }
}
