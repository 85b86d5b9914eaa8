//! The daemon: passes, woken by inotify, by the clock, and by nothing else.
//!
//! inotify is a hint and may be lost (a full queue, a network file system); the periodic scan is
//! the truth. A failed pass is logged once per cause and tried again: drops wait meanwhile.

use std::path::Path;
use std::time::{Duration, Instant};

use host::config::{ConfigError, Settings};
use host::instance::InstanceLock;
use jiff::Timestamp;
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::metrics::{Counts, Metrics};
use crate::reload::Reload;
use crate::signals::{Asked, Signals};
use crate::standing::Told;
use crate::{Agent, AgentError, Pass, status, system_clock};

/// Published files are made durable after so much quiet.
const QUIET: Duration = Duration::from_secs(5);
/// systemd's status line is renewed at most so often while there is much to do.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// After a fault it is looked again so soon, and then after twice as long each time, up to the
/// periodic scan: once the disk has room again, nobody waits for long.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Runs until SIGTERM or SIGINT. On SIGHUP `read` gives the settings anew.
///
/// # Errors
/// When the agent cannot start; once it runs, faults are logged and waited out.
pub fn run(
    settings: Settings,
    read: impl Fn() -> Result<Settings, ConfigError>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let since = Since {
            at: Timestamp::now(),
            began: Instant::now(),
        };
        let mut totals = Totals::default();
        let mut agent = Agent::open(settings, system_clock())?;
        loop {
            let settings = agent.settings().clone();
            agent = match serve(agent, &mut signals, since, &mut totals, &read).await? {
                End::Stopped => return Ok(()),
                End::Replaced => Agent::open(settings, system_clock())?,
                End::Reload(reload) => reload.open()?,
            };
        }
    })
}

/// When the process began.
#[derive(Clone, Copy)]
struct Since {
    at: Timestamp,
    began: Instant,
}

/// Why the loop ended.
enum End {
    /// As asked.
    Stopped,
    /// A folder was replaced: everything is to be opened again.
    Replaced,
    /// Everything is to be opened with other settings.
    Reload(Box<Reload>),
}

async fn serve(
    mut agent: Agent,
    signals: &mut Signals,
    since: Since,
    totals: &mut Totals,
    read: &impl Fn() -> Result<Settings, ConfigError>,
) -> anyhow::Result<End> {
    let (hint, mut hints) = mpsc::channel(1);
    let staged = hint.clone();
    agent.wake_by(Box::new(move || {
        // A full channel means that a look is due already.
        let _ = staged.try_send(());
    }));
    let watcher = watch(
        &agent.settings().paths.drop,
        &agent.settings().paths.receipts,
        &agent.settings().paths.requests,
        hint,
    );
    match &watcher {
        Ok(_) => agent.instance().clear("not_watching"),
        Err(error) => {
            let why = format!(
                "inotify is not to be had ({error}); drops are found by the periodic scan only: \
                 raise fs.inotify.max_user_watches or max_user_instances"
            );
            tracing::error!(state = "not_watching", "{why}");
            agent.instance().raise("not_watching", &why);
        }
    }
    let rescan = Duration::from_secs(agent.settings().drop.rescan_secs);
    let failures = host::failure::own_folder();
    let mut status_shown = Instant::now();
    let mut metrics = Metrics::new(agent.settings(), since.at);
    let mut told = Told::default();
    host::notify::ready();
    tracing::info!(state = "started", "ready");
    loop {
        let pass = agent.pass();
        if let Err(error @ AgentError::Replaced { .. }) = &pass {
            tracing::error!(
                state = "opened_again",
                "{error}; everything is opened again"
            );
            return Ok(End::Replaced);
        }
        let busy = totals.turn(pass);
        totals.tell(agent.instance());
        metrics.keep(&agent, &totals.counts);
        told.keep(agent.settings(), agent.instance());
        if !busy || status_shown.elapsed() >= STATUS_EVERY {
            host::notify::status(&totals.line(&agent));
            status_shown = Instant::now();
        }
        host::heart::beat();
        if let Some(failure) = host::failure::recovered(failures.as_deref(), since.began.elapsed())
        {
            tracing::warn!(
                state = "recovered",
                failures = failure.count,
                "it works again, after it had failed"
            );
        }
        let asked = if busy {
            tokio::task::yield_now().await;
            signals.pending().await
        } else {
            tokio::select! {
                asked = signals.next() => Some(asked),
                _ = hints.recv() => None,
                () = tokio::time::sleep(QUIET), if totals.unsynced => {
                    if let Err(error) = agent.sync() {
                        tracing::error!(state = "sync_failed", "{:#}", anyhow::Error::from(error));
                    }
                    totals.unsynced = false;
                    None
                }
                () = metrics.due() => None,
                () = told.due(agent.settings()) => None,
                () = tokio::time::sleep(wait(totals.next_look(rescan, agent.custody_due_in()))) => None,
            }
        };
        match asked {
            None => {}
            Some(Asked::Stop) => break,
            Some(Asked::Reload) => {
                host::notify::reloading();
                if let Some(reload) = Reload::prepare(&agent, read) {
                    return Ok(End::Reload(Box::new(reload)));
                }
                host::notify::ready();
            }
        }
    }
    host::notify::stopping();
    tracing::info!(state = "stopping", "stopping on request");
    agent.stop()?;
    metrics.stopped(&agent, &totals.counts);
    Ok(End::Stopped)
}

/// No later than systemd wants to hear that the loop still turns.
fn wait(rescan: Duration) -> Duration {
    host::notify::watchdog_interval().map_or(rescan, |watchdog| rescan.min(watchdog / 2))
}

/// Watches the folders; without inotify (no watches left) the periodic scan carries on alone.
fn watch(
    drop: &Path,
    receipts: &Path,
    requests: &Path,
    hint: mpsc::Sender<()>,
) -> notify::Result<notify::RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
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
    })
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
    counts: Counts,
    fault: Option<String>,
    /// Passes in a row that failed, or left something and did nothing else.
    idle_faults: u32,
    /// Drops that the last pass could not take, read, quarantine or remove.
    troubled: usize,
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
                self.counts.add(&pass);
                self.unsynced |= pass.did_something();
                self.troubled = pass.troubled;
                self.idle_faults = if pass.did_something() || pass.troubled == 0 {
                    0
                } else {
                    self.idle_faults.saturating_add(1)
                };
                pass.did_something()
            }
            Err(error) => {
                self.counts.failed_passes += 1;
                let text = format!("{:#}", anyhow::Error::from(error));
                if self.fault.as_ref() != Some(&text) {
                    tracing::error!(state = "stalled", "nothing is sealed, drops wait: {text}");
                    self.fault = Some(text);
                }
                self.idle_faults = self.idle_faults.saturating_add(1);
                false
            }
        }
    }

    /// Raises or clears the alarms that `status` shows.
    fn tell(&self, instance: &InstanceLock) {
        match &self.fault {
            Some(fault) => instance.raise(
                "stalled",
                &format!("nothing is sealed, drops wait: {fault}"),
            ),
            None => instance.clear("stalled"),
        }
        match self.troubled {
            0 => instance.clear("left"),
            n => instance.raise(
                "left",
                &format!(
                    "{n} drops, receipts or requests cannot be taken, read, quarantined or removed \
                     just now; the log says why; others are sealed"
                ),
            ),
        }
    }

    /// When to look again, whatever inotify says.
    fn look_again(&self, rescan: Duration) -> Duration {
        match self.idle_faults {
            0 => rescan,
            n => LOOK_AGAIN.saturating_mul(1 << (n - 1).min(16)).min(rescan),
        }
    }

    /// The same, but no later than custody is due. What cannot be sealed because of a fault is not
    /// looked at more often for that.
    fn next_look(&self, rescan: Duration, custody_due_in: Duration) -> Duration {
        let look_again = self.look_again(rescan);
        match self.fault {
            None => look_again.min(custody_due_in),
            Some(_) => look_again,
        }
    }

    /// The line for `systemctl status`.
    fn line(&self, agent: &Agent) -> String {
        status::line(&status::Standing {
            fault: self.fault.as_deref(),
            sealed: self.counts.sealed,
            quarantined: self.counts.quarantined,
            // It is a fault, and told as one, when it cannot be had.
            summary: agent.summary().ok().as_ref(),
            custody_due_in: agent.custody_due_in(),
            alarms: &agent.instance().alarms(),
            now: Timestamp::now(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_fault_it_is_looked_again_soon_and_then_ever_later_up_to_the_periodic_scan() {
        let rescan = Duration::from_secs(30);
        let mut totals = Totals::default();
        assert_eq!(totals.look_again(rescan), rescan);
        let no_room = || AgentError::NoRoom {
            path: "/state".into(),
            free_bytes: 1,
            wanted_bytes: 2,
        };
        let waits: Vec<u64> = (0..7)
            .map(|_| {
                assert!(!totals.turn(Err(no_room())));
                totals.look_again(rescan).as_secs()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        let left = Pass {
            later: 1,
            troubled: 1,
            ..Pass::default()
        };
        totals.turn(Ok(left));
        assert_eq!(
            totals.look_again(rescan),
            rescan,
            "what is left goes on counting"
        );
        totals.turn(Ok(Pass { sealed: 1, ..left }));
        totals.turn(Ok(left));
        assert_eq!(
            totals.look_again(rescan).as_secs(),
            1,
            "from the start again"
        );
        totals.turn(Ok(Pass::default()));
        assert_eq!(totals.look_again(rescan), rescan, "nothing is left");
    }
}
