//! The HIPAA Security Rule's safeguards: 45 CFR Part 164, Subpart C, sections 164.308 to 164.316.
//!
//! The table is the regulation's own outline as amended by the Omnibus Rule (78 FR 5566, 2013), with
//! its titles, and whether an implementation specification is required or addressable (164.306(d)).
//! Section 164.306 and the other subparts are real law but name no safeguard, so a control cannot
//! cite them here.

use std::fmt;
use std::str::FromStr;

use Implementation::{Addressable, Required, Standard};
use serde::{Serialize, Serializer};

/// What a paragraph asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Implementation {
    /// A standard, which must be met (164.306(c)).
    Standard,
    /// A specification that must be implemented (164.306(d)(2)).
    Required,
    /// One that must be implemented where that is reasonable and appropriate; else the reason is
    /// documented, and an equivalent measure taken (164.306(d)(3)).
    Addressable,
}

/// One innermost paragraph of the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Control {
    /// Such as `164.308(a)(7)(ii)(A)`.
    pub citation: &'static str,
    /// As the regulation calls it, or in its words where it has no title.
    pub title: &'static str,
    /// What it asks for.
    pub implementation: Implementation,
}

const fn control(
    citation: &'static str,
    title: &'static str,
    implementation: Implementation,
) -> Control {
    Control {
        citation,
        title,
        implementation,
    }
}

/// The innermost paragraphs, in the order of the rule; every paragraph that encloses one can be
/// cited too.
pub const CONTROLS: [Control; 72] = [
    // 164.308 Administrative safeguards.
    control("164.308(a)(1)(i)", "Security management process", Standard),
    control("164.308(a)(1)(ii)(A)", "Risk analysis", Required),
    control("164.308(a)(1)(ii)(B)", "Risk management", Required),
    control("164.308(a)(1)(ii)(C)", "Sanction policy", Required),
    control(
        "164.308(a)(1)(ii)(D)",
        "Information system activity review",
        Required,
    ),
    control(
        "164.308(a)(2)",
        "Assigned security responsibility",
        Standard,
    ),
    control("164.308(a)(3)(i)", "Workforce security", Standard),
    control(
        "164.308(a)(3)(ii)(A)",
        "Authorization and/or supervision",
        Addressable,
    ),
    control(
        "164.308(a)(3)(ii)(B)",
        "Workforce clearance procedure",
        Addressable,
    ),
    control(
        "164.308(a)(3)(ii)(C)",
        "Termination procedures",
        Addressable,
    ),
    control(
        "164.308(a)(4)(i)",
        "Information access management",
        Standard,
    ),
    control(
        "164.308(a)(4)(ii)(A)",
        "Isolating health care clearinghouse functions",
        Required,
    ),
    control("164.308(a)(4)(ii)(B)", "Access authorization", Addressable),
    control(
        "164.308(a)(4)(ii)(C)",
        "Access establishment and modification",
        Addressable,
    ),
    control(
        "164.308(a)(5)(i)",
        "Security awareness and training",
        Standard,
    ),
    control("164.308(a)(5)(ii)(A)", "Security reminders", Addressable),
    control(
        "164.308(a)(5)(ii)(B)",
        "Protection from malicious software",
        Addressable,
    ),
    control("164.308(a)(5)(ii)(C)", "Log-in monitoring", Addressable),
    control("164.308(a)(5)(ii)(D)", "Password management", Addressable),
    control("164.308(a)(6)(i)", "Security incident procedures", Standard),
    control("164.308(a)(6)(ii)", "Response and reporting", Required),
    control("164.308(a)(7)(i)", "Contingency plan", Standard),
    control("164.308(a)(7)(ii)(A)", "Data backup plan", Required),
    control("164.308(a)(7)(ii)(B)", "Disaster recovery plan", Required),
    control(
        "164.308(a)(7)(ii)(C)",
        "Emergency mode operation plan",
        Required,
    ),
    control(
        "164.308(a)(7)(ii)(D)",
        "Testing and revision procedures",
        Addressable,
    ),
    control(
        "164.308(a)(7)(ii)(E)",
        "Applications and data criticality analysis",
        Addressable,
    ),
    control("164.308(a)(8)", "Evaluation", Standard),
    control(
        "164.308(b)(1)",
        "Business associate contracts and other arrangements",
        Standard,
    ),
    control(
        "164.308(b)(2)",
        "Contracts of a business associate with a subcontractor",
        Standard,
    ),
    control(
        "164.308(b)(3)",
        "Written contract or other arrangement",
        Required,
    ),
    // 164.310 Physical safeguards.
    control("164.310(a)(1)", "Facility access controls", Standard),
    control("164.310(a)(2)(i)", "Contingency operations", Addressable),
    control("164.310(a)(2)(ii)", "Facility security plan", Addressable),
    control(
        "164.310(a)(2)(iii)",
        "Access control and validation procedures",
        Addressable,
    ),
    control("164.310(a)(2)(iv)", "Maintenance records", Addressable),
    control("164.310(b)", "Workstation use", Standard),
    control("164.310(c)", "Workstation security", Standard),
    control("164.310(d)(1)", "Device and media controls", Standard),
    control("164.310(d)(2)(i)", "Disposal", Required),
    control("164.310(d)(2)(ii)", "Media re-use", Required),
    control("164.310(d)(2)(iii)", "Accountability", Addressable),
    control(
        "164.310(d)(2)(iv)",
        "Data backup and storage, before movement of equipment",
        Addressable,
    ),
    // 164.312 Technical safeguards.
    control("164.312(a)(1)", "Access control", Standard),
    control("164.312(a)(2)(i)", "Unique user identification", Required),
    control("164.312(a)(2)(ii)", "Emergency access procedure", Required),
    control("164.312(a)(2)(iii)", "Automatic logoff", Addressable),
    control(
        "164.312(a)(2)(iv)",
        "Encryption and decryption",
        Addressable,
    ),
    control("164.312(b)", "Audit controls", Standard),
    control("164.312(c)(1)", "Integrity", Standard),
    control(
        "164.312(c)(2)",
        "Mechanism to authenticate electronic protected health information",
        Addressable,
    ),
    control("164.312(d)", "Person or entity authentication", Standard),
    control("164.312(e)(1)", "Transmission security", Standard),
    control("164.312(e)(2)(i)", "Integrity controls", Addressable),
    control("164.312(e)(2)(ii)", "Encryption", Addressable),
    // 164.314 Organizational requirements.
    control(
        "164.314(a)(1)",
        "Business associate contracts or other arrangements",
        Standard,
    ),
    control(
        "164.314(a)(2)(i)(A)",
        "Business associate contracts: compliance with this subpart",
        Required,
    ),
    control(
        "164.314(a)(2)(i)(B)",
        "Business associate contracts: subcontractors agree to comply",
        Required,
    ),
    control(
        "164.314(a)(2)(i)(C)",
        "Business associate contracts: reporting of security incidents",
        Required,
    ),
    control("164.314(a)(2)(ii)", "Other arrangements", Required),
    control(
        "164.314(a)(2)(iii)",
        "Business associate contracts with subcontractors",
        Required,
    ),
    control(
        "164.314(b)(1)",
        "Requirements for group health plans",
        Standard,
    ),
    control("164.314(b)(2)(i)", "Plan documents: safeguards", Required),
    control(
        "164.314(b)(2)(ii)",
        "Plan documents: adequate separation",
        Required,
    ),
    control(
        "164.314(b)(2)(iii)",
        "Plan documents: agents agree to safeguards",
        Required,
    ),
    control(
        "164.314(b)(2)(iv)",
        "Plan documents: reporting of security incidents",
        Required,
    ),
    // 164.316 Policies and procedures and documentation requirements.
    control("164.316(a)", "Policies and procedures", Standard),
    control(
        "164.316(b)(1)(i)",
        "Documentation: of policies and procedures",
        Standard,
    ),
    control(
        "164.316(b)(1)(ii)",
        "Documentation: of an action, activity or assessment",
        Standard,
    ),
    control("164.316(b)(2)(i)", "Time limit: six years", Required),
    control("164.316(b)(2)(ii)", "Availability", Required),
    control("164.316(b)(2)(iii)", "Updates", Required),
];

/// A paragraph of sections 164.308 to 164.316, or one that encloses some, in one spelling.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Citation(String);

/// The text cites no paragraph of the Security Rule's safeguards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a paragraph of 45 CFR 164.308 to 164.316, such as 164.308(a)(7)(ii)(A)")]
pub struct NotACitation;

impl Citation {
    /// Such as `164.308(a)(7)`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this paragraph is that one or lies within it: `164.308(a)(7)(ii)(A)` does in
    /// `164.308(a)(7)`.
    #[must_use]
    pub fn is_within(&self, outer: &Self) -> bool {
        encloses(&outer.0, &self.0)
    }

    /// Whether what an incident cites is this paragraph or one within it, going by its spelling alone:
    /// a paragraph that the rule does not have is looked for where it would be.
    #[must_use]
    pub fn is_cited_by(&self, text: &str) -> bool {
        encloses(&self.0, &bare(text))
    }

    /// The innermost paragraphs that this one is or encloses, in the order of the rule.
    pub fn controls(&self) -> impl Iterator<Item = &'static Control> + '_ {
        CONTROLS
            .iter()
            .filter(|control| encloses(&self.0, control.citation))
    }

    /// Its title, if it is an innermost paragraph, or that of the first one within it: the standard,
    /// which comes first.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.controls().next().map_or("", |control| control.title)
    }
}

/// What is cut short within a number or a paragraph goes on with something else.
fn encloses(outer: &str, inner: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('('))
}

impl FromStr for Citation {
    type Err = NotACitation;

    /// `45 CFR`, `HIPAA` and `§` before it, and spaces, are ignored.
    fn from_str(text: &str) -> Result<Self, NotACitation> {
        let citation = bare(text);
        if CONTROLS
            .iter()
            .any(|control| encloses(&citation, control.citation))
        {
            Ok(Self(citation))
        } else {
            Err(NotACitation)
        }
    }
}

/// Without spaces, and without what stands before the number.
fn bare(text: &str) -> String {
    let mut bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    for prefix in ["HIPAA", "45CFR", "§"] {
        if let Some(rest) = bare.strip_prefix(prefix) {
            bare = rest.to_owned();
        }
    }
    bare
}

impl Serialize for Citation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for Citation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cites(text: &str) -> bool {
        text.parse::<Citation>().is_ok()
    }

    #[test]
    fn paragraphs_and_what_encloses_them_are_citations_in_one_spelling() {
        for (text, spelled) in [
            ("164.308(a)(7)(ii)(A)", "164.308(a)(7)(ii)(A)"),
            ("164.308(a)(7)(ii)", "164.308(a)(7)(ii)"),
            ("164.308(a)(7)", "164.308(a)(7)"),
            ("164.308(a)", "164.308(a)"),
            ("164.308", "164.308"),
            ("164.316(b)(2)(i)", "164.316(b)(2)(i)"),
            ("45 CFR 164.312(b)", "164.312(b)"),
            ("45 CFR § 164.312(b)", "164.312(b)"),
            ("§164.312 (e)(2)(ii)", "164.312(e)(2)(ii)"),
            ("HIPAA 164.310(d)(2)(iv)", "164.310(d)(2)(iv)"),
            ("164.314(b)(2)(iv)", "164.314(b)(2)(iv)"),
        ] {
            assert_eq!(text.parse::<Citation>().unwrap().to_string(), spelled);
        }
    }

    #[test]
    fn what_the_rule_does_not_contain_is_no_citation() {
        for text in [
            "",
            "164",
            "164.",
            "164.3",
            "164.30",
            "164.308(",
            "164.308(a",
            "164.308(a)(9)",
            "164.308(a)(7)(ii)(F)",
            "164.308(A)(7)",
            "164.312(f)",
            "164.306(a)",
            "164.404",
            "164.308(a)(7)(i",
            "164.308(a)(1)(i)(A)",
            "308(a)(7)",
            "164.308 and more",
            "165.308(a)",
            "§",
            "HIPAA",
        ] {
            assert!(!cites(text), "{text}");
        }
    }

    #[test]
    fn a_paragraph_lies_within_those_that_enclose_it_and_in_no_other() {
        let at = |text: &str| text.parse::<Citation>().unwrap();
        let backup = at("164.308(a)(7)(ii)(A)");
        for outer in ["164.308(a)(7)(ii)(A)", "164.308(a)(7)", "164.308"] {
            assert!(backup.is_within(&at(outer)), "{outer}");
        }
        for other in ["164.308(a)(7)(ii)(B)", "164.308(a)(1)", "164.310"] {
            assert!(!backup.is_within(&at(other)), "{other}");
        }
        assert!(!at("164.308(a)(7)").is_within(&backup));
    }

    #[test]
    fn what_cites_a_paragraph_cites_those_that_enclose_it_however_it_is_written() {
        let cites = |outer: &str, text| outer.parse::<Citation>().unwrap().is_cited_by(text);
        for (outer, text) in [
            ("164.308(a)(7)", "164.308(a)(7)"),
            ("164.308(a)(7)", "45 CFR § 164.308 (a)(7)(ii)(A)"),
            ("164.308", "HIPAA 164.308(a)(7)(ii)(A)"),
            ("164.308(a)(7)", "164.308(a)(7)(ii)(Z)"),
        ] {
            assert!(cites(outer, text), "{outer} {text}");
        }
        for (outer, text) in [
            ("164.308(a)(7)(ii)(A)", "164.308(a)(7)"),
            ("164.308(a)(1)", "164.308(a)(10)"),
            ("164.308(a)(7)(i)", "164.308(a)(7)(ii)"),
            ("164.308", "164.3081"),
            ("164.312(a)(2)", "164.312(A)(2)"),
            ("164.312", ""),
        ] {
            assert!(!cites(outer, text), "{outer} {text}");
        }
    }

    #[test]
    fn a_paragraph_has_the_title_of_its_standard_and_names_what_it_encloses() {
        let plan: Citation = "164.308(a)(7)".parse().unwrap();
        assert_eq!(plan.title(), "Contingency plan");
        assert_eq!(plan.controls().count(), 6);
        let backup: Citation = "164.308(a)(7)(ii)(A)".parse().unwrap();
        assert_eq!(backup.title(), "Data backup plan");
        let specified = backup.controls().next().unwrap().implementation;
        assert_eq!(specified, Required);
    }

    #[test]
    fn every_control_is_there_once_in_the_order_of_the_rule() {
        let sections: Vec<&str> = CONTROLS.iter().map(|c| &c.citation[..7]).collect();
        assert!(sections.is_sorted());
        for (n, control) in CONTROLS.iter().enumerate() {
            assert!(!control.title.is_empty());
            let others = CONTROLS.iter().skip(n + 1);
            assert!(
                others
                    .clone()
                    .all(|other| other.citation != control.citation)
            );
        }
    }
}
