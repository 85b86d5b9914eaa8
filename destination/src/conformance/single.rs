//! One object in one request: stored, locked, read back, attacked.

use bytes::Bytes;
use evidence::digest::Sha256;
use jiff::{SignedDuration, Timestamp};
use md5::Digest as _;

use super::{Adversary, Attempt, Problem, Report, Suite, refused};
use crate::{Class, Destination, Failure, Lock, Put, PutRequest, Stored};

/// What the object under attack holds.
const LOCKED: &[u8] = b"conformance: locked";
const PUT: &str = "a conditional, locked, checksummed PUT makes a version";

impl Suite {
    /// True when further checks make sense.
    pub(super) async fn single(
        &self,
        store: &(impl Destination + Adversary),
        report: &mut Report<'_>,
    ) -> bool {
        report.say(
            "the bucket is versioned and has Object Lock",
            self.preflight(store).await,
        );
        let first = self.put(store, "locked", LOCKED).await;
        let version = match version_of(first) {
            Ok(version) => {
                report.say(PUT, Ok(()));
                version
            }
            Err(problem) => return report.say(PUT, Err(problem)),
        };
        let key = self.key("locked");
        report.say(
            "the version is read back: size, identity, COMPLIANCE until the date asked",
            self.is_ours(store, &key, &version, LOCKED).await,
        );
        report.say(
            "the SHA-256 that was sent is told of the version",
            tells_sha256(store, &key, &version).await,
        );
        report.say(
            "an empty object is stored and locked",
            self.empty(store).await,
        );
        report.say(
            "a second conditional PUT is refused as occupied",
            self.second_put(store).await,
        );
        report.say(
            "of racing conditional PUTs exactly one wins",
            self.race(store).await,
        );
        report.say(
            "a PUT whose checksum is wrong is refused",
            self.wrong_checksum(store).await,
        );
        let now = store.server_now().unwrap_or_else(Timestamp::now);
        let early = now + SignedDuration::from_secs(60);
        for (name, attempt) in [
            (
                "deleting the locked version is refused",
                store.delete_version(&key, &version).await,
            ),
            (
                "shortening the lock is refused",
                store.shorten(&key, &version, early).await,
            ),
            (
                "downgrading the lock is refused",
                store.downgrade(&key, &version, early).await,
            ),
        ] {
            report.say(name, refused(&attempt));
        }
        report.say(
            "what was refused changed nothing",
            self.is_ours(store, &key, &version, LOCKED).await,
        );
        report.say(
            "the lock can be lengthened",
            self.lengthen(store, &key, &version).await,
        );
        report.say(
            "a delete marker hides nothing from a listing of versions",
            self.under_marker(store, &key, &version).await,
        );
        report.say(
            "what is laid over a locked version leaves that version as it was",
            self.overlay(store, &key, &version).await,
        );
        report.say(
            "a version that does not exist is reported as missing",
            self.missing(store, &key).await,
        );
        true
    }

    fn request(&self, store: &impl Destination, name: &str, bytes: &'static [u8]) -> PutRequest {
        PutRequest {
            key: self.key(name),
            body: Bytes::from_static(bytes),
            sha256: Sha256::of(bytes),
            md5: Some(md5::Md5::digest(bytes).into()),
            content_type: "application/octet-stream",
            retain_until: self.until(store),
        }
    }

    async fn put(
        &self,
        store: &impl Destination,
        name: &str,
        bytes: &'static [u8],
    ) -> Result<Put, Failure> {
        store.put(&self.request(store, name, bytes)).await
    }

    async fn preflight(&self, store: &impl Destination) -> Result<(), Problem> {
        let preflight = store.preflight().await?;
        match preflight.objection() {
            Some(objection) => Err(objection.into()),
            None if preflight.unknown.is_empty() => Ok(()),
            None => Err(Problem::CouldNotCheck(format!(
                "not allowed to ask: {}",
                preflight.unknown.join(", ")
            ))),
        }
    }

    async fn is_ours(
        &self,
        store: &impl Destination,
        key: &str,
        version: &str,
        bytes: &'static [u8],
    ) -> Result<(), Problem> {
        let stored = inspect(store, key, version).await?;
        if stored.size_bytes != bytes.len() as u64 {
            return Err(format!("{} bytes are stored", stored.size_bytes).into());
        }
        let Lock::Compliance(until) = stored.lock else {
            return Err(format!("the lock is {:?}", stored.lock).into());
        };
        let now = store.server_now().unwrap_or_else(Timestamp::now);
        if until.duration_since(now) < self.lock_for - SignedDuration::from_secs(120) {
            return Err(format!("the lock ends {until}").into());
        }
        identity(store, key, version, &stored, bytes).await
    }

    async fn empty(&self, store: &impl Destination) -> Result<(), Problem> {
        let version = version_of(self.put(store, "empty", b"").await)?;
        self.is_ours(store, &self.key("empty"), &version, b"").await
    }

    async fn second_put(&self, store: &impl Destination) -> Result<(), Problem> {
        match self.put(store, "locked", b"conformance: other bytes").await {
            Err(failure) if failure.class == Class::Occupied => Ok(()),
            Err(failure) => Err(failure.into()),
            Ok(_) => Err("the store ignores If-None-Match".into()),
        }
    }

    async fn race(&self, store: &impl Destination) -> Result<(), Problem> {
        let (a, b, c) = tokio::join!(
            self.put(store, "raced", b"conformance: a"),
            self.put(store, "raced", b"conformance: b"),
            self.put(store, "raced", b"conformance: c"),
        );
        let mut won = 0;
        for result in [a, b, c] {
            match result {
                Ok(_) => won += 1,
                Err(f) if matches!(f.class, Class::Occupied | Class::ConflictRetry) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        if won == 1 {
            Ok(())
        } else {
            Err(format!("{won} of 3 won").into())
        }
    }

    async fn wrong_checksum(&self, store: &impl Destination) -> Result<(), Problem> {
        let mut request = self.request(store, "wrong", b"conformance: wrong");
        request.sha256 = Sha256::of(b"something else");
        match store.put(&request).await {
            Err(failure) if failure.class == Class::BlockItem => Ok(()),
            Err(failure) => Err(failure.into()),
            Ok(_) => Err("it was accepted".into()),
        }
    }

    async fn lengthen(
        &self,
        store: &impl Destination,
        key: &str,
        version: &str,
    ) -> Result<(), Problem> {
        let later = self.until(store) + SignedDuration::from_secs(60);
        store.lock(key, version, later).await?;
        match inspect(store, key, version).await?.lock {
            Lock::Compliance(until) if until >= later => Ok(()),
            lock => Err(format!("the lock is {lock:?}").into()),
        }
    }

    async fn under_marker(
        &self,
        store: &(impl Destination + Adversary),
        key: &str,
        version: &str,
    ) -> Result<(), Problem> {
        match store.lay_delete_marker(key).await {
            // A store may refuse to delete at all; then there is nothing to hide.
            Attempt::Refused(_) => return Ok(()),
            Attempt::NoAnswer => return Err("no answer".into()),
            Attempt::Allowed => {}
        }
        let versions = store.versions(key).await?;
        if !versions
            .first()
            .is_some_and(|v| v.is_delete_marker && v.is_latest)
        {
            return Err("the listing does not show the marker as the newest version".into());
        }
        if !versions
            .iter()
            .any(|v| v.version_id == version && !v.is_delete_marker)
        {
            return Err("the listing does not show the locked version".into());
        }
        self.is_ours(store, key, version, LOCKED).await
    }

    async fn overlay(
        &self,
        store: &(impl Destination + Adversary),
        key: &str,
        version: &str,
    ) -> Result<(), Problem> {
        if store.put_unlocked(key, b"conformance: laid over").await == Attempt::NoAnswer {
            return Err("no answer".into());
        }
        self.is_ours(store, key, version, LOCKED).await
    }

    async fn missing(&self, store: &impl Destination, key: &str) -> Result<(), Problem> {
        // The version of another key: well-formed, and not of this one.
        let other = store.versions(&self.key("raced")).await?;
        let other = other.first().ok_or("no other version to ask for")?;
        match store.inspect(key, &other.version_id).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err("it was found".into()),
            Err(failure) => Err(failure.into()),
        }
    }
}

pub(super) async fn inspect(
    store: &impl Destination,
    key: &str,
    version: &str,
) -> Result<Stored, Problem> {
    store
        .inspect(key, version)
        .await?
        .ok_or_else(|| "the version is missing".into())
}

/// What the store says the bytes are, and what they are when read: a store that is to be trusted
/// must be right in both.
async fn identity(
    store: &impl Destination,
    key: &str,
    version: &str,
    stored: &Stored,
    bytes: &[u8],
) -> Result<(), Problem> {
    let wanted = Sha256::of(bytes);
    if stored.sha256.is_some_and(|said| said != wanted) {
        return Err("the store reports the digest of other bytes".into());
    }
    let read = store.read_back(key, version).await?;
    if read.sha256 == wanted {
        Ok(())
    } else {
        Err("other bytes are stored".into())
    }
}

/// The version that a PUT made.
pub(super) fn version_of(put: Result<Put, Failure>) -> Result<String, Problem> {
    put?.version_id
        .ok_or_else(|| "the store names no version".into())
}

async fn tells_sha256(store: &impl Destination, key: &str, version: &str) -> Result<(), Problem> {
    match inspect(store, key, version).await?.sha256 {
        Some(sha256) if sha256 == Sha256::of(LOCKED) => Ok(()),
        Some(_) => Err("it tells the digest of other bytes".into()),
        None => Err("it tells none".into()),
    }
}
