//! From uploaded to confirmed: decides, does no I/O.
//!
//! Identity comes before the lock: a version is never locked for years before its bytes are known
//! to be ours. The lock is asked for once more when it is missing, and believed only when it is
//! read back. `Lock::Unknown` is not a lock.

use destination::{Class, Failure, Lock, Stored};
use evidence::digest::Sha256;
use evidence::handover::Proof;
use jiff::Timestamp;

use super::place::out_of_step;
use super::{Answer, Ask, Next};

/// The end of a run.
#[derive(Debug)]
pub(crate) enum Proven {
    /// Identical, and locked until then.
    Confirmed {
        stored: Stored,
        proof: Proof,
        locked_until: Timestamp,
    },
    /// The store says that the version does not exist.
    Missing,
    /// The version holds other bytes than ours.
    OtherBytes { what: &'static str },
    /// No COMPLIANCE lock of the asked length, after asking for it once more.
    LockMissing {
        found: Lock,
        refusal: Option<Failure>,
    },
    /// Could not be found out now.
    Failed(Failure),
}

/// What must be true of the version.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) version_id: String,
    pub(crate) sha256: Sha256,
    pub(crate) size_bytes: u64,
    /// The ETag of what we sent in this run, where MD5 is allowed: made of the MD5 of the bytes, or
    /// of the MD5s of the parts.
    pub(crate) etag: Option<String>,
    /// How many parts our bytes make, if hashing them again could prove identity.
    pub(crate) parts: Option<u64>,
    /// The version's bytes were read back in this run and are ours.
    pub(crate) read_back: bool,
    pub(crate) retain_until: Timestamp,
}

/// One run.
#[derive(Debug)]
pub(crate) struct Prove {
    claim: Claim,
    phase: Phase,
    proof: Option<Proof>,
    lock_asked: bool,
    refusal: Option<Failure>,
}

#[derive(Debug)]
enum Phase {
    Inspecting,
    Hashing(Stored),
    Reading(Stored),
    Locking,
}

impl Prove {
    /// A run for a version that we believe to be ours.
    pub(crate) fn new(claim: Claim) -> Self {
        Self {
            phase: Phase::Inspecting,
            proof: claim.read_back.then_some(Proof::ReadBack),
            claim,
            lock_asked: false,
            refusal: None,
        }
    }

    /// The first question.
    pub(crate) fn start(&mut self) -> Next<Proven> {
        self.inspect()
    }

    /// The next question, or the end.
    pub(crate) fn answered(&mut self, answer: Answer) -> Next<Proven> {
        let phase = std::mem::replace(&mut self.phase, Phase::Inspecting);
        match (phase, answer) {
            (Phase::Inspecting, Answer::Inspected(None)) => Next::End(Proven::Missing),
            (Phase::Inspecting, Answer::Inspected(Some(stored))) => self.identify(stored),
            (Phase::Reading(stored), Answer::ReadBack(read)) => {
                if read.sha256 != self.claim.sha256 || read.size_bytes != self.claim.size_bytes {
                    return Next::End(Proven::OtherBytes {
                        what: "the bytes read back",
                    });
                }
                self.check_lock(stored, Proof::ReadBack)
            }
            (Phase::Hashing(stored), Answer::Hashed(etag)) => {
                self.claim.etag = etag;
                // Asked once: what the disk cannot prove, the store's bytes do.
                self.claim.parts = None;
                self.identify(stored)
            }
            (Phase::Locking, Answer::Locked) => self.inspect(),
            // The store's own No to the lock is not the end: what it holds now decides.
            (Phase::Locking, Answer::Failed(failure)) if is_refusal(&failure) => {
                self.refusal = Some(failure);
                self.inspect()
            }
            (_, Answer::Failed(failure)) => Next::End(Proven::Failed(failure)),
            (phase, answer) => {
                Next::End(Proven::Failed(out_of_step(&format!("{phase:?}"), &answer)))
            }
        }
    }

    fn inspect(&mut self) -> Next<Proven> {
        self.phase = Phase::Inspecting;
        Next::Ask(Ask::Inspect(self.claim.version_id.clone()))
    }

    fn identify(&mut self, stored: Stored) -> Next<Proven> {
        if stored.size_bytes != self.claim.size_bytes {
            return Next::End(Proven::OtherBytes { what: "the size" });
        }
        if stored
            .sha256
            .is_some_and(|sha256| sha256 != self.claim.sha256)
        {
            return Next::End(Proven::OtherBytes {
                what: "the store's SHA-256",
            });
        }
        if let Some(proof) = self.proof.or_else(|| self.proof_in(&stored)) {
            return self.check_lock(stored, proof);
        }
        if self.is_worth_hashing(&stored) {
            self.phase = Phase::Hashing(stored);
            return Next::Ask(Ask::HashLocal);
        }
        self.phase = Phase::Reading(stored);
        Next::Ask(Ask::ReadBack(self.claim.version_id.clone()))
    }

    fn proof_in(&self, stored: &Stored) -> Option<Proof> {
        if stored.sha256 == Some(self.claim.sha256) {
            return Some(Proof::ServerSha256);
        }
        let ours = self.claim.etag.as_deref().filter(|_| stored.etag_is_md5)?;
        stored
            .etag
            .as_deref()
            .is_some_and(|etag| etag.eq_ignore_ascii_case(ours))
            .then_some(Proof::EtagMd5)
    }

    /// The store's ETag is made of as many parts as ours would be, and what we know of ours went
    /// with an earlier run: the local disk is nearer than the store.
    fn is_worth_hashing(&self, stored: &Stored) -> bool {
        let (Some(parts), None, true) = (self.claim.parts, &self.claim.etag, stored.etag_is_md5)
        else {
            return false;
        };
        let etag = stored.etag.as_deref().unwrap_or_default();
        etag.ends_with(&format!("-{parts}"))
    }

    fn check_lock(&mut self, stored: Stored, proof: Proof) -> Next<Proven> {
        self.proof = Some(proof);
        match stored.lock {
            Lock::Compliance(until) if until >= self.claim.retain_until => {
                Next::End(Proven::Confirmed {
                    stored,
                    proof,
                    locked_until: until,
                })
            }
            _ if !self.lock_asked => {
                self.lock_asked = true;
                self.phase = Phase::Locking;
                Next::Ask(Ask::Lock(
                    self.claim.version_id.clone(),
                    self.claim.retain_until,
                ))
            }
            found => Next::End(Proven::LockMissing {
                found,
                refusal: self.refusal.take(),
            }),
        }
    }
}

/// Whether the store refuses to lock this version, as opposed to not answering, or to refusing
/// the credentials altogether.
fn is_refusal(failure: &Failure) -> bool {
    match failure.class {
        Class::BlockItem => true,
        Class::Park => matches!(failure.code.as_str(), "AccessDenied" | "Forbidden" | "403"),
        Class::Transient => failure.status == Some(501),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use destination::ReadBack;

    use super::super::testing::*;
    use super::*;

    fn claim() -> Claim {
        Claim {
            version_id: "v1".to_owned(),
            sha256: SHA,
            size_bytes: SIZE,
            etag: None,
            parts: None,
            read_back: false,
            retain_until: until(),
        }
    }

    fn run(etag: Option<&str>, answers: Vec<Answer>) -> (Vec<Ask>, Proven) {
        let etag = etag.map(str::to_owned);
        run_claim(Claim { etag, ..claim() }, answers)
    }

    fn run_claim(claim: Claim, answers: Vec<Answer>) -> (Vec<Ask>, Proven) {
        let mut prove = Prove::new(claim);
        let mut asked = Vec::new();
        let mut next = prove.start();
        let mut answers = answers.into_iter();
        loop {
            match next {
                Next::Ask(ask) => asked.push(ask),
                Next::End(end) => {
                    assert!(
                        answers.next().is_none(),
                        "ended before all answers: {end:?}"
                    );
                    return (asked, end);
                }
            }
            next = prove.answered(answers.next().expect("one answer more"));
        }
    }

    fn inspect() -> Ask {
        Ask::Inspect("v1".to_owned())
    }

    fn lock() -> Ask {
        Ask::Lock("v1".to_owned(), until())
    }

    fn second_before() -> Lock {
        Lock::Compliance(
            until()
                .checked_sub(jiff::SignedDuration::from_secs(1))
                .unwrap(),
        )
    }

    #[test]
    fn the_servers_sha256_and_a_long_enough_lock_confirm_in_one_look() {
        let (asked, end) = run(None, vec![inspected("v1", good_lock(), Some(SHA))]);
        assert_eq!(asked, [inspect()]);
        assert!(
            matches!(end, Proven::Confirmed { proof: Proof::ServerSha256, locked_until, .. }
            if locked_until == until())
        );
    }

    const ETAG: &str = "abababababababababababababababab";
    const ETAG_OF_3: &str = "abababababababababababababababab-3";

    fn with_etag(etag: &str, etag_is_md5: bool) -> Answer {
        Answer::Inspected(Some(Stored {
            etag: Some(etag.to_owned()),
            etag_is_md5,
            ..stored("v1", good_lock(), None)
        }))
    }

    fn read() -> Answer {
        Answer::ReadBack(ReadBack {
            sha256: SHA,
            size_bytes: SIZE,
        })
    }

    #[test]
    fn identity_by_etag_needs_the_stores_word_that_it_is_made_of_md5s_and_the_whole_of_it() {
        for etag in [ETAG, ETAG_OF_3] {
            for answer in [etag.to_owned(), etag.to_uppercase()] {
                let (_, end) = run(Some(etag), vec![with_etag(&answer, true)]);
                assert!(matches!(
                    end,
                    Proven::Confirmed {
                        proof: Proof::EtagMd5,
                        ..
                    }
                ));
            }
        }
        // Everything less is read back.
        for (ours, etag, is_md5) in [
            (Some(ETAG), ETAG, false),
            (None, ETAG, true),
            (None, ETAG_OF_3, true),
            (Some(ETAG), ETAG_OF_3, true),
            (Some(ETAG_OF_3), ETAG, true),
            (Some(ETAG_OF_3), "abababababababababababababababab-4", true),
            (Some(ETAG_OF_3), "ababababababababababababababab00-3", true),
        ] {
            let (asked, end) = run(ours, vec![with_etag(etag, is_md5), read()]);
            assert_eq!(asked, [inspect(), Ask::ReadBack("v1".to_owned())]);
            assert!(matches!(
                end,
                Proven::Confirmed {
                    proof: Proof::ReadBack,
                    ..
                }
            ));
        }
    }

    #[test]
    fn after_a_restart_our_own_bytes_are_hashed_again_before_the_stores_are_read() {
        let claim = || Claim {
            parts: Some(3),
            ..claim()
        };
        let hashed = |etag: Option<&str>| Answer::Hashed(etag.map(str::to_owned));
        let answers = vec![with_etag(ETAG_OF_3, true), hashed(Some(ETAG_OF_3))];
        let (asked, end) = run_claim(claim(), answers);
        assert_eq!(asked, [inspect(), Ask::HashLocal]);
        assert!(matches!(
            end,
            Proven::Confirmed {
                proof: Proof::EtagMd5,
                ..
            }
        ));
        // Not at hand, or not the same: the store's bytes decide.
        for etag in [None, Some(ETAG), Some("00-3")] {
            let answers = vec![with_etag(ETAG_OF_3, true), hashed(etag), read()];
            let (asked, end) = run_claim(claim(), answers);
            assert_eq!(asked.len(), 3);
            assert!(matches!(
                end,
                Proven::Confirmed {
                    proof: Proof::ReadBack,
                    ..
                }
            ));
        }
        // Cut otherwise, or encrypted by a key: nothing to be compared with.
        for (etag, is_md5) in [(ETAG, true), ("00-13", true), (ETAG_OF_3, false)] {
            let (asked, _) = run_claim(claim(), vec![with_etag(etag, is_md5), read()]);
            assert!(!asked.contains(&Ask::HashLocal), "{etag}");
        }
    }

    #[test]
    fn what_was_read_back_in_this_run_is_not_read_again() {
        let claim = || Claim {
            read_back: true,
            ..claim()
        };
        let (asked, end) = run_claim(claim(), vec![inspected("v1", good_lock(), None)]);
        assert_eq!(asked, [inspect()]);
        assert!(matches!(
            end,
            Proven::Confirmed {
                proof: Proof::ReadBack,
                ..
            }
        ));
        // But what the store says of it still counts.
        let (_, end) = run_claim(claim(), vec![inspected("v1", good_lock(), Some(OTHER))]);
        assert!(matches!(end, Proven::OtherBytes { .. }));
    }

    #[test]
    fn other_bytes_are_never_confirmed_and_never_locked() {
        let wrong_size = Answer::Inspected(Some(Stored {
            size_bytes: SIZE + 1,
            ..stored("v1", Lock::Unlocked, Some(SHA))
        }));
        let cases = [
            vec![wrong_size],
            vec![inspected("v1", Lock::Unlocked, Some(OTHER))],
            vec![
                inspected("v1", Lock::Unlocked, None),
                Answer::ReadBack(ReadBack {
                    sha256: OTHER,
                    size_bytes: SIZE,
                }),
            ],
            vec![
                inspected("v1", good_lock(), None),
                Answer::ReadBack(ReadBack {
                    sha256: SHA,
                    size_bytes: SIZE - 1,
                }),
            ],
        ];
        for answers in cases {
            let (asked, end) = run(None, answers);
            assert!(matches!(end, Proven::OtherBytes { .. }), "{end:?}");
            assert!(!asked.contains(&lock()));
        }
    }

    #[test]
    fn every_lock_that_is_not_good_enough_is_asked_for_once_and_then_believed_only_when_read_back()
    {
        let bad = [
            Lock::Unlocked,
            Lock::Unknown,
            Lock::Governance(until()),
            second_before(),
        ];
        for first in bad {
            let (asked, end) = run(
                None,
                vec![
                    inspected("v1", first, Some(SHA)),
                    Answer::Locked,
                    inspected("v1", good_lock(), Some(SHA)),
                ],
            );
            assert_eq!(asked, [inspect(), lock(), inspect()]);
            assert!(matches!(end, Proven::Confirmed { .. }), "{first:?}");
            for second in bad {
                let (asked, end) = run(
                    None,
                    vec![
                        inspected("v1", first, Some(SHA)),
                        Answer::Locked,
                        inspected("v1", second, Some(SHA)),
                    ],
                );
                assert_eq!(asked.iter().filter(|a| **a == lock()).count(), 1);
                assert!(matches!(end, Proven::LockMissing { found, .. } if found == second));
            }
        }
    }

    #[test]
    fn a_refused_lock_is_lock_missing_unless_the_version_turns_out_to_be_locked() {
        let denied = || {
            Answer::Failed(Failure {
                code: "AccessDenied".to_owned(),
                ..failure(Class::Park)
            })
        };
        let not_implemented = || {
            Answer::Failed(Failure {
                status: Some(501),
                ..failure(Class::Transient)
            })
        };
        for refusal in [
            denied(),
            not_implemented(),
            Answer::Failed(failure(Class::BlockItem)),
        ] {
            let (_, end) = run(
                None,
                vec![
                    inspected("v1", Lock::Unlocked, Some(SHA)),
                    refusal,
                    inspected("v1", Lock::Unlocked, Some(SHA)),
                ],
            );
            assert!(
                matches!(
                    end,
                    Proven::LockMissing {
                        refusal: Some(_),
                        ..
                    }
                ),
                "{end:?}"
            );
        }
        let (_, end) = run(
            None,
            vec![
                inspected("v1", Lock::Unknown, Some(SHA)),
                denied(),
                inspected("v1", good_lock(), Some(SHA)),
            ],
        );
        assert!(matches!(end, Proven::Confirmed { .. }));
    }

    #[test]
    fn a_failure_says_nothing_about_the_lock_and_a_missing_version_is_missing() {
        for class in [
            Class::Transient,
            Class::Clock,
            Class::Park,
            Class::ConflictRetry,
            Class::OutcomeUnknown,
        ] {
            let phases: [Vec<Answer>; 3] = [
                vec![],
                vec![inspected("v1", good_lock(), None)],
                vec![inspected("v1", Lock::Unlocked, Some(SHA))],
            ];
            for mut answers in phases {
                answers.push(Answer::Failed(failure(class)));
                assert!(matches!(run(None, answers).1, Proven::Failed(f) if f.class == class));
            }
        }
        assert!(matches!(
            run(None, vec![Answer::Inspected(None)]).1,
            Proven::Missing
        ));
        // Also when it goes between the lock and the second look.
        let answers = vec![
            inspected("v1", Lock::Unlocked, Some(SHA)),
            Answer::Locked,
            Answer::Inspected(None),
        ];
        assert!(matches!(run(None, answers).1, Proven::Missing));
    }

    #[test]
    fn no_history_of_answers_confirms_without_identity_and_a_long_enough_compliance_lock() {
        let seed = fastrand::u64(..);
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..20_000 {
            let mut prove = Prove::new(claim());
            let mut next = prove.start();
            let (mut identical, mut locked) = (false, false);
            for _ in 0..8 {
                let ask = match next {
                    Next::Ask(ask) => ask,
                    Next::End(Proven::Confirmed { .. }) => {
                        assert!(identical && locked, "seed {seed}");
                        break;
                    }
                    Next::End(_) => break,
                };
                let answer = match ask {
                    Ask::Inspect(_) => {
                        let lock = [
                            good_lock(),
                            second_before(),
                            Lock::Unlocked,
                            Lock::Unknown,
                            Lock::Governance(until()),
                        ][rng.usize(..5)];
                        let sha256 = [Some(SHA), Some(OTHER), None][rng.usize(..3)];
                        locked = lock == good_lock();
                        identical = sha256 == Some(SHA) || (sha256.is_none() && identical);
                        inspected("v1", lock, sha256)
                    }
                    Ask::ReadBack(_) => {
                        let sha256 = [SHA, OTHER][rng.usize(..2)];
                        identical = sha256 == SHA;
                        Answer::ReadBack(ReadBack {
                            sha256,
                            size_bytes: SIZE,
                        })
                    }
                    Ask::Lock(..) if rng.bool() => Answer::Locked,
                    _ => Answer::Failed(failure(Class::BlockItem)),
                };
                next = prove.answered(answer);
            }
        }
    }
}
