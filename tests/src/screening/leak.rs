//! Is anything of a secret left in what should hold nothing of it, plain or in a usual encoding?

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// So many characters of a secret in a row are a leak, or all of it where it is shorter: whoever redacts half of a
/// number has redacted nothing.
const WINDOW: usize = 6;

/// What of `secrets` can be read in `text` and not in `around`, where it stands by chance.
#[must_use]
pub fn leaked(text: &str, secrets: &[String], around: &str) -> Option<String> {
    let views = views(text);
    for secret in secrets {
        let bytes = secret.as_bytes();
        for window in bytes.windows(WINDOW.min(bytes.len())) {
            let is_in = |hay: &[u8]| hay.windows(window.len()).any(|part| part == window);
            if views.iter().any(|view| is_in(view)) && !is_in(around.as_bytes()) {
                return Some(String::from_utf8_lossy(window).into_owned());
            }
        }
    }
    None
}

/// A text in each way that somebody may read it: as it is, unescaped, percent-decoded, without its line breaks, and
/// what base64 within it says.
fn views(text: &str) -> Vec<Vec<u8>> {
    let mut views = vec![
        text.as_bytes().to_vec(),
        unescaped(text).into_bytes(),
        percent_decoded(text),
    ];
    let mut joined = String::new();
    for line in text.lines() {
        joined.push_str(line.trim_start().trim_end_matches('\\'));
    }
    views.push(joined.into_bytes());
    let unescaped = views[1].clone();
    for encoded in [text.as_bytes(), &unescaped] {
        for run in encoded.split(|b| !is_base64(*b)) {
            // Somebody may have cut the run anywhere, so each of its alignments is read.
            for start in 0..4.min(run.len()) {
                views.push(decoded(&run[start..]));
            }
        }
    }
    views
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// As much of a run as base64 can say, of either alphabet.
fn decoded(run: &[u8]) -> Vec<u8> {
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let standard: Vec<u8> = run
        .iter()
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    // A single character at the end says nothing.
    let whole = standard.len() - usize::from(standard.len() % 4 == 1);
    GeneralPurpose::new(&alphabet::STANDARD, config)
        .decode(&standard[..whole])
        .unwrap_or_default()
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        match code.and_then(|code| u8::from_str_radix(&String::from_utf8_lossy(code), 16).ok()) {
            Some(code) => {
                decoded.push(code);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// JSON's escapes resolved, wherever they stand.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let code = after.strip_prefix('u').and_then(|hex| hex.get(..4));
        let code = code.and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let (char, length) = match (code.and_then(char::from_u32), after.chars().next()) {
            (Some(char), _) => (char, 5),
            (None, Some('n')) => ('\n', 1),
            (None, Some('t')) => ('\t', 1),
            (None, Some(char)) => (char, char.len_utf8()),
            (None, None) => ('\\', 0),
        };
        plain.push(char);
        rest = &after[length..];
    }
    plain.push_str(rest);
    plain
}

/// What is left of a text when what was found is struck out.
#[must_use]
pub fn struck_out(text: &str, found: &[std::ops::Range<usize>]) -> String {
    let bytes: Vec<u8> = text
        .bytes()
        .enumerate()
        .filter(|(at, _)| !found.iter().any(|range| range.contains(at)))
        .map(|(_, byte)| byte)
        .collect();
    match String::from_utf8_lossy(&bytes) {
        Cow::Borrowed(kept) => kept.to_owned(),
        Cow::Owned(kept) => kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screening::sensitive::{Form, sensitive};

    #[test]
    fn an_untouched_line_leaks_in_every_class_and_form() {
        for sample in sensitive(1) {
            assert!(
                leaked(&sample.text, &sample.secrets, &sample.around).is_some(),
                "{sample:?}"
            );
        }
    }

    #[test]
    fn a_line_without_its_spans_leaks_nothing() {
        for sample in sensitive(1) {
            let kept = struck_out(&sample.text, &sample.spans);
            assert_eq!(
                leaked(&kept, &sample.secrets, &sample.around),
                None,
                "{kept} of {sample:?}"
            );
        }
    }

    #[test]
    fn half_of_a_number_is_a_leak() {
        let secrets = ["219-09-9999".to_owned()];
        assert!(leaked("SSN: ***-09-9999", &secrets, "").is_some());
        assert!(leaked("SSN: ***-**-9999", &secrets, "").is_none());
    }

    #[test]
    fn the_corpora_are_as_large_as_promised_and_a_seed_decides_them() {
        let samples = sensitive(1);
        let plain = samples.iter().filter(|s| s.form == Form::Plain).count();
        assert!(plain >= 2_000, "{plain}");
        assert_eq!(samples, sensitive(1));
        assert_ne!(samples, sensitive(2));
        let lines = crate::screening::benign::benign(1);
        assert!(lines.len() >= 5_000, "{}", lines.len());
        assert_eq!(lines, crate::screening::benign::benign(1));
    }
}
