//! A machine that can die at any system call, inside this process.
//!
//! The functions of the C library that change files are defined here, and an executable's own
//! definitions come before the library's: the standard library, nix and SQLite all call these. Calls
//! below one folder are counted, noted on a [`Disk`], and, when it is time, answered with EIO for
//! ever after: to the threads of a machine that died nothing happens any more. A full disk is
//! answered with ENOSPC. fsync(2) and syncfs(2) only tell the [`Disk`], which knows what a power cut
//! would leave.
//!
//! It does nothing before [`Machine::start`]. One machine at a time in a process.
#![allow(unsafe_code)]
#![allow(missing_docs)]

use std::cell::Cell;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libc::{c_char, c_int, c_long, c_uint, c_void, mode_t, off_t, size_t, ssize_t};

use crate::disk::{Cut, Disk};

static ON: AtomicBool = AtomicBool::new(false);
static FULL: AtomicBool = AtomicBool::new(false);
/// Each death begins another life; threads of an earlier one stay dead.
static LIFE: AtomicU64 = AtomicU64::new(1);
static CALLS: AtomicU64 = AtomicU64::new(0);
/// The call at which the machine dies; 0 when it does not.
static DIES_AT: AtomicU64 = AtomicU64::new(0);
static DEAD: AtomicBool = AtomicBool::new(false);
static DISK: Mutex<Option<Disk>> = Mutex::new(None);

thread_local! {
    /// The life in which this thread made its first call.
    static BORN: Cell<u64> = const { Cell::new(0) };
    /// The test itself, looking at or repairing the machine.
    static OUTSIDE: Cell<bool> = const { Cell::new(false) };
}

fn disk() -> MutexGuard<'static, Option<Disk>> {
    DISK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The machine whose files lie below one folder.
pub struct Machine {
    root: PathBuf,
}

impl Machine {
    /// From now on calls below `root` are the machine's.
    ///
    /// # Panics
    /// When there is one already.
    #[must_use]
    pub fn start(root: &Path) -> Self {
        let mut disk = disk();
        assert!(disk.is_none(), "one machine at a time");
        *disk = Some(Disk::of(root));
        drop(disk);
        DIES_AT.store(0, Ordering::SeqCst);
        FULL.store(false, Ordering::SeqCst);
        DEAD.store(false, Ordering::SeqCst);
        ON.store(true, Ordering::SeqCst);
        Self {
            root: root.to_owned(),
        }
    }

    /// Dies at the `n`-th call from now on, from 1.
    pub fn die_after(&self, n: u64) {
        DIES_AT.store(CALLS.load(Ordering::SeqCst) + n, Ordering::SeqCst);
    }

    /// Dies now, if it has not.
    pub fn die(&self) {
        DIES_AT.store(0, Ordering::SeqCst);
        DEAD.store(true, Ordering::SeqCst);
    }

    /// Whether it has died.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        DEAD.load(Ordering::SeqCst)
    }

    /// Lives again, after a power cut if one is given; without, the kernel had lost nothing. The
    /// threads of the life before stay dead.
    pub fn live_again(&self, cut: Option<Cut>) {
        OUTSIDE.with(|outside| outside.set(true));
        let mut disk = disk();
        if let Some(cut) = cut {
            if let Some(before) = disk.as_ref() {
                before.cut(cut);
            }
            *disk = Some(Disk::of(&self.root));
        }
        drop(disk);
        OUTSIDE.with(|outside| outside.set(false));
        let life = LIFE.fetch_add(1, Ordering::SeqCst) + 1;
        BORN.with(|born| born.set(life));
        DIES_AT.store(0, Ordering::SeqCst);
        DEAD.store(false, Ordering::SeqCst);
    }

    /// Does something as somebody else than the machine: nothing is counted, noted or refused.
    pub fn as_outsider<T>(&self, work: impl FnOnce() -> T) -> T {
        OUTSIDE.with(|outside| outside.set(true));
        let result = work();
        OUTSIDE.with(|outside| outside.set(false));
        result
    }

    /// Makes what an outsider has put below the root part of the disk, durable.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn adopt(&self, path: &Path) {
        self.as_outsider(|| {
            if let Some(disk) = disk().as_mut() {
                disk.adopt(path);
            }
        });
    }

    /// Whether writing more fails with ENOSPC.
    pub fn set_full(&self, is_full: bool) {
        FULL.store(is_full, Ordering::SeqCst);
    }

    /// Calls so far that changed something, of all machines of this process.
    #[must_use]
    pub fn calls() -> u64 {
        CALLS.load(Ordering::SeqCst)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        ON.store(false, Ordering::SeqCst);
        *disk() = None;
    }
}

/// What becomes of a call.
enum Fate {
    /// It is none of the machine's, or the machine is not on.
    Passes,
    /// It happens, and is noted.
    Noted(MutexGuard<'static, Option<Disk>>),
    Fails(c_int),
}

/// Decides; `grows` when it needs room.
fn fate(path: Option<&Path>, grows: bool) -> Fate {
    if !ON.load(Ordering::SeqCst) || OUTSIDE.with(Cell::get) {
        return Fate::Passes;
    }
    let disk = disk();
    let is_ours = match (&*disk, path) {
        (Some(disk), Some(path)) => disk.relative(path).is_some(),
        _ => false,
    };
    if !is_ours {
        return Fate::Passes;
    }
    let life = LIFE.load(Ordering::SeqCst);
    let born = BORN.with(|born| {
        if born.get() == 0 {
            born.set(life);
        }
        born.get()
    });
    if DEAD.load(Ordering::SeqCst) || born != life {
        return Fate::Fails(libc::EIO);
    }
    let call = CALLS.fetch_add(1, Ordering::SeqCst) + 1;
    if call == DIES_AT.load(Ordering::SeqCst) {
        DEAD.store(true, Ordering::SeqCst);
        return Fate::Fails(libc::EIO);
    }
    if grows && FULL.load(Ordering::SeqCst) {
        return Fate::Fails(libc::ENOSPC);
    }
    Fate::Noted(disk)
}

fn fail(errno: c_int) -> c_int {
    // SAFETY: the location is this thread's own.
    unsafe { *libc::__errno_location() = errno };
    -1
}

/// The path that a descriptor is open at; none for what has no name.
fn path_of(fd: c_int) -> Option<PathBuf> {
    if !ON.load(Ordering::SeqCst) {
        return None;
    }
    let link = format!("/proc/self/fd/{fd}\0");
    let mut buffer = [0_u8; 4096];
    // SAFETY: the link is terminated, and the buffer as long as said.
    let length = unsafe {
        libc::readlink(
            link.as_ptr().cast(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
        )
    };
    let length = usize::try_from(length).ok()?;
    let path = Path::new(OsStr::from_bytes(&buffer[..length]));
    (!path.as_os_str().as_bytes().ends_with(b" (deleted)")).then(|| path.to_owned())
}

/// The path of a name in an open folder.
fn path_at(dir: c_int, name: *const c_char) -> Option<PathBuf> {
    if !ON.load(Ordering::SeqCst) {
        return None;
    }
    // SAFETY: the caller passes a C string, as the real function requires.
    let name = Path::new(OsStr::from_bytes(
        unsafe { CStr::from_ptr(name) }.to_bytes(),
    ));
    if name.is_absolute() || dir == libc::AT_FDCWD {
        return Some(name.to_owned());
    }
    Some(path_of(dir)?.join(name))
}

/// The system call itself; the same numbers and order of arguments as the C library's.
macro_rules! really {
    ($number:ident $(, $argument:expr)*) => {
        // SAFETY: the arguments are those of the C function, of which this is the body.
        unsafe { libc::syscall(libc::$number $(, $argument as c_long)*) }
    };
}

fn opened(dir: c_int, name: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    let changes = flags & (libc::O_CREAT | libc::O_TRUNC) != 0;
    let really = || really!(SYS_openat, dir, name, flags, mode) as c_int;
    if !changes {
        return really();
    }
    let path = path_at(dir, name);
    match fate(path.as_deref(), flags & libc::O_CREAT != 0) {
        Fate::Passes => really(),
        Fate::Fails(errno) => fail(errno),
        Fate::Noted(mut disk) => {
            let fd = really();
            if fd >= 0
                && let (Some(disk), Some(path)) = (&mut *disk, &path)
            {
                if flags & libc::O_CREAT != 0 {
                    disk.create(path, mode);
                }
                if flags & libc::O_TRUNC != 0 {
                    disk.set_length(path, 0);
                }
            }
            fd
        }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn open(name: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    opened(libc::AT_FDCWD, name, flags, mode)
}

#[unsafe(no_mangle)]
pub extern "C" fn open64(name: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    opened(libc::AT_FDCWD, name, flags, mode)
}

#[unsafe(no_mangle)]
pub extern "C" fn openat(dir: c_int, name: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    opened(dir, name, flags, mode)
}

#[unsafe(no_mangle)]
pub extern "C" fn openat64(dir: c_int, name: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    opened(dir, name, flags, mode)
}

fn written(fd: c_int, bytes: *const c_void, count: size_t, at: Option<off_t>) -> ssize_t {
    let really = || match at {
        Some(at) => really!(SYS_pwrite64, fd, bytes, count, at) as ssize_t,
        None => really!(SYS_write, fd, bytes, count) as ssize_t,
    };
    let path = path_of(fd);
    match fate(path.as_deref(), true) {
        Fate::Passes => really(),
        Fate::Fails(errno) => fail(errno) as ssize_t,
        Fate::Noted(mut disk) => {
            // SAFETY: lseek(2) only reads the offset.
            let before = at.unwrap_or_else(|| unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) });
            let done = really();
            if let (Some(disk), Some(path), Ok(done), Ok(before)) = (
                &mut *disk,
                &path,
                usize::try_from(done),
                usize::try_from(before),
            ) {
                // SAFETY: the kernel has just read so many bytes from there.
                let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), done) };
                disk.write(path, before, bytes.to_vec());
            }
            done
        }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn write(fd: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    written(fd, bytes, count, None)
}

#[unsafe(no_mangle)]
pub extern "C" fn pwrite(fd: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t {
    written(fd, bytes, count, Some(at))
}

#[unsafe(no_mangle)]
pub extern "C" fn pwrite64(fd: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t {
    written(fd, bytes, count, Some(at))
}

/// A call that changes what is at an open descriptor.
fn at_descriptor(
    fd: c_int,
    really: impl FnOnce() -> c_long,
    note: impl FnOnce(&mut Disk, &Path),
) -> c_int {
    let path = path_of(fd);
    match fate(path.as_deref(), false) {
        Fate::Passes => really() as c_int,
        Fate::Fails(errno) => fail(errno),
        Fate::Noted(mut disk) => {
            let done = really() as c_int;
            if done == 0
                && let (Some(disk), Some(path)) = (&mut *disk, &path)
            {
                note(disk, path);
            }
            done
        }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    let length_bytes = usize::try_from(length).unwrap_or(0);
    at_descriptor(
        fd,
        || really!(SYS_ftruncate, fd, length),
        |disk, path| disk.set_length(path, length_bytes),
    )
}

#[unsafe(no_mangle)]
pub extern "C" fn ftruncate64(fd: c_int, length: off_t) -> c_int {
    ftruncate(fd, length)
}

#[unsafe(no_mangle)]
pub extern "C" fn fchmod(fd: c_int, mode: mode_t) -> c_int {
    at_descriptor(
        fd,
        || really!(SYS_fchmod, fd, mode),
        |disk, path| disk.set_mode(path, mode),
    )
}

/// Told to the disk only: nothing here outlives the process, so the drive is left alone.
fn synced(fd: c_int, note: impl FnOnce(&mut Disk, &Path), number: c_long) -> c_int {
    let path = path_of(fd);
    match fate(path.as_deref(), false) {
        // SAFETY: the argument is that of the C function.
        Fate::Passes => unsafe { libc::syscall(number, fd as c_long) as c_int },
        Fate::Fails(errno) => fail(errno),
        Fate::Noted(mut disk) => {
            if let (Some(disk), Some(path)) = (&mut *disk, &path) {
                note(disk, path);
            }
            0
        }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn fsync(fd: c_int) -> c_int {
    synced(fd, |disk, path| disk.sync(path), libc::SYS_fsync)
}

#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: c_int) -> c_int {
    synced(fd, |disk, path| disk.sync(path), libc::SYS_fdatasync)
}

#[unsafe(no_mangle)]
pub extern "C" fn syncfs(fd: c_int) -> c_int {
    synced(fd, |disk, _| disk.sync_all(), libc::SYS_syncfs)
}

/// A call that changes one name.
fn at_name(
    path: Option<PathBuf>,
    grows: bool,
    really: impl FnOnce() -> c_long,
    note: impl FnOnce(&mut Disk, &Path),
) -> c_int {
    match fate(path.as_deref(), grows) {
        Fate::Passes => really() as c_int,
        Fate::Fails(errno) => fail(errno),
        Fate::Noted(mut disk) => {
            let done = really() as c_int;
            if done == 0
                && let (Some(disk), Some(path)) = (&mut *disk, &path)
            {
                note(disk, path);
            }
            done
        }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn unlink(name: *const c_char) -> c_int {
    unlinkat(libc::AT_FDCWD, name, 0)
}

#[unsafe(no_mangle)]
pub extern "C" fn rmdir(name: *const c_char) -> c_int {
    unlinkat(libc::AT_FDCWD, name, libc::AT_REMOVEDIR)
}

#[unsafe(no_mangle)]
pub extern "C" fn unlinkat(dir: c_int, name: *const c_char, flags: c_int) -> c_int {
    at_name(
        path_at(dir, name),
        false,
        || really!(SYS_unlinkat, dir, name, flags),
        |disk, path| disk.remove(path),
    )
}

#[unsafe(no_mangle)]
pub extern "C" fn mkdir(name: *const c_char, mode: mode_t) -> c_int {
    mkdirat(libc::AT_FDCWD, name, mode)
}

#[unsafe(no_mangle)]
pub extern "C" fn mkdirat(dir: c_int, name: *const c_char, mode: mode_t) -> c_int {
    at_name(
        path_at(dir, name),
        true,
        || really!(SYS_mkdirat, dir, name, mode),
        |disk, path| disk.create_folder(path, mode),
    )
}

#[unsafe(no_mangle)]
pub extern "C" fn chmod(name: *const c_char, mode: mode_t) -> c_int {
    at_name(
        path_at(libc::AT_FDCWD, name),
        false,
        || really!(SYS_fchmodat, libc::AT_FDCWD, name, mode),
        |disk, path| disk.set_mode(path, mode),
    )
}

#[unsafe(no_mangle)]
pub extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    renameat2(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0)
}

#[unsafe(no_mangle)]
pub extern "C" fn renameat(
    from_dir: c_int,
    from: *const c_char,
    to_dir: c_int,
    to: *const c_char,
) -> c_int {
    renameat2(from_dir, from, to_dir, to, 0)
}

#[unsafe(no_mangle)]
pub extern "C" fn renameat2(
    from_dir: c_int,
    from: *const c_char,
    to_dir: c_int,
    to: *const c_char,
    flags: c_uint,
) -> c_int {
    let old = path_at(from_dir, from);
    at_name(
        path_at(to_dir, to),
        false,
        || really!(SYS_renameat2, from_dir, from, to_dir, to, flags),
        |disk, path| {
            if let Some(old) = &old {
                disk.rename(old, path);
            }
        },
    )
}

#[unsafe(no_mangle)]
pub extern "C" fn link(from: *const c_char, to: *const c_char) -> c_int {
    linkat(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0)
}

#[unsafe(no_mangle)]
pub extern "C" fn linkat(
    from_dir: c_int,
    from: *const c_char,
    to_dir: c_int,
    to: *const c_char,
    flags: c_int,
) -> c_int {
    let old = path_at(from_dir, from);
    at_name(
        path_at(to_dir, to),
        true,
        || really!(SYS_linkat, from_dir, from, to_dir, to, flags),
        |disk, path| {
            if let Some(old) = &old {
                disk.link(old, path);
            }
        },
    )
}
