//! `submit`: the drop contract, done right, for scripts that would otherwise do it themselves.
//!
//! A drop appears under its name when it is whole and on the disk, or not at all: it is written
//! under a name that the agent leaves alone, synced, and renamed.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use evidence::findings::consistency;
use evidence::incident::{Incident, Limits};
use host::config::Settings;
use host::exit::ExitCode;
use host::files::{self, Durability, Replace};
use jiff::Timestamp;

use crate::arguments::SubmitOptions;
use crate::output::{self, plain};

/// The drop contract's names.
const DOCUMENT: &str = "incident.json";
const ARTIFACTS: &str = "artifacts";
/// The agent reads files and, as a member of the folder's group, removes them.
const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o2770;

pub(crate) fn run(options: &SubmitOptions, config: &Path) -> Result<ExitCode> {
    let settings = output::settings(config)?;
    let (document, artifacts) = what_is_given(options)?;
    let limit = settings.drop.max_document_bytes;
    let bytes = read(&document, limit)?;
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
                document.display(),
                refusal.code,
                plain(&refusal.path),
                plain(&refusal.message)
            );
            return Ok(ExitCode::EvidenceBad);
        }
    };
    if let Some(why) = objection(&artifacts, &settings)? {
        eprintln!("msp-evidence: the agent would quarantine this: {why}");
        return Ok(ExitCode::EvidenceBad);
    }
    let now = Timestamp::now();
    for finding in
        incident
            .findings
            .iter()
            .chain(&consistency(&incident.body, now, &settings.controls.map()))
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
    let name = format!("submit-{}-{}", now.as_microsecond(), std::process::id());
    let folder = &settings.paths.drop;
    let dir = files::open_dir(folder).with_context(|| format!("in {}", folder.display()))?;
    let dropped = if artifacts.is_empty() {
        drop_document(&dir, format!("{name}.json"), &bytes)
    } else {
        drop_folder(&dir, folder, name, &bytes, &artifacts)
    };
    let name = dropped.with_context(|| {
        format!(
            "in {}: are you in the group that may drop?",
            folder.display()
        )
    })?;
    println!("dropped  {}", folder.join(name).display());
    Ok(ExitCode::Ok)
}

/// The document and the files that go with it.
fn what_is_given(options: &SubmitOptions) -> Result<(PathBuf, Vec<PathBuf>)> {
    let mut artifacts = options.artifacts.clone();
    if !options.file.is_dir() {
        return Ok((options.file.clone(), artifacts));
    }
    let folder = &options.file;
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let name = entry?.file_name();
        if name != DOCUMENT && name != ARTIFACTS {
            bail!(
                "{}: a folder drop holds {DOCUMENT} and {ARTIFACTS}/ and nothing else, not {:?}",
                folder.display(),
                plain(&name.to_string_lossy())
            );
        }
    }
    let inside = folder.join(ARTIFACTS);
    if inside.exists() {
        let entries =
            fs::read_dir(&inside).with_context(|| format!("reading {}", inside.display()))?;
        for entry in entries {
            artifacts.push(entry?.path());
        }
    }
    artifacts.sort();
    Ok((folder.join(DOCUMENT), artifacts))
}

/// Why the agent would not take these files.
fn objection(artifacts: &[PathBuf], settings: &Settings) -> Result<Option<String>> {
    let limits = &settings.drop;
    if artifacts.len() > limits.max_artifacts {
        return Ok(Some(format!(
            "{} artifacts are more than drop.max_artifacts = {}",
            artifacts.len(),
            limits.max_artifacts
        )));
    }
    let mut names = std::collections::HashSet::new();
    for path in artifacts {
        let meta = fs::metadata(path).with_context(|| format!("reading {}", path.display()))?;
        let shown = plain(&path.display().to_string());
        if !meta.is_file() {
            return Ok(Some(format!("{shown} is not a plain file")));
        }
        if meta.len() > limits.max_artifact_bytes {
            return Ok(Some(format!(
                "{shown} is larger than drop.max_artifact_bytes = {}",
                limits.max_artifact_bytes
            )));
        }
        if !names.insert(path.file_name()) {
            return Ok(Some(format!("two artifacts have the name of {shown}")));
        }
    }
    Ok(None)
}

fn drop_document(dir: &OwnedFd, name: String, bytes: &[u8]) -> Result<String> {
    files::publish(
        dir,
        &name,
        bytes,
        FILE_MODE,
        Durability::Fsync,
        Replace::Never,
    )?;
    Ok(name)
}

fn drop_folder(
    dir: &OwnedFd,
    drops: &Path,
    name: String,
    document: &[u8],
    artifacts: &[PathBuf],
) -> Result<String> {
    let temporary = format!(".{name}.part");
    let path = drops.join(&temporary);
    let made = fill(&path, document, artifacts)
        .and_then(|()| Ok(files::rename_noreplace(dir, &temporary, dir, &name)?));
    if let Err(error) = made {
        // The agent leaves the name alone; what is left is only in the way.
        let _ = fs::remove_dir_all(&path);
        return Err(error);
    }
    files::sync_dir(dir)?;
    Ok(name)
}

fn fill(folder: &Path, document: &[u8], artifacts: &[PathBuf]) -> Result<()> {
    let inside = folder.join(ARTIFACTS);
    for new in [folder, &inside] {
        DirBuilder::new().mode(FOLDER_MODE).create(new)?;
        fs::set_permissions(new, Permissions::from_mode(FOLDER_MODE))?;
    }
    for artifact in artifacts {
        let name = artifact.file_name().context("a file has a name")?;
        let mut from =
            File::open(artifact).with_context(|| format!("reading {}", artifact.display()))?;
        let mut to = create(&inside.join(name))?;
        std::io::copy(&mut from, &mut to)
            .with_context(|| format!("copying {}", artifact.display()))?;
        to.sync_all()?;
    }
    let mut to = create(&folder.join(DOCUMENT))?;
    std::io::copy(&mut &*document, &mut to)?;
    to.sync_all()?;
    files::sync_dir(files::open_dir(&inside)?)?;
    files::sync_dir(files::open_dir(folder)?)?;
    Ok(())
}

fn create(path: &Path) -> Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)?;
    // Whatever the umask is.
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    Ok(file)
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
        File::open(path)
            .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
            .with_context(|| format!("reading {}", path.display()))?;
    }
    Ok(bytes)
}
