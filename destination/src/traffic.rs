//! How many bytes of objects have moved in this process, either way. Whoever watches over a transfer that
//! takes hours sees by it that it goes on.

use std::sync::atomic::{AtomicU64, Ordering};

static MOVED: AtomicU64 = AtomicU64::new(0);

/// Bytes that were taken by a connection or came from one, since the process began.
#[must_use]
pub fn bytes_moved() -> u64 {
    MOVED.load(Ordering::Relaxed)
}

pub(crate) fn moved(bytes: usize) {
    MOVED.fetch_add(bytes as u64, Ordering::Relaxed);
}
