//! The marker that stands where something was taken out: `[redacted:RULE:TOKEN]`.
//!
//! The token is a keyed digest, cut to 64 bits: enough to tell equal values, and useless without the
//! key. A marker is recognised again and left as it is, so screening a second time changes nothing.

use std::ops::Range;

use evidence::digest::DigestKey;

/// How every marker begins.
pub const MARKER_START: &str = "[redacted:";
const TOKEN_CHARS: usize = 16;
const RULE_MAX_CHARS: usize = 64;
/// So that a digest made here is never one of those made elsewhere with the same key.
const DOMAIN: &[u8] = b"msp-evidence screening 1\0";

/// The marker for `value`, as `rule` found it.
pub(crate) fn marker(key: &DigestKey, rule: &str, value: &[u8]) -> String {
    let mut message = Vec::with_capacity(DOMAIN.len() + value.len());
    message.extend_from_slice(DOMAIN);
    message.extend_from_slice(value);
    let mut token = key.hmac(&message).to_string();
    token.truncate(TOKEN_CHARS);
    format!("{MARKER_START}{rule}:{token}]")
}

/// Every marker in `text`.
pub(crate) fn markers(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = find(&text[at..], MARKER_START.as_bytes()) {
        let start = at + start;
        match length(&text[start..]) {
            Some(length) => {
                found.push(start..start + length);
                at = start + length;
            }
            None => at = start + MARKER_START.len(),
        }
    }
    found
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(next) = text[at..].iter().position(|b| *b == what[0]) {
        at += next;
        if text[at..].starts_with(what) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// How long the marker is with which `text` begins, if it does.
fn length(text: &[u8]) -> Option<usize> {
    let rest = text.strip_prefix(MARKER_START.as_bytes())?;
    let rule = rest.iter().position(|b| *b == b':')?;
    let is_rule = (1..=RULE_MAX_CHARS).contains(&rule)
        && rest[..rule]
            .iter()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    let token = rest.get(rule + 1..rule + 1 + TOKEN_CHARS)?;
    let is_token = token.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let closes = rest.get(rule + 1 + TOKEN_CHARS) == Some(&b']');
    (is_rule && is_token && closes).then_some(MARKER_START.len() + rule + 1 + TOKEN_CHARS + 1)
}

/// Whether a rule may be named so: what a marker can carry.
pub(crate) fn is_rule_name(name: &str) -> bool {
    (1..=RULE_MAX_CHARS).contains(&name.len())
        && name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_recognised_and_nothing_like_it() {
        let key = DigestKey::from_bytes([7; 32]);
        let marker = marker(&key, "us-ssn", b"x");
        let text = format!("a {marker}[redacted:x] {marker}[redacted:us-ssn:0123]");
        let found = markers(text.as_bytes());
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|at| text[at.clone()] == marker));
    }

    #[test]
    fn the_same_value_has_the_same_token_under_one_key_only() {
        let (one, other) = (
            DigestKey::from_bytes([1; 32]),
            DigestKey::from_bytes([2; 32]),
        );
        assert_eq!(marker(&one, "r", b"v"), marker(&one, "r", b"v"));
        assert_ne!(marker(&one, "r", b"v"), marker(&one, "r", b"w"));
        assert_ne!(marker(&one, "r", b"v"), marker(&other, "r", b"v"));
    }
}
