//! What may happen: the steps that a sequence is drawn from.

use proptest::prelude::*;
use sandbox::{Action, Fault, Sandbox};

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A new incident is dropped, or the same one again.
    Drop(u8),
    /// An incident of a known id is dropped with other bytes.
    DropChanged(u8),
    /// An incident with artifacts is dropped.
    DropFolder(u8),
    /// Something that is no incident is dropped.
    DropBroken,
    /// The agent makes so many passes.
    Seal(u8),
    /// The uploader works for so many milliseconds.
    Deliver(u8),
    /// The machine dies at the n-th system call from now on.
    Die(u16, Death),
    /// Both daemons are stopped in good order.
    Stop,
    /// The store misbehaves on its next requests.
    Server(Mischief, u8),
    /// The store behaves again.
    ServerHeals,
    /// The host's clock jumps, in minutes.
    Clock(i16),
    /// An hour passes, after which custody is due.
    Hour,
    /// The disk is full, or not any more.
    Full(bool),
    /// Another limit of drops in one transaction, from the next start on.
    GroupLimit(u8),
    /// delivery.db is gone at the next start.
    LoseDelivery,
}

/// How the machine dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Every process is killed.
    Kill,
    /// The power fails, and nothing that was not synced is left.
    PowerCut,
    /// The power fails, and some of what was not synced is left.
    TornPowerCut(u64),
}

/// How a store misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    /// 503 SlowDown.
    SlowDown,
    /// 500 after it did what was asked.
    FailsAfterCommit,
    /// The connection ends before anything is done.
    DropsRequest,
    /// The connection ends after everything is done.
    DropsAnswer,
    /// 409.
    Conflict,
    /// 403 AccessDenied.
    Denies,
    /// The body of an answer is cut off.
    CutsBody,
    /// Checksums are not told.
    HidesChecksum,
    /// Locks are dropped without a word.
    LosesLock,
    /// `If-None-Match` is ignored.
    IgnoresCondition,
    /// Its clock is an hour ahead.
    ClockAhead,
    /// Its clock is an hour behind.
    ClockBehind,
}

impl Mischief {
    const ALL: [Self; 12] = [
        Self::SlowDown,
        Self::FailsAfterCommit,
        Self::DropsRequest,
        Self::DropsAnswer,
        Self::Conflict,
        Self::Denies,
        Self::CutsBody,
        Self::HidesChecksum,
        Self::LosesLock,
        Self::IgnoresCondition,
        Self::ClockAhead,
        Self::ClockBehind,
    ];

    pub(super) fn apply(self, sandbox: &Sandbox, times: u8) {
        let answer = |status, code: &str| Action::Answer {
            status,
            code: code.to_owned(),
            message: String::new(),
        };
        let (operation, action) = match self {
            Self::SlowDown => (None, answer(503, "SlowDown")),
            Self::FailsAfterCommit => (
                Some("PutObject"),
                Action::AnswerAfterCommit {
                    status: 500,
                    code: "InternalError".to_owned(),
                    message: String::new(),
                },
            ),
            Self::DropsRequest => (None, Action::DropBeforeCommit),
            Self::DropsAnswer => (None, Action::DropAfterCommit),
            Self::Conflict => (Some("PutObject"), answer(409, "ConditionalRequestConflict")),
            Self::Denies => (None, answer(403, "AccessDenied")),
            Self::CutsBody => (None, Action::CutBody { after_bytes: 10 }),
            Self::HidesChecksum => (None, Action::HideChecksum),
            Self::LosesLock => (Some("PutObject"), Action::LoseLock),
            Self::IgnoresCondition => (Some("PutObject"), Action::IgnoreIfNoneMatch),
            Self::ClockAhead => return sandbox.clock().set_offset_secs(3600),
            Self::ClockBehind => return sandbox.clock().set_offset_secs(-3600),
        };
        sandbox.faults().add(Fault {
            operation: operation.map(str::to_owned),
            key_contains: None,
            skip: 0,
            times: Some(u64::from(times)),
            action,
        });
    }
}

/// Sequences of at most `longest` steps.
pub fn sequences(longest: usize) -> impl Strategy<Value = Vec<Step>> {
    let death = prop_oneof![
        Just(Death::Kill),
        Just(Death::PowerCut),
        any::<u64>().prop_map(Death::TornPowerCut),
    ];
    let step = prop_oneof![
        6 => (0..12_u8).prop_map(Step::Drop),
        1 => (0..12_u8).prop_map(Step::DropChanged),
        2 => (0..4_u8).prop_map(Step::DropFolder),
        1 => Just(Step::DropBroken),
        9 => (1..4_u8).prop_map(Step::Seal),
        9 => (1..30_u8).prop_map(Step::Deliver),
        12 => (1..100_u16, death).prop_map(|(n, death)| Step::Die(n, death)),
        1 => Just(Step::Stop),
        3 => (0..Mischief::ALL.len(), 1..4_u8)
            .prop_map(|(n, times)| Step::Server(Mischief::ALL[n], times)),
        1 => Just(Step::ServerHeals),
        2 => (-1500..1500_i16).prop_map(Step::Clock),
        3 => Just(Step::Hour),
        1 => any::<bool>().prop_map(Step::Full),
        1 => (1..9_u8).prop_map(Step::GroupLimit),
        1 => Just(Step::LoseDelivery),
    ];
    proptest::collection::vec(step, 5..longest)
}
