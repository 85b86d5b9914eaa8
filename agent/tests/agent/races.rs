//! A producer that is really trying: while the agent takes, reads and removes its drops, it swaps
//! them for links to a file that it may not read, for folders and FIFOs, lets them grow and shrink,
//! also under the names that the agent gave them.
//!
//! Nothing of that file may ever be sealed, nothing may hang, and what the producer leaves alone is
//! sealed exactly once. Swapping a drop away is withdrawing it, which is its owner's right.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;

use crate::clinic::{Clinic, files_below, incident};

/// In the secret file alone.
const SECRET: &str = "only-the-clinic-may-read-this";
/// Failure bound for one wait.
const LIMIT: Duration = Duration::from_secs(60);

/// What the producer does with a drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trick {
    /// Nothing: an honest one.
    None,
    Symlink,
    HardLink,
    Fifo,
    Folder,
    Grow,
    Shrink,
    /// Of a folder drop: one file in it, or the folder of the files.
    Artifact,
    ArtifactFolder,
    Document,
}

const TRICKS: [Trick; 10] = [
    Trick::None,
    Trick::Symlink,
    Trick::HardLink,
    Trick::Fifo,
    Trick::Folder,
    Trick::Grow,
    Trick::Shrink,
    Trick::Artifact,
    Trick::ArtifactFolder,
    Trick::Document,
];

struct Producer {
    drop: PathBuf,
    /// The secret is a drop that would be sealed, and a folder holds it under an artifact's name.
    secret: PathBuf,
    secrets: PathBuf,
    rng: fastrand::Rng,
    /// Under the producer's own name.
    before: BTreeMap<Trick, usize>,
    /// Under the agent's name: while it was read, sealed or removed.
    after: BTreeMap<Trick, usize>,
}

impl Producer {
    fn run(mut self, tries: usize, done: &AtomicBool) -> Self {
        for n in 0..tries {
            let began = Instant::now();
            while fs::read_dir(&self.drop).unwrap().count() > 48 {
                assert!(began.elapsed() < LIMIT, "the agent hangs");
                std::thread::yield_now();
            }
            self.make(n, TRICKS[n % TRICKS.len()]);
        }
        done.store(true, Ordering::Release);
        self
    }

    fn make(&mut self, n: usize, trick: Trick) {
        let id = format!("{trick:?}-{n}");
        let folder = matches!(
            trick,
            Trick::Artifact | Trick::ArtifactFolder | Trick::Document
        );
        let name = if folder {
            id.clone()
        } else {
            format!("{id}.json")
        };
        let temporary = self.drop.join(format!(".{id}.part"));
        if folder {
            fs::create_dir_all(temporary.join("artifacts")).unwrap();
            fs::write(temporary.join("incident.json"), incident(&id)).unwrap();
            fs::write(temporary.join("artifacts/a.log"), b"an artifact").unwrap();
        } else {
            fs::write(&temporary, incident(&id)).unwrap();
        }
        fs::rename(&temporary, self.drop.join(&name)).unwrap();
        if trick == Trick::None {
            return;
        }
        let late = self.rng.u8(0..3) > 0;
        let began = Instant::now();
        let mut pause = self.rng.u32(0..4) * self.rng.u32(0..20_000);
        while let Some(path) = self.where_is(&name) {
            assert!(began.elapsed() < LIMIT, "{id} stays");
            let taken = !path.ends_with(&name);
            if late && !taken {
                continue;
            }
            // Somewhere between at once and just after the agent is through with it.
            for _ in 0..std::mem::take(&mut pause) {
                std::hint::spin_loop();
            }
            if self.swap(trick, &path).is_ok() {
                let counts = if taken {
                    &mut self.after
                } else {
                    &mut self.before
                };
                *counts.entry(trick).or_default() += 1;
                return;
            }
        }
    }

    /// The drop, under its own name or the agent's; `None` once it is gone.
    fn where_is(&self, name: &str) -> Option<PathBuf> {
        let own = self.drop.join(name);
        if own.symlink_metadata().is_ok() {
            return Some(own);
        }
        fs::read_dir(&self.drop)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| {
                let file = path.file_name().unwrap().to_string_lossy();
                file.starts_with(".taken-") && file.ends_with(&format!("-{name}"))
            })
    }

    /// An error means that the agent was faster.
    fn swap(&mut self, trick: Trick, path: &Path) -> std::io::Result<()> {
        let evil = self.drop.join(".evil.part");
        let _ = fs::remove_file(&evil);
        // Prepared aside and renamed over: one step. Without the target there is nothing to swap.
        let over = |target: &Path| {
            target.symlink_metadata()?;
            fs::rename(&evil, target)
        };
        match trick {
            Trick::None => Ok(()),
            Trick::Symlink => symlink(&self.secret, &evil).and_then(|()| over(path)),
            Trick::HardLink => fs::hard_link(&self.secret, &evil).and_then(|()| over(path)),
            Trick::Fifo => {
                nix::unistd::mkfifo(&evil, Mode::S_IRWXU)?;
                over(path)
            }
            Trick::Folder => {
                fs::remove_file(path)?;
                fs::create_dir(path)
            }
            Trick::Grow => OpenOptions::new()
                .append(true)
                .open(path)?
                .write_all(b"\n\n"),
            Trick::Shrink => OpenOptions::new().write(true).open(path)?.set_len(100),
            Trick::Artifact => {
                symlink(&self.secret, &evil)?;
                over(&path.join("artifacts/a.log"))
            }
            Trick::ArtifactFolder => {
                fs::rename(path.join("artifacts"), path.join("was"))?;
                symlink(&self.secrets, path.join("artifacts"))
            }
            Trick::Document => {
                fs::hard_link(&self.secret, &evil)?;
                over(&path.join("incident.json"))
            }
        }
    }
}

#[test]
fn a_producer_that_swaps_its_drops_under_the_agents_hands_gets_nothing_sealed_that_is_not_its_own()
{
    let seed =
        std::env::var("MSP_TEST_SEED").map_or_else(|_| fastrand::u64(..), |s| s.parse().unwrap());
    let tries = std::env::var("MSP_TEST_RACES").map_or(2_000, |s| s.parse().unwrap());
    let clinic = Clinic::new();
    let mut agent = clinic.agent();
    let secrets = clinic.dir.path().join("secrets");
    fs::create_dir(&secrets).unwrap();
    let secret = secrets.join("a.log");
    let text = String::from_utf8(incident(SECRET)).unwrap();
    fs::write(&secret, &text).unwrap();

    let done = AtomicBool::new(false);
    let producer = Producer {
        drop: clinic.state("drop"),
        secret: secret.clone(),
        secrets,
        rng: fastrand::Rng::with_seed(seed),
        before: BTreeMap::new(),
        after: BTreeMap::new(),
    };
    let (mut sealed, mut quarantined, mut passes) = (0, 0, 0);
    let producer = std::thread::scope(|scope| {
        let racing = scope.spawn(|| producer.run(tries, &done));
        // What the producer left half done settles at last: the agent's clock is far ahead then.
        let mut quiet = 0;
        let mut began = Instant::now();
        while quiet < 3 {
            let over = done.load(Ordering::Acquire);
            if over && quiet == 0 {
                clinic.set_clock("2099-01-01T00:00:00Z");
            }
            let pass = agent.pass().unwrap();
            (sealed, quarantined, passes) = (
                sealed + pass.sealed,
                quarantined + pass.quarantined,
                passes + 1,
            );
            let left = clinic
                .names("drop")
                .iter()
                .any(|n| n.starts_with(".taken-"));
            quiet = if over && !pass.did_something() && !left {
                quiet + 1
            } else {
                0
            };
            if pass.did_something() {
                began = Instant::now();
            }
            assert!(
                began.elapsed() < LIMIT,
                "seed {seed}: {:?}",
                clinic.names("drop")
            );
        }
        racing.join().unwrap()
    });

    for path in files_below(&clinic.state("evidence")) {
        let bytes = fs::read(&path).unwrap();
        let holds = bytes.windows(SECRET.len()).any(|w| w == SECRET.as_bytes());
        assert!(!holds, "seed {seed}: the secret is in {}", path.display());
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), text, "seed {seed}");
    let ids = clinic.incident_ids();
    assert_eq!(ids.len(), sealed);
    let mut times = BTreeMap::<&str, usize>::new();
    for id in &ids {
        *times.entry(id).or_default() += 1;
    }
    let kept = clinic.names("quarantine");
    for n in 0..tries {
        let trick = TRICKS[n % TRICKS.len()];
        let id = format!("{trick:?}-{n}");
        let sealed = times.get(id.as_str()).copied().unwrap_or(0);
        let quarantined = kept
            .iter()
            .filter(|name| {
                name.ends_with(&format!("-{id}")) || name.ends_with(&format!("-{id}.json"))
            })
            .count();
        match trick {
            Trick::None => assert_eq!((sealed, quarantined), (1, 0), "seed {seed}: {id}"),
            // Changed in place, so the drop is the producer's own all the time.
            Trick::Grow => assert!(
                (1..=2).contains(&sealed) && quarantined == 0,
                "seed {seed}: {id}: {sealed} {quarantined}"
            ),
            Trick::Shrink => assert!(
                (1..=2).contains(&(sealed + quarantined)),
                "seed {seed}: {id}: {sealed} {quarantined}"
            ),
            // What was swapped in is kept, or was the whole drop before it could be swapped.
            _ => assert!(
                sealed + quarantined >= 1,
                "seed {seed}: {id}: neither sealed nor kept"
            ),
        }
    }
    let total = |counts: &BTreeMap<Trick, usize>| counts.values().sum::<usize>();
    println!(
        "{tries} drops, {} swapped before they were taken and {} after, {passes} passes: {sealed} \
         sealed, {quarantined} quarantined, secret sealed 0, lost 0, seed {seed}",
        total(&producer.before),
        total(&producer.after),
    );
    for trick in TRICKS.iter().filter(|t| **t != Trick::None) {
        let met = producer.before.contains_key(trick) && producer.after.contains_key(trick);
        assert!(
            met,
            "seed {seed}: {trick:?} was always too late: {:?}",
            producer.after
        );
    }
}
