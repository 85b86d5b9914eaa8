//! Room on the file system of a folder: what the daemons watch, `status` shows and monitoring is
//! told, asked in one way.

use std::io;
use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};

/// What a file system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this user could still write.
    pub free_bytes: u64,
    /// Bytes in all.
    pub size_bytes: u64,
    /// Nothing can be written.
    pub is_read_only: bool,
}

/// Looks at the file system on which `folder` lies (statvfs(3)).
///
/// # Errors
/// When it cannot be looked at.
pub fn space(folder: &Path) -> io::Result<Space> {
    let disk = statvfs(folder)?;
    let unit = disk.fragment_size();
    Ok(Space {
        free_bytes: disk.blocks_available().saturating_mul(unit),
        size_bytes: disk.blocks().saturating_mul(unit),
        is_read_only: disk.flags().contains(FsFlags::ST_RDONLY),
    })
}
