//! Screening text of any length as it goes by, in memory that does not grow.
//!
//! What has come is kept until so much more has come that no value can reach across; then all but the
//! newest part is screened and given out. What was given out last stays in view, since a label may
//! stand before its value. No cut goes through anything that a rule finds. So the result is that of
//! screening the whole, but for a single value of more than [`WINDOW_BYTES`].

use std::collections::BTreeSet;
use std::ops::Range;

use evidence::digest::DigestKey;

use crate::engine::Screen;
use crate::marker::marker;
use crate::redact::{Counts, LOOKS, UNSETTLED, replace};
use crate::wide::{Narrow, Widen};

/// So much is screened at once.
const WINDOW_BYTES: usize = 256 << 10;
/// So much more must have come, since a value may go on in it: the longest that are found, private
/// keys, are far shorter.
const AHEAD_BYTES: usize = 64 << 10;
/// So much of what was given out stays in view.
const BEHIND_BYTES: usize = 4 << 10;
/// By so many first bytes it is told whether a file is text.
pub const HEAD_BYTES: usize = 8 << 10;

/// Whether a file is text, by its first [`HEAD_BYTES`]: no NUL, unless it is UTF-16 with its mark, and
/// hardly any control characters.
#[must_use]
pub fn is_text(head: &[u8]) -> bool {
    if matches!(head, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]) {
        return true;
    }
    let head = &head[..head.len().min(HEAD_BYTES)];
    let controls = head
        .iter()
        .filter(|b| matches!(b, 1..=7 | 0x0E..=0x1A | 0x1C..=0x1F | 0x7F))
        .count();
    !head.contains(&0) && controls * 20 <= head.len()
}

/// A text on its way through a screen.
pub struct Stream<'s> {
    screen: &'s Screen,
    key: &'s DigestKey,
    encoding: Encoding,
    /// What was given out last, and then what has come and was not given out.
    text: Vec<u8>,
    behind_bytes: usize,
    counts: Counts,
    quarantine: BTreeSet<String>,
}

/// How the bytes write text.
enum Encoding {
    /// Not a byte has come.
    Unknown,
    /// In bytes: UTF-8, or what the rules take for it.
    Bytes,
    /// UTF-16 with its mark.
    Wide(Widen, Narrow),
}

/// What was done about a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Streamed {
    /// What was taken out.
    pub counts: Counts,
    /// The rules for which the whole drop goes to quarantine.
    pub quarantine: Vec<String>,
}

impl Screen {
    /// Begins to screen a text that comes in pieces.
    #[must_use]
    pub fn stream<'s>(&'s self, key: &'s DigestKey) -> Stream<'s> {
        Stream {
            screen: self,
            key,
            encoding: Encoding::Unknown,
            text: Vec::new(),
            behind_bytes: 0,
            counts: Counts::new(),
            quarantine: BTreeSet::new(),
        }
    }
}

impl Stream<'_> {
    /// Takes the next piece and gives out, at the end of `out`, what is done with.
    ///
    /// The first piece has at least two bytes, unless it is the whole.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if piece.is_empty() {
            return;
        }
        if matches!(self.encoding, Encoding::Unknown) {
            self.encoding = match piece {
                [0xFF, 0xFE, ..] => Encoding::Wide(Widen::little(), Narrow::little()),
                [0xFE, 0xFF, ..] => Encoding::Wide(Widen::big(), Narrow::big()),
                _ => Encoding::Bytes,
            };
        }
        match &mut self.encoding {
            Encoding::Wide(_, narrow) => narrow.push(piece, &mut self.text),
            _ => self.text.extend_from_slice(piece),
        }
        while self.text.len() - self.behind_bytes >= WINDOW_BYTES + AHEAD_BYTES {
            self.give(false, out);
        }
    }

    /// Gives out the rest.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Streamed {
        let mut over = Vec::new();
        if let Encoding::Wide(_, narrow) = &mut self.encoding {
            over = narrow.finish(&mut self.text);
        }
        while self.text.len() > self.behind_bytes {
            self.give(true, out);
        }
        out.extend_from_slice(&over);
        Streamed {
            counts: self.counts,
            quarantine: self.quarantine.into_iter().collect(),
        }
    }

    /// Screens and gives out what is far enough from the end, or all of it.
    fn give(&mut self, all: bool, out: &mut Vec<u8>) {
        let mut end = 0;
        let mut settled = false;
        for _ in 0..LOOKS {
            let mut quarantine = Vec::new();
            let cuts = self.screen.cuts(&self.text, &mut quarantine);
            self.quarantine.extend(quarantine);
            let fresh: Vec<_> = cuts
                .into_iter()
                .filter(|(_, span)| span.end > self.behind_bytes)
                .map(|(rule, span)| (rule, span.start.max(self.behind_bytes)..span.end))
                .collect();
            let spans: Vec<_> = fresh.iter().map(|(_, span)| span.clone()).collect();
            end = self.end(all, &spans);
            let due: Vec<_> = fresh
                .into_iter()
                .filter(|(_, span)| span.end <= end)
                .collect();
            if due.is_empty() {
                settled = true;
                break;
            }
            let before = self.text.len();
            self.text = replace(&self.text, due.into_iter(), self.key, &mut self.counts);
            // What was cut lies before the end, which moves with it.
            end = (end + self.text.len()).saturating_sub(before);
        }
        if !settled {
            *self.counts.entry(UNSETTLED.to_owned()).or_default() += 1;
            let taken_out = marker(self.key, UNSETTLED, &self.text[self.behind_bytes..end]);
            let span = self.behind_bytes..end;
            end = self.behind_bytes + taken_out.len();
            self.text.splice(span, taken_out.into_bytes());
        }
        let given = &self.text[self.behind_bytes..end];
        match &mut self.encoding {
            Encoding::Wide(widen, _) => widen.push(given, out),
            _ => out.extend_from_slice(given),
        }
        let keep = end.saturating_sub(BEHIND_BYTES);
        self.text.drain(..keep);
        self.behind_bytes = end - keep;
    }

    /// Up to where to give out: behind a line if there is one, and through nothing that was found.
    fn end(&self, all: bool, spans: &[Range<usize>]) -> usize {
        if all && self.text.len() - self.behind_bytes <= WINDOW_BYTES + AHEAD_BYTES {
            return self.text.len();
        }
        let limit = self.behind_bytes + WINDOW_BYTES;
        let fresh = &self.text[self.behind_bytes..limit];
        let mut end = fresh
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(limit, |at| self.behind_bytes + at + 1);
        for span in spans.iter().rev() {
            if span.start < end && end < span.end {
                end = span.start;
            }
        }
        if end > self.behind_bytes {
            return end;
        }
        // One value fills the window: it is taken out as far as it has come.
        spans
            .first()
            .map_or(limit, |span| span.end.min(self.text.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> DigestKey {
        DigestKey::from_bytes([5; 32])
    }

    fn streamed(screen: &Screen, text: &[u8], piece: usize) -> (Vec<u8>, Streamed) {
        let key = key();
        let mut stream = screen.stream(&key);
        let mut out = Vec::new();
        for piece in text.chunks(piece) {
            stream.push(piece, &mut out);
            assert!(stream.text.len() < 2 * (WINDOW_BYTES + AHEAD_BYTES) + piece.len());
        }
        let streamed = stream.finish(&mut out);
        (out, streamed)
    }

    /// Lines with something in every seventh, so that windows end everywhere.
    fn log(bytes: usize) -> String {
        let mut log = String::new();
        let mut n = 0;
        while log.len() < bytes {
            n += 1;
            log.push_str(&match n % 7 {
                0 => format!(
                    "line {n} MRN:\n  {:08} and ssn 219-09-{:04}\n",
                    n,
                    n % 9000 + 1
                ),
                _ => format!("2026-11-21T14:06:47Z line {n} is as it should be, 1048576 bytes\n"),
            });
        }
        log
    }

    #[test]
    fn a_long_text_in_pieces_gives_what_it_gives_as_a_whole() {
        let screen = Screen::built_in();
        let text = log(900_000);
        let whole = screen.redact(&text, &key());
        for piece in [4093, 65_536, 1 << 20] {
            let (out, streamed) = streamed(&screen, text.as_bytes(), piece);
            assert!(out == whole.text.as_bytes(), "in pieces of {piece}");
            assert_eq!(streamed.counts, whole.counts);
        }
    }

    #[test]
    fn screening_a_stream_twice_is_screening_it_once() {
        let screen = Screen::built_in();
        let (once, _) = streamed(&screen, log(600_000).as_bytes(), 10_000);
        let (twice, second) = streamed(&screen, &once, 10_000);
        assert!(twice == once);
        assert_eq!(second, Streamed::default());
    }

    #[test]
    fn bytes_that_are_no_utf8_and_text_without_lines_go_through_untouched() {
        let screen = Screen::built_in();
        let mut text = b"caf\xe9 ".repeat(200_000);
        let (out, _) = streamed(&screen, &text, 50_000);
        assert!(out == text);
        text.extend_from_slice(b" ssn 219-09-9999");
        let (out, streamed) = streamed(&screen, &text, 50_000);
        assert_eq!(streamed.counts.values().sum::<u64>(), 1);
        assert!(out.starts_with(&text[..text.len() - 11]));
    }

    #[test]
    fn wide_text_stays_wide() {
        let screen = Screen::built_in();
        let text = "\u{FEFF}Benutzer größe \u{1F600}\r\nssn 219-09-9999 end\r\n";
        for big in [false, true] {
            let bytes = |unit: u16| {
                if big {
                    unit.to_be_bytes()
                } else {
                    unit.to_le_bytes()
                }
            };
            let mut wide: Vec<u8> = text.encode_utf16().flat_map(bytes).collect();
            // Half a surrogate pair, and half a unit: broken, and kept so.
            wide.extend(bytes(0xD83D));
            wide.push(7);
            assert!(is_text(&wide));
            let (out, streamed) = streamed(&screen, &wide, 3);
            assert_eq!(streamed.counts.len(), 1);
            let start: Vec<u8> = text
                .split_once("219")
                .unwrap()
                .0
                .encode_utf16()
                .flat_map(bytes)
                .collect();
            assert!(out.starts_with(&start));
            assert!(out.ends_with(&wide[wide.len() - 15..]));
        }
    }

    #[test]
    fn text_is_told_from_what_is_none() {
        assert!(
            is_text(b"") && is_text(b"a log\n\x1b[31mred\x1b[0m\n") && is_text("größe".as_bytes())
        );
        assert!(!is_text(b"\x7fELF\x02\x01\x01\0\0") && !is_text(b"PK\x03\x04\x14\0\0"));
        assert!(!is_text(b"\x1f\x8b\x08\0\x01\x02"));
    }
}
