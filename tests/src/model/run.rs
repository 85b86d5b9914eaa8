//! One sequence on one machine: what each step does to the daemons, and to the list of what was dropped.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agent::Agent;
use destination::S3Destination;
use host::config::Settings;
use jiff::{SignedDuration, Timestamp};
use sandbox::Sandbox;
use tokio::runtime::Runtime;
use uploader::daemon::{Configured, DaemonError, Ended, Places};

use super::settings::{quick, settings};
use super::step::{Death, Step};
use super::{Figures, PATIENCE, World};
use crate::disk::Cut;
use crate::incident::document;
use crate::interpose::Machine;

/// A running uploader, with a runtime that dies with it.
pub(super) struct Uploader {
    runtime: Runtime,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<Result<Ended, DaemonError>>,
}

pub(super) struct Run<'a> {
    pub(super) world: &'a World,
    pub(super) sandbox: Sandbox,
    pub(super) machine: Machine,
    pub(super) folder: PathBuf,
    pub(super) state: PathBuf,
    pub(super) now: Arc<Mutex<Timestamp>>,
    pub(super) since_boot: Arc<Mutex<Duration>>,
    pub(super) group_limit: u8,
    pub(super) death: Option<Death>,
    pub(super) agent: Option<Agent>,
    pub(super) uploader: Option<Uploader>,
    /// Every document that was dropped, with its artifacts: what must be sealed exactly once.
    pub(super) dropped: BTreeMap<Vec<u8>, String>,
    /// Drops of something that had been dropped before.
    pub(super) again: u64,
    pub(super) broken: u64,
    pub(super) names: u64,
}

impl Run<'_> {
    pub(super) fn settings(&self) -> Settings {
        settings(
            &self.folder,
            self.world.keys_folder.path(),
            self.group_limit,
            &self.sandbox.endpoint(),
        )
    }

    pub(super) fn step(&mut self, step: &Step, figures: &mut Figures) {
        match step {
            Step::Drop(n) => {
                let id = format!("INC-{n}");
                self.drop_document(&id, &document(&id), &[]);
            }
            Step::DropChanged(n) => {
                let id = format!("INC-{n}");
                let mut bytes = document(&id);
                bytes.push(b' ');
                self.drop_document(&id, &bytes, &[]);
            }
            Step::DropFolder(n) => {
                let id = format!("INC-F{n}");
                let log = format!("log of {n}");
                let files: [(&str, &[u8]); 2] = [("run.log", log.as_bytes()), ("empty", b"")];
                self.drop_document(&id, &document(&id), &files);
            }
            Step::DropBroken => {
                self.names += 1;
                let name = format!("{}.json", self.names);
                self.hand_over(&name, |place| fs::write(place, b"{").unwrap());
                self.broken += 1;
            }
            Step::Seal(passes) => {
                for _ in 0..*passes {
                    self.seal();
                }
            }
            Step::Deliver(millis) => self.deliver(Duration::from_millis(u64::from(*millis))),
            Step::Die(n, death) => {
                self.death = Some(*death);
                self.machine.die_after(u64::from(*n));
            }
            Step::Stop => {
                if let Some(agent) = &mut self.agent {
                    // A full disk, or the machine has died meanwhile.
                    let _ = agent.stop();
                }
                self.stop_all();
            }
            Step::Server(mischief, times) => {
                figures.server_faults += 1;
                mischief.apply(&self.sandbox, *times);
            }
            Step::ServerHeals => self.heal_server(),
            Step::Clock(minutes) => {
                figures.clock_jumps += 1;
                let mut now = self.now.lock().unwrap();
                *now += SignedDuration::from_mins(i64::from(*minutes));
            }
            Step::Hour => {
                *self.now.lock().unwrap() += SignedDuration::from_hours(1);
                *self.since_boot.lock().unwrap() += Duration::from_secs(3600);
            }
            Step::Full(full) => {
                figures.full_disks += u64::from(*full);
                self.machine.set_full(*full);
            }
            Step::GroupLimit(limit) => self.group_limit = *limit,
            Step::LoseDelivery => {
                self.stop_all();
                let folder = self.state.join("delivery");
                for name in ["delivery.db", "delivery.db-wal", "delivery.db-shm"] {
                    // It may not be there yet.
                    let _ = fs::remove_file(folder.join(name));
                }
            }
        }
        self.bury(figures);
    }

    /// If the machine has died, it lives again as that kind of death leaves it.
    pub(super) fn bury(&mut self, figures: &mut Figures) {
        if !self.machine.is_dead() {
            return;
        }
        let death = self.death.take().unwrap_or(Death::Kill);
        let cut = match death {
            Death::Kill => None,
            Death::PowerCut => Some(Cut::Everything),
            Death::TornPowerCut(seed) => Some(Cut::Some(seed)),
        };
        if cut.is_some() {
            figures.power_cuts += 1;
        } else {
            figures.kills += 1;
        }
        self.agent = None;
        if let Some(uploader) = self.uploader.take() {
            uploader.task.abort();
            uploader.runtime.shutdown_background();
        }
        wait_for_threads_to_end();
        self.machine.live_again(cut);
    }

    fn drop_document(&mut self, id: &str, bytes: &[u8], files: &[(&str, &[u8])]) {
        let mut content = bytes.to_vec();
        for (name, bytes) in files {
            content.extend_from_slice(name.as_bytes());
            content.extend_from_slice(bytes);
        }
        if self.dropped.insert(content, id.to_owned()).is_some() {
            self.again += 1;
        }
        self.names += 1;
        if files.is_empty() {
            let name = format!("{}.json", self.names);
            self.hand_over(&name, |place| fs::write(place, bytes).unwrap());
        } else {
            let name = self.names.to_string();
            self.hand_over(&name, |place| {
                fs::create_dir_all(place.join("artifacts")).unwrap();
                fs::write(place.join("incident.json"), bytes).unwrap();
                for (name, bytes) in files {
                    fs::write(place.join("artifacts").join(name), bytes).unwrap();
                }
            });
        }
    }

    /// The executor is no part of what dies here: what it hands over is there, and durable.
    fn hand_over(&self, name: &str, write: impl FnOnce(&Path)) {
        let drop = self.state.join("drop");
        let temporary = drop.join(format!(".{name}.part"));
        self.machine.as_outsider(|| {
            write(&temporary);
            fs::rename(&temporary, drop.join(name)).unwrap();
        });
        self.machine.adopt(&drop.join(name));
    }

    pub(super) fn seal(&mut self) {
        if self.machine.is_dead() {
            return;
        }
        if self.agent.is_none() {
            let now = Arc::clone(&self.now);
            let since_boot = Arc::clone(&self.since_boot);
            let clock = agent::Clock::new(
                move || *now.lock().unwrap(),
                move || *since_boot.lock().unwrap(),
            );
            let keys = Arc::clone(&self.world.keys);
            // A full disk, or the machine has died; both are looked at by whoever called.
            self.agent = Agent::with_keys(self.settings(), keys, clock).ok();
        }
        if let Some(agent) = &mut self.agent {
            let passed = agent.pass();
            if passed.is_ok() {
                let _ = agent.sync();
            }
        }
    }

    pub(super) fn deliver(&mut self, patience: Duration) {
        if self.machine.is_dead() {
            return;
        }
        if self.uploader.is_none() {
            self.uploader = Some(self.start_uploader());
        }
        let machine = &self.machine;
        let Some(uploader) = &mut self.uploader else {
            return;
        };
        let ended = uploader.runtime.block_on(async {
            let began = Instant::now();
            while began.elapsed() < patience && !machine.is_dead() {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if uploader.task.is_finished() {
                    return true;
                }
            }
            false
        });
        if ended {
            // It could not start: the disk is full. systemd starts it again.
            self.uploader = None;
        }
    }

    fn start_uploader(&self) -> Uploader {
        let settings = self.settings();
        let places = Places::from_settings(&settings, Timestamp::UNIX_EPOCH);
        for path in [
            &places.outbox,
            &places.evidence,
            &places.receipts,
            &places.delivery,
        ] {
            // They are there already but for the first time.
            let _ = host::files::create_dir_durably(path);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let task = runtime.spawn(async move {
            let mut configured = Vec::new();
            for destination in &settings.destinations {
                let options = uploader::store_options(destination, &settings).unwrap();
                let store = S3Destination::connect(options).await;
                configured.push(Configured::new(destination, store));
            }
            uploader::daemon::run(&places, quick(), configured, async {
                let _ = stopped.await;
            })
            .await
        });
        Uploader {
            runtime,
            stop: Some(stop),
            task,
        }
    }

    pub(super) fn stop_all(&mut self) {
        self.agent = None;
        if let Some(mut uploader) = self.uploader.take() {
            if let Some(stop) = uploader.stop.take() {
                let _ = stop.send(());
            }
            let task = &mut uploader.task;
            let ended = uploader
                .runtime
                .block_on(async { tokio::time::timeout(Duration::from_secs(20), task).await });
            if ended.is_err() {
                uploader.task.abort();
            }
            uploader.runtime.shutdown_background();
        }
        wait_for_threads_to_end();
    }

    pub(super) fn heal_server(&self) {
        self.sandbox.faults().clear();
        self.sandbox.clock().set_offset_secs(0);
    }
}

/// The threads of a daemon that ended close its database; before that nobody may open it again.
fn wait_for_threads_to_end() {
    let began = Instant::now();
    let lives = || {
        fs::read_dir("/proc/self/task")
            .unwrap()
            .flatten()
            .any(|task| {
                fs::read_to_string(task.path().join("comm"))
                    .is_ok_and(|name| matches!(name.trim(), "delivery-db" | "intake"))
            })
    };
    while lives() {
        assert!(
            began.elapsed() < PATIENCE,
            "a thread of a daemon does not end"
        );
        std::thread::park_timeout(Duration::from_micros(200));
    }
}
