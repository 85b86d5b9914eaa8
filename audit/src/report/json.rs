//! The report as one JSON document, streamed: everything that the HTML shows, and what it leaves out.

use std::io::{self, Write};

use evidence::controls::Criterion;
use serde::Serialize;
use serde_json::json;

use super::content::{Content, ReportError};
use super::controls::heading;
use super::figures::Figures;
use super::hours::{DayRow, Shows, day_of};
use crate::finding::Level;

/// The form of this document.
const FORMAT: &str = "msp-evidence-report/1";

/// Writes the elements of an array one by one.
struct Array<'a> {
    out: &'a mut dyn Write,
    first: bool,
}

impl<'a> Array<'a> {
    fn begin(out: &'a mut dyn Write, name: &'static str) -> io::Result<Self> {
        write!(out, ",\n\"{name}\": [")?;
        Ok(Self { out, first: true })
    }

    fn add(&mut self, element: &impl Serialize) -> Result<(), ReportError> {
        let before: &[u8] = if self.first { b"\n" } else { b",\n" };
        self.first = false;
        self.out.write_all(before)?;
        serde_json::to_writer(&mut *self.out, element)?;
        Ok(())
    }

    fn end(self) -> io::Result<()> {
        self.out.write_all(b"\n]")
    }
}

pub(super) fn write(
    out: &mut dyn Write,
    content: &dyn Content,
    figures: &Figures,
) -> Result<(), ReportError> {
    write!(out, "{{\n\"format\": \"{FORMAT}\",\n\"audit\": ")?;
    serde_json::to_writer(&mut *out, content.summary())?;
    write!(out, ",\n\"counts\": ")?;
    let (hours, silent) = figures.hours();
    serde_json::to_writer(
        &mut *out,
        &json!({
            "bundles": figures.bundles, "incidents": figures.incidents, "custody": figures.custody,
            "rotations": figures.rotations, "probes": figures.probes, "unproven": figures.unproven,
            "failed": figures.failed, "hours": hours, "silent_hours": silent,
            "impossible_times": figures.impossible_times(),
        }),
    )?;
    hosts(out, figures)?;
    coverage(out, figures)?;
    controls(out, figures)?;
    findings(out, content)?;
    let mut array = Array::begin(out, "bundles")?;
    content.bundles(&mut |bundle| array.add(&bundle))?;
    array.end()?;
    out.write_all(b"\n}\n")?;
    Ok(())
}

fn hosts(out: &mut dyn Write, figures: &Figures) -> Result<(), ReportError> {
    let mut array = Array::begin(out, "hosts")?;
    for ((client_id, host_id), host) in &figures.hosts {
        let (hours, silent) = host.hours.count();
        array.add(&json!({
            "client_id": client_id, "host_id": host_id, "chains": host.chains,
            "first": host.first, "last": host.last, "incidents": host.incidents,
            "custody": host.custody, "others": host.others, "failed": host.failed,
            "hours": hours, "silent_hours": silent,
        }))?;
    }
    Ok(array.end()?)
}

/// A day's hours as 24 signs: `.` attested, `x` silent, `s` stopped, `#` incidents, `!` incidents in an hour that
/// nothing attests, `-` no data.
fn coverage(out: &mut dyn Write, figures: &Figures) -> Result<(), ReportError> {
    let mut array = Array::begin(out, "coverage")?;
    for ((client_id, host_id), host) in &figures.hosts {
        for row in host.hours.days() {
            let (from, days) = match row {
                DayRow::Hours(from) => (from, 1),
                DayRow::Silent { from, days } => (from, days),
            };
            let shows: Vec<Shows> = (from..from + 24)
                .map(|hour| host.hours.shows(hour))
                .collect();
            let signs: String = shows
                .iter()
                .map(|shows| match shows {
                    Shows::NoData => '-',
                    Shows::Silent => 'x',
                    Shows::Stopped => 's',
                    Shows::Attested => '.',
                    Shows::Incidents(_) => '#',
                    Shows::IncidentsUnattested(_) => '!',
                })
                .collect();
            let incidents: u64 = shows
                .iter()
                .map(|shows| match shows {
                    Shows::Incidents(count) | Shows::IncidentsUnattested(count) => {
                        u64::from(*count)
                    }
                    _ => 0,
                })
                .sum();
            array.add(&json!({
                "client_id": client_id, "host_id": host_id, "from_day": day_of(from).0.to_string(),
                "days": days, "hours": signs, "incidents": incidents,
            }))?;
        }
    }
    Ok(array.end()?)
}

fn controls(out: &mut dyn Write, figures: &Figures) -> Result<(), ReportError> {
    let mut array = Array::begin(out, "controls")?;
    for (citation, cited) in &figures.controls.cited {
        array.add(&json!({
            "citation": if citation.is_empty() { None } else { Some(citation) },
            "heading": heading(citation), "cited": cited,
        }))?;
    }
    array.end()?;
    let mut array = Array::begin(out, "criteria")?;
    for (criterion, cited) in &figures.controls.criteria {
        let known = criterion.parse::<Criterion>();
        array.add(&json!({
            "criterion": criterion, "about": known.map_or("", |known| known.title()), "cited": cited,
        }))?;
    }
    array.end()?;
    let mut array = Array::begin(out, "sealed_findings")?;
    for (code, incidents) in &figures.controls.findings {
        array.add(&json!({"code": code, "incidents": incidents}))?;
    }
    Ok(array.end()?)
}

fn findings(out: &mut dyn Write, content: &dyn Content) -> Result<(), ReportError> {
    let mut array = Array::begin(out, "findings")?;
    for level in [Level::Failed, Level::CouldNotCheck, Level::Note] {
        for check in &content.summary().checks {
            content.findings(check.check, level, &mut |finding| array.add(&finding))?;
        }
    }
    Ok(array.end()?)
}
