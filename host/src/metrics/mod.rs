//! What monitoring is told: a page in Prometheus' text format, made anew each time from what is.
//!
//! No label ever holds a client, an incident, a drop's name or words that come from outside: pages
//! are kept for months by systems that hold no evidence.

mod textfile;

use std::path::Path;

use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::{CounterVec, GaugeVec, Opts, Registry, TextEncoder};

use crate::alarm::Alarm;
use crate::disk;

pub use textfile::{Textfile, folder};

/// Of the format's text form: what the listener says it answers with.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// A name or label that Prometheus does not allow, or one that is given twice.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be written down")]
pub struct MetricsError(#[from] prometheus::Error);

/// A page that is being made.
#[derive(Debug, Default)]
pub struct Page(Registry);

/// The values of a metric's labels, and its value. A `None` is left out: nothing is known.
pub type Row<'a, const N: usize> = ([&'a str; N], Option<f64>);

impl Page {
    /// A value without labels that may go up and down.
    ///
    /// # Errors
    /// When the name is not one, or is there already.
    pub fn gauge(&self, name: &str, help: &str, value: Option<f64>) -> Result<(), MetricsError> {
        self.gauges(name, help, [], [([], value)])
    }

    /// Values with labels that may go up and down.
    ///
    /// # Errors
    /// When a name is not one, or is there already.
    pub fn gauges<'a, const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
        rows: impl IntoIterator<Item = Row<'a, N>>,
    ) -> Result<(), MetricsError> {
        let gauges = GaugeVec::new(Opts::new(name, help), &labels)?;
        for (values, value) in rows {
            if let Some(value) = value {
                gauges.get_metric_with_label_values(&values)?.set(value);
            }
        }
        self.add(gauges)
    }

    /// A count without labels that only grows; by convention its name ends in `_total`.
    ///
    /// # Errors
    /// When the name is not one, or is there already.
    pub fn counter(&self, name: &str, help: &str, value: u64) -> Result<(), MetricsError> {
        self.counters(name, help, [], [([], Some(number(value)))])
    }

    /// Counts with labels that only grow; by convention their name ends in `_total`.
    ///
    /// # Errors
    /// When a name is not one, or is there already.
    pub fn counters<'a, const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
        rows: impl IntoIterator<Item = Row<'a, N>>,
    ) -> Result<(), MetricsError> {
        let counters = CounterVec::new(Opts::new(name, help), &labels)?;
        for (values, value) in rows {
            if let Some(value) = value {
                counters
                    .get_metric_with_label_values(&values)?
                    .inc_by(value);
            }
        }
        self.add(counters)
    }

    fn add(&self, metric: impl Collector + 'static) -> Result<(), MetricsError> {
        Ok(self.0.register(Box::new(metric))?)
    }

    /// The page's text.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn text(&self) -> Result<String, MetricsError> {
        Ok(TextEncoder::new().encode_to_string(&self.0.gather())?)
    }
}

/// A count as Prometheus has it: exact up to 2^53.
#[must_use]
pub const fn number(n: u64) -> f64 {
    n as f64
}

/// A time as Prometheus has it, in seconds since the epoch.
#[must_use]
pub fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

/// How long ago, in seconds; zero for what is still to come.
#[must_use]
pub fn age_secs(at: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(at).as_secs_f64().max(0.0)
}

/// What both daemons tell of themselves.
#[derive(Debug)]
pub struct Daemon<'a> {
    /// `agent` or `uploader`.
    pub name: &'a str,
    /// Of this program.
    pub version: &'a str,
    /// When the process began.
    pub started_at: Timestamp,
    /// It works; false on the page that a clean stop leaves behind.
    pub is_running: bool,
    /// What it cannot do just now.
    pub alarms: &'a [Alarm],
    /// Folders by the names that `[paths]` has for them.
    pub folders: &'a [(&'a str, &'a Path)],
}

impl Daemon<'_> {
    /// Adds it to a page. The words are the same for both daemons: a collector refuses a metric of
    /// two files with different ones.
    ///
    /// # Errors
    /// When these metrics are there already.
    pub fn tell(&self, page: &Page, now: Timestamp) -> Result<(), MetricsError> {
        let own = [self.name];
        page.gauges(
            "msp_evidence_build_info",
            "1, for the version of the daemon that wrote this.",
            ["daemon", "version"],
            [([self.name, self.version], Some(1.0))],
        )?;
        page.gauges(
            "msp_evidence_running",
            "1 while the daemon works, 0 after a clean stop.",
            ["daemon"],
            [(own, Some(if self.is_running { 1.0 } else { 0.0 }))],
        )?;
        page.gauges(
            "msp_evidence_start_time_seconds",
            "When the daemon started, in seconds since the epoch.",
            ["daemon"],
            [(own, Some(seconds(self.started_at)))],
        )?;
        page.gauges(
            "msp_evidence_written_timestamp_seconds",
            "When the daemon last said anything of this, in seconds since the epoch.",
            ["daemon"],
            [(own, Some(seconds(now)))],
        )?;
        page.gauges(
            "msp_evidence_alarms",
            "How many alarms the daemon raises.",
            ["daemon"],
            [(own, Some(number(self.alarms.len() as u64)))],
        )?;
        page.gauges(
            "msp_evidence_alarm",
            "1 for each alarm that the daemon raises, by its code; status says more.",
            ["daemon", "code"],
            self.alarms
                .iter()
                .map(|alarm| ([self.name, alarm.code.as_str()], Some(1.0))),
        )?;
        let spaces: Vec<_> = self
            .folders
            .iter()
            .map(|(name, path)| (*name, disk::space(path).ok()))
            .collect();
        page.gauges(
            "msp_evidence_disk_free_bytes",
            "Bytes that the daemon could still write where the folder lies.",
            ["daemon", "folder"],
            spaces
                .iter()
                .map(|(name, space)| ([self.name, *name], space.map(|s| number(s.free_bytes)))),
        )?;
        page.gauges(
            "msp_evidence_disk_size_bytes",
            "Size of the file system where the folder lies.",
            ["daemon", "folder"],
            spaces
                .iter()
                .map(|(name, space)| ([self.name, *name], space.map(|s| number(s.size_bytes)))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_help_type_and_value_of_everything_that_is_known() {
        let page = Page::default();
        page.counter("msp_evidence_x_total", "All x.", 3).unwrap();
        page.gauge("msp_evidence_unknown", "Nobody knows.", None)
            .unwrap();
        page.gauges(
            "msp_evidence_y",
            "Y by z.",
            ["z"],
            [(["a\"b\\\n"], Some(0.5)), (["c"], None)],
        )
        .unwrap();
        assert_eq!(
            page.text().unwrap(),
            "# HELP msp_evidence_x_total All x.\n# TYPE msp_evidence_x_total counter\n\
             msp_evidence_x_total 3\n# HELP msp_evidence_y Y by z.\n# TYPE msp_evidence_y gauge\n\
             msp_evidence_y{z=\"a\\\"b\\\\\\n\"} 0.5\n"
        );
    }

    #[test]
    fn a_metric_cannot_be_told_twice() {
        let page = Page::default();
        page.gauge("msp_evidence_x", "X.", Some(1.0)).unwrap();
        page.gauge("msp_evidence_x", "X.", Some(2.0)).unwrap_err();
    }

    #[test]
    fn a_daemon_tells_its_version_alarms_and_room() {
        let page = Page::default();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let folder = std::env::temp_dir();
        let alarms = [Alarm {
            code: "stalled".to_owned(),
            since: now,
            message: "the words stay on this host".to_owned(),
        }];
        let daemon = Daemon {
            name: "agent",
            version: "1.2.3",
            started_at: now,
            is_running: true,
            alarms: &alarms,
            folders: &[("spool", &folder), ("drop", Path::new("/nonexistent"))],
        };
        daemon.tell(&page, now).unwrap();
        let text = page.text().unwrap();
        for line in [
            "msp_evidence_build_info{daemon=\"agent\",version=\"1.2.3\"} 1",
            "msp_evidence_running{daemon=\"agent\"} 1",
            "msp_evidence_start_time_seconds{daemon=\"agent\"} 1800000000",
            "msp_evidence_alarms{daemon=\"agent\"} 1",
            "msp_evidence_alarm{code=\"stalled\",daemon=\"agent\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in:\n{text}");
        }
        assert!(text.contains("msp_evidence_disk_free_bytes{daemon=\"agent\",folder=\"spool\"}"));
        assert!(!text.contains("folder=\"drop\""), "{text}");
        assert!(!text.contains("the words"), "{text}");
    }
}
