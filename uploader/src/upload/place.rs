//! From pending to uploaded: decides, does no I/O.
//!
//! At most one PUT in a run. After an answer that leaves open what happened, the key is looked
//! at: what is ours is adopted, what is not ours is never overwritten, and when nothing is there
//! the next run looks once more before it puts again. So two versions of one object arise only
//! where a store breaks its own promises, and even then neither is lost.

use destination::{Class, Failure, Lock, ObjectVersion, Stored};
use evidence::digest::Sha256;
use jiff::Timestamp;

use super::{Answer, Ask, Next, retain};

/// The end of a run.
#[derive(Debug)]
pub(crate) enum Placed {
    /// Our PUT made this version.
    Put {
        version_id: String,
        etag: Option<String>,
        sha256: Option<Sha256>,
    },
    /// This version at the key is ours.
    Adopted {
        stored: Stored,
        retain_until: Timestamp,
        overlaid: bool,
        /// Its bytes were read back in this run, as the store gave no SHA-256.
        read_back: bool,
    },
    /// Other bytes are stored under the key.
    Conflict { version_id: String, versions: usize },
    /// The store took the bytes and named no version: the bucket is not versioned.
    NotVersioned,
    /// The store says that the key is taken and shows nothing of ours or anybody's there.
    Vanished,
    /// Could not be done now.
    Failed(Failure),
}

/// What is known before the run.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) sha256: Sha256,
    pub(crate) size_bytes: u64,
    pub(crate) retention_days: u32,
    /// What this run asks of the store.
    pub(crate) retain_until: Timestamp,
}

/// One run.
#[derive(Debug)]
pub(crate) struct Place {
    wanted: Wanted,
    phase: Phase,
    /// The PUT that led to looking, if one did.
    put_failed: Option<Failure>,
    /// Versions of the key that are not markers, ours or not.
    versions: Vec<ObjectVersion>,
    /// Still to be inspected, next one last.
    candidates: Vec<ObjectVersion>,
    /// Ours, but not locked as it should be; the newest such, and whether it was read back.
    unlocked: Option<(Stored, bool)>,
    /// The store's SHA-256 is believed.
    believes_checksum: bool,
}

#[derive(Debug)]
enum Phase {
    Start { look_first: bool },
    Putting,
    Listing,
    Inspecting,
    Reading(Stored),
}

impl Place {
    /// A run for an object of which a PUT may have been sent before (`look_first`), or not.
    pub(crate) const fn new(wanted: Wanted, look_first: bool) -> Self {
        Self {
            wanted,
            phase: Phase::Start { look_first },
            put_failed: None,
            versions: Vec::new(),
            candidates: Vec::new(),
            unlocked: None,
            believes_checksum: true,
        }
    }

    /// The same, for an object of which the store has once kept other bytes: what it says of them
    /// is not asked, they are read.
    pub(crate) fn reading_back(self) -> Self {
        Self {
            believes_checksum: false,
            ..self
        }
    }

    /// The first question.
    pub(crate) fn start(&mut self) -> Next<Placed> {
        match self.phase {
            Phase::Start { look_first: true } => self.list(),
            _ => self.put(),
        }
    }

    /// The next question, or the end.
    pub(crate) fn answered(&mut self, answer: Answer) -> Next<Placed> {
        let phase = std::mem::replace(&mut self.phase, Phase::Listing);
        match (phase, answer) {
            (Phase::Putting, Answer::Put(put)) => Next::End(match put.version_id {
                Some(version_id) => Placed::Put {
                    version_id,
                    etag: put.etag,
                    sha256: put.sha256,
                },
                None => Placed::NotVersioned,
            }),
            (Phase::Putting, Answer::Failed(failure))
                if matches!(failure.class, Class::Occupied | Class::OutcomeUnknown) =>
            {
                self.put_failed = Some(failure);
                self.list()
            }
            (Phase::Listing, Answer::Versions(versions)) => self.listed(versions),
            (Phase::Inspecting, Answer::Inspected(stored)) => match stored {
                Some(stored) if stored.size_bytes == self.wanted.size_bytes => {
                    match stored.sha256.filter(|_| self.believes_checksum) {
                        Some(sha256) if sha256 == self.wanted.sha256 => self.ours(stored, false),
                        Some(_) => self.inspect_next(),
                        None => {
                            let version_id = stored.version_id.clone();
                            self.phase = Phase::Reading(stored);
                            Next::Ask(Ask::ReadBack(version_id))
                        }
                    }
                }
                _ => self.inspect_next(),
            },
            (Phase::Reading(stored), Answer::ReadBack(read)) => {
                if read.sha256 == self.wanted.sha256 && read.size_bytes == self.wanted.size_bytes {
                    self.ours(stored, true)
                } else {
                    self.inspect_next()
                }
            }
            (_, Answer::Failed(failure)) => Next::End(Placed::Failed(failure)),
            (phase, answer) => {
                Next::End(Placed::Failed(out_of_step(&format!("{phase:?}"), &answer)))
            }
        }
    }

    fn put(&mut self) -> Next<Placed> {
        self.phase = Phase::Putting;
        Next::Ask(Ask::Put)
    }

    fn list(&mut self) -> Next<Placed> {
        self.phase = Phase::Listing;
        Next::Ask(Ask::Versions)
    }

    fn listed(&mut self, versions: Vec<ObjectVersion>) -> Next<Placed> {
        self.versions = versions;
        let content = self.versions.iter().filter(|v| !v.is_delete_marker);
        if content.clone().next().is_none() {
            return match self.put_failed.take() {
                // Looked before the first PUT of this run, and the key is free.
                None => self.put(),
                Some(failure) if failure.class == Class::Occupied => Next::End(Placed::Vanished),
                // Nothing arrived, or it has not become visible: the next run looks again.
                Some(failure) => Next::End(Placed::Failed(failure)),
            };
        }
        // Newest last in this list, so popped first.
        self.candidates = content
            .filter(|v| v.size_bytes == self.wanted.size_bytes)
            .rev()
            .cloned()
            .collect();
        self.inspect_next()
    }

    fn inspect_next(&mut self) -> Next<Placed> {
        if let Some(candidate) = self.candidates.pop() {
            self.phase = Phase::Inspecting;
            return Next::Ask(Ask::Inspect(candidate.version_id));
        }
        if let Some((stored, read_back)) = self.unlocked.take() {
            return self.adopt(stored, read_back);
        }
        let content = || self.versions.iter().filter(|v| !v.is_delete_marker);
        Next::End(match content().next() {
            Some(newest) => Placed::Conflict {
                version_id: newest.version_id.clone(),
                versions: content().count(),
            },
            None => Placed::Vanished,
        })
    }

    fn ours(&mut self, stored: Stored, read_back: bool) -> Next<Placed> {
        if matches!(stored.lock, Lock::Compliance(until) if until >= self.required(&stored)) {
            return self.adopt(stored, read_back);
        }
        // Another of ours may be locked already; else this one will be.
        self.unlocked.get_or_insert((stored, read_back));
        self.inspect_next()
    }

    fn adopt(&self, stored: Stored, read_back: bool) -> Next<Placed> {
        let overlaid = self
            .versions
            .first()
            .is_some_and(|newest| newest.version_id != stored.version_id);
        Next::End(Placed::Adopted {
            retain_until: self.required(&stored),
            stored,
            overlaid,
            read_back,
        })
    }

    fn required(&self, stored: &Stored) -> Timestamp {
        retain::of_adopted(
            self.wanted.retain_until,
            stored.last_modified,
            self.wanted.retention_days,
        )
    }
}

/// An answer to a question that was not asked: a fault in this program, retried like a failure.
pub(super) fn out_of_step(phase: &str, answer: &Answer) -> Failure {
    Failure {
        class: Class::Transient,
        operation: "decide",
        code: "OutOfStep".to_owned(),
        status: None,
        message: format!("{phase} was answered with {answer:?}"),
        server_date: None,
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use destination::{Put, ReadBack};

    use super::super::testing::*;
    use super::*;

    fn run(look_first: bool, answers: Vec<Answer>) -> (Vec<Ask>, Placed) {
        let mut place = Place::new(wanted(), look_first);
        let mut asked = Vec::new();
        let mut next = place.start();
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
            next = place.answered(answers.next().expect("one answer more"));
        }
    }

    fn inspect(version: &str) -> Ask {
        Ask::Inspect(version.to_owned())
    }

    fn put_ok(version_id: Option<&str>) -> Answer {
        Answer::Put(Put {
            version_id: version_id.map(str::to_owned),
            etag: None,
            sha256: None,
        })
    }

    #[test]
    fn a_first_attempt_puts_at_once_and_reports_the_version() {
        let (asked, end) = run(false, vec![put_ok(Some("v1"))]);
        assert_eq!(asked, [Ask::Put]);
        assert!(matches!(end, Placed::Put { version_id, .. } if version_id == "v1"));
    }

    #[test]
    fn a_put_that_names_no_version_means_an_unversioned_bucket() {
        assert!(matches!(
            run(false, vec![put_ok(None)]).1,
            Placed::NotVersioned
        ));
    }

    #[test]
    fn after_an_earlier_attempt_the_key_is_looked_at_before_another_put() {
        let (asked, end) = run(true, vec![Answer::Versions(vec![]), put_ok(Some("v1"))]);
        assert_eq!(asked, [Ask::Versions, Ask::Put]);
        assert!(matches!(end, Placed::Put { .. }));
    }

    #[test]
    fn ours_is_adopted_by_checksum_after_412_lost_response_or_crash() {
        let found = || {
            vec![
                Answer::Versions(vec![version("v1")]),
                inspected("v1", good_lock(), Some(SHA)),
            ]
        };
        for class in [Class::Occupied, Class::OutcomeUnknown] {
            let mut answers = vec![Answer::Failed(failure(class))];
            answers.extend(found());
            let (asked, end) = run(false, answers);
            assert_eq!(asked, [Ask::Put, Ask::Versions, inspect("v1")]);
            assert!(
                matches!(
                    end,
                    Placed::Adopted {
                        overlaid: false,
                        read_back: false,
                        ..
                    }
                ),
                "{class:?}"
            );
        }
        let (asked, end) = run(true, found());
        assert_eq!(asked, [Ask::Versions, inspect("v1")], "no second PUT");
        assert!(matches!(end, Placed::Adopted { .. }));
    }

    #[test]
    fn without_a_checksum_the_bytes_are_read_back() {
        let answers = |sha256, size_bytes| {
            vec![
                Answer::Versions(vec![version("v1")]),
                inspected("v1", good_lock(), None),
                Answer::ReadBack(ReadBack { sha256, size_bytes }),
            ]
        };
        let (asked, end) = run(true, answers(SHA, SIZE));
        assert_eq!(
            asked,
            [Ask::Versions, inspect("v1"), Ask::ReadBack("v1".to_owned())]
        );
        assert!(matches!(
            end,
            Placed::Adopted {
                read_back: true,
                ..
            }
        ));
        assert!(matches!(
            run(true, answers(OTHER, SIZE)).1,
            Placed::Conflict { .. }
        ));
        assert!(matches!(
            run(true, answers(SHA, SIZE - 1)).1,
            Placed::Conflict { .. }
        ));
    }

    #[test]
    fn once_a_store_kept_other_bytes_its_checksum_is_not_believed() {
        let mut place = Place::new(wanted(), true).reading_back();
        let mut next = place.start();
        for (asked, answer) in [
            (Ask::Versions, Answer::Versions(vec![version("v1")])),
            (inspect("v1"), inspected("v1", good_lock(), Some(SHA))),
            (
                Ask::ReadBack("v1".to_owned()),
                Answer::ReadBack(ReadBack {
                    sha256: OTHER,
                    size_bytes: SIZE,
                }),
            ),
        ] {
            assert!(matches!(next, Next::Ask(ask) if ask == asked));
            next = place.answered(answer);
        }
        assert!(matches!(next, Next::End(Placed::Conflict { .. })));
    }

    #[test]
    fn other_bytes_at_the_key_are_a_conflict_and_nothing_is_put() {
        for look_first in [false, true] {
            let mut answers = vec![
                Answer::Versions(vec![version("v1")]),
                inspected("v1", good_lock(), Some(OTHER)),
            ];
            if !look_first {
                answers.insert(0, Answer::Failed(failure(Class::Occupied)));
            }
            let (asked, end) = run(look_first, answers);
            assert!(
                matches!(end, Placed::Conflict { ref version_id, versions: 1 } if version_id == "v1")
            );
            assert_eq!(
                asked.iter().filter(|a| **a == Ask::Put).count(),
                usize::from(!look_first)
            );
        }
        // Another size needs no inspection.
        let bigger = ObjectVersion {
            size_bytes: SIZE + 1,
            ..version("v1")
        };
        let (asked, end) = run(true, vec![Answer::Versions(vec![bigger])]);
        assert_eq!(asked, [Ask::Versions]);
        assert!(matches!(end, Placed::Conflict { .. }));
    }

    #[test]
    fn ours_beneath_a_delete_marker_or_a_foreign_version_is_adopted_and_called_overlaid() {
        let marker = ObjectVersion {
            is_delete_marker: true,
            size_bytes: 0,
            ..version("m")
        };
        let answers = vec![
            Answer::Versions(vec![marker, version("v1")]),
            inspected("v1", good_lock(), Some(SHA)),
        ];
        assert!(matches!(
            run(true, answers).1,
            Placed::Adopted { overlaid: true, .. }
        ));
        let answers = vec![
            Answer::Versions(vec![version("foreign"), version("v1")]),
            inspected("foreign", good_lock(), Some(OTHER)),
            inspected("v1", good_lock(), Some(SHA)),
        ];
        let (_, end) = run(true, answers);
        assert!(
            matches!(end, Placed::Adopted { stored, overlaid: true, .. } if stored.version_id == "v1")
        );
    }

    #[test]
    fn only_delete_markers_means_that_nothing_is_there() {
        let marker = ObjectVersion {
            is_delete_marker: true,
            size_bytes: 0,
            ..version("m")
        };
        let (asked, _) = run(
            true,
            vec![Answer::Versions(vec![marker]), put_ok(Some("v2"))],
        );
        assert_eq!(asked, [Ask::Versions, Ask::Put]);
    }

    #[test]
    fn a_lost_response_with_nothing_stored_is_retried_later_not_put_at_once() {
        let answers = vec![
            Answer::Failed(failure(Class::OutcomeUnknown)),
            Answer::Versions(vec![]),
        ];
        let (asked, end) = run(false, answers);
        assert_eq!(asked, [Ask::Put, Ask::Versions]);
        assert!(matches!(end, Placed::Failed(f) if f.class == Class::OutcomeUnknown));
        let answers = vec![
            Answer::Failed(failure(Class::Occupied)),
            Answer::Versions(vec![]),
        ];
        assert!(matches!(run(false, answers).1, Placed::Vanished));
    }

    #[test]
    fn of_two_versions_of_ours_the_locked_one_is_adopted() {
        let answers = vec![
            Answer::Versions(vec![version("v2"), version("v1")]),
            inspected("v2", Lock::Unlocked, Some(SHA)),
            inspected("v1", good_lock(), Some(SHA)),
        ];
        assert!(
            matches!(run(true, answers).1, Placed::Adopted { stored, .. } if stored.version_id == "v1")
        );
        let answers = vec![
            Answer::Versions(vec![version("v2"), version("v1")]),
            inspected("v2", Lock::Unlocked, Some(SHA)),
            inspected("v1", Lock::Unknown, Some(SHA)),
        ];
        assert!(
            matches!(run(true, answers).1, Placed::Adopted { stored, .. } if stored.version_id == "v2")
        );
    }

    #[test]
    fn every_failure_in_every_phase_ends_the_run_without_a_second_put() {
        let classes = [
            Class::Transient,
            Class::ConflictRetry,
            Class::Park,
            Class::Clock,
            Class::BlockItem,
        ];
        for class in classes {
            let phases: [Vec<Answer>; 4] = [
                vec![],
                vec![Answer::Failed(failure(Class::Occupied))],
                vec![
                    Answer::Failed(failure(Class::Occupied)),
                    Answer::Versions(vec![version("v1")]),
                ],
                vec![
                    Answer::Failed(failure(Class::Occupied)),
                    Answer::Versions(vec![version("v1")]),
                    inspected("v1", good_lock(), None),
                ],
            ];
            for mut answers in phases {
                answers.push(Answer::Failed(failure(class)));
                let (asked, end) = run(false, answers);
                assert!(matches!(end, Placed::Failed(f) if f.class == class));
                assert_eq!(asked.iter().filter(|a| **a == Ask::Put).count(), 1);
            }
        }
    }

    #[test]
    fn an_adopted_version_need_not_be_locked_longer_than_promised_at_its_own_date() {
        // Stored ten days before, locked for exactly its retention from then; this run would ask
        // for ten days more.
        let stored_at = wanted()
            .retain_until
            .checked_sub(jiff::SignedDuration::from_hours(24 * 20))
            .unwrap();
        let until = stored_at
            .checked_add(jiff::SignedDuration::from_hours(24 * 10))
            .unwrap();
        let answers = vec![
            Answer::Versions(vec![version("v1")]),
            Answer::Inspected(Some(Stored {
                last_modified: Some(stored_at),
                ..stored("v1", Lock::Compliance(until), Some(SHA))
            })),
        ];
        assert!(
            matches!(run(true, answers).1, Placed::Adopted { retain_until, .. } if retain_until == until)
        );
    }

    #[test]
    fn what_turns_out_to_have_another_size_or_to_be_gone_is_not_ours() {
        let other_size = |sha256| {
            Answer::Inspected(Some(Stored {
                size_bytes: SIZE + 1,
                ..stored("v1", good_lock(), sha256)
            }))
        };
        for answer in [
            other_size(Some(SHA)),
            other_size(None),
            Answer::Inspected(None),
        ] {
            let (asked, end) = run(true, vec![Answer::Versions(vec![version("v1")]), answer]);
            assert_eq!(asked, [Ask::Versions, inspect("v1")]);
            assert!(matches!(end, Placed::Conflict { .. }), "{end:?}");
        }
    }

    #[test]
    fn an_answer_to_another_question_is_a_failure_that_says_so() {
        let (_, end) = run(false, vec![Answer::Locked]);
        assert!(
            matches!(end, Placed::Failed(f) if f.code == "OutOfStep" && f.class == Class::Transient)
        );
    }
}
