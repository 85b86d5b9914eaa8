//! The result, as text or JSON: read from the ledger a finding at a time.

use std::io::{BufWriter, Write};

use anyhow::Result;
use audit::{Check, Finding, Ledger, Level, Tally, Verdict};
use serde::Serialize;

use crate::output::plain;

/// So many findings of a check and level are printed without --all.
const SHOWN: u64 = 10;
const LEVELS: [Level; 3] = [Level::Failed, Level::CouldNotCheck, Level::Note];

/// One line of `checks` in `audit --json`.
#[derive(Serialize)]
struct Checked {
    check: Check,
    asserts: &'static str,
    verdict: Verdict,
    #[serde(flatten)]
    tally: Tally,
    /// What the three counts are out of.
    total: u64,
    /// What is counted.
    counts: &'static str,
}

/// The documented form of `audit --json`: the same for the same input.
pub(super) fn json(ledger: &Ledger, verdict: Verdict) -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let origin = ledger.origin()?;
    writeln!(out, "{{")?;
    writeln!(out, "  \"audit_version\": 1,")?;
    for (name, value) in [
        ("source", origin.source.as_str()),
        ("scope", &origin.scope),
        ("keyring_sha256", &origin.keyring),
        ("result", verdict.as_str()),
    ] {
        writeln!(out, "  \"{name}\": {},", serde_json::to_string(value)?)?;
    }
    writeln!(out, "  \"checks\": [")?;
    for (n, check) in Check::ALL.into_iter().enumerate() {
        let tally = ledger.tally(check)?;
        let checked = Checked {
            check,
            asserts: check.asserts(),
            verdict: tally.verdict(),
            tally,
            total: tally.total(),
            counts: check.counts(),
        };
        let comma = if n + 1 < Check::ALL.len() { "," } else { "" };
        writeln!(out, "    {}{comma}", serde_json::to_string(&checked)?)?;
    }
    write!(out, "  ],\n  \"findings\": [")?;
    let mut is_first = true;
    for check in Check::ALL {
        for level in LEVELS {
            each(ledger, check, level, |finding| {
                let comma = if is_first { "" } else { "," };
                is_first = false;
                let text = serde_json::to_string(finding)?;
                write!(out, "{comma}\n    {text}")?;
                Ok(true)
            })?;
        }
    }
    writeln!(out, "{}]\n}}", if is_first { "" } else { "\n  " })?;
    out.flush()?;
    Ok(())
}

/// A table of checks, then what was found.
pub(super) fn text(ledger: &Ledger, verdict: Verdict, all: bool) -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    writeln!(out, "{}", plain(&ledger.origin()?.source))?;
    writeln!(out)?;
    for check in Check::ALL {
        let tally = ledger.tally(check)?;
        writeln!(out, "{}", row(check, &tally))?;
    }
    for check in Check::ALL {
        for level in LEVELS {
            findings(&mut out, ledger, check, level, all)?;
        }
    }
    writeln!(out)?;
    let words = match verdict {
        Verdict::Passed => "PASSED: every check was made, and passed",
        Verdict::Failed => "FAILED: at least one check failed",
        Verdict::CouldNotCheck | Verdict::NotApplicable => {
            "NOT PASSED: nothing failed, and something could not be checked"
        }
    };
    writeln!(out, "{words}")?;
    out.flush()?;
    Ok(())
}

fn row(check: Check, tally: &Tally) -> String {
    let verdict = match tally.verdict() {
        Verdict::Passed => "passed",
        Verdict::Failed => "FAILED",
        Verdict::CouldNotCheck => "could not check",
        Verdict::NotApplicable => "not applicable",
    };
    let mut counts = vec![format!(
        "{} of {} {}",
        tally.passed,
        tally.total(),
        check.counts()
    )];
    for (n, word) in [
        (tally.failed, "failed"),
        (tally.could_not_check, "could not be checked"),
    ] {
        if n > 0 {
            counts.push(format!("{n} {word}"));
        }
    }
    format!(
        "{verdict:<16} {:<12} {}: {}",
        check.as_str(),
        check.asserts(),
        counts.join(", ")
    )
}

fn findings(
    out: &mut impl Write,
    ledger: &Ledger,
    check: Check,
    level: Level,
    all: bool,
) -> Result<()> {
    let number = ledger.count_findings(check, level)?;
    let mut shown = 0;
    each(ledger, check, level, |finding| {
        if shown == 0 {
            writeln!(out)?;
        }
        shown += 1;
        writeln!(out, "{}", line(finding))?;
        Ok(all || shown < SHOWN)
    })?;
    if number > shown {
        writeln!(
            out,
            "                 and {} more of {}: see them with --all",
            number - shown,
            check.as_str()
        )?;
    }
    Ok(())
}

fn line(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Failed => "FAILED",
        Level::CouldNotCheck => "could not check",
        Level::Note => "note",
    };
    let subject = &finding.subject;
    let sequence = subject.sequence.map(|n| n.to_string());
    let about: Vec<&str> = match &subject.path {
        Some(path) => vec![path],
        None => [
            &subject.client_id,
            &subject.host_id,
            &subject.chain_id,
            &sequence,
            &subject.bundle_id,
        ]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect(),
    };
    let version = match &subject.version_id {
        Some(version) => format!(" (version {version})"),
        None => String::new(),
    };
    let about = plain(&format!("{}{version}", about.join("/")));
    let about = if about.is_empty() {
        String::new()
    } else {
        format!(" {about}:")
    };
    format!(
        "{level:<16} {}/{}{about} {}",
        finding.check.as_str(),
        finding.code,
        plain(&finding.message)
    )
}

/// Each finding; one that cannot be printed ends it.
fn each(
    ledger: &Ledger,
    check: Check,
    level: Level,
    mut print: impl FnMut(&Finding) -> Result<bool>,
) -> Result<()> {
    let mut problem = None;
    ledger.findings(check, level, |finding| match print(&finding) {
        Ok(more) => more,
        Err(error) => {
            problem = Some(error);
            false
        }
    })?;
    problem.map_or(Ok(()), Err)
}
