//! What was listed, as CSV.

use std::io::{self, Write};

use super::Row;
use crate::report::csv::Line;

const COLUMNS: [&str; 23] = [
    "client_id",
    "host_id",
    "chain_id",
    "sequence",
    "bundle_id",
    "kind",
    "generated_at",
    "received_at",
    "incident_id",
    "event_type",
    "severity",
    "detected_at",
    "hostname",
    "hipaa_controls",
    "soc2",
    "resolution_type",
    "sla_met",
    "mttr_seconds",
    "sla_target_seconds",
    "findings",
    "sha256",
    "listed_by",
    "is_stored",
];

/// Writes a line with the columns' names, and one for each row.
///
/// # Errors
/// When it cannot be written.
pub fn write_csv(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{}\r\n", COLUMNS.join(","))?;
    for row in rows {
        let entry = &row.entry;
        let incident = entry.incident.as_ref();
        Line::new(out)
            .cell(&row.client_id)?
            .cell(&row.host_id)?
            .cell(&row.chain_id)?
            .cell(entry.sequence)?
            .cell(&entry.bundle_id)?
            .cell(entry.kind.as_str())?
            .cell(entry.generated_at)?
            .or_empty(row.received_at)?
            .or_empty(incident.map(|i| &i.incident_id))?
            .or_empty(incident.map(|i| &i.event_type))?
            .or_empty(incident.map(|i| &i.severity))?
            .or_empty(incident.map(|i| &i.detected_at))?
            .or_empty(incident.map(|i| &i.hostname))?
            .or_empty(incident.map(|i| i.hipaa_controls.join(" ")))?
            .or_empty(incident.map(|i| i.soc2.join(" ")))?
            .or_empty(incident.map(|i| &i.resolution_type))?
            .or_empty(incident.map(|i| i.sla_met))?
            .or_empty(incident.map(|i| &i.mttr_seconds))?
            .or_empty(incident.map(|i| &i.sla_target_seconds))?
            .or_empty(incident.map(|i| i.findings.join(" ")))?
            .cell(entry.sha256)?
            .or_empty(row.listed_by.as_ref())?
            .cell(row.is_stored)?
            .end()?;
    }
    Ok(())
}
