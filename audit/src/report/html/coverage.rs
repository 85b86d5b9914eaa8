//! Coverage by hour: days by 24 hours, each hour with a sign of its own, so that no colour is needed.

use std::io;

use super::words::{Count, Of};
use super::{Page, begin_wide};
use crate::report::hours::{DayRow, HostHours, Hour, Shows, day_of};
use crate::report::markup::{Markup, html};

pub(super) fn write(out: &mut Markup<'_>, page: &Page<'_>) -> io::Result<()> {
    let figures = page.figures;
    let (hours, silent) = figures.hours();
    html!(out; "<section id=\"coverage\" aria-labelledby=\"coverage-h\">\n"
        "<h2 id=\"coverage-h\">Coverage by hour</h2>\n<p>"
        "Silent hours: " (Count(silent)) " of " (Count(hours)) ". A host seals a custody bundle each hour, "
        "also when nothing happened. An hour is attested when one was sealed in it, or when it lies "
        "between two that are at most " (Count(page.content.summary().silent_after_secs.unsigned_abs() / 60))
        " minutes apart. A host that says that it stops is stopped until its next bundle. Every other hour between a host’s first and last bundle is silent: nothing "
        "speaks for it. Hours are UTC, by the host’s signed clock.</p>\n");
    if figures.impossible_times() > 0 {
        html!(out; "<p><strong>" (Of(figures.impossible_times(), "bundle")) "</strong> with a time before "
            "the year 2000 or in the audit’s future cannot be placed and is not drawn here.</p>\n");
    }
    legend(out)?;
    let mut left = page.limits.days;
    let mut left_out = 0_u64;
    for ((client, host), host_figures) in &figures.hosts {
        let rows = host_figures.hours.days();
        if rows.is_empty() {
            continue;
        }
        if rows.len() > left {
            left_out += 1;
            continue;
        }
        left -= rows.len();
        heat_map(out, client, host, &host_figures.hours, &rows)?;
    }
    if left_out > 0 {
        html!(out; "<p class=\"left-out\">The hours of " (Of(left_out, "more host")) " are not drawn here: "
            "this page draws at most " (Of(page.limits.days as u64, "day")) ". Their silent hours are "
            "counted under <a href=\"#hosts\">Hosts</a>, and every hour is in hours.csv.</p>\n");
    }
    html!(out; "</section>\n");
    Ok(())
}

fn legend(out: &mut Markup<'_>) -> io::Result<()> {
    html!(out; "<dl class=\"legend\">\n"
        "<div><dt><span class=\"h i\">3</span></dt><dd>incidents sealed, hour attested</dd></div>\n"
        "<div><dt><span class=\"h u\">3!</span></dt><dd>incidents sealed, hour not attested</dd></div>\n"
        "<div><dt><span class=\"h c\">·</span></dt><dd>attested, nothing happened</dd></div>\n"
        "<div><dt><span class=\"h s\">×</span></dt><dd>silent</dd></div>\n"
        "<div><dt><span class=\"h p\">–</span></dt><dd>stopped, as the host had said</dd></div>\n"
        "<div><dt><span class=\"h\">&nbsp;</span></dt><dd>no data: before the first or after the last "
        "bundle</dd></div>\n</dl>\n");
    Ok(())
}

fn heat_map(
    out: &mut Markup<'_>,
    client: &str,
    host: &str,
    hours: &HostHours,
    rows: &[DayRow],
) -> io::Result<()> {
    let (all, silent) = hours.count();
    html!(out; "<h3><bdi>" (host) "</bdi> <span class=\"quiet\">of <bdi>" (client) "</bdi></span></h3>\n");
    begin_wide(out, "Coverage of one host, scrollable")?;
    html!(out; "<table class=\"heat\">\n<caption>" (Count(silent)) " of " (Of(all, "hour"))
        " silent</caption>\n<thead><tr><th scope=\"col\">Day (UTC)</th>");
    for hour in 0..24_u64 {
        html!(out; "<th scope=\"col\">");
        out.text(format_args!("{hour:02}"))?;
        html!(out; "</th>");
    }
    html!(out; "<th scope=\"col\" class=\"n\">Incidents</th><th scope=\"col\" class=\"n\">Silent</th>"
        "</tr></thead>\n<tbody>\n");
    for row in rows {
        match *row {
            DayRow::Hours(first) => day(out, hours, first)?,
            DayRow::Silent { from, days } => html!(out; "<tr><th scope=\"row\">" (day_of(from).0)
                "</th><td class=\"s run\" colspan=\"24\">× silent until the end of "
                (day_of(from + 24 * days - 1).0) ": " (Of(days.unsigned_abs(), "day"))
                "</td><td class=\"n\">0</td><td class=\"n\">" (Count(24 * days.unsigned_abs()))
                "</td></tr>\n"),
        }
    }
    html!(out; "</tbody>\n</table></div>\n");
    Ok(())
}

fn day(out: &mut Markup<'_>, hours: &HostHours, first: Hour) -> io::Result<()> {
    html!(out; "<tr><th scope=\"row\">" (day_of(first).0) "</th>");
    let mut incidents = 0_u64;
    let mut silent = 0_u64;
    for hour in first..first + 24 {
        match hours.shows(hour) {
            Shows::NoData => html!(out; "<td></td>"),
            Shows::Silent => {
                silent += 1;
                html!(out; "<td class=\"s\">×</td>");
            }
            Shows::Stopped => html!(out; "<td class=\"p\">–</td>"),
            Shows::Attested => html!(out; "<td class=\"c\">·</td>"),
            Shows::Incidents(count) => {
                incidents += u64::from(count);
                html!(out; "<td class=\"i\">" {number(out, count)?} "</td>");
            }
            Shows::IncidentsUnattested(count) => {
                incidents += u64::from(count);
                silent += 1;
                html!(out; "<td class=\"u\">" {number(out, count)?} "!</td>");
            }
        }
    }
    html!(out; "<td class=\"n\">" (Count(incidents)) "</td><td class=\"n\">" (Count(silent)) "</td></tr>\n");
    Ok(())
}

/// A cell has room for two digits.
fn number(out: &mut Markup<'_>, count: u32) -> io::Result<()> {
    if count > 99 {
        html!(out; "99+");
    } else {
        html!(out; (count));
    }
    Ok(())
}
