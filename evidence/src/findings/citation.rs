//! Citations of the HIPAA Security Rule: 45 CFR Part 164, Subpart C, sections 164.308 to 164.316.
//!
//! The table is the regulation's own outline as amended by the Omnibus Rule (78 FR 5566, 2013).
//! Section 164.306 and the other subparts are real law but name no safeguard, so a control cannot
//! cite them here.

/// The innermost paragraphs; every paragraph that encloses one can be cited too.
const LEAVES: [&str; 72] = [
    // 164.308 Administrative safeguards.
    "164.308(a)(1)(i)",
    "164.308(a)(1)(ii)(A)",
    "164.308(a)(1)(ii)(B)",
    "164.308(a)(1)(ii)(C)",
    "164.308(a)(1)(ii)(D)",
    "164.308(a)(2)",
    "164.308(a)(3)(i)",
    "164.308(a)(3)(ii)(A)",
    "164.308(a)(3)(ii)(B)",
    "164.308(a)(3)(ii)(C)",
    "164.308(a)(4)(i)",
    "164.308(a)(4)(ii)(A)",
    "164.308(a)(4)(ii)(B)",
    "164.308(a)(4)(ii)(C)",
    "164.308(a)(5)(i)",
    "164.308(a)(5)(ii)(A)",
    "164.308(a)(5)(ii)(B)",
    "164.308(a)(5)(ii)(C)",
    "164.308(a)(5)(ii)(D)",
    "164.308(a)(6)(i)",
    "164.308(a)(6)(ii)",
    "164.308(a)(7)(i)",
    "164.308(a)(7)(ii)(A)",
    "164.308(a)(7)(ii)(B)",
    "164.308(a)(7)(ii)(C)",
    "164.308(a)(7)(ii)(D)",
    "164.308(a)(7)(ii)(E)",
    "164.308(a)(8)",
    "164.308(b)(1)",
    "164.308(b)(2)",
    "164.308(b)(3)",
    // 164.310 Physical safeguards.
    "164.310(a)(1)",
    "164.310(a)(2)(i)",
    "164.310(a)(2)(ii)",
    "164.310(a)(2)(iii)",
    "164.310(a)(2)(iv)",
    "164.310(b)",
    "164.310(c)",
    "164.310(d)(1)",
    "164.310(d)(2)(i)",
    "164.310(d)(2)(ii)",
    "164.310(d)(2)(iii)",
    "164.310(d)(2)(iv)",
    // 164.312 Technical safeguards.
    "164.312(a)(1)",
    "164.312(a)(2)(i)",
    "164.312(a)(2)(ii)",
    "164.312(a)(2)(iii)",
    "164.312(a)(2)(iv)",
    "164.312(b)",
    "164.312(c)(1)",
    "164.312(c)(2)",
    "164.312(d)",
    "164.312(e)(1)",
    "164.312(e)(2)(i)",
    "164.312(e)(2)(ii)",
    // 164.314 Organizational requirements.
    "164.314(a)(1)",
    "164.314(a)(2)(i)(A)",
    "164.314(a)(2)(i)(B)",
    "164.314(a)(2)(i)(C)",
    "164.314(a)(2)(ii)",
    "164.314(a)(2)(iii)",
    "164.314(b)(1)",
    "164.314(b)(2)(i)",
    "164.314(b)(2)(ii)",
    "164.314(b)(2)(iii)",
    "164.314(b)(2)(iv)",
    // 164.316 Policies and procedures and documentation requirements.
    "164.316(a)",
    "164.316(b)(1)(i)",
    "164.316(b)(1)(ii)",
    "164.316(b)(2)(i)",
    "164.316(b)(2)(ii)",
    "164.316(b)(2)(iii)",
];

/// True if `text` cites a paragraph of sections 164.308 to 164.316, such as
/// `164.308(a)(7)(ii)(A)`. `45 CFR`, `HIPAA` and `§` before it, and spaces, are ignored.
#[must_use]
pub fn is_security_rule_citation(text: &str) -> bool {
    let mut citation: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    for prefix in ["HIPAA", "45CFR", "§"] {
        if let Some(rest) = citation.strip_prefix(prefix) {
            citation = rest.to_owned();
        }
    }
    LEAVES.iter().any(|leaf| {
        // What is cut short within a number or a paragraph goes on with something else.
        leaf.strip_prefix(citation.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('('))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_and_what_encloses_them_are_citations() {
        for text in [
            "164.308(a)(7)(ii)(A)",
            "164.308(a)(7)(ii)",
            "164.308(a)(7)",
            "164.308(a)",
            "164.308",
            "164.316(b)(2)(i)",
            "45 CFR 164.312(b)",
            "45 CFR § 164.312(b)",
            "§164.312 (e)(2)(ii)",
            "HIPAA 164.310(d)(2)(iv)",
            "164.314(b)(2)(iv)",
        ] {
            assert!(is_security_rule_citation(text), "{text}");
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
            assert!(!is_security_rule_citation(text), "{text}");
        }
    }
}
