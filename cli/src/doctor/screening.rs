//! Whether drops are screened before they are sealed: what is locked for years cannot be taken back.

use std::fs;
use std::io::ErrorKind;

use evidence::digest::DigestKey;
use host::config::{BinaryArtifacts, Settings};
use screen::Action;
use zeroize::Zeroizing;

use super::check::{Check, Family};

const FAMILY: Family = Family("screening");

pub(super) fn check(settings: &Settings) -> Vec<Check> {
    let set = &settings.screening;
    if !set.enabled {
        return vec![FAMILY.warning(
            "active",
            "agent",
            "screening is off (screening.enabled = false): patient identifiers and secrets in a drop are \
             sealed as they are",
            "take screening.enabled away, then restart the agent",
        )];
    }
    let active = match agent::screen_of(set) {
        Ok(screen) => {
            let allowed = screen
                .rules()
                .iter()
                .filter(|rule| rule.action == Action::Allow)
                .count();
            let binary = match set.binary {
                BinaryArtifacts::Allow => "are sealed unscreened",
                BinaryArtifacts::Quarantine => "go to quarantine",
            };
            FAMILY.ok(
                "active",
                "agent",
                format!(
                    "{} rules, {allowed} of them allow what they find; artifacts that are not text {binary}",
                    screen.rules().len()
                ),
            )
        }
        Err(error) => FAMILY.problem(
            "active",
            "agent",
            format!("{:#}", anyhow::Error::from(error)),
            "correct [screening], and look at it with: msp-evidence screen --rules",
        ),
    };
    vec![active, key(settings)]
}

fn key(settings: &Settings) -> Check {
    let path = &settings.screening.key;
    let shown = path.display();
    let remedy = "msp-evidence keys screening";
    match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => match DigestKey::from_hex(text.trim()) {
            Ok(_) => FAMILY.ok("key", shown, "32 bytes"),
            Err(error) => FAMILY.problem(
                "key",
                shown,
                error.to_string(),
                format!("{remedy} --replace"),
            ),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => FAMILY.warning(
            "key",
            shown,
            "it is not there, so the tokens of markers are made with a key derived from the digest key, and \
             cannot be made meaningless without it",
            remedy,
        ),
        Err(error) => FAMILY.unchecked("key", shown, error.to_string(), "run doctor as root"),
    }
}
