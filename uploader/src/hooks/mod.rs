//! Telling somebody when an operator is needed, once for each condition and at its end.
//!
//! The uploader does it, since it has the network. It looks every two seconds at what it knows and at
//! the agent's standing; [`book`] decides, [`file`] keeps, [`hook`] sends. Nothing here holds up or
//! ends the delivery of evidence.

mod book;
mod condition;
mod file;
mod hook;
mod message;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evidence::handover::{STANDING_MAX_BYTES, STANDING_NAME, Standing};
use host::config::{NotifySettings, Settings};
use host::files::{open_dir, read_capped};
use host::instance::InstanceLock;
use jiff::{SignedDuration, Timestamp};
use tokio::task::{Id, JoinSet};
use tracing::{error, info, warn};

use crate::daemon::Places;
use crate::delivery::Reader;
use crate::policy::Policy;
use crate::upload::verdict::chain;
use book::{Book, Patience};
use condition::{Look, Seen, look};
use hook::{Hook, NotTaken, hooks};
use message::{Identity, Notification};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a start that failed waits until somebody was told.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// The alarm while a hook cannot be used.
const ALARM: &str = "notify";

/// Whom to tell, and of which host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    settings: NotifySettings,
    identity: Identity,
}

impl Audience {
    /// As the settings say; `None` when nobody is told.
    #[must_use]
    pub fn from_settings(settings: &Settings) -> Option<Self> {
        settings.notify.is_wanted().then(|| Self {
            settings: settings.notify.clone(),
            identity: Identity {
                client_id: settings.client_id.clone(),
                host_id: settings.host_id.clone(),
            },
        })
    }
}

/// What monitoring is told of the hooks, by their names.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<&'static str, HookCounts>>);

/// Of one hook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct HookCounts {
    /// Taken since the start.
    pub(crate) sent: u64,
    /// Attempts that failed since the start.
    pub(crate) failed: u64,
    /// Waiting now.
    pub(crate) waiting: u64,
    /// When the oldest that waits was decided on.
    pub(crate) oldest_at: Option<Timestamp>,
}

impl Tally {
    pub(crate) fn read(&self) -> BTreeMap<&'static str, HookCounts> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn change(&self, hook: &'static str, change: impl FnOnce(&mut HookCounts)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(hook).or_default());
    }
}

/// The hooks at work.
pub(crate) struct Hooks {
    identity: Identity,
    patience: Patience,
    hooks: Vec<(&'static str, Arc<Hook>)>,
    names: Vec<String>,
    outbox: PathBuf,
    delivery: PathBuf,
    instance: Arc<InstanceLock>,
    policy: Arc<Policy>,
    tally: Arc<Tally>,
    listening_since: Timestamp,
    book: Book,
    /// The book on disk is not this one yet.
    is_unwritten: bool,
    rng: fastrand::Rng,
}

impl Hooks {
    /// Reads what was told before, and the addresses; a hook that cannot be used is an alarm.
    pub(crate) fn open(
        audience: &Audience,
        places: &Places,
        policy: Arc<Policy>,
        instance: Arc<InstanceLock>,
        tally: Arc<Tally>,
    ) -> Self {
        let secs = |secs: u64| SignedDuration::from_secs(i64::try_from(secs).unwrap_or(i64::MAX));
        let settings = &audience.settings;
        let mut usable = Vec::new();
        let mut faults = Vec::new();
        for (name, hook) in hooks(settings) {
            match hook {
                Ok(hook) => usable.push((name, Arc::new(hook))),
                Err(why) => faults.push(format!("{name}: {}", chain(&why))),
            }
            tally.change(name, |_| {});
        }
        if faults.is_empty() {
            instance.clear(ALARM);
        } else {
            let why = format!("nobody can be told by {}", faults.join("; "));
            error!(state = ALARM, "{why}");
            instance.raise(ALARM, &why);
        }
        let mut book = file::read(&places.delivery);
        // One that is not configured any more will never take anything.
        let wanted: Vec<&str> = hooks(settings).iter().map(|(name, _)| *name).collect();
        book.waiting.retain(|w| wanted.contains(&w.hook.as_str()));
        Self {
            identity: audience.identity.clone(),
            patience: Patience {
                hold: secs(settings.hold_secs),
                outage: secs(settings.outage_secs),
                reminder: secs(settings.reminder_secs),
            },
            names: usable.iter().map(|(name, _)| (*name).to_owned()).collect(),
            hooks: usable,
            outbox: places.outbox.clone(),
            delivery: places.delivery.clone(),
            instance,
            policy,
            tally,
            listening_since: Timestamp::now(),
            book,
            is_unwritten: false,
            rng: fastrand::Rng::new(),
        }
    }

    /// Looks and tells until it is dropped: what was not taken by then waits for the next start.
    pub(crate) async fn run(mut self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut sending = Sending::default();
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let seen = self.look();
                    self.take_in(&seen).await;
                }
                Some(sent) = sending.next() => self.sent(sent).await,
            }
            if !self.is_unwritten {
                self.send_due(&mut sending);
            }
        }
    }

    /// Tells of a start that failed, and waits for a moment until somebody was told.
    pub(crate) async fn start_failed(mut self) {
        self.take_in(&Seen::start_failed()).await;
        if self.is_unwritten {
            // Then every start that fails would tell it anew.
            return;
        }
        let told = tokio::time::timeout(LAST_WORDS, async {
            let mut sending = Sending::default();
            self.send_due(&mut sending);
            while let Some(sent) = sending.next().await {
                self.sent(sent).await;
            }
        });
        // What was not taken in time waits for the next start.
        let _ = told.await;
    }

    fn look(&self) -> Seen {
        let now = Timestamp::now();
        let delivery = Reader::open(&self.delivery)
            .and_then(|reader| reader.map(|r| r.summary(now)).transpose())
            .ok()
            .flatten();
        // A standing that is torn or not there says nothing; in the end that is silence.
        let agent = open_dir(&self.outbox)
            .and_then(|dir| read_capped(dir, STANDING_NAME, STANDING_MAX_BYTES))
            .ok()
            .and_then(|contents| Standing::parse(&contents.bytes).ok());
        look(&Look {
            now,
            delivery: delivery.as_ref(),
            alarms: &self.instance.alarms(),
            agent: agent.as_ref(),
            listening_since: self.listening_since,
        })
    }

    async fn take_in(&mut self, seen: &Seen) {
        let now = Timestamp::now();
        let (identity, names) = (&self.identity, &self.names);
        let is_news = self
            .book
            .take_in(seen, names, &self.patience, now, |event, entry, there| {
                let told = entry.told.map_or(1, |(_, count)| count);
                Notification::new(
                    identity,
                    event,
                    entry.key.clone(),
                    there.map_or(told, |condition| condition.count),
                    there.and_then(|condition| condition.code.clone()),
                    entry.since,
                    now,
                )
            });
        if is_news || self.is_unwritten {
            self.write().await;
        }
        self.count();
    }

    /// Durable before anything is sent.
    async fn write(&mut self) {
        let (delivery, book) = (self.delivery.clone(), self.book.clone());
        let written = tokio::task::spawn_blocking(move || file::write(&delivery, &book)).await;
        let fault = match written {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(error) => Some(error.to_string()),
        };
        if let (Some(fault), false) = (&fault, self.is_unwritten) {
            error!(
                error = fault,
                hint = "check the room on the disk of the delivery folder; tried again by itself",
                "what is to be told cannot be written down, so nobody is told just now"
            );
        }
        self.is_unwritten = fault.is_some();
    }

    fn send_due(&self, sending: &mut Sending) {
        let now = Timestamp::now();
        for (name, hook) in &self.hooks {
            if sending.is_busy(name) {
                continue;
            }
            if let Some(waiting) = self.book.due(name, now) {
                sending.begin(name, Arc::clone(hook), waiting.notification.clone(), now);
            }
        }
    }

    async fn sent(&mut self, sent: Sent) {
        let (hook, id) = (sent.hook, sent.notification.id.as_str());
        let kind = sent.notification.key.kind;
        match sent.result {
            Ok(()) => {
                info!(hook, notification = id, kind = ?kind, "somebody was told");
                self.book.taken(hook, id);
                self.tally.change(hook, |counts| counts.sent += 1);
            }
            Err(why) => {
                let waiting = self.book.waiting.iter();
                let mut of_hook = waiting.filter(|w| w.hook == hook && w.notification.id == id);
                let attempts = of_hook.next().map_or(0, |w| w.attempts);
                let delay = self
                    .policy
                    .backoff(attempts.saturating_add(1), &mut self.rng)
                    .max(self.policy.backoff_min);
                warn!(
                    hook,
                    notification = id,
                    kind = ?kind,
                    attempt = attempts.saturating_add(1),
                    error = why,
                    "nobody was told; tried again by itself"
                );
                let delay = SignedDuration::try_from(delay).unwrap_or_default();
                let due_at = Timestamp::now().saturating_add(delay);
                self.book
                    .not_taken(hook, id, due_at.unwrap_or(Timestamp::MAX));
                self.tally.change(hook, |counts| counts.failed += 1);
            }
        }
        self.write().await;
        self.count();
    }

    fn count(&self) {
        for (name, _) in &self.hooks {
            let waiting: Vec<_> = self
                .book
                .waiting
                .iter()
                .filter(|w| w.hook == *name)
                .collect();
            self.tally.change(name, |counts| {
                counts.waiting = waiting.len() as u64;
                counts.oldest_at = waiting.first().map(|w| w.notification.at);
            });
        }
    }
}

/// What came of one attempt.
struct Sent {
    hook: &'static str,
    notification: Notification,
    result: Result<(), String>,
}

/// Attempts under way, one for each hook.
#[derive(Default)]
struct Sending {
    tasks: JoinSet<Sent>,
    busy: HashSet<&'static str>,
    /// Whose task it is, for one that panics.
    names: BTreeMap<Id, (&'static str, Notification)>,
}

impl Sending {
    fn is_busy(&self, hook: &str) -> bool {
        self.busy.contains(hook)
    }

    fn begin(
        &mut self,
        name: &'static str,
        hook: Arc<Hook>,
        notification: Notification,
        now: Timestamp,
    ) {
        self.busy.insert(name);
        let kept = notification.clone();
        let task = self.tasks.spawn(async move {
            let result: Result<(), NotTaken> = hook.send(&notification, now).await;
            Sent {
                hook: name,
                notification,
                result: result.map_err(|why| chain(&why)),
            }
        });
        self.names.insert(task.id(), (name, kept));
    }

    /// The next that ends; `None` when none is under way.
    async fn next(&mut self) -> Option<Sent> {
        let (id, sent) = match self.tasks.join_next_with_id().await? {
            Ok((id, sent)) => (id, Ok(sent)),
            Err(error) => (error.id(), Err(error)),
        };
        let (hook, notification) = self.names.remove(&id)?;
        self.busy.remove(hook);
        Some(sent.unwrap_or_else(|error| Sent {
            hook,
            notification,
            result: Err(error.to_string()),
        }))
    }
}
