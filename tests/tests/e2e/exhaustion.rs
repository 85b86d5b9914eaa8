//! What the daemons need runs out: room, descriptors, inotify, a lock, a disk that may be written.
//!
//! Each time: nothing is lost, nothing is evicted, the log and `status` say what is wrong, and all
//! of it goes on by itself, in the same process, once there is enough again. System calls that
//! fail one at a time are in `tests/src/faults.rs`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;
use tests::backlog;
use tests::bucket::judge;
use tests::campaign::Campaign;
use tests::clinic::{BUCKET, Clinic, Place, Role};
use tests::faults::Outcome;
use tests::tmpfs::Tmpfs;
use tests::tools::{self, Tool};

use crate::incident::document;

const DISK_BYTES: usize = 4 << 20;
/// A bound for failures only.
const PATIENCE: Duration = Duration::from_secs(120);
/// A daemon that waits is watched for so long, and may write so many lines and ask so often.
const WATCHED: Duration = Duration::from_secs(2);
const LINES_MAX: usize = 120;
/// In the ordinary run; `campaign backlog` has a million.
const BACKLOG: u64 = 20_000;
/// By how much more an uploader may have in memory when very much waits.
const GROWTH_MAX_KB: u64 = 8_000;
/// Faults of the sample, each about a second.
const FAULTS: usize = 12;

fn drop_some(clinic: &Clinic, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let id = format!("INC-{n}");
        clinic.drop_document(&format!("{id}.json"), &document(&id));
    }
}

/// Reads the log until a line of that daemon holds every one of the words.
fn await_said(clinic: &mut Clinic, role: Role, words: &[&str]) -> Value {
    let began = Instant::now();
    let mut last = String::new();
    while began.elapsed() < PATIENCE {
        if let Some((who, event)) = clinic.next_event(Duration::from_millis(200)) {
            let line = event.to_string();
            if who == role && words.iter().all(|word| line.contains(word)) {
                return event;
            }
            last = format!("{who:?} {line}");
        }
    }
    panic!("never said: {words:?}; the last was {last}");
}

/// The alarms that `status` shows, as `by code`.
fn alarms(clinic: &Clinic) -> Vec<String> {
    // Also when it could not read everything, which its exit status says.
    let status = clinic.cli(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let of = |a: &Value| format!("{} {}", text(&a["by"]), text(&a["code"]));
    status["alarms"]
        .as_array()
        .unwrap()
        .iter()
        .map(of)
        .collect()
}

/// How many lines a daemon writes to the log in so much time.
fn lines_of(clinic: &mut Clinic, role: Role, time: Duration) -> usize {
    let until = Instant::now() + time;
    let mut lines = 0;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        let event = clinic.next_event(left);
        lines += usize::from(event.is_some_and(|(who, _)| who == role));
    }
    lines
}

fn await_alarm(clinic: &mut Clinic, alarm: &str) {
    clinic.wait_until(alarm, |c| alarms(c).iter().any(|a| a == alarm));
}

/// Everything that was dropped is confirmed, once, by the same processes, and no alarm is left.
fn check(clinic: &mut Clinic, incidents: usize) {
    // A stop on the way has sealed custody, too.
    clinic.wait_until("everything to be confirmed", |c| {
        c.is_confirmed()
            && c.cli_json(&["status", "--json"])["spool"]["sealed_incidents"] == incidents
    });
    clinic.wait_until("no alarm", |c| alarms(c).is_empty());
    let client = Place::sandbox("main", &clinic.sandbox).client();
    let keys = std::slice::from_ref(&clinic.public);
    let judged = clinic.runtime().block_on(judge(&client, BUCKET, keys));
    assert_eq!(judged.problems, Vec::<String>::new());
    assert_eq!(judged.incidents.len(), incidents);
    assert_eq!(judged.chains.len(), 1);
    let status = clinic.cli_json(&["status", "--json"]);
    assert_eq!(status["spool"]["duplicates"], 0);
    assert_eq!(status["spool"]["sealed_incidents"], incidents);
}

/// Both daemons run and have done one incident.
fn start_both(clinic: &mut Clinic) {
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    drop_some(clinic, 0..1);
    clinic.wait_until("the first", |c| c.is_settled() && c.bundles().len() == 1);
}

/// A clinic with this folder on a disk of its own, that seals at any amount of free room.
fn clinic_with_disk(folder: &str, test: &str) -> Option<(Clinic, Tmpfs)> {
    let mut clinic = Clinic::new();
    clinic.edit_configuration("min_free_bytes = 1048576", "min_free_bytes = 0");
    let disk = Tmpfs::mount(&clinic.state(folder), DISK_BYTES, test)?;
    start_both(&mut clinic);
    Some((clinic, disk))
}

/// The disk below `folder` fills; `role` says so in these words and raises this alarm.
fn fills(folder: &str, role: Role, words: &[&str], alarm: &str, test: &str) {
    let Some((mut clinic, disk)) = clinic_with_disk(folder, test) else {
        return;
    };
    disk.fill(0);
    drop_some(&clinic, 1..4);
    await_said(&mut clinic, role, words);
    await_alarm(&mut clinic, alarm);
    assert!(!clinic.is_settled(), "it waits, and nothing is evicted");
    let said = lines_of(&mut clinic, role, WATCHED);
    assert!(said < LINES_MAX, "{said} lines in {WATCHED:?}");
    disk.free();
    check(&mut clinic, 4);
}

#[test]
fn a_full_disk_below_spool_db_stops_sealing_until_there_is_room() {
    let test = "a_full_disk_below_spool_db_stops_sealing_until_there_is_room";
    let words = ["nothing is sealed, drops wait", "disk is full"];
    fills("spool", Role::Agent, &words, "agent stalled", test);
}

#[test]
fn a_full_disk_below_the_evidence_folder_stops_sealing_until_there_is_room() {
    let test = "a_full_disk_below_the_evidence_folder_stops_sealing_until_there_is_room";
    let words = ["nothing is sealed, drops wait", "No space left on device"];
    fills("evidence", Role::Agent, &words, "agent stalled", test);
}

#[test]
fn a_full_disk_below_the_outbox_stops_sealing_until_there_is_room() {
    let test = "a_full_disk_below_the_outbox_stops_sealing_until_there_is_room";
    let words = ["nothing is sealed, drops wait", "No space left on device"];
    fills("outbox", Role::Agent, &words, "agent stalled", test);
}

#[test]
fn a_full_disk_below_delivery_db_stops_uploading_until_there_is_room() {
    let test = "a_full_disk_below_delivery_db_stops_uploading_until_there_is_room";
    let words = ["disk is full", "make room on the disk"];
    fills("delivery", Role::Uploader, &words, "uploader outbox", test);
}

#[test]
fn a_full_disk_below_delivery_db_amid_deliveries_costs_neither_a_storm_nor_a_flood() {
    let test = "a_full_disk_below_delivery_db_amid_deliveries_costs_neither_a_storm_nor_a_flood";
    let Some((mut clinic, disk)) = clinic_with_disk("delivery", test) else {
        return;
    };
    let refusal = sandbox::Action::answer(403, "AccessDenied");
    let refusal = clinic.sandbox.faults().add(sandbox::Fault::always(refusal));
    drop_some(&clinic, 1..4);
    clinic.wait_until("deliveries that wait", |c| {
        c.cli_json(&["status", "--json"])["pending"] == 6
    });
    disk.fill(0);
    clinic.sandbox.faults().remove(refusal);
    let words = ["delivery.db cannot be used", "make room on the disk"];
    await_said(&mut clinic, Role::Uploader, &words);
    await_alarm(&mut clinic, "uploader database");
    let asked = clinic.sandbox.log().requests().len();
    let said = lines_of(&mut clinic, Role::Uploader, WATCHED);
    let asked = clinic.sandbox.log().requests().len() - asked;
    assert!(said < LINES_MAX, "{said} lines in {WATCHED:?}");
    assert!(asked < LINES_MAX, "{asked} requests in {WATCHED:?}");
    disk.free();
    check(&mut clinic, 4);
}

#[test]
fn a_full_disk_below_the_receipts_keeps_confirmations_until_there_is_room() {
    let test = "a_full_disk_below_the_receipts_keeps_confirmations_until_there_is_room";
    let words = ["receipts cannot be written", "No space left on device"];
    fills(
        "receipts",
        Role::Uploader,
        &words,
        "uploader receipts",
        test,
    );
}

#[test]
fn with_less_room_than_configured_drops_stay_where_they_are_until_there_is_more() {
    let test = "with_less_room_than_configured_drops_stay_where_they_are_until_there_is_more";
    let mut clinic = Clinic::new();
    // Everything on one disk, as it is installed.
    let Some(disk) = Tmpfs::mount(&clinic.state(""), 4 * DISK_BYTES, test) else {
        return;
    };
    clinic.make_folders();
    start_both(&mut clinic);
    disk.fill(512 << 10);
    drop_some(&clinic, 1..4);
    let words = [
        "nothing is sealed, drops wait",
        "agent.min_free_bytes = 1048576",
    ];
    await_said(&mut clinic, Role::Agent, &words);
    await_alarm(&mut clinic, "agent stalled");
    await_alarm(&mut clinic, "status no_room");
    let status = clinic.cli_json(&["status", "--json"]);
    assert_eq!(status["waiting_drops"], 3);
    assert_eq!(status["spool"]["sealed_bundles"], 1);
    for n in 1..4 {
        assert!(clinic.state("drop").join(format!("INC-{n}.json")).is_file());
    }
    disk.free();
    check(&mut clinic, 4);
}

#[test]
fn folders_that_become_read_only_are_written_again_when_they_are_writable() {
    let test = "folders_that_become_read_only_are_written_again_when_they_are_writable";
    let stalled = "nothing is sealed, drops wait";
    let unreported = "receipts cannot be written";
    for (folder, role, words, alarm) in [
        ("evidence", Role::Agent, stalled, "agent stalled"),
        ("receipts", Role::Uploader, unreported, "uploader receipts"),
    ] {
        let Some((mut clinic, disk)) = clinic_with_disk(folder, test) else {
            return;
        };
        disk.set_read_only(true);
        drop_some(&clinic, 1..4);
        await_said(&mut clinic, role, &[words, "Read-only file system"]);
        await_alarm(&mut clinic, alarm);
        await_alarm(&mut clinic, "status read_only");
        disk.set_read_only(false);
        check(&mut clinic, 4);
    }
}

#[test]
fn a_database_on_a_read_only_disk_keeps_a_daemon_from_starting_and_says_so() {
    let test = "a_database_on_a_read_only_disk_keeps_a_daemon_from_starting_and_says_so";
    for (folder, role) in [("spool", Role::Agent), ("delivery", Role::Uploader)] {
        let Some((mut clinic, disk)) = clinic_with_disk(folder, test) else {
            return;
        };
        clinic.stop(role);
        disk.set_read_only(true);
        drop_some(&clinic, 1..2);
        let said = clinic.start_that_fails(role);
        assert!(said.contains("Read-only file system"), "{said}");
        await_alarm(&mut clinic, "status read_only");
        disk.set_read_only(false);
        clinic.start(role);
        check(&mut clinic, 2);
    }
}

/// How SQLite writes; a file system that has become read only refuses it.
const WRITING: &str = "pwrite64,pwritev,ftruncate,fallocate,fdatasync";

/// Makes the databases of a process that runs read only, until it is dropped.
struct ReadOnly(Child);

impl ReadOnly {
    fn below(strace: &Path, pid: u32) -> Self {
        let trace = format!("trace={WRITING}");
        let inject = format!("inject={WRITING}:error=EROFS");
        let mut tracer = Command::new(strace)
            .args(["-f", "-o", "/dev/null", "-e", &trace, "-e", &inject, "-p"])
            .arg(pid.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(tracer.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains("attached"), "{line}");
        // What it says of further threads is nobody's to read.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self(tracer)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let tracer = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        // It lets the process go, which then runs on as before.
        nix::sys::signal::kill(tracer, nix::sys::signal::Signal::SIGINT).unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn databases_that_become_read_only_under_running_daemons_are_written_again_later() {
    let test = "databases_that_become_read_only_under_running_daemons_are_written_again_later";
    let Some(strace) = tools::find(Tool::Strace, test) else {
        return;
    };
    let mut clinic = Clinic::new();
    start_both(&mut clinic);
    let pids = [Role::Agent, Role::Uploader].map(|role| clinic.pid(role));
    let agent = ReadOnly::below(&strace, pids[0]);
    drop_some(&clinic, 1..4);
    let words = ["nothing is sealed, drops wait", "spool.db"];
    await_said(&mut clinic, Role::Agent, &words);
    let uploader = ReadOnly::below(&strace, pids[1]);
    drop(agent);
    let words = ["delivery.db", "mounted read only"];
    await_said(&mut clinic, Role::Uploader, &words);
    // Alarms cannot be told there; on a real disk `status` sees that it is read only.
    drop(uploader);
    check(&mut clinic, 4);
    assert_eq!(pids, [Role::Agent, Role::Uploader].map(|r| clinic.pid(r)));
}

#[test]
fn without_room_at_its_start_a_daemon_ends_with_a_word_and_starts_once_there_is_some() {
    let test = "without_room_at_its_start_a_daemon_ends_with_a_word_and_starts_once_there_is_some";
    for (folder, role, alarm) in [
        ("spool", Role::Agent, "agent start_failed"),
        ("delivery", Role::Uploader, "uploader start_failed"),
    ] {
        let Some((mut clinic, disk)) = clinic_with_disk(folder, test) else {
            return;
        };
        clinic.stop(role);
        disk.fill(0);
        drop_some(&clinic, 1..2);
        let said = clinic.start_that_fails(role);
        let why = ["disk is full", "disk I/O error"];
        assert!(why.iter().any(|why| said.contains(why)), "{said}");
        await_alarm(&mut clinic, alarm);
        disk.free();
        clinic.start(role);
        check(&mut clinic, 2);
    }
}

/// Sets the limit of descriptors of a process that runs, as an operator would.
fn limit_descriptors(pid: u32, limit: &str) {
    let output = Command::new("prlimit")
        .args([format!("--pid={pid}"), format!("--nofile={limit}:")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn without_descriptors_the_daemons_wait_and_go_on_when_they_get_some() {
    let stalled = "nothing is sealed, drops wait";
    let unseen = "the outbox could not be scanned";
    for (role, words, alarm) in [
        (Role::Agent, stalled, "agent stalled"),
        (Role::Uploader, unseen, "uploader outbox"),
    ] {
        let mut clinic = Clinic::new();
        start_both(&mut clinic);
        let pid = clinic.pid(role);
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let limits = limits.lines().find(|l| l.starts_with("Max open files"));
        let before = limits.unwrap().split_whitespace().nth(3).unwrap();
        // None that is open is taken away, and none is given.
        limit_descriptors(pid, "3");
        drop_some(&clinic, 1..4);
        await_said(&mut clinic, role, &[words, "Too many open files"]);
        await_alarm(&mut clinic, alarm);
        limit_descriptors(pid, before);
        check(&mut clinic, 4);
        assert_eq!(clinic.pid(role), pid);
    }
}

/// Starts a daemon where the kernel gives it none of these, `instances` or `watches`, and waits until
/// that is said; `false` after saying loudly that `test` is skipped.
fn start_without_inotify(clinic: &mut Clinic, role: Role, what: &str, test: &str) -> bool {
    // The limit of a user namespace of one's own disturbs nobody else.
    let shell = format!("echo 0 > /proc/sys/user/max_inotify_{what} && exec \"$0\" \"$@\"");
    let unshared = |program: &std::ffi::OsStr| {
        let mut unshare = Command::new("unshare");
        unshare.args(["-U", "-r", "--", "sh", "-c", &shell]);
        unshare.arg(program);
        unshare
    };
    let probe = unshared("true".as_ref()).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        tools::skip(test, "unshare(1) cannot make a user namespace here");
        return false;
    }
    let daemon = clinic.daemon(role);
    let mut command = unshared(daemon.get_program());
    command.args(daemon.get_args());
    for (name, value) in daemon.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    clinic.start_as(role, command);
    await_said(clinic, role, &["not_watching", "max_user_instances"]);
    true
}

#[test]
fn without_inotify_the_periodic_scan_takes_drops_and_it_is_said() {
    let test = "without_inotify_the_periodic_scan_takes_drops_and_it_is_said";
    let mut clinic = Clinic::new();
    if !start_without_inotify(&mut clinic, Role::Agent, "instances", test) {
        return;
    }
    await_said(&mut clinic, Role::Agent, &["ready"]);
    clinic.start(Role::Uploader);
    drop_some(&clinic, 0..2);
    // Both objects of both bundles; the agent's next scan would take the receipts.
    clinic.wait_until("everything to be confirmed", |c| {
        let status = c.cli_json(&["status", "--json"]);
        status["delivery"]["destinations"][0]["counts"]["confirmed"] == 4
    });
    assert_eq!(alarms(&clinic), ["agent not_watching"]);
}

#[test]
fn without_inotify_the_periodic_scan_takes_orders_and_it_is_said() {
    let test = "without_inotify_the_periodic_scan_takes_orders_and_it_is_said";
    let mut clinic = Clinic::new();
    if !start_without_inotify(&mut clinic, Role::Uploader, "watches", test) {
        return;
    }
    await_said(&mut clinic, Role::Uploader, &["the destination is ready"]);
    clinic.start(Role::Agent);
    drop_some(&clinic, 0..2);
    clinic.wait_until("everything to be confirmed", |c| {
        c.is_settled() && c.bundles().len() == 2
    });
    assert_eq!(alarms(&clinic), ["uploader not_watching"]);
}

#[test]
fn a_database_that_another_program_holds_locked_is_waited_for() {
    let mut clinic = Clinic::new();
    start_both(&mut clinic);
    let spool_db = clinic.state("spool").join("spool.db");
    let delivery_db = clinic.state("delivery").join("delivery.db");
    // Readers that never end hold up nobody.
    let begin = |path: &Path, how: &str| {
        let db = Connection::open(path).unwrap();
        db.execute_batch(how).unwrap();
        db
    };
    let read = "BEGIN; SELECT count(*) FROM sqlite_schema;";
    let readers = [begin(&spool_db, read), begin(&delivery_db, read)];
    let spool = begin(&spool_db, "BEGIN IMMEDIATE");
    let delivery = begin(&delivery_db, "BEGIN IMMEDIATE");
    drop_some(&clinic, 1..4);
    let words = ["nothing is sealed, drops wait", "database is locked"];
    await_said(&mut clinic, Role::Agent, &words);
    await_alarm(&mut clinic, "agent stalled");
    spool.execute_batch("ROLLBACK").unwrap();
    let words = ["database is locked", "another program holds delivery.db"];
    await_said(&mut clinic, Role::Uploader, &words);
    await_alarm(&mut clinic, "uploader outbox");
    delivery.execute_batch("ROLLBACK").unwrap();
    check(&mut clinic, 4);
    drop(readers);
}

#[test]
fn a_quarantine_without_room_keeps_bad_drops_where_they_are_and_lets_good_ones_through() {
    let test =
        "a_quarantine_without_room_keeps_bad_drops_where_they_are_and_lets_good_ones_through";
    let mut clinic = Clinic::new();
    let root = clinic.dir.path().join("small");
    fs::create_dir(&root).unwrap();
    let Some(disk) = Tmpfs::mount(&root, 256 << 10, test) else {
        return;
    };
    // The drop folder and the quarantine on one small disk, everything else elsewhere.
    let (drop, quarantine) = (root.join("drop"), root.join("quarantine"));
    fs::create_dir(&drop).unwrap();
    fs::create_dir(&quarantine).unwrap();
    let paths = format!(
        "[paths]\ndrop = \"{}\"\nquarantine = \"{}\"\n",
        drop.display(),
        quarantine.display()
    );
    clinic.edit_configuration("[paths]\n", &paths);
    for n in 0..4 {
        fs::write(drop.join(format!("broken-{n}.json")), b"{").unwrap();
    }
    fs::write(drop.join("INC-0.json"), document("INC-0")).unwrap();
    disk.fill(0);
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    let words = ["quarantine_failed", "No space left on device"];
    await_said(&mut clinic, Role::Agent, &words);
    await_alarm(&mut clinic, "agent left");
    await_alarm(&mut clinic, "status no_room");
    clinic.wait_until("the good one", |c| {
        c.cli_json(&["status", "--json"])["spool"]["confirmed_bundles"] == 1
    });
    let counts = |c: &Clinic| {
        let status = c.cli_json(&["status", "--json"]);
        let count = |name: &str| status[name].as_u64().unwrap();
        (count("waiting_drops"), count("in_quarantine"))
    };
    let (waiting, in_quarantine) = counts(&clinic);
    assert_eq!(waiting + in_quarantine, 4);
    assert!(waiting > 0);
    disk.free();
    clinic.wait_until("the quarantine", |c| counts(c) == (0, 4));
    clinic.wait_until("no alarm", |c| {
        alarms(c).iter().all(|a| a == "status no_room")
    });
    let status = clinic.cli_json(&["status", "--json"]);
    assert_eq!(status["spool"]["quarantined"], 4, "each counted once");
}

#[test]
fn a_long_backlog_needs_hardly_more_memory_and_starts_at_once() {
    let figures = backlog::measure(BACKLOG);
    eprintln!("{figures:?}");
    let grown_kb = figures.peak_kb.saturating_sub(figures.peak_idle_kb);
    assert!(grown_kb < GROWTH_MAX_KB, "{figures:?}");
    assert!(figures.ready_after < Duration::from_secs(10), "{figures:?}");
}

#[test]
fn a_system_call_that_fails_anywhere_loses_nothing_and_doubles_nothing() {
    let test = "a_system_call_that_fails_anywhere_loses_nothing_and_doubles_nothing";
    let Some(strace) = tools::find(Tool::Strace, test) else {
        return;
    };
    let seed = std::env::var("MSP_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    eprintln!("MSP_TEST_SEED={seed}");
    let campaign = Campaign::new(strace);
    let mut faults = campaign.faults();
    assert!(faults.len() > 2000, "only {} faults", faults.len());
    fastrand::Rng::with_seed(seed).shuffle(&mut faults);
    let mut survived = 0;
    for fault in &faults[..FAULTS] {
        match campaign.fault_at(fault) {
            Outcome::Survived(_) => survived += 1,
            Outcome::NotReached | Outcome::NoFile => {}
            Outcome::No(problems) => panic!("seed {seed}, {fault:?}: {problems:#?}"),
        }
    }
    assert!(
        survived > FAULTS / 2,
        "only {survived} of {FAULTS} were reached"
    );
}
