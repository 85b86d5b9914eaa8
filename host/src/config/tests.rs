//! Defaults, the environment, the shipped example, and errors that help.

use std::path::Path;

use super::file::{
    AgentSection, DestinationSection, DropSection, LogSection, PathsSection, RetentionSection,
    SigningSection, UploaderSection,
};
use super::{ConfigError, Settings};

const EXAMPLE: &str = include_str!("../../../packaging/evidence.toml");
const SMALL: &str = "client_id = \"c\"\nhost_id = \"h\"\n\
                     [[destination]]\nid = \"main\"\nbucket = \"evidence\"\nregion = \"us-east-1\"\n";

fn parse(text: &str) -> Result<Settings, ConfigError> {
    parse_with(text, &[])
}

fn parse_with(text: &str, env: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::parse(text, Path::new("evidence.toml"), env)
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// The example with every commented setting switched on.
fn switched_on() -> String {
    let is_setting = |line: &str| {
        line.split_once(" = ").is_some_and(|(key, _)| {
            !key.is_empty()
                && key
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        })
    };
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if is_setting(rest) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect()
}

#[test]
fn the_shipped_example_parses() {
    parse(EXAMPLE).unwrap();
}

#[test]
fn the_examples_commented_lines_are_the_defaults() {
    assert_ne!(switched_on(), EXAMPLE);
    let (mut on, mut off) = (parse(&switched_on()).unwrap(), parse(EXAMPLE).unwrap());
    // A default and the same value written down are the same settings.
    on.warnings.clear();
    off.warnings.clear();
    assert_eq!(on, off);
}

#[test]
fn the_example_shows_every_key_there_is() {
    let text = switched_on();
    let sections = [
        PathsSection::KEYS,
        SigningSection::KEYS,
        DropSection::KEYS,
        AgentSection::KEYS,
        RetentionSection::KEYS,
        DestinationSection::KEYS,
        UploaderSection::KEYS,
        LogSection::KEYS,
    ];
    for key in sections.concat() {
        assert!(
            text.lines()
                .any(|line| line.starts_with(&format!("{key} = "))),
            "{key}"
        );
    }
}

#[test]
fn a_small_file_is_enough_and_the_rest_are_the_documented_defaults() {
    let settings = parse(SMALL).unwrap();
    assert_eq!(settings.paths.drop, Path::new("/var/lib/msp/drop"));
    assert_eq!(
        settings.signing.public_key,
        Path::new("/etc/msp/signing-keys/evidence.pub")
    );
    assert_eq!(settings.destinations[0].retention_days, 2192);
    assert_eq!(settings.destinations[0].uri(), "s3://evidence/");
}

#[test]
fn the_environment_overrides_the_file_and_reaches_destinations_by_id() {
    let settings = parse_with(
        SMALL,
        &[
            ("MSP_EVIDENCE_CLIENT_ID", "other"),
            ("MSP_EVIDENCE_UPLOADER__IN_FLIGHT", "3"),
            ("MSP_EVIDENCE_DESTINATION__MAIN__BUCKET", "elsewhere"),
            ("MSP_EVIDENCE_CONFIG", "/ignored"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(settings.client_id, "other");
    assert_eq!(settings.uploader.in_flight, 3);
    assert_eq!(settings.destinations[0].bucket, "elsewhere");
}

#[test]
fn a_misspelt_variable_is_refused_by_name() {
    for name in [
        "MSP_EVIDENCE_RETENTION__DAY",
        "MSP_EVIDENCE_DESTINATION__NONE__BUCKET",
    ] {
        let error = parse_with(SMALL, &[(name, "1")]).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_file_and_line() {
    let error = refusal(&format!("clint_id = \"x\"\n{SMALL}"));
    assert!(
        error.contains("evidence.toml") && error.contains("clint_id"),
        "{error}"
    );
    assert!(error.contains(":1") || error.contains("line 1"), "{error}");
}

#[test]
fn short_and_very_long_retention_must_be_acknowledged() {
    let with = |days: u32, more: &str| format!("{SMALL}[retention]\ndays = {days}\n{more}");
    let short = "acknowledge_shorter_than_six_years = true\n";
    let long = "acknowledge_longer_than_ten_years = true\n";
    assert!(parse(&with(2192, "")).is_ok());
    assert!(parse(&with(3653, "")).is_ok());
    assert!(refusal(&with(3654, "")).contains("acknowledge_longer_than_ten_years"));
    assert!(parse(&with(3654, long)).is_ok());
    let acknowledged = parse(&with(30, short)).unwrap();
    assert!(
        !acknowledged.warnings.is_empty(),
        "it is still said at every start"
    );
    match parse(&with(30, "")) {
        Err(error) => assert!(error.to_string().contains("acknowledge_shorter"), "{error}"),
        Ok(settings) => assert!(!settings.warnings.is_empty()),
    }
}

#[test]
fn every_refusal_names_the_key_and_a_remedy() {
    for (text, key) in [
        (SMALL.replace("\"c\"", "\"../x\""), "client_id"),
        (SMALL.replace("client_id = \"c\"\n", ""), "client_id"),
        (SMALL.replace("\"evidence\"", "\"Not A Bucket\""), "bucket"),
        (
            SMALL.replace("region = \"us-east-1\"", "region = \"\""),
            "region",
        ),
        (format!("{SMALL}prefix = \"no-slash\"\n"), "prefix"),
        (
            format!("{SMALL}[paths]\ndrop = \"relative\"\n"),
            "paths.drop",
        ),
        (
            format!("{SMALL}[paths]\ndrop = \"/var/lib/msp/spool/x\"\n"),
            "paths.",
        ),
        (
            format!("{SMALL}[drop]\non_sealed = \"shred\"\n"),
            "drop.on_sealed",
        ),
        (format!("{SMALL}[log]\nformat = \"xml\"\n"), "log.format"),
        (
            format!("{SMALL}[uploader]\nin_flight = 0\n"),
            "uploader.in_flight",
        ),
        (
            "client_id = \"c\"\nhost_id = \"h\"\n".to_owned(),
            "destination",
        ),
        (
            format!(
                "{SMALL}{}",
                SMALL
                    .split_once("[[")
                    .map(|(_, d)| format!("[[{d}"))
                    .unwrap()
            ),
            "main",
        ),
    ] {
        let error = refusal(&text);
        assert!(error.contains(key), "{key}: {error}");
        assert!(error.contains("evidence.toml"), "{error}");
    }
}
