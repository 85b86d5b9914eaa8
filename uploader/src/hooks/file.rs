//! The book on disk: one file in the delivery folder, replaced as a whole and durable before anything
//! is sent. Not in delivery.db, since of that, too, somebody must be told.

use std::path::Path;

use host::files::{self, Durability, FileError, Replace};

use super::book::Book;

const NAME: &str = "notify.json";
/// It holds notifications: for the uploader alone.
const MODE: u32 = 0o600;
/// Four hooks with everything that may wait are a sixth of it.
const MAX_BYTES: u64 = 4 << 20;

/// Reads it. One that cannot be read is as good as none: what is still there is told again.
pub(super) fn read(delivery: &Path) -> Book {
    let found = files::open_dir(delivery).and_then(|dir| files::read_capped(dir, NAME, MAX_BYTES));
    let bytes = match found {
        Ok(contents) => contents.bytes,
        Err(FileError::NotFound { .. }) => return Book::default(),
        Err(error) => {
            tracing::error!(error = %error, "what was told cannot be read; it is told again");
            return Book::default();
        }
    };
    match serde_json::from_slice::<Book>(&bytes) {
        Ok(book) if book.book_version == 1 => book,
        Ok(book) => {
            tracing::error!(
                version = book.book_version,
                "what was told is of another version; it is told again"
            );
            Book::default()
        }
        Err(error) => {
            tracing::error!(error = %error, "what was told cannot be read; it is told again");
            Book::default()
        }
    }
}

/// Writes it; durable when this returns.
///
/// # Errors
/// When the folder cannot be written to.
pub(super) fn write(delivery: &Path, book: &Book) -> Result<(), FileError> {
    let bytes = serde_json::to_vec(book).unwrap_or_default();
    let dir = files::open_dir(delivery)?;
    files::publish(&dir, NAME, &bytes, MODE, Durability::Fsync, Replace::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_is_read_back_and_a_damaged_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), Book::default());
        write(folder.path(), &Book::default()).unwrap();
        assert_eq!(read(folder.path()), Book::default());
        for damage in ["{", "{\"book_version\":2,\"entries\":[],\"waiting\":[]}"] {
            std::fs::write(folder.path().join(NAME), damage).unwrap();
            assert_eq!(read(folder.path()), Book::default());
        }
    }
}
