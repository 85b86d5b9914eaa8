//! The host's clock, and what is known of it.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use evidence::bundle::TimeSource;
use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_gettime};

use crate::{Agent, AgentError};

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

/// How long systemd-timesyncd's word holds: it asks at least every 34 minutes
/// (PollIntervalMaxSec, timesyncd.conf(5)).
const TIMESYNCD_FRESH: SignedDuration = SignedDuration::from_hours(3);
/// The same for chronyd, which updates at least every 1024 seconds and a few (maxpoll, chrony.conf(5)).
const CHRONY_FRESH: SignedDuration = SignedDuration::from_hours(2);
/// The end of chronyd's log, in which its last line lies.
const LOG_END_BYTES: u64 = 4096;
/// A store tells its date in whole seconds (RFC 9110, 5.6.7).
const DATE_RESOLUTION_MS: f64 = 1000.0;

impl Agent {
    /// What is known of the clock just now.
    pub(crate) fn time_source(&self) -> Result<TimeSource, AgentError> {
        let now = self.clock.now();
        let offset_ms = self.spool.store_offset_ms(now)?;
        Ok(time_source(Path::new("/"), now, offset_ms))
    }
}

/// What the time service says of itself, without a system call that the sandbox filters
/// (`ProtectClock=`), and how far the store's clock is, by the uploader's word. What is not known is
/// not claimed.
fn time_source(root: &Path, now: Timestamp, store_offset_ms: Option<i64>) -> TimeSource {
    let mut known = chrony(root, now)
        .or_else(|| timesyncd(root, now))
        .unwrap_or_else(TimeSource::unknown);
    if known.estimated_error_ms.is_none()
        && let Some(offset_ms) = store_offset_ms
    {
        // The answer's way back is in the offset, so the bound is rather too wide.
        #[expect(clippy::cast_precision_loss, reason = "2^53 ms are 285,000 years")]
        let bound_ms = offset_ms.unsigned_abs() as f64 + DATE_RESOLUTION_MS;
        known.estimated_error_ms = Some(bound_ms);
        known.source = match known.source.as_str() {
            "unknown" => "store".to_owned(),
            service => format!("{service}+store"),
        };
    }
    known
}

/// systemd-timesyncd touches a file at each synchronisation (systemd-timesyncd.service(8)), and gives
/// no error bound. Its folder is there while it runs.
fn timesyncd(root: &Path, now: Timestamp) -> Option<TimeSource> {
    let folder = root.join("run/systemd/timesync");
    let modified = std::fs::metadata(folder.join("synchronized")).and_then(|meta| meta.modified());
    let synchronised = match modified {
        Ok(at) => {
            let at = Timestamp::try_from(at).ok()?;
            // Silent for too long, it says nothing.
            (now.duration_since(at).abs() <= TIMESYNCD_FRESH).then_some(true)
        }
        Err(_) if folder.is_dir() => Some(false),
        Err(_) => return None,
    };
    Some(TimeSource {
        source: "systemd-timesyncd".to_owned(),
        synchronised,
        estimated_error_ms: None,
    })
}

/// chronyd's state is behind a socket, but `log tracking` (chrony.conf(5)) writes it down: the leap
/// status, `?` when not synchronised, in the eighth column, and the largest error since the update
/// before, in seconds, in the last.
fn chrony(root: &Path, now: Timestamp) -> Option<TimeSource> {
    let mut log = File::open(root.join("var/log/chrony/tracking.log")).ok()?;
    let length = log.metadata().ok()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(LOG_END_BYTES)))
        .ok()?;
    let mut end = Vec::new();
    log.take(LOG_END_BYTES).read_to_end(&mut end).ok()?;
    let end = String::from_utf8_lossy(&end);
    // A line that is still being written has no line break.
    let (whole, _) = end.rsplit_once('\n')?;
    let words: Vec<&str> = whole.lines().next_back()?.split_whitespace().collect();
    let [date, time, _, _, _, _, _, leap, .., error_secs] = words[..] else {
        return None;
    };
    let at: Timestamp = format!("{date}T{time}Z").parse().ok()?;
    let is_fresh = now.duration_since(at).abs() <= CHRONY_FRESH;
    let error_secs: f64 = error_secs.parse().ok()?;
    Some(TimeSource {
        source: "chrony".to_owned(),
        synchronised: is_fresh.then_some(leap != "?"),
        estimated_error_ms: (is_fresh
            && leap != "?"
            && error_secs.is_finite()
            && error_secs >= 0.0)
            .then_some(error_secs * 1000.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-21T10:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn known(root: &Path, offset_ms: Option<i64>) -> (String, Option<bool>, Option<f64>) {
        let time = time_source(root, at(NOW), offset_ms);
        (time.source, time.synchronised, time.estimated_error_ms)
    }

    fn synchronised_at(root: &Path, time: &str) {
        let folder = root.join("run/systemd/timesync");
        std::fs::create_dir_all(&folder).unwrap();
        let file = File::create(folder.join("synchronized")).unwrap();
        file.set_modified(at(time).into()).unwrap();
    }

    fn tracked(root: &Path, lines: &str) {
        let folder = root.join("var/log/chrony");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("tracking.log"), lines).unwrap();
    }

    #[test]
    fn nothing_known_is_unknown_and_the_store_alone_gives_a_bound() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(known(root.path(), None), ("unknown".to_owned(), None, None));
        let store = known(root.path(), Some(-250));
        assert_eq!(store, ("store".to_owned(), None, Some(1250.0)));
    }

    #[test]
    fn timesyncd_is_believed_while_it_synchronises_and_says_when_it_never_did() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("run/systemd/timesync")).unwrap();
        let source = "systemd-timesyncd".to_owned();
        let never = known(root.path(), None);
        assert_eq!(never, (source.clone(), Some(false), None));
        synchronised_at(root.path(), "2026-11-21T09:30:00Z");
        assert_eq!(known(root.path(), None), (source.clone(), Some(true), None));
        let both = known(root.path(), Some(40));
        let named = "systemd-timesyncd+store".to_owned();
        assert_eq!(both, (named, Some(true), Some(1040.0)));
        synchronised_at(root.path(), "2026-11-21T06:59:59Z");
        assert_eq!(known(root.path(), None), (source, None, None));
    }

    #[test]
    fn the_last_whole_line_of_chronys_log_is_its_word() {
        let root = tempfile::tempdir().unwrap();
        let head = "   Date (UTC) Time     IP Address   St   Freq ppm   Skew ppm     Offset L Co  \
                    Offset sd Rem. corr. Root delay Root disp. Max. error\n";
        let line = |time: &str, leap: &str, error: &str| {
            format!(
                "2026-11-21 {time} 192.0.2.7        2     -3.203      0.009 -1.345e-05 {leap}  3  \
                 1.7e-05 -2.6e-06  1.2e-02  2.0e-03  {error}\n"
            )
        };
        let said = |lines: String| {
            tracked(root.path(), &format!("{head}{lines}"));
            known(root.path(), Some(9))
        };
        let chrony = "chrony".to_owned();
        let good = line("09:50:00", "N", "8.0e-03");
        assert_eq!(said(good.clone()), (chrony.clone(), Some(true), Some(8.0)));
        let torn = format!("{good}2026-11-21 09:59");
        assert_eq!(said(torn), (chrony, Some(true), Some(8.0)));
        let lost = line("09:55:00", "?", "8.0e-03");
        let named = "chrony+store".to_owned();
        let off = said(format!("{good}{lost}"));
        assert_eq!(off, (named.clone(), Some(false), Some(1009.0)));
        let old = said(line("07:00:00", "N", "8.0e-03"));
        assert_eq!(old, (named, None, Some(1009.0)));
        assert_eq!(said("nonsense\n".to_owned()).0, "store");
    }
}
