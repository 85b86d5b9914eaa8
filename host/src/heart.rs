//! What systemd's watchdog hears, and only while work moves on.
//!
//! The loop that does the work calls [`beat`] each time round, and between the pieces of what may take
//! long; no timer does it beside it. What goes on elsewhere (a thread that copies a large artifact,
//! requests on their way) is told by [`begin`] and [`Work::moved`], byte by byte or step by step: if any
//! of it stands still for [`STANDSTILL`], the loop's own turning proves nothing any more and the watchdog
//! hears nothing, so that systemd ends the process and starts it again. Nothing is lost by that: every
//! state on disk is one that a power cut may leave, too.
//!
//! There is one for the process, as there is one watchdog. Without systemd all of it costs nothing and
//! does nothing.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::notify;

/// Nothing that moves at all stands still for so long: longer than any request may wait for its answer,
/// and than a slow disk takes to make a large file durable.
pub const STANDSTILL: Duration = Duration::from_secs(900);
/// A beat at most so often, however often it is called.
const EVERY: Duration = Duration::from_secs(1);
/// What a start, a reload or a stop may still take after each beat.
const EXTENSION: Duration = Duration::from_secs(90);

static HEART: LazyLock<Option<Mutex<Heart>>> =
    LazyLock::new(|| notify::is_heard().then(|| Mutex::new(Heart::default())));

/// The loop turns: tells systemd so, unless something under way stands still. Cheap enough for every
/// item of a long row.
pub fn beat() {
    let Some(heart) = &*HEART else { return };
    let now = Instant::now();
    let mut heart = heart.lock().unwrap_or_else(PoisonError::into_inner);
    match heart.beat(now) {
        Beat::Quiet => {}
        // The second is heeded while systemd waits for a start, a reload or a stop.
        Beat::Alive => notify::alive(EXTENSION),
        Beat::StandsStill(what, since) => tracing::error!(
            state = "stands_still",
            secs = since.as_secs(),
            "{what} does not move on; without a change systemd will end and restart this service"
        ),
    }
}

/// Something begins that does not happen in the loop; it is under way until this is dropped.
#[must_use]
pub fn begin(what: &'static str) -> Work {
    Work(with(|heart, now| heart.begin(what, now)))
}

/// Everything under way moved on: for what cannot be told apart, such as bytes on one connection.
pub fn all_moved() {
    with(Heart::all_moved);
}

fn with<T>(change: impl FnOnce(&mut Heart, Instant) -> T) -> Option<T> {
    let mut heart = HEART
        .as_ref()?
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    Some(change(&mut heart, Instant::now()))
}

/// Something under way.
#[derive(Debug)]
pub struct Work(Option<u64>);

impl Work {
    /// It moved on.
    pub fn moved(&self) {
        if let Some(id) = self.0 {
            with(|heart, now| heart.moved(id, now));
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            with(|heart, _| heart.under_way.remove(&id));
        }
    }
}

/// What is under way and when it last moved.
#[derive(Debug, Default)]
struct Heart {
    under_way: BTreeMap<u64, (&'static str, Instant)>,
    next: u64,
    told: Option<Instant>,
    /// That something stands still has been said.
    complained: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Beat {
    /// Nothing to say.
    Quiet,
    Alive,
    StandsStill(&'static str, Duration),
}

impl Heart {
    fn begin(&mut self, what: &'static str, now: Instant) -> u64 {
        self.next += 1;
        self.under_way.insert(self.next, (what, now));
        self.next
    }

    fn moved(&mut self, id: u64, now: Instant) {
        if let Some((_, at)) = self.under_way.get_mut(&id) {
            *at = now;
        }
    }

    fn all_moved(&mut self, now: Instant) {
        self.under_way.values_mut().for_each(|(_, at)| *at = now);
    }

    fn beat(&mut self, now: Instant) -> Beat {
        let since = |at: Instant| now.saturating_duration_since(at);
        if self.told.is_some_and(|at| since(at) < EVERY) {
            return Beat::Quiet;
        }
        let stuck = self
            .under_way
            .values()
            .map(|(what, at)| (*what, since(*at)))
            .find(|(_, still)| *still >= STANDSTILL);
        match stuck {
            None => {
                self.complained = false;
                self.told = Some(now);
                Beat::Alive
            }
            Some(_) if self.complained => Beat::Quiet,
            Some((what, still)) => {
                self.complained = true;
                Beat::StandsStill(what, still)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_turns_is_heard_at_most_every_second() {
        let start = Instant::now();
        let mut heart = Heart::default();
        assert_eq!(heart.beat(start), Beat::Alive);
        assert_eq!(heart.beat(start + EVERY / 2), Beat::Quiet);
        assert_eq!(heart.beat(start + EVERY), Beat::Alive);
    }

    #[test]
    fn what_stands_still_silences_the_loop_until_it_moves_or_ends() {
        let start = Instant::now();
        let mut heart = Heart::default();
        let (artifact, upload) = (heart.begin("artifact", start), heart.begin("upload", start));
        let late = start + STANDSTILL;
        heart.moved(upload, late);
        assert_eq!(heart.beat(late), Beat::StandsStill("artifact", STANDSTILL));
        assert_eq!(heart.beat(late + EVERY), Beat::Quiet, "said once");
        heart.moved(artifact, late + EVERY);
        assert_eq!(heart.beat(late + EVERY), Beat::Alive);
        let later = late + EVERY + STANDSTILL;
        assert_eq!(heart.beat(later), Beat::StandsStill("artifact", STANDSTILL));
        heart.under_way.remove(&artifact);
        assert_ne!(heart.beat(later), Beat::Alive, "the upload does as well");
        heart.all_moved(later);
        assert_eq!(heart.beat(later), Beat::Alive);
    }

    #[test]
    fn a_long_piece_of_work_that_moves_by_bytes_is_never_taken_for_a_standstill() {
        let start = Instant::now();
        let mut heart = Heart::default();
        let artifact = heart.begin("artifact", start);
        for step in 1..200 {
            let now = start + STANDSTILL / 2 * step;
            heart.moved(artifact, now);
            assert_eq!(heart.beat(now), Beat::Alive);
        }
    }
}
