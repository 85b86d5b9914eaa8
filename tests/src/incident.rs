//! A synthetic incident.

use serde_json::json;

/// A drop document that is good in every way, under this incident id.
#[must_use]
pub fn document(id: &str) -> Vec<u8> {
    let hash = format!("sha256:{}", "5a".repeat(32));
    serde_json::to_vec(&json!({
        "incident": {"incident_id": id, "event_type": "backup_failure", "severity": "high",
            "detected_at": "2026-01-02T09:50:00Z", "hostname": "host-1"},
        "runbook": {"runbook_id": "RB-1", "runbook_version": "1", "runbook_hash": hash,
            "steps_total": 1, "steps_executed": 1},
        "execution": {"timestamp_start": "2026-01-02T09:51:00Z",
            "timestamp_end": "2026-01-02T09:52:00Z", "operator": "service:mcp-executor",
            "mttr_seconds": 60, "sla_target_seconds": 600, "sla_met": true,
            "resolution_type": "auto"},
        "actions": [{"step": 1, "action": "run_backup", "script_hash": hash, "result": "ok",
            "exit_code": 0, "timestamp": "2026-01-02T09:52:00Z"}],
        "outputs": {"resolution_status": "success"}
    }))
    .unwrap()
}
