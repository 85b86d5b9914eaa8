//! Searching bytes of any kind for secrets, plain and in each way that something may have written them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::sensitive::percent;

/// Of a long secret its two ends are looked for, too, so many bytes each: the middle may have been wrapped.
const END_BYTES: usize = 24;
/// So many bytes of a process are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What is searched for.
pub struct Needles {
    patterns: AhoCorasick,
    /// By pattern: the secret, and how it is written.
    meanings: Vec<(String, &'static str)>,
    longest: usize,
}

impl Needles {
    /// Secrets that are long enough not to stand anywhere by chance: nine characters, or eight that are not all digits.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a String>) -> Self {
        // What is written the same in several ways counts once, as the plainest of them.
        let mut written = BTreeMap::new();
        for secret in secrets {
            let is_telling = secret.len() > 8
                || secret.len() == 8 && !secret.bytes().all(|b| b.is_ascii_digit());
            if !is_telling {
                continue;
            }
            let mut parts = vec![secret.as_str()];
            if secret.len() > 2 * END_BYTES {
                parts.push(&secret[..END_BYTES]);
                parts.push(&secret[secret.len() - END_BYTES..]);
            }
            for part in parts {
                for (bytes, how) in forms(part) {
                    written.entry((bytes, secret.clone())).or_insert(how);
                }
            }
        }
        assert!(!written.is_empty(), "nothing to search for");
        let longest = written
            .iter()
            .map(|((bytes, _), _)| bytes.len())
            .max()
            .unwrap_or(0);
        Self {
            patterns: AhoCorasick::new(written.keys().map(|(bytes, _)| bytes)).unwrap(),
            meanings: written
                .into_iter()
                .map(|((_, secret), how)| (secret, how))
                .collect(),
            longest,
        }
    }

    /// How many secrets are searched for.
    #[must_use]
    pub fn secrets(&self) -> usize {
        self.meanings
            .iter()
            .map(|(secret, _)| secret)
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// Each secret that is in these bytes, and how it is written there.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> BTreeSet<(String, &'static str)> {
        self.patterns
            .find_overlapping_iter(bytes)
            .map(|found| self.meanings[found.pattern().as_usize()].clone())
            .collect()
    }

    /// The same in everything that a process can read of its own memory: more than a core dump holds (core(5)). Returned
    /// is also how many bytes that were.
    ///
    /// # Panics
    /// When the process's memory cannot be read.
    #[must_use]
    pub fn find_in_process(&self, pid: u32) -> (BTreeSet<(String, &'static str)>, u64) {
        let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let (mut found, mut read) = (BTreeSet::new(), 0);
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let (range, rights) = (words.next().unwrap(), words.next().unwrap());
            let (start, end) = range.split_once('-').unwrap();
            let address = |hex| u64::from_str_radix(hex, 16).unwrap();
            let (mut at, end) = (address(start), address(end));
            // The kernel's own pages cannot be read from outside, and hold nothing of ours.
            if !rights.starts_with('r') || line.contains("[vvar") || line.contains("[vsyscall]") {
                continue;
            }
            let mut held = Vec::new();
            while at < end {
                let wanted = usize::try_from((end - at).min(CHUNK_BYTES as u64)).unwrap();
                let kept = held.len();
                held.resize(kept + wanted, 0);
                // The rest of a file's mapping beyond its end cannot be read.
                if memory.read_exact_at(&mut held[kept..], at).is_err() {
                    break;
                }
                read += wanted as u64;
                found.extend(self.find(&held));
                let overlap = held.len().saturating_sub(self.longest);
                held.drain(..overlap);
                at += wanted as u64;
            }
        }
        (found, read)
    }
}

/// A text in each way that a program may write it down.
fn forms(text: &str) -> Vec<(Vec<u8>, &'static str)> {
    let bytes = text.as_bytes();
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let escaped: String = bytes.iter().map(|b| format!("\\u{b:04x}")).collect();
    let all_percent: String = bytes.iter().map(|b| format!("%{b:02X}")).collect();
    let quoted = serde_json::Value::from(text).to_string();
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut forms = vec![
        (bytes.to_vec(), "plain"),
        (hex.to_uppercase().into_bytes(), "hex"),
        (hex.into_bytes(), "hex"),
        (escaped.into_bytes(), "JSON escapes"),
        (quoted.as_bytes()[1..quoted.len() - 1].to_vec(), "JSON"),
        (percent(text).into_bytes(), "URL"),
        (all_percent.into_bytes(), "URL"),
        (wide, "UTF-16"),
    ];
    for shift in 0..3 {
        let shifted = [&b"\0\0"[..shift], bytes].concat();
        // The first characters also say what stands before, the last one what comes after.
        let (first, end) = ([0, 2, 3][shift], shifted.len() * 8 / 6);
        for encoded in [
            STANDARD_NO_PAD.encode(&shifted),
            URL_SAFE_NO_PAD.encode(&shifted),
        ] {
            forms.push((encoded.as_bytes()[first..end].to_vec(), "base64"));
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn a_secret_is_found_in_every_writing_and_at_each_alignment() {
        let secret = "219-09-9999".to_owned();
        let needles = Needles::of([&secret]);
        for before in ["", "a", "ab", "abc", "abcd"] {
            let text = format!("{before}{secret} and more");
            for written in [
                text.clone(),
                STANDARD.encode(&text),
                URL_SAFE_NO_PAD.encode(&text),
                percent(&text),
                text.bytes().map(|b| format!("{b:02x}")).collect(),
            ] {
                assert_eq!(needles.find(written.as_bytes()).len(), 1, "{written}");
            }
        }
        assert!(needles.find(b"219-09-9998").is_empty());
    }

    #[test]
    fn this_process_is_seen_to_hold_what_it_holds() {
        let secret = String::from_utf8(b"8888-90-912".iter().map(|b| b + 1).collect()).unwrap();
        let needles = Needles::of([&secret]);
        let (found, read) = needles.find_in_process(std::process::id());
        assert!(!found.is_empty() && read > 1 << 20);
    }
}
