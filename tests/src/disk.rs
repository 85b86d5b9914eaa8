//! A disk that forgets: what is left below a folder after a power cut.
//!
//! POSIX promises only what was asked for. The bytes of a file survive from its last fsync(2) on,
//! a name from the last fsync(2) of its folder on, and everything after syncfs(2). File systems
//! keep more than that, each in its own way (ext4 in ordered mode, say, makes a file's name durable
//! with its bytes), so whoever survives this disk survives theirs. Without a sync anything may
//! happen in any order: all of it lost ([`Cut::Everything`]), or some of it, torn where a write is
//! longer than a sector ([`Cut::Some`]). Two things are taken for granted, as every journaling file
//! system has them: a rename is whole or not at all, also between two folders; and what a call took
//! away had been made before.
//!
//! What is done to the disk is read from the trace that strace(1) writes. Not modelled: memory maps;
//! SQLite's `-shm` is the only one, is never durable, and is left out after a cut.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Smallest piece that a drive writes whole.
const SECTOR_BYTES: usize = 512;

/// What a power cut takes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Everything that was not synced.
    Everything,
    /// Each unsynced write and change of name or not, by chance, and any order of them.
    Some(u64),
}

/// Files and folders below a root, as the kernel shows them and as the platters have them.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
    calls: u64,
}

#[derive(Debug, Clone)]
enum Node {
    File(File),
    Folder(Folder),
}

#[derive(Debug, Clone, Default)]
struct File {
    mode: u32,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Debug, Clone, Default)]
struct Folder {
    mode: u32,
    durable: BTreeMap<String, usize>,
    now: BTreeMap<String, usize>,
    unsynced: Vec<NameChange>,
}

/// What one system call changed of the names in one folder.
#[derive(Debug, Clone)]
struct NameChange {
    /// The call; a rename between two folders changes both.
    call: u64,
    removed: Option<String>,
    added: Option<(String, usize)>,
}

const ROOT: usize = 0;

impl Disk {
    /// Everything that is below `root` now, all of it durable.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        let mut disk = Self {
            root: root.to_owned(),
            nodes: Vec::new(),
            calls: 0,
        };
        disk.read(root);
        disk
    }

    fn read(&mut self, path: &Path) -> usize {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let number = self.nodes.len();
        if path.is_dir() {
            self.nodes.push(Node::Folder(Folder::default()));
            let mut names = BTreeMap::new();
            for entry in fs::read_dir(path).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                names.insert(name, self.read(&entry.path()));
            }
            self.nodes[number] = Node::Folder(Folder {
                mode,
                durable: names.clone(),
                now: names,
                unsynced: Vec::new(),
            });
        } else {
            self.nodes.push(Node::File(File {
                mode,
                durable: fs::read(path).unwrap(),
                unsynced: Vec::new(),
            }));
        }
        number
    }

    /// The path below the root, if it is below it.
    #[must_use]
    pub fn relative<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        path.strip_prefix(&self.root).ok()
    }

    fn node(&self, path: &Path) -> Option<usize> {
        let mut at = ROOT;
        for part in self.relative(path)?.components() {
            let Node::Folder(folder) = &self.nodes[at] else {
                return None;
            };
            at = *folder.now.get(part.as_os_str().to_str()?)?;
        }
        Some(at)
    }

    fn folder_of(&mut self, path: &Path) -> Option<(&mut Folder, String)> {
        let name = path.file_name()?.to_str()?.to_owned();
        let number = self.node(path.parent()?)?;
        match &mut self.nodes[number] {
            Node::Folder(folder) => Some((folder, name)),
            Node::File(_) => None,
        }
    }

    fn file(&mut self, path: &Path) -> Option<&mut File> {
        let number = self.node(path)?;
        match &mut self.nodes[number] {
            Node::File(file) => Some(file),
            Node::Folder(_) => None,
        }
    }

    fn name(&mut self, path: &Path, number: usize) {
        self.calls += 1;
        let call = self.calls;
        if let Some((folder, name)) = self.folder_of(path) {
            folder.change(call, None, Some((name, number)));
        }
    }

    /// Something appeared at `path`, whole and durable; its folder is known.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn adopt(&mut self, path: &Path) {
        let number = self.read(path);
        if let Some((folder, name)) = self.folder_of(path) {
            folder.durable.insert(name.clone(), number);
            folder.now.insert(name, number);
        }
    }

    /// Opened with O_CREAT: made, unless it is there.
    pub fn create(&mut self, path: &Path, mode: u32) {
        if self.relative(path).is_some() && self.node(path).is_none() {
            let number = self.nodes.len();
            self.nodes.push(Node::File(File {
                mode,
                ..File::default()
            }));
            self.name(path, number);
        }
    }

    /// mkdir(2).
    pub fn create_folder(&mut self, path: &Path, mode: u32) {
        if self.relative(path).is_some() {
            let number = self.nodes.len();
            self.nodes.push(Node::Folder(Folder {
                mode,
                ..Folder::default()
            }));
            self.name(path, number);
        }
    }

    /// Bytes written at an offset.
    pub fn write(&mut self, path: &Path, at: usize, bytes: Vec<u8>) {
        if let Some(file) = self.file(path) {
            file.unsynced.push(Change::Write { at, bytes });
        }
    }

    /// chmod(2). Who may read what is not what is tested here, so it is durable at once.
    pub fn set_mode(&mut self, path: &Path, new: u32) {
        if let Some(number) = self.node(path) {
            match &mut self.nodes[number] {
                Node::File(File { mode, .. }) | Node::Folder(Folder { mode, .. }) => *mode = new,
            }
        }
    }

    /// ftruncate(2), or O_TRUNC.
    pub fn set_length(&mut self, path: &Path, length: usize) {
        if let Some(file) = self.file(path) {
            file.unsynced.push(Change::Length(length));
        }
    }

    /// rename(2), over whatever is there.
    pub fn rename(&mut self, from: &Path, to: &Path) {
        let Some(number) = self.node(from) else {
            return;
        };
        self.calls += 1;
        let call = self.calls;
        let old = from.file_name().and_then(|n| n.to_str()).map(str::to_owned);
        let within = from.parent() == to.parent();
        if let Some((folder, name)) = self.folder_of(to) {
            folder.change(call, old.filter(|_| within), Some((name, number)));
        }
        if !within && let Some((folder, name)) = self.folder_of(from) {
            folder.change(call, Some(name), None);
        }
    }

    /// link(2).
    pub fn link(&mut self, from: &Path, to: &Path) {
        if let Some(number) = self.node(from) {
            self.name(to, number);
        }
    }

    /// unlink(2) or rmdir(2).
    pub fn remove(&mut self, path: &Path) {
        self.calls += 1;
        let call = self.calls;
        if let Some((folder, name)) = self.folder_of(path) {
            folder.change(call, Some(name), None);
        }
    }

    /// fsync(2) or fdatasync(2), of a file or a folder.
    pub fn sync(&mut self, path: &Path) {
        let Some(number) = self.node(path) else {
            return;
        };
        let mut calls: BTreeSet<u64> = match &self.nodes[number] {
            Node::Folder(folder) => folder.unsynced.iter().map(|c| c.call).collect(),
            Node::File(_) => BTreeSet::new(),
        };
        self.with_what_they_need(&mut calls);
        self.nodes[number].sync();
        for node in &mut self.nodes {
            if let Node::Folder(folder) = node {
                folder.sync_calls(&calls);
            }
        }
    }

    /// Adds the calls that made the names which these calls took away.
    fn with_what_they_need(&self, calls: &mut BTreeSet<u64>) {
        loop {
            let before = calls.len();
            for node in &self.nodes {
                if let Node::Folder(folder) = node {
                    calls.extend(folder.needed_by(calls));
                }
            }
            if calls.len() == before {
                return;
            }
        }
    }

    /// syncfs(2): the whole disk.
    pub fn sync_all(&mut self) {
        self.nodes.iter_mut().for_each(Node::sync);
    }

    /// How much a cut could take: unsynced writes and changes of names.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.nodes
            .iter()
            .map(|node| match node {
                Node::File(file) => file.unsynced.len(),
                Node::Folder(folder) => folder.unsynced.len(),
            })
            .sum()
    }

    /// Cuts the power: makes the folder what the disk has then.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn cut(&self, cut: Cut) {
        let mut chance = Chance {
            rng: match cut {
                Cut::Everything => None,
                Cut::Some(seed) => Some(fastrand::Rng::with_seed(seed)),
            },
            calls: BTreeSet::new(),
        };
        let made: BTreeSet<u64> = self
            .nodes
            .iter()
            .filter_map(|node| match node {
                Node::Folder(folder) => Some(folder.unsynced.iter().map(|c| c.call)),
                Node::File(_) => None,
            })
            .flatten()
            .collect();
        chance.calls = made.into_iter().filter(|_| chance.survives()).collect();
        self.with_what_they_need(&mut chance.calls);
        for entry in fs::read_dir(&self.root).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
        let mut written = BTreeMap::new();
        self.write_out(ROOT, &self.root, &mut chance, &mut written);
    }

    fn write_out(
        &self,
        number: usize,
        path: &Path,
        chance: &mut Chance,
        written: &mut BTreeMap<usize, PathBuf>,
    ) {
        let mode = match &self.nodes[number] {
            Node::Folder(folder) => {
                if number != ROOT {
                    fs::create_dir(path).unwrap();
                }
                for (name, below) in folder.left(chance) {
                    if !name.ends_with("-shm") {
                        self.write_out(below, &path.join(name), chance, written);
                    }
                }
                folder.mode
            }
            // Two names of one file, of which the first was written already.
            Node::File(_) if written.contains_key(&number) => {
                return fs::hard_link(&written[&number], path).unwrap();
            }
            Node::File(file) => {
                fs::write(path, file.left(chance)).unwrap();
                written.insert(number, path.to_owned());
                file.mode
            }
        };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

impl Node {
    fn sync(&mut self) {
        match self {
            Self::File(file) => {
                for change in std::mem::take(&mut file.unsynced) {
                    change.apply(&mut file.durable);
                }
            }
            Self::Folder(folder) => {
                folder.unsynced.clear();
                folder.durable = folder.now.clone();
            }
        }
    }
}

impl Folder {
    fn change(&mut self, call: u64, removed: Option<String>, added: Option<(String, usize)>) {
        let change = NameChange {
            call,
            removed,
            added,
        };
        change.apply(&mut self.now);
        self.unsynced.push(change);
    }

    fn needed_by(&self, calls: &BTreeSet<u64>) -> Vec<u64> {
        let mut needed = Vec::new();
        for (n, change) in self.unsynced.iter().enumerate() {
            if calls.contains(&change.call)
                && let Some(removed) = &change.removed
            {
                let made = self.unsynced[..n]
                    .iter()
                    .rev()
                    .find(|c| c.added.as_ref().is_some_and(|(name, _)| name == removed));
                needed.extend(made.map(|c| c.call));
            }
        }
        needed
    }

    /// The other half of renames that became durable.
    fn sync_calls(&mut self, calls: &BTreeSet<u64>) {
        for change in self.unsynced.extract_if(.., |c| calls.contains(&c.call)) {
            change.apply(&mut self.durable);
        }
    }

    fn left(&self, chance: &mut Chance) -> BTreeMap<String, usize> {
        let mut names = self.durable.clone();
        for change in &self.unsynced {
            if chance.calls.contains(&change.call) {
                change.apply(&mut names);
            }
        }
        names
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        if let Some(name) = &self.removed {
            names.remove(name);
        }
        if let Some((name, number)) = &self.added {
            names.insert(name.clone(), *number);
        }
    }
}

impl File {
    fn left(&self, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.unsynced {
            if !chance.survives() {
                continue;
            }
            match change {
                Change::Write { at, bytes: new } => {
                    let whole = chance.sectors(new.len());
                    write_at(&mut bytes, *at, &new[..whole]);
                }
                Change::Length(_) => change.apply(&mut bytes),
            }
        }
        bytes
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes: new } => write_at(bytes, *at, new),
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }
}

fn write_at(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    if new.is_empty() {
        return;
    }
    if bytes.len() < at + new.len() {
        bytes.resize(at + new.len(), 0);
    }
    bytes[at..at + new.len()].copy_from_slice(new);
}

/// Decides what a cut takes.
struct Chance {
    rng: Option<fastrand::Rng>,
    /// The changes of names that come through.
    calls: BTreeSet<u64>,
}

impl Chance {
    fn survives(&mut self) -> bool {
        self.rng.as_mut().is_some_and(fastrand::Rng::bool)
    }

    /// How many bytes of a write came through: often all, else some whole sectors.
    fn sectors(&mut self, length: usize) -> usize {
        match &mut self.rng {
            Some(rng) if length > SECTOR_BYTES => {
                if rng.bool() {
                    rng.usize(..=length / SECTOR_BYTES) * SECTOR_BYTES
                } else {
                    length
                }
            }
            _ => length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (tempfile::TempDir, Disk) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("state");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("old"), "old").unwrap();
        let disk = Disk::of(&root);
        (dir, disk)
    }

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(root)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn without_a_sync_nothing_survives_and_nothing_is_gone() {
        let (_dir, mut disk) = disk();
        let root = disk.root.clone();
        disk.create(&root.join("new"), 0o600);
        disk.write(&root.join("new"), 0, b"new".to_vec());
        disk.remove(&root.join("old"));
        disk.cut(Cut::Everything);
        assert_eq!(names(&root), ["old"]);
    }

    #[test]
    fn a_synced_file_without_a_synced_name_is_lost_and_the_other_way_round_it_is_empty() {
        let (_dir, mut disk) = disk();
        let root = disk.root.clone();
        for name in ["bytes", "name"] {
            disk.create(&root.join(name), 0o600);
            disk.write(&root.join(name), 0, b"bytes".to_vec());
        }
        disk.sync(&root.join("bytes"));
        disk.cut(Cut::Everything);
        assert_eq!(names(&root), ["old"]);
        disk.sync(&root);
        disk.cut(Cut::Everything);
        assert_eq!(fs::read(root.join("bytes")).unwrap(), b"bytes");
        assert_eq!(fs::read(root.join("name")).unwrap(), b"");
    }

    #[test]
    fn a_rename_is_whole_or_not_at_all() {
        let (_dir, mut disk) = disk();
        let root = disk.root.clone();
        disk.rename(&root.join("old"), &root.join("renamed"));
        for seed in 0..20 {
            disk.cut(Cut::Some(seed));
            let left = names(&root);
            assert!(left == ["old"] || left == ["renamed"], "{left:?}");
        }
        disk.sync_all();
        disk.cut(Cut::Everything);
        assert_eq!(names(&root), ["renamed"]);
    }

    #[test]
    fn a_long_write_tears_at_sectors() {
        let (_dir, mut disk) = disk();
        let root = disk.root.clone();
        disk.write(&root.join("old"), 0, vec![b'x'; 4 * SECTOR_BYTES]);
        let lengths: std::collections::BTreeSet<usize> = (0..200)
            .map(|seed| {
                disk.cut(Cut::Some(seed));
                fs::read(root.join("old")).unwrap().len()
            })
            .collect();
        assert!(
            lengths.contains(&3) && lengths.contains(&(4 * SECTOR_BYTES)),
            "{lengths:?}"
        );
        assert!(lengths.len() > 3, "{lengths:?}");
        assert!(
            lengths.iter().all(|n| *n == 3 || n % SECTOR_BYTES == 0),
            "{lengths:?}"
        );
    }
}
