//! What only the store can tell: the way to it, whom it lets in, what the bucket is, and what our
//! credentials may do there. Nothing here writes.

use std::time::Duration;

use destination::{Destination, Failure, ListMarker, Lock, Preflight, S3Destination};
use host::config::{DestinationSettings, Settings};
use tokio::net::{TcpStream, lookup_host};
use uploader::delivery::DestinationSummary;

use super::check::{Check, Family, Verdict};
use super::{clock, credentials, retention};
use crate::output::plain;

const ENDPOINT: Family = Family("endpoint");
const BUCKET: Family = Family("bucket");
pub(crate) const POLICY: Family = Family("policy");
/// Longest wait for a name or a connection.
const PATIENCE: Duration = Duration::from_secs(10);
const CHECK_BUCKET: &str = "msp-evidence bucket check";

/// Looks at one store. `delivered` is what the uploader has on record of it.
pub(crate) async fn look(
    settings: &Settings,
    destination: &DestinationSettings,
    store: &S3Destination,
    delivered: Option<&DestinationSummary>,
) -> Vec<Check> {
    let id = &destination.destination_id;
    let address = Address::of(destination);
    let way = way(&address).await;
    // The SDK learns a skewed clock from the first refusal.
    let found = match store.preflight().await {
        Err(failure) if failure.class == destination::Class::Clock => store.preflight().await,
        other => other,
    };
    let mut checks = vec![reached(
        id,
        &address,
        way.as_ref().err(),
        found.as_ref().err(),
    )];
    checks.extend(tls(id, &address, found.as_ref().err()));
    match &found {
        Ok(preflight) => {
            checks.push(credentials::FAMILY.ok("accepted", id, "the store lets them in"));
            checks.push(clock::offset(id, preflight.clock_offset_ms));
            checks.extend(bucket(destination, preflight));
            checks.extend(policy(settings, destination, store, delivered).await);
        }
        Err(failure) => checks.extend(refused(id, failure)),
    }
    checks
}

/// Where a store is dialled.
struct Address {
    host: String,
    port: u16,
    is_encrypted: bool,
}

impl Address {
    /// As AWS names its endpoints (Amazon S3 User Guide, "Virtual hosting of buckets").
    fn of(destination: &DestinationSettings) -> Self {
        let Some(endpoint) = &destination.endpoint else {
            let service = if destination.use_fips {
                "s3-fips"
            } else {
                "s3"
            };
            let stack = if destination.use_dual_stack {
                ".dualstack"
            } else {
                ""
            };
            let suffix = if destination.region.starts_with("cn-") {
                ".cn"
            } else {
                ""
            };
            let host = format!(
                "{service}{stack}.{}.amazonaws.com{suffix}",
                destination.region
            );
            let host = if destination.path_style || destination.bucket.contains('.') {
                host
            } else {
                format!("{}.{host}", destination.bucket)
            };
            return Self {
                host,
                port: 443,
                is_encrypted: true,
            };
        };
        let is_encrypted = endpoint.starts_with("https://");
        let rest = endpoint
            .split_once("://")
            .map_or(endpoint.as_str(), |(_, rest)| rest);
        let authority = rest.trim_end_matches('/');
        let default = if is_encrypted { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(default)),
            _ => (authority, default),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // Virtual hosts below an endpoint of one's own, unless it is an address.
        let host = if destination.path_style || host.parse::<std::net::IpAddr>().is_ok() {
            host.to_owned()
        } else {
            format!("{}.{host}", destination.bucket)
        };
        Self {
            host,
            port,
            is_encrypted,
        }
    }
}

/// Name and connection, without a proxy; says what failed.
async fn way(address: &Address) -> Result<(), String> {
    let (host, port) = (address.host.as_str(), address.port);
    let addresses = tokio::time::timeout(PATIENCE, lookup_host((host, port)))
        .await
        .map_err(|_| {
            format!(
                "the name {host} was not answered in {} s",
                PATIENCE.as_secs()
            )
        })?
        .map_err(|error| format!("the name {host} is not known ({error})"))?;
    let mut last = format!("the name {host} has no address");
    for address in addresses {
        match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => last = format!("{address} does not take a connection ({error})"),
            Err(_) => last = format!("{address} does not answer"),
        }
    }
    Err(last)
}

/// Whether there was any answer of a store.
fn is_silent(failure: &Failure) -> bool {
    failure.status.is_none() && failure.code != "NoCredentials"
}

/// Pure. What the request itself came to outweighs a dial of our own: it may go through a proxy.
fn reached(id: &str, address: &Address, way: Option<&String>, failure: Option<&Failure>) -> Check {
    let shown = format!("{}:{}", address.host, address.port);
    let silent = failure.filter(|failure| is_silent(failure));
    match (way, silent) {
        (None, None) => ENDPOINT.ok("reached", id, shown),
        // Nothing was sent for want of credentials, so the dial is all that is known.
        (Some(way), None) if failure.is_none_or(|f| f.code != "NoCredentials") => ENDPOINT.ok(
            "reached",
            id,
            format!("{shown}, through a proxy ({})", plain(way)),
        ),
        (None, Some(failure)) if failure.code == "Tls" => ENDPOINT.ok("reached", id, shown),
        (way, failure) => ENDPOINT.problem(
            "reached",
            id,
            format!(
                "{shown}: {}",
                way.map_or_else(
                    || failure.map(|f| plain(&f.to_string())).unwrap_or_default(),
                    |way| plain(way)
                )
            ),
            format!(
                "check name server, firewall and proxy (HTTPS_PROXY of the unit): getent hosts {}; \
                 curl -v {}://{shown}",
                address.host,
                if address.is_encrypted {
                    "https"
                } else {
                    "http"
                }
            ),
        ),
    }
}

/// Pure. By the very client that uploads: a handshake of another one would prove another's.
fn tls(id: &str, address: &Address, failure: Option<&Failure>) -> Option<Check> {
    let shown = format!("{}:{}", address.host, address.port);
    if !address.is_encrypted {
        let is_near = address.host == "localhost"
            || address
                .host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback());
        return Some(if is_near {
            ENDPOINT.ok("tls", id, "not encrypted, and does not leave this machine")
        } else {
            ENDPOINT.warning(
                "tls",
                id,
                format!("{shown} is not encrypted (45 CFR 164.312(e)(1))"),
                "use https in endpoint",
            )
        });
    }
    match failure {
        Some(failure) if failure.code == "Tls" => Some(ENDPOINT.problem(
            "tls",
            id,
            plain(&failure.message),
            format!(
                "see who signed it: openssl s_client -connect {shown} -showcerts; name its authority in \
                 ca_file of the [[destination]]"
            ),
        )),
        Some(failure) if failure.status.is_none() => Some(ENDPOINT.unchecked(
            "tls",
            id,
            "nothing was answered",
            "correct what the other findings say first",
        )),
        _ => Some(ENDPOINT.ok("tls", id, "the certificate is trusted")),
    }
}

/// Pure. The store's refusal, in the family that it belongs to, and what is not known by it.
fn refused(id: &str, failure: &Failure) -> Vec<Check> {
    let found = plain(&failure.to_string());
    let bucket_not_seen = BUCKET.unchecked(
        "bucket",
        id,
        "it could not be asked",
        format!("correct what the other findings say, then: {CHECK_BUCKET}"),
    );
    let credentials = credentials::FAMILY;
    match failure.code.as_str() {
        "NoCredentials" => vec![
            credentials.problem(
                "accepted",
                id,
                found,
                "give the uploader credentials, and this command the same environment: \
                 docs/operations.md, \"Credentials\"",
            ),
            bucket_not_seen,
        ],
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken"
        | "AccessDenied" | "Forbidden" => vec![
            credentials.problem(
                "accepted",
                id,
                found,
                format!("replace the credentials, or let the writer role into the bucket: {CHECK_BUCKET}"),
            ),
            bucket_not_seen,
        ],
        "RequestTimeTooSkewed" => vec![
            Family("clock").problem(
                "offset",
                id,
                found,
                "set the clock and keep it right: chronyc makestep, or timedatectl set-ntp true",
            ),
            bucket_not_seen,
        ],
        _ if is_silent(failure) => vec![
            credentials.unchecked("accepted", id, "nobody was asked", "correct the way to the store first"),
            bucket_not_seen,
        ],
        _ => vec![BUCKET.problem(
            "bucket",
            id,
            found,
            format!("correct bucket, region or endpoint of the [[destination]], then: {CHECK_BUCKET}"),
        )],
    }
}

/// Pure. What the bucket is.
fn bucket(destination: &DestinationSettings, found: &Preflight) -> Vec<Check> {
    let id = &destination.destination_id;
    let permission =
        |action: &str| format!("let the credentials ask: allow {action} on the bucket");
    let one = |check, what: &str, enabled: Option<bool>, remedy: &str, action: &str| match enabled {
        Some(true) => BUCKET.ok(check, id, format!("{what} is enabled")),
        Some(false) => BUCKET.problem(check, id, format!("{what} is not enabled"), remedy),
        None => BUCKET.unchecked(
            check,
            id,
            format!("the store would not say whether {what} is enabled"),
            permission(action),
        ),
    };
    let mut checks = vec![
        one(
            "versioning",
            "versioning",
            found.versioning,
            "enable it: aws s3api put-bucket-versioning --versioning-configuration Status=Enabled \
             --bucket NAME",
            "s3:GetBucketVersioning",
        ),
        one(
            "object_lock",
            "Object Lock",
            found.object_lock,
            "make a bucket that has it, and name that one: msp-evidence bucket create",
            "s3:GetBucketObjectLockConfiguration",
        ),
    ];
    if found.object_lock == Some(true) {
        checks.push(retention::default_rule(
            destination,
            found.default_rule.as_deref(),
        ));
    }
    checks
}

/// What the credentials may do, as far as it shows without writing.
async fn policy(
    settings: &Settings,
    destination: &DestinationSettings,
    store: &S3Destination,
    delivered: Option<&DestinationSummary>,
) -> Vec<Check> {
    let id = &destination.destination_id;
    let mut checks = vec![may_write(id, delivered)];
    let ours = format!(
        "{}{}/{}/",
        destination.prefix, settings.client_id, settings.host_id
    );
    match newest_of(store, &ours).await {
        Err(failure) => checks.push(POLICY.problem(
            "list",
            id,
            plain(&failure.to_string()),
            format!("allow s3:ListBucketVersions on the bucket, below {ours}"),
        )),
        Ok(None) => {
            checks.push(POLICY.ok("list", id, "versions can be listed; nothing is stored yet"));
            checks.push(POLICY.unchecked(
                "read_retention",
                id,
                "nothing of this host is stored yet",
                "ask again when a bundle is confirmed, or now: msp-evidence doctor --write-probe",
            ));
        }
        Ok(Some((key, version))) => {
            checks.push(POLICY.ok("list", id, "versions can be listed"));
            checks.push(match store.inspect(&key, &version).await {
                Ok(Some(stored)) => may_read_retention(id, &key, stored.lock),
                Ok(None) => POLICY.unchecked(
                    "read_retention",
                    id,
                    format!("{} is listed and not there", plain(&key)),
                    "msp-evidence fsck --bucket",
                ),
                Err(failure) => POLICY.problem(
                    "read_retention",
                    id,
                    plain(&failure.to_string()),
                    format!("allow s3:GetObjectVersion and s3:GetObjectRetention below {ours}"),
                ),
            });
        }
    }
    checks
}

/// A version that holds bytes, if there is one on the first pages.
async fn newest_of(
    store: &impl Destination,
    prefix: &str,
) -> Result<Option<(String, String)>, Failure> {
    /// Pages of nothing but delete markers that are looked through.
    const PAGES: usize = 3;
    let mut after: Option<ListMarker> = None;
    for _ in 0..PAGES {
        let page = store.list(prefix, after.as_ref()).await?;
        let entry = page
            .entries
            .into_iter()
            .find(|e| !e.version.is_delete_marker);
        if let Some(entry) = entry {
            return Ok(Some((entry.key, entry.version.version_id)));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(None)
}

/// Pure. A confirmation proves that it could be written.
fn may_write(id: &str, delivered: Option<&DestinationSummary>) -> Check {
    match delivered.and_then(|d| d.last_confirmed_at) {
        Some(at) => POLICY.ok(
            "write",
            id,
            format!("something was last stored and proven at {at}"),
        ),
        None => POLICY.unchecked(
            "write",
            id,
            "nothing was stored yet, and a permission to write shows only by writing",
            "msp-evidence doctor --write-probe, which locks one small object",
        ),
    }
}

/// Pure.
pub(crate) fn may_read_retention(id: &str, key: &str, lock: Lock) -> Check {
    match lock {
        Lock::Compliance(until) => POLICY.ok(
            "read_retention",
            id,
            format!("the lock can be read: COMPLIANCE until {until}"),
        ),
        Lock::Unknown => POLICY.problem(
            "read_retention",
            id,
            "the store does not tell the lock, so nothing can ever be confirmed",
            "allow s3:GetObjectRetention below this host's prefix",
        ),
        Lock::Governance(_) | Lock::Unlocked => POLICY.problem(
            "read_retention",
            id,
            format!(
                "{} is {}",
                plain(key),
                if lock == Lock::Unlocked {
                    "not locked"
                } else {
                    "locked in GOVERNANCE mode only"
                }
            ),
            "find out who stored it so: msp-evidence fsck --bucket",
        ),
    }
}

/// Whether a write probe would come to nothing: what was found so far says that it cannot work.
pub(crate) fn is_usable(checks: &[Check]) -> bool {
    !checks.iter().any(|check| {
        check.verdict == Verdict::Problem
            && matches!(check.family, "endpoint" | "credentials" | "bucket")
            && check.check != "file"
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use destination::Class;
    use jiff::Timestamp;

    use super::*;

    fn destination(more: &str) -> DestinationSettings {
        let text = format!(
            "client_id = \"c\"\nhost_id = \"h\"\n[[destination]]\nid = \"d\"\n\
             bucket = \"bucket\"\nregion = \"eu-west-1\"\n{more}\n"
        );
        let mut settings =
            Settings::parse(&text, Path::new("/e.toml"), std::iter::empty()).unwrap();
        settings.destinations.remove(0)
    }

    fn address(more: &str) -> (String, u16, bool) {
        let found = Address::of(&destination(more));
        (found.host, found.port, found.is_encrypted)
    }

    fn failure(code: &str, status: Option<u16>) -> Failure {
        Failure {
            class: Class::Park,
            operation: "HeadBucket",
            code: code.to_owned(),
            status,
            message: "so it is".to_owned(),
            server_date: None,
            source: None,
        }
    }

    fn verdicts(checks: &[Check]) -> Vec<(&'static str, &'static str, Verdict)> {
        checks
            .iter()
            .map(|c| (c.family, c.check, c.verdict))
            .collect()
    }

    #[test]
    fn a_store_is_dialled_where_the_client_dials_it() {
        for (more, host, port, is_encrypted) in [
            ("", "bucket.s3.eu-west-1.amazonaws.com", 443, true),
            (
                "use_fips = true\nuse_dual_stack = true",
                "bucket.s3-fips.dualstack.eu-west-1.amazonaws.com",
                443,
                true,
            ),
            ("path_style = true", "s3.eu-west-1.amazonaws.com", 443, true),
            (
                "endpoint = \"https://s3.example.com\"",
                "bucket.s3.example.com",
                443,
                true,
            ),
            (
                "endpoint = \"https://s3.example.com:9000/\"\npath_style = true",
                "s3.example.com",
                9000,
                true,
            ),
            (
                "endpoint = \"http://127.0.0.1:9000\"",
                "127.0.0.1",
                9000,
                false,
            ),
            ("endpoint = \"http://[::1]:9000\"", "::1", 9000, false),
            ("endpoint = \"http://[::1]\"", "::1", 80, false),
        ] {
            assert_eq!(
                address(more),
                (host.to_owned(), port, is_encrypted),
                "{more}"
            );
        }
    }

    #[test]
    fn whether_a_store_is_reached_is_told_by_the_request_and_then_by_a_dial() {
        let address = Address {
            host: "h".to_owned(),
            port: 443,
            is_encrypted: true,
        };
        let way = "the name h is not known".to_owned();
        let verdict = |way, failure: Option<&Failure>| reached("d", &address, way, failure).verdict;
        assert_eq!(verdict(None, None), Verdict::Ok);
        assert_eq!(verdict(Some(&way), None), Verdict::Ok, "by a proxy");
        assert_eq!(
            verdict(Some(&way), Some(&failure("NoSuchBucket", Some(404)))),
            Verdict::Ok
        );
        assert_eq!(
            verdict(Some(&way), Some(&failure("Dns", None))),
            Verdict::Problem
        );
        assert_eq!(
            verdict(None, Some(&failure("Timeout", None))),
            Verdict::Problem
        );
        assert_eq!(
            verdict(None, Some(&failure("Tls", None))),
            Verdict::Ok,
            "that is TLS's matter"
        );
        assert_eq!(
            verdict(Some(&way), Some(&failure("NoCredentials", None))),
            Verdict::Problem
        );
        assert_eq!(
            verdict(None, Some(&failure("NoCredentials", None))),
            Verdict::Ok
        );
    }

    #[test]
    fn a_certificate_that_nobody_trusts_is_a_problem_and_no_encryption_a_warning() {
        let address = |host: &str, is_encrypted| Address {
            host: host.to_owned(),
            port: 1,
            is_encrypted,
        };
        let far = address("s3.example.com", true);
        let verdict = |address: &Address, failure: Option<&Failure>| {
            tls("d", address, failure).unwrap().verdict
        };
        assert_eq!(verdict(&far, None), Verdict::Ok);
        assert_eq!(verdict(&far, Some(&failure("Tls", None))), Verdict::Problem);
        assert_eq!(
            verdict(&far, Some(&failure("Dns", None))),
            Verdict::CouldNotCheck
        );
        assert_eq!(
            verdict(&far, Some(&failure("AccessDenied", Some(403)))),
            Verdict::Ok
        );
        assert_eq!(
            verdict(&address("s3.example.com", false), None),
            Verdict::Warning
        );
        assert_eq!(verdict(&address("127.0.0.1", false), None), Verdict::Ok);
    }

    #[test]
    fn a_refusal_is_told_in_the_family_that_it_belongs_to() {
        let unseen = ("bucket", "bucket", Verdict::CouldNotCheck);
        let problem = Verdict::Problem;
        for (code, status, first) in [
            ("NoCredentials", None, ("credentials", "accepted", problem)),
            (
                "SignatureDoesNotMatch",
                Some(403),
                ("credentials", "accepted", problem),
            ),
            (
                "AccessDenied",
                Some(403),
                ("credentials", "accepted", problem),
            ),
            (
                "RequestTimeTooSkewed",
                Some(403),
                ("clock", "offset", problem),
            ),
            (
                "Dns",
                None,
                ("credentials", "accepted", Verdict::CouldNotCheck),
            ),
        ] {
            let found = refused("d", &failure(code, status));
            assert_eq!(verdicts(&found), [first, unseen], "{code}");
            assert!(
                !is_usable(&found) || first.2 != problem || first.0 == "clock",
                "{code}"
            );
        }
        let found = refused("d", &failure("NoSuchBucket", Some(404)));
        assert_eq!(verdicts(&found), [("bucket", "bucket", problem)]);
        assert!(!is_usable(&found));
    }

    #[test]
    fn a_bucket_without_versions_or_locks_is_a_problem_and_one_that_hides_it_not_known() {
        let found = |versioning, object_lock| {
            let preflight = Preflight {
                versioning,
                object_lock,
                default_rule: Some("COMPLIANCE 2192 days".to_owned()),
                clock_offset_ms: 0,
                server_date: Timestamp::UNIX_EPOCH,
                unknown: Vec::new(),
            };
            bucket(&destination(""), &preflight)
                .iter()
                .map(|check| check.verdict)
                .collect::<Vec<_>>()
        };
        let (ok, problem) = (Verdict::Ok, Verdict::Problem);
        assert_eq!(found(Some(true), Some(true)), [ok, ok, ok]);
        assert_eq!(found(Some(false), Some(true)), [problem, ok, ok]);
        assert_eq!(found(Some(true), Some(false)), [ok, problem]);
        assert_eq!(found(None, None), [Verdict::CouldNotCheck; 2]);
    }

    #[test]
    fn a_lock_that_cannot_be_read_or_is_none_is_a_problem() {
        let now = Timestamp::UNIX_EPOCH;
        for (lock, verdict) in [
            (Lock::Compliance(now), Verdict::Ok),
            (Lock::Governance(now), Verdict::Problem),
            (Lock::Unlocked, Verdict::Problem),
            (Lock::Unknown, Verdict::Problem),
        ] {
            assert_eq!(
                may_read_retention("d", "k", lock).verdict,
                verdict,
                "{lock:?}"
            );
        }
        assert_eq!(may_write("d", None).verdict, Verdict::CouldNotCheck);
    }
}
