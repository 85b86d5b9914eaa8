//! `list`: what evidence there is of what.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use audit::list::{Doubt, Doubtful, Found, Progress, Row, Selection};
use clap::Args;
use host::exit::ExitCode;
use serde::Serialize;

use crate::output::{self, plain};
use crate::selection::SelectionOptions;
use crate::source::{SourceOptions, TrustOptions};

#[derive(Args)]
pub(crate) struct ListOptions {
    #[command(flatten)]
    pub(crate) source: SourceOptions,
    #[command(flatten)]
    pub(crate) trust: TrustOptions,
    #[command(flatten)]
    pub(crate) selection: SelectionOptions,
    /// As JSON.
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// As CSV.
    #[arg(long)]
    pub(crate) csv: bool,
}

/// The documented form of `list --json`.
#[derive(Serialize)]
struct Report<'a> {
    source: String,
    asked: &'a Selection,
    bundles: &'a [Row],
    doubtful: &'a [Doubtful],
    not_stored: usize,
    overlaid: Vec<&'a str>,
    hosts: Vec<String>,
    keys: Vec<&'a str>,
    listed_versions: u64,
    fetched_objects: u64,
}

pub(crate) fn run(options: &ListOptions, config: &Path) -> Result<ExitCode> {
    let selection = options.selection.selection()?;
    let keyring = options.selection.bind(options.trust.keyring()?);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(async {
            let source = Arc::new(options.source.open(config).await?);
            let mut progress = Line::default();
            let found = audit::list::search(&source, &keyring, &selection, |step| {
                progress.say(&words(step));
            })
            .await;
            progress.clear();
            let found = found?;
            if options.json {
                output::json(&report(source.uri(), &selection, &found))?;
            } else if options.csv {
                audit::list::write_csv(&found.rows, &mut std::io::stdout().lock())?;
            } else {
                print_table(&found.rows)?;
            }
            conclude(&found, &selection);
            Ok(code(&found))
        })
}

fn report<'a>(source: String, asked: &'a Selection, found: &'a Found) -> Report<'a> {
    Report {
        source,
        asked,
        bundles: &found.rows,
        doubtful: &found.doubtful,
        not_stored: found.not_stored(),
        overlaid: found.overlaid.iter().map(String::as_str).collect(),
        hosts: hosts(found),
        keys: found.keys.keys().map(String::as_str).collect(),
        listed_versions: found.listed,
        fetched_objects: found.fetched,
    }
}

fn hosts(found: &Found) -> Vec<String> {
    let names = found.hosts.iter();
    names
        .map(|(client, host)| format!("{client}/{host}"))
        .collect()
}

/// What failed outweighs what could not be checked. A place where nothing is stored answers nothing.
pub(crate) fn code(found: &Found) -> ExitCode {
    let is_bad = |doubtful: &Doubtful| matches!(doubtful.doubt, Doubt::Failed(_));
    if found.doubtful.iter().any(is_bad) {
        ExitCode::EvidenceBad
    } else if !found.doubtful.is_empty() || found.not_stored() > 0 || found.hosts.is_empty() {
        ExitCode::CouldNotCheck
    } else {
        ExitCode::Ok
    }
}

fn print_table(rows: &[Row]) -> Result<()> {
    let lines: Vec<[String; 13]> = std::iter::once(
        [
            "DETECTED",
            "SEALED",
            "RECEIVED",
            "HOST",
            "BUNDLE",
            "EVENT",
            "SEVERITY",
            "RESOLUTION",
            "SLA",
            "MTTR",
            "CONTROLS",
            "SOC 2",
            "FINDINGS",
        ]
        .map(str::to_owned),
    )
    .chain(rows.iter().map(cells))
    .collect();
    let mut widths = [0; 13];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = std::io::stdout().lock();
    for line in &lines {
        let padded: Vec<String> = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        writeln!(out, "{}", padded.join("  ").trim_end())?;
    }
    Ok(())
}

fn cells(row: &Row) -> [String; 13] {
    let missing = if row.is_stored {
        ""
    } else {
        " NOT STORED HERE"
    };
    let host = format!("{}/{}", row.client_id, row.host_id);
    let bundle = format!("{}{missing}", row.entry.bundle_id);
    let sealed = format!("{:.0}", row.entry.generated_at);
    let received = row
        .received_at
        .map_or_else(|| "unknown".to_owned(), |at| format!("{at:.0}"));
    let cells = match &row.entry.incident {
        Some(incident) => [
            format!("{:.0}", incident.detected_at.at()),
            sealed,
            received,
            host,
            bundle,
            incident.event_type.clone(),
            incident.severity.clone(),
            incident.resolution_type.clone(),
            if incident.sla_met { "kept" } else { "MISSED" }.to_owned(),
            format!(
                "{}/{} s",
                incident.mttr_seconds, incident.sla_target_seconds
            ),
            incident.hipaa_controls.join(" "),
            incident.soc2.join(" "),
            incident.findings.join(" "),
        ],
        None => {
            let kind = format!("({})", row.entry.kind.as_str());
            let mut cells = [(); 13].map(|()| String::new());
            (cells[0], cells[1], cells[2]) = ("-".to_owned(), sealed, received);
            (cells[3], cells[4], cells[5]) = (host, bundle, kind);
            cells
        }
    };
    cells.map(|cell| plain(&cell))
}

pub(crate) fn conclude(found: &Found, selection: &Selection) {
    for doubtful in &found.doubtful {
        let (verdict, reason) = match &doubtful.doubt {
            Doubt::Failed(reason) => ("NOT EVIDENCE", reason),
            Doubt::CouldNotCheck(reason) => ("could not check", reason),
        };
        eprintln!("{verdict}  {}: {}", plain(&doubtful.path), plain(reason));
    }
    let custody = found.rows.iter().filter(|row| row.listed_by.is_some());
    let by_custody = custody.count();
    eprintln!(
        "{} bundles answer: {by_custody} by the word of custody, {} read themselves; {} not evidence or \
         not checked, {} not stored here",
        found.rows.len(),
        found.rows.len() - by_custody,
        found.doubtful.len(),
        found.not_stored(),
    );
    if !found.overlaid.is_empty() {
        eprintln!(
            "{} bundles have more than one version or a delete marker; the first that is proven counts. \
             `msp-evidence audit` names them",
            found.overlaid.len()
        );
    }
    if let (Some(day), _) = selection.days() {
        eprintln!("looked at what was sealed from {day} on (UTC)");
    }
    let hosts = hosts(found);
    eprintln!(
        "hosts: {}; {} versions listed, {} objects fetched",
        if hosts.is_empty() {
            "none".to_owned()
        } else {
            plain(&hosts.join(", "))
        },
        found.listed,
        found.fetched
    );
}

pub(crate) fn words(step: Progress) -> String {
    match step {
        Progress::Listed(count) => format!("{count} versions listed"),
        Progress::Fetched(count) => format!("{count} objects fetched"),
        Progress::Searched(done, of) => format!("{done} of {of} bundles searched for the words"),
    }
}

/// One line on standard error that is written over, where a person looks.
#[derive(Default)]
pub(crate) struct Line {
    is_shown: bool,
}

impl Line {
    pub(crate) fn say(&mut self, text: &str) {
        let mut err = std::io::stderr();
        if err.is_terminal() {
            self.is_shown = true;
            // What cannot be shown is not worth failing for.
            let _ = write!(err, "\r\x1b[K{text}").and_then(|()| err.flush());
        }
    }

    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
