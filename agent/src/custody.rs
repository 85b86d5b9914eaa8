//! Custody bundles: sealed when the time has come, when much is confirmed, at a start that finds the
//! time over, and at a stop; also when nothing happened, so that silence can be told from a loss.
//!
//! What a custody bundle names is read from the spool and marked there by the transaction that commits
//! it, so a crash at any point repeats nothing and leaves nothing out. One pass seals at most one, after
//! the incidents that waited: however much there is to name, no incident waits for more than that.

use std::time::Duration;

use evidence::bundle::Kind;
use evidence::custody::{AgentState, Custody, CustodyBody, CustodyCause};
use spool::{Group, SpoolError, StatementLimits};

use crate::AgentError;
use crate::custody_timer::{ClockWatch, LOAD, Timer};
use crate::own_bundle::OwnError;
use crate::pass::{Agent, Pass};
use crate::seal::concerns_all;

/// At a stop no further one is begun after so long; the next start goes on.
const AT_STOP: Duration = Duration::from_secs(20);
/// The alarm's code.
const ALARM: &str = "custody";

/// What the agent keeps in mind of custody; all of it is found again in the spool.
pub(crate) struct CustodyWatch {
    timer: Timer,
    clock: ClockWatch,
    /// More waits than the last one held: it is sealed for the same cause.
    owed: Option<CustodyCause>,
    /// Bundles of incidents that are confirmed and not named yet.
    waiting: usize,
    started_at: jiff::Timestamp,
}

impl CustodyWatch {
    pub(crate) fn start(
        settings: &host::config::Settings,
        spool: &spool::Spool,
        clock: &crate::Clock,
    ) -> Result<Self, AgentError> {
        let (now, since_boot) = (clock.now(), clock.since_boot());
        let interval = Duration::from_secs(settings.agent.custody_interval_secs);
        Ok(Self {
            timer: Timer::start(interval, spool.without_custody_since()?, now, since_boot),
            clock: ClockWatch::start(now, since_boot),
            owed: None,
            waiting: spool.unattested_incidents(LOAD)?,
            started_at: now,
        })
    }

    /// So many more bundles of incidents were confirmed.
    pub(crate) const fn confirmed(&mut self, incidents: usize) {
        self.waiting = self.waiting.saturating_add(incidents);
    }
}

impl Agent {
    /// How long until custody is due, whatever else happens.
    #[must_use]
    pub fn custody_due_in(&self) -> Duration {
        if self.custody.owed.is_some() {
            return Duration::ZERO;
        }
        self.custody.timer.due_in(self.clock.since_boot())
    }

    /// Notes whether the host's clock has jumped since the last pass.
    pub(crate) fn watch_clock(&mut self) -> Result<(), AgentError> {
        let (now, since_boot) = (self.clock.now(), self.clock.since_boot());
        if let Some((event, after)) = self.custody.clock.jumped(now, since_boot) {
            self.spool.clock_jumped(&event)?;
            self.spool.forget_store_offset()?;
            self.custody.clock = after;
            tracing::warn!(
                state = "clock_jumped",
                jumped_ms = event.jumped_ms,
                "the host's clock was set; the next custody bundle says so"
            );
        }
        Ok(())
    }

    /// Seals a custody bundle if one is due.
    pub(crate) fn attest(&mut self, pass: &mut Pass) -> Result<(), AgentError> {
        let since_boot = self.clock.since_boot();
        let custody = &self.custody;
        let due = custody
            .owed
            .or_else(|| custody.timer.cause(since_boot, custody.waiting));
        if let Some(because) = due {
            self.enough_room()?;
            pass.custody += usize::from(self.attest_because(because)?);
        }
        Ok(())
    }

    /// Seals what is left to be said, as the agent stops; then makes the files durable. Custody that
    /// cannot be sealed is logged and left to the next start.
    ///
    /// # Errors
    /// When the files cannot be made durable.
    pub fn stop(&mut self) -> Result<(), AgentError> {
        let began = self.clock.since_boot();
        loop {
            host::heart::beat();
            let sealed = self
                .enough_room()
                .and_then(|()| self.attest_because(CustodyCause::Stop));
            match sealed {
                Ok(true) if self.custody.owed.is_some() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::error!(
                        state = "custody_deferred",
                        "no custody at this stop, the next start makes up for it: {:#}",
                        anyhow::Error::from(error)
                    );
                    break;
                }
            }
            if self.clock.since_boot().saturating_sub(began) > AT_STOP {
                tracing::warn!(
                    state = "custody_deferred",
                    "more waits than custody can name within a stop; the next start goes on"
                );
                break;
            }
        }
        self.sync()
    }

    /// Seals one; false when it cannot be sealed for a reason of its own, which keeps no incident from
    /// being sealed: that is alarmed, and tried again later.
    pub(crate) fn attest_because(&mut self, because: CustodyCause) -> Result<bool, AgentError> {
        let error = match self.seal_custody(because) {
            Ok(()) => {
                self.instance.clear(ALARM);
                return Ok(true);
            }
            Err(OwnError::Seal(error)) if concerns_all(&error) => {
                return Err(AgentError::Seal(error));
            }
            Err(OwnError::Seal(error)) => anyhow::Error::from(error),
            Err(OwnError::Agent(AgentError::Spool(error @ SpoolError::Damaged(_)))) => error.into(),
            Err(OwnError::Agent(error)) => return Err(error),
        };
        let why = format!("custody cannot be sealed: {error:#}; run msp-evidence fsck");
        tracing::error!(state = "custody_failed", "{why}");
        self.instance.raise(ALARM, &why);
        self.custody.owed = None;
        self.custody.waiting = 0;
        self.custody.timer.failed(self.clock.since_boot());
        Ok(false)
    }

    fn seal_custody(&mut self, because: CustodyCause) -> Result<(), OwnError> {
        self.check_head()?;
        let now = self.clock.now();
        let said = self.spool.statement(&StatementLimits::default())?;
        let (covers, confirmed) = (said.covers, said.confirmed.len());
        let custody = Custody {
            because,
            covers,
            previous_custody: said.previous,
            sealed: said.sealed,
            confirmed: said.confirmed,
            quarantined: said.quarantined,
            duplicates: said.duplicates,
            totals: said.totals,
            agent: AgentState {
                version: self.producer.version.clone(),
                started_at: self.custody.started_at,
                config_sha256: self.settings.sha256,
                key_ids: vec![self.keys.signing.public().key_id()],
            },
            clock_events: said.clock_events,
            destinations: said.destinations,
        };
        let new = self.seal_own(Kind::Custody, CustodyBody { custody }, now)?;
        let (id, sequence) = (new.sealed.bundle_id, new.sealed.position.sequence);
        let with = Group {
            named: Some(said.named),
            ..Group::default()
        };
        let committed = self.commit_own(new, with, now);
        if self.spool.head().sequence() == sequence {
            // Also when its files could not be published: they are, by the next pass.
            self.custody.owed = said.more.then_some(because);
            self.custody.waiting = self.spool.unattested_incidents(LOAD)?;
            if !said.more {
                self.custody.timer.sealed(self.clock.since_boot());
            }
        }
        committed?;
        tracing::info!(
            bundle = %id,
            sequence,
            state = "sealed",
            because = ?because,
            from = covers.map(|c| c.from_sequence),
            to = covers.map(|c| c.to_sequence),
            confirmed,
            "custody is sealed"
        );
        Ok(())
    }
}
