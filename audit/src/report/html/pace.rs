//! How fast it went: the agreed time kept or missed, and time to repair, as the executors claim.

use std::io;

use super::drawing::{self, Fill, Lane, Mark};
use super::words::{Count, Lasting, Of};
use super::{Page, begin_wide};
use crate::report::figures::{Pace, percentile};
use crate::report::hours::Hour;
use crate::report::markup::{Markup, html};
use crate::report::periods::Step;

/// What came of the incidents of one period.
#[derive(Default)]
struct Sum {
    met: u64,
    missed: u64,
    mttr_secs: Vec<f64>,
}

impl Sum {
    fn of(pace: &Pace) -> Self {
        Self {
            met: u64::from(pace.sla_met),
            missed: u64::from(!pace.sla_met),
            mttr_secs: vec![pace.mttr_secs],
        }
    }
}

pub(super) fn write(out: &mut Markup<'_>, page: &Page<'_>) -> io::Result<()> {
    let figures = page.figures;
    html!(out; "<section id=\"pace\" aria-labelledby=\"pace-h\">\n"
        "<h2 id=\"pace-h\">Service level and time to repair</h2>\n");
    let Some((first, last)) = figures.life().filter(|_| figures.incidents > 0) else {
        html!(out; "<p>No incident is proven, so nothing was timed.</p>\n</section>\n");
        return Ok(());
    };
    severities(out, page)?;
    let step = Step::over(first, last);
    let mut periods = step.periods(
        first,
        last,
        figures.pace.iter().map(|pace| (pace.hour, Sum::of(pace))),
        |sum: &mut Sum, other| {
            sum.met += other.met;
            sum.missed += other.missed;
            sum.mttr_secs.extend(other.mttr_secs);
        },
    );
    for (_, sum) in &mut periods {
        sum.mttr_secs.sort_by(f64::total_cmp);
    }
    plots(out, step, &periods)?;
    table(out, step, &periods)?;
    html!(out; "</section>\n");
    Ok(())
}

fn severities(out: &mut Markup<'_>, page: &Page<'_>) -> io::Result<()> {
    let severities = &page.figures.severities;
    let met: u64 = severities.values().map(|severity| severity.sla_met).sum();
    html!(out; "<p>The service level was kept in " (Count(met)) " of "
        (Of(page.figures.incidents, "proven incident")) ", as their executors claim. What contradicts a "
        "claim was sealed with it as a finding, and stands in the bundle’s section.</p>\n");
    begin_wide(out, "Service level by severity, scrollable")?;
    html!(out; "<table class=\"narrow\">\n<caption>By severity</caption>\n<thead><tr>"
        "<th scope=\"col\">Severity</th><th scope=\"col\" class=\"n\">Kept</th>"
        "<th scope=\"col\" class=\"n\">Half were repaired within</th>"
        "<th scope=\"col\" class=\"n\">95 of 100 within</th><th scope=\"col\" class=\"n\">All within</th>"
        "</tr></thead>\n<tbody>\n");
    let mut ordered: Vec<_> = severities.iter().collect();
    let known = |name: &str| {
        evidence::findings::SEVERITIES
            .iter()
            .position(|known| *known == name)
            .unwrap_or(usize::MAX)
    };
    ordered.sort_by_key(|(name, _)| known(name));
    for (name, severity) in ordered {
        let mut sorted = severity.mttr_secs.clone();
        sorted.sort_by(f64::total_cmp);
        html!(out; "<tr><th scope=\"row\">" (name) "</th><td class=\"n\">" (Count(severity.sla_met))
            " of " (Count(sorted.len() as u64)) "</td>" {lasting(out, &sorted)?} "</tr>\n");
    }
    html!(out; "</tbody>\n</table></div>\n");
    Ok(())
}

fn lasting(out: &mut Markup<'_>, sorted: &[f64]) -> io::Result<()> {
    for percent in [50, 95, 100] {
        match percentile(sorted, percent) {
            Some(secs) => html!(out; "<td class=\"n\">" (Lasting(secs)) "</td>"),
            None => html!(out; "<td class=\"n quiet\">none</td>"),
        }
    }
    Ok(())
}

fn plots(out: &mut Markup<'_>, step: Step, periods: &[(Hour, Sum)]) -> io::Result<()> {
    let starts: Vec<Hour> = periods.iter().map(|(start, _)| *start).collect();
    let met: Vec<u64> = periods.iter().map(|(_, sum)| sum.met).collect();
    let missed: Vec<u64> = periods.iter().map(|(_, sum)| sum.missed).collect();
    let description = format!(
        "By the {}: kept in {} and missed in {} of the incidents drawn. The table below has the figures.",
        step.word(),
        Count(met.iter().sum()),
        Count(missed.iter().sum()),
    );
    html!(out; "<h3>Service level kept and missed</h3>\n<p class=\"key\">"
        "<span class=\"swatch solid\"></span> kept <span class=\"swatch hatched\"></span> missed; incidents by the "
        [step.word()] "</p>\n");
    drawing::begin(
        out,
        "sla",
        "Service level kept and missed",
        &description,
        142,
    )?;
    let lane = Lane {
        title: "Incidents",
        height: 90,
        stacks: vec![(Fill::Solid, met), (Fill::Hatched, missed)],
    };
    let bottom = drawing::lanes(out, "sla", &[lane], 0)?;
    drawing::dates(out, step, &starts, bottom)?;
    drawing::end(out)?;

    let at = |percent| {
        periods
            .iter()
            .map(|(_, sum)| percentile(&sum.mttr_secs, percent))
            .collect::<Vec<_>>()
    };
    html!(out; "<h3>Time to repair</h3>\n<p class=\"key\"><span class=\"sign\">●</span> half were repaired "
        "within <span class=\"sign\">◇</span> 95 of 100 within <span class=\"sign\">×</span> all within; by the "
        [step.word()] ", on a logarithmic scale</p>\n");
    drawing::begin(
        out,
        "mttr",
        "Time to repair",
        "The median, the 95th percentile and the longest time to repair. The table below has the figures.",
        236,
    )?;
    drawing::marks(
        out,
        &[
            (Mark::Diamond, at(95)),
            (Mark::Cross, at(100)),
            (Mark::Dot, at(50)),
        ],
        12,
        190,
    )?;
    drawing::dates(out, step, &starts, 206)?;
    drawing::end(out)
}

fn table(out: &mut Markup<'_>, step: Step, periods: &[(Hour, Sum)]) -> io::Result<()> {
    html!(out; "<details class=\"figures\"><summary>The same figures as a table, by the " [step.word()]
        "</summary>\n");
    begin_wide(out, "Service level figures, scrollable")?;
    html!(out; "<table>\n<caption>Service level and time to repair by the " [step.word()]
        "; periods without incidents are left out</caption>\n<thead><tr>"
        "<th scope=\"col\">From (UTC)</th><th scope=\"col\" class=\"n\">Kept</th>"
        "<th scope=\"col\" class=\"n\">Missed</th><th scope=\"col\" class=\"n\">Half within</th>"
        "<th scope=\"col\" class=\"n\">95 of 100 within</th><th scope=\"col\" class=\"n\">All within</th>"
        "</tr></thead>\n<tbody>\n");
    for (start, sum) in periods.iter().filter(|(_, sum)| sum.met + sum.missed > 0) {
        let of = sum.met + sum.missed;
        html!(out; "<tr><th scope=\"row\">" (step.label(*start)) "</th><td class=\"n\">" (Count(sum.met))
            " of " (Count(of)) "</td><td class=\"n\">" (Count(sum.missed)) " of " (Count(of)) "</td>"
            {lasting(out, &sum.mttr_secs)?} "</tr>\n");
    }
    html!(out; "</tbody>\n</table></div></details>\n");
    Ok(())
}
