//! The host's clock, and what is known of it.

use evidence::bundle::TimeSource;
use jiff::Timestamp;

/// Where `now` comes from; tests set it back and forth.
pub type Clock = Box<dyn Fn() -> Timestamp + Send>;

/// The real clock, cut to microseconds, which is what bundles carry.
#[must_use]
pub fn system_clock() -> Clock {
    Box::new(|| {
        let now = Timestamp::now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    })
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
