//! The sample executor: synthetic incidents, handed over as the drop contract asks (write under
//! another name, fsync, rename without replacing). No patient data, real or realistic.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::layout::Layout;

/// What was dropped.
pub(crate) struct Dropped {
    /// Incidents that must end confirmed.
    pub(crate) incidents: BTreeSet<String>,
    /// Drops that must end in quarantine.
    pub(crate) malformed: usize,
    /// Drops that must be recognised as sealed before.
    pub(crate) duplicates: usize,
    /// Files that go with the incidents.
    pub(crate) artifacts: usize,
}

/// Drops `count` incidents, one malformed document, and the first incident a second time.
pub(crate) fn drop_all(layout: &Layout, count: u32) -> Result<Dropped> {
    let folder = layout.drop_folder();
    let run = format!("{:x}", Timestamp::now().as_microsecond());
    let mut incidents = BTreeSet::new();
    let mut first = None;
    let mut artifacts = 0;
    for n in 0..count {
        let id = format!("INC-{run}-{n:04}");
        let document = document(&id, n);
        let bytes = serde_json::to_vec_pretty(&document)?;
        // Of each kind the first has its log with it.
        if n < 3 {
            hand_over_folder(&folder, &id, &bytes, &log(&id))?;
            artifacts += 1;
        } else {
            hand_over(&folder, &format!("{id}.json"), &bytes)?;
        }
        first.get_or_insert((id.clone(), bytes));
        incidents.insert(id);
    }
    hand_over(
        &folder,
        &format!("malformed-{run}.json"),
        br#"{"incident": {"incident_id": "INC-cut"#,
    )?;
    if let Some((id, bytes)) = &first {
        hand_over_folder(&folder, &format!("again-{run}"), bytes, &log(id))?;
    }
    Ok(Dropped {
        incidents,
        malformed: 1,
        duplicates: usize::from(first.is_some()),
        artifacts,
    })
}

fn hand_over(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let temporary = folder.join(format!(".{name}.part"));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // link(2) refuses a name that exists, which rename(2) would not.
    fs::hard_link(&temporary, folder.join(name))?;
    fs::remove_file(&temporary)?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// `NAME/` with `incident.json` and one file in `artifacts/`, whole before it has its name.
fn hand_over_folder(folder: &Path, name: &str, document: &[u8], log: &[u8]) -> Result<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let temporary = folder.join(format!(".{name}.part"));
    let inside = temporary.join("artifacts");
    for new in [&temporary, &inside] {
        fs::create_dir(new)?;
        fs::set_permissions(new, fs::Permissions::from_mode(0o2770))?;
    }
    for (path, bytes) in [
        (inside.join("runbook.log"), log),
        (temporary.join("incident.json"), document),
    ] {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    File::open(&inside)?.sync_all()?;
    File::open(&temporary)?.sync_all()?;
    // Of a folder, rename(2) replaces at most an empty one, which is no drop.
    fs::rename(&temporary, folder.join(name))?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// A runbook's output.
fn log(id: &str) -> Vec<u8> {
    let lines = (1..=200).map(|n| format!("{id} line {n} of the runbook's output\n"));
    lines.collect::<String>().into_bytes()
}

fn document(id: &str, n: u32) -> Value {
    match n % 3 {
        0 => backup_fixed(id),
        1 => service_partly_fixed(id),
        _ => certificate_failed(id),
    }
}

struct Times {
    start: Timestamp,
}

impl Times {
    /// Steps ended `secs` after the start; the whole ended just now.
    fn ending_now(total_secs: i64) -> Self {
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        Self {
            start: now - SignedDuration::from_secs(total_secs),
        }
    }

    fn after(&self, secs: i64) -> String {
        (self.start + SignedDuration::from_secs(secs)).to_string()
    }
}

fn script_hash(word: &str) -> String {
    format!("sha256:{}", sandbox::sha256_hex(word.as_bytes()))
}

fn backup_fixed(id: &str) -> Value {
    let t = Times::ending_now(322);
    let step = |step: u32, action: &str, secs: i64| {
        json!({"step": step, "action": action, "script_hash": script_hash(action), "result": "ok",
               "exit_code": 0, "timestamp": t.after(secs)})
    };
    json!({
        "incident": {"incident_id": id, "event_type": "backup_failure", "severity": "high",
            "detected_at": t.after(-8), "hostname": "sample-host",
            "details": {"job": "nightly-volume", "error_code": "ENOSPC"},
            "hipaa_controls": ["164.308(a)(7)(ii)(A)", "164.308(a)(1)(ii)(D)"]},
        "runbook": {"runbook_id": "RB-BACKUP-001", "runbook_version": "1.4",
            "runbook_hash": script_hash("RB-BACKUP-001 1.4"), "steps_total": 4, "steps_executed": 4},
        "execution": {"timestamp_start": t.after(0), "timestamp_end": t.after(322),
            "operator": "service:mcp-executor", "mttr_seconds": 322, "sla_target_seconds": 14400,
            "sla_met": true, "resolution_type": "auto"},
        "actions": [step(1, "check_free_space", 20), step(2, "rotate_old_snapshots", 140),
            step(3, "run_backup", 300), step(4, "verify_backup", 322)],
        "artifacts": {"log_excerpts": {"backup": "snapshot rotated, job restarted, 4 of 4 ok"}},
        "outputs": {"resolution_status": "success"}
    })
}

fn service_partly_fixed(id: &str) -> Value {
    let t = Times::ending_now(60);
    json!({
        "incident": {"incident_id": id, "event_type": "service_down", "severity": "critical",
            "detected_at": t.after(-3), "hostname": "sample-host", "details": {"unit": "queue.service"},
            "hipaa_controls": ["164.312(b)"]},
        "runbook": {"runbook_id": "RB-SERVICE-001", "runbook_version": "2.0",
            "runbook_hash": script_hash("RB-SERVICE-001 2.0"), "steps_total": 3, "steps_executed": 2},
        "execution": {"timestamp_start": t.after(0), "timestamp_end": t.after(60),
            "operator": "service:mcp-executor", "mttr_seconds": 60, "sla_target_seconds": 30,
            "sla_met": false, "resolution_type": "escalated"},
        "actions": [
            {"step": 1, "action": "restart_unit", "script_hash": script_hash("restart_unit"),
             "result": "ok", "exit_code": 0, "timestamp": t.after(10)},
            {"step": 2, "action": "check_unit", "script_hash": script_hash("check_unit"),
             "result": "failed", "exit_code": 3, "timestamp": t.after(60),
             "error_message": "unit did not reach the active state within 50 s"}],
        "outputs": {"resolution_status": "partial"}
    })
}

fn certificate_failed(id: &str) -> Value {
    let t = Times::ending_now(15);
    json!({
        "incident": {"incident_id": id, "event_type": "certificate_expiring", "severity": "medium",
            "detected_at": t.after(-1), "hostname": "sample-host", "details": {"days_left": 6},
            "hipaa_controls": ["164.312(e)(1)"]},
        "runbook": {"runbook_id": "RB-CERT-001", "runbook_version": "1.0",
            "runbook_hash": script_hash("RB-CERT-001 1.0"), "steps_total": 2, "steps_executed": 1},
        "execution": {"timestamp_start": t.after(0), "timestamp_end": t.after(15),
            "operator": "service:mcp-executor", "mttr_seconds": 15, "sla_target_seconds": 86400,
            "sla_met": true, "resolution_type": "escalated"},
        "actions": [{"step": 1, "action": "renew_certificate",
            "script_hash": script_hash("renew_certificate"), "result": "failed", "exit_code": 1,
            "timestamp": t.after(15), "error_message": "the issuer did not answer"}],
        "outputs": {"resolution_status": "failed"}
    })
}
