//! Which bundles get a section of their own in the HTML: all, while they are few enough to read.
//!
//! One self-contained file cannot hold a hundred thousand sections that a browser opens and a person
//! reads. What is left out is said in the report, and JSON and CSV always have everything.

/// How much the HTML holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bundles with a section of their own, and most incidents in the timeline's list.
    pub sections: u64,
    /// Most bundles with at least a line of their own.
    pub lines: u64,
    /// Most findings listed of one check with one result.
    pub findings: u64,
    /// Most days in the heat maps, all hosts together.
    pub days: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sections: 2_000,
            lines: 20_000,
            findings: 1_000,
            days: 4_000,
        }
    }
}

/// What gets a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sections {
    /// Every bundle.
    All,
    /// Bundles about which something failed, and all incidents.
    FailedAndIncidents,
    /// Bundles about which something failed.
    Failed,
    /// Of the bundles about which something failed, those up to this number.
    FailedUpTo(u64),
}

/// The choice for one report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) sections: Sections,
    /// Whether the bundles without a section have a line each; else they are summed by host.
    pub(super) lines: bool,
}

impl Selection {
    pub(super) fn choose(
        limits: Limits,
        bundles: u64,
        failed: u64,
        incidents: u64,
        last_failed: u64,
    ) -> Self {
        let sections = if bundles <= limits.sections {
            Sections::All
        } else if failed + incidents <= limits.sections {
            Sections::FailedAndIncidents
        } else if failed <= limits.sections {
            Sections::Failed
        } else {
            Sections::FailedUpTo(last_failed)
        };
        Self {
            sections,
            lines: bundles <= limits.lines,
        }
    }

    pub(super) const fn has_section(self, number: u64, failed: bool, incident: bool) -> bool {
        match self.sections {
            Sections::All => true,
            Sections::FailedAndIncidents => failed || incident,
            Sections::Failed => failed,
            Sections::FailedUpTo(last) => failed && number <= last,
        }
    }

    /// Whether a link can lead to the bundle.
    pub(super) const fn has_anchor(self, number: u64, failed: bool, incident: bool) -> bool {
        self.lines || self.has_section(number, failed, incident)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(bundles: u64, failed: u64, incidents: u64) -> Selection {
        Selection::choose(Limits::default(), bundles, failed, incidents, 77)
    }

    #[test]
    fn every_bundle_has_a_section_while_they_are_few() {
        assert_eq!(choose(2_000, 2_000, 2_000).sections, Sections::All);
        assert!(choose(2_000, 0, 0).has_section(1, false, false));
    }

    #[test]
    fn what_failed_comes_before_incidents_and_those_before_the_rest() {
        let some = choose(2_001, 100, 1_900);
        assert_eq!(some.sections, Sections::FailedAndIncidents);
        assert!(!some.has_section(1, false, false));
        assert!(some.has_anchor(1, false, false));
        assert_eq!(choose(2_001, 101, 1_900).sections, Sections::Failed);
        let many = choose(20_001, 2_001, 0);
        assert_eq!(many.sections, Sections::FailedUpTo(77));
        assert!(many.has_section(77, true, false));
        assert!(!many.has_section(78, true, false));
        assert!(!many.has_anchor(78, true, true));
    }
}
