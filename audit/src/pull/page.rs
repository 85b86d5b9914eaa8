//! `index.html`: what is in the folder, for a person. Plain, and complete in itself.

use std::fmt;
use std::io;

use super::EVIDENCE_FOLDER;
use super::choice::{Wanted, Why};
use crate::list::{Row, Selection};
use crate::report::markup::{Attribute, Markup, html};
use std::collections::BTreeMap;

/// So many bundles are listed; the manifest has every one.
const MOST_LISTED: usize = 5_000;

/// A path that has only characters which mean nothing in HTML or in an address.
struct Href<'a>(&'a str);

impl fmt::Display for Href<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        if self.0.chars().all(is_plain) {
            write!(f, "{EVIDENCE_FOLDER}/{}", self.0)
        } else {
            f.write_str("manifest.json")
        }
    }
}

impl Attribute for Href<'_> {}

pub(super) fn page(
    source: &str,
    selection: &Selection,
    sample: Option<String>,
    rows: &[&Row],
    wanted: &BTreeMap<String, Wanted>,
) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut out = Markup::new(&mut bytes);
    let query = serde_json::to_string_pretty(selection)?;
    let count = |why| wanted.values().filter(|wanted| wanted.why == why).count();
    html!(out; "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Pulled evidence</title>\n<style>\n"
        ":root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem}\n"
        "table{border-collapse:collapse;display:block;overflow-x:auto}th,td{border-bottom:1px solid #8888;padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}\n"
        "pre{overflow-x:auto;border:1px solid #8888;padding:.6rem}.unseen{border:1px solid}\n"
        "</style>\n</head>\n<body>\n<main>\n<h1>Pulled evidence</h1>\n<p>From " (source) ": "
        (count(Why::Asked)) " bundles that were asked for, " (count(Why::Custody)) " custody bundles, "
        (count(Why::Rotation)) " rotations of keys.</p>\n"
        "<p><strong>Nothing on this page is proof</strong>, and a verify.sh that somebody else put here may say anything: use one of your own, with --folder, if you did not pull this yourself. Check the folder with the public key that you were given by another way, "
        "never with one from this folder:</p>\n<pre>./verify.sh YOUR-KEY.pub</pre>\n"
        "<p>It needs cosign (3.1.3 or later, or 2.6.5 or later), jq and sha256sum. What it checks, and what it cannot see, "
        "stands at its beginning. What the store said of locks and dates is in store.json: the word of whoever pulled.</p>\n"
        "<h2>What was asked for</h2>\n<pre>");
    out.lines(&query)?;
    html!(out; "</pre>\n");
    if let Some(sample) = sample {
        html!(out; "<p>" (sample) "</p>\n");
    }
    html!(out; "<h2>Bundles</h2>\n");
    if rows.len() > MOST_LISTED {
        html!(out; "<p>The first " (MOST_LISTED) " of " (rows.len()) "; manifest.json has all.</p>\n");
    }
    html!(out; "<table>\n<thead><tr><th scope=\"col\">Noticed</th><th scope=\"col\">Host</th><th scope=\"col\">Bundle</th>"
        "<th scope=\"col\">Event</th><th scope=\"col\">Severity</th><th scope=\"col\">Resolution</th>"
        "<th scope=\"col\">SLA</th><th scope=\"col\">Controls</th></tr></thead>\n<tbody>\n");
    for row in rows.iter().take(MOST_LISTED) {
        let entry = &row.entry;
        html!(out; "<tr><td>");
        match &entry.incident {
            Some(incident) => html!(out; (format_args!("{:.0}", incident.detected_at.at()))),
            None => html!(out; (format_args!("{:.0}", entry.generated_at))),
        }
        html!(out; "</td><td>" (row.client_id) "/" (row.host_id) "</td><td>");
        if row.is_stored {
            html!(out; "<a href=\"" [Href(&row.path)] "\">" (entry.bundle_id) "</a>");
        } else {
            html!(out; (entry.bundle_id) " (not stored)");
        }
        match &entry.incident {
            Some(incident) => {
                html!(out; "</td><td>" (incident.event_type) "</td><td>" (incident.severity)
                "</td><td>" (incident.resolution_type) "</td><td>"
                (if incident.sla_met { "kept" } else { "missed" }) "</td><td>"
                (incident.hipaa_controls.join(" ")))
            }
            None => {
                html!(out; "</td><td>" (entry.kind.as_str()) "</td><td></td><td></td><td></td><td>")
            }
        }
        html!(out; "</td></tr>\n");
    }
    html!(out; "</tbody>\n</table>\n</main>\n</body>\n</html>\n");
    Ok(bytes)
}
