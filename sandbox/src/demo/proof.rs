//! The end of the demo: nothing is believed because it was said; everything is looked at again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sandbox::{Mode, Sandbox};
use serde_json::{Value, json};

use super::executor::Dropped;
use super::layout::Layout;
use super::processes::{Programs, cli};
use super::progress::Progress;
use super::{Options, attack};

/// What an earlier run in the same folder left.
pub(crate) struct Existing {
    bundles: usize,
    quarantined: usize,
}

impl Existing {
    pub(crate) fn look(layout: &Layout) -> Result<Self> {
        Ok(Self {
            bundles: bundles_below(&layout.evidence())?.len(),
            quarantined: reasons(layout)?,
        })
    }
}

/// The checks of this run, each said as it is made.
pub(crate) struct Proof<'a> {
    layout: &'a Layout,
    programs: &'a Programs,
    checks: Vec<(String, bool)>,
    example: Option<(String, String)>,
}

impl<'a> Proof<'a> {
    pub(crate) fn new(layout: &'a Layout, programs: &'a Programs) -> Self {
        Self {
            layout,
            programs,
            checks: Vec::new(),
            example: None,
        }
    }

    /// Whether every check held, and there were some.
    pub(crate) fn holds(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|(_, held)| *held)
    }

    fn say(&mut self, what: impl Into<String>, held: bool) {
        let what = what.into();
        eprintln!("  {} {what}", if held { "yes" } else { "NO " });
        self.checks.push((what, held));
    }

    /// `msp-evidence verify`, over every bundle there is.
    pub(crate) async fn verify_all(&mut self, before: &Existing, dropped: &Dropped) -> Result<()> {
        let evidence = self.layout.evidence().display().to_string();
        let key = self.layout.public_key().display().to_string();
        let printed = cli(
            self.programs,
            self.layout,
            &["verify", &evidence, "--key", &key, "--json"],
        )
        .await?;
        let report: Value = serde_json::from_str(&printed).context("what verify --json printed")?;
        let verified = report["verified"].as_u64().unwrap_or(0);
        let expected = (before.bundles + dropped.incidents.len()) as u64;
        self.say(
            format!("{verified} of {expected} bundles verify: signature, content hash, schema, artifacts"),
            verified == expected && report["bad"] == 0 && report["could_not_check"] == 0,
        );
        Ok(())
    }

    /// `EB-….locations.json` against what the store itself has, version by version.
    pub(crate) fn locations_match_the_store(
        &mut self,
        sandbox: &Sandbox,
        progress: &Progress,
        dropped: &Dropped,
    ) -> Result<()> {
        let mut objects = 0_usize;
        let mut right = 0_usize;
        let wanted: BTreeSet<&str> = progress.bundles().values().map(String::as_str).collect();
        for path in bundles_below(&self.layout.evidence())? {
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if !wanted.contains(name.as_str()) {
                continue;
            }
            let locations = path.with_file_name(format!("{name}.locations.json"));
            let locations: Value = serde_json::from_slice(&fs::read(&locations)?)?;
            for object in locations["storage_locations"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|location| location["objects"].as_array().into_iter().flatten())
            {
                objects += 1;
                right += usize::from(self.is_stored(sandbox, object));
            }
        }
        self.say(
            format!("{right} of {objects} objects are in the store once, with those bytes, in COMPLIANCE mode, until the date in locations.json"),
            objects == 2 * wanted.len() + dropped.artifacts && right == objects,
        );
        Ok(())
    }

    fn is_stored(&mut self, sandbox: &Sandbox, object: &Value) -> bool {
        let text = |name: &str| object[name].as_str().unwrap_or_default();
        let Some((bucket, key)) = text("uri")
            .strip_prefix("s3://")
            .and_then(|u| u.split_once('/'))
        else {
            return false;
        };
        let versions = sandbox.store().versions(bucket, key);
        let [version] = versions.as_slice() else {
            return false;
        };
        if text("role") == "bundle" {
            self.example = Some((key.to_owned(), version.version_id.clone()));
        }
        let Ok(bytes) = sandbox.store().bytes(bucket, key, &version.version_id) else {
            return false;
        };
        let Ok(until) = text("retain_until").parse::<jiff::Timestamp>() else {
            return false;
        };
        version.version_id == text("version_id")
            && sandbox::sha256_hex(&bytes) == text("sha256")
            && version
                .lock
                .retention
                .is_some_and(|r| r.mode == Mode::Compliance && r.until == until)
    }

    /// The malformed drop is kept with its reason; the duplicate was counted, not sealed.
    pub(crate) async fn quarantine_and_duplicates(
        &mut self,
        before: &Existing,
        dropped: &Dropped,
    ) -> Result<()> {
        let quarantined = reasons(self.layout)? - before.quarantined;
        self.say(
            format!("{quarantined} malformed drop is in quarantine, with its reason"),
            quarantined == dropped.malformed,
        );
        let left = fs::read_dir(self.layout.drop_folder())?.count();
        self.say("the drop folder is empty", left == 0);
        let status: Value =
            serde_json::from_str(&cli(self.programs, self.layout, &["status", "--json"]).await?)?;
        let blocked = status["blocked"].as_array().map_or(usize::MAX, Vec::len);
        self.say(
            "status says: nothing blocked, nothing pending",
            blocked == 0 && status["pending"] == 0,
        );
        Ok(())
    }

    /// The store refuses what would undo the evidence.
    pub(crate) async fn attacks_fail(&mut self, sandbox: &Sandbox, bucket: &str) -> Result<()> {
        let (key, version_id) = self
            .example
            .clone()
            .context("no object to attack was found")?;
        for attempt in attack::all(sandbox, bucket, &key, &version_id).await? {
            let refused = attempt.refused_with.is_some();
            let how = attempt.refused_with.unwrap_or_else(|| "nothing".to_owned());
            self.say(
                format!("the store refuses to {}: {how}", attempt.what),
                refused,
            );
        }
        Ok(())
    }

    pub(crate) fn summary(
        &self,
        options: &Options,
        dropped: &Dropped,
        elapsed: Duration,
        endpoint: &str,
    ) -> Result<()> {
        let layout = self.layout;
        let bundle = bundles_below(&layout.evidence())?
            .pop()
            .context("no bundle")?;
        let name = bundle
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        eprintln!(
            "\n{} incidents from drop to confirmed in {:.2} s.\n\nWhere it lies:",
            dropped.incidents.len(),
            elapsed.as_secs_f64()
        );
        for (what, path) in [
            ("config", layout.config.clone()),
            ("evidence", layout.evidence()),
            ("quarantine", layout.quarantine()),
            ("public key", layout.public_key()),
            ("store", layout.root.join("store")),
        ] {
            eprintln!("  {what:11} {}", path.display());
        }
        let program = self.programs.cli.display();
        let config = layout.config.display();
        eprintln!(
            "\nTry next:\n  {program} --config {config} show {name}\n  {program} --config {config} status\n  \
             {program} verify {} --key {}\n  cosign verify-blob --key {} --bundle {}.bundle --insecure-ignore-tlog {}",
            layout.evidence().display(),
            layout.public_key().display(),
            layout.public_key().display(),
            bundle.display(),
            bundle.display(),
        );
        if options.json {
            let checks: Vec<Value> = self
                .checks
                .iter()
                .map(|(what, held)| json!({"check": what, "held": held}))
                .collect();
            let report = json!({
                "held": self.holds(),
                "incidents": dropped.incidents.len(),
                "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
                "dir": layout.root,
                "endpoint": endpoint,
                "checks": checks,
            });
            println!("{}", serde_json::to_string_pretty(&report)?);
        }
        Ok(())
    }
}

fn bundles_below(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                waiting.push(path);
            } else if name.starts_with("EB-")
                && name.ends_with(".json")
                && !name.ends_with(".locations.json")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn reasons(layout: &Layout) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(layout.quarantine())? {
        count += usize::from(
            entry?
                .file_name()
                .to_string_lossy()
                .ends_with(".reason.json"),
        );
    }
    Ok(count)
}
