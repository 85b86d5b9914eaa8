//! The configuration file: the commented example, with only what was answered changed.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use host::config::{DEFAULT_PATH, Settings, environment};

use super::options::SetupOptions;
use super::step::Step;
use crate::keys::write_new;
use crate::output::Misuse;

const STEP: &str = "configuration";
/// As it is shipped and tested.
const EXAMPLE: &str = include_str!("../../../packaging/evidence.toml");

/// Loads the configuration that is there, which must say what was asked for, or writes one. `more` are
/// settings that follow from how secrets are kept.
pub(crate) fn write(
    options: &SetupOptions,
    config: &Path,
    more: &[(&'static str, &'static str, String)],
) -> Result<(Settings, Step)> {
    if config.symlink_metadata().is_ok() {
        let settings = Settings::load(config, environment())?;
        contradicted(options, &settings)?;
        let what = format!(
            "{} is there and says so; it was not changed",
            config.display()
        );
        return Ok((settings, Step::present(STEP, what)));
    }
    let text = text(options, config, more)?;
    // What would not be read is not written.
    let settings = Settings::parse(&text, config, environment())?;
    if let Some(folder) = config.parent().filter(|f| !f.as_os_str().is_empty()) {
        host::files::create_dir_durably(folder)
            .with_context(|| format!("making {}", folder.display()))?;
    }
    write_new(config, text.as_bytes(), 0o644)?;
    // Drop-ins are laid over it.
    let settings = Settings::load(config, environment()).unwrap_or(settings);
    Ok((
        settings,
        Step::done(STEP, format!("{} was written", config.display())),
    ))
}

/// Everything that must be known before a configuration can be written.
pub(crate) fn missing(options: &SetupOptions) -> Vec<&'static str> {
    [
        ("--client-id", options.client_id.is_none()),
        ("--bucket", options.bucket.is_none()),
        ("--region", options.region.is_none()),
    ]
    .into_iter()
    .filter_map(|(flag, is_missing)| is_missing.then_some(flag))
    .collect()
}

fn text(
    options: &SetupOptions,
    config: &Path,
    more: &[(&'static str, &'static str, String)],
) -> Result<String> {
    let path = |path: &Path| -> Result<String> {
        let absolute = std::path::absolute(path)?;
        let text = absolute.to_str().context("a path is not UTF-8")?;
        Ok(text.to_owned())
    };
    let mut answers = vec![("destination", "id", quoted(&options.destination))];
    let words = [
        ("", "client_id", &options.client_id),
        ("", "host_id", &options.host_id),
        ("destination", "bucket", &options.bucket),
        ("destination", "region", &options.region),
        ("destination", "endpoint", &options.endpoint),
        ("destination", "prefix", &options.prefix),
    ];
    for (section, key, value) in words {
        answers.extend(value.iter().map(|value| (section, key, quoted(value))));
    }
    if options.path_style {
        answers.push(("destination", "path_style", "true".to_owned()));
    }
    if let Some(file) = &options.ca_file {
        answers.push(("destination", "ca_file", quoted(&path(file)?)));
    }
    if let Some(days) = options.retention_days {
        answers.push(("retention", "days", days.to_string()));
    }
    if let Some(folder) = &options.state_dir {
        answers.push(("paths", "state_dir", quoted(&path(folder)?)));
    }
    if config != Path::new(DEFAULT_PATH) {
        // Its keys lie beside it, as the installed ones do.
        let key = config.with_file_name("signing-keys").join("evidence.key");
        answers.push(("signing", "key", quoted(&path(&key)?)));
    }
    answers.extend(more.iter().map(|(s, k, v)| (*s, *k, quoted(v))));
    answers
        .iter()
        .try_fold(EXAMPLE.to_owned(), |text, (section, key, value)| {
            with(&text, section, key, value)
        })
}

/// The text with one setting changed: the line that sets it, or shows its default behind a `#`.
fn with(text: &str, section: &str, key: &str, value: &str) -> Result<String> {
    let mut now = "";
    let mut changed = String::with_capacity(text.len());
    let mut found = false;
    for line in text.lines() {
        if line.starts_with('[') {
            now = line.trim_matches(['[', ']']);
        }
        let setting = line.strip_prefix('#').unwrap_or(line);
        let is_it = now == section
            && setting
                .strip_prefix(key)
                .is_some_and(|rest| rest.starts_with(" = "));
        if is_it && !found {
            found = true;
            let _ = writeln!(changed, "{key} = {value}");
        } else {
            changed.push_str(line);
            changed.push('\n');
        }
    }
    if !found {
        bail!("the example has no setting {section}.{key}");
    }
    Ok(changed)
}

/// As a TOML string; JSON's escapes are TOML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A configuration is never changed, so what was asked for must be what it says.
fn contradicted(options: &SetupOptions, settings: &Settings) -> Result<()> {
    let mut found = Vec::new();
    let mut compare = |flag: &str, asked: Option<String>, says: String| {
        if let Some(asked) = asked.filter(|asked| *asked != says) {
            found.push(format!(
                "{flag} is {asked:?}, and the configuration says {says:?}"
            ));
        }
    };
    let text = |path: &Path| {
        std::path::absolute(path)
            .unwrap_or_else(|_| path.to_owned())
            .display()
            .to_string()
    };
    compare(
        "--client-id",
        options.client_id.clone(),
        settings.client_id.clone(),
    );
    compare(
        "--host-id",
        options.host_id.clone(),
        settings.host_id.clone(),
    );
    compare(
        "--state-dir",
        options.state_dir.as_deref().map(text),
        text(&settings.paths.state_dir),
    );
    compare(
        "--retention-days",
        options.retention_days.map(|days| days.to_string()),
        settings.retention.days.to_string(),
    );
    let chosen = settings
        .destinations
        .iter()
        .find(|d| d.destination_id == options.destination);
    // The flag has a default: alone it says nothing.
    if let Some(d) = chosen.or_else(|| settings.destinations.first()) {
        compare("--bucket", options.bucket.clone(), d.bucket.clone());
        compare("--region", options.region.clone(), d.region.clone());
        compare("--prefix", options.prefix.clone(), d.prefix.clone());
        let endpoint = d.endpoint.clone().unwrap_or_default();
        compare("--endpoint", options.endpoint.clone(), endpoint);
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Misuse(format!(
        "{} is there already and is never overwritten; leave these flags away, or change it by hand: {}",
        settings.source.display(),
        found.join("; ")
    ))
    .into())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        setup: SetupOptions,
    }

    fn options(line: &[&str]) -> SetupOptions {
        Line::parse_from([&["x"], line].concat()).setup
    }

    const ASKED: [&str; 10] = [
        "--client-id",
        "clinic-7",
        "--bucket",
        "b-7",
        "--region",
        "eu-west-1",
        "--endpoint",
        "https://s3.example.com",
        "--path-style",
        "--retention-days=2300",
    ];

    #[test]
    fn only_the_lines_of_what_was_answered_differ_from_the_example() {
        let config = Path::new(DEFAULT_PATH);
        let more = [("signing", "password_file", "/etc/msp/p\"w".to_owned())];
        let text = text(&options(&ASKED), config, &more).unwrap();
        let differ: Vec<(&str, &str)> = EXAMPLE
            .lines()
            .zip(text.lines())
            .filter(|(a, b)| a != b)
            .collect();
        let written: Vec<&str> = differ.iter().map(|(_, b)| *b).collect();
        assert_eq!(
            written,
            [
                "client_id = \"clinic-7\"",
                "password_file = \"/etc/msp/p\\\"w\"",
                "days = 2300",
                "bucket = \"b-7\"",
                "region = \"eu-west-1\"",
                "endpoint = \"https://s3.example.com\"",
                "path_style = true",
            ]
        );
        assert_eq!(EXAMPLE.lines().count(), text.lines().count());
        let settings = Settings::parse(&text, config, std::iter::empty()).unwrap();
        assert_eq!(settings.client_id, "clinic-7");
        assert_eq!(settings.destinations[0].retention_days, 2300);
        contradicted(&options(&ASKED), &settings).unwrap();
        contradicted(&options(&[]), &settings).unwrap();
        let other = contradicted(&options(&["--client-id", "x", "--bucket", "y"]), &settings);
        let said = other.unwrap_err().to_string();
        assert!(
            said.contains("--client-id") && said.contains("--bucket"),
            "{said}"
        );
    }

    #[test]
    fn every_setting_that_can_be_answered_is_in_the_example() {
        let line = [
            &ASKED[..],
            &[
                "--host-id=h",
                "--prefix=p/",
                "--ca-file=/ca",
                "--state-dir=/s",
            ],
        ]
        .concat();
        let text = text(
            &options(&line),
            Path::new("/elsewhere/evidence.toml"),
            &[("destination", "credentials_file", "/c".to_owned())],
        )
        .unwrap();
        for line in [
            "host_id = \"h\"",
            "prefix = \"p/\"",
            "ca_file = \"/ca\"",
            "state_dir = \"/s\"",
            "key = \"/elsewhere/signing-keys/evidence.key\"",
            "credentials_file = \"/c\"",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}");
        }
        assert!(with(&text, "signing", "nothing", "1").is_err());
    }

    #[test]
    fn what_a_new_configuration_needs_is_named_at_once() {
        assert_eq!(
            missing(&options(&[])),
            ["--client-id", "--bucket", "--region"]
        );
        assert_eq!(missing(&options(&ASKED)), [""; 0]);
    }
}
