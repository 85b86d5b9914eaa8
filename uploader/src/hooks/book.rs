//! The book of what was told and what is still to be told: the one function that changes an entry, and
//! what survives a restart.
//!
//! An entry and the notifications that its change makes are written together, before anything is sent,
//! and a notification is struck out only after it was taken. So a crash loses none, and may at most
//! send one twice, under the same id.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::condition::{Condition, Key, Kind, Seen};
use super::message::{Event, Notification};

/// What grew is told again no sooner.
const GROWTH_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// No hook has more to be told; then the oldest that says least goes.
pub(super) const WAITING_MAX: usize = 200;

/// How long something lasts before it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) hold: SignedDuration,
    pub(crate) outage: SignedDuration,
    pub(crate) reminder: SignedDuration,
}

impl Patience {
    fn before(&self, kind: Kind) -> SignedDuration {
        match kind {
            Kind::Outage => self.outage,
            // It is told now or never: the process ends.
            Kind::StartFailed => SignedDuration::ZERO,
            _ => self.hold,
        }
    }
}

/// A condition that was seen and whose end was not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) key: Key,
    /// When it was first seen.
    pub(super) since: Timestamp,
    /// When it was last told, and how many there were.
    pub(super) told: Option<(Timestamp, u64)>,
    /// Since when it is not there any more.
    pub(super) gone_since: Option<Timestamp>,
}

/// What is still to be told to one hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) hook: String,
    pub(super) notification: Notification,
    /// Attempts that failed.
    pub(super) attempts: u32,
    /// Not before.
    pub(super) due_at: Timestamp,
}

/// Everything that survives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Book {
    pub(super) book_version: u32,
    pub(super) entries: Vec<Entry>,
    pub(super) waiting: Vec<Waiting>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            book_version: 1,
            entries: Vec::new(),
            waiting: Vec::new(),
        }
    }
}

impl Book {
    /// Takes in what was seen; `make` turns an event into a notification, which waits for each hook.
    /// Returns whether anything changed.
    pub(super) fn take_in(
        &mut self,
        seen: &Seen,
        hooks: &[String],
        patience: &Patience,
        now: Timestamp,
        mut make: impl FnMut(Event, &Entry, Option<&Condition>) -> Notification,
    ) -> bool {
        let before = std::mem::take(&mut self.entries);
        let mut conditions: Vec<&Condition> = seen.conditions.iter().collect();
        let mut events = Vec::new();
        for entry in &before {
            let there = conditions.iter().position(|c| c.key == entry.key);
            let condition = there.map(|index| conditions.swap_remove(index));
            if condition.is_none() && seen.is_unknown(entry.key.kind) {
                self.entries.push(entry.clone());
                continue;
            }
            let (entry_after, event) = next(entry.clone(), condition, patience, now);
            events.extend(event.map(|event| make(event, entry, condition)));
            self.entries.extend(entry_after);
        }
        for condition in conditions {
            let entry = Entry {
                key: condition.key.clone(),
                since: now,
                told: None,
                gone_since: None,
            };
            let (entry_after, event) = next(entry.clone(), Some(condition), patience, now);
            events.extend(event.map(|event| make(event, &entry, Some(condition))));
            self.entries.extend(entry_after);
        }
        let is_news = !events.is_empty();
        for notification in events {
            for hook in hooks {
                self.wait(hook, &notification, now);
            }
        }
        is_news || self.entries != before
    }

    fn wait(&mut self, hook: &str, notification: &Notification, now: Timestamp) {
        let of_hook = |waiting: &Waiting| waiting.hook == hook;
        if self.waiting.iter().filter(|w| of_hook(w)).count() >= WAITING_MAX {
            let says_little = |w: &Waiting| of_hook(w) && w.notification.event.is_repetition();
            let victim = self.waiting.iter().position(says_little);
            if let Some(victim) = victim.or_else(|| self.waiting.iter().position(of_hook)) {
                let lost = self.waiting.remove(victim);
                tracing::error!(
                    hook,
                    notification = lost.notification.id,
                    "too many notifications wait for a hook that does not take them; the oldest is dropped"
                );
            }
        }
        self.waiting.push(Waiting {
            hook: hook.to_owned(),
            notification: notification.clone(),
            attempts: 0,
            due_at: now,
        });
    }

    /// The first of each hook that waits, if it is due: one after another, so that a recovery never
    /// comes before what it ends.
    pub(super) fn due(&self, hook: &str, now: Timestamp) -> Option<&Waiting> {
        let first = self.waiting.iter().find(|w| w.hook == hook)?;
        // A date that was set back must not keep it for long: no wait is longer than this.
        let is_absurd = first.due_at.duration_since(now) > GROWTH_EVERY;
        (first.due_at <= now || is_absurd).then_some(first)
    }

    /// The hook took it.
    pub(super) fn taken(&mut self, hook: &str, id: &str) {
        self.waiting
            .retain(|w| !(w.hook == hook && w.notification.id == id));
    }

    /// The hook did not take it; again at `due_at`.
    pub(super) fn not_taken(&mut self, hook: &str, id: &str, due_at: Timestamp) {
        let found = self
            .waiting
            .iter_mut()
            .find(|w| w.hook == hook && w.notification.id == id);
        if let Some(waiting) = found {
            waiting.attempts = waiting.attempts.saturating_add(1);
            waiting.due_at = due_at;
        }
    }
}

/// What becomes of an entry, and what is told. Total: of every entry, whether its condition is there or
/// not, at any time.
fn next(
    mut entry: Entry,
    condition: Option<&Condition>,
    patience: &Patience,
    now: Timestamp,
) -> (Option<Entry>, Option<Event>) {
    // A date that was set back counts as time enough: rather told early than late.
    let lasted = |since: Timestamp, wanted: SignedDuration| {
        let passed = now.duration_since(since);
        passed >= wanted || passed.is_negative()
    };
    match (condition, entry.told) {
        (None, None) => (None, None),
        (None, Some(_)) => {
            let gone_since = *entry.gone_since.get_or_insert(now);
            if lasted(gone_since, patience.hold) {
                (None, Some(Event::Recovered))
            } else {
                (Some(entry), None)
            }
        }
        (Some(condition), None) => {
            if lasted(entry.since, patience.before(entry.key.kind)) {
                entry.told = Some((now, condition.count));
                (Some(entry), Some(Event::Raised))
            } else {
                (Some(entry), None)
            }
        }
        (Some(condition), Some((told_at, told_count))) => {
            entry.gone_since = None;
            let event = if condition.count > told_count && lasted(told_at, GROWTH_EVERY) {
                Event::Grown
            } else if lasted(told_at, patience.reminder) {
                Event::Reminder
            } else {
                return (Some(entry), None);
            };
            entry.told = Some((now, condition.count));
            (Some(entry), Some(event))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::condition::{Look, look};
    use super::*;

    const PATIENCE: Patience = Patience {
        hold: SignedDuration::from_secs(60),
        outage: SignedDuration::from_secs(1800),
        reminder: SignedDuration::from_hours(24),
    };

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    fn condition(kind: Kind, count: u64) -> Condition {
        Condition {
            key: Key::new(kind, Some("main")),
            count,
            code: None,
        }
    }

    /// A book and what it told, by time.
    #[derive(Default)]
    struct Told {
        book: Book,
        events: Vec<(i64, Event)>,
    }

    impl Told {
        fn see(&mut self, secs: i64, conditions: &[Condition]) -> &mut Self {
            let mut seen = Seen::default();
            seen.conditions = conditions.to_vec();
            self.see_all(secs, &seen)
        }

        fn see_all(&mut self, secs: i64, seen: &Seen) -> &mut Self {
            let events = &mut self.events;
            let hooks = ["one".to_owned()];
            self.book
                .take_in(seen, &hooks, &PATIENCE, at(secs), |event, entry, _| {
                    events.push((secs, event));
                    Notification::for_tests(event, entry.key.clone(), at(secs))
                });
            self
        }
    }

    #[test]
    fn it_is_told_once_when_it_lasts_and_once_when_it_has_ended() {
        let blocked = [condition(Kind::Blocked, 1)];
        let mut told = Told::default();
        for secs in 0..=200 {
            told.see(secs, &blocked);
        }
        for secs in 201..=400 {
            told.see(secs, &[]);
        }
        assert_eq!(told.events, [(60, Event::Raised), (261, Event::Recovered)]);
        assert_eq!(told.book.entries, []);
    }

    #[test]
    fn what_flickers_is_not_told() {
        let mut told = Told::default();
        for secs in 0..1000 {
            let there = secs % 40 < 30;
            told.see(secs, &[condition(Kind::Blocked, 1)][..usize::from(there)]);
        }
        assert_eq!(told.events, []);
        // And what flickers after it was told is not over.
        for secs in 1000..1100 {
            told.see(secs, &[condition(Kind::Blocked, 1)]);
        }
        for secs in 1100..2000 {
            let there = secs % 40 < 30;
            told.see(secs, &[condition(Kind::Blocked, 1)][..usize::from(there)]);
        }
        assert_eq!(told.events, [(1060, Event::Raised)]);
    }

    #[test]
    fn what_lasts_is_told_again_daily_and_what_grows_hourly_at_most() {
        let mut told = Told::default();
        let hour = 3600;
        told.see(0, &[condition(Kind::Quarantine, 1)]);
        told.see(60, &[condition(Kind::Quarantine, 1)]);
        told.see(120, &[condition(Kind::Quarantine, 50)]);
        told.see(60 + hour, &[condition(Kind::Quarantine, 60)]);
        told.see(70 + hour, &[condition(Kind::Quarantine, 61)]);
        told.see(60 + 24 * hour, &[condition(Kind::Quarantine, 60)]);
        told.see(60 + 25 * hour, &[condition(Kind::Quarantine, 60)]);
        assert_eq!(
            told.events,
            [
                (60, Event::Raised),
                (60 + hour, Event::Grown),
                (60 + 25 * hour, Event::Reminder)
            ]
        );
    }

    #[test]
    fn an_outage_is_told_when_it_is_long_and_a_start_that_failed_at_once() {
        let mut told = Told::default();
        told.see(0, &[condition(Kind::Outage, 1)]);
        told.see(1799, &[condition(Kind::Outage, 1)]);
        assert_eq!(told.events, []);
        told.see(1800, &[condition(Kind::Outage, 1)]);
        assert_eq!(told.events, [(1800, Event::Raised)]);
        let mut told = Told::default();
        told.see_all(0, &Seen::start_failed());
        told.see_all(1, &Seen::start_failed());
        assert_eq!(told.events, [(0, Event::Raised)]);
    }

    #[test]
    fn what_cannot_be_looked_at_has_not_ended() {
        let mut told = Told::default();
        told.see(0, &[condition(Kind::Blocked, 1)]);
        told.see(60, &[condition(Kind::Blocked, 1)]);
        let blind = look(&Look {
            now: at(500),
            delivery: None,
            alarms: &[],
            agent: None,
            listening_since: at(500),
        });
        told.see_all(500, &blind);
        told.see_all(5000, &Seen::start_failed());
        assert_eq!(told.events, [(60, Event::Raised), (5000, Event::Raised)]);
        assert_eq!(told.book.entries.len(), 2);
    }

    #[test]
    fn a_date_that_is_set_back_holds_nothing_up() {
        let mut told = Told::default();
        told.see(1_000_000, &[condition(Kind::Blocked, 1)]);
        told.see(0, &[condition(Kind::Blocked, 1)]);
        assert_eq!(told.events, [(0, Event::Raised)]);
        let mut book = told.book;
        let id = book.waiting[0].notification.id.clone();
        book.not_taken("one", &id, at(2_000_000));
        assert!(book.due("one", at(0)).is_some());
        book.not_taken("one", &id, at(900));
        assert!(book.due("one", at(0)).is_none());
        assert!(book.due("one", at(900)).is_some());
    }

    #[test]
    fn a_hook_that_takes_nothing_keeps_what_matters_and_no_more_than_there_is_room_for() {
        let mut book = Book::default();
        let told = |n: usize, event| Notification {
            id: format!("N-{n}"),
            ..Notification::for_tests(event, Key::new(Kind::Blocked, None), at(0))
        };
        book.wait("one", &told(0, Event::Raised), at(0));
        for n in 1..=WAITING_MAX {
            book.wait("one", &told(n, Event::Reminder), at(0));
        }
        book.wait("two", &told(0, Event::Raised), at(0));
        assert_eq!(book.waiting.len(), WAITING_MAX + 1);
        assert_eq!(book.waiting[0].notification.id, "N-0", "it says most");
        assert_eq!(book.waiting[1].notification.id, "N-2");
        book.taken("one", "N-0");
        assert_eq!(book.due("one", at(0)).unwrap().notification.id, "N-2");
    }
}
