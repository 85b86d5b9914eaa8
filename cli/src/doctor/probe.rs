//! `--write-probe`: one small object, stored, locked and read back as evidence is.
//!
//! It is locked for as long as evidence is, since a bucket's policy may refuse shorter locks: that is
//! the permission that is asked about. Nothing is sealed, and no key of a bundle can be hit: the path
//! has a folder of its own below the host's prefix, to which the credentials are limited.

use bytes::Bytes;
use destination::{Destination, Failure, Lock, PutRequest};
use evidence::digest::Sha256;
use evidence::handover::WRITE_PROBE_FOLDER;
use host::config::{DestinationSettings, Settings};
use jiff::{SignedDuration, Timestamp, Unit};
use md5::{Digest as _, Md5};

use super::check::Check;
use super::store::{POLICY, may_read_retention};
use crate::output::plain;

/// A probe that was not sent yet.
pub(crate) struct Probe {
    pub(crate) key: String,
    body: String,
}

impl Probe {
    /// For this destination, at this time.
    pub(crate) fn new(
        settings: &Settings,
        destination: &DestinationSettings,
        now: Timestamp,
    ) -> Self {
        let key = format!(
            "{}{}/{}/{WRITE_PROBE_FOLDER}/{}-{}.txt",
            destination.prefix,
            settings.client_id,
            settings.host_id,
            now.as_second(),
            std::process::id()
        );
        let body = format!(
            "msp-evidence doctor --write-probe of {} {} at {now}. This is no evidence.\n",
            settings.client_id, settings.host_id
        );
        Self { key, body }
    }

    /// Stores it and looks what came of it.
    pub(crate) async fn send(
        &self,
        store: &impl Destination,
        destination: &DestinationSettings,
        content_md5: bool,
    ) -> Vec<Check> {
        let id = &destination.destination_id;
        match self.stored(store, destination, content_md5).await {
            Ok(checks) => checks,
            Err(failure) => vec![POLICY.problem(
                "write_probe",
                id,
                format!("{} was not stored: {}", plain(&self.key), plain(&failure.to_string())),
                "allow s3:PutObject and s3:PutObjectRetention below this host's prefix, with locks of \
                 the configured length",
            )],
        }
    }

    async fn stored(
        &self,
        store: &impl Destination,
        destination: &DestinationSettings,
        content_md5: bool,
    ) -> Result<Vec<Check>, Failure> {
        let id = &destination.destination_id;
        let body = Bytes::from(self.body.clone());
        let sha256 = Sha256::of(&body);
        let retain_until = retain_until(store.server_now(), destination);
        let put = store
            .put(&PutRequest {
                key: self.key.clone(),
                md5: content_md5.then(|| Md5::digest(&body).into()),
                sha256,
                body,
                content_type: "text/plain",
                retain_until,
            })
            .await?;
        let stays = format!("{} stays until {retain_until}", plain(&self.key));
        let Some(version) = put.version_id else {
            return Ok(vec![POLICY.problem(
                "write_probe",
                id,
                format!("the store names no version; {stays}"),
                "enable versioning on the bucket",
            )]);
        };
        let mut checks = vec![match store.inspect(&self.key, &version).await? {
            Some(stored) => checks_of_lock(id, &self.key, stored.lock, retain_until, &stays),
            None => POLICY.problem(
                "write_probe",
                id,
                "the store said that it has it, and then that it has not",
                "msp-evidence bucket conformance",
            ),
        }];
        let read = store.read_back(&self.key, &version).await?;
        checks.push(if read.sha256 == sha256 {
            POLICY.ok(
                "read_back",
                id,
                "the store gives back the bytes that were stored",
            )
        } else {
            POLICY.problem(
                "read_back",
                id,
                "the store gives back other bytes than were stored",
                "msp-evidence bucket conformance",
            )
        });
        Ok(checks)
    }
}

fn checks_of_lock(id: &str, key: &str, lock: Lock, asked: Timestamp, stays: &str) -> Check {
    match lock {
        Lock::Compliance(until) if until >= asked => POLICY.ok(
            "write_probe",
            id,
            format!("stored, and locked in COMPLIANCE mode; {stays}"),
        ),
        Lock::Compliance(until) => POLICY.problem(
            "write_probe",
            id,
            format!("locked until {until} only, and {asked} was asked for"),
            "msp-evidence bucket conformance",
        ),
        other => may_read_retention(id, key, other),
    }
}

/// As the uploader counts it: from the store's date, with the margin, in whole seconds.
pub(crate) fn retain_until(
    server_now: Option<Timestamp>,
    destination: &DestinationSettings,
) -> Timestamp {
    let secs = i64::from(destination.retention_days) * 86_400
        + i64::try_from(destination.retention_margin_secs).unwrap_or(0);
    let from = server_now.unwrap_or_else(Timestamp::now);
    // At most a hundred years and a month, which a timestamp holds.
    let until = from
        .saturating_add(SignedDuration::from_secs(secs))
        .unwrap_or(Timestamp::MAX);
    until.round(Unit::Second).unwrap_or(until)
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    #[test]
    fn a_lock_that_is_shorter_than_asked_or_none_is_a_problem() {
        let asked: Timestamp = "2032-11-21T00:00:00Z".parse().unwrap();
        let before = asked - SignedDuration::from_secs(1);
        for (lock, verdict) in [
            (Lock::Compliance(asked), Verdict::Ok),
            (Lock::Compliance(before), Verdict::Problem),
            (Lock::Governance(asked), Verdict::Problem),
            (Lock::Unlocked, Verdict::Problem),
            (Lock::Unknown, Verdict::Problem),
        ] {
            assert_eq!(
                checks_of_lock("d", "k", lock, asked, "").verdict,
                verdict,
                "{lock:?}"
            );
        }
    }
}
