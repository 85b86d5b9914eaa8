//! `[screening]`: names, patterns and actions, as far as their form goes.

use std::path::PathBuf;

use super::super::file::ScreeningSection;
use super::super::places::Places;
use super::super::settings::{BinaryArtifacts, ScreeningAction, ScreeningSettings, Signing};
use super::{absolute, given_path};

pub(super) fn screening(
    section: ScreeningSection,
    signing: &Signing,
    places: &Places,
    warnings: &mut Vec<String>,
) -> ScreeningSettings {
    let enabled = section.enabled.unwrap_or(true);
    if !enabled {
        warnings.push(
            "screening is off (screening.enabled = false): patient identifiers and secrets in a drop are \
             sealed as they are, and locked for years"
                .to_owned(),
        );
    }
    let action = match section.action.as_deref() {
        None | Some("redact") => ScreeningAction::Redact,
        Some("quarantine") => ScreeningAction::Quarantine,
        Some("allow") => ScreeningAction::Allow,
        Some(other) => {
            not_known(
                places,
                "screening.action",
                other,
                "use \"redact\", \"quarantine\" or \"allow\"",
            );
            ScreeningAction::Redact
        }
    };
    let binary = match section.binary.as_deref() {
        None | Some("allow") => BinaryArtifacts::Allow,
        Some("quarantine") => BinaryArtifacts::Quarantine,
        Some(other) => {
            let remedy = "use \"allow\" or \"quarantine\"";
            not_known(places, "screening.binary", other, remedy);
            BinaryArtifacts::Allow
        }
    };
    let lines = |key: &str, lines: Vec<String>| {
        for line in &lines {
            if ScreeningSettings::name_and_pattern(line).is_none() {
                places.problem(
                    key,
                    format!("{line:?}"),
                    "it is not a name and a pattern",
                    "write NAME = PATTERN, such as \"clinic-mrn = \\bCL-[0-9]{7}\\b\"",
                );
            }
        }
        lines
    };
    let settings = ScreeningSettings {
        enabled,
        action,
        redact: section.redact.unwrap_or_default(),
        quarantine: section.quarantine.unwrap_or_default(),
        allow: section.allow.unwrap_or_default(),
        rules: lines(
            "screening.rules",
            section.rules.map(|lines| lines.0).unwrap_or_default(),
        ),
        exceptions: lines(
            "screening.exceptions",
            section.exceptions.map(|lines| lines.0).unwrap_or_default(),
        ),
        binary,
        key: key(section.key, signing, places),
    };
    said_once(&settings, places);
    settings
}

fn not_known(places: &Places, key: &str, value: &str, remedy: &str) {
    places.problem(key, format!("{value:?}"), "it is not known", remedy);
}

fn key(key: Option<PathBuf>, signing: &Signing, places: &Places) -> PathBuf {
    let key = match given_path(key) {
        Some(key) => absolute(places, "screening.key", key),
        None => signing.key.with_file_name("screening.key"),
    };
    if [&signing.key, &signing.public_key, &signing.digest_key].contains(&&key) {
        places.problem(
            "screening.key",
            key.display(),
            "it is the same file as one of [signing]",
            "give it its own file: it is the one that may be destroyed",
        );
    }
    key
}

/// A rule has one action.
fn said_once(settings: &ScreeningSettings, places: &Places) {
    let lists = [
        ("screening.redact", &settings.redact),
        ("screening.quarantine", &settings.quarantine),
        ("screening.allow", &settings.allow),
    ];
    for (at, (key, list)) in lists.iter().enumerate() {
        for (other, earlier) in &lists[..at] {
            for name in list.iter().filter(|name| earlier.contains(name)) {
                places.problem(
                    key,
                    format!("{name:?}"),
                    format!("it is in {other} too"),
                    "name each rule in one list",
                );
            }
        }
    }
}
