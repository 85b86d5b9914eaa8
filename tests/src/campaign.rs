//! Crash anywhere: a daemon is killed at a chosen system call, started again, and everything is
//! judged.
//!
//! strace(1) kills the daemon when one of its threads enters the n-th call of a kind, before the
//! call does anything. Only calls that change files or databases are chosen: between two of them
//! the disk does not change, so a kill at any other call leaves the same as one at the next of
//! these. What is lost is what a dying process loses, not what a power cut loses: the kernel still
//! writes whatever it was given.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fsck::Level;
use host::config::Settings;

use crate::bucket::judge;

use crate::clinic::{BUCKET, Clinic, Place, Role};
use crate::disk::{Cut, Disk};
use crate::incident::document;
use crate::trace::{TRACED, replay};

/// Calls that change a file, a folder or what of them is durable.
pub(crate) const CALLS: &str = "write,pwrite64,writev,pwritev,fsync,fdatasync,syncfs,ftruncate,fallocate,\
                     rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,\
                     symlink,symlinkat,chmod,fchmod,fchmodat";
/// A bound for failures only.
const PATIENCE: Duration = Duration::from_secs(120);
/// No run takes so long.
const AT_MOST: Duration = Duration::from_secs(300);

/// Where a daemon is killed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Which daemon.
    pub role: Role,
    /// The system call.
    pub call: String,
    /// Its n-th, from 1, in any one thread.
    pub nth: usize,
}

/// What came of one point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Survived {
    /// Killed there, and everything is as it should be after a restart.
    Crash,
    /// The daemon did not come so far this time, and everything is as it should be.
    NotReached,
    /// Something is lost, doubled, unlocked or stuck.
    No(Vec<String>),
}

/// A host's keys, made once for all points.
pub struct Campaign {
    template: Clinic,
    strace: std::path::PathBuf,
}

impl Campaign {
    /// `strace` is the program.
    #[must_use]
    pub fn new(strace: std::path::PathBuf) -> Self {
        Self {
            template: Clinic::new(),
            strace,
        }
    }

    /// Every point of the scenario, from a run of it under trace: for each call the most that any
    /// thread made.
    ///
    /// # Panics
    /// When the scenario does not end well even without a kill.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        self.points_of(CALLS)
    }

    /// The same for other system calls than those that change a file; with commas between them.
    pub(crate) fn points_of(&self, calls: &str) -> Vec<Point> {
        let mut points = Vec::new();
        for role in [Role::Agent, Role::Uploader] {
            let clinic = self.host();
            let trace = clinic.dir.path().join("trace");
            let arguments = ["-e".to_owned(), format!("trace={calls}")];
            let mut traced = self.start(&clinic, role, &trace, &arguments, Stdio::null());
            let mut others = Others::start(&clinic, role);
            wait(&mut traced, &clinic, &mut others);
            assert_eq!(problems(&clinic), Vec::<String>::new(), "without a kill");
            drop(others);
            end_traced(&mut traced);
            let mut made: BTreeMap<(String, String), usize> = BTreeMap::new();
            for line in fs::read_to_string(&trace).unwrap().lines() {
                if let Some((thread, call)) = line.split_once(' ')
                    && let Some((call, _)) = call.trim_start().split_once('(')
                    && call.bytes().all(|b| b.is_ascii_alphanumeric())
                {
                    *made
                        .entry((call.to_owned(), thread.to_owned()))
                        .or_default() += 1;
                }
            }
            let mut most: BTreeMap<String, usize> = BTreeMap::new();
            for ((call, _), n) in made {
                let entry = most.entry(call).or_default();
                *entry = n.max(*entry);
            }
            for (call, n) in most {
                points.extend((1..=n).map(|nth| Point {
                    role,
                    call: call.clone(),
                    nth,
                }));
            }
        }
        points
    }

    /// Kills a daemon there, starts it again, and judges.
    #[must_use]
    pub fn crash_at(&self, point: &Point) -> Survived {
        let clinic = self.host();
        let inject = [
            "-e".to_owned(),
            format!("trace={}", point.call),
            "-e".to_owned(),
            format!("inject={}:signal=KILL:when={}", point.call, point.nth),
        ];
        let nowhere = "/dev/null".as_ref();
        let mut doomed = self.start(&clinic, point.role, nowhere, &inject, Stdio::null());
        let mut others = Others::start(&clinic, point.role);
        let killed = wait(&mut doomed, &clinic, &mut others);
        end_traced(&mut doomed);
        // A crash leaves nothing that a restart does not put right.
        let mut found = clinic.fsck(Level::CouldNotCheck, false);
        let mut again = clinic.spawn(point.role);
        let settled = wait_settled(&clinic, &mut [&mut again, &mut others.0]);
        found.extend(problems(&clinic));
        if let Err(stuck) = settled {
            found.push(stuck);
        }
        end(&mut again);
        if !found.is_empty() {
            for role in [Role::Agent, Role::Uploader] {
                found.extend(clinic.complaints(role));
            }
            Survived::No(found)
        } else if killed {
            Survived::Crash
        } else {
            Survived::NotReached
        }
    }

    /// Kills a daemon there, takes the power away, starts both again, and judges.
    #[must_use]
    pub fn power_cut_at(&self, point: &Point, cut: Cut) -> Survived {
        let clinic = self.host();
        let mut disk = Disk::of(&clinic.dir.path().join("state"));
        let traces = clinic.dir.path().join("traces");
        fs::create_dir(&traces).unwrap();
        let traced = |name: &str| -> (PathBuf, Vec<String>) {
            let arguments = ["-ff", "-y", "-xx", "-ttt", "-s", "100000000", "-e"];
            let mut arguments: Vec<String> = arguments.map(str::to_owned).into();
            arguments.push(format!("trace={TRACED}"));
            (traces.join(name), arguments)
        };
        let (doomed_trace, mut arguments) = traced("doomed");
        arguments.extend([
            "-e".to_owned(),
            format!("inject={}:signal=KILL:when={}", point.call, point.nth),
        ]);
        let mut doomed = self.start(
            &clinic,
            point.role,
            &doomed_trace,
            &arguments,
            Stdio::null(),
        );
        let (other_trace, arguments) = traced("other");
        let other = self.start(
            &clinic,
            other_than(point.role),
            &other_trace,
            &arguments,
            Stdio::null(),
        );
        let mut other = Others(other);
        let killed = wait(&mut doomed, &clinic, &mut other);
        end_traced(&mut doomed);
        end_traced(&mut other.0);
        replay(&mut disk, &[doomed_trace, other_trace]);
        disk.cut(cut);
        let mut found = clinic.fsck(Level::CouldNotCheck, false);
        let mut again = clinic.spawn(point.role);
        other.0 = clinic.spawn(other_than(point.role));
        let settled = wait_settled(&clinic, &mut [&mut again, &mut other.0]);
        found.extend(problems(&clinic));
        if let Err(stuck) = settled {
            found.push(stuck);
        }
        end(&mut again);
        if !found.is_empty() {
            for role in [Role::Agent, Role::Uploader] {
                found.extend(clinic.complaints(role));
            }
            Survived::No(found)
        } else if killed {
            Survived::Crash
        } else {
            Survived::NotReached
        }
    }

    /// A host of its own with its store, and everything that will ever be dropped.
    pub(crate) fn host(&self) -> Clinic {
        let clinic = Clinic::with_keys_of(&self.template, &[]);
        clinic.configure(&[Place::sandbox("main", &clinic.sandbox)], "");
        seal_two_hours_ago(&clinic, "INC-earlier");
        for n in 0..3 {
            let id = format!("INC-{n}");
            clinic.drop_document(&format!("{id}.json"), &document(&id));
        }
        clinic.drop_document("INC-again.json", &document("INC-0"));
        clinic.drop_document("broken.json", b"{");
        let files: [(&str, &[u8]); 2] = [("run.log", b"bytes"), ("empty", b"")];
        clinic.drop_folder("INC-folder", &document("INC-folder"), &files);
        clinic
    }

    /// Starts a daemon below strace, which writes to `output`; what the daemon says goes to `log`.
    pub(crate) fn start(
        &self,
        clinic: &Clinic,
        role: Role,
        output: &std::path::Path,
        arguments: &[String],
        log: Stdio,
    ) -> Child {
        let daemon = clinic.daemon(role);
        // Should this process be killed, nobody else would end the two.
        let mut command = Command::new("timeout");
        command
            .process_group(0)
            .args(["--signal=KILL", &AT_MOST.as_secs().to_string()])
            .arg(&self.strace)
            .args(["-f", "-qq", "-o"])
            .arg(output)
            .args(arguments)
            .arg("--")
            .arg(daemon.get_program())
            .args(daemon.get_args());
        for (name, value) in daemon.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }
}

/// Seals an incident with a clock that is two hours slow: the daemon's start finds custody due.
fn seal_two_hours_ago(clinic: &Clinic, incident: &str) {
    clinic.drop_document("earlier.json", &document(incident));
    let configuration = clinic.dir.path().join("evidence.toml");
    let settings = Settings::load(&configuration, std::iter::empty()).unwrap();
    let earlier = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(2);
    let clock = agent::Clock::new(move || earlier, || Duration::ZERO);
    let passed = agent::Agent::open(settings, clock).unwrap().pass().unwrap();
    assert_eq!((passed.sealed, passed.custody), (1, 0));
}

const fn other_than(role: Role) -> Role {
    match role {
        Role::Agent => Role::Uploader,
        Role::Uploader => Role::Agent,
    }
}

/// The daemon that is not under test.
pub(crate) struct Others(Child);

impl Others {
    pub(crate) fn start(clinic: &Clinic, under_test: Role) -> Self {
        Self(clinic.spawn(other_than(under_test)))
    }

    /// It is under no fault, so it must not end.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// Ends strace and the daemon, which are a group of their own: without strace the daemon would go on.
pub(crate) fn end_traced(traced: &mut Child) {
    let group = nix::unistd::Pid::from_raw(i32::try_from(traced.id()).unwrap());
    // They may have ended already.
    let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
    traced.wait().unwrap();
}

pub(crate) fn end(child: &mut Child) {
    // It may have ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// Until the traced daemon is dead (true), or nothing is left to do (false).
fn wait(traced: &mut Child, clinic: &Clinic, others: &mut Others) -> bool {
    let began = Instant::now();
    loop {
        if traced.try_wait().unwrap().is_some() {
            return true;
        }
        if is_done(clinic) {
            return false;
        }
        assert!(!others.has_ended(), "the other daemon ended");
        assert!(began.elapsed() < PATIENCE, "neither killed nor done");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn wait_settled(clinic: &Clinic, daemons: &mut [&mut Child]) -> Result<(), String> {
    let began = Instant::now();
    while !is_done(clinic) {
        if daemons.iter_mut().any(|d| d.try_wait().unwrap().is_some()) {
            return Err("a daemon ended after the restart".to_owned());
        }
        if began.elapsed() > PATIENCE {
            return Err("it does not settle after the restart".to_owned());
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Ok(())
}

pub(crate) fn is_done(clinic: &Clinic) -> bool {
    let sealed = fs::read_dir(clinic.state("evidence")).is_ok_and(|mut e| e.next().is_some());
    sealed && clinic.is_settled() && clinic.is_confirmed()
}

/// Whatever is not as it should be, on the host and in the bucket.
pub(crate) fn problems(clinic: &Clinic) -> Vec<String> {
    let client = Place::sandbox("main", &clinic.sandbox).client();
    let judged =
        clinic
            .runtime()
            .block_on(judge(&client, BUCKET, std::slice::from_ref(&clinic.public)));
    let mut problems = judged.problems;
    let expected: BTreeSet<String> = ["INC-0", "INC-1", "INC-2", "INC-folder", "INC-earlier"]
        .map(str::to_owned)
        .into();
    if judged.incidents != expected {
        problems.push(format!("incidents in the bucket: {:?}", judged.incidents));
    }
    if judged.chains.len() != 1 {
        problems.push(format!("{} chains", judged.chains.len()));
    }
    let status = clinic.cli_json(&["status", "--json"]);
    for (pointer, expected) in [
        // Five incidents and the custody that the start found due.
        ("/spool/sealed_bundles", 6),
        ("/spool/confirmed_bundles", 6),
        ("/spool/duplicates", 1),
        ("/spool/quarantined", 1),
        ("/in_quarantine", 1),
        ("/pending", 0),
    ] {
        if status.pointer(pointer).and_then(serde_json::Value::as_u64) != Some(expected) {
            problems.push(format!("{pointer} is {:?}", status.pointer(pointer)));
        }
    }
    problems.extend(clinic.fsck(Level::Repairable, true));
    problems
}
