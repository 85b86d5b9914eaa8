//! What a configuration adds to the map: a name, and what else fits it.
//!
//! Only more can be said to fit, never less: a host cannot talk a citation's misuse away by taking
//! something out, and what it added is attested with the rest of its configuration.

use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{Citation, Criterion};

/// `NAME = CITATION, CRITERION, …`: what also fits event types or runbooks of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition {
    /// In the map's spelling; may end in `*`.
    pub(super) name: String,
    pub(super) hipaa: Vec<Citation>,
    pub(super) soc2: Vec<Criterion>,
}

/// Why a text adds nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAddition {
    /// No `=`, or nothing on one side of it.
    #[error("not of the form NAME = CITATION, CRITERION")]
    Form,
    /// A name that no event type or runbook can have.
    #[error("a name has no * but at its end")]
    Name,
    /// Neither of the law nor of the criteria.
    #[error("{0:?} is neither a paragraph of 45 CFR 164.308 to 164.316 nor a SOC 2 criterion")]
    Unknown(String),
}

impl FromStr for Addition {
    type Err = NotAnAddition;

    fn from_str(text: &str) -> Result<Self, NotAnAddition> {
        let (name, controls) = text.split_once('=').ok_or(NotAnAddition::Form)?;
        let name = spelled(name.trim());
        let stem = name.strip_suffix('*').unwrap_or(&name);
        if stem.is_empty() {
            return Err(NotAnAddition::Form);
        }
        if stem.contains('*') {
            return Err(NotAnAddition::Name);
        }
        let (mut hipaa, mut soc2) = (Vec::new(), Vec::new());
        for control in controls.split(',').map(str::trim) {
            if control.is_empty() {
                return Err(NotAnAddition::Form);
            }
            if let Ok(citation) = control.parse() {
                hipaa.push(citation);
            } else if let Ok(criterion) = control.parse() {
                soc2.push(criterion);
            } else {
                return Err(NotAnAddition::Unknown(control.to_owned()));
            }
        }
        Ok(Self { name, hipaa, soc2 })
    }
}

/// As the configuration would write it.
impl Serialize for Addition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hipaa = self.hipaa.iter().map(Citation::as_str);
        let controls: Vec<&str> = hipaa
            .chain(self.soc2.iter().map(Criterion::as_str))
            .collect();
        serializer.collect_str(&format_args!("{} = {}", self.name, controls.join(", ")))
    }
}

/// Names are compared without regard to case, and `-`, space and `.` are as good as `_`.
pub(super) fn spelled(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            '-' | ' ' | '.' => '_',
            other => other.to_ascii_lowercase(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_addition_is_a_name_and_what_fits_it_and_is_written_as_it_is_read() {
        let added: Addition = " NAS-Snapshot* =45 CFR 164.308(a)(7)(ii)(A) , a1.2"
            .parse()
            .unwrap();
        let written = serde_json::to_value(&added).unwrap();
        assert_eq!(written, "nas_snapshot* = 164.308(a)(7)(ii)(A), A1.2");
        assert_eq!(written.as_str().unwrap().parse::<Addition>(), Ok(added));
    }

    #[test]
    fn what_names_nothing_or_nothing_known_is_no_addition() {
        let refused = |text: &str| text.parse::<Addition>().unwrap_err();
        for text in [
            "",
            "backup",
            "= A1.2",
            "backup =",
            "backup = A1.2,",
            "* = A1.2",
        ] {
            assert_eq!(refused(text), NotAnAddition::Form, "{text}");
        }
        assert_eq!(refused("a*b = A1.2"), NotAnAddition::Name);
        assert_eq!(
            refused("a = 164.999"),
            NotAnAddition::Unknown("164.999".to_owned())
        );
    }
}
