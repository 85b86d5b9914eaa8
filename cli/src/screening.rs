//! `screen`: what would be taken out of a file, and why. Nothing is changed, and no value is shown.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use evidence::digest::DigestKey;
use evidence::ijson;
use evidence::incident::in_bundle;
use host::exit::ExitCode;
use screen::{Action, Found, Origin, Rule, Screen};
use serde::Serialize;

use crate::arguments::ScreenOptions;
use crate::output::{self, Misuse, plain};

/// The agent screens text of any size as it goes by; here so much is looked at.
const LOOKED_AT_BYTES: u64 = 64 << 20;

/// What a rule speaks of.
#[derive(Debug, Serialize)]
struct Told<'s> {
    /// Of a document: where in the bundle, a JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Of a text: the line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// Of a text: the byte in that line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    length_bytes: usize,
    rule: &'s str,
    description: &'s str,
    origin: Origin,
    found: &'static str,
    action: Action,
}

#[derive(Debug, Serialize)]
struct Report<'s> {
    screening: bool,
    /// `document`, `text` or `binary`.
    kind: &'static str,
    looked_at_bytes: u64,
    whole: bool,
    /// `unchanged`, `redacted`, `quarantined`; of what cannot be screened, `not_screened`.
    outcome: &'static str,
    hits: Vec<Told<'s>>,
}

#[derive(Debug, Serialize)]
struct RuleList<'s> {
    screening: bool,
    gitleaks: &'static str,
    rules: Vec<ListedRule<'s>>,
    left_out: Vec<LeftOutRule<'s>>,
}

#[derive(Debug, Serialize)]
struct ListedRule<'s> {
    rule: &'s str,
    action: Action,
    origin: Origin,
    description: &'s str,
}

#[derive(Debug, Serialize)]
struct LeftOutRule<'s> {
    rule: &'s str,
    why: &'s str,
}

pub(crate) fn run(options: &ScreenOptions, config: &Path) -> Result<ExitCode> {
    let (screen, enabled, quarantines_binary) = rules(config)?;
    if options.rules {
        return list(&screen, enabled, options.json);
    }
    let file = options.file.as_deref().unwrap_or(Path::new("-"));
    let (bytes, whole) = read(file)?;
    let report = look(&screen, enabled, quarantines_binary, &bytes, whole)?;
    if options.json {
        output::json(&report)?;
    } else {
        print(&report);
    }
    Ok(ExitCode::Ok)
}

/// Those of the configuration; of none, the built-in ones.
fn rules(config: &Path) -> Result<(Screen, bool, bool)> {
    if !config.exists() {
        return Ok((Screen::built_in(), true, false));
    }
    let settings = output::settings(config)?.screening;
    let screen = agent::screen_of(&settings)
        .map_err(|error| Misuse(format!("[screening]: {:#}", anyhow::Error::from(error))))?;
    let quarantines_binary = settings.binary == host::config::BinaryArtifacts::Quarantine;
    Ok((screen, settings.enabled, quarantines_binary))
}

fn read(file: &Path) -> Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    let from: Box<dyn std::io::Read> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(File::open(file).with_context(|| format!("opening {}", file.display()))?)
    };
    from.take(LOOKED_AT_BYTES + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("reading {}", file.display()))?;
    let whole = bytes.len() as u64 <= LOOKED_AT_BYTES;
    if !whole {
        bytes.pop();
    }
    Ok((bytes, whole))
}

fn look<'s>(
    screen: &'s Screen,
    enabled: bool,
    quarantines_binary: bool,
    bytes: &[u8],
    whole: bool,
) -> Result<Report<'s>> {
    let mut report = Report {
        screening: enabled,
        kind: "text",
        looked_at_bytes: bytes.len() as u64,
        whole,
        outcome: "unchanged",
        hits: Vec::new(),
    };
    let document = ijson::read(bytes, ijson::MAX_DEPTH)
        .ok()
        .map(|parsed| parsed.value)
        .filter(serde_json::Value::is_object);
    if let Some(document) = document {
        report.kind = "document";
        // Only for the pointers, in which a name may be taken out.
        let key = DigestKey::generate()?;
        let found = screen.find_in_document(&document, &key);
        report.hits = found
            .into_iter()
            .map(|at| Told {
                path: Some(in_bundle(&at.path)),
                ..told(at.rule, at.length, at.found)
            })
            .collect();
    } else if !screen::is_text(bytes) {
        report.kind = "binary";
        report.outcome = if quarantines_binary {
            "quarantined"
        } else {
            "not_screened"
        };
        return Ok(report);
    } else {
        let mut lines = Lines::default();
        for hit in screen.find_bytes(bytes) {
            let (line, column) = lines.place(bytes, hit.span.start);
            report.hits.push(Told {
                line: Some(line),
                column: Some(column),
                ..told(hit.rule, hit.span.len(), hit.found)
            });
        }
    }
    let any = |action| report.hits.iter().any(|hit| hit.action == action);
    report.outcome = if any(Action::Quarantine) {
        "quarantined"
    } else if any(Action::Redact) {
        "redacted"
    } else {
        "unchanged"
    };
    Ok(report)
}

fn told(rule: &Rule, length_bytes: usize, found: Found) -> Told<'_> {
    Told {
        path: None,
        line: None,
        column: None,
        length_bytes,
        rule: &rule.id,
        description: &rule.description,
        origin: rule.origin,
        found: found.as_str(),
        action: rule.action,
    }
}

/// Counts lines once, since hits come in order.
#[derive(Default)]
struct Lines {
    counted_to: usize,
    breaks: usize,
    line_start: usize,
}

impl Lines {
    fn place(&mut self, bytes: &[u8], at: usize) -> (usize, usize) {
        for (offset, byte) in bytes[self.counted_to..at].iter().enumerate() {
            if *byte == b'\n' {
                self.breaks += 1;
                self.line_start = self.counted_to + offset + 1;
            }
        }
        self.counted_to = at;
        (self.breaks + 1, at - self.line_start + 1)
    }
}

fn print(report: &Report<'_>) {
    for hit in &report.hits {
        let place = match (&hit.path, hit.line, hit.column) {
            (Some(path), ..) => plain(path),
            (None, Some(line), Some(column)) => format!("line {line}, byte {column}"),
            _ => String::new(),
        };
        println!(
            "{:<10} {:<22} {place}: {} bytes, {}: {}",
            hit.action.as_str(),
            hit.rule,
            hit.length_bytes,
            hit.found,
            hit.description
        );
    }
    let would = match report.outcome {
        "quarantined" => "a drop with it would go to quarantine as a whole",
        "redacted" => "it would be sealed with markers in place of these",
        "not_screened" => "it is not text, so it would be sealed as it is, unscreened",
        _ => "it would be sealed as it is",
    };
    println!("{}: {would}", report.kind);
    if !report.whole {
        println!(
            "only its first {} bytes were looked at",
            report.looked_at_bytes
        );
    }
    if !report.screening {
        println!("but screening is off (screening.enabled = false): it would be sealed as it is");
    }
}

fn list(screen: &Screen, enabled: bool, json: bool) -> Result<ExitCode> {
    let list = RuleList {
        screening: enabled,
        gitleaks: screen::GITLEAKS_VERSION,
        rules: screen
            .rules()
            .iter()
            .map(|rule| ListedRule {
                rule: &rule.id,
                action: rule.action,
                origin: rule.origin,
                description: &rule.description,
            })
            .collect(),
        left_out: screen
            .left_out()
            .iter()
            .map(|left| LeftOutRule {
                rule: &left.id,
                why: &left.why,
            })
            .collect(),
    };
    if json {
        output::json(&list)?;
        return Ok(ExitCode::Ok);
    }
    for rule in &list.rules {
        let origin = match rule.origin {
            Origin::Client => "client",
            Origin::Own => "own",
            Origin::Gitleaks => "gitleaks",
        };
        println!(
            "{:<10} {:<9} {:<38} {}",
            rule.action.as_str(),
            origin,
            rule.rule,
            rule.description
        );
    }
    for left in &list.left_out {
        println!("left out   gitleaks  {:<38} {}", left.rule, left.why);
    }
    if !enabled {
        println!("screening is off (screening.enabled = false)");
    }
    Ok(ExitCode::Ok)
}
