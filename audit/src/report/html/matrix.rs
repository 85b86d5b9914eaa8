//! The control matrix: citations by kinds of event.

use std::io;

use evidence::controls::Criterion;

use super::words::{Count, Of, Short};
use super::{Page, begin_wide};
use crate::report::controls::{Cited, heading};
use crate::report::markup::{Markup, html};

/// So many kinds of event have a column; the rest share one.
const COLUMNS: usize = 5;

pub(super) fn write(out: &mut Markup<'_>, page: &Page<'_>) -> io::Result<()> {
    let controls = &page.figures.controls;
    let columns = controls.event_types(COLUMNS);
    html!(out; "<section id=\"controls\" aria-labelledby=\"controls-h\">\n"
        "<h2 id=\"controls-h\">Controls</h2>\n<p>Paragraphs of 45 CFR Part 164 Subpart C that the "
        "incidents cite, of " (Of(page.figures.incidents, "proven incident")) "; "
        (Count(controls.uncited)) " cite none. An incident may cite several. That an incident cites a "
        "control is the executor’s word, and a count is not a judgement that the control is met. "
        "<em>Misapplied</em> are those that the host itself sealed with the finding that the paragraph is not "
        "about such an event; the bundle says why.</p>\n");
    if controls.cited.is_empty() {
        html!(out; "<p>No incident cites a control.</p>\n");
        criteria(out, page, &columns)?;
        html!(out; "</section>\n");
        return Ok(());
    }
    begin_wide(out, "Control matrix, scrollable")?;
    html!(out; "<table class=\"matrix\">\n<caption>Incidents by the control they cite and by kind of "
        "event</caption>\n<thead><tr><th scope=\"col\">45 CFR</th>");
    kinds(out, &columns)?;
    html!(out; "<th scope=\"col\" class=\"n\">misapplied</th>" "<th scope=\"col\">Bundles</th></tr></thead>\n<tbody>\n");
    // What is not of the rule has the empty citation, and comes last.
    let (known, other): (Vec<_>, Vec<_>) = controls
        .cited
        .iter()
        .partition(|(citation, _)| !citation.is_empty());
    for (citation, cited) in known.into_iter().chain(other) {
        html!(out; "<tr><th scope=\"row\">");
        if citation.is_empty() {
            html!(out; "other<span class=\"shows\">cited, but not a paragraph of the Security Rule</span>");
        } else {
            html!(out; (citation) "<span class=\"shows\">" (heading(citation)) "</span>");
        }
        html!(out; "</th>" {counts(out, &columns, cited)?} {cell(out, cited.misapplied)?}
            "<td class=\"links\">" {links(out, page, cited)?} "</td></tr>\n");
    }
    html!(out; "</tbody>\n</table></div>\n");
    criteria(out, page, &columns)?;
    html!(out; "</section>\n");
    Ok(())
}

/// SOC 2, by what the hosts' map had for the events.
fn criteria(out: &mut Markup<'_>, page: &Page<'_>, columns: &[&str]) -> io::Result<()> {
    let criteria = &page.figures.controls.criteria;
    if criteria.is_empty() {
        return Ok(());
    }
    html!(out; "<p>SOC 2 criteria are not cited but mapped: by the kind of event and the runbook, with the map "
        "that each bundle names.</p>\n");
    begin_wide(out, "SOC 2 matrix, scrollable")?;
    html!(out; "<table class=\"matrix\">\n<caption>Incidents by SOC 2 criterion and by kind of event</caption>\n"
        "<thead><tr><th scope=\"col\">SOC 2</th>");
    kinds(out, columns)?;
    html!(out; "<th scope=\"col\">Bundles</th></tr></thead>\n<tbody>\n");
    for (id, cited) in criteria {
        let title = id.parse::<Criterion>().map_or("", |known| known.title());
        html!(out; "<tr><th scope=\"row\">" (id) "<span class=\"shows\">" (title) "</span></th>"
            {counts(out, columns, cited)?} "<td class=\"links\">" {links(out, page, cited)?} "</td></tr>\n");
    }
    html!(out; "</tbody>\n</table></div>\n");
    Ok(())
}

/// The heads of the columns that count.
fn kinds(out: &mut Markup<'_>, columns: &[&str]) -> io::Result<()> {
    for column in columns {
        html!(out; "<th scope=\"col\" class=\"n\">" (Short(&column.replace('_', " "))) "</th>");
    }
    html!(out; "<th scope=\"col\" class=\"n\">other</th><th scope=\"col\" class=\"n\">all</th>"
        "<th scope=\"col\" class=\"n\">SLA missed</th><th scope=\"col\" class=\"n\">with failed checks</th>");
    Ok(())
}

/// What stands below them.
fn counts(out: &mut Markup<'_>, columns: &[&str], cited: &Cited) -> io::Result<()> {
    let mut others = cited.incidents;
    for column in columns {
        let count = cited.event_types.get(*column).copied().unwrap_or_default();
        others -= count;
        cell(out, count)?;
    }
    cell(out, others)?;
    html!(out; "<td class=\"n strong\">" (Count(cited.incidents)) "</td>" {cell(out, cited.sla_missed)?}
        {cell(out, cited.failed)?});
    Ok(())
}

/// A zero is quiet, so that what is there stands out.
fn cell(out: &mut Markup<'_>, count: u64) -> io::Result<()> {
    if count == 0 {
        html!(out; "<td class=\"n quiet\">0</td>");
    } else {
        html!(out; "<td class=\"n\">" (Count(count)) "</td>");
    }
    Ok(())
}

fn links(out: &mut Markup<'_>, page: &Page<'_>, cited: &Cited) -> io::Result<()> {
    for (index, named) in cited.named.iter().enumerate() {
        if index > 0 {
            html!(out; ", ");
        }
        if page.selection.has_anchor(named.number, named.failed, true) {
            html!(out; "<a class=\"id\" href=\"#b" [named.number] "\">" (named.name) "</a>");
        } else {
            html!(out; (named.name));
        }
    }
    let left = cited.incidents - cited.named.len() as u64;
    if left > 0 {
        html!(out; " and " (Count(left)) " more, in bundles.csv");
    }
    Ok(())
}
