//! The control matrix: which paragraphs of the Security Rule the incidents cite, how often.
//!
//! Beside it, which SOC 2 criteria the hosts' map had for them when they were sealed.
//!
//! The headings are those of 45 CFR Part 164, Subpart C. A citation is the executor's word: that an
//! incident cites a control is counted here, not that the control is met.

use std::collections::BTreeMap;

use evidence::controls::{CONTROLS, Citation, Control, Implementation, SECTIONS};
use evidence::custody::IncidentEntry;
use evidence::findings::code;
use serde::Serialize;

use super::content::IncidentContent;

/// So many bundles are named beside a control; the rest are counted.
pub(super) const MAX_NAMED: usize = 8;
/// So many kinds of event are told apart; what comes after is counted as other.
const MAX_EVENT_TYPES: usize = 500;
/// So many codes of findings are counted; no version has as many.
const MAX_CODES: usize = 200;

/// What cites one control.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Cited {
    pub(super) incidents: u64,
    pub(super) sla_missed: u64,
    pub(super) failed: u64,
    /// By the sealed word of the host, it is not about such an event.
    pub(super) misapplied: u64,
    pub(super) event_types: BTreeMap<String, u64>,
    /// The first of them.
    pub(super) named: Vec<Named>,
}

/// A bundle that a control names.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Named {
    /// Its place in the report.
    pub(super) number: u64,
    pub(super) name: String,
    #[serde(skip)]
    pub(super) failed: bool,
}

impl Cited {
    fn add(&mut self, event_type: &str, entry: &IncidentEntry, place: &Named) {
        self.incidents += 1;
        self.sla_missed += u64::from(!entry.sla_met);
        self.failed += u64::from(place.failed);
        *self.event_types.entry(event_type.to_owned()).or_default() += 1;
        if self.named.len() < MAX_NAMED {
            self.named.push(place.clone());
        }
    }
}

/// By what was found when it was sealed; not known of an incident that only the index speaks of.
fn is_misapplied(incident: &IncidentContent, index: usize) -> bool {
    let path = format!("/incident/hipaa_controls/{index}");
    incident.detail.as_ref().is_some_and(|detail| {
        detail
            .sealed_findings
            .iter()
            .any(|finding| finding.code == code::MISAPPLIED_CONTROL && finding.path == path)
    })
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Controls {
    /// By citation; the empty one is for what the Security Rule does not have.
    pub(super) cited: BTreeMap<String, Cited>,
    /// Incidents that cite nothing.
    pub(super) uncited: u64,
    /// By SOC 2 criterion.
    pub(super) criteria: BTreeMap<String, Cited>,
    /// How many incidents were sealed with a finding, by its code.
    pub(super) findings: BTreeMap<String, u64>,
    event_types: BTreeMap<String, u64>,
}

impl Controls {
    /// Counts one incident, in its `place` in the report.
    pub(super) fn add(&mut self, place: Named, incident: &IncidentContent) {
        let entry = &incident.entry;
        let event_type = if self.event_types.contains_key(&entry.event_type)
            || self.event_types.len() < MAX_EVENT_TYPES
        {
            entry.event_type.clone()
        } else {
            String::new()
        };
        *self.event_types.entry(event_type.clone()).or_default() += 1;
        for code in &entry.findings {
            if self.findings.contains_key(code) || self.findings.len() < MAX_CODES {
                *self.findings.entry(code.clone()).or_default() += 1;
            }
        }
        // Whether it is misapplied, by citation.
        let mut cited = BTreeMap::<String, bool>::new();
        for (index, text) in entry.hipaa_controls.iter().enumerate() {
            let citation = text
                .parse()
                .map_or_else(|_| String::new(), |citation: Citation| citation.to_string());
            *cited.entry(citation).or_default() |= is_misapplied(incident, index);
        }
        if cited.is_empty() {
            self.uncited += 1;
        }
        for (citation, misapplied) in cited {
            let control = self.cited.entry(citation).or_default();
            control.misapplied += u64::from(misapplied);
            control.add(&event_type, entry, &place);
        }
        for criterion in &entry.soc2 {
            let criterion = self.criteria.entry(criterion.clone()).or_default();
            criterion.add(&event_type, entry, &place);
        }
    }

    /// The most frequent kinds of event, at most `most`; those that are equally frequent by name.
    pub(super) fn event_types(&self, most: usize) -> Vec<&str> {
        let mut types: Vec<(&String, &u64)> = self
            .event_types
            .iter()
            .filter(|(name, _)| !name.is_empty())
            .collect();
        types.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        types
            .into_iter()
            .take(most)
            .map(|(name, _)| name.as_str())
            .collect()
    }
}

/// What the rule calls a paragraph: the standard, and the specification below it; empty for what is not
/// of the rule.
pub(super) fn heading(citation: &str) -> String {
    let Ok(citation) = citation.parse::<Citation>() else {
        return String::new();
    };
    let mut within = citation.controls();
    let Some(first) = within.next() else {
        return String::new();
    };
    let standard = standard_of(first);
    if within.all(|other| standard_of(other) == standard) {
        if first == standard || citation.as_str() != first.citation {
            return standard.title.to_owned();
        }
        return format!("{}: {}", standard.title, first.title);
    }
    let section = SECTIONS
        .iter()
        .find(|(section, _)| citation.as_str().starts_with(section));
    section.map_or_else(String::new, |(_, name)| (*name).to_owned())
}

/// The standard that a control belongs to: in the order of the rule the last one before it.
fn standard_of(control: &Control) -> &'static Control {
    let at = CONTROLS
        .iter()
        .position(|other| other == control)
        .unwrap_or_default();
    CONTROLS[..=at]
        .iter()
        .rfind(|other| other.implementation == Implementation::Standard)
        .unwrap_or(&CONTROLS[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_names_the_standard_and_what_is_below_it() {
        for (citation, wanted) in [
            ("164.308(a)(7)(ii)(A)", "Contingency plan: Data backup plan"),
            ("164.308(a)(7)", "Contingency plan"),
            ("164.308(a)(7)(i)", "Contingency plan"),
            ("164.308(a)(7)(ii)", "Contingency plan"),
            ("164.312(b)", "Audit controls"),
            ("164.308(a)", "Administrative safeguards"),
            ("164.312", "Technical safeguards"),
            ("", ""),
        ] {
            assert_eq!(heading(citation), wanted, "{citation}");
        }
    }
}
