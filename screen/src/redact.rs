//! Taking out of a text what the rules say, until nothing is left to take out.
//!
//! What a value leaves behind may look like something to a rule that it hid before. So a text is
//! looked at again until a look finds nothing, which is also why screening twice equals once. That
//! takes one more look almost always; a text that never settles is replaced as a whole.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use evidence::digest::DigestKey;

use crate::engine::Screen;
use crate::hit::Hit;
use crate::marker::marker;
use crate::rule::{Action, Normal, Rule};

/// So many looks, and then the whole text goes.
pub(crate) const LOOKS: usize = 6;
/// The rule that a text is said to have been taken out by when it does not settle.
pub(crate) const UNSETTLED: &str = "unsettled";

/// How often each rule applied.
pub type Counts = BTreeMap<String, u64>;

/// A text after screening.
#[derive(Debug, PartialEq, Eq)]
pub struct Redacted<'t> {
    /// The same text where nothing was found.
    pub text: Cow<'t, str>,
    /// What was taken out.
    pub counts: Counts,
    /// The rules for which the whole drop goes to quarantine.
    pub quarantine: Vec<String>,
}

impl Screen {
    /// `text` with every value that a rule takes out replaced by a marker.
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str, key: &DigestKey) -> Redacted<'t> {
        let mut redacted = Redacted {
            text: Cow::Borrowed(text),
            counts: Counts::new(),
            quarantine: Vec::new(),
        };
        for _ in 0..LOOKS {
            let cuts = self.cuts(redacted.text.as_bytes(), &mut redacted.quarantine);
            if cuts.is_empty() {
                return redacted;
            }
            let cuts = cuts
                .into_iter()
                .map(|(rule, span)| (rule, on_characters(&redacted.text, span)));
            let new = replace(redacted.text.as_bytes(), cuts, key, &mut redacted.counts);
            // Whole characters were cut, and markers are ASCII.
            redacted.text = Cow::Owned(String::from_utf8_lossy(&new).into_owned());
        }
        *redacted.counts.entry(UNSETTLED.to_owned()).or_default() += 1;
        redacted.text = Cow::Owned(marker(key, UNSETTLED, text.as_bytes()));
        redacted
    }

    /// What is to be taken out of `text`, in order and apart; the rules that ask for quarantine are
    /// added to `quarantine`.
    pub(crate) fn cuts(
        &self,
        text: &[u8],
        quarantine: &mut Vec<String>,
    ) -> Vec<(&Rule, Range<usize>)> {
        let hits = self.find_bytes(text);
        for hit in &hits {
            if hit.action() == Action::Quarantine && !quarantine.contains(&hit.rule.id) {
                quarantine.push(hit.rule.id.clone());
            }
        }
        merged(hits)
    }
}

/// Overlapping hits as one, named by the most telling rule.
pub(crate) fn merged<'s>(hits: Vec<Hit<'s>>) -> Vec<(&'s Rule, Range<usize>)> {
    let mut cuts: Vec<(&Rule, Range<usize>)> = Vec::new();
    for hit in hits {
        if hit.action() == Action::Allow {
            continue;
        }
        match cuts.last_mut() {
            Some((rule, span)) if hit.span.start < span.end => {
                span.end = span.end.max(hit.span.end);
                if hit.rule.rank < rule.rank {
                    *rule = hit.rule;
                }
            }
            _ => cuts.push((hit.rule, hit.span)),
        }
    }
    cuts
}

/// The same span, widened to whole characters.
pub(crate) fn on_characters(text: &str, span: Range<usize>) -> Range<usize> {
    let mut span = span;
    while !text.is_char_boundary(span.start) {
        span.start -= 1;
    }
    while !text.is_char_boundary(span.end) {
        span.end += 1;
    }
    span
}

/// `text` with each cut replaced by its marker.
pub(crate) fn replace<'s>(
    text: &[u8],
    cuts: impl Iterator<Item = (&'s Rule, Range<usize>)>,
    key: &DigestKey,
    counts: &mut Counts,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut copied = 0;
    for (rule, span) in cuts {
        out.extend_from_slice(&text[copied..span.start]);
        let value = normal(rule.normal, &text[span.clone()]);
        out.extend_from_slice(marker(key, &rule.id, &value).as_bytes());
        copied = span.end;
        *counts.entry(rule.id.clone()).or_default() += 1;
    }
    out.extend_from_slice(&text[copied..]);
    out
}

fn normal(normal: Normal, value: &[u8]) -> Vec<u8> {
    match normal {
        Normal::Exact => value.to_vec(),
        Normal::Alphanumeric => value
            .iter()
            .filter(|b| b.is_ascii_alphanumeric() || **b >= 0x80)
            .map(u8::to_ascii_lowercase)
            .collect(),
    }
}
