//! `status --watch`: looked at every two seconds, and shown when something changed. Both databases and
//! several folders would have to be watched, some of which only their owners may list, so a clock does.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Result;
use host::config::Settings;
use host::exit::ExitCode;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::{Status, look, print};
use crate::output::plain;

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// To the corner, and everything away (ECMA-48, CUP and ED).
const CLEARED: &str = "\x1b[H\x1b[2J";

/// Shows it until Ctrl-C, SIGTERM, or whoever reads goes away.
pub(super) fn run(settings: &Settings, as_json: bool) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let in_place = !as_json && std::io::stdout().is_terminal();
        let mut shown = None;
        loop {
            tokio::select! {
                _ = interrupt.recv() => return Ok(ExitCode::Ok),
                _ = terminate.recv() => return Ok(ExitCode::Ok),
                _ = ticks.tick() => {}
            }
            let status = look(settings)?;
            let now = what_counts(&status)?;
            // On a terminal ages go on.
            if shown.as_ref() == Some(&now) && !in_place {
                continue;
            }
            let text = if as_json {
                format!("{}\n", serde_json::to_string(&status)?)
            } else if in_place {
                CLEARED.to_owned()
            } else {
                format!("{}\n", line(&status))
            };
            let mut out = std::io::stdout().lock();
            if out
                .write_all(text.as_bytes())
                .and_then(|()| out.flush())
                .is_err()
            {
                return Ok(ExitCode::Ok);
            }
            drop(out);
            if in_place {
                print(&status);
                println!("\nCtrl-C ends it");
            }
            shown = Some(now);
        }
    })
}

/// All but the time of the look.
fn what_counts(status: &Status) -> Result<Value> {
    let mut value = serde_json::to_value(status)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("at");
    }
    Ok(value)
}

/// One line of what matters.
fn line(status: &Status) -> String {
    let mut text = status.at.to_string();
    if let Some(spool) = &status.spool {
        text.push_str(&format!(
            " {} sealed, {} confirmed",
            spool.sealed_bundles, spool.confirmed_bundles
        ));
    }
    for (count, what) in [
        (status.waiting_drops, "drops wait"),
        (status.in_quarantine, "in quarantine"),
    ] {
        if let Some(count) = count {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    if let Some(delivery) = &status.delivery {
        let words = uploader::status::line(delivery, status.at);
        text.push_str(&format!("; {}", plain(&words)));
    }
    for alarm in &status.alarms {
        text.push_str(&format!("; ALARM {} {}", alarm.by, plain(&alarm.code)));
    }
    text
}
