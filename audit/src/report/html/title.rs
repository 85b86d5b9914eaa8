//! The title block: what was audited, with which keys, and what came of each check.

use std::io;

use super::words::{At, AtOr, Count, Of, result_of, result_of_all};
use super::{Page, begin_wide};
use crate::finding::Tally;
use crate::ledger::TrustedKey;
use crate::report::content::{CheckResult, Summary};
use crate::report::markup::{Markup, html};

pub(super) fn write(out: &mut Markup<'_>, page: &Page<'_>) -> io::Result<()> {
    let summary = page.content.summary();
    html!(out; "<header class=\"title\">\n<p class=\"kicker\">Evidence of automatic remediation</p>\n"
        "<h1>Audit report</h1>\n<dl class=\"facts\">\n"
        "<div><dt>Audited</dt><dd class=\"long\">" (summary.source) "</dd></div>\n"
        "<div><dt>Asked for</dt><dd>" {asked(out, summary)?} "</dd></div>\n"
        "<div><dt>Evidence of</dt><dd>" {hosts_named(out, page)?} "</dd></div>\n"
        "<div><dt>Sealed</dt><dd>" {sealed(out, page)?} "</dd></div>\n"
        "<div><dt>Trusted keys</dt><dd>" {keys_named(out, summary)?} "</dd></div>\n"
        "<div><dt>Found</dt><dd>" {found(out, page)?} "</dd></div>\n"
        "<div><dt>Looked at</dt><dd>" (AtOr(summary.looked_at, "not known")) "</dd></div>\n"
        "<div><dt>Made with</dt><dd>" (summary.tool) "</dd></div>\n</dl>\n</header>\n");
    contents(out)?;
    html!(out; "<main id=\"main\" tabindex=\"-1\">\n");
    verdict(out, summary)?;
    checks(out, summary)?;
    hosts(out, page)?;
    keys(out, &summary.keys)
}

fn asked(out: &mut Markup<'_>, summary: &Summary) -> io::Result<()> {
    if summary.scope.is_empty() {
        html!(out; "all clients and hosts, ");
    } else {
        html!(out; "only below " (summary.scope) ", ");
    }
    match (summary.asked_from, summary.asked_to) {
        (None, None) => html!(out; "all times"),
        (from, to) => html!(out; (AtOr(from, "the beginning")) " to " (AtOr(to, "the end"))),
    }
    Ok(())
}

/// So many hosts and keys are named in the title block; the rest are below.
const NAMED: usize = 5;

fn hosts_named(out: &mut Markup<'_>, page: &Page<'_>) -> io::Result<()> {
    let hosts = &page.figures.hosts;
    for (index, (client, host)) in hosts.keys().take(NAMED).enumerate() {
        if index > 0 {
            html!(out; "; ");
        }
        html!(out; "<bdi>" (host) "</bdi> of <bdi>" (client) "</bdi>");
    }
    match hosts.len() {
        0 => html!(out; "no host: nothing is proven"),
        all if all > NAMED => html!(out; "; and <a href=\"#hosts\">"
            (Of((all - NAMED) as u64, "more host")) "</a>"),
        _ => {}
    }
    Ok(())
}

fn sealed(out: &mut Markup<'_>, page: &Page<'_>) -> io::Result<()> {
    let hosts = page.figures.hosts.values();
    let first = hosts.clone().filter_map(|host| host.first).min();
    let last = hosts.filter_map(|host| host.last).max();
    match (first, last) {
        (Some(first), Some(last)) => {
            html!(out; (At(first)) " to " (At(last)) ", by the hosts’ clocks");
        }
        _ => html!(out; "nothing is proven"),
    }
    Ok(())
}

fn keys_named(out: &mut Markup<'_>, summary: &Summary) -> io::Result<()> {
    for key in summary.keys.iter().take(NAMED) {
        html!(out; "<span class=\"hash line\">" (key.fingerprint) "</span>");
    }
    match summary.keys.len() {
        0 => html!(out; "none was given"),
        all if all > NAMED => html!(out; "and <a href=\"#hosts\">"
            (Of((all - NAMED) as u64, "more key")) "</a>"),
        _ => {}
    }
    Ok(())
}

fn found(out: &mut Markup<'_>, page: &Page<'_>) -> io::Result<()> {
    let figures = page.figures;
    html!(out; (Of(page.content.summary().objects, "object")) ", " (Of(figures.bundles, "bundle")) ": "
        (Of(figures.incidents, "incident")) ", " (Count(figures.custody)) " custody, "
        (Of(figures.rotations, "key rotation")) ", " (Of(figures.probes, "probe")) ", "
        (Count(figures.unproven)) " not proven");
    Ok(())
}

fn contents(out: &mut Markup<'_>) -> io::Result<()> {
    html!(out; "<nav class=\"contents\" aria-label=\"Contents\">\n<ol>\n"
        "<li><a href=\"#verdict\">Verdict</a></li>\n"
        "<li><a href=\"#checks\">Checks</a></li>\n"
        "<li><a href=\"#hosts\">Hosts and keys</a></li>\n"
        "<li><a href=\"#timeline\">Timeline</a></li>\n"
        "<li><a href=\"#coverage\">Coverage by hour</a></li>\n"
        "<li><a href=\"#controls\">Controls</a></li>\n"
        "<li><a href=\"#pace\">Time to repair</a></li>\n"
        "<li><a href=\"#findings\">Findings</a></li>\n"
        "<li><a href=\"#bundles\">Bundles</a></li>\n"
        "<li><a href=\"#meaning\">What this proves</a></li>\n"
        "<li><a href=\"#glossary\">Glossary</a></li>\n"
        "</ol>\n</nav>\n");
    Ok(())
}

fn verdict(out: &mut Markup<'_>, summary: &Summary) -> io::Result<()> {
    let sum = |count: fn(&Tally) -> u64| {
        let tallies = summary.checks.iter().map(|check| &check.tally);
        tallies.map(count).sum::<u64>()
    };
    let failed = sum(|tally| tally.failed);
    let could_not = sum(|tally| tally.could_not_check);
    let passed = sum(|tally| tally.passed);
    let total = failed + could_not + passed;
    let result = result_of_all(&summary.checks);
    html!(out; "<section id=\"verdict\" aria-labelledby=\"verdict-h\" class=\"verdict " [result.class()]
        "\">\n<h2 id=\"verdict-h\"><span aria-hidden=\"true\">" [result.mark()] "</span> ");
    match result {
        CheckResult::Failed => html!(out; "This evidence is not in order"),
        CheckResult::CouldNotCheck if total == 0 => html!(out; "Nothing was checked"),
        CheckResult::CouldNotCheck => html!(out; "Nothing failed, but not everything is proven"),
        CheckResult::Passed => html!(out; "Everything that was looked at is in order"),
    }
    html!(out; "</h2>\n<p>");
    match result {
        CheckResult::Failed => {
            html!(out; (Count(failed)) " of " (Of(total, "single check")) " failed, "
            (Count(could_not)) " could not be made, " (Count(passed))
            " passed. What failed comes first under <a href=\"#findings\">Findings</a>.")
        }
        CheckResult::CouldNotCheck if total == 0 => {
            html!(out; "There was nothing to check, which is not the same as good evidence.");
        }
        CheckResult::CouldNotCheck => {
            html!(out; (Count(could_not)) " of " (Of(total, "single check"))
            " could not be made, " (Count(passed)) " passed, none failed. What could not be checked is "
            "neither proven nor disproven; <a href=\"#findings\">Findings</a> say why.")
        }
        CheckResult::Passed => html!(out; "All " (Of(total, "single check"))
            " passed; none failed, and none was left out. What that proves, and what it does not, is "
            "under <a href=\"#meaning\">What this proves</a>."),
    }
    html!(out; "</p>\n");
    html!(out; "</section>\n");
    Ok(())
}

fn checks(out: &mut Markup<'_>, summary: &Summary) -> io::Result<()> {
    html!(out; "<section id=\"checks\" aria-labelledby=\"checks-h\">\n<h2 id=\"checks-h\">Checks</h2>\n");
    begin_wide(out, "Checks, scrollable")?;
    html!(out; "<table class=\"checks\">\n<caption>Every check, with what came of it and out of how many"
        "</caption>\n<thead><tr><th scope=\"col\">Check</th><th scope=\"col\">Result</th>"
        "<th scope=\"col\" class=\"n\">Failed</th><th scope=\"col\" class=\"n\">Could not check</th>"
        "<th scope=\"col\" class=\"n\">Passed</th><th scope=\"col\" class=\"n\">Out of</th></tr></thead>\n"
        "<tbody>\n");
    for (index, check) in summary.checks.iter().enumerate() {
        html!(out; "<tr><th scope=\"row\">" (check.check.as_str().replace('_', " ")) "<span class=\"shows\">" (check.check.asserts())
            "</span></th><td>");
        match result_of(check) {
            Some(result) => {
                html!(out; "<span class=\"" [result.class()] "\">" [result.mark()] " ");
                if result == CheckResult::Passed {
                    html!(out; "passed");
                } else {
                    html!(out; "<a href=\"#f" [index] "\">" [result.words()] "</a>");
                }
                html!(out; "</span>");
            }
            None => html!(out; "<span class=\"quiet\">nothing to check</span>"),
        }
        html!(out; "</td><td class=\"n\">" (Count(check.tally.failed)) "</td><td class=\"n\">"
            (Count(check.tally.could_not_check)) "</td><td class=\"n\">" (Count(check.tally.passed))
            "</td><td class=\"n\">" (Count(check.tally.total())) " " (check.check.counts()) "</td></tr>\n");
    }
    html!(out; "</tbody>\n</table></div>\n</section>\n");
    Ok(())
}

fn hosts(out: &mut Markup<'_>, page: &Page<'_>) -> io::Result<()> {
    html!(out; "<section id=\"hosts\" aria-labelledby=\"hosts-h\">\n<h2 id=\"hosts-h\">Hosts and keys</h2>\n");
    begin_wide(out, "Hosts, scrollable")?;
    html!(out; "<table class=\"hosts\">\n<caption>Hosts whose evidence is proven; times are those that the hosts signed"
        "</caption>\n<thead><tr><th scope=\"col\">Client</th><th scope=\"col\">Host</th>"
        "<th scope=\"col\">First bundle</th><th scope=\"col\">Last bundle</th>"
        "<th scope=\"col\" class=\"n\">Chains</th><th scope=\"col\" class=\"n\">Incidents</th>"
        "<th scope=\"col\" class=\"n\">Custody</th><th scope=\"col\" class=\"n\">Failed bundles</th>"
        "<th scope=\"col\" class=\"n\">Silent hours</th></tr></thead>\n<tbody>\n");
    for ((client, host), figures) in &page.figures.hosts {
        let (hours, silent) = figures.hours.count();
        html!(out; "<tr><td>" (client) "</td><th scope=\"row\">" (host) "</th><td>"
            (AtOr(figures.first, "")) "</td><td>" (AtOr(figures.last, ""))
            "</td><td class=\"n\">" (Count(figures.chains.len() as u64))
            "</td><td class=\"n\">" (Count(figures.incidents)) "</td><td class=\"n\">"
            (Count(figures.custody)) "</td><td class=\"n\">" (Count(figures.failed))
            "</td><td class=\"n\">" (Count(silent)) " of " (Count(hours)) "</td></tr>\n");
    }
    if page.figures.hosts.is_empty() {
        html!(out; "<tr><td colspan=\"9\">No bundle is proven, so no host is named.</td></tr>\n");
    }
    html!(out; "</tbody>\n</table></div>\n");
    Ok(())
}

fn keys(out: &mut Markup<'_>, keys: &[TrustedKey]) -> io::Result<()> {
    begin_wide(out, "Keys, scrollable")?;
    html!(out; "<table class=\"keys\">\n<caption>Keys that signatures were judged by, as the auditor gave them. A key "
        "found beside the evidence is never one of them.</caption>\n<thead><tr>"
        "<th scope=\"col\">Fingerprint of the key</th><th scope=\"col\">Trusted because</th>"
        "<th scope=\"col\">For</th><th scope=\"col\">Valid</th></tr></thead>\n<tbody>\n");
    for key in keys {
        html!(out; "<tr><th scope=\"row\" class=\"hash\">" (key.fingerprint) "</th><td>"
            (key.trusted_because) "</td><td>");
        match (&key.client_id, &key.host_id) {
            (None, None) => html!(out; "any client and host"),
            (client, host) => html!(out; (client.as_deref().unwrap_or("any client")) " / "
                (host.as_deref().unwrap_or("any host"))),
        }
        html!(out; "</td><td>");
        match (key.not_before, key.not_after) {
            (None, None) => html!(out; "no limits given"),
            (from, to) => html!(out; (AtOr(from, "always")) " to " (AtOr(to, "no end given"))),
        }
        if let Some(revoked_at) = key.revoked_at {
            html!(out; "<br><strong>revoked " (At(revoked_at)) "</strong>");
            if let Some(reason) = &key.revoked_reason {
                html!(out; ": " (reason));
            }
        }
        html!(out; "</td></tr>\n");
    }
    if keys.is_empty() {
        html!(out; "<tr><td colspan=\"4\">No key was given, so no signature could be checked.</td></tr>\n");
    }
    html!(out; "</tbody>\n</table></div>\n</section>\n");
    Ok(())
}
