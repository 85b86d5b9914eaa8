//! Asking the agent, the only writer of its spool, by a file; and waiting a while for its answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use evidence::handover::{
    ANSWER_SUFFIX, Action, Answer, REQUEST_MAX_BYTES, REQUEST_SUFFIX, Request, Requester, is_line,
};
use host::config::Settings;
use host::exit::ExitCode;
use host::files::{self, Durability, Replace};
use host::owner::as_owner_of;
use jiff::Timestamp;

use crate::output::{self, Misuse, plain};

/// A running agent answers within a moment, unless it has much to order.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The agent's answer, or where the request waits for it.
pub(crate) enum Asked {
    Answered(Answer),
    Waits(PathBuf),
}

/// Asks, and waits a while.
///
/// # Errors
/// When nothing could be asked.
pub(crate) fn send(settings: &Settings, action: Action) -> Result<Asked> {
    let folder = &settings.paths.requests;
    let request = Request {
        request_version: 1,
        request_id: ulid::Ulid::generate().to_string(),
        action,
        requested_by: requester(),
        requested_at: Timestamp::now(),
    };
    // What the agent would not even parse is the caller's mistake.
    Request::parse(&request.to_bytes()).map_err(|error| Misuse(error.to_string()))?;
    if !folder.exists() {
        anyhow::bail!("{}: the agent has not run yet", folder.display());
    }
    let answer = as_owner_of(folder, || put_and_wait(folder, &request))?
        .with_context(|| format!("in {}", folder.display()))?;
    let waits = || Asked::Waits(folder.join(name(&request, REQUEST_SUFFIX)));
    Ok(answer.map_or_else(waits, Asked::Answered))
}

/// Asks, prints the answer, and says how it ended: done, refused, or not answered yet.
pub(crate) fn ask(settings: &Settings, action: Action, json: bool) -> Result<ExitCode> {
    let answer = match send(settings, action)? {
        Asked::Answered(answer) => answer,
        Asked::Waits(file) => {
            eprintln!(
                "msp-evidence: the agent has not answered; the request stays in {} and is carried out \
                 when it runs",
                file.display()
            );
            return Ok(ExitCode::CouldNotCheck);
        }
    };
    if json {
        output::json(&answer)?;
    } else if answer.ok {
        println!("{}", plain(&answer.message));
    } else {
        eprintln!("msp-evidence: {}", plain(&answer.message));
    }
    Ok(if answer.ok {
        ExitCode::Ok
    } else {
        ExitCode::Usage
    })
}

fn put_and_wait(folder: &Path, request: &Request) -> Result<Option<Answer>> {
    let dir = files::open_dir(folder)?;
    files::publish(
        &dir,
        name(request, REQUEST_SUFFIX),
        &request.to_bytes(),
        0o600,
        Durability::Fsync,
        Replace::Never,
    )?;
    let answer = name(request, ANSWER_SUFFIX);
    let found = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?
        .block_on(async {
            let mut looks = tokio::time::interval(LOOK_EVERY);
            let look = async {
                loop {
                    looks.tick().await;
                    if let Ok(contents) = files::read_capped(&dir, &answer, REQUEST_MAX_BYTES) {
                        return contents.bytes;
                    }
                }
            };
            tokio::time::timeout(PATIENCE, look).await.ok()
        });
    let Some(bytes) = found else { return Ok(None) };
    let parsed = Answer::parse(&bytes).context("the agent's answer")?;
    files::remove(&dir, &answer)?;
    Ok(Some(parsed))
}

fn name(request: &Request, suffix: &str) -> String {
    format!("{}{suffix}", request.request_id)
}

fn requester() -> Requester {
    let is_a_name = |name: &String| is_line(name);
    Requester {
        uid: nix::unistd::getuid().as_raw(),
        sudo_user: std::env::var("SUDO_USER").ok().filter(is_a_name),
    }
}
