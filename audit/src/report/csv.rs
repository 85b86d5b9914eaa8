//! CSV by RFC 4180, for spreadsheets: what cannot be seen is made visible, and no cell is a formula.
//!
//! Text of others that begins like a formula gets an apostrophe before it, and characters that would
//! not show are written as U+XXXX. report.json has everything exactly as it was.

use std::io::{self, Write};

use evidence::controls::Criterion;
use evidence::ijson::is_unsafe_to_show;
use jiff::Timestamp;

use super::content::{BundleContent, Content, FindingContent, IncidentContent, ReportError};
use super::controls::heading;
use super::figures::Figures;
use super::hours::{Shows, day_of};
use crate::finding::Level;

/// One line, of cells that are separated and escaped.
pub(crate) struct Line<'a> {
    out: &'a mut dyn Write,
    first: bool,
}

impl<'a> Line<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, first: true }
    }

    pub(crate) fn cell(mut self, text: impl ToString) -> io::Result<Self> {
        if !self.first {
            self.out.write_all(b",")?;
        }
        self.first = false;
        let text = shown(&text.to_string());
        if text.contains([',', '"']) {
            write!(self.out, "\"{}\"", text.replace('"', "\"\""))?;
        } else {
            self.out.write_all(text.as_bytes())?;
        }
        Ok(self)
    }

    pub(crate) fn or_empty(self, text: Option<impl ToString>) -> io::Result<Self> {
        self.cell(text.map_or_else(String::new, |text| text.to_string()))
    }

    pub(crate) fn end(self) -> io::Result<()> {
        self.out.write_all(b"\r\n")
    }
}

/// Printable, on one line, and no formula.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    if text.starts_with(['=', '+', '-', '@']) && text.parse::<f64>().is_err() {
        shown.push('\'');
    }
    for c in text.chars() {
        if is_unsafe_to_show(c) {
            shown.push_str(&format!("U+{:04X}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

fn header(out: &mut dyn Write, names: &str) -> io::Result<()> {
    write!(out, "{names}\r\n")
}

pub(super) fn bundles(out: &mut dyn Write, content: &dyn Content) -> Result<(), ReportError> {
    header(
        out,
        "number,name,result,signature,kind,client_id,host_id,chain_id,sequence,generated_at,received_at,sha256,\
         previous_sha256,evidence_bundle_hash,key_id,covered_by,object,incident_id,event_type,severity,detected_at,\
         hostname,hipaa_controls,soc2,resolution_type,sla_met,mttr_seconds,sla_target_seconds,sealed_findings,\
         failed,could_not_check,versions,lock_modes,earliest_retain_until,version_ids",
    )?;
    content.bundles(&mut |bundle| Ok(bundle_line(out, &bundle)?))
}

fn bundle_line(out: &mut dyn Write, bundle: &BundleContent) -> io::Result<()> {
    let proven = bundle.proven.as_ref();
    let line = Line::new(out)
        .cell(bundle.number)?
        .cell(&bundle.name)?
        .cell(bundle.result().of_bundle())?
        .cell(bundle.signature.as_str())?
        .or_empty(proven.map(|proven| proven.kind.as_str()))?
        .or_empty(proven.map(|proven| &proven.client_id))?
        .or_empty(proven.map(|proven| &proven.host_id))?
        .or_empty(proven.map(|proven| &proven.chain_id))?
        .or_empty(proven.map(|proven| proven.sequence))?
        .or_empty(proven.map(|proven| proven.generated_at))?
        .or_empty(bundle.received_at())?
        .or_empty(bundle.sha256)?
        .or_empty(proven.and_then(|proven| proven.previous_sha256))?
        .or_empty(proven.map(|proven| &proven.evidence_bundle_hash))?
        .or_empty(proven.map(|proven| &proven.key_id))?
        .or_empty(bundle.covered_by.as_ref())?
        .cell(&bundle.object)?;
    let line = incident_cells(line, bundle.incident())?;
    let count = |level| {
        let of_level = bundle
            .findings
            .iter()
            .filter(|finding| finding.found.level == level);
        of_level.count()
    };
    let locks: Vec<&str> = bundle
        .versions
        .iter()
        .map(|version| version.lock_mode.as_deref().unwrap_or("unknown"))
        .collect();
    let ids: Vec<&str> = bundle
        .versions
        .iter()
        .filter_map(|version| version.version_id.as_deref())
        .collect();
    // A version without a date makes the earliest unknown.
    let earliest: Option<Vec<Timestamp>> = bundle
        .versions
        .iter()
        .map(|version| version.retain_until)
        .collect();
    line.cell(count(Level::Failed))?
        .cell(count(Level::CouldNotCheck))?
        .cell(bundle.versions.len())?
        .cell(locks.join(" "))?
        .or_empty(earliest.and_then(|dates| dates.into_iter().min()))?
        .cell(ids.join(" "))?
        .end()
}

fn incident_cells<'a>(line: Line<'a>, incident: Option<&IncidentContent>) -> io::Result<Line<'a>> {
    let entry = incident.map(|incident| &incident.entry);
    line.or_empty(entry.map(|entry| &entry.incident_id))?
        .or_empty(entry.map(|entry| &entry.event_type))?
        .or_empty(entry.map(|entry| &entry.severity))?
        .or_empty(entry.map(|entry| &entry.detected_at))?
        .or_empty(entry.map(|entry| &entry.hostname))?
        .or_empty(entry.map(|entry| entry.hipaa_controls.join(" ")))?
        .or_empty(entry.map(|entry| entry.soc2.join(" ")))?
        .or_empty(entry.map(|entry| &entry.resolution_type))?
        .or_empty(entry.map(|entry| entry.sla_met))?
        .or_empty(entry.map(|entry| &entry.mttr_seconds))?
        .or_empty(entry.map(|entry| &entry.sla_target_seconds))?
        .or_empty(entry.map(|entry| entry.findings.join(" ")))
}

pub(super) fn findings(out: &mut dyn Write, content: &dyn Content) -> Result<(), ReportError> {
    header(
        out,
        "level,check,code,about,client_id,host_id,chain_id,sequence,bundle_id,path,version_id,message,\
         bundle_number",
    )?;
    for level in [Level::Failed, Level::CouldNotCheck, Level::Note] {
        for check in &content.summary().checks {
            content.findings(check.check, level, &mut |finding| {
                Ok(finding_line(out, &finding)?)
            })?;
        }
    }
    Ok(())
}

fn finding_line(out: &mut dyn Write, finding: &FindingContent) -> io::Result<()> {
    let found = &finding.found;
    Line::new(out)
        .cell(found.level.as_str())?
        .cell(found.check.as_str())?
        .cell(found.code)?
        .cell(&finding.about)?
        .or_empty(found.subject.client_id.as_ref())?
        .or_empty(found.subject.host_id.as_ref())?
        .or_empty(found.subject.chain_id.as_ref())?
        .or_empty(found.subject.sequence)?
        .or_empty(found.subject.bundle_id.as_ref())?
        .or_empty(found.subject.path.as_ref())?
        .or_empty(found.subject.version_id.as_ref())?
        .cell(&found.message)?
        .or_empty(finding.bundle)?
        .end()
}

pub(super) fn checks(out: &mut dyn Write, content: &dyn Content) -> Result<(), ReportError> {
    header(
        out,
        "check,asserts,failed,could_not_check,passed,out_of,counts",
    )?;
    for check in &content.summary().checks {
        Line::new(out)
            .cell(check.check.as_str())?
            .cell(check.check.asserts())?
            .cell(check.tally.failed)?
            .cell(check.tally.could_not_check)?
            .cell(check.tally.passed)?
            .cell(check.tally.total())?
            .cell(check.check.counts())?
            .end()?;
    }
    Ok(())
}

pub(super) fn hours(out: &mut dyn Write, figures: &Figures) -> Result<(), ReportError> {
    header(out, "client_id,host_id,day,hour_utc,shows,incidents")?;
    for ((client, host), host_figures) in &figures.hosts {
        let Some((first, last)) = host_figures.hours.life() else {
            continue;
        };
        for hour in first..=last {
            let (shows, incidents) = match host_figures.hours.shows(hour) {
                Shows::NoData => continue,
                Shows::Silent => ("silent", 0),
                Shows::Stopped => ("stopped", 0),
                Shows::Attested => ("attested", 0),
                Shows::Incidents(count) => ("attested", count),
                Shows::IncidentsUnattested(count) => ("silent", count),
            };
            let (day, hour_of_day) = day_of(hour);
            Line::new(out)
                .cell(client)?
                .cell(host)?
                .cell(day)?
                .cell(hour_of_day)?
                .cell(shows)?
                .cell(incidents)?
                .end()?;
        }
    }
    Ok(())
}

pub(super) fn controls(out: &mut dyn Write, figures: &Figures) -> Result<(), ReportError> {
    header(
        out,
        "citation,heading,incidents,sla_missed,with_failed_checks,misapplied",
    )?;
    for (citation, cited) in &figures.controls.cited {
        let name = if citation.is_empty() {
            "other"
        } else {
            citation
        };
        Line::new(out)
            .cell(name)?
            .cell(heading(citation))?
            .cell(cited.incidents)?
            .cell(cited.sla_missed)?
            .cell(cited.failed)?
            .cell(cited.misapplied)?
            .end()?;
    }
    for (criterion, cited) in &figures.controls.criteria {
        let known = criterion.parse::<Criterion>();
        Line::new(out)
            .cell(criterion)?
            .cell(known.map_or("", |known| known.title()))?
            .cell(cited.incidents)?
            .cell(cited.sla_missed)?
            .cell(cited.failed)?
            .cell("")?
            .end()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(cells: &[&str]) -> String {
        let mut out = Vec::new();
        let mut line = Line::new(&mut out);
        for cell in cells {
            line = line.cell(cell).unwrap();
        }
        line.end().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(line(&["a", "b,c", "d\"e"]), "a,\"b,c\",\"d\"\"e\"\r\n");
    }

    #[test]
    fn no_cell_is_a_formula_and_numbers_stay_numbers() {
        assert_eq!(
            line(&["=HYPERLINK(0)", "@x", "-1.5", "+cmd", "-"]),
            "'=HYPERLINK(0),'@x,-1.5,'+cmd,'-\r\n"
        );
    }

    #[test]
    fn no_cell_breaks_its_line_or_turns_it_round() {
        assert_eq!(line(&["a\r\nb\u{202e}c"]), "aU+000DU+000AbU+202Ec\r\n");
    }
}
