//! Other readings of a text, one level deep, and the way back from them to the text's own bytes.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// A text that was read otherwise.
pub(crate) struct Reading {
    pub(crate) bytes: Vec<u8>,
    /// In order, all of them not empty, together all of `bytes`.
    runs: Vec<Run>,
}

/// A part of the reading, and the part of the text that it stands for: the same bytes, or an escape.
struct Run {
    start: usize,
    place: Range<usize>,
}

impl Reading {
    fn new(text: &[u8]) -> Self {
        Self {
            bytes: Vec::with_capacity(text.len()),
            runs: Vec::new(),
        }
    }

    /// Adds `bytes`, which stand for that part of the text.
    fn add(&mut self, bytes: &[u8], place: Range<usize>) {
        if !bytes.is_empty() {
            let start = self.bytes.len();
            self.runs.push(Run { start, place });
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Where in the text this part of the reading stands; of an escape, the whole.
    pub(crate) fn place(&self, span: &Range<usize>) -> Range<usize> {
        if span.is_empty() {
            return 0..0;
        }
        let first = &self.runs[self.run(span.start)];
        let start = first.place.start + span.start - first.start;
        let last = self.run(span.end - 1);
        let run = &self.runs[last];
        let run_end = self
            .runs
            .get(last + 1)
            .map_or(self.bytes.len(), |next| next.start);
        let end = if span.end == run_end {
            run.place.end
        } else {
            run.place.start + span.end - run.start
        };
        start.min(first.place.end)..end.min(run.place.end)
    }

    fn run(&self, at: usize) -> usize {
        self.runs.partition_point(|run| run.start <= at) - 1
    }

    /// Whether something was left out between the two ends of this part.
    pub(crate) fn is_joined(&self, span: &Range<usize>) -> bool {
        !span.is_empty() && self.run(span.start) != self.run(span.end - 1)
    }
}

/// JSON's escapes and percent signs undone, once; `None` if there are none.
pub(crate) fn unescaped(text: &[u8]) -> Option<Reading> {
    let mut reading: Option<Reading> = None;
    let (mut at, mut copied) = (0, 0);
    while let Some(next) = text[at..].iter().position(|b| matches!(b, b'\\' | b'%')) {
        at += next;
        let Some((decoded, length)) = escape(&text[at..]) else {
            at += 1;
            continue;
        };
        let reading = reading.get_or_insert_with(|| Reading::new(text));
        reading.add(&text[copied..at], copied..at);
        let place = at..at + length;
        match decoded {
            Decoded::Byte(byte) => reading.add(&[byte], place),
            Decoded::Char(c) => reading.add(c.encode_utf8(&mut [0; 4]).as_bytes(), place),
        }
        at += length;
        copied = at;
    }
    let mut reading = reading?;
    reading.add(&text[copied..], copied..text.len());
    Some(reading)
}

enum Decoded {
    Byte(u8),
    Char(char),
}

/// The escape with which `text` begins, and its length.
fn escape(text: &[u8]) -> Option<(Decoded, usize)> {
    let hex = |range: Range<usize>| {
        let digits = std::str::from_utf8(text.get(range)?).ok()?;
        let all_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        all_hex
            .then(|| u32::from_str_radix(digits, 16).ok())
            .flatten()
    };
    if text[0] == b'%' {
        let byte = u8::try_from(hex(1..3)?).ok()?;
        return Some((Decoded::Byte(byte), 3));
    }
    let byte = match text.get(1)? {
        b'"' => b'"',
        b'\\' => b'\\',
        b'/' => b'/',
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => {
            let high = hex(2..6)?;
            if let Some(c) = char::from_u32(high) {
                return Some((Decoded::Char(c), 6));
            }
            let low = (text.get(6..8)? == b"\\u").then(|| hex(8..12)).flatten()?;
            let code = 0x1_0000 + ((high - 0xD800) << 10) + low.checked_sub(0xDC00)?;
            return Some((Decoded::Char(char::from_u32(code)?), 12));
        }
        _ => return None,
    };
    Some((Decoded::Byte(byte), 2))
}

/// Whether a line is surely not the rest of the one before it: a log's next entry begins with a time or
/// a bracket, and `name=` or `name:` begins a field.
fn begins_entry(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"\"").unwrap_or(line);
    let shape = |length: usize| -> Vec<u8> {
        let shape = line.iter().take(length).map(|b| match b {
            b'0'..=b'9' => b'9',
            b'A'..=b'Z' => b'A',
            b'a'..=b'z' => b'a',
            other => *other,
        });
        shape.collect()
    };
    if matches!(
        line.first(),
        None | Some(b'[' | b'{' | b'<' | b'#' | b'\n' | b'\r')
    ) || [&b"9999-99-99"[..], b"9999/99/99", b"99/Aaa/99", b"99:99:99"]
        .iter()
        .any(|time| shape(time.len()) == **time)
        || matches!(&shape(6)[..], b"Aaa 99" | b"Aaa  9")
    {
        return true;
    }
    let name = line
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        .count();
    name > 0
        && match &line[name..] {
            [b'=', next, ..] => next.is_ascii_graphic() && *next != b'=',
            [b':', b' ', ..] | [b'"', b':', ..] => true,
            _ => false,
        }
}

/// Which line breaks to leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joins {
    /// Every one: a value may be broken several times.
    All,
    /// The first, the third and so on: what comes after a broken value must stay apart from it.
    Odd,
    /// The second, the fourth and so on.
    Even,
}

impl Joins {
    pub(crate) const EACH: [Self; 3] = [Self::All, Self::Odd, Self::Even];

    /// Whether the break of this number, from 0, is left out.
    const fn leaves_out(self, number: usize) -> bool {
        match self {
            Self::All => true,
            Self::Odd => number.is_multiple_of(2),
            Self::Even => !number.is_multiple_of(2),
        }
    }
}

/// Lines joined, as a terminal or an editor may have broken them; `None` if none is.
pub(crate) fn joined(text: &[u8], joins: Joins) -> Option<Reading> {
    let mut reading: Option<Reading> = None;
    let mut copied = 0;
    let mut at = 0;
    let mut number = 0;
    while let Some(next) = text[at..].iter().position(|b| *b == b'\n') {
        let line_break = at + next;
        at = line_break + 1;
        if begins_entry(&text[at..]) {
            continue;
        }
        number += 1;
        if !joins.leaves_out(number - 1) {
            continue;
        }
        let mut end = line_break;
        for wanted in [b'\r', b'\\'] {
            if end > copied && text[end - 1] == wanted {
                end -= 1;
            }
        }
        let reading = reading.get_or_insert_with(|| Reading::new(text));
        reading.add(&text[copied..end], copied..end);
        at += text[at..]
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t'))
            .count();
        copied = at;
    }
    let is_one_line = number < 2 && joins != Joins::All;
    let mut reading = reading.filter(|_| !is_one_line)?;
    reading.add(&text[copied..], copied..text.len());
    Some(reading)
}

/// Shorter ones hold nothing that a rule would find.
const BASE64_MIN_CHARS: usize = 16;
/// Lines of MIME (RFC 2045 section 6.8) have 76 characters, those of PEM 64.
const BASE64_LINE_MIN_CHARS: usize = 60;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const DECODER: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);

/// Runs of base64 that decode to text: where they stand, and the text.
pub(crate) fn base64_texts(text: &[u8], mut each: impl FnMut(Range<usize>, Vec<u8>)) {
    let mut at = 0;
    while at < text.len() {
        let start = at + text[at..].iter().take_while(|b| !is_base64(**b)).count();
        let line = text[start..].iter().take_while(|b| is_base64(**b)).count();
        at = start + line.max(1);
        if line < BASE64_MIN_CHARS || !begins_with_text(&text[start..start + BASE64_MIN_CHARS]) {
            continue;
        }
        let lines = run(text, start);
        at = lines.last().map_or(at, |line| line.end.max(at));
        // What follows may be an ordinary line that only begins like one of base64, and what it seems to
        // say would stand right behind a value.
        let count = lines.len();
        let together = std::iter::once(0..count);
        let but_last = (count > 1).then(|| 0..count - 1);
        let alone = (0..count).filter(|_| count > 1).map(|line| line..line + 1);
        for reading in together.chain(but_last).chain(alone) {
            let lines = &lines[reading];
            if let Some(decoded) = decoded(text, lines) {
                each(lines[0].start..lines[lines.len() - 1].end, decoded);
            }
        }
    }
}

/// Whether these characters, a multiple of four, decode to text: almost no random bytes do.
fn begins_with_text(characters: &[u8]) -> bool {
    characters.chunks_exact(4).all(|four| {
        let bits = four
            .iter()
            .fold(0_u32, |bits, b| (bits << 6) | u32::from(sextet(*b)));
        let [_, first, second, third] = bits.to_be_bytes();
        [first, second, third].into_iter().all(is_text_byte)
    })
}

/// What a character of either alphabet stands for.
const fn sextet(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        _ => 63,
    }
}

/// What these lines together say, if it is text.
fn decoded(text: &[u8], lines: &[Range<usize>]) -> Option<Vec<u8>> {
    let first = &text[lines.first()?.clone()];
    if !begins_with_text(first.get(..BASE64_MIN_CHARS)?) {
        return None;
    }
    let is_text = |bytes: &Vec<u8>| bytes.iter().all(|b| is_text_byte(*b));
    let parts = lines.iter().map(|line| standard(&text[line.clone()]));
    decode(&parts.collect::<Vec<_>>().concat()).filter(is_text)
}

/// Characters of either alphabet in the standard one (RFC 4648, sections 4 and 5).
fn standard(characters: &[u8]) -> Vec<u8> {
    characters
        .iter()
        .map(|b| match b {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect()
}

/// The lines of the run that starts here: at least one, which may be empty.
fn run(text: &[u8], start: usize) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut at = start;
    loop {
        let length = text[at..].iter().take_while(|b| is_base64(**b)).count();
        let end = at + length;
        lines.push(at..end);
        let line_break = match &text[end..] {
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] => 1,
            _ => 0,
        };
        let goes_on = length >= BASE64_LINE_MIN_CHARS
            && length % 4 == 0
            && line_break > 0
            && text.get(end + line_break).is_some_and(|b| is_base64(*b));
        if !goes_on {
            return lines;
        }
        at = end + line_break;
    }
}

fn decode(characters: &[u8]) -> Option<Vec<u8>> {
    // One character over is none of base64's; what it would be part of lies outside.
    let whole = characters.len() - usize::from(characters.len() % 4 == 1);
    DECODER.decode(&characters[..whole]).ok()
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

const fn is_text_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_found_again_whole() {
        let text = br"a\u0040b%3Dc\nd \ud83d\ude00e%zz\q";
        let reading = unescaped(text).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&reading.bytes),
            "a@b=c\nd \u{1F600}e%zz\\q"
        );
        assert_eq!(&text[reading.place(&(1..2))], br"\u0040");
        assert_eq!(&text[reading.place(&(2..4))], b"b%3D");
        assert_eq!(&text[reading.place(&(5..7))], br"\nd");
        assert_eq!(reading.place(&(0..reading.bytes.len())), 0..text.len());
        assert!(unescaped(b"100% of C:\\windows").is_none());
    }

    #[test]
    fn lines_are_joined_and_a_place_knows_whether_it_was() {
        let text = b"12\\\n  3\r\n45";
        let reading = joined(text, Joins::All).unwrap();
        assert_eq!(reading.bytes, b"12345");
        assert_eq!(reading.place(&(1..4)), 1..10);
        assert!(reading.is_joined(&(1..4)) && !reading.is_joined(&(0..2)));
        assert!(joined(b"one line", Joins::All).is_none());
        assert!(joined(b"two\nlines", Joins::Odd).is_none());
        let read = |joins| joined(b"1\n2\n3\n4", joins).unwrap().bytes;
        assert_eq!(read(Joins::All), b"1234");
        assert_eq!(read(Joins::Odd), b"12\n34");
        assert_eq!(read(Joins::Even), b"1\n23\n4");
        for next in [
            "2026-11-21 10:00 next",
            "Nov 21 10:00:00 host",
            "[warn] x",
            "\"name\": 1",
            "password=x",
        ] {
            assert!(
                joined(format!("a\n{next}").as_bytes(), Joins::All).is_none(),
                "{next}"
            );
        }
    }

    #[test]
    fn base64_is_read_although_an_ordinary_line_follows() {
        let engine = base64::engine::general_purpose::STANDARD;
        let encoded =
            engine.encode("a text whose base64 is just as long as a line of MIME may be, ok");
        assert!(encoded.len() >= BASE64_LINE_MIN_CHARS && encoded.len().is_multiple_of(4));
        for text in [
            format!("x={encoded}\nGET /"),
            format!("{}\n{encoded}\nGET /", encoded.replace('=', "")),
        ] {
            let mut found = 0;
            base64_texts(text.as_bytes(), |_, _| found += 1);
            assert!(found > 0, "{text}");
        }
    }

    #[test]
    fn base64_is_read_when_it_holds_text_also_over_lines() {
        let engine = base64::engine::general_purpose::STANDARD;
        let long = "a text of some length, again and again; ".repeat(4);
        let encoded = engine.encode(&long);
        let (first, rest) = encoded.split_at(76);
        let text = format!("sha256:{} {first}\n{rest}", "0f".repeat(32));
        let mut found = Vec::new();
        base64_texts(text.as_bytes(), |at, decoded| {
            found.push((text[at].to_owned(), String::from_utf8(decoded).unwrap()));
        });
        // Together, and each line by itself.
        assert_eq!(found.len(), 4);
        assert_eq!(found[0].1.trim_end(), long.trim_end());
    }
}
