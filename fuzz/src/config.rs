//! The configuration file, with the environment laid over it.

use std::path::Path;

use host::config::{RETENTION_MAX_DAYS, Settings, TEN_YEARS_DAYS};

use super::written::{is_one_name, stays_below};

/// Settings that are accepted are within their limits and do not depend on when they are read;
/// what is refused is said in words. After a NUL come lines of the environment, `NAME=value`.
pub fn holds(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (file, environment) = text.split_once('\0').unwrap_or((text, ""));
    // Such a name is asked of the machine's user database, and no two machines have the same.
    if text.contains("allowed_owners") || text.contains("ALLOWED_OWNERS") {
        return;
    }
    let parse = || {
        let env = environment.lines().filter_map(|line| {
            let (name, value) = line.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        Settings::parse(file, Path::new("/etc/msp/evidence.toml"), env)
    };
    let settings = match parse() {
        Ok(settings) => settings,
        Err(error) => {
            assert!(!error.to_string().trim().is_empty());
            return;
        }
    };
    let again = parse().expect("what was accepted is accepted");
    assert_eq!(again, settings, "the same text, other settings");
    assert!(is_one_name(&settings.client_id) && is_one_name(&settings.host_id));
    assert!((8..=100).contains(&settings.drop.max_depth));
    assert!((1024..=24 << 20).contains(&settings.drop.max_document_bytes));
    assert!((1..=1024).contains(&settings.agent.group_limit));
    assert!(settings.drop.rescan_secs >= 30 && settings.uploader.rescan_secs >= 30);
    assert!((1..=256).contains(&settings.uploader.in_flight));
    assert!(settings.uploader.backoff_min_ms <= settings.uploader.backoff_max_secs * 1000);
    let paths = &settings.paths;
    let folders = [
        &paths.drop,
        &paths.spool,
        &paths.evidence,
        &paths.outbox,
        &paths.receipts,
        &paths.delivery,
        &paths.quarantine,
        &paths.requests,
    ];
    for (i, folder) in folders.iter().enumerate() {
        assert!(folder.is_absolute());
        for other in &folders[..i] {
            let apart = !folder.starts_with(other) && !other.starts_with(folder);
            assert!(apart, "folders overlap");
        }
    }
    assert!(!settings.destinations.is_empty());
    for (i, destination) in settings.destinations.iter().enumerate() {
        assert!(is_one_name(&destination.destination_id));
        let same =
            |d: &host::config::DestinationSettings| d.destination_id == destination.destination_id;
        assert!(
            !settings.destinations[..i].iter().any(same),
            "an id with two meanings"
        );
        let prefix = &destination.prefix;
        assert!(prefix.is_empty() || stays_below(prefix.strip_suffix('/').unwrap_or("")));
        assert!((1..=RETENTION_MAX_DAYS).contains(&destination.retention_days));
        let long = destination.retention_days > TEN_YEARS_DAYS;
        assert!(
            !long || text.contains("acknowledge_longer") || text.contains("ACKNOWLEDGE_LONGER")
        );
    }
}
