//! Every finding, by check: first what failed, then what could not be checked, then what is to be known.

use evidence::findings::code;

use super::words::{Count, Of, result_of};
use super::{Page, begin_wide};
use crate::finding::Level;
use crate::report::content::{CheckContent, FindingContent, ReportError};
use crate::report::markup::{Markup, html};

pub(super) fn write(out: &mut Markup<'_>, page: &Page<'_>) -> Result<(), ReportError> {
    html!(out; "<section id=\"findings\" aria-labelledby=\"findings-h\">\n"
        "<h2 id=\"findings-h\">Findings</h2>\n"
        "<div class=\"tools\" hidden data-for=\"findings\"><label>Show only findings that hold "
        "<input type=\"search\" autocomplete=\"off\"></label> <output></output></div>\n");
    let mut any = false;
    for level in [Level::Failed, Level::CouldNotCheck, Level::Note] {
        html!(out; "<div class=\"level\">\n");
        let mut titled = false;
        for (index, check) in page.content.summary().checks.iter().enumerate() {
            titled |= group(out, page, index, check, level, titled)?;
        }
        html!(out; "</div>\n");
        any |= titled;
    }
    if !any {
        html!(out; "<p>There is none.</p>\n");
    }
    sealed(out, page)?;
    html!(out; "</section>\n");
    Ok(())
}

/// What the hosts themselves noticed when they sealed: no fault of the evidence, but of what it says.
fn sealed(out: &mut Markup<'_>, page: &Page<'_>) -> std::io::Result<()> {
    let found = &page.figures.controls.findings;
    if found.is_empty() {
        return Ok(());
    }
    html!(out; "<h3>Sealed with the evidence</h3>\n<p>What looked wrong in what executors claimed, as the hosts "
        "found and signed it when they sealed. The evidence is none the worse for it; the claims may be.</p>\n");
    begin_wide(out, "Sealed findings, scrollable")?;
    html!(out; "<table class=\"findings\">\n<caption>Incidents sealed with a finding, by its code</caption>\n"
        "<thead><tr><th scope=\"col\">Code</th><th scope=\"col\">What it means</th>"
        "<th scope=\"col\" class=\"n\">Incidents</th></tr></thead>\n<tbody>\n");
    for (code, incidents) in found {
        html!(out; "<tr><th scope=\"row\"><code>" (code) "</code></th><td>" (code::meaning(code))
            "</td><td class=\"n\">" (Count(*incidents)) "</td></tr>\n");
    }
    html!(out; "</tbody>\n</table></div>\n");
    Ok(())
}

/// The findings of one check and level; whether there were any.
fn group(
    out: &mut Markup<'_>,
    page: &Page<'_>,
    index: usize,
    check: &CheckContent,
    level: Level,
    titled: bool,
) -> Result<bool, ReportError> {
    let mut met = 0_u64;
    page.content.findings(check.check, level, &mut |finding| {
        met += 1;
        if met == 1 {
            if !titled {
                html!(out; "<h3>" {level_title(out, level)?} "</h3>\n");
            }
            begin_group(out, index, check, level)?;
        }
        if met <= page.limits.findings {
            line(out, page, &finding)?;
        }
        Ok(())
    })?;
    if met == 0 {
        return Ok(false);
    }
    html!(out; "</tbody>\n</table></div>\n");
    if met > page.limits.findings {
        html!(out; "<p class=\"left-out\">" (Of(met - page.limits.findings, "more finding"))
            " of this check like these: this page lists at most " (Count(page.limits.findings))
            " of each. findings.csv and report.json have all " (Count(met)) ".</p>\n");
    }
    Ok(true)
}

fn level_title(out: &mut Markup<'_>, level: Level) -> std::io::Result<()> {
    match level {
        Level::Failed => html!(out; "Failed"),
        Level::CouldNotCheck => html!(out; "Could not be checked"),
        Level::Note => html!(out; "To be known"),
    }
    Ok(())
}

fn begin_group(
    out: &mut Markup<'_>,
    index: usize,
    check: &CheckContent,
    level: Level,
) -> std::io::Result<()> {
    // The summary of the checks leads to the gravest group of each check.
    let gravest = match level {
        Level::Failed => true,
        Level::CouldNotCheck => check.tally.failed == 0,
        Level::Note => result_of(check).is_none(),
    };
    if gravest {
        html!(out; "<h4 id=\"f" [index] "\">");
    } else {
        html!(out; "<h4>");
    }
    html!(out; "<span class=\"" [level.class()] "\">" [level.mark()] " "
        (check.check.as_str().replace('_', " ")) "</span> <span class=\"quiet\">");
    match level {
        Level::Failed => {
            html!(out; (Count(check.tally.failed)) " of " (Count(check.tally.total())) " "
            (check.check.counts()) " failed")
        }
        Level::CouldNotCheck => html!(out; (Count(check.tally.could_not_check)) " of "
            (Count(check.tally.total())) " " (check.check.counts()) " could not be checked"),
        Level::Note => html!(out; "nothing wrong"),
    }
    html!(out; "</span></h4>\n");
    begin_wide(out, "Findings of one check, scrollable")?;
    html!(out; "<table class=\"findings\">\n<caption>" (check.check.asserts()) "</caption>\n"
        "<thead><tr><th scope=\"col\">About</th><th scope=\"col\">What was found</th>"
        "<th scope=\"col\">Code</th></tr></thead>\n<tbody>\n");
    Ok(())
}

fn line(out: &mut Markup<'_>, page: &Page<'_>, finding: &FindingContent) -> std::io::Result<()> {
    html!(out; "<tr><td class=\"subject\">");
    match finding.bundle {
        // Whether it is an incident is not known here, so a link is only made where one is sure.
        Some(number)
            if page
                .selection
                .has_anchor(number, finding.found.level == Level::Failed, false) =>
        {
            html!(out; "<a href=\"#b" [number] "\">" (finding.about) "</a>");
        }
        _ => html!(out; (finding.about)),
    }
    html!(out; "</td><td>" (finding.found.message) "</td><td><code>" (finding.found.code) "</code><span class=\"shows\">" (finding.found.code.meaning())
        "</span></td></tr>\n");
    Ok(())
}
