//! Local copies that have become superfluous are removed: of bundles that are old enough here, and proven
//! to be stored and locked wherever they are to be.
//!
//! The spool says which, and is told before the first file goes and after the last; a crash between is
//! finished by the next look. The signed bytes stay in the spool, and the receipts with them, so that
//! nothing which is removed here is forgotten.

use std::time::Duration;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use spool::Spool;

use crate::AgentError;
use crate::pass::Agent;
use crate::publish::Publisher;

/// What is there for months does not hurry.
const INTERVAL: Duration = Duration::from_secs(3600);
/// Bundles whose files go in one go, and at one look; a drop waits for no more than the first.
const AT_ONCE: usize = 64;
const AT_A_LOOK: usize = 16 * AT_ONCE;

/// When it was looked last, in the time since boot.
#[derive(Default)]
pub(crate) struct PruneWatch {
    looked_at: Option<Duration>,
}

impl Agent {
    /// Removes what may go, once an hour; says how many bundles that were.
    pub(crate) fn prune(&mut self) -> Result<usize, AgentError> {
        let since_boot = self.clock.since_boot();
        let is_due = |looked: Duration| since_boot.saturating_sub(looked) >= INTERVAL;
        if !self.prune.looked_at.is_none_or(is_due) {
            return Ok(0);
        }
        // What a stop cut short, first.
        let unfinished = self.spool.unfinished_pruning()?;
        remove(&mut self.spool, &mut self.publisher, &unfinished)?;
        let days = i64::from(self.settings.agent.min_local_age_days);
        let now = self.clock.now();
        let before = (now - SignedDuration::from_hours(24 * days))
            .to_zoned(TimeZone::UTC)
            .date();
        let (mut after, mut pruned) = (0, 0);
        while pruned < AT_A_LOOK {
            let rows = self.spool.prunable(before, after, AT_ONCE)?;
            let Some(last) = rows.last() else {
                self.prune.looked_at = Some(since_boot);
                break;
            };
            after = *last;
            self.spool.begin_pruning(&rows, now)?;
            remove(&mut self.spool, &mut self.publisher, &rows)?;
            pruned += rows.len();
        }
        if pruned > 0 {
            tracing::info!(
                state = "pruned",
                bundles = pruned,
                days,
                "local copies were removed of bundles that are confirmed wherever they are to be"
            );
        }
        Ok(pruned)
    }
}

fn remove(spool: &mut Spool, publisher: &mut Publisher, rows: &[i64]) -> Result<(), AgentError> {
    if rows.is_empty() {
        return Ok(());
    }
    for row in rows {
        let Some(bundle) = spool.bundle(*row)? else {
            continue;
        };
        publisher.withdraw(&bundle, &spool.artifacts(*row)?)?;
    }
    spool.end_pruning(rows)?;
    Ok(())
}

/// Publishes pruned bundles again, durably: they are about to be ordered. Those with artifacts are not
/// among them, since only the files had their bytes.
pub(crate) fn bring_back(
    spool: &Spool,
    publisher: &mut Publisher,
    rows: &[i64],
    keys: &evidence::keys::HostKeys,
) -> Result<(), AgentError> {
    let mut is_any = false;
    for row in rows {
        if spool.pruned_at(*row)?.is_some()
            && let Some(b) = spool.bundle(*row)?
        {
            publisher.bundle(&b.path, b.bundle_id, &b.bytes, &b.signature, keys)?;
            publisher.locations(&b.path, b.bundle_id, &spool.locations(&b)?)?;
            is_any = true;
        }
    }
    if is_any {
        publisher.sync()?;
    }
    Ok(())
}
