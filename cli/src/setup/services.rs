//! The two services: started now and at boot, or restarted to read what was changed.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use host::config::{DEFAULT_PATH, Settings};
use host::instance::{AGENT_LOCK, UPLOADER_LOCK, is_running};

use super::options::SetupOptions;
use super::step::Step;

const STEP: &str = "services";
const UNITS: [&str; 2] = ["msp-evidence-agent", "msp-evidence-uploader"];

/// Sees that they run. `is_changed`: something was done that they read at their start only.
pub(crate) fn start(options: &SetupOptions, settings: &Settings, is_changed: bool) -> Result<Step> {
    let ran = run(settings);
    if options.no_start {
        return Ok(if ran {
            Step::present(STEP, "both run, and were left as they are (--no-start)")
        } else {
            Step::left_out(STEP, "not started (--no-start)").with_remedy(by_hand(settings))
        });
    }
    if settings.source != Path::new(DEFAULT_PATH) || !Path::new("/run/systemd/system").exists() {
        return Ok(if ran {
            Step::present(STEP, "both run")
        } else {
            Step::remains(
                STEP,
                "nothing here starts them: no systemd runs, or its units read another configuration",
            )
            .with_remedy(by_hand(settings))
        });
    }
    systemctl(&[&["enable", "--now"], &UNITS[..]].concat())?;
    if ran && is_changed {
        systemctl(&[&["restart"], &UNITS[..]].concat())?;
    }
    // That a start was asked for is no sign that it went well.
    for unit in UNITS {
        systemctl(&["is-active", unit])
            .with_context(|| format!("{unit} does not run; why: journalctl -u {unit} -n 50"))?;
    }
    Ok(match (ran, is_changed) {
        (false, _) => Step::done(STEP, "both run, and start at boot"),
        (true, true) => Step::done(STEP, "both were restarted, and start at boot"),
        (true, false) => Step::present(STEP, "both run, and start at boot"),
    })
}

/// Whether both run.
pub(crate) fn run(settings: &Settings) -> bool {
    is_running(&settings.paths.spool.join(AGENT_LOCK))
        && is_running(&settings.paths.delivery.join(UPLOADER_LOCK))
}

fn by_hand(settings: &Settings) -> String {
    if settings.source == Path::new(DEFAULT_PATH) {
        return format!("systemctl enable --now {}", UNITS.join(" "));
    }
    let config = settings.source.display();
    format!("start both, each with --config {config}, then run setup again")
}

fn systemctl(arguments: &[&str]) -> Result<()> {
    let shown = || format!("systemctl {}", arguments.join(" "));
    let output = Command::new("systemctl")
        .args(arguments)
        .output()
        .with_context(shown)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = if said.trim().is_empty() {
            String::from_utf8_lossy(&output.stdout)
        } else {
            said
        };
        anyhow::bail!("{}: {}", shown(), said.trim());
    }
    Ok(())
}
