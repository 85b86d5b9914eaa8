//! The HIPAA Security Rule's safeguards: 45 CFR Part 164, Subpart C, sections 164.308 to 164.316.
//!
//! The table is the regulation's own outline as amended by the Omnibus Rule (78 FR 5566, 2013), with
//! its titles, and whether an implementation specification is required or addressable (164.306(d)): of
//! 164.308 to 164.312 as the text says beside each title and Appendix A to Subpart C lists them again,
//! of 164.314 and 164.316, which Appendix A leaves out, as the text says.
//! Section 164.306 and the other subparts are real law but name no safeguard, so a control cannot
//! cite them here.

use Implementation::{Addressable, Required, Standard};
use serde::Serialize;

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
    control("164.310(d)(2)(iv)", "Data backup and storage", Addressable),
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

/// The sections that have safeguards, and their titles.
pub const SECTIONS: [(&str, &str); 5] = [
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

    /// Appendix A to Subpart C, "Security Standards: Matrix": 18 standards in the three sections of
    /// safeguards, of which some are their own and only specification, and 36 specifications, of which
    /// 14 are required and 22 addressable.
    #[test]
    fn standards_and_specifications_are_as_many_as_in_appendix_a() {
        let count = |section: &str, implementation| {
            CONTROLS
                .iter()
                .filter(|c| c.citation.starts_with(section))
                .filter(|c| c.implementation == implementation)
                .count()
        };
        let of = |implementation| {
            ["164.308", "164.310", "164.312"].map(|section| count(section, implementation))
        };
        // 164.308(b)(2) is the Omnibus Rule's, and belongs to the standard before it.
        assert_eq!(of(Standard), [9 + 1, 4, 5]);
        assert_eq!(of(Required), [10, 2, 2]);
        assert_eq!(of(Addressable), [11, 6, 5]);
        for section in ["164.314", "164.316"] {
            assert_eq!(count(section, Addressable), 0, "{section}");
        }
    }

    #[test]
    fn every_control_is_in_a_section_with_a_title() {
        for control in CONTROLS {
            let (section, _) = control.citation.split_at(7);
            assert!(SECTIONS.iter().any(|(known, _)| *known == section));
        }
    }
}
