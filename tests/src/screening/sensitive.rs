//! Log lines that hold a secret or an identifier, and where: contexts written by hand (`screen/corpus/sensitive.txt`),
//! synthetic values, and each class also within JSON, base64, a URL, and broken over lines.

use std::fs;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::filler::fill;
use super::random::Random;
use super::values::{Value, value};
use crate::tools::workspace_root;

/// How a line is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// As it is.
    Plain,
    /// A string within JSON, with some characters as `\u00XX`, too.
    Json,
    /// The whole line in base64.
    Base64,
    /// The whole line percent-encoded.
    Url,
    /// The value on the line after its label.
    NextLine,
    /// A line break within the value.
    Broken,
}

impl Form {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Plain,
        Self::Json,
        Self::Base64,
        Self::Url,
        Self::NextLine,
        Self::Broken,
    ];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Json => "json",
            Self::Base64 => "base64",
            Self::Url => "url",
            Self::NextLine => "next line",
            Self::Broken => "broken",
        }
    }
}

/// One line with what must not remain of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// What kind of secret or identifier.
    pub class: String,
    /// How it is written.
    pub form: Form,
    /// The line; of some forms several.
    pub text: String,
    /// Where in it the sensitive bytes are.
    pub spans: Vec<Range<usize>>,
    /// What they say when decoded: none of it may remain.
    pub secrets: Vec<String>,
    /// The line as it was before it was encoded, without its secrets: what is no leak.
    pub around: String,
}

/// So many plain lines of each class at least, and so many of each other form.
const PLAIN: usize = 60;
const ENCODED: usize = 12;

/// The sensitive corpus of a seed: more than 2,000 plain lines in more than 25 classes, and the encoded ones.
///
/// # Panics
/// When the contexts cannot be read.
#[must_use]
pub fn sensitive(seed: u64) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (class, contexts) in contexts() {
        let mut random = Random::new(seed, &class);
        for &form in Form::ALL {
            let wanted = if form == Form::Plain { PLAIN } else { ENCODED };
            let made = (0..wanted * 4)
                .filter_map(|n| {
                    let context = &contexts[n % contexts.len()];
                    make(&class, form, context, &mut random)
                })
                .take(wanted);
            samples.extend(made);
        }
    }
    samples
}

/// Each class with its contexts, in the order of the file.
///
/// # Panics
/// When the file cannot be read.
#[must_use]
pub fn contexts() -> Vec<(String, Vec<String>)> {
    let path = workspace_root().join("screen/corpus/sensitive.txt");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut classes: Vec<(String, Vec<String>)> = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("# "))
    {
        let name = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        match name.filter(|name| {
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        }) {
            Some(class) => classes.push((class.to_owned(), Vec::new())),
            None => classes
                .last_mut()
                .expect("a class comes first")
                .1
                .push(line.to_owned()),
        }
    }
    classes
}

fn make(class: &str, form: Form, context: &str, random: &mut Random) -> Option<Sample> {
    let (before, after) = context.split_once("{v}").expect("a context holds a value");
    let (before, after) = (fill(before, random), fill(after, random));
    let Value(mut pieces) = value(class, random);
    if form == Form::Broken {
        break_up(&mut pieces, random)?;
    }
    let before = match form {
        Form::NextLine => next_line(&before)?,
        _ => before,
    };
    let mut sample = Sample {
        class: class.to_owned(),
        form,
        text: String::new(),
        spans: Vec::new(),
        secrets: Vec::new(),
        around: String::new(),
    };
    let mut add = |text: &str, is_sensitive: bool| {
        let written = match form {
            Form::Json => json_escaped(text, is_sensitive),
            Form::Url => percent(text),
            _ => text.to_owned(),
        };
        let began = sample.text.len();
        sample.text.push_str(&written);
        if is_sensitive {
            sample.spans.push(began..sample.text.len());
            sample
                .secrets
                .push(text.chars().filter(|c| !matches!(c, '\n' | '\\')).collect());
        } else {
            sample.around.push_str(text);
            sample.around.push('\n');
        }
    };
    add(&before, false);
    for (text, is_sensitive) in &pieces {
        add(text, *is_sensitive);
    }
    add(&after, false);
    let (head, tail) = match form {
        Form::Json => (
            format!(r#"{{"ts":"{}","msg":""#, fill("{iso}", random)),
            r#"","n":1}"#,
        ),
        Form::Url => ("GET /log?line=".to_owned(), " HTTP/1.1"),
        Form::Base64 => {
            sample.text = STANDARD.encode(&sample.text);
            sample.spans = std::iter::once(0..sample.text.len()).collect();
            (random.one(&["payload=", "data: ", "body="]).to_owned(), "")
        }
        _ => (String::new(), ""),
    };
    for span in &mut sample.spans {
        *span = span.start + head.len()..span.end + head.len();
    }
    sample.text = format!("{head}{}{tail}", sample.text);
    Some(sample)
}

/// The label as it is when the value follows on the next line; `None` where no label ends there.
fn next_line(before: &str) -> Option<String> {
    let is_label = before.ends_with(": ") || before.ends_with(" = ") || before.ends_with(':');
    (is_label && !before.contains('\n')).then(|| format!("{}\n  ", before.trim_end()))
}

/// Breaks the first sensitive piece that is long, or has a place where text is wrapped.
fn break_up(pieces: &mut [(String, bool)], random: &mut Random) -> Option<()> {
    let text = pieces
        .iter_mut()
        .find_map(|(text, is_sensitive)| is_sensitive.then_some(text))?;
    if text.contains('\n') {
        return None;
    }
    let (at, wrap) = if text.len() >= 30 {
        let at = usize::try_from(random.between(10, text.len() as u64 - 10)).expect("small");
        (at, random.one(&["\n", "\\\n"]))
    } else {
        (text.find(['-', ' ', '^', ',']).map(|at| at + 1)?, "\n")
    };
    text.insert_str(at, wrap);
    Some(())
}

/// As within a JSON string (RFC 8259, section 7); of what is sensitive each third character, too.
fn json_escaped(text: &str, is_sensitive: bool) -> String {
    let mut escaped = String::new();
    for (index, char) in text.chars().enumerate() {
        match char {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '/' if index % 2 == 0 => escaped.push_str("\\/"),
            '\n' => escaped.push_str("\\n"),
            '\t' => escaped.push_str("\\t"),
            _ if is_sensitive && index % 3 == 1 => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(char)))
            }
            _ => escaped.push(char),
        }
    }
    escaped
}

/// Percent-encodes all but the unreserved characters (RFC 3986, section 2.3).
#[must_use]
pub fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
