//! `submit`: the drop contract, done right, for scripts that would otherwise do it themselves.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use evidence::findings::consistency;
use evidence::incident::{Incident, Limits};
use host::exit::ExitCode;
use host::files::{self, Durability, Replace};
use jiff::Timestamp;

use crate::arguments::SubmitOptions;
use crate::output::{self, plain};

pub(crate) fn run(options: &SubmitOptions, config: &Path) -> Result<ExitCode> {
    let settings = output::settings(config)?;
    let limit = settings.drop.max_document_bytes;
    let bytes = read(&options.file, limit)?;
    if bytes.len() as u64 > limit {
        eprintln!("msp-evidence: the document is larger than drop.max_document_bytes = {limit}");
        return Ok(ExitCode::EvidenceBad);
    }
    let limits = Limits {
        max_depth: settings.drop.max_depth,
    };
    let incident = match Incident::parse(&bytes, &limits) {
        Ok(incident) => incident,
        Err(refusal) => {
            eprintln!(
                "msp-evidence: {}: the agent would quarantine this ({}) at {:?}: {}",
                options.file.display(),
                refusal.code,
                plain(&refusal.path),
                plain(&refusal.message)
            );
            return Ok(ExitCode::EvidenceBad);
        }
    };
    let now = Timestamp::now();
    for finding in incident
        .findings
        .iter()
        .chain(&consistency(&incident.body, now))
    {
        eprintln!(
            "finding  {}  {}  {}",
            finding.code,
            plain(&finding.path),
            plain(&finding.message)
        );
    }
    if options.check {
        println!("valid: {}", plain(incident.incident_id()));
        return Ok(ExitCode::Ok);
    }
    let name = format!(
        "submit-{}-{}.json",
        now.as_microsecond(),
        std::process::id()
    );
    let folder = &settings.paths.drop;
    let dir = files::open_dir(folder).with_context(|| format!("in {}", folder.display()))?;
    files::publish(dir, &name, &bytes, 0o640, Durability::Fsync, Replace::Never).with_context(
        || {
            format!(
                "in {}: are you in the group that may drop?",
                folder.display()
            )
        },
    )?;
    println!("dropped  {}", folder.join(name).display());
    Ok(ExitCode::Ok)
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin()
            .lock()
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .context("standard input")?;
    } else {
        fs::File::open(path)
            .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
            .with_context(|| format!("reading {}", path.display()))?;
    }
    Ok(bytes)
}
