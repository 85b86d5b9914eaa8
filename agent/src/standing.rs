//! The agent's word to the uploader of how it is, so that somebody is told: written when it changes,
//! and every minute, since silence means something too. Only where somebody is to be told.

use std::time::{Duration, Instant};

use evidence::handover::{STANDING_NAME, Standing, StandingAlarm};
use host::config::Settings;
use host::files::{self, Durability, FileError, Replace};
use host::instance::InstanceLock;
use jiff::Timestamp;

/// The uploader takes the agent for silent after ten of these.
const AT_LEAST_EVERY: Duration = Duration::from_secs(60);
/// The group `msp-handover` reads; only the agent writes.
const MODE: u32 = 0o640;

/// What was last said, and when.
#[derive(Default)]
pub(crate) struct Told {
    last: Option<(Instant, Standing)>,
    fault: Option<String>,
}

impl Told {
    /// When it is to be said again; never where nobody is to be told.
    pub(crate) async fn due(&self, settings: &Settings) {
        match &self.last {
            Some((at, _)) if settings.notify.is_wanted() => {
                tokio::time::sleep(AT_LEAST_EVERY.saturating_sub(at.elapsed())).await;
            }
            _ => std::future::pending().await,
        }
    }

    /// Says it, if something changed or it was last said a minute ago.
    pub(crate) fn keep(&mut self, settings: &Settings, instance: &InstanceLock) {
        if !settings.notify.is_wanted() {
            return;
        }
        let standing = standing(settings, instance);
        if let Some((at, last)) = &self.last
            && at.elapsed() < AT_LEAST_EVERY
            && (&last.alarms, last.in_quarantine) == (&standing.alarms, standing.in_quarantine)
        {
            return;
        }
        match write(settings, &standing) {
            Ok(()) => self.fault = None,
            Err(error) => {
                let fault = error.to_string();
                if self.fault.as_ref() != Some(&fault) {
                    tracing::warn!(
                        error = fault,
                        "the uploader cannot be told how the agent is; it takes it for silent"
                    );
                    self.fault = Some(fault);
                }
            }
        }
        self.last = Some((Instant::now(), standing));
    }
}

/// Says it once, for a start that failed: there is nobody to say it again.
pub(crate) fn tell_once(settings: &Settings, instance: &InstanceLock) {
    Told::default().keep(settings, instance);
}

fn standing(settings: &Settings, instance: &InstanceLock) -> Standing {
    let alarms = instance.alarms().into_iter();
    let in_quarantine = host::waiting::in_quarantine(&settings.paths.quarantine);
    Standing {
        standing_version: 1,
        at: Timestamp::now(),
        alarms: alarms
            .map(|alarm| StandingAlarm {
                code: alarm.code,
                since: alarm.since,
            })
            .collect(),
        in_quarantine: in_quarantine.map(|n| n as u64),
    }
}

fn write(settings: &Settings, standing: &Standing) -> Result<(), FileError> {
    let outbox = files::open_dir(&settings.paths.outbox)?;
    let bytes = standing.to_bytes();
    files::publish(
        &outbox,
        STANDING_NAME,
        &bytes,
        MODE,
        // It is said again within a minute.
        Durability::None,
        Replace::Yes,
    )
}
