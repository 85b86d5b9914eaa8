//! A citation: one paragraph of the Security Rule, in one spelling however it was written.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{CONTROLS, Control};

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

    /// `HIPAA`, `45 CFR`, `Part`, `Section` and `§` before it, and spaces, are ignored.
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

/// What may stand before the number, in this order, in any case; `verify.sh` of a pulled folder takes
/// away the same.
const BEFORE: [&[&str]; 4] = [
    &["hipaa"],
    &["45cfr", "45c.f.r."],
    &["part", "section", "sec."],
    &["§§", "§"],
];

/// Without spaces, and without what stands before the number.
fn bare(text: &str) -> String {
    let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut rest = bare.as_str();
    for words in BEFORE {
        let word = words.iter().find(|word| {
            rest.get(..word.len())
                .is_some_and(|begins| begins.eq_ignore_ascii_case(word))
        });
        rest = &rest[word.map_or(0, |word| word.len())..];
    }
    rest.to_owned()
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
    use super::super::Implementation::Required;
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
            ("45 C.F.R. §§ 164.310(d)", "164.310(d)"),
            ("hipaa 45 cfr part 164.310", "164.310"),
            ("Sec. 164.312(b)", "164.312(b)"),
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
}
