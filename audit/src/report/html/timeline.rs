//! The timeline: incidents and custody as they were sealed, and where nothing was.

use std::io;

use super::drawing::{self, Fill, Lane};
use super::words::{Count, Lasting, Of};
use super::{Page, begin_wide};
use crate::report::content::CheckResult;
use crate::report::hours::{HostHours, Hour, Shows};
use crate::report::markup::{Markup, html};
use crate::report::periods::Step;

/// What happened in one period, all hosts together.
#[derive(Default)]
struct Sum {
    incidents: u64,
    custody: u64,
    silent: u64,
}

fn join(sum: &mut Sum, other: Sum) {
    sum.incidents += other.incidents;
    sum.custody += other.custody;
    sum.silent += other.silent;
}

pub(super) fn write(out: &mut Markup<'_>, page: &Page<'_>) -> io::Result<()> {
    html!(out; "<section id=\"timeline\" aria-labelledby=\"timeline-h\">\n"
        "<h2 id=\"timeline-h\">Timeline</h2>\n");
    let Some((first, last)) = page.figures.life() else {
        html!(out; "<p>No bundle with a possible time is proven, so there is nothing to draw.</p>\n</section>\n");
        return Ok(());
    };
    let step = Step::over(first, last);
    let periods = step.periods(first, last, hourly(page), join);
    plot(out, step, &periods)?;
    table(out, step, &periods)?;
    incidents(out, page)?;
    html!(out; "</section>\n");
    Ok(())
}

/// Each hour of each host in which something was, or in which nothing was.
fn hourly<'a>(page: &'a Page<'_>) -> impl Iterator<Item = (Hour, Sum)> + 'a {
    let custody = page.figures.custody_hours.iter().map(|(hour, custody)| {
        let sum = Sum {
            custody: *custody,
            ..Sum::default()
        };
        (*hour, sum)
    });
    let hosts = page
        .figures
        .hosts
        .values()
        .flat_map(|host| of_host(&host.hours));
    custody.chain(hosts)
}

fn of_host(hours: &HostHours) -> impl Iterator<Item = (Hour, Sum)> + '_ {
    let (first, last) = hours.life().unwrap_or((0, -1));
    (first..=last).filter_map(|hour| {
        let (incidents, silent) = match hours.shows(hour) {
            Shows::NoData | Shows::Attested | Shows::Stopped => return None,
            Shows::Silent => (0, 1),
            Shows::Incidents(count) => (u64::from(count), 0),
            Shows::IncidentsUnattested(count) => (u64::from(count), 1),
        };
        let sum = Sum {
            incidents,
            silent,
            ..Sum::default()
        };
        Some((hour, sum))
    })
}

fn plot(out: &mut Markup<'_>, step: Step, periods: &[(Hour, Sum)]) -> io::Result<()> {
    let values = |of: fn(&Sum) -> u64| periods.iter().map(|(_, sum)| of(sum)).collect::<Vec<_>>();
    let lanes = [
        Lane {
            title: "Incidents",
            height: 74,
            stacks: vec![(Fill::Solid, values(|sum| sum.incidents))],
        },
        Lane {
            title: "Custody bundles",
            height: 42,
            stacks: vec![(Fill::Light, values(|sum| sum.custody))],
        },
        Lane {
            title: "Silent hours, all hosts together",
            height: 42,
            stacks: vec![(Fill::Hatched, values(|sum| sum.silent))],
        },
    ];
    let total = |of: fn(&Sum) -> u64| periods.iter().map(|(_, sum)| of(sum)).sum::<u64>();
    let description = format!(
        "By the {}: {}, {}, {}. The table below has the figures.",
        step.word(),
        Of(total(|sum| sum.incidents), "incident"),
        Of(total(|sum| sum.custody), "custody bundle"),
        Of(total(|sum| sum.silent), "silent hour"),
    );
    drawing::begin(
        out,
        "tl",
        "Timeline of incidents and custody",
        &description,
        264,
    )?;
    let bottom = drawing::lanes(out, "tl", &lanes, 0)?;
    let starts: Vec<Hour> = periods.iter().map(|(start, _)| *start).collect();
    drawing::dates(out, step, &starts, bottom)?;
    drawing::end(out)
}

fn table(out: &mut Markup<'_>, step: Step, periods: &[(Hour, Sum)]) -> io::Result<()> {
    html!(out; "<details class=\"figures\"><summary>The same figures as a table, by the " [step.word()]
        "</summary>\n");
    begin_wide(out, "Timeline figures, scrollable")?;
    html!(out; "<table class=\"narrow\">\n<caption>Incidents, custody bundles and silent hours by the "
        [step.word()] "</caption>\n<thead><tr><th scope=\"col\">From (UTC)</th>"
        "<th scope=\"col\" class=\"n\">Incidents</th><th scope=\"col\" class=\"n\">Custody</th>"
        "<th scope=\"col\" class=\"n\">Silent hours</th></tr></thead>\n<tbody>\n");
    for (start, sum) in periods {
        html!(out; "<tr><th scope=\"row\">" (step.label(*start)) "</th><td class=\"n\">"
            (Count(sum.incidents)) "</td><td class=\"n\">" (Count(sum.custody)) "</td><td class=\"n\">"
            (Count(sum.silent)) "</td></tr>\n");
    }
    html!(out; "</tbody>\n</table></div></details>\n");
    Ok(())
}

fn incidents(out: &mut Markup<'_>, page: &Page<'_>) -> io::Result<()> {
    let figures = page.figures;
    if figures.incidents == 0 {
        return Ok(());
    }
    html!(out; "<h3>Incidents in the order of time</h3>\n");
    if figures.listed.is_empty() {
        html!(out; "<p class=\"left-out\">" (Of(figures.incidents, "incident")) ": too many to list one by "
            "one here (this page lists at most " (Count(page.limits.sections)) "). bundles.csv and "
            "report.json have every one.</p>\n");
        return Ok(());
    }
    begin_wide(out, "Incidents, scrollable")?;
    html!(out; "<table class=\"incidents\">\n<caption>" (Of(figures.incidents, "proven incident"))
        ", by the time at which the host sealed it</caption>\n<thead><tr><th scope=\"col\">Sealed (UTC)</th>"
        "<th scope=\"col\">Incident and bundle</th><th scope=\"col\">Host</th><th scope=\"col\">Event</th>"
        "<th scope=\"col\">Severity</th><th scope=\"col\">Resolved</th><th scope=\"col\">Repaired in</th>"
        "<th scope=\"col\">Result</th></tr></thead>\n<tbody>\n");
    for line in &figures.listed {
        let failed = line.result == CheckResult::Failed;
        html!(out; "<tr><td class=\"time\">" (line.at.strftime("%Y-%m-%d %H:%M:%S"))
            "</td><th scope=\"row\">");
        if page.selection.has_anchor(line.number, failed, true) {
            html!(out; "<a href=\"#b" [line.number] "\">" (line.incident_id) "</a>");
        } else {
            html!(out; (line.incident_id));
        }
        html!(out; "<span class=\"shows\">" (line.name) "</span></th><td>" (line.host_id) "</td><td>"
            (line.event_type) "</td><td>" (line.severity) "</td><td>" (line.resolution)
            "</td><td class=\"lasting\">" (Lasting(line.mttr_secs)));
        if !line.sla_met {
            html!(out; "<br><span class=\"tag\">SLA missed</span>");
        }
        html!(out; "</td><td><span class=\"" [line.result.class()] "\">" [line.result.mark()] " "
            [line.result.words_of_bundle()] "</span></td></tr>\n");
    }
    html!(out; "</tbody>\n</table></div>\n");
    Ok(())
}
