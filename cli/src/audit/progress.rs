//! How far an audit has come, on one line of a terminal.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use audit::Progress;

/// The line is not written more often.
const PAUSE: Duration = Duration::from_millis(200);

/// What is shown on standard error, if that is a terminal.
pub(super) struct Shown {
    is_terminal: bool,
    last: Option<Instant>,
    reading_since: Option<Instant>,
}

impl Shown {
    pub(super) fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            last: None,
            reading_since: None,
        }
    }

    pub(super) fn show(&mut self, progress: Progress) {
        let now = Instant::now();
        let is_soon = self.last.is_some_and(|last| now - last < PAUSE);
        let line = match progress {
            _ if !self.is_terminal => return,
            Progress::Listing(_) | Progress::Reading { .. } if is_soon => return,
            Progress::Listing(listed) => format!("listed {listed} versions"),
            Progress::Reading { read, of } => {
                let since = *self.reading_since.get_or_insert(now);
                reading(read, of, now - since)
            }
            Progress::Judging => "judging".to_owned(),
        };
        self.last = Some(now);
        eprint!("\r\x1b[K{line}");
        if progress == Progress::Judging {
            eprint!("\r\x1b[K");
        }
        // Progress that cannot be shown is no fault.
        let _ = std::io::stderr().flush();
    }
}

fn reading(read: u64, of: u64, took: Duration) -> String {
    let secs = took.as_secs_f64();
    let rate = read as f64 / secs.max(0.001);
    let left = of.saturating_sub(read) as f64 / rate.max(0.001);
    if secs < 1.0 {
        return format!("read {read} of {of} versions");
    }
    format!(
        "read {read} of {of} versions, {rate:.0} a second, {} left",
        time(left)
    )
}

fn time(secs: f64) -> String {
    let mins = (secs / 60.0).ceil();
    if secs < 90.0 {
        format!("{secs:.0} s")
    } else if mins < 120.0 {
        format!("{mins:.0} min")
    } else {
        format!("{:.1} h", mins / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_rate_and_time_left() {
        assert_eq!(
            reading(500, 2000, Duration::from_secs(5)),
            "read 500 of 2000 versions, 100 a second, 15 s left"
        );
        assert_eq!(
            reading(1, 2000, Duration::from_millis(5)),
            "read 1 of 2000 versions"
        );
        assert_eq!(time(3600.0), "60 min");
        assert_eq!(time(10_800.0), "3.0 h");
    }
}
