//! A very long queue: so many deliveries wait in delivery.db as a week without the store, or a
//! month, would leave.

use std::fs;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::clinic::{Clinic, Place, Role};

/// Deliveries of one order, two for each bundle, as the agent groups them when it is busy.
const OF_ONE_ORDER: u64 = 128;
/// A bound for failures only.
const PATIENCE: Duration = Duration::from_secs(300);

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Deliveries that wait.
    pub pending: u64,
    /// From the start of the process to its log line `ready`.
    pub ready_after: Duration,
    /// From the start to when it has asked the store and knows that it does not answer.
    pub at_work_after: Duration,
    /// How long `msp-evidence status` took.
    pub status_took: Duration,
    /// The most memory that the uploader had, in kB.
    pub peak_kb: u64,
    /// The same of an uploader with nothing to do.
    pub peak_idle_kb: u64,
}

/// Starts an uploader with nothing to do, and one with so many deliveries, while the store is away.
///
/// # Panics
/// When it does not start, or does not count what waits.
#[must_use]
pub fn measure(pending: u64) -> Figures {
    let mut clinic = Clinic::new();
    let place = Place {
        // Nobody listens there.
        endpoint: "http://127.0.0.1:9".to_owned(),
        ..Place::sandbox("main", &clinic.sandbox)
    };
    clinic.configure(&[place], "");
    start_and_meet_the_outage(&mut clinic);
    let peak_idle_kb = peak_kb(&clinic);
    clinic.stop(Role::Uploader);
    fill(&clinic, pending);
    let (ready_after, at_work_after) = start_and_meet_the_outage(&mut clinic);
    let began = Instant::now();
    let status = clinic.cli_json(&["status", "--json"]);
    let status_took = began.elapsed();
    assert_eq!(status["pending"], pending);
    // A scan of the outbox and a status line later.
    for _ in 0..20 {
        clinic.next_event(Duration::from_millis(200));
    }
    let figures = Figures {
        pending,
        ready_after,
        at_work_after,
        status_took,
        peak_kb: peak_kb(&clinic),
        peak_idle_kb,
    };
    clinic.stop(Role::Uploader);
    figures
}

fn start_and_meet_the_outage(clinic: &mut Clinic) -> (Duration, Duration) {
    let began = Instant::now();
    let mut ready = None;
    clinic.start(Role::Uploader);
    loop {
        if let Some((_, event)) = clinic.next_event(Duration::from_millis(50)) {
            if event["message"] == "ready" {
                ready = Some(began.elapsed());
            }
            if event["state"] == "open" {
                return (ready.unwrap(), began.elapsed());
            }
        }
        assert!(began.elapsed() < PATIENCE, "the uploader is not at work");
    }
}

fn peak_kb(clinic: &Clinic) -> u64 {
    let status = format!("/proc/{}/status", clinic.pid(Role::Uploader));
    let status = fs::read_to_string(status).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Rows as an import makes them, in one transaction.
fn fill(clinic: &Clinic, pending: u64) {
    let mut db = Connection::open(clinic.state("delivery").join("delivery.db")).unwrap();
    let orders = pending.div_ceil(OF_ONE_ORDER);
    let tx = db.transaction().unwrap();
    let count = i64::try_from(pending).unwrap();
    let of_one = i64::try_from(OF_ONE_ORDER).unwrap();
    let destination: i64 = tx
        .query_row("SELECT destination_rowid FROM destinations", [], |r| {
            r.get(0)
        })
        .unwrap();
    let series = |n: u64| {
        format!("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {n})")
    };
    let insert = |what: &str, n: u64| format!("{} {what}", series(n));
    tx.execute(
        &insert(
            "INSERT INTO orders (order_rowid, order_id, sha256, created_at_ms, imported_at_ms)
             SELECT i, printf('order-%012d', i), zeroblob(32), 1, 1 FROM n",
            orders,
        ),
        [],
    )
    .unwrap();
    tx.execute(
        &insert(
            "INSERT INTO objects (object_rowid, order_rowid, bundle_id, role, path, size_bytes, sha256)
             SELECT i, i / ?1, printf('EB-20260101-%09d', i / 2),
               CASE i % 2 WHEN 0 THEN 'signature' ELSE 'bundle' END,
               printf('clinic-a/host-1/chain/2026/01/01/EB-20260101-%09d.json%s', i / 2,
                 CASE i % 2 WHEN 0 THEN '.bundle' ELSE '' END), 2000, zeroblob(32) FROM n",
            pending,
        ),
        params![of_one],
    )
    .unwrap();
    tx.execute(
        &insert(
            "INSERT INTO parcels (parcel_rowid, order_rowid, destination_rowid, bundle_id, sequence,
               due_at_ms)
             SELECT i, i * 2 / ?1, ?2, printf('EB-20260101-%09d', i), i + 1, 0 FROM n",
            pending / 2,
        ),
        params![of_one, destination],
    )
    .unwrap();
    tx.execute(
        &insert(
            "INSERT INTO deliveries (parcel_rowid, object_rowid, is_marker, retention_days)
             SELECT i / 2, i, i % 2, 2192 FROM n",
            pending,
        ),
        [],
    )
    .unwrap();
    let rows: i64 = tx
        .query_row("SELECT count(*) FROM deliveries", [], |r| r.get(0))
        .unwrap();
    assert_eq!(rows, count);
    tx.commit().unwrap();
}
