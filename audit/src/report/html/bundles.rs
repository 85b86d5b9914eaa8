//! A section for each bundle, or for those that matter most, and a line for each of the rest.

use std::io;

use evidence::bundle::Kind;
use evidence::incident::Action;

use super::words::{At, AtOr, Count, Lasting, Of};
use super::{Page, begin_wide};
use crate::report::content::{
    BodyContent, BundleContent, CheckResult, CustodyContent, FindingContent, IncidentContent,
    IncidentDetail, Proven, ReportError, VersionContent,
};
use crate::report::markup::{Markup, html};
use crate::report::selection::Sections;

pub(super) fn write(out: &mut Markup<'_>, page: &Page<'_>) -> Result<(), ReportError> {
    html!(out; "<section id=\"bundles\" aria-labelledby=\"bundles-h\">\n"
        "<h2 id=\"bundles-h\">Bundles</h2>\n");
    if page.figures.bundles == 0 {
        html!(out; "<p>There is none.</p>\n</section>\n");
        return Ok(());
    }
    which(out, page)?;
    html!(out; "<div class=\"tools\" hidden data-for=\"bundles\"><label>Show only bundles that hold "
        "<input type=\"search\" autocomplete=\"off\"></label> "
        "<label><input type=\"checkbox\"> only failed or not checked</label> "
        "<button type=\"button\" data-open=\"1\">Unfold all</button> "
        "<button type=\"button\" data-open=\"0\">Fold all</button> <output></output></div>\n");
    let mut host = None;
    page.content.bundles(&mut |bundle| {
        if has_section(page, &bundle) {
            section(out, &mut host, &bundle)?;
        }
        Ok(())
    })?;
    if page.selection.sections != Sections::All {
        rest(out, page)?;
    }
    html!(out; "</section>\n");
    Ok(())
}

fn has_section(page: &Page<'_>, bundle: &BundleContent) -> bool {
    page.selection.has_section(
        bundle.number,
        bundle.result() == CheckResult::Failed,
        bundle.incident().is_some(),
    )
}

fn which(out: &mut Markup<'_>, page: &Page<'_>) -> io::Result<()> {
    let figures = page.figures;
    html!(out; "<p class=\"left-out\">");
    match page.selection.sections {
        Sections::All => html!(out; "Each of the " (Of(figures.bundles, "bundle"))
            " has a section here, by client, host, chain and place in the chain."),
        Sections::FailedAndIncidents => html!(out; "Of " (Of(figures.bundles, "bundle")) ", the "
            (Count(figures.failed)) " about which something failed and the " (Of(figures.incidents, "incident"))
            " have a section here"),
        Sections::Failed => html!(out; "Of " (Of(figures.bundles, "bundle")) ", the "
            (Count(figures.failed)) " about which something failed have a section here"),
        Sections::FailedUpTo(_) => html!(out; "Of " (Of(figures.bundles, "bundle")) ", the first "
            (Count(page.limits.sections)) " of the " (Count(figures.failed))
            " about which something failed have a section here"),
    }
    if page.selection.sections != Sections::All {
        html!(out; ": this page holds at most " (Count(page.limits.sections)) " sections. ");
        if page.selection.lines {
            html!(out; "Each of the others has a line below them.");
        } else {
            html!(out; "The others are summed by host below them.");
        }
        html!(out; " report.json and bundles.csv have every bundle, with everything.");
    }
    html!(out; "</p>\n<p class=\"left-out\">Proven: signature, form, content hash, key and place hold, and "
        "nothing was found about the bundle. What could not be checked of the whole, such as the locks of a "
        "folder, stands under <a href=\"#findings\">Findings</a> and is not said again of each bundle.</p>\n");
    Ok(())
}

/// Whose a bundle is, as far as it is proven.
type HostOf = Option<(String, String, String)>;

fn section(
    out: &mut Markup<'_>,
    host: &mut Option<HostOf>,
    bundle: &BundleContent,
) -> io::Result<()> {
    let now: HostOf = bundle.proven.as_ref().map(|proven| {
        (
            proven.client_id.clone(),
            proven.host_id.clone(),
            proven.chain_id.clone(),
        )
    });
    if host.as_ref() != Some(&now) {
        match &now {
            Some((client, name, chain)) => {
                html!(out; "<h3><bdi>" (name) "</bdi> <span class=\"quiet\">of <bdi>"
                (client) "</bdi>, chain <bdi>" (chain) "</bdi></span></h3>\n")
            }
            None => {
                html!(out; "<h3>Not proven <span class=\"quiet\">so nothing that they say is shown</span></h3>\n")
            }
        }
        *host = Some(now);
    }
    let result = bundle.result();
    html!(out; "<details class=\"bundle\" data-result=\"" [result.of_bundle()] "\"><summary><span class=\""
        [result.class()] "\">" [result.mark()] " <span class=\"word\">" [result.words_of_bundle()]
        "</span></span> <span class=\"name\">" (bundle.name) "</span>");
    if let Some(proven) = &bundle.proven {
        html!(out; " <span class=\"about\">" {about(out, proven)?} "</span> <span class=\"when\">"
            (At(proven.generated_at)) "</span>");
    }
    // The target is inside, so that a browser unfolds what a link leads to.
    html!(out; "</summary>\n<div class=\"inside\" id=\"b" [bundle.number] "\">\n");
    facts(out, bundle)?;
    if let Some(proven) = &bundle.proven {
        match &proven.body {
            BodyContent::Incident(incident) => incident_body(out, incident)?,
            BodyContent::Custody(custody) => custody_body(out, custody)?,
            BodyContent::Rotation {
                from_key_id,
                to_key_id,
                reason,
                by,
            } => {
                html!(out; "<h4>Key rotation</h4>\n<dl class=\"facts\">\n<div><dt>From key</dt><dd class=\"hash\">"
                (from_key_id) "</dd></div>\n<div><dt>To key</dt><dd class=\"hash\">" (to_key_id)
                "</dd></div>\n<div><dt>Why</dt><dd>" (reason) "</dd></div>\n<div><dt>By</dt><dd>" (by)
                "</dd></div>\n</dl>\n")
            }
            BodyContent::Probe => {
                html!(out; "<p>A test at set-up. It counts as no evidence.</p>\n")
            }
        }
    }
    findings(out, &bundle.findings)?;
    versions(out, &bundle.versions)?;
    html!(out; "</div></details>\n");
    Ok(())
}

/// What a bundle is about, in a few words.
fn about(out: &mut Markup<'_>, proven: &Proven) -> io::Result<()> {
    match &proven.body {
        BodyContent::Incident(incident) => html!(out; "incident <bdi>" (incident.entry.incident_id)
            "</bdi>, <bdi>" (incident.entry.event_type) "</bdi>, <bdi>" (incident.entry.severity) "</bdi>"),
        BodyContent::Custody(custody) => {
            html!(out; "custody of " (Of(custody.sealed, "bundle")));
        }
        BodyContent::Rotation { .. } => html!(out; "key rotation"),
        BodyContent::Probe => html!(out; "probe"),
    }
    Ok(())
}

fn facts(out: &mut Markup<'_>, bundle: &BundleContent) -> io::Result<()> {
    html!(out; "<dl class=\"facts\">\n<div><dt>Signature</dt><dd><span class=\"" [bundle.signature.class()]
        "\">" [bundle.signature.mark()] " ");
    match bundle.signature {
        CheckResult::Passed if bundle.proven.is_some() => {
            html!(out; "proven over exactly these bytes");
        }
        CheckResult::Passed => {
            html!(out; "right over exactly these bytes, and still not trusted here")
        }
        CheckResult::Failed => html!(out; "does not prove these bytes"),
        CheckResult::CouldNotCheck => html!(out; "could not be checked"),
    }
    html!(out; "</span>");
    if let Some(problem) = &bundle.problem {
        html!(out; "<br>" (problem));
    }
    html!(out; "</dd></div>\n<div><dt>Found at</dt><dd class=\"long\">" (bundle.object) "</dd></div>\n"
        "<div><dt>SHA-256 of the file</dt><dd class=\"hash\">");
    match bundle.sha256 {
        Some(sha256) => html!(out; (sha256)),
        None => html!(out; "not read"),
    }
    html!(out; "</dd></div>\n");
    if let Some(proven) = &bundle.proven {
        html!(out; "<div><dt>Place in the chain</dt><dd>" (Count(proven.sequence)) "</dd></div>\n"
            "<div><dt>SHA-256 of the one before</dt><dd class=\"hash\">");
        match proven.previous_sha256 {
            Some(sha256) => html!(out; (sha256)),
            None => html!(out; "none, the first"),
        }
        html!(out; "</dd></div>\n<div><dt>Content hash</dt><dd class=\"hash\">" (proven.evidence_bundle_hash)
            "</dd></div>\n<div><dt>Signed with key</dt><dd class=\"hash\">" (proven.key_id)
            "</dd></div>\n<div><dt>Sealed</dt><dd>" (At(proven.generated_at))
            ", by the host’s clock</dd></div>\n<div><dt>Received</dt><dd>");
        match bundle.received_at() {
            Some(at) => html!(out; (At(at)) ", by the store’s clock"),
            None => html!(out; "no store told when"),
        }
        html!(out; "</dd></div>\n");
    }
    if let Some(covered_by) = &bundle.covered_by {
        html!(out; "<div><dt>Covered by custody</dt><dd>" (covered_by) "</dd></div>\n");
    }
    html!(out; "</dl>\n");
    Ok(())
}

fn incident_body(out: &mut Markup<'_>, incident: &IncidentContent) -> io::Result<()> {
    let entry = &incident.entry;
    html!(out; "<h4>Incident</h4>\n<dl class=\"facts\">\n<div><dt>Incident</dt><dd>" (entry.incident_id)
        "</dd></div>\n<div><dt>Event</dt><dd>" (entry.event_type) "</dd></div>\n<div><dt>Severity</dt><dd>"
        (entry.severity) "</dd></div>\n<div><dt>Detected</dt><dd>" (entry.detected_at)
        "</dd></div>\n<div><dt>On</dt><dd>" (entry.hostname) "</dd></div>\n<div><dt>Controls cited</dt><dd>"
        {joined(out, &entry.hipaa_controls)?} "</dd></div>\n<div><dt>SOC 2, mapped</dt><dd>"
        {joined(out, &entry.soc2)?} "</dd></div>\n<div><dt>Resolution</dt><dd>" (entry.resolution_type)
        "</dd></div>\n<div><dt>Repaired in</dt><dd>" (Lasting(seconds(&entry.mttr_seconds))) " of "
        (Lasting(seconds(&entry.sla_target_seconds))) " allowed: service level ");
    if entry.sla_met {
        html!(out; "kept");
    } else {
        html!(out; "<strong>missed</strong>");
    }
    html!(out; ", as claimed</dd></div>\n");
    let Some(detail) = &incident.detail else {
        html!(out; "</dl>\n<p class=\"left-out\">The audit knows this incident from its custody index alone, "
            "so steps and artifacts are not shown.</p>\n");
        return Ok(());
    };
    if let Some(clock) = &detail.clock {
        html!(out; "<div><dt>Clock when sealed</dt><dd>by " (clock.source));
        match clock.synchronised {
            Some(true) => html!(out; ", synchronised"),
            Some(false) => html!(out; ", <strong>not synchronised</strong>"),
            None => {}
        }
        if let Some(error_ms) = clock.estimated_error_ms {
            html!(out; ", at most " (format!("{error_ms:.0}")) " ms off");
        }
        html!(out; "</dd></div>\n");
    }
    html!(out; "<div><dt>Treated</dt><dd>" (detail.started) " to " (detail.ended) " by " (detail.operator)
        "</dd></div>\n<div><dt>Runbook</dt><dd>" (detail.runbook_id) " " (detail.runbook_version)
        ", " (detail.steps_executed) " of " (Of(detail.steps_total, "step"))
        " executed</dd></div>\n<div><dt>Hash of the runbook</dt><dd class=\"hash\">" (detail.runbook_hash)
        "</dd></div>\n<div><dt>Outcome</dt><dd>" (detail.resolution_status));
    if detail.dry_run {
        html!(out; ", <strong>a dry run: nothing was really done</strong>");
    }
    html!(out; "</dd></div>\n</dl>\n");
    steps(out, &detail.actions)?;
    beside(out, detail)
}

fn seconds(number: &serde_json::Number) -> f64 {
    number.as_f64().unwrap_or(0.0)
}

fn joined(out: &mut Markup<'_>, texts: &[String]) -> io::Result<()> {
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            html!(out; ", ");
        }
        html!(out; "<bdi>" (text) "</bdi>");
    }
    if texts.is_empty() {
        html!(out; "none");
    }
    Ok(())
}

fn steps(out: &mut Markup<'_>, actions: &[Action]) -> io::Result<()> {
    if actions.is_empty() {
        html!(out; "<p>No action is listed.</p>\n");
        return Ok(());
    }
    begin_wide(out, "Actions, scrollable")?;
    html!(out; "<table class=\"actions\">\n<caption>Actions taken, as the executor reported them</caption>\n"
        "<thead><tr><th scope=\"col\" class=\"n\">Step</th><th scope=\"col\">Action</th>"
        "<th scope=\"col\">Result</th><th scope=\"col\" class=\"n\">Exit code</th><th scope=\"col\">When</th>"
        "<th scope=\"col\">Hash of the script</th></tr></thead>\n<tbody>\n");
    for action in actions {
        html!(out; "<tr><td class=\"n\">" (action.step) "</td><th scope=\"row\">" (action.action)
            {excerpts(out, action)?} "</th><td>" (action.result) "</td><td class=\"n\">");
        match action.exit_code {
            Some(code) => html!(out; (code)),
            None => html!(out; "none"),
        }
        html!(out; "</td><td>" (action.timestamp) "</td><td class=\"hash\">" (action.script_hash)
            "</td></tr>\n");
    }
    html!(out; "</tbody>\n</table></div>\n");
    Ok(())
}

fn excerpts(out: &mut Markup<'_>, action: &Action) -> io::Result<()> {
    let kinds = [
        (&action.error_message, "error"),
        (&action.stdout_excerpt, "output"),
        (&action.stderr_excerpt, "error output"),
    ];
    for (text, kind) in kinds {
        if let Some(text) = text {
            html!(out; "<span class=\"excerpt\"><span class=\"quiet\">" [kind] "</span> <code>"
                {out.lines(text)?} "</code></span>");
        }
    }
    Ok(())
}

fn beside(out: &mut Markup<'_>, detail: &IncidentDetail) -> io::Result<()> {
    if !detail.artifacts.is_empty() {
        begin_wide(out, "Artifacts, scrollable")?;
        html!(out; "<table>\n<caption>Artifacts stored with it</caption>\n<thead><tr><th scope=\"col\">Name</th>"
            "<th scope=\"col\" class=\"n\">Bytes</th><th scope=\"col\">SHA-256</th></tr></thead>\n<tbody>\n");
        for file in &detail.artifacts {
            html!(out; "<tr><th scope=\"row\">" (file.name) "</th><td class=\"n\">" (Count(file.size_bytes))
                "</td><td class=\"hash\">" (file.sha256) "</td></tr>\n");
        }
        html!(out; "</tbody>\n</table></div>\n");
    }
    if !detail.sealed_findings.is_empty() {
        begin_wide(out, "Findings sealed with it, scrollable")?;
        html!(out; "<table>\n<caption>Sealed with it: what the agent noticed in the executor’s report</caption>\n"
            "<thead><tr><th scope=\"col\">What</th><th scope=\"col\">Where</th><th scope=\"col\">Code</th></tr>"
            "</thead>\n<tbody>\n");
        for finding in &detail.sealed_findings {
            html!(out; "<tr><td>" (finding.message) "</td><td><code>" (finding.path) "</code></td><td><code>"
                (finding.code) "</code></td></tr>\n");
        }
        html!(out; "</tbody>\n</table></div>\n");
    }
    Ok(())
}

fn custody_body(out: &mut Markup<'_>, custody: &CustodyContent) -> io::Result<()> {
    html!(out; "<h4>Custody</h4>\n<dl class=\"facts\">\n<div><dt>Covers</dt><dd>");
    match (custody.from_sequence, custody.to_sequence) {
        (Some(from), Some(to)) => {
            html!(out; "places " (Count(from)) " to " (Count(to)) " of the chain");
        }
        _ => html!(out; "nothing yet: it is the first of its chain"),
    }
    html!(out; "</dd></div>\n<div><dt>Sealed because</dt><dd>" (custody.because)
        "</dd></div>\n<div><dt>Lists</dt><dd>" (Of(custody.sealed, "sealed bundle")) ", "
        (Of(custody.confirmed, "object")) " reported as stored and locked, "
        (Of(custody.quarantined, "quarantined drop")) ", " (Of(custody.duplicates, "duplicate drop")) ", "
        (Of(custody.clock_jumps, "clock jump")) "</dd></div>\n</dl>\n");
    Ok(())
}

fn findings(out: &mut Markup<'_>, findings: &[FindingContent]) -> io::Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    begin_wide(out, "Findings about this bundle, scrollable")?;
    html!(out; "<table class=\"findings\">\n<caption>What the audit found about it</caption>\n<thead><tr>"
        "<th scope=\"col\">Result</th><th scope=\"col\">Check</th><th scope=\"col\">What was found</th>"
        "<th scope=\"col\">Code</th></tr></thead>\n<tbody>\n");
    for FindingContent { found, .. } in findings {
        html!(out; "<tr><td><span class=\"" [found.level.class()] "\">" [found.level.mark()] " "
            [found.level.words()] "</span></td><td>" (found.check.as_str().replace('_', " ")) "</td><td>"
            (found.message) "</td><td><code>" (found.code) "</code></td></tr>\n");
    }
    html!(out; "</tbody>\n</table></div>\n");
    Ok(())
}

fn versions(out: &mut Markup<'_>, versions: &[VersionContent]) -> io::Result<()> {
    if versions.is_empty() {
        html!(out; "<p class=\"left-out\">No store told of versions or locks: what was audited is no bucket, "
            "or nothing is stored.</p>\n");
        return Ok(());
    }
    begin_wide(out, "Stored versions, scrollable")?;
    html!(out; "<table>\n<caption>Stored versions, as the store told them</caption>\n<thead><tr>"
        "<th scope=\"col\">Object</th><th scope=\"col\">Version</th><th scope=\"col\">Lock</th>"
        "<th scope=\"col\">Locked until</th><th scope=\"col\">Stored</th><th scope=\"col\" class=\"n\">Bytes</th>"
        "</tr></thead>\n<tbody>\n");
    for version in versions {
        html!(out; "<tr><th scope=\"row\" class=\"subject\">" (version.object) "</th><td class=\"hash\">"
            (version.version_id.as_deref().unwrap_or("none")) "</td><td>");
        if version.is_delete_marker {
            html!(out; "<strong>delete marker</strong>");
        } else {
            html!(out; (version.lock_mode.as_deref().unwrap_or("unknown")));
        }
        if version.is_latest == Some(false) {
            html!(out; " <span class=\"quiet\">under a newer one</span>");
        }
        html!(out; "</td><td>" (AtOr(version.retain_until, "unknown")) "</td><td>"
            (AtOr(version.last_modified, "unknown")) "</td><td class=\"n\">");
        match version.size_bytes {
            Some(size_bytes) => html!(out; (Count(size_bytes))),
            None => html!(out; "none"),
        }
        html!(out; "</td></tr>\n");
    }
    html!(out; "</tbody>\n</table></div>\n");
    Ok(())
}

fn rest(out: &mut Markup<'_>, page: &Page<'_>) -> Result<(), ReportError> {
    html!(out; "<h3>The other bundles</h3>\n");
    begin_wide(out, "The other bundles, scrollable")?;
    if !page.selection.lines {
        sums(out, page)?;
        return Ok(());
    }
    html!(out; "<table class=\"rest\">\n<caption>Bundles without a section of their own</caption>\n<thead><tr>"
        "<th scope=\"col\">Bundle</th><th scope=\"col\">Kind</th><th scope=\"col\">Host</th>"
        "<th scope=\"col\" class=\"n\">Place</th><th scope=\"col\">Sealed (UTC)</th><th scope=\"col\">Result</th></tr>"
        "</thead>\n<tbody>\n");
    page.content.bundles(&mut |bundle| {
        if has_section(page, &bundle) {
            return Ok(());
        }
        let result = bundle.result();
        html!(out; "<tr id=\"b" [bundle.number] "\"><th scope=\"row\">" (bundle.name) "</th>");
        match &bundle.proven {
            Some(proven) => html!(out; "<td>" [kind(proven.kind)] "</td><td>" (proven.host_id)
                "</td><td class=\"n\">" (Count(proven.sequence)) "</td><td class=\"time\">"
                (proven.generated_at.strftime("%Y-%m-%d %H:%M:%S")) "</td>"),
            None => html!(out; "<td colspan=\"4\">not proven</td>"),
        }
        html!(out; "<td><span class=\"" [result.class()] "\">" [result.mark()] " " [result.words_of_bundle()]
            "</span></td></tr>\n");
        Ok(())
    })?;
    html!(out; "</tbody>\n</table></div>\n");
    Ok(())
}

const fn kind(kind: Kind) -> &'static str {
    kind.as_str()
}

fn sums(out: &mut Markup<'_>, page: &Page<'_>) -> io::Result<()> {
    html!(out; "<table>\n<caption>All bundles by host; those without a section are in bundles.csv</caption>\n"
        "<thead><tr><th scope=\"col\">Client</th><th scope=\"col\">Host</th>"
        "<th scope=\"col\" class=\"n\">Incidents</th><th scope=\"col\" class=\"n\">Custody</th>"
        "<th scope=\"col\" class=\"n\">Rotations, probes</th><th scope=\"col\" class=\"n\">Failed</th></tr></thead>\n"
        "<tbody>\n");
    for ((client, host), figures) in &page.figures.hosts {
        html!(out; "<tr><td>" (client) "</td><th scope=\"row\">" (host) "</th><td class=\"n\">"
            (Count(figures.incidents)) "</td><td class=\"n\">" (Count(figures.custody)) "</td><td class=\"n\">"
            (Count(figures.others)) "</td><td class=\"n\">" (Count(figures.failed)) "</td></tr>\n");
    }
    html!(out; "<tr><th scope=\"row\" colspan=\"2\">Not proven</th><td colspan=\"4\" class=\"n\">"
        (Count(page.figures.unproven)) "</td></tr>\n</tbody>\n</table></div>\n");
    Ok(())
}
