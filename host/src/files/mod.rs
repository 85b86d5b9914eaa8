//! Files in folders that others can write to: opened without tricks, published without gaps.
//!
//! Reading: a name is opened relative to an already open folder, never through a symlink, never
//! blocking (a FIFO cannot hang the caller), and only a regular file is read, up to a limit that
//! holds even while the file grows.
//!
//! Publishing: readers of a folder must never see half a file. So the bytes go to a name that
//! starts with a dot, are made durable there, and only then get their real name by rename; the
//! folder is synced last. A crash at any step leaves either nothing under the real name or all of
//! it. With [`Replace::Never`] the kernel itself refuses to take a name that exists.

mod error;
mod publish;
mod read;

pub use error::FileError;
pub use publish::{
    Durability, Replace, TEMP_PREFIX, create_dir_durably, link, publish, remove, remove_dir,
    remove_leftovers, rename_noreplace, sync_dir, sync_file,
};
pub use read::{
    Contents, FileMeta, is_at, metadata, metadata_of, names, open_dir, open_dir_at, open_regular,
    read_capped,
};
