//! `hold`, `release-hold`, `extend`: what operators do to the locks of selected evidence.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use audit::hold::{Change, HoldError, Lot, Target, targets};
use audit::list::{Period, Row, Selection};
use clap::Args;
use destination::S3Destination;
use evidence::handover::is_line;
use evidence::keys::PrivateKey;
use evidence::record::{Action, RecordedObject};
use host::exit::ExitCode;
use jiff::Timestamp;
use serde::Serialize;

use crate::list::{Line, conclude, words};
use crate::output::{self, Misuse, agreed, plain};
use crate::selection::SelectionOptions;
use crate::source::{SourceOptions, TrustOptions};

#[derive(Args)]
pub(crate) struct HoldOptions {
    #[command(flatten)]
    pub(crate) source: SourceOptions,
    #[command(flatten)]
    pub(crate) trust: TrustOptions,
    #[command(flatten)]
    pub(crate) selection: SelectionOptions,
    /// Why, in a line; it is signed and kept.
    #[arg(long, value_name = "WORDS", help_heading = "What is recorded")]
    pub(crate) reason: String,
    /// Who wants it, in a line, such as a name and a case number.
    #[arg(long, value_name = "WHO", help_heading = "What is recorded")]
    pub(crate) on_behalf_of: String,
    /// Your own private key, made by `msp-evidence keys generate --key FILE` or by cosign; not a host's.
    #[arg(long, value_name = "KEY", help_heading = "What is recorded")]
    pub(crate) sign_with: PathBuf,
    /// A file with the password of that key; without it COSIGN_PASSWORD, or you are asked.
    #[arg(long, value_name = "FILE", help_heading = "What is recorded")]
    pub(crate) password_file: Option<PathBuf>,
    /// Where a copy of each record is kept.
    #[arg(
        long,
        value_name = "DIR",
        default_value = ".",
        help_heading = "What is recorded"
    )]
    pub(crate) records: PathBuf,
    /// For how many days the store keeps the records: what the bucket's policy lets be put, as for
    /// evidence. Six years and a day, unless said otherwise (45 CFR 164.316(b)(2)(i)).
    #[arg(long, value_name = "DAYS", default_value_t = 2193, help_heading = "What is recorded",
          value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) record_days: u32,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct ExtendOptions {
    #[command(flatten)]
    pub(crate) hold: HoldOptions,
    /// Keep it to the end of this month or day, or until this instant, in UTC. Never shorter than it is
    /// kept already, and it cannot be undone.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Period,
}

/// The documented form of `hold --json` and its kin.
#[derive(Serialize)]
struct Report {
    bundles: usize,
    objects: usize,
    done: usize,
    refused: Vec<RecordedObject>,
    records: Vec<PathBuf>,
}

pub(crate) fn run(options: &HoldOptions, action: Action, config: &Path) -> Result<ExitCode> {
    change(options, action, None, config)
}

pub(crate) fn extend(options: &ExtendOptions, config: &Path) -> Result<ExitCode> {
    let until = options.until.end;
    if until <= Timestamp::now() {
        return Err(Misuse("--until is over already".to_owned()).into());
    }
    change(&options.hold, Action::Extend, Some(until), config)
}

fn change(
    options: &HoldOptions,
    action: Action,
    until: Option<Timestamp>,
    config: &Path,
) -> Result<ExitCode> {
    for (name, words) in [
        ("--reason", &options.reason),
        ("--on-behalf-of", &options.on_behalf_of),
    ] {
        if !is_line(words) {
            return Err(Misuse(format!("{name} is not a line of plain text")).into());
        }
    }
    let Some(bucket) = options.source.bucket_options(config)? else {
        return Err(
            Misuse("a folder has no locks: name --bucket or --destination".to_owned()).into(),
        );
    };
    std::fs::create_dir_all(&options.records)
        .with_context(|| format!("making {}", options.records.display()))?;
    let key = private_key(options)?;
    let selection = options.selection.selection()?;
    let keyring = options.selection.bind(options.trust.keyring()?);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(async {
            let source = Arc::new(options.source.open(config).await?);
            let mut line = Line::default();
            let found = audit::list::search(&source, &keyring, &selection, |step| {
                line.say(&words(step));
            })
            .await;
            line.clear();
            let found = found?;
            conclude(&found, &selection);
            let store = S3Destination::connect(bucket).await;
            let (objects, missing) = look(&store, &found.rows, &mut line).await?;
            if objects.is_empty() {
                eprintln!("nothing that is stored answers, so nothing was changed");
                return Ok(ExitCode::CouldNotCheck);
            }
            if !options.yes {
                eprintln!("{}", announcement(action, until, &objects, &store));
                if !agreed()? {
                    return Ok(ExitCode::Usage);
                }
            }
            let change = Change {
                store: &store,
                action,
                retain_until: until,
                by: &options.on_behalf_of,
                reason: &options.reason,
                selection: asked(&selection),
                key: &key,
                record_folder: &options.records,
                record_retention_days: options.record_days,
                now: Timestamp::now,
            };
            let of = objects.len();
            let lots = change
                .carry_out(&objects, |done| {
                    line.say(&format!("{done} of {of} objects"))
                })
                .await;
            line.clear();
            let report = report(found.rows.len(), of, lots?);
            show(&report, action, options.json)?;
            let doubts = missing + found.doubtful.len() + report.refused.len();
            Ok(if doubts == 0 {
                ExitCode::Ok
            } else {
                ExitCode::CouldNotCheck
            })
        })
}

fn private_key(options: &HoldOptions) -> Result<PrivateKey> {
    let file = &options.sign_with;
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let password = crate::keys::password(options.password_file.as_deref(), false)?;
    PrivateKey::from_encrypted_pem(&text, password.as_bytes())
        .with_context(|| format!("opening {}", file.display()))
}

/// What is stored of these bundles, and of how many there is nothing.
async fn look(
    store: &S3Destination,
    rows: &[Row],
    line: &mut Line,
) -> Result<(Vec<Target>, usize)> {
    let mut objects = Vec::new();
    let mut missing = 0;
    for (n, row) in rows.iter().enumerate() {
        line.say(&format!("looking at {n} of {} bundles", rows.len()));
        match targets(store, &row.path).await {
            Ok(found) => objects.extend(found),
            Err(HoldError::NoBundle(path)) => {
                line.clear();
                eprintln!("not stored here  {}", plain(&path));
                missing += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
    line.clear();
    Ok((objects, missing))
}

fn announcement(
    action: Action,
    until: Option<Timestamp>,
    objects: &[Target],
    store: &S3Destination,
) -> String {
    let (count, bucket) = (objects.len(), &store.options().bucket);
    match (action, until) {
        (Action::Extend, Some(until)) => format!(
            "This keeps {count} objects in {bucket} locked in COMPLIANCE mode until {until}. Nobody can \
             undo that, not even the account's owner."
        ),
        (Action::ReleaseHold, _) => format!(
            "This takes the legal hold off {count} objects in {bucket}; from then on only their retention \
             keeps them."
        ),
        _ => format!(
            "This puts a legal hold on {count} objects in {bucket}: they are kept until it is taken off, \
             whatever their retention."
        ),
    }
}

/// The question, in the words of `list --json`.
fn asked(selection: &Selection) -> BTreeMap<String, String> {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(selection) else {
        return BTreeMap::new();
    };
    let is_asked = |value: &serde_json::Value| match value {
        serde_json::Value::Null | serde_json::Value::Bool(false) => false,
        serde_json::Value::Array(entries) => !entries.is_empty(),
        _ => true,
    };
    fields
        .into_iter()
        .filter(|(_, value)| is_asked(value))
        .map(|(name, value)| match value {
            serde_json::Value::String(text) => (name, text),
            other => (name, other.to_string()),
        })
        .collect()
}

fn report(bundles: usize, objects: usize, lots: Vec<Lot>) -> Report {
    let mut records = Vec::new();
    let mut refused = Vec::new();
    for lot in lots {
        records.push(lot.file);
        let objects = lot.record.objects.into_iter();
        refused.extend(objects.filter(|object| object.refused.is_some()));
    }
    Report {
        bundles,
        objects,
        done: objects - refused.len(),
        refused,
        records,
    }
}

fn show(report: &Report, action: Action, json: bool) -> Result<()> {
    if json {
        return output::json(report);
    }
    for object in &report.refused {
        println!(
            "REFUSED  {}: {}",
            plain(&object.object),
            plain(object.refused.as_deref().unwrap_or_default())
        );
    }
    println!(
        "{}: {} of {} objects of {} bundles, read back; {} refused",
        action.as_str(),
        report.done,
        report.objects,
        report.bundles,
        report.refused.len()
    );
    for record in &report.records {
        println!("record  {}", record.display());
    }
    Ok(())
}
