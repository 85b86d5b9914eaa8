//! The control matrix: which paragraphs of the Security Rule the incidents cite, how often.
//!
//! The headings are those of 45 CFR Part 164, Subpart C. A citation is the executor's word: that an
//! incident cites a control is counted here, not that the control is met.

use std::collections::BTreeMap;

use evidence::custody::IncidentEntry;
use evidence::findings::is_security_rule_citation;
use serde::Serialize;

/// So many bundles are named beside a control; the rest are counted.
pub(super) const MAX_NAMED: usize = 12;
/// So many kinds of event are told apart; what comes after is counted as other.
const MAX_EVENT_TYPES: usize = 500;

/// The citation without `45 CFR` and the like, if the Security Rule has it.
pub(super) fn citation(text: &str) -> Option<String> {
    if !is_security_rule_citation(text) {
        return None;
    }
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    plain.find("164.").map(|start| plain[start..].to_owned())
}

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
            .map(|text| citation(text).unwrap_or_default())
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

/// The heading of the paragraph, with those that enclose it; empty for what has none.
pub(super) fn heading(citation: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for (paragraph, name) in HEADINGS {
        let encloses = citation
            .strip_prefix(paragraph)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('('));
        if encloses {
            parts.push(name);
        }
    }
    // The section's own heading says nothing more once a paragraph is named.
    if parts.len() > 1 {
        parts.remove(0);
    }
    parts.join(": ")
}

/// Headings of 45 CFR 164.308 to 164.316, the enclosing ones first.
const HEADINGS: [(&str, &str); 66] = [
    ("164.308", "Administrative safeguards"),
    ("164.308(a)(1)", "Security management process"),
    ("164.308(a)(1)(ii)(A)", "Risk analysis"),
    ("164.308(a)(1)(ii)(B)", "Risk management"),
    ("164.308(a)(1)(ii)(C)", "Sanction policy"),
    ("164.308(a)(1)(ii)(D)", "Information system activity review"),
    ("164.308(a)(2)", "Assigned security responsibility"),
    ("164.308(a)(3)", "Workforce security"),
    ("164.308(a)(3)(ii)(A)", "Authorization and/or supervision"),
    ("164.308(a)(3)(ii)(B)", "Workforce clearance procedure"),
    ("164.308(a)(3)(ii)(C)", "Termination procedures"),
    ("164.308(a)(4)", "Information access management"),
    (
        "164.308(a)(4)(ii)(A)",
        "Isolating health care clearinghouse functions",
    ),
    ("164.308(a)(4)(ii)(B)", "Access authorization"),
    (
        "164.308(a)(4)(ii)(C)",
        "Access establishment and modification",
    ),
    ("164.308(a)(5)", "Security awareness and training"),
    ("164.308(a)(5)(ii)(A)", "Security reminders"),
    ("164.308(a)(5)(ii)(B)", "Protection from malicious software"),
    ("164.308(a)(5)(ii)(C)", "Log-in monitoring"),
    ("164.308(a)(5)(ii)(D)", "Password management"),
    ("164.308(a)(6)", "Security incident procedures"),
    ("164.308(a)(6)(ii)", "Response and reporting"),
    ("164.308(a)(7)", "Contingency plan"),
    ("164.308(a)(7)(ii)(A)", "Data backup plan"),
    ("164.308(a)(7)(ii)(B)", "Disaster recovery plan"),
    ("164.308(a)(7)(ii)(C)", "Emergency mode operation plan"),
    ("164.308(a)(7)(ii)(D)", "Testing and revision procedures"),
    (
        "164.308(a)(7)(ii)(E)",
        "Applications and data criticality analysis",
    ),
    ("164.308(a)(8)", "Evaluation"),
    (
        "164.308(b)",
        "Business associate contracts and other arrangements",
    ),
    ("164.308(b)(3)", "Written contract or other arrangement"),
    ("164.310", "Physical safeguards"),
    ("164.310(a)", "Facility access controls"),
    ("164.310(a)(2)(i)", "Contingency operations"),
    ("164.310(a)(2)(ii)", "Facility security plan"),
    (
        "164.310(a)(2)(iii)",
        "Access control and validation procedures",
    ),
    ("164.310(a)(2)(iv)", "Maintenance records"),
    ("164.310(b)", "Workstation use"),
    ("164.310(c)", "Workstation security"),
    ("164.310(d)", "Device and media controls"),
    ("164.310(d)(2)(i)", "Disposal"),
    ("164.310(d)(2)(ii)", "Media re-use"),
    ("164.310(d)(2)(iii)", "Accountability"),
    ("164.310(d)(2)(iv)", "Data backup and storage"),
    ("164.312", "Technical safeguards"),
    ("164.312(a)", "Access control"),
    ("164.312(a)(2)(i)", "Unique user identification"),
    ("164.312(a)(2)(ii)", "Emergency access procedure"),
    ("164.312(a)(2)(iii)", "Automatic logoff"),
    ("164.312(a)(2)(iv)", "Encryption and decryption"),
    ("164.312(b)", "Audit controls"),
    ("164.312(c)", "Integrity"),
    (
        "164.312(c)(2)",
        "Mechanism to authenticate electronic protected health information",
    ),
    ("164.312(d)", "Person or entity authentication"),
    ("164.312(e)", "Transmission security"),
    ("164.312(e)(2)(i)", "Integrity controls"),
    ("164.312(e)(2)(ii)", "Encryption"),
    ("164.314", "Organizational requirements"),
    (
        "164.314(a)",
        "Business associate contracts or other arrangements",
    ),
    ("164.314(b)", "Requirements for group health plans"),
    (
        "164.316",
        "Policies and procedures and documentation requirements",
    ),
    ("164.316(a)", "Policies and procedures"),
    ("164.316(b)", "Documentation"),
    ("164.316(b)(2)(i)", "Time limit"),
    ("164.316(b)(2)(ii)", "Availability"),
    ("164.316(b)(2)(iii)", "Updates"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_citation_is_the_same_however_it_is_written() {
        for text in [
            "164.308(a)(7)(ii)(A)",
            "45 CFR § 164.308(a)(7)(ii)(A)",
            "HIPAA 164.308 (a)(7)(ii)(A)",
        ] {
            assert_eq!(citation(text).as_deref(), Some("164.308(a)(7)(ii)(A)"));
        }
        assert_eq!(citation("164.308(a)(99)"), None);
    }

    #[test]
    fn a_heading_names_what_encloses_the_paragraph() {
        assert_eq!(
            heading("164.308(a)(7)(ii)(A)"),
            "Contingency plan: Data backup plan"
        );
        assert_eq!(heading("164.312(b)"), "Audit controls");
        assert_eq!(heading("164.308"), "Administrative safeguards");
        assert_eq!(heading("164.308(a)"), "Administrative safeguards");
        // (a)(1) does not enclose (a)(10), and what the rule does not have has no heading.
        assert_eq!(heading(""), "");
    }

    #[test]
    fn every_heading_is_of_a_paragraph_that_the_rule_has() {
        for (paragraph, _) in HEADINGS {
            assert!(is_security_rule_citation(paragraph), "{paragraph}");
        }
    }
}
