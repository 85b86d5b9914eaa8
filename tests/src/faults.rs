//! A system call fails anywhere: no room, no quota, read only, a broken device, no descriptor left.
//!
//! strace(1) makes the n-th call of a kind, in whichever thread comes to it first, fail without
//! doing anything; a lasting fault makes the calls after it fail too. The daemon may log and wait,
//! or end with a word, and is then started again as a service manager would. Once the fault is over everything is
//! judged as after a crash. What it does not show: a call that does half its work and then fails,
//! but for a write, which every caller here loops over.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::campaign::{CALLS, Campaign, Others, Point, end, end_traced, is_done, problems};
use crate::clinic::{Clinic, Role};

/// Calls that make a descriptor.
const OPENING: &str = "open,openat,openat2,creat,socket,accept,accept4,epoll_create1,eventfd2,\
                       pipe2,inotify_init1,dup,dup2,dup3,timerfd_create";
/// So many calls fail in a row when a fault lasts.
const LASTS: usize = 3;
/// So often a daemon may end before somebody would be called.
const RESTARTS: usize = 5;
/// A bound for failures only.
const PATIENCE: Duration = Duration::from_secs(90);

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub point: Point,
    /// The error that the call returns, such as `ENOSPC`.
    pub error: &'static str,
    /// So many calls in a row fail, from that one on.
    pub calls: usize,
}

/// What came of one fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is as it should be, and so the daemon ended on the way, each time with a word:
    /// its last one.
    Survived(Vec<String>),
    /// The daemon did not come so far this time, and everything is as it should be.
    NotReached,
    /// The call was not on a file but on an eventfd, a pipe or a socket, where the kernel never
    /// returns such an error; nothing was judged.
    NoFile,
    /// Something is lost, doubled, unlocked or stuck, or a daemon ended without a word.
    No(Vec<String>),
}

impl Campaign {
    /// Every fault of the scenario: at each call that changes a file, or opens one, no room, for one call and
    /// for some; and one of the other errors that the call may return, in turn. At each call that
    /// makes a descriptor, that none is left.
    ///
    /// # Panics
    /// When the scenario does not end well even without a fault.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (n, point) in self
            .points_of(&format!("{CALLS},{OPENING}"))
            .into_iter()
            .enumerate()
        {
            let opening = OPENING.split(',').any(|call| call == point.call);
            let mut add = |error, calls| {
                faults.push(Fault {
                    point: point.clone(),
                    error,
                    calls,
                });
            };
            if opening {
                add("EMFILE", 1);
            }
            if !opening || point.call.starts_with("open") {
                add("ENOSPC", 1);
                add("ENOSPC", LASTS);
                add(["EIO", "EDQUOT", "EROFS"][n % 3], 1);
            }
        }
        faults
    }

    /// Lets a daemon meet the fault, waits until all has arrived all the same, and judges.
    #[must_use]
    pub fn fault_at(&self, fault: &Fault) -> Outcome {
        let clinic = self.host();
        let Point { role, call, nth } = &fault.point;
        let (role, last) = (*role, nth + fault.calls - 1);
        let inject = [
            "-y".to_owned(),
            "-e".to_owned(),
            format!("trace={call}"),
            "-e".to_owned(),
            format!("inject={call}:error={}:when={nth}..{last}", fault.error),
        ];
        let (trace, log) = (
            clinic.dir.path().join("trace"),
            clinic.dir.path().join("log"),
        );
        let traced = self.start(&clinic, role, &trace, &inject, append(&log).into());
        let mut under_test = UnderTest {
            daemon: traced,
            is_traced: true,
        };
        let mut others = Others::start(&clinic, role);
        let mut ends: Vec<String> = Vec::new();
        let mut found = Vec::new();
        let mut heard = 0;
        let began = Instant::now();
        while !is_done(&clinic) {
            if let Some(status) = under_test.daemon.try_wait().unwrap() {
                let said = fs::read_to_string(&log).unwrap();
                match said[heard..].lines().last() {
                    Some(word) if !status.success() => ends.push(words(word, &clinic)),
                    _ => found.push(format!("it ended without a word: {status}")),
                }
                heard = said.len();
                if ends.len() > RESTARTS {
                    found.push(format!("it ended again and again: {ends:#?}"));
                    break;
                }
                under_test = UnderTest::again(&clinic, role, &log);
            }
            if others.has_ended() {
                found.push("the other daemon ended".to_owned());
                break;
            }
            if began.elapsed() > PATIENCE {
                let said = fs::read_to_string(&log).unwrap();
                let last: Vec<_> = said.lines().rev().take(5).collect();
                found.push(format!("it does not settle; the last words: {last:#?}"));
                break;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let traced = fs::read_to_string(&trace).unwrap();
        let injected = injected(&traced);
        if injected.iter().any(|call| is_on_no_file(call)) {
            return Outcome::NoFile;
        }
        let reached = !injected.is_empty();
        found.extend(problems(&clinic));
        if !found.is_empty() {
            Outcome::No(found)
        } else if reached {
            Outcome::Survived(ends)
        } else {
            Outcome::NotReached
        }
    }
}

/// The daemon that meets the fault, or the one after it.
struct UnderTest {
    daemon: Child,
    is_traced: bool,
}

impl UnderTest {
    /// As a service manager starts it again, with no fault any more.
    fn again(clinic: &Clinic, role: Role, log: &Path) -> Self {
        Self {
            daemon: clinic
                .daemon(role)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(append(log))
                .spawn()
                .unwrap(),
            is_traced: false,
        }
    }
}

impl Drop for UnderTest {
    fn drop(&mut self) {
        if self.is_traced {
            end_traced(&mut self.daemon);
        } else {
            end(&mut self.daemon);
        }
    }
}

/// The calls that were made to fail, each with its arguments: strace shows those of a call that
/// another thread's came into in an earlier line.
fn injected(trace: &str) -> Vec<&str> {
    let mut begun = BTreeMap::new();
    let mut found = Vec::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap_or_default();
        if call.ends_with("<unfinished ...>") {
            begun.insert(thread, call);
        }
        if call.contains("(INJECTED)") {
            let resumed = call.trim_start().starts_with("<...");
            let earlier = begun.get(thread).copied().filter(|_| resumed);
            found.push(earlier.unwrap_or(call));
        }
    }
    found
}

/// Whether strace shows, as the call's first argument, a descriptor that is none of a file.
fn is_on_no_file(line: &str) -> bool {
    let first = line.split_once('(').map_or("", |(_, arguments)| arguments);
    let first = first.split(',').next().unwrap_or_default();
    ["<anon_inode:", "<pipe:", "<socket:", "<UNIX", "<TCP"]
        .iter()
        .any(|kind| first.contains(kind))
}

/// A line of the log without what differs from run to run.
fn words(line: &str, clinic: &Clinic) -> String {
    let event: Option<serde_json::Value> = serde_json::from_str(line).ok();
    let message = event.as_ref().and_then(|e| e["message"].as_str());
    let folder = clinic.dir.path().to_string_lossy();
    message.unwrap_or(line).replace(&*folder, "…")
}

fn append(log: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_failed_is_shown_with_its_arguments_also_when_another_came_between() {
        let trace = "7 write(5</s/log>, \"a\", 1) = -1 ENOSPC (No space left on device) (INJECTED)\n\
                     8 write(4<anon_inode:[eventfd]>, \"b\", 8 <unfinished ...>\n\
                     7 write(5</s/log>, \"c\", 1) = 1\n\
                     8 <... write resumed>) = -1 ENOSPC (No space left on device) (INJECTED)\n";
        let found = injected(trace);
        assert_eq!(found.len(), 2);
        assert!(!is_on_no_file(found[0]), "{found:?}");
        assert!(is_on_no_file(found[1]), "{found:?}");
    }
}
