//! The control matrix: which paragraphs of the Security Rule the incidents cite, how often.
//!
//! The headings are those of 45 CFR Part 164, Subpart C. A citation is the executor's word: that an
//! incident cites a control is counted here, not that the control is met.

use std::collections::BTreeMap;

use evidence::controls::{CONTROLS, Citation, Control, Implementation};
use evidence::custody::IncidentEntry;
use serde::Serialize;

/// So many bundles are named beside a control; the rest are counted.
pub(super) const MAX_NAMED: usize = 8;
/// So many kinds of event are told apart; what comes after is counted as other.
const MAX_EVENT_TYPES: usize = 500;

/// What cites one control.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Cited {
    pub(super) incidents: u64,
    pub(super) sla_missed: u64,
    pub(super) failed: u64,
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

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Controls {
    /// By citation; the empty one is for what the Security Rule does not have.
    pub(super) cited: BTreeMap<String, Cited>,
    /// Incidents that cite nothing.
    pub(super) uncited: u64,
    event_types: BTreeMap<String, u64>,
}

impl Controls {
    pub(super) fn add(&mut self, number: u64, name: &str, entry: &IncidentEntry, failed: bool) {
        let event_type = if self.event_types.contains_key(&entry.event_type)
            || self.event_types.len() < MAX_EVENT_TYPES
        {
            entry.event_type.clone()
        } else {
            String::new()
        };
        *self.event_types.entry(event_type.clone()).or_default() += 1;
        let mut cited: Vec<String> = entry
            .hipaa_controls
            .iter()
            .map(|text| {
                text.parse()
                    .map_or_else(|_| String::new(), |citation: Citation| citation.to_string())
            })
            .collect();
        cited.sort_unstable();
        cited.dedup();
        if cited.is_empty() {
            self.uncited += 1;
        }
        for citation in cited {
            let control = self.cited.entry(citation).or_default();
            control.incidents += 1;
            control.sla_missed += u64::from(!entry.sla_met);
            control.failed += u64::from(failed);
            *control.event_types.entry(event_type.clone()).or_default() += 1;
            if control.named.len() < MAX_NAMED {
                control.named.push(Named {
                    number,
                    name: name.to_owned(),
                    failed,
                });
            }
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

/// The sections' own titles.
const SECTIONS: [(&str, &str); 5] = [
    ("164.308", "Administrative safeguards"),
    ("164.310", "Physical safeguards"),
    ("164.312", "Technical safeguards"),
    ("164.314", "Organizational requirements"),
    (
        "164.316",
        "Policies and procedures and documentation requirements",
    ),
];

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
