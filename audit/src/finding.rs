//! What an audit says: three verdicts for each check, and a finding for each thing that is not as it
//! should be.
//!
//! Nothing that was not looked at counts as passed. A check that had nothing to look at says so, and
//! every count comes with what it is out of.

use serde::Serialize;

use crate::code::Code;

/// What is asked of the evidence. Each is answered for many things, one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// There is something to audit, all of it was listed, and whom the auditor expects is there.
    Source,
    /// Each bundle is signed, over exactly its bytes, by the key that its signature names.
    Signature,
    /// That key is one that the auditor trusts for this client and host, when the store got it.
    Key,
    /// What was signed is a bundle: I-JSON, schema, content hash, header.
    Content,
    /// Each bundle lies where its own header says.
    Place,
    /// Each artifact that a bundle names is there, with the bytes that it names.
    Artifact,
    /// Each place of a chain is filled once, and names the bytes before it.
    Chain,
    /// Each chain begins as it should: the first of its host, or where another one ended.
    ChainStart,
    /// Each place of a chain is covered by exactly one custody bundle, and these follow each other.
    Custody,
    /// What custody says was sealed is there, as it says.
    Sealed,
    /// What custody says was confirmed is stored, and locked, as it says.
    Confirmed,
    /// Custody came in time: hour by hour, the agent was not silent.
    Coverage,
    /// Each version of each object is locked in COMPLIANCE mode.
    Lock,
    /// Each lock ends no earlier than the plan and the auditor ask.
    Retention,
    /// Each object has one version, and nothing laid over it.
    Version,
    /// Nothing is below the prefix that does not belong to a bundle.
    Unexpected,
    /// Signed times agree with each other and with the store's.
    Time,
    /// Each record of what operators did to locks is signed by a key that the auditor trusts.
    Record,
}

impl Check {
    /// Every check, in the order of a report.
    pub const ALL: [Self; 18] = [
        Self::Source,
        Self::Signature,
        Self::Key,
        Self::Content,
        Self::Place,
        Self::Artifact,
        Self::Chain,
        Self::ChainStart,
        Self::Custody,
        Self::Sealed,
        Self::Confirmed,
        Self::Coverage,
        Self::Lock,
        Self::Retention,
        Self::Version,
        Self::Unexpected,
        Self::Time,
        Self::Record,
    ];

    /// The name used in JSON and SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Signature => "signature",
            Self::Key => "key",
            Self::Content => "content",
            Self::Place => "place",
            Self::Artifact => "artifact",
            Self::Chain => "chain",
            Self::ChainStart => "chain_start",
            Self::Custody => "custody",
            Self::Sealed => "sealed",
            Self::Confirmed => "confirmed",
            Self::Coverage => "coverage",
            Self::Lock => "lock",
            Self::Retention => "retention",
            Self::Version => "version",
            Self::Unexpected => "unexpected",
            Self::Time => "time",
            Self::Record => "record",
        }
    }

    /// The inverse of [`Check::as_str`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|check| check.as_str() == name)
    }

    /// What it asserts, for a reader of the report.
    #[must_use]
    pub const fn asserts(self) -> &'static str {
        match self {
            Self::Source => "there is evidence, and all of it was listed",
            Self::Signature => "each bundle is signed, over exactly its bytes",
            Self::Key => "by a key that is trusted for that host at that time",
            Self::Content => "what is signed is a bundle, and its content hash is right",
            Self::Place => "each bundle lies where its header says",
            Self::Artifact => "each artifact is there with its bytes",
            Self::Chain => "each place of a chain is filled once and names the one before it",
            Self::ChainStart => "each chain begins where it should",
            Self::Custody => "each place is covered by exactly one custody bundle",
            Self::Sealed => "what custody says was sealed is there",
            Self::Confirmed => "what custody says was confirmed is stored and locked so",
            Self::Coverage => "custody came hour by hour",
            Self::Lock => "each version is locked in COMPLIANCE mode",
            Self::Retention => "no lock ends too early",
            Self::Version => "each object has one version, and nothing laid over it",
            Self::Unexpected => "nothing else lies below the prefix",
            Self::Time => "signed times agree with each other and with the store's",
            Self::Record => "what operators did to locks is recorded and signed",
        }
    }

    /// What it counts, in the plural.
    #[must_use]
    pub const fn counts(self) -> &'static str {
        match self {
            Self::Source => "expectations",
            Self::Signature | Self::Key | Self::Content | Self::Place => "bundles",
            Self::Artifact => "artifacts",
            Self::Chain | Self::Custody => "places",
            Self::ChainStart => "chains",
            Self::Sealed | Self::Confirmed => "statements",
            Self::Coverage => "hours",
            Self::Lock | Self::Retention => "versions",
            Self::Version | Self::Unexpected => "objects",
            Self::Time => "times",
            Self::Record => "records",
        }
    }
}

/// What came of a check, or of the whole audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// There was nothing to look at, and nothing should have been.
    NotApplicable,
    /// Everything was looked at and is as it should be.
    Passed,
    /// Nothing is known to be wrong, and something could not be looked at.
    CouldNotCheck,
    /// Something is not as it should be.
    Failed,
}

impl Verdict {
    /// The name used in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotApplicable => "not_applicable",
            Self::Passed => "passed",
            Self::CouldNotCheck => "could_not_check",
            Self::Failed => "failed",
        }
    }
}

/// The counts of one check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// As they should be.
    pub passed: u64,
    /// Not as they should be.
    pub failed: u64,
    /// Neither was found out.
    pub could_not_check: u64,
}

impl Tally {
    /// What the counts are out of.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.passed
            .saturating_add(self.failed)
            .saturating_add(self.could_not_check)
    }

    /// One failure fails; what could not be checked keeps from passing.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        if self.failed > 0 {
            Verdict::Failed
        } else if self.could_not_check > 0 {
            Verdict::CouldNotCheck
        } else if self.passed > 0 {
            Verdict::Passed
        } else {
            Verdict::NotApplicable
        }
    }
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Something is not as it should be.
    Failed,
    /// Something could not be looked at.
    CouldNotCheck,
    /// To be known; nothing is wrong.
    Note,
}

impl Level {
    /// The name used in JSON and SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::CouldNotCheck => "could_not_check",
            Self::Note => "note",
        }
    }

    /// The inverse of [`Level::as_str`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Failed, Self::CouldNotCheck, Self::Note]
            .into_iter()
            .find(|level| level.as_str() == name)
    }
}

/// What a finding is about, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
    /// The chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<String>,
    /// The place in the chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// The object, below the prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
}

/// One thing that an auditor should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check that it came up in.
    pub check: Check,
    /// How grave it is.
    pub level: Level,
    /// What it is, for programs.
    pub code: Code,
    /// What it is about.
    #[serde(flatten)]
    pub subject: Subject,
    /// What it is, in words. It may hold text that others chose.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_unchecked_counts_as_passed() {
        let tally = |passed, failed, could_not_check| Tally {
            passed,
            failed,
            could_not_check,
        };
        for (tally, verdict) in [
            (tally(0, 0, 0), Verdict::NotApplicable),
            (tally(9, 0, 0), Verdict::Passed),
            (tally(9, 0, 1), Verdict::CouldNotCheck),
            (tally(0, 0, 1), Verdict::CouldNotCheck),
            (tally(9, 1, 9), Verdict::Failed),
        ] {
            assert_eq!(tally.verdict(), verdict, "{tally:?}");
        }
        assert_eq!(tally(1, 2, 3).total(), 6);
        assert_eq!(tally(u64::MAX, 1, 0).total(), u64::MAX);
    }

    #[test]
    fn checks_and_levels_have_one_name_in_json_and_sql() {
        for check in Check::ALL {
            assert_eq!(serde_json::to_value(check).unwrap(), check.as_str());
            assert_eq!(Check::from_name(check.as_str()), Some(check));
        }
        for level in [Level::Failed, Level::CouldNotCheck, Level::Note] {
            assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
            assert_eq!(Level::from_name(level.as_str()), Some(level));
        }
        assert_eq!(Check::from_name("score"), None);
    }
}
