//! A small disk of one's own that really fills and really becomes read only; needs root.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools;

const BLOCK_BYTES: usize = 4096;

/// A mounted tmpfs; unmounted when dropped.
pub struct Tmpfs {
    path: PathBuf,
}

impl Tmpfs {
    /// Mounts one of so many bytes on `path`, or `None` after saying loudly that `test` is skipped.
    ///
    /// # Panics
    /// As [`tools::skip`].
    #[must_use]
    pub fn mount(path: &Path, size_bytes: usize, test: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size_bytes}"), "none"])
            .arg(path)
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            tools::skip(test, "mount(8) cannot mount a tmpfs here; be root");
            return None;
        }
        Some(Self {
            path: path.to_owned(),
        })
    }

    /// Takes every byte that is left but so many.
    ///
    /// # Panics
    /// As everywhere here, when the disk is not as expected.
    pub fn fill(&self, leave_bytes: usize) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.filler())
            .unwrap();
        while file.write(&[0; BLOCK_BYTES]).is_ok_and(|n| n > 0) {}
        let filled = file.metadata().unwrap().len();
        file.set_len(filled.saturating_sub(leave_bytes as u64))
            .unwrap();
    }

    /// Gives it all back.
    ///
    /// # Panics
    /// When it was not filled.
    pub fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    /// Makes it read only, or writable again.
    ///
    /// # Panics
    /// When mount(8) refuses, as it does while a file is open for writing.
    pub fn set_read_only(&self, read_only: bool) {
        let mode = if read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        let output = Command::new("mount")
            .args(["-o", mode])
            .arg(&self.path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn filler(&self) -> PathBuf {
        self.path.join(".filler")
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a daemon of a test that failed may still have it open.
        let _ = Command::new("umount").arg("-l").arg(&self.path).output();
    }
}
