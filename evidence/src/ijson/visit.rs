//! Building the value, with the checks that serde_json's own `Value` does not make.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use super::pointer::{Step, from_inner};
use super::scan::{Scan, TextNumber};
use super::{Code, Error, MAX_PLACES, Parsed, Places};

/// Parses `text`, of which `scan` is the scan.
pub(super) fn read(text: &str, scan: &Scan<'_>, max_depth: usize) -> Result<Parsed, Error> {
    let blanked = blank(text, &scan.text_numbers);
    let mut reader = Reader {
        max_depth,
        text_numbers: &scan.text_numbers,
        numbers_seen: 0,
        check_text: scan.may_hold_noncharacters,
        number_as_text: Noted::default(),
        noncharacter: Noted::default(),
        refused: None,
        failed_at: Vec::new(),
    };
    let mut deserializer = serde_json::Deserializer::from_str(&blanked);
    let value = Seed {
        reader: &mut reader,
        depth: 0,
    }
    .deserialize(&mut deserializer)
    .map_err(|e| reader.explain(&e, text))?;
    deserializer.end().map_err(|e| {
        let message = format!("something follows the document, at {}", position(&e));
        Error::new(Code::TrailingBytes, "", message)
    })?;
    Ok(Parsed {
        value,
        number_as_text: reader.number_as_text.into_places(),
        noncharacter: reader.noncharacter.into_places(),
    })
}

/// `text` with each of `numbers` replaced by a zero of the same length. Positions stay, and since
/// it is a number for a number, nothing becomes JSON that was not.
fn blank<'a>(text: &'a str, numbers: &[TextNumber<'_>]) -> Cow<'a, str> {
    if numbers.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for number in numbers {
        out.push_str(&text[out.len()..number.start]);
        out.push('0');
        out.extend(std::iter::repeat_n(' ', number.text.len() - 1));
    }
    out.push_str(&text[out.len()..]);
    Cow::Owned(out)
}

/// State of one reading.
struct Reader<'a> {
    max_depth: usize,
    /// Those not yet met.
    text_numbers: &'a [TextNumber<'a>],
    numbers_seen: usize,
    check_text: bool,
    number_as_text: Noted,
    noncharacter: Noted,
    /// Why we, not serde_json, stopped.
    refused: Option<(Code, &'static str)>,
    /// Where it failed, innermost step first; gathered on the way out, so that a good document
    /// pays nothing for it.
    failed_at: Vec<Step>,
}

impl Reader<'_> {
    fn refuse<E: serde::de::Error>(&mut self, code: Code, message: &'static str) -> E {
        self.refused = Some((code, message));
        E::custom(message)
    }

    /// A number: its text if it is one that must stay text.
    fn number(&mut self, number: Number) -> Value {
        let ordinal = self.numbers_seen;
        self.numbers_seen += 1;
        match self.text_numbers.split_first() {
            Some((next, rest)) if next.ordinal == ordinal => {
                self.text_numbers = rest;
                self.number_as_text.note();
                Value::String(next.text.to_owned())
            }
            _ => Value::Number(number),
        }
    }

    fn look_at(&mut self, text: &str) {
        if self.check_text && text.chars().any(is_noncharacter) {
            self.noncharacter.note();
        }
    }

    /// How much was noted before a child was read; see [`Reader::leave`].
    fn enter(&self) -> (usize, usize) {
        (
            self.number_as_text.listed.len(),
            self.noncharacter.listed.len(),
        )
    }

    /// A child was read: what it noted lies below `step`.
    fn leave(&mut self, (numbers, texts): (usize, usize), step: impl Fn() -> Step) {
        for steps in self.number_as_text.listed.iter_mut().skip(numbers) {
            steps.push(step());
        }
        for steps in self.noncharacter.listed.iter_mut().skip(texts) {
            steps.push(step());
        }
    }

    /// Turns serde_json's error into ours. Its syntax messages quote nothing of the document.
    fn explain(&self, error: &serde_json::Error, text: &str) -> Error {
        let path = from_inner(&self.failed_at);
        if let Some((code, message)) = self.refused {
            return Error::new(code, path, format!("{message}, at {}", position(error)));
        }
        let said = error.to_string();
        if error.is_eof() {
            return Error::new(
                Code::Truncated,
                path,
                format!("the document ends too early, at {}", position(error)),
            );
        }
        // serde_json keeps its error codes to itself; the tests hold these texts in place.
        if said.starts_with("lone leading surrogate")
            || said.starts_with("unexpected end of hex escape")
        {
            let message = format!("an escape is half a surrogate pair, at {}", position(error));
            return Error::new(Code::LoneSurrogate, path, message);
        }
        if names_no_number(text, error) {
            let message = format!(
                "NaN and Infinity are not JSON numbers, at {}",
                position(error)
            );
            return Error::new(Code::NotFinite, path, message);
        }
        Error::new(Code::Syntax, path, said)
    }
}

/// Places noted while reading: each a list of steps, innermost first.
#[derive(Default)]
struct Noted {
    listed: Vec<Vec<Step>>,
    total: usize,
}

impl Noted {
    fn note(&mut self) {
        self.total += 1;
        if self.listed.len() < MAX_PLACES {
            self.listed.push(Vec::new());
        }
    }

    fn into_places(self) -> Places {
        Places {
            pointers: self.listed.iter().map(|steps| from_inner(steps)).collect(),
            total: self.total,
        }
    }
}

fn position(error: &serde_json::Error) -> String {
    format!("line {} column {}", error.line(), error.column())
}

/// True if the error is at a `NaN` or an `Infinity`.
fn names_no_number(text: &str, error: &serde_json::Error) -> bool {
    // serde_json counts columns in bytes, from 1.
    let line = text
        .split('\n')
        .nth(error.line().saturating_sub(1))
        .unwrap_or("");
    let rest = line
        .as_bytes()
        .get(error.column().saturating_sub(1)..)
        .unwrap_or(b"");
    [&b"NaN"[..], b"Infinity"]
        .into_iter()
        .any(|word| rest.starts_with(word))
}

/// Unicode section 23.7: U+FDD0..U+FDEF, and the last two code points of every plane.
const fn is_noncharacter(c: char) -> bool {
    let code = c as u32;
    matches!(code, 0xFDD0..=0xFDEF) || code & 0xFFFE == 0xFFFE
}

/// One value, `depth` containers deep.
struct Seed<'r, 'a> {
    reader: &'r mut Reader<'a>,
    depth: usize,
}

impl Seed<'_, '_> {
    /// The depth of what lies within this container.
    fn descend<E: serde::de::Error>(&mut self) -> Result<usize, E> {
        if self.depth >= self.reader.max_depth {
            return Err(self
                .reader
                .refuse(Code::TooDeep, "nested deeper than the limit"));
        }
        Ok(self.depth + 1)
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(self.reader.number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(self.reader.number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number =
            Number::from_f64(value).ok_or_else(|| E::custom("a number that is not finite"))?;
        Ok(self.reader.number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        self.reader.look_at(value);
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<Value, A::Error> {
        let depth = self.descend()?;
        let mut out = Vec::new();
        loop {
            let before = self.reader.enter();
            match elements.next_element_seed(Seed {
                reader: self.reader,
                depth,
            }) {
                Ok(Some(value)) => {
                    self.reader.leave(before, || Step::Element(out.len()));
                    out.push(value);
                }
                Ok(None) => return Ok(Value::Array(out)),
                Err(e) => {
                    self.reader.failed_at.push(Step::Element(out.len()));
                    return Err(e);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        let depth = self.descend()?;
        let mut out = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let before = self.reader.enter();
            self.reader.look_at(&name);
            let entry = match out.entry(name) {
                Entry::Vacant(entry) => entry,
                Entry::Occupied(entry) => {
                    self.reader
                        .failed_at
                        .push(Step::Member(entry.key().clone()));
                    return Err(self.reader.refuse(
                        Code::DuplicateKey,
                        "two members of one object have the same name",
                    ));
                }
            };
            match members.next_value_seed(Seed {
                reader: self.reader,
                depth,
            }) {
                Ok(value) => {
                    self.reader
                        .leave(before, || Step::Member(entry.key().clone()));
                    entry.insert(value);
                }
                Err(e) => {
                    self.reader
                        .failed_at
                        .push(Step::Member(entry.key().clone()));
                    return Err(e);
                }
            }
        }
        Ok(Value::Object(out))
    }
}
