//! SOC 2: the Trust Services Criteria (AICPA TSP section 100, 2017, with the points of focus of 2022)
//! that technical incidents can be evidence for: common criteria CC6 to CC9, and availability, A1.
//!
//! The ids are the AICPA's; the wording is a short description of ours, since the criteria's own text is
//! not free. Which criterion goes with which kind of event is this project's mapping, not the AICPA's.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Every criterion that is known here, with what it is about, in the order of the criteria.
pub const CRITERIA: [(&str, &str); 19] = [
    ("CC6.1", "Logical access to protected information assets"),
    ("CC6.2", "Registering and authorizing users before access"),
    ("CC6.3", "Access by role, least privilege, and its removal"),
    ("CC6.4", "Physical access to facilities and assets"),
    ("CC6.5", "Disposal of assets and of the data on them"),
    ("CC6.6", "Protection against threats from outside"),
    ("CC6.7", "Protection of data in transmission and removal"),
    ("CC6.8", "Prevention and detection of unwanted software"),
    (
        "CC7.1",
        "Detection of configuration changes and vulnerabilities",
    ),
    ("CC7.2", "Monitoring for anomalies"),
    ("CC7.3", "Evaluation of security events"),
    ("CC7.4", "Response to security incidents"),
    ("CC7.5", "Recovery from security incidents"),
    ("CC8.1", "Change management"),
    ("CC9.1", "Mitigation of risks of business disruption"),
    ("CC9.2", "Management of risks from vendors and partners"),
    ("A1.1", "Capacity monitored and managed"),
    ("A1.2", "Environment, backup and recovery infrastructure"),
    ("A1.3", "Tests of recovery"),
];

/// One criterion, or a group of them such as `CC7`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Criterion(String);

/// The text names no criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SOC 2 criterion of CC6 to CC9 or A1, such as CC7.4")]
pub struct NotACriterion;

impl Criterion {
    /// Such as `CC7.4`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a criterion with this id is it, or is of its group.
    #[must_use]
    pub fn names(&self, id: &str) -> bool {
        id.strip_prefix(&self.0)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// What it is about; of a group nothing is said.
    #[must_use]
    pub fn title(&self) -> &'static str {
        CRITERIA
            .iter()
            .find(|(id, _)| *id == self.0)
            .map_or("", |(_, title)| title)
    }
}

impl FromStr for Criterion {
    type Err = NotACriterion;

    /// In any case; spaces are ignored.
    fn from_str(text: &str) -> Result<Self, NotACriterion> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let criterion = Self(text.to_ascii_uppercase());
        if CRITERIA.iter().any(|(id, _)| criterion.names(id)) {
            Ok(criterion)
        } else {
            Err(NotACriterion)
        }
    }
}

impl Serialize for Criterion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criteria_and_their_groups_are_known_in_any_case_and_nothing_else_is() {
        for (text, id) in [
            ("CC7.4", "CC7.4"),
            (" cc 6.1", "CC6.1"),
            ("a1", "A1"),
            ("CC9", "CC9"),
        ] {
            assert_eq!(text.parse::<Criterion>().unwrap().to_string(), id);
        }
        for text in [
            "", "CC", "CC5.1", "CC6.9", "CC7.", "A1.4", "A", "CC7.4.1", "P1.1",
        ] {
            assert_eq!(text.parse::<Criterion>(), Err(NotACriterion), "{text}");
        }
    }

    #[test]
    fn a_group_names_its_criteria_and_a_criterion_itself_only() {
        let group: Criterion = "CC7".parse().unwrap();
        assert!(group.names("CC7.1") && group.names("CC7.5"));
        assert!(!group.names("CC6.1") && !group.names("CC71"));
        assert_eq!(group.title(), "");
        let one: Criterion = "CC7.1".parse().unwrap();
        assert!(one.names("CC7.1") && !one.names("CC7.2"));
        assert!(one.title().starts_with("Detection"));
    }

    #[test]
    fn every_criterion_is_there_once_with_what_it_is_about() {
        for (n, (id, title)) in CRITERIA.iter().enumerate() {
            assert!(!title.is_empty());
            assert!(CRITERIA.iter().skip(n + 1).all(|(other, _)| other != id));
        }
    }
}
