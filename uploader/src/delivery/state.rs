//! The states of one delivery (one object to one destination) and the only way between them.
//!
//! ```text
//! pending --put_succeeded--> uploaded --lock_proven--> confirmed
//!    |  \---adopted---------->   |  \---object_missing--> pending
//!    |                           |
//!    +------- blocked -----------+--> blocked --released--> pending
//!    +------- retired -----------+--> retired   (also from blocked)
//! deferred: pending -> pending, uploaded -> uploaded
//! ```
//!
//! There is no "uploading": after a crash it would mean the same as pending. `confirmed` and
//! `retired` have no way out, so nothing that was proven is ever called unproven again.

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Not known to be stored.
    Pending,
    /// Stored as a version that we know; its lock is not proven yet.
    Uploaded,
    /// Stored, identical and locked in COMPLIANCE mode, read back by version.
    Confirmed,
    /// Needs an operator; see its reason. Everything is kept.
    Blocked,
    /// The destination was retired by an operator before this was confirmed.
    Retired,
}

impl State {
    /// All states.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Uploaded,
        Self::Confirmed,
        Self::Blocked,
        Self::Retired,
    ];

    /// The name in SQL, JSON and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Uploaded => "uploaded",
            Self::Confirmed => "confirmed",
            Self::Blocked => "blocked",
            Self::Retired => "retired",
        }
    }

    /// The inverse of [`State::as_str`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name)
    }
}

/// What happened to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The store took our PUT and named the version.
    PutSucceeded,
    /// A version at the key was found to be ours.
    Adopted,
    /// The version was read back: identical, and locked long enough.
    LockProven,
    /// An attempt failed in a way that time may heal.
    Deferred,
    /// The store says that the version does not exist.
    ObjectMissing,
    /// An attempt failed in a way that only an operator can heal.
    Blocked,
    /// An operator asked to try again.
    Released,
    /// An operator retired the destination.
    Retired,
}

impl Event {
    /// All events.
    pub const ALL: [Self; 8] = [
        Self::PutSucceeded,
        Self::Adopted,
        Self::LockProven,
        Self::Deferred,
        Self::ObjectMissing,
        Self::Blocked,
        Self::Released,
        Self::Retired,
    ];

    /// The name in SQL and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PutSucceeded => "put_succeeded",
            Self::Adopted => "adopted",
            Self::LockProven => "lock_proven",
            Self::Deferred => "deferred",
            Self::ObjectMissing => "object_missing",
            Self::Blocked => "blocked",
            Self::Released => "released",
            Self::Retired => "retired",
        }
    }
}

/// The state after `event`, or `None` when it cannot happen in `state`. Nothing else in the crate
/// changes a state.
#[must_use]
pub const fn next(state: State, event: Event) -> Option<State> {
    match (state, event) {
        (State::Pending, Event::PutSucceeded | Event::Adopted) => Some(State::Uploaded),
        (State::Uploaded, Event::LockProven) => Some(State::Confirmed),
        (State::Pending, Event::Deferred) => Some(State::Pending),
        (State::Uploaded, Event::Deferred) => Some(State::Uploaded),
        (State::Uploaded, Event::ObjectMissing) | (State::Blocked, Event::Released) => {
            Some(State::Pending)
        }
        (State::Pending | State::Uploaded, Event::Blocked) => Some(State::Blocked),
        (State::Pending | State::Uploaded | State::Blocked, Event::Retired) => Some(State::Retired),
        (State::Pending, Event::LockProven | Event::ObjectMissing | Event::Released)
        | (State::Uploaded, Event::PutSucceeded | Event::Adopted | Event::Released)
        | (
            State::Blocked,
            Event::PutSucceeded
            | Event::Adopted
            | Event::LockProven
            | Event::Deferred
            | Event::ObjectMissing
            | Event::Blocked,
        )
        | (State::Confirmed | State::Retired, _) => None,
    }
}

/// Why a delivery waits for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockedReason {
    /// The file on disk is not what the order names.
    LocalBytesDiffer,
    /// Larger than S3 or this store takes.
    TooLarge,
    /// Other bytes are stored under this key.
    Conflict,
    /// The version that we stored holds other bytes than we sent.
    StoredBytesDiffer,
    /// No COMPLIANCE lock of the asked length could be proven.
    LockMissing,
    /// The store refuses this object itself, whatever we do.
    Refused,
}

impl BlockedReason {
    /// All reasons.
    pub const ALL: [Self; 6] = [
        Self::LocalBytesDiffer,
        Self::TooLarge,
        Self::Conflict,
        Self::StoredBytesDiffer,
        Self::LockMissing,
        Self::Refused,
    ];

    /// The name in SQL, JSON and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LocalBytesDiffer => "local_bytes_differ",
            Self::TooLarge => "too_large",
            Self::Conflict => "conflict",
            Self::StoredBytesDiffer => "stored_bytes_differ",
            Self::LockMissing => "lock_missing",
            Self::Refused => "refused",
        }
    }

    /// The inverse of [`BlockedReason::as_str`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == name)
    }

    /// What an operator can do about it.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::LocalBytesDiffer => {
                "restart the agent, which publishes the file again from spool.db, then `msp-evidence \
                 blocked release`"
            }
            Self::TooLarge => {
                "the store takes no object of this size (S3: 5 TiB); the file is kept on this \
                 host; have the executor split it"
            }
            Self::Conflict => {
                "find out who wrote to this prefix; nothing was overwritten, and ours is kept on \
                 this host; then `msp-evidence reseal`"
            }
            Self::StoredBytesDiffer => {
                "the store did not keep what it was sent; have its operator look, then `msp-evidence \
                 blocked release`, which reads the stored bytes again"
            }
            Self::LockMissing => {
                "check Object Lock on the bucket and the permissions s3:PutObjectRetention and \
                 s3:GetObjectRetention (a GOVERNANCE lock only the bucket's administrator can make \
                 COMPLIANCE, with a bypass), then `msp-evidence blocked release`"
            }
            Self::Refused => {
                "read the store's words above, correct the bucket or its policy, then `msp-evidence \
                 blocked release`"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The diagram above, as a table: everything that is not here is illegal.
    const EDGES: [(State, Event, State); 12] = [
        (State::Pending, Event::PutSucceeded, State::Uploaded),
        (State::Pending, Event::Adopted, State::Uploaded),
        (State::Pending, Event::Deferred, State::Pending),
        (State::Pending, Event::Blocked, State::Blocked),
        (State::Pending, Event::Retired, State::Retired),
        (State::Uploaded, Event::LockProven, State::Confirmed),
        (State::Uploaded, Event::Deferred, State::Uploaded),
        (State::Uploaded, Event::ObjectMissing, State::Pending),
        (State::Uploaded, Event::Blocked, State::Blocked),
        (State::Uploaded, Event::Retired, State::Retired),
        (State::Blocked, Event::Released, State::Pending),
        (State::Blocked, Event::Retired, State::Retired),
    ];

    #[test]
    fn the_transition_function_is_exactly_the_diagram() {
        for state in State::ALL {
            for event in Event::ALL {
                let expected = EDGES
                    .iter()
                    .find(|(s, e, _)| (*s, *e) == (state, event))
                    .map(|(_, _, to)| *to);
                assert_eq!(next(state, event), expected, "{state:?} {event:?}");
            }
        }
    }

    #[test]
    fn only_a_proven_lock_confirms_and_nothing_leaves_confirmed_or_retired() {
        for state in State::ALL {
            for event in Event::ALL {
                if next(state, event) == Some(State::Confirmed) {
                    assert_eq!((state, event), (State::Uploaded, Event::LockProven));
                }
            }
        }
        for event in Event::ALL {
            assert_eq!(next(State::Confirmed, event), None);
            assert_eq!(next(State::Retired, event), None);
        }
    }

    #[test]
    fn random_histories_confirm_only_after_a_version_is_known() {
        let seed = fastrand::u64(..);
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..20_000 {
            // The model: what the event names claim, tracked without the function under test.
            let (mut state, mut stored, mut done) = (State::Pending, false, false);
            for _ in 0..12 {
                let event = Event::ALL[rng.usize(..Event::ALL.len())];
                let Some(to) = next(state, event) else {
                    continue;
                };
                assert!(!done, "seed {seed}: left a final state by {event:?}");
                match event {
                    Event::PutSucceeded | Event::Adopted => stored = true,
                    Event::ObjectMissing | Event::Released => stored = false,
                    Event::LockProven => {
                        assert!(stored, "seed {seed}: confirmed without a version");
                        done = true;
                    }
                    Event::Retired => done = true,
                    Event::Deferred | Event::Blocked => {}
                }
                state = to;
                assert_eq!(
                    done,
                    matches!(state, State::Confirmed | State::Retired),
                    "seed {seed}"
                );
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        assert!(
            State::ALL
                .iter()
                .all(|s| State::from_name(s.as_str()) == Some(*s))
        );
        assert!(
            BlockedReason::ALL
                .iter()
                .all(|r| BlockedReason::from_name(r.as_str()) == Some(*r))
        );
        assert_eq!(State::from_name("done"), None);
    }

    #[test]
    fn events_have_the_names_of_the_log() {
        let names = Event::ALL.map(Event::as_str);
        assert_eq!(
            names,
            [
                "put_succeeded",
                "adopted",
                "lock_proven",
                "deferred",
                "object_missing",
                "blocked",
                "released",
                "retired"
            ]
        );
    }

    #[test]
    fn every_reason_tells_an_operator_what_to_do() {
        for reason in BlockedReason::ALL {
            let hint = reason.hint();
            let ends = hint.contains("msp-evidence blocked release")
                || hint.contains("msp-evidence reseal")
                || reason == BlockedReason::TooLarge;
            assert!(ends && hint.contains(' '), "{reason:?}: {hint}");
        }
        assert!(BlockedReason::TooLarge.hint().contains("split"));
        assert!(BlockedReason::Conflict.hint().contains("reseal"));
    }
}
