//! The HTML: one file that needs nothing else and asks for nothing.
//!
//! It works without a script; the one inside filters and unfolds, and its digest, like the style's,
//! stands in a content security policy that forbids everything else, so that a browser would fetch
//! nothing even if evidence became markup. Why no template library: see [`super::markup`].

mod bundles;
mod coverage;
mod drawing;
mod findings;
mod matrix;
mod meaning;
mod pace;
mod timeline;
mod title;
mod words;

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::digest::Sha256;

use super::content::{Content, ReportError};
use super::figures::Figures;
use super::markup::{Markup, html};
use super::selection::{Limits, Selection};

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// What every part of the page is made from.
struct Page<'a> {
    content: &'a dyn Content,
    figures: &'a Figures,
    selection: Selection,
    limits: Limits,
}

pub(super) fn write(
    out: &mut dyn io::Write,
    content: &dyn Content,
    figures: &Figures,
    selection: Selection,
    limits: Limits,
) -> Result<(), ReportError> {
    let page = Page {
        content,
        figures,
        selection,
        limits,
    };
    let mut markup = Markup::new(out);
    let out = &mut markup;
    head(out, &page)?;
    title::write(out, &page)?;
    timeline::write(out, &page)?;
    coverage::write(out, &page)?;
    matrix::write(out, &page)?;
    pace::write(out, &page)?;
    findings::write(out, &page)?;
    bundles::write(out, &page)?;
    meaning::write(out)?;
    html!(out; "</main>\n<script>");
    out.markup(SCRIPT)?;
    html!(out; "</script>\n</body>\n</html>\n");
    Ok(())
}

fn digest(text: &str) -> String {
    STANDARD.encode(Sha256::of(text.as_bytes()).as_bytes())
}

fn head(out: &mut Markup<'_>, page: &Page<'_>) -> io::Result<()> {
    html!(out; "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-"
        (digest(STYLE)) "'; script-src 'sha256-" (digest(SCRIPT))
        "'; base-uri 'none'; form-action 'none'\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta name=\"color-scheme\" content=\"light dark\">\n"
        "<meta name=\"referrer\" content=\"no-referrer\">\n"
        "<title>Evidence audit report"
        {dated(out, page)?}
        "</title>\n<style>");
    out.markup(STYLE)?;
    html!(out; "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the report</a>\n");
    Ok(())
}

fn dated(out: &mut Markup<'_>, page: &Page<'_>) -> io::Result<()> {
    if let Some(at) = page.content.summary().looked_at {
        html!(out; ", " (at.strftime("%Y-%m-%d")));
    }
    Ok(())
}

/// A table that is wider than a phone scrolls in itself, and by keyboard.
fn begin_wide(out: &mut Markup<'_>, label: &'static str) -> io::Result<()> {
    html!(out; "<div class=\"wide\" role=\"group\" tabindex=\"0\" aria-label=\"" [label] "\">");
    Ok(())
}
