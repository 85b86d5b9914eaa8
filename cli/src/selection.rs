//! Which evidence: the same options for every command that takes some of it.

use anyhow::Result;
use audit::Keyring;
use audit::list::{Period, Selection, Time};
use clap::{Args, ValueEnum};
use evidence::bundle::Kind;
use evidence::controls::{Citation, Criterion};

use crate::output::Misuse;

#[derive(Args)]
#[command(
    next_help_heading = "Which evidence (each can be repeated: any of them; all options must hold)"
)]
pub(crate) struct SelectionOptions {
    /// Of this client.
    #[arg(long = "client", value_name = "CLIENT")]
    pub(crate) clients: Vec<String>,
    /// Of this host.
    #[arg(long = "host", value_name = "HOST")]
    pub(crate) hosts: Vec<String>,
    /// From this month, day or instant on, in UTC: 2026-10, 2026-10-05 or 2026-10-05T18:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<Period>,
    /// To the end of this month or day, or before this instant, in UTC.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<Period>,
    /// Which time --from and --to mean. An incident that was noticed in a period is looked for among
    /// what was sealed from two days before it on.
    #[arg(long, value_enum, default_value_t = By::Detected)]
    pub(crate) by: By,
    /// Of this type of event, such as backup_failure.
    #[arg(long = "event-type", value_name = "TYPE")]
    pub(crate) event_types: Vec<String>,
    /// Of this severity.
    #[arg(long = "severity", value_name = "SEVERITY")]
    pub(crate) severities: Vec<String>,
    /// Citing this paragraph of 45 CFR Part 164, or one within it: 164.308(a)(7) finds
    /// 164.308(a)(7)(ii)(A).
    #[arg(long = "control", value_name = "CITATION")]
    pub(crate) controls: Vec<Citation>,
    /// Evidence for this SOC 2 criterion, by the map with which it was sealed: CC7.4, or CC7 for the group.
    #[arg(long = "soc2", value_name = "CRITERION")]
    pub(crate) soc2: Vec<Criterion>,
    /// Sealed with this finding, such as misapplied_control.
    #[arg(long = "finding", value_name = "CODE")]
    pub(crate) findings: Vec<String>,
    /// With this resolution.
    #[arg(long = "resolution", value_name = "TYPE")]
    pub(crate) resolutions: Vec<String>,
    /// Only where the time allowed was not kept.
    #[arg(long)]
    pub(crate) sla_missed: bool,
    /// Of this kind; incidents, when not given.
    #[arg(long = "kind", value_enum, value_name = "KIND")]
    pub(crate) kinds: Vec<BundleKind>,
    /// With these words somewhere in the bundle, in any case. No index knows them: every bundle that the
    /// other options leave is fetched.
    #[arg(long, value_name = "WORDS")]
    pub(crate) text: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum By {
    /// When the incident was noticed; when it was sealed, of what is no incident.
    Detected,
    /// When it was sealed.
    Sealed,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum BundleKind {
    /// What was remediated.
    Incident,
    /// What was sealed, confirmed and refused, hour by hour.
    Custody,
    /// A test of the set-up.
    Probe,
    /// From one key to the next.
    Rotation,
}

impl SelectionOptions {
    pub(crate) fn selection(&self) -> Result<Selection> {
        let kinds = self.kinds.iter().map(|kind| match kind {
            BundleKind::Incident => Kind::Incident,
            BundleKind::Custody => Kind::Custody,
            BundleKind::Probe => Kind::Probe,
            BundleKind::Rotation => Kind::Rotation,
        });
        let defaults = Selection::default();
        let (from, before) = (
            self.from.map(|period| period.start),
            self.to.map(|period| period.end),
        );
        if from
            .zip(before)
            .is_some_and(|(from, before)| from >= before)
        {
            return Err(Misuse("--to is not after --from".to_owned()).into());
        }
        Ok(Selection {
            clients: self.clients.clone(),
            hosts: self.hosts.clone(),
            kinds: if self.kinds.is_empty() {
                defaults.kinds
            } else {
                kinds.collect()
            },
            time: match self.by {
                By::Detected => Time::Detected,
                By::Sealed => Time::Sealed,
            },
            from,
            before,
            event_types: self.event_types.clone(),
            severities: self.severities.clone(),
            controls: self.controls.clone(),
            soc2: self.soc2.clone(),
            findings: self.findings.clone(),
            resolutions: self.resolutions.clone(),
            sla_missed: self.sla_missed,
            words: self
                .text
                .iter()
                .flat_map(|words| words.split_whitespace())
                .map(str::to_owned)
                .collect(),
        })
    }

    /// Who names one key and one host says whose it is.
    pub(crate) fn bind(&self, keyring: Keyring) -> Keyring {
        match (self.clients.as_slice(), self.hosts.as_slice()) {
            ([client], [host]) => keyring.bound_to(client, host),
            _ => keyring,
        }
    }
}
