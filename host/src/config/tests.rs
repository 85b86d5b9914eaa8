//! The configuration as an operator meets it: the shipped example, mistakes, the environment.

use super::file::{SECTIONS, keys_of};
use super::*;

mod layers;

const EXAMPLE: &str = include_str!("../../../packaging/evidence.toml");
const MINIMAL: &str = r#"
client_id = "clinic-012"
[[destination]]
id = "primary"
bucket = "clinic-012-evidence"
region = "us-east-1"
"#;

fn parse_with(text: &str, env: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let env: Vec<_> = env
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    Settings::parse(text, Path::new("/etc/msp/evidence.toml"), env.into_iter())
}

fn parse(text: &str) -> Result<Settings, ConfigError> {
    parse_with(text, &[])
}

/// `MINIMAL` with one more line in the named section (or at the top for "").
fn with(section: &str, line: &str) -> String {
    match section {
        "" => format!("{line}\n{MINIMAL}"),
        "destination" => format!("{MINIMAL}{line}\n"),
        _ => format!("{MINIMAL}\n[{section}]\n{line}\n"),
    }
}

/// The example's commented settings, `#key = value`, switched on.
fn uncommented() -> String {
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => setting,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_shipped_example_parses_as_it_stands() {
    let settings = parse(EXAMPLE).unwrap();
    assert_eq!(values(&settings), values(&parse(MINIMAL).unwrap()));
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn every_default_shown_in_the_example_is_the_default() {
    assert_ne!(uncommented(), EXAMPLE);
    assert_eq!(
        values(&parse(&uncommented()).unwrap()),
        values(&parse(MINIMAL).unwrap())
    );
}

#[test]
fn the_example_shows_every_setting() {
    let text = uncommented();
    let table: toml::Table = toml::from_str(&text).unwrap();
    let keys = |name: &str| -> Vec<String> {
        let section = match &table[name] {
            toml::Value::Array(list) => list[0].as_table().unwrap(),
            other => other.as_table().unwrap(),
        };
        section.keys().cloned().collect()
    };
    for (name, expected) in sections() {
        let (mut shown, mut expected) = (keys(name), expected.to_vec());
        shown.sort();
        expected.sort_unstable();
        assert_eq!(shown, expected, "[{name}]");
    }
    assert!(table.contains_key("client_id") && table.contains_key("host_id"));
    assert_eq!(table.len(), sections().len() + 2);
}

fn sections() -> Vec<(&'static str, &'static [&'static str])> {
    SECTIONS
        .into_iter()
        .chain(["destination"])
        .map(|name| (name, keys_of(name)))
        .collect()
}

/// What counts, whatever it came from.
fn values(settings: &Settings) -> serde_json::Value {
    serde_json::to_value(settings).unwrap()
}

#[test]
fn every_setting_of_the_example_can_come_from_the_environment() {
    // The example's own values by variable over an otherwise empty file give the same settings.
    let table: toml::Table = toml::from_str(&uncommented()).unwrap();
    let mut env = Vec::new();
    for (key, value) in &table {
        let section = match value {
            toml::Value::Array(list) => list[0].as_table().unwrap(),
            toml::Value::Table(section) => section,
            top => {
                env.push((
                    format!("MSP_EVIDENCE_{}", key.to_ascii_uppercase()),
                    top.as_str().unwrap().to_owned(),
                ));
                continue;
            }
        };
        let middle = if key == "destination" {
            "destination__primary"
        } else {
            key
        };
        for (name, value) in section {
            let variable = format!("MSP_EVIDENCE_{middle}__{name}").to_ascii_uppercase();
            let text = match value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Array(list) if list.is_empty() => String::new(),
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(yes) => yes.to_string(),
                other => panic!("{variable}: {other:?}"),
            };
            env.push((variable, text));
        }
    }
    assert_eq!(
        env.len(),
        2 + sections().iter().map(|(_, keys)| keys.len()).sum::<usize>()
    );
    let settings =
        Settings::parse("", Path::new("/etc/msp/evidence.toml"), env.into_iter()).unwrap();
    assert_eq!(values(&settings), values(&parse(MINIMAL).unwrap()));
}

#[test]
fn the_environment_wins_over_the_file_and_is_named_in_errors() {
    let settings = parse_with(
        &with("signing", "password_file = \"/etc/msp/pw\""),
        &[
            ("MSP_EVIDENCE_SIGNING__PASSWORD_FILE", "/run/pw"),
            ("MSP_EVIDENCE_DESTINATION__PRIMARY__BUCKET", "other-bucket"),
            ("MSP_EVIDENCE_DROP__ALLOWED_OWNERS", "0, 17"),
            ("MSP_EVIDENCE_CONFIG", "/ignored/here"),
            ("PATH", "/usr/bin"),
        ],
    )
    .unwrap();
    assert_eq!(
        settings.signing.password_file.as_deref(),
        Some(Path::new("/run/pw"))
    );
    assert_eq!(settings.destinations[0].bucket, "other-bucket");
    assert_eq!(settings.drop.allowed_owners, [0, 17]);

    let error = parse_with(MINIMAL, &[("MSP_EVIDENCE_RETENTION__DAYS", "0")]).unwrap_err();
    let text = error.to_string();
    for part in [
        "MSP_EVIDENCE_RETENTION__DAYS",
        "retention.days",
        "= 0",
        "2192",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_variable_that_names_nothing_is_refused() {
    for (variable, value) in [
        ("MSP_EVIDENCE_RETENTION__DAYZ", "1"),
        ("MSP_EVIDENCE_RETENTION_DAYS", "1"),
        ("MSP_EVIDENCE_NOWHERE__DAYS", "1"),
        ("MSP_EVIDENCE_DESTINATION__SECOND__BUCKET", "b"),
        ("MSP_EVIDENCE_DESTINATION__PRIMARY__BUKET", "b"),
        ("MSP_EVIDENCE_DESTINATION__PRIMARY__ID", "renamed"),
        ("MSP_EVIDENCE_UPLOADER__IN_FLIGHT", "many"),
        ("MSP_EVIDENCE_UPLOADER__CONTENT_MD5", "1"),
        ("MSP_EVIDENCE_", "1"),
    ] {
        let error = parse_with(MINIMAL, &[(variable, value)]).unwrap_err();
        assert!(
            matches!(error, ConfigError::Variable { .. }),
            "{variable}: {error}"
        );
        assert!(error.to_string().contains(variable), "{error}");
        assert!(error.to_string().contains(value), "{error}");
    }
}

#[test]
fn a_destination_can_come_from_the_environment_alone() {
    let second = [
        ("MSP_EVIDENCE_DESTINATION__OFF_SITE__ID", "off-site"),
        (
            "MSP_EVIDENCE_DESTINATION__OFF_SITE__BUCKET",
            "off-site-evidence",
        ),
        ("MSP_EVIDENCE_DESTINATION__OFF_SITE__REGION", "eu-central-1"),
    ];
    let settings = parse_with(MINIMAL, &second).unwrap();
    assert_eq!(settings.destinations.len(), 2);
    assert_eq!(settings.destinations[1].destination_id, "off-site");
    assert_eq!(settings.destinations[1].uri(), "s3://off-site-evidence/");
}

#[test]
fn an_unknown_key_is_refused_with_file_line_and_key() {
    for (text, key) in [
        (with("", "clientid = \"x\""), "clientid"),
        (with("retention", "dayz = 1"), "dayz"),
        (with("destination", "buket = \"x\""), "buket"),
        (with("nowhere", "x = 1"), "nowhere"),
    ] {
        let error = parse(&text).unwrap_err().to_string();
        let line = text.lines().position(|line| line.contains(key)).unwrap() + 1;
        for part in [
            "/etc/msp/evidence.toml",
            &format!("line {line}:"),
            "unknown field",
            key,
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}

#[test]
fn a_wrong_type_is_refused_with_its_line() {
    for line in ["days = -1", "days = \"many\"", "days = 1.5", "days ="] {
        let error = parse(&with("retention", line)).unwrap_err().to_string();
        assert!(error.contains(line) && error.contains("line 9"), "{error}");
    }
}

#[test]
fn every_mistake_names_file_key_value_and_remedy() {
    let mistakes = [
        ("", "host_id = \"a/b\"", "host_id", "a/b", "letters"),
        (
            "paths",
            "state_dir = \"var\"",
            "paths.state_dir",
            "var",
            "from `/`",
        ),
        (
            "paths",
            "drop = \"/a/../b\"",
            "paths.drop",
            "/a/../b",
            "from `/`",
        ),
        (
            "paths",
            "drop = \"/var/lib/msp/outbox/x\"",
            "paths.",
            "/var/lib/msp",
            "own folder",
        ),
        (
            "signing",
            "public_key = \"/etc/msp/signing-keys/evidence.key\"",
            "signing.public_key",
            "evidence.key",
            "own file",
        ),
        (
            "drop",
            "on_sealed = \"delete\"",
            "drop.on_sealed",
            "delete",
            "archive",
        ),
        (
            "drop",
            "on_sealed = \"archive\"",
            "drop.archive_dir",
            "(not set)",
            "folder",
        ),
        (
            "drop",
            "on_sealed = \"archive\"\narchive_dir = \"/var/lib/msp/drop/old\"",
            "drop.archive_dir",
            "/old",
            "own",
        ),
        ("drop", "rescan_secs = 29", "drop.rescan_secs", "29", "30"),
        ("drop", "max_depth = 1000", "drop.max_depth", "1000", "64"),
        (
            "drop",
            "allowed_owners = [\"no-such-user-here\"]",
            "drop.allowed_owners",
            "no-such-user-here",
            "numeric uid",
        ),
        ("agent", "group_limit = 0", "agent.group_limit", "0", "64"),
        (
            "agent",
            "custody_interval_secs = 59",
            "agent.custody_interval_secs",
            "59",
            "3600",
        ),
        (
            "agent",
            "custody_interval_secs = 86401",
            "agent.custody_interval_secs",
            "86401",
            "3600",
        ),
        ("uploader", "in_flight = 0", "uploader.in_flight", "0", "16"),
        (
            "uploader",
            "backoff_min_ms = 2000\nbackoff_max_secs = 1",
            "uploader.backoff_min_ms",
            "2000",
            "lower",
        ),
        (
            "metrics",
            "textfile_dir = \"/var/lib/msp/receipts\"",
            "metrics.textfile_dir",
            "/var/lib/msp/receipts",
            "own",
        ),
        (
            "metrics",
            "listen = \"0.0.0.0:9750\"",
            "metrics.listen",
            "0.0.0.0:9750",
            "127.0.0.1",
        ),
        (
            "metrics",
            "listen = \"localhost\"",
            "metrics.listen",
            "localhost",
            "127.0.0.1:9750",
        ),
        (
            "metrics",
            "interval_secs = 4",
            "metrics.interval_secs",
            "4",
            "15",
        ),
        (
            "notify",
            "command = [\"page\"]",
            "notify.command",
            "page",
            "from `/`",
        ),
        (
            "notify",
            "sns_topic_arn = \"alarms\"",
            "notify.sns_topic_arn",
            "alarms",
            "arn:aws:sns",
        ),
        (
            "notify",
            "webhook_key_file = \"/etc/msp/key\"",
            "notify.webhook_key_file",
            "/etc/msp/key",
            "webhook_url_file",
        ),
        (
            "notify",
            "outage_secs = 59",
            "notify.outage_secs",
            "59",
            "1800",
        ),
        ("log", "filter = \"loud=x\"", "log.filter", "loud", "debug"),
        ("log", "format = \"xml\"", "log.format", "xml", "json"),
        (
            "retention",
            "margin_secs = 9999999",
            "retention.margin_secs",
            "9999999",
            "86400",
        ),
        (
            "destination",
            "prefix = \"evidence\"",
            "destination.primary.prefix",
            "evidence",
            "end it with `/`",
        ),
        (
            "destination",
            "prefix = \"../\"",
            "destination.primary.prefix",
            "../",
            "empty",
        ),
        (
            "destination",
            "endpoint = \"s3.example.com\"",
            "destination.primary.endpoint",
            "s3.example.com",
            "https://",
        ),
        (
            "destination",
            "endpoint = \"https://s3.example.com/x\"",
            "destination.primary.endpoint",
            "/x",
            "without",
        ),
        (
            "destination",
            "use_fips = true\nendpoint = \"https://s3.example.com\"",
            "destination.primary.use_fips",
            "true",
            "remove one of the two",
        ),
        (
            "destination",
            "use_dual_stack = true\nendpoint = \"https://s3.example.com\"",
            "destination.primary.use_dual_stack",
            "true",
            "remove one of the two",
        ),
        (
            "destination",
            "ca_file = \"ca.pem\"",
            "destination.primary.ca_file",
            "ca.pem",
            "from `/`",
        ),
        (
            "destination",
            "ca_file = \"/etc/msp/ca.pem\"\nendpoint = \"http://s3.example.com\"",
            "destination.primary.ca_file",
            "/etc/msp/ca.pem",
            "https",
        ),
        (
            "destination",
            "credentials_file = \"~/.aws/credentials\"",
            "destination.primary.credentials_file",
            "~/.aws",
            "from `/`",
        ),
        (
            "destination",
            "sse_kms_key_id = \"my key\"",
            "destination.primary.sse_kms_key_id",
            "my key",
            "alias/NAME",
        ),
        (
            "destination",
            "retention_days = 40000",
            "destination.primary.retention_days",
            "40000",
            "2192",
        ),
    ];
    for (section, line, key, value, remedy) in mistakes {
        let error = match parse(&with(section, line)) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("accepted: {line}"),
        };
        for part in ["/etc/msp/evidence.toml", key, value, remedy] {
            assert!(error.contains(part), "{line}: no {part:?} in: {error}");
        }
    }
}

#[test]
fn what_is_required_is_asked_for() {
    let without_client = MINIMAL.replace("client_id", "host_id");
    let error = parse(&without_client).unwrap_err().to_string();
    assert!(
        error.contains("client_id") && error.contains("(not set)"),
        "{error}"
    );
    let error = parse("client_id = \"c\"").unwrap_err().to_string();
    assert!(error.contains("[[destination]]"), "{error}");
    for key in ["id", "bucket", "region"] {
        let text: Vec<_> = MINIMAL
            .lines()
            .filter(|l| !l.starts_with(&format!("{key} =")))
            .collect();
        let error = parse(&text.join("\n")).unwrap_err().to_string();
        assert!(error.contains(&format!(".{key} = (not set)")), "{error}");
    }
}

#[test]
fn ids_and_buckets_that_no_store_takes_are_refused() {
    for (good, bad, key) in [
        ("\"clinic-012\"", "\"../x\"", "client_id"),
        (
            "\"clinic-012-evidence\"",
            "\"Not A Bucket\"",
            "destination.primary.bucket",
        ),
        (
            "\"clinic-012-evidence\"",
            "\"s3://bucket\"",
            "destination.primary.bucket",
        ),
        ("\"us-east-1\"", "\"\"", "destination.primary.region"),
        ("\"primary\"", "\"a b\"", "destination.a b.id"),
    ] {
        let error = parse(&MINIMAL.replace(good, bad)).unwrap_err().to_string();
        assert!(error.contains(key), "{key}: {error}");
    }
}

#[test]
fn a_file_that_is_too_long_is_refused_and_never_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evidence.toml");
    let comments = "# padding\n".repeat(110_000);
    std::fs::write(
        &path,
        format!("{MINIMAL}{comments}[retention]\ndays = 3000\n"),
    )
    .unwrap();
    let error = Settings::load(&path, std::iter::empty()).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }), "{error}");
    std::fs::write(&path, format!("{MINIMAL}[retention]\ndays = 3000\n")).unwrap();
    let settings = Settings::load(&path, std::iter::empty()).unwrap();
    assert_eq!(settings.destinations[0].retention_days, 3000);
}

#[test]
fn a_credential_in_an_endpoint_is_not_repeated() {
    let text = with(
        "destination",
        "endpoint = \"https://AKIA:hunter2@s3.example.com\"",
    );
    let error = parse(&text).unwrap_err().to_string();
    assert!(
        error.contains("endpoint") && !error.contains("hunter2"),
        "{error}"
    );
}

#[test]
fn an_unencrypted_endpoint_warns_unless_it_is_this_machine() {
    let warnings = |endpoint: &str| {
        parse(&with("destination", &format!("endpoint = \"{endpoint}\"")))
            .unwrap()
            .warnings
    };
    assert_eq!(warnings("http://127.0.0.1:9000"), Vec::<String>::new());
    assert_eq!(warnings("http://[::1]:9000/"), Vec::<String>::new());
    assert_eq!(
        warnings("https://minio.clinic.example"),
        Vec::<String>::new()
    );
    assert!(warnings("http://minio.clinic.example:9000")[0].contains("not encrypted"));
    assert!(warnings("http://localhost.evil.example")[0].contains("not encrypted"));
}

#[test]
fn how_a_bucket_is_reached_is_taken_from_its_own_section() {
    let lines = "use_dual_stack = true\nuse_fips = true\nca_file = \"/etc/msp/ca.pem\"\n\
                 sse_kms_key_id = \"arn:aws:kms:us-east-1:111122223333:key/1234abcd\"\n\
                 credentials_file = \"/etc/msp/aws\"";
    let found = &parse(&with("destination", lines)).unwrap().destinations[0];
    assert!(found.use_dual_stack && found.use_fips);
    assert_eq!(found.ca_file.as_deref(), Some(Path::new("/etc/msp/ca.pem")));
    assert_eq!(
        found.sse_kms_key_id.as_deref(),
        Some("arn:aws:kms:us-east-1:111122223333:key/1234abcd")
    );
    assert_eq!(
        found.credentials_file.as_deref(),
        Some(Path::new("/etc/msp/aws"))
    );
}

#[test]
fn variables_that_would_redirect_every_bucket_are_not_followed_and_warn() {
    let env = [
        ("AWS_ENDPOINT_URL", "https://elsewhere.example.com"),
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("AWS_CA_BUNDLE", ""),
    ];
    let settings = parse_with(MINIMAL, &env).unwrap();
    assert_eq!(settings.destinations[0].endpoint, None);
    assert!(!settings.destinations[0].use_fips);
    let warned = &settings.warnings;
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(warned[0].contains("AWS_ENDPOINT_URL") && warned[0].contains("set endpoint"));
    assert!(warned[1].contains("AWS_USE_FIPS_ENDPOINT") && warned[1].contains("use_fips"));
}

#[test]
fn less_than_six_years_must_be_acknowledged_and_then_warns() {
    let error = parse(&with("retention", "days = 2191"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("acknowledge_shorter_than_six_years = true"),
        "{error}"
    );
    assert!(error.contains("164.316"), "{error}");
    let acknowledged = "days = 30\nacknowledge_shorter_than_six_years = true";
    let settings = parse(&with("retention", acknowledged)).unwrap();
    assert_eq!(settings.destinations[0].retention_days, 30);
    assert!(
        settings.warnings[0].contains("30 days"),
        "{:?}",
        settings.warnings
    );
    // The override of one destination is held to the same rule.
    let error = parse(&with("destination", "retention_days = 30"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("destination.primary.retention_days"),
        "{error}"
    );
}

#[test]
fn more_than_ten_years_must_be_acknowledged() {
    parse(&with("retention", "days = 3653")).unwrap();
    let error = parse(&with("retention", "days = 3654"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("acknowledge_longer_than_ten_years = true"),
        "{error}"
    );
    let acknowledged = "days = 3654\nacknowledge_longer_than_ten_years = true";
    let settings = parse(&with("retention", acknowledged)).unwrap();
    assert!(
        settings.warnings[0].contains("cannot be undone"),
        "{:?}",
        settings.warnings
    );
    // The other acknowledgement does not count.
    parse(&with(
        "retention",
        "days = 3654\nacknowledge_shorter_than_six_years = true",
    ))
    .unwrap_err();
}

#[test]
fn two_destinations_must_be_told_apart() {
    let second = |id: &str, bucket: &str| {
        format!("{MINIMAL}[[destination]]\nid = \"{id}\"\nbucket = \"{bucket}\"\nregion = \"x\"\n")
    };
    parse(&second("second", "second-bucket")).unwrap();
    for id in ["primary", "Primary"] {
        let error = parse(&second(id, "second-bucket")).unwrap_err().to_string();
        assert!(error.contains("another destination"), "{error}");
    }
    let error = parse(&second("second", "clinic-012-evidence"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("second place"), "{error}");
}

#[test]
fn the_hash_is_of_the_effective_settings() {
    let base = parse(MINIMAL).unwrap().sha256;
    assert_eq!(
        base,
        parse(&format!("# a comment\n{MINIMAL}")).unwrap().sha256
    );
    assert_eq!(
        base,
        parse(&with("retention", "days = 2192")).unwrap().sha256
    );
    assert_ne!(
        base,
        parse(&with("retention", "days = 2193")).unwrap().sha256
    );
    let by_variable = parse_with(MINIMAL, &[("MSP_EVIDENCE_RETENTION__DAYS", "2193")]).unwrap();
    assert_eq!(
        by_variable.sha256,
        parse(&with("retention", "days = 2193")).unwrap().sha256
    );
}

#[test]
fn folders_follow_the_state_folder_unless_set() {
    let text = with(
        "paths",
        "state_dir = \"/srv/msp\"\nquarantine = \"/srv/quarantine\"",
    );
    let paths = parse(&text).unwrap().paths;
    assert_eq!(paths.drop, Path::new("/srv/msp/drop"));
    assert_eq!(paths.quarantine, Path::new("/srv/quarantine"));
}

#[test]
fn files_beside_the_key_follow_it() {
    let signing = parse(&with("signing", "key = \"/keys/cosign.key\""))
        .unwrap()
        .signing;
    assert_eq!(signing.public_key, Path::new("/keys/cosign.pub"));
    assert_eq!(signing.digest_key, Path::new("/keys/digest.key"));
    parse(&with("signing", "key = \"/keys/digest.key\"")).unwrap_err();
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error =
        Settings::load(Path::new("/nonexistent/evidence.toml"), std::iter::empty()).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/evidence.toml"));
    assert!(error.to_string().contains("--config"));
}
