//! The report of an audit: one HTML file that stands by itself, and the same as JSON and CSV.
//!
//! It is made from [`Content`], which streams what the audit left; nothing here reads evidence, asks a
//! store or a clock, or decides a check. The same content gives the same bytes. Each file is written
//! beside its name and renamed when it is whole, so a report that is there is a whole one.

mod content;
mod controls;
pub(crate) mod csv;
mod figures;
mod from_ledger;
mod hours;
mod html;
mod json;
pub(crate) mod markup;
mod periods;
mod selection;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

pub use content::{
    BodyContent, BundleContent, CheckContent, CheckResult, Content, CustodyContent, Each,
    FindingContent, IncidentContent, IncidentDetail, Proven, ReportError, Summary, VersionContent,
};
pub use from_ledger::LedgerContent;
pub use selection::Limits;

use figures::Figures;

/// Writes `report.html`, `report.json` and the CSV files into `folder`, which is made if need be, and
/// returns their paths. What bears those names is replaced.
///
/// # Errors
/// See [`ReportError`].
pub fn write(
    content: &dyn Content,
    folder: &Path,
    limits: Limits,
) -> Result<Vec<PathBuf>, ReportError> {
    fs::create_dir_all(folder)?;
    let (figures, selection) = Figures::gather(content, limits)?;
    let mut written = Vec::new();
    let mut file = |name: &str, put: &mut dyn FnMut(&mut dyn Write) -> Result<(), ReportError>| {
        let path = folder.join(name);
        whole(&path, put)?;
        written.push(path);
        Ok::<(), ReportError>(())
    };
    file("report.html", &mut |out| {
        html::write(out, content, &figures, selection, limits)
    })?;
    file("report.json", &mut |out| {
        json::write(out, content, &figures)
    })?;
    file("bundles.csv", &mut |out| csv::bundles(out, content))?;
    file("findings.csv", &mut |out| csv::findings(out, content))?;
    file("checks.csv", &mut |out| csv::checks(out, content))?;
    file("hours.csv", &mut |out| csv::hours(out, &figures))?;
    file("controls.csv", &mut |out| csv::controls(out, &figures))?;
    Ok(written)
}

fn whole(
    path: &Path,
    put: &mut dyn FnMut(&mut dyn Write) -> Result<(), ReportError>,
) -> Result<(), ReportError> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".tmp");
    let mut out = BufWriter::with_capacity(256 << 10, File::create(&fresh)?);
    put(&mut out)?;
    out.into_inner()
        .map_err(|error| error.into_error())?
        .sync_all()?;
    fs::rename(&fresh, path)?;
    Ok(())
}
