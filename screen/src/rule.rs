//! One rule: what it looks for, and what is done about what it finds.

use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;
use regex::bytes::{Captures, Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::entropy;

/// What is done about what a rule finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is replaced by a marker.
    Redact,
    /// The whole drop goes to quarantine.
    Quarantine,
    /// It stays.
    Allow,
}

impl Action {
    /// The name used in configuration and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redact => "redact",
            Self::Quarantine => "quarantine",
            Self::Allow => "allow",
        }
    }
}

/// Where a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Of the client's configuration.
    Client,
    /// Ours; several follow Microsoft Presidio (MIT).
    Own,
    /// Of gitleaks (MIT).
    Gitleaks,
}

/// Looks at a value where it stands: a checksum, or what is around it.
pub(crate) type Check = fn(text: &[u8], value: Range<usize>) -> bool;

/// What equal values have in common, for their tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Normal {
    /// Every byte counts.
    Exact,
    /// Only letters and digits do, without case: `123-45-6789` is `123 45 6789`.
    Alphanumeric,
}

/// What is no secret although a rule matches.
#[derive(Debug, Default)]
pub(crate) struct Exceptions {
    pub(crate) secrets: Vec<Pattern>,
    pub(crate) matches: Vec<Pattern>,
    pub(crate) lines: Vec<Pattern>,
    pub(crate) stopwords: Option<AhoCorasick>,
}

/// A rule, as a screen uses it.
#[derive(Debug)]
pub struct Rule {
    /// Its name: lower-case letters, digits and hyphens.
    pub id: String,
    /// What it finds.
    pub description: String,
    /// Where it comes from.
    pub origin: Origin,
    /// What is done.
    pub action: Action,
    pub(crate) pattern: Pattern,
    /// One of these, in lower case, is in every text that it matches; without any it is always tried.
    pub(crate) keywords: Vec<String>,
    pub(crate) secret_group: usize,
    pub(crate) entropy: f64,
    pub(crate) check: Option<Check>,
    pub(crate) exceptions: Vec<Exceptions>,
    pub(crate) normal: Normal,
    /// Whether a value may go on in the next line.
    pub(crate) splits: bool,
    /// Lower goes first where two overlap.
    pub(crate) rank: u8,
}

/// A regular expression, compiled when it is first needed: most texts need few of them.
#[derive(Debug)]
pub(crate) struct Pattern {
    source: String,
    regex: OnceLock<Regex>,
}

/// A pattern may compile to so many bytes: the largest of gitleaks takes a tenth.
const PATTERN_MAX_BYTES: usize = 8 << 20;

impl Pattern {
    /// Parses `source` without compiling it.
    pub(crate) fn new(source: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            regex: OnceLock::new(),
        }
    }

    /// Compiles it now.
    pub(crate) fn compiled(source: &str) -> Result<Self, regex::Error> {
        let pattern = Self::new(source);
        // Just made, so it is empty.
        let _ = pattern.regex.set(build(source)?);
        Ok(pattern)
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// What is built in compiles; a test compiles each of them, and a client's is compiled when it
    /// is read. Were one ever not to, it would match nothing.
    pub(crate) fn regex(&self) -> &Regex {
        self.regex
            .get_or_init(|| build(&self.source).unwrap_or_else(|_| never()))
    }
}

fn never() -> Regex {
    // A class without members is always valid, and matches nothing.
    Regex::new("[a&&b]").unwrap_or_else(|_| unreachable!("a constant pattern"))
}

/// Bytes, and ASCII classes as in Go's RE2: logs are not always UTF-8.
fn build(source: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(source)
        .unicode(false)
        .size_limit(PATTERN_MAX_BYTES)
        .build()
}

impl Rule {
    /// Its regular expression, over bytes, in the syntax of Rust's `regex` crate.
    #[must_use]
    pub fn pattern(&self) -> &str {
        self.pattern.source()
    }

    /// The values that it finds in `text`, in order.
    pub(crate) fn find(&self, text: &[u8], mut each: impl FnMut(Range<usize>)) {
        let regex = self.pattern.regex();
        let mut at = 0;
        while let Some(captures) = regex.captures_at(text, at) {
            let Some((whole, value)) = self.value(&captures) else {
                return;
            };
            let is_hit = !value.is_empty() && self.is_hit(text, &whole, &value);
            // Patterns take what surrounds a value too, which may begin the next.
            at = if is_hit {
                value.end.max(whole.start + 1)
            } else {
                (whole.start + 1).max(value.start)
            };
            if is_hit {
                each(value);
            }
            if at > text.len() {
                return;
            }
        }
    }

    fn value(&self, captures: &Captures<'_>) -> Option<(Range<usize>, Range<usize>)> {
        let whole = captures.get(0)?.range();
        let group = if self.secret_group > 0 {
            captures.get(self.secret_group)
        } else {
            // As in gitleaks: the first group that took part and is not empty.
            (1..captures.len())
                .filter_map(|group| captures.get(group))
                .find(|group| !group.is_empty())
        };
        let value = group.map_or_else(|| whole.clone(), |group| group.range());
        Some((whole, value))
    }

    fn is_hit(&self, text: &[u8], whole: &Range<usize>, value: &Range<usize>) -> bool {
        let secret = &text[value.clone()];
        if self.entropy > 0.0 && entropy::bits_per_byte(secret) <= self.entropy {
            return false;
        }
        if self.check.is_some_and(|check| !check(text, value.clone())) {
            return false;
        }
        !self
            .exceptions
            .iter()
            .any(|exceptions| exceptions.hold(text, whole, secret))
    }
}

impl Exceptions {
    fn hold(&self, text: &[u8], whole: &Range<usize>, secret: &[u8]) -> bool {
        let any = |patterns: &[Pattern], text: &[u8]| {
            patterns
                .iter()
                .any(|pattern| pattern.regex().is_match(text))
        };
        any(&self.secrets, secret)
            || self
                .stopwords
                .as_ref()
                .is_some_and(|words| words.is_match(secret))
            || (!self.matches.is_empty() && any(&self.matches, &text[widened(text, whole)]))
            || (!self.lines.is_empty() && any(&self.lines, line(text, whole)))
    }
}

/// gitleaks begins most patterns by `[\w.-]{0,50}?`, which costs much and finds nothing; the import
/// leaves it away, and here it comes back for what looks at the match.
fn widened(text: &[u8], whole: &Range<usize>) -> Range<usize> {
    let before = text[..whole.start]
        .iter()
        .rev()
        .take(50)
        .take_while(|b| b.is_ascii_alphanumeric() || b"_.-".contains(b))
        .count();
    whole.start - before..whole.end
}

fn line<'t>(text: &'t [u8], whole: &Range<usize>) -> &'t [u8] {
    let is_break = |b: &u8| *b == b'\n';
    let start = text[..whole.start]
        .iter()
        .rposition(is_break)
        .map_or(0, |at| at + 1);
    let end = text[whole.end..]
        .iter()
        .position(is_break)
        .map_or(text.len(), |at| whole.end + at);
    &text[start..end]
}
