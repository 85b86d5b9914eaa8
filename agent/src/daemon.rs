//! The daemon: passes, woken by inotify, by the clock, and by nothing else.
//!
//! inotify is a hint and may be lost (a full queue, a network file system); the periodic scan is
//! the truth. A failed pass is logged once per cause and tried again: drops wait meanwhile.

use std::path::Path;
use std::time::Duration;

use host::config::Settings;
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::{Agent, AgentError, Pass, system_clock};

/// Published files are made durable after so much quiet.
const QUIET: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When the agent cannot start; once it runs, faults are logged and waited out.
pub fn run(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let mut agent = Agent::open(settings, system_clock())?;
    let (hint, mut hints) = mpsc::channel(1);
    let staged = hint.clone();
    agent.wake_by(Box::new(move || {
        // A full channel means that a look is due already.
        let _ = staged.try_send(());
    }));
    let _watcher = watch(
        &agent.settings().paths.drop,
        &agent.settings().paths.receipts,
        &agent.settings().paths.requests,
        hint,
    );
    let mut stop = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let rescan = Duration::from_secs(agent.settings().drop.rescan_secs);
    let mut totals = Totals::default();
    host::notify::ready();
    tracing::info!(state = "started", "ready");
    loop {
        let busy = totals.turn(agent.pass());
        host::notify::status(&totals.line());
        host::notify::watchdog();
        if busy {
            tokio::task::yield_now().await;
            if stop_requested(&mut stop, &mut interrupt).await {
                break;
            }
            continue;
        }
        tokio::select! {
            _ = stop.recv() => break,
            _ = interrupt.recv() => break,
            _ = hints.recv() => {}
            () = tokio::time::sleep(QUIET), if totals.unsynced => {
                if let Err(error) = agent.sync() {
                    tracing::error!(state = "sync_failed", "{:#}", anyhow::Error::from(error));
                }
                totals.unsynced = false;
            }
            () = tokio::time::sleep(wait(rescan)) => {}
        }
    }
    host::notify::stopping();
    tracing::info!(state = "stopping", "stopping on request");
    agent.sync()?;
    Ok(())
}

/// No later than systemd wants to hear that the loop still turns.
fn wait(rescan: Duration) -> Duration {
    host::notify::watchdog_interval().map_or(rescan, |watchdog| rescan.min(watchdog / 2))
}

async fn stop_requested(
    stop: &mut tokio::signal::unix::Signal,
    interrupt: &mut tokio::signal::unix::Signal,
) -> bool {
    tokio::select! {
        biased;
        _ = stop.recv() => true,
        _ = interrupt.recv() => true,
        () = std::future::ready(()) => false,
    }
}

/// Watches the folders; without inotify (no watches left) the periodic scan carries on alone.
fn watch(
    drop: &Path,
    receipts: &Path,
    requests: &Path,
    hint: mpsc::Sender<()>,
) -> Option<notify::RecommendedWatcher> {
    let started = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // An error, too, is a reason to look.
        if event.map_or(true, |e| is_of_interest(&e)) {
            // A full channel means that a look is due already.
            let _ = hint.try_send(());
        }
    })
    .and_then(|mut watcher| {
        watcher.watch(drop, RecursiveMode::NonRecursive)?;
        watcher.watch(receipts, RecursiveMode::NonRecursive)?;
        watcher.watch(requests, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    match started {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::error!(
                state = "not_watching",
                "inotify is not to be had ({error}); drops are found by the periodic scan only: \
                 raise fs.inotify.max_user_watches or max_user_instances"
            );
            None
        }
    }
}

/// Our own renames and removals, and names that producers still write under, wake nobody.
fn is_of_interest(event: &notify::Event) -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    let arrives = matches!(
        event.kind,
        EventKind::Create(_)
            | EventKind::Modify(notify::event::ModifyKind::Name(_))
            | EventKind::Other
    );
    arrives
        && (event.paths.is_empty()
            || event.paths.iter().any(|path| {
                path.file_name()
                    .is_some_and(|name| !name.as_bytes().starts_with(b"."))
            }))
}

/// What the status line says, and which fault was logged last.
#[derive(Default)]
struct Totals {
    sealed: usize,
    quarantined: usize,
    fault: Option<String>,
    unsynced: bool,
}

impl Totals {
    /// Notes a pass; true when it is worth looking again at once.
    fn turn(&mut self, pass: Result<Pass, AgentError>) -> bool {
        match pass {
            Ok(pass) => {
                if self.fault.take().is_some() {
                    tracing::info!(state = "recovered", "sealing works again");
                }
                self.sealed += pass.sealed;
                self.quarantined += pass.quarantined;
                self.unsynced |= pass.did_something();
                pass.did_something()
            }
            Err(error) => {
                let text = format!("{:#}", anyhow::Error::from(error));
                if self.fault.as_ref() != Some(&text) {
                    tracing::error!(state = "stalled", "nothing is sealed, drops wait: {text}");
                    self.fault = Some(text);
                }
                false
            }
        }
    }

    fn line(&self) -> String {
        match &self.fault {
            Some(fault) => format!("stalled, drops wait: {fault}"),
            None => format!(
                "{} sealed, {} quarantined since start",
                self.sealed, self.quarantined
            ),
        }
    }
}
