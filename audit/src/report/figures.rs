//! The first pass over the bundles: everything that the report counts, in memory that grows with
//! hosts, hours and controls, and by 24 bytes an incident; never by a bundle.

use std::collections::{BTreeMap, BTreeSet};

use evidence::bundle::Kind;
use jiff::Timestamp;

use super::content::{BundleContent, CheckResult, Content, IncidentContent, Proven, ReportError};
use super::controls::{Controls, Named};
use super::hours::{HostHours, Hour, Span, hour_of};
use super::selection::{Limits, Selection};

/// So many chains of one host are told apart by name.
const MAX_CHAINS: usize = 1_000;
/// So many severities are told apart; what comes after is counted as other.
const MAX_SEVERITIES: usize = 20;

/// One host, by client and host.
pub(super) type HostKey = (String, String);

/// What one host sealed.
#[derive(Debug, Clone, Default)]
pub(super) struct HostFigures {
    pub(super) chains: BTreeSet<String>,
    pub(super) incidents: u64,
    pub(super) custody: u64,
    pub(super) others: u64,
    pub(super) failed: u64,
    pub(super) first: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
    pub(super) hours: HostHours,
}

/// How long one incident took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) hour: Hour,
    pub(super) mttr_secs: f64,
    pub(super) sla_met: bool,
}

/// What came of the incidents of one severity.
#[derive(Debug, Clone, Default)]
pub(super) struct SeverityFigures {
    pub(super) sla_met: u64,
    pub(super) mttr_secs: Vec<f64>,
}

/// One incident in the list of the timeline.
#[derive(Debug, Clone)]
pub(super) struct IncidentLine {
    pub(super) at: Timestamp,
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) host_id: String,
    pub(super) incident_id: String,
    pub(super) event_type: String,
    pub(super) severity: String,
    pub(super) resolution: String,
    pub(super) sla_met: bool,
    pub(super) mttr_secs: f64,
    pub(super) result: CheckResult,
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) bundles: u64,
    pub(super) incidents: u64,
    pub(super) custody: u64,
    pub(super) probes: u64,
    pub(super) rotations: u64,
    /// Bundles whose signature, form or content hash is not proven.
    pub(super) unproven: u64,
    /// Bundles about which something failed.
    pub(super) failed: u64,
    pub(super) hosts: BTreeMap<HostKey, HostFigures>,
    pub(super) controls: Controls,
    pub(super) pace: Vec<Pace>,
    pub(super) severities: BTreeMap<String, SeverityFigures>,
    /// Incidents one by one, by time; none when there are more than the limit.
    pub(super) listed: Vec<IncidentLine>,
    /// Custody bundles by hour.
    pub(super) custody_hours: BTreeMap<Hour, u64>,
}

impl Figures {
    /// Counts, and then decides which bundles get a section of their own.
    pub(super) fn gather(
        content: &dyn Content,
        limits: Limits,
    ) -> Result<(Self, Selection), ReportError> {
        let summary = content.summary();
        let span = Span::new(summary.looked_at, summary.silent_after_secs);
        let mut figures = Self::default();
        let mut last_failed = 0;
        content.bundles(&mut |bundle| {
            figures.add(&bundle, span, limits);
            if bundle.result() == CheckResult::Failed && figures.failed <= limits.sections {
                last_failed = bundle.number;
            }
            Ok(())
        })?;
        if figures.incidents > limits.sections {
            figures.listed = Vec::new();
        }
        figures
            .listed
            .sort_by(|a, b| a.at.cmp(&b.at).then(a.number.cmp(&b.number)));
        let selection = Selection::choose(
            limits,
            figures.bundles,
            figures.failed,
            figures.incidents,
            last_failed,
        );
        Ok((figures, selection))
    }

    fn add(&mut self, bundle: &BundleContent, span: Span, limits: Limits) {
        let failed = bundle.result() == CheckResult::Failed;
        self.bundles += 1;
        self.failed += u64::from(failed);
        let Some(proven) = &bundle.proven else {
            self.unproven += 1;
            return;
        };
        let host = self
            .hosts
            .entry((proven.client_id.clone(), proven.host_id.clone()))
            .or_default();
        host.failed += u64::from(failed);
        if host.chains.len() < MAX_CHAINS {
            host.chains.insert(proven.chain_id.clone());
        }
        let at = proven.generated_at;
        host.first = Some(host.first.map_or(at, |first| first.min(at)));
        host.last = Some(host.last.map_or(at, |last| last.max(at)));
        host.hours.add(proven, span);
        match proven.kind {
            Kind::Incident => host.incidents += 1,
            Kind::Custody => host.custody += 1,
            Kind::Probe | Kind::Rotation => host.others += 1,
        }
        match proven.kind {
            Kind::Incident => self.incidents += 1,
            Kind::Custody => {
                self.custody += 1;
                if span.holds(at) {
                    *self.custody_hours.entry(hour_of(at)).or_default() += 1;
                }
            }
            Kind::Probe => self.probes += 1,
            Kind::Rotation => self.rotations += 1,
        }
        if let Some(incident) = bundle.incident() {
            self.add_incident(bundle, proven, incident, span, limits);
        }
    }

    fn add_incident(
        &mut self,
        bundle: &BundleContent,
        proven: &Proven,
        incident: &IncidentContent,
        span: Span,
        limits: Limits,
    ) {
        let entry = &incident.entry;
        let result = bundle.result();
        let mttr_secs = entry.mttr_seconds.as_f64().unwrap_or(0.0);
        self.controls.add(
            Named {
                number: bundle.number,
                name: bundle.name.clone(),
                failed: result == CheckResult::Failed,
            },
            incident,
        );
        let severity = if self.severities.contains_key(&entry.severity)
            || self.severities.len() < MAX_SEVERITIES
        {
            entry.severity.clone()
        } else {
            "(other)".to_owned()
        };
        let severity = self.severities.entry(severity).or_default();
        severity.sla_met += u64::from(entry.sla_met);
        severity.mttr_secs.push(mttr_secs);
        if span.holds(proven.generated_at) {
            self.pace.push(Pace {
                hour: hour_of(proven.generated_at),
                mttr_secs,
                sla_met: entry.sla_met,
            });
        }
        if self.incidents <= limits.sections {
            self.listed.push(IncidentLine {
                at: proven.generated_at,
                number: bundle.number,
                name: bundle.name.clone(),
                host_id: proven.host_id.clone(),
                incident_id: entry.incident_id.clone(),
                event_type: entry.event_type.clone(),
                severity: entry.severity.clone(),
                resolution: entry.resolution_type.clone(),
                sla_met: entry.sla_met,
                mttr_secs,
                result,
            });
        }
    }

    /// The first and last hour in which any host sealed anything.
    pub(super) fn life(&self) -> Option<(Hour, Hour)> {
        self.hosts
            .values()
            .filter_map(|host| host.hours.life())
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Bundles that bear an impossible time.
    pub(super) fn impossible_times(&self) -> u64 {
        self.hosts.values().map(|host| host.hours.impossible).sum()
    }

    /// Hours of all hosts' lives, and how many of them nothing attests.
    pub(super) fn hours(&self) -> (u64, u64) {
        self.hosts
            .values()
            .map(|host| host.hours.count())
            .fold((0, 0), |sum, (hours, silent)| {
                (sum.0 + hours, sum.1 + silent)
            })
    }
}

/// The value below which `percent` of the sorted values lie (nearest rank); none of none.
pub(super) fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let values: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(percentile(&values, 50), Some(5.0));
        assert_eq!(percentile(&values, 95), Some(10.0));
        assert_eq!(percentile(&values, 100), Some(10.0));
        assert_eq!(percentile(&[7.0], 50), Some(7.0));
        assert_eq!(percentile(&[], 50), None);
    }
}
