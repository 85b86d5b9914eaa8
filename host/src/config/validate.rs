//! From a raw file to settings that hold: defaults, ranges, and what must fit together.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use evidence::controls::Addition;
use evidence::digest::Sha256;
use evidence::handover::is_safe_name;

use super::ConfigError;
use super::file::{
    ConfigFile, ControlsSection, DropSection, LogSection, Owner, PathsSection, SigningSection,
    UploaderSection,
};
use super::origin::Origins;
use super::places::Places;
use super::settings::{
    AgentSettings, ControlSettings, DropSettings, LogFormat, LogSettings, OnSealed, Paths,
    Settings, Signing, UploaderSettings,
};

mod destination;
mod metrics;
mod notify;
mod reach;
mod screening;

const DAY_SECS: u64 = 86_400;

/// Validates the whole. What is returned beside a problem is not to be used.
pub(super) fn settings(
    file: ConfigFile,
    origins: &Origins,
    refused: &BTreeSet<String>,
) -> (Settings, Vec<ConfigError>) {
    let collected = Places::new(origins, refused);
    let places = &collected;
    let mut warnings = Vec::new();
    let client_id = match given(file.top.client_id) {
        Some(id) => safe_id(places, "client_id", id),
        None => {
            places.missing(
                "client_id",
                "set it to the client's short name, such as client_id = \"clinic-012\"; it is \
                 part of every object key and must never change",
            );
            String::new()
        }
    };
    let host_id = match given(file.top.host_id) {
        Some(id) => safe_id(places, "host_id", id),
        None => host_id_of_machine(places, &mut warnings),
    };
    let paths = paths(file.paths, places);
    let drop = drop_contract(file.drop, &paths, places);
    let agent = AgentSettings {
        group_limit: count(
            places,
            "agent.group_limit",
            file.agent.group_limit,
            64,
            1..=1024,
        ),
        min_local_age_days: within(
            places,
            "agent.min_local_age_days",
            file.agent.min_local_age_days,
            90,
            1..=super::RETENTION_MAX_DAYS,
        ),
        min_free_bytes: within(
            places,
            "agent.min_free_bytes",
            file.agent.min_free_bytes,
            256 << 20,
            0..=1 << 50,
        ),
        custody_interval_secs: within(
            places,
            "agent.custody_interval_secs",
            file.agent.custody_interval_secs,
            3600,
            60..=86_400,
        ),
        late_after_secs: within(
            places,
            "agent.late_after_secs",
            file.agent.late_after_secs,
            3600,
            60..=30 * DAY_SECS,
        ),
        backfilled_after_secs: within(
            places,
            "agent.backfilled_after_secs",
            file.agent.backfilled_after_secs,
            7 * DAY_SECS,
            60..=365 * DAY_SECS,
        ),
    };
    if agent.backfilled_after_secs < agent.late_after_secs {
        places.problem(
            "agent.backfilled_after_secs",
            agent.backfilled_after_secs,
            "it is less than agent.late_after_secs",
            "raise it, or lower the other",
        );
    }
    let destinations =
        destination::destinations(file.destination, &file.retention, places, &mut warnings);
    let signing = signing(file.signing, places);
    let mut settings = Settings {
        source: origins.files().first().cloned().unwrap_or_default(),
        origins: origins.clone(),
        sha256: Sha256::of(b""),
        client_id,
        host_id,
        screening: screening::screening(file.screening, &signing, places, &mut warnings),
        signing,
        drop,
        agent,
        controls: controls(file.controls, places),
        retention: destination::retention(&file.retention),
        destinations,
        uploader: uploader(&file.uploader, places),
        metrics: metrics::metrics(file.metrics, &paths, places),
        notify: notify::notify(file.notify, places),
        log: log(file.log, places),
        paths,
        warnings,
    };
    // Of the effective settings, so that a comment changes nothing and a variable does. Plain
    // structs of text and numbers always serialise.
    settings.sha256 = Sha256::of(&serde_json::to_vec(&settings).unwrap_or_default());
    (settings, collected.into_problems())
}

/// Empty text means "not set", so that a variable can also take a setting back.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn given_path(path: Option<PathBuf>) -> Option<PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty())
}

fn safe_id(places: &Places, key: &str, id: String) -> String {
    if !is_safe_name(&id) {
        places.problem(
            key,
            format!("{id:?}"),
            "it becomes part of object keys",
            "use letters, digits, `.`, `_` and `-` only, not starting with a dot, at most 128",
        );
    }
    id
}

fn host_id_of_machine(places: &Places, warnings: &mut Vec<String>) -> String {
    let name = nix::sys::utsname::uname()
        .map(|uname| uname.nodename().to_string_lossy().into_owned())
        .unwrap_or_default();
    let id = sanitised(&name);
    if !is_safe_name(&id) {
        places.missing(
            "host_id",
            format!("the machine's name {name:?} gives none; set host_id"),
        );
    } else if id == "localhost" {
        warnings.push(
            "host_id is \"localhost\", taken from the machine's name; set host_id, so that two \
             hosts never share one"
                .to_owned(),
        );
    }
    id
}

/// A machine's name as an id: lower case, everything unusual a hyphen.
fn sanitised(name: &str) -> String {
    let id: String = name
        .trim_start_matches('.')
        .chars()
        .take(128)
        .map(|c| match c {
            'a'..='z' | '0'..='9' | '.' | '_' | '-' => c,
            'A'..='Z' => c.to_ascii_lowercase(),
            _ => '-',
        })
        .collect();
    id
}

/// The value, or a problem when it is out of range.
fn within<T: Copy + PartialOrd + Display>(
    places: &Places,
    key: &str,
    value: Option<T>,
    default: T,
    range: RangeInclusive<T>,
) -> T {
    let value = value.unwrap_or(default);
    if !range.contains(&value) {
        places.problem(
            key,
            value,
            "it is out of range",
            format!(
                "use {} to {}; the default is {default}",
                range.start(),
                range.end()
            ),
        );
    }
    value
}

fn count(
    places: &Places,
    key: &str,
    value: Option<u64>,
    default: u64,
    range: RangeInclusive<u64>,
) -> usize {
    let value = within(places, key, value, default, range);
    usize::try_from(value).unwrap_or_else(|_| {
        places.problem(key, value, "it is too large here", "use a smaller number");
        usize::MAX
    })
}

fn absolute(places: &Places, key: &str, path: PathBuf) -> PathBuf {
    let plain = path
        .components()
        .all(|c| !matches!(c, std::path::Component::ParentDir));
    if !path.is_absolute() || !plain {
        places.problem(
            key,
            path.display(),
            "it is not an absolute path",
            "write the whole path from `/`, without `..`",
        );
    }
    path
}

fn paths(section: PathsSection, places: &Places) -> Paths {
    let state_dir = given_path(section.state_dir).unwrap_or_else(|| "/var/lib/msp".into());
    let state_dir = absolute(places, "paths.state_dir", state_dir);
    let place = |name: &str, path: Option<PathBuf>| match given_path(path) {
        Some(path) => absolute(places, &format!("paths.{name}"), path),
        // As good or as bad as the state folder, of which all is said.
        None => state_dir.join(name),
    };
    let paths = Paths {
        drop: place("drop", section.drop),
        spool: place("spool", section.spool),
        evidence: place("evidence", section.evidence),
        outbox: place("outbox", section.outbox),
        receipts: place("receipts", section.receipts),
        delivery: place("delivery", section.delivery),
        quarantine: place("quarantine", section.quarantine),
        requests: place("requests", section.requests),
        machine_id: absolute(
            places,
            "paths.machine_id",
            given_path(section.machine_id).unwrap_or_else(|| "/etc/machine-id".into()),
        ),
        state_dir,
    };
    let named = named_paths(&paths);
    for (i, (name, path)) in named.iter().enumerate() {
        for (other_name, other) in &named[..i] {
            if path.starts_with(other) || other.starts_with(path) {
                places.problem(
                    &format!("paths.{name}"),
                    path.display(),
                    format!("it overlaps with paths.{other_name}, {}", other.display()),
                    "give each its own folder, none inside another: they belong to different users",
                );
            }
        }
    }
    paths
}

fn named_paths(paths: &Paths) -> [(&'static str, &Path); 8] {
    [
        ("drop", &paths.drop),
        ("spool", &paths.spool),
        ("evidence", &paths.evidence),
        ("outbox", &paths.outbox),
        ("receipts", &paths.receipts),
        ("delivery", &paths.delivery),
        ("quarantine", &paths.quarantine),
        ("requests", &paths.requests),
    ]
}

fn signing(section: SigningSection, places: &Places) -> Signing {
    let key =
        given_path(section.key).unwrap_or_else(|| "/etc/msp/signing-keys/evidence.key".into());
    let key = absolute(places, "signing.key", key);
    let beside = |name: &str, path: Option<PathBuf>, default: PathBuf| match given_path(path) {
        Some(path) => absolute(places, &format!("signing.{name}"), path),
        None => default,
    };
    let signing = Signing {
        public_key: beside("public_key", section.public_key, key.with_extension("pub")),
        digest_key: beside(
            "digest_key",
            section.digest_key,
            key.with_file_name("digest.key"),
        ),
        password_file: given_path(section.password_file)
            .map(|path| absolute(places, "signing.password_file", path)),
        key,
    };
    let mut seen = vec![("key", &signing.key)];
    let others = [
        ("public_key", Some(&signing.public_key)),
        ("digest_key", Some(&signing.digest_key)),
        ("password_file", signing.password_file.as_ref()),
    ];
    for (name, path) in others {
        let Some(path) = path else { continue };
        if let Some((other, _)) = seen.iter().find(|(_, seen)| *seen == path) {
            places.problem(
                &format!("signing.{name}"),
                path.display(),
                format!("it is the same file as signing.{other}"),
                "give each its own file",
            );
        }
        seen.push((name, path));
    }
    signing
}

fn drop_contract(section: DropSection, paths: &Paths, places: &Places) -> DropSettings {
    let on_sealed = match section.on_sealed.as_deref() {
        None | Some("remove") => OnSealed::Remove,
        Some("archive") => OnSealed::Archive,
        Some(other) => {
            places.problem(
                "drop.on_sealed",
                format!("{other:?}"),
                "it is not known",
                "use \"remove\" or \"archive\"",
            );
            OnSealed::Remove
        }
    };
    let archive_dir =
        given_path(section.archive_dir).map(|path| absolute(places, "drop.archive_dir", path));
    if on_sealed == OnSealed::Archive && archive_dir.is_none() {
        places.missing(
            "drop.archive_dir",
            "drop.on_sealed = \"archive\" needs a folder on the same file system as the drops",
        );
    }
    if let Some(dir) = &archive_dir
        && let Some((name, _)) = named_paths(paths)
            .iter()
            .find(|(_, p)| dir.starts_with(p) || p.starts_with(dir))
    {
        places.problem(
            "drop.archive_dir",
            dir.display(),
            format!("it overlaps with paths.{name}"),
            "give it a folder of its own",
        );
    }
    DropSettings {
        on_sealed,
        archive_dir,
        allowed_owners: owners(section.allowed_owners.unwrap_or_default(), places),
        rescan_secs: within(
            places,
            "drop.rescan_secs",
            section.rescan_secs,
            30,
            30..=DAY_SECS,
        ),
        max_document_bytes: within(
            places,
            "drop.max_document_bytes",
            section.max_document_bytes,
            16 << 20,
            // A bundle is stored in one request, of at most 64 MB, and is longer than its drop.
            1024..=24 << 20,
        ),
        max_depth: count(places, "drop.max_depth", section.max_depth, 64, 8..=100),
        max_artifacts: count(
            places,
            "drop.max_artifacts",
            section.max_artifacts,
            1000,
            1..=2000,
        ),
        max_artifact_bytes: within(
            places,
            "drop.max_artifact_bytes",
            section.max_artifact_bytes,
            1 << 40,
            // The largest object of Amazon S3.
            1024..=5 << 40,
        ),
    }
}

fn owners(owners: Vec<Owner>, places: &Places) -> Vec<u32> {
    let mut uids = Vec::with_capacity(owners.len());
    for owner in owners {
        match owner {
            Owner::Uid(uid) => uids.push(uid),
            Owner::Name(name) => match nix::unistd::User::from_name(&name) {
                Ok(Some(user)) => uids.push(user.uid.as_raw()),
                Ok(None) | Err(_) => places.problem(
                    "drop.allowed_owners",
                    format!("{name:?}"),
                    "there is no such user on this machine",
                    "create the user, correct the name, or give the numeric uid",
                ),
            },
        }
    }
    uids.sort_unstable();
    uids.dedup();
    uids
}

fn controls(section: ControlsSection, places: &Places) -> ControlSettings {
    let additions = |key: &str, texts: Option<Vec<String>>| {
        let mut additions = Vec::new();
        for text in texts.unwrap_or_default() {
            match text.parse::<Addition>() {
                Ok(addition) => additions.push(addition),
                Err(error) => places.problem(
                    key,
                    format!("{text:?}"),
                    format!("it adds nothing: {error}"),
                    "write NAME = CITATION, CRITERION, such as \"nas_* = 164.308(a)(7)(ii)(A), A1.2\"",
                ),
            }
        }
        additions
    };
    ControlSettings {
        event_types: additions("controls.event_types", section.event_types),
        runbooks: additions("controls.runbooks", section.runbooks),
    }
}

fn uploader(section: &UploaderSection, places: &Places) -> UploaderSettings {
    let secs = |key: &str, value, default, range| {
        within(places, &format!("uploader.{key}"), value, default, range)
    };
    let settings = UploaderSettings {
        in_flight: count(places, "uploader.in_flight", section.in_flight, 16, 1..=256),
        backoff_max_secs: secs(
            "backoff_max_secs",
            section.backoff_max_secs,
            900,
            1..=DAY_SECS,
        ),
        backoff_min_ms: secs("backoff_min_ms", section.backoff_min_ms, 500, 10..=60_000),
        park_probe_secs: secs(
            "park_probe_secs",
            section.park_probe_secs,
            180,
            1..=DAY_SECS,
        ),
        preflight_secs: secs(
            "preflight_secs",
            section.preflight_secs,
            DAY_SECS,
            10..=7 * DAY_SECS,
        ),
        rescan_secs: secs("rescan_secs", section.rescan_secs, 30, 30..=DAY_SECS),
        request_timeout_secs: secs(
            "request_timeout_secs",
            section.request_timeout_secs,
            60,
            1..=3600,
        ),
        content_md5: section.content_md5.unwrap_or(true),
    };
    if settings.backoff_min_ms > settings.backoff_max_secs.saturating_mul(1000) {
        places.problem(
            "uploader.backoff_min_ms",
            settings.backoff_min_ms,
            "it is more than uploader.backoff_max_secs",
            "lower it, or raise the other",
        );
    }
    settings
}

fn log(section: LogSection, places: &Places) -> LogSettings {
    let filter = given(section.filter).unwrap_or_else(|| "info".to_owned());
    if !crate::logging::is_filter(&filter) {
        places.problem(
            "log.filter",
            format!("{filter:?}"),
            "it is not a tracing filter",
            "use a level (error, warn, info, debug, trace), or such as \"info,agent=debug\"",
        );
    }
    let format = match section.format.as_deref() {
        None | Some("auto") => LogFormat::Auto,
        Some("human") => LogFormat::Human,
        Some("json") => LogFormat::Json,
        Some("journald") => LogFormat::Journald,
        Some(other) => {
            places.problem(
                "log.format",
                format!("{other:?}"),
                "it is not known",
                "use \"auto\", \"human\", \"json\" or \"journald\"",
            );
            LogFormat::Auto
        }
    };
    LogSettings { filter, format }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_name_becomes_a_safe_id() {
        for (name, id) in [
            ("Clinic-012.Example", "clinic-012.example"),
            (".hidden", "hidden"),
            ("büro srv", "b-ro-srv"),
            ("a/../b", "a-..-b"),
        ] {
            assert_eq!(sanitised(name), id);
            assert!(is_safe_name(id), "{id}");
        }
    }
}
