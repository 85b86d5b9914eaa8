//! The host's clock, and what is known of it.

use std::time::{Duration, Instant};

use evidence::bundle::TimeSource;
use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// The host's two clocks; tests set them.
pub struct Clock {
    now: Box<dyn Fn() -> Timestamp + Send>,
    since_boot: Box<dyn Fn() -> Duration + Send>,
}

impl Clock {
    /// `now` tells the date and can be set; `since_boot` only ever goes forward, also while the
    /// machine sleeps, so that a difference between them is a jump of the date.
    #[must_use]
    pub fn new(
        now: impl Fn() -> Timestamp + Send + 'static,
        since_boot: impl Fn() -> Duration + Send + 'static,
    ) -> Self {
        Self {
            now: Box::new(now),
            since_boot: Box::new(since_boot),
        }
    }

    /// The date.
    pub(crate) fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// Time since some moment before.
    pub(crate) fn since_boot(&self) -> Duration {
        (self.since_boot)()
    }
}

/// The real clocks, the date cut to microseconds, which is what bundles carry.
#[must_use]
pub fn system_clock() -> Clock {
    let began = Instant::now();
    Clock::new(
        || {
            let now = Timestamp::now();
            Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
        },
        // clock_gettime(2): CLOCK_BOOTTIME goes on while the machine is suspended. Every kernel that
        // we run on has it; where it is refused, a suspension looks like a jump of the date.
        move || {
            clock_gettime(ClockId::CLOCK_BOOTTIME).map_or_else(|_| began.elapsed(), Duration::from)
        },
    )
}

/// What the time service says of itself, without a system call that the sandbox filters.
///
/// systemd-timesyncd touches a file once it has synchronised (systemd-timesyncd.service(8)); it
/// gives no error bound. Anything else is unknown, and is recorded as unknown.
#[must_use]
pub(crate) fn time_source() -> TimeSource {
    if std::path::Path::new("/run/systemd/timesync/synchronized").exists() {
        TimeSource {
            source: "systemd-timesyncd".to_owned(),
            synchronised: Some(true),
            estimated_error_ms: None,
        }
    } else {
        TimeSource::unknown()
    }
}
