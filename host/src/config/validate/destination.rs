//! Destinations and how long each one locks.

use evidence::handover::{is_safe_name, is_safe_path};

use super::reach::reach;
use crate::config::environment::id_in_variable;
use crate::config::file::{DestinationSection, RetentionSection};
use crate::config::places::Places;
use crate::config::settings::{DestinationSettings, RetentionSettings};
use crate::config::{RETENTION_MAX_DAYS, SIX_YEARS_DAYS, TEN_YEARS_DAYS};

/// Keys are at most 1,024 bytes in S3; paths below the prefix are at most 900.
const PREFIX_MAX_BYTES: usize = 120;
/// A day: what an upload may wait without losing any of its retention.
const MARGIN_SECS: u64 = 86_400;
/// The margin lengthens locks that cannot be undone, so it stays small.
const MARGIN_MAX_SECS: u64 = 31 * 86_400;

/// All destinations, in the order of the file.
pub(super) fn destinations(
    sections: Vec<DestinationSection>,
    retention: &RetentionSection,
    places: &Places,
    warnings: &mut Vec<String>,
) -> Vec<DestinationSettings> {
    if sections.is_empty() {
        places.missing(
            "destination",
            "add a [[destination]] section with id, bucket and region",
        );
    }
    let mut destinations: Vec<DestinationSettings> = Vec::new();
    for (index, section) in sections.into_iter().enumerate() {
        let Some(destination) = destination(index, section, retention, places, warnings) else {
            continue;
        };
        let id = &destination.destination_id;
        // Also as variables spell them, so that each can be set from the environment.
        let clash = |other: &DestinationSettings| {
            id_in_variable(&other.destination_id) == id_in_variable(id)
        };
        if let Some(other) = destinations.iter().find(|other| clash(other)) {
            places.problem(
                &format!("destination.{id}.id"),
                format!("{id:?}"),
                format!("another destination is called {:?}", other.destination_id),
                "give each its own id (capitals, `-`, `.` and `_` do not tell them apart)",
            );
        }
        let same_place = |other: &&DestinationSettings| {
            !other.bucket.is_empty()
                && other.uri() == destination.uri()
                && other.endpoint == destination.endpoint
        };
        if let Some(other) = destinations.iter().find(same_place) {
            places.problem(
                &format!("destination.{id}.bucket"),
                format!("{:?}", destination.bucket),
                format!("{:?} has the same bucket and prefix", other.destination_id),
                "a second destination must be a second place; change bucket or prefix",
            );
        }
        destinations.push(destination);
    }
    destinations
}

/// What holds for destinations that say nothing else.
pub(super) fn retention(section: &RetentionSection) -> RetentionSettings {
    RetentionSettings {
        days: section.days.unwrap_or(SIX_YEARS_DAYS),
        margin_secs: section.margin_secs.unwrap_or(MARGIN_SECS),
        acknowledge_shorter_than_six_years: section
            .acknowledge_shorter_than_six_years
            .unwrap_or(false),
        acknowledge_longer_than_ten_years: section
            .acknowledge_longer_than_ten_years
            .unwrap_or(false),
    }
}

/// `None` for one without an id, of which nothing more can be said.
fn destination(
    index: usize,
    mut section: DestinationSection,
    retention: &RetentionSection,
    places: &Places,
    warnings: &mut Vec<String>,
) -> Option<DestinationSettings> {
    let Some(id) = super::given(section.id.take()) else {
        places.missing(
            &format!("destination[{index}].id"),
            "give the destination a short name; it is written into evidence and never changes",
        );
        return None;
    };
    if !is_safe_name(&id) {
        places.problem(
            &format!("destination.{id}.id"),
            format!("{id:?}"),
            "it is written into evidence and file names",
            "use letters, digits, `.`, `_` and `-` only, not starting with a dot, at most 128",
        );
    }
    let key = |name: &str| format!("destination.{id}.{name}");
    let required = |name: &str, value: Option<String>, remedy: &str| {
        let value = super::given(value);
        if value.is_none() {
            places.missing(&key(name), remedy);
        }
        value
    };

    let reach = reach(&id, &mut section, places, warnings);
    let bucket = required(
        "bucket",
        section.bucket,
        "name a bucket that has Object Lock enabled",
    );
    if let Some(bucket) = bucket.as_ref().filter(|name| !is_bucket_name(name)) {
        places.problem(
            &key("bucket"),
            format!("{bucket:?}"),
            "it is not a bucket name",
            "use 3 to 63 lower-case letters, digits, `.` and `-`, as S3 does; no `s3://`",
        );
    }
    let prefix = section.prefix.unwrap_or_default();
    if !is_prefix(&prefix) {
        places.problem(
            &key("prefix"),
            format!("{prefix:?}"),
            "it is not a prefix",
            "leave it empty, or end it with `/`, such as \"evidence/\"; at most 120 bytes",
        );
    }
    let region = required(
        "region",
        section.region,
        "name the bucket's region, such as us-east-1",
    );
    if let Some(region) = region.as_ref().filter(|name| !is_safe_name(name)) {
        places.problem(
            &key("region"),
            format!("{region:?}"),
            "it is not a region",
            "use such as us-east-1",
        );
    }
    let (retention_days, days_key) = match section.retention_days {
        Some(days) => (days, key("retention_days")),
        None => (
            retention.days.unwrap_or(SIX_YEARS_DAYS),
            "retention.days".to_owned(),
        ),
    };
    check_retention(&id, retention_days, &days_key, retention, places, warnings);
    let (margin, margin_key) = match section.retention_margin_secs {
        Some(secs) => (Some(secs), key("retention_margin_secs")),
        None => (retention.margin_secs, "retention.margin_secs".to_owned()),
    };
    let retention_margin_secs = super::within(
        places,
        &margin_key,
        margin,
        MARGIN_SECS,
        0..=MARGIN_MAX_SECS,
    );
    Some(DestinationSettings {
        destination_id: id,
        bucket: bucket.unwrap_or_default(),
        prefix,
        region: region.unwrap_or_default(),
        endpoint: reach.endpoint,
        path_style: section.path_style.unwrap_or(false),
        use_dual_stack: reach.use_dual_stack,
        use_fips: reach.use_fips,
        ca_file: reach.ca_file,
        sse_kms_key_id: reach.sse_kms_key_id,
        profile: reach.profile,
        credentials_file: reach.credentials_file,
        retention_days,
        retention_margin_secs,
    })
}

/// The general rules for S3 bucket names, without those that only AWS has.
fn is_bucket_name(name: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    (3..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
        && edge(name.as_bytes().first())
        && edge(name.as_bytes().last())
}

fn is_prefix(prefix: &str) -> bool {
    prefix.is_empty()
        || (prefix.len() <= PREFIX_MAX_BYTES && prefix.strip_suffix('/').is_some_and(is_safe_path))
}

fn check_retention(
    id: &str,
    days: u32,
    key: &str,
    retention: &RetentionSection,
    places: &Places,
    warnings: &mut Vec<String>,
) {
    if days == 0 || days > RETENTION_MAX_DAYS {
        places.problem(
            key,
            days,
            "it is out of range",
            format!("use 1 to {RETENTION_MAX_DAYS} days; the default is {SIX_YEARS_DAYS}"),
        );
        return;
    }
    if days < SIX_YEARS_DAYS {
        if retention.acknowledge_shorter_than_six_years != Some(true) {
            places.problem(
                key,
                days,
                format!(
                    "it is shorter than six years ({SIX_YEARS_DAYS} days), which 45 CFR \
                     164.316(b)(2)(i) asks of required documentation"
                ),
                "raise it, or set retention.acknowledge_shorter_than_six_years = true",
            );
        }
        warnings.push(format!(
            "destination {id} locks evidence for {days} days, shorter than six years (45 CFR \
             164.316(b)(2)(i)); acknowledged in the configuration"
        ));
    }
    if days > TEN_YEARS_DAYS {
        if retention.acknowledge_longer_than_ten_years != Some(true) {
            places.problem(
                key,
                days,
                format!(
                    "it is longer than ten years ({TEN_YEARS_DAYS} days), and a COMPLIANCE lock \
                     can never be undone"
                ),
                "lower it, or set retention.acknowledge_longer_than_ten_years = true",
            );
        }
        warnings.push(format!(
            "destination {id} locks evidence for {days} days, longer than ten years; this cannot \
             be undone; acknowledged in the configuration"
        ));
    }
}
