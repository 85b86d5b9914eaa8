//! One suite that every store must pass before evidence is trusted to it.
//!
//! It writes a few small objects under a prefix of its own and locks them for as long as asked,
//! so they stay in the bucket until then. Each check is named; a check that could not be made is
//! not passed.

use std::future::Future;

use bytes::Bytes;
use evidence::digest::Sha256;
use jiff::{SignedDuration, Timestamp};
use md5::Digest as _;

use crate::{Class, Destination, Failure, Lock, Put, PutRequest, Stored};

/// What a store let somebody do who wants to undo evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// It happened.
    Allowed,
    /// The store refused, with this code.
    Refused(String),
    /// Nothing that judges the attempt: the store could not be reached, was failing, did not know
    /// the credentials or the version. It proves nothing.
    NoAnswer,
}

/// Attempts on a locked version that an uploader never makes.
pub trait Adversary {
    /// Deletes the version itself.
    fn delete_version(&self, key: &str, version_id: &str) -> impl Future<Output = Attempt> + Send;
    /// Moves retain-until to an earlier date.
    fn shorten(
        &self,
        key: &str,
        version_id: &str,
        until: Timestamp,
    ) -> impl Future<Output = Attempt> + Send;
    /// Changes COMPLIANCE to GOVERNANCE.
    fn downgrade(
        &self,
        key: &str,
        version_id: &str,
        until: Timestamp,
    ) -> impl Future<Output = Attempt> + Send;
    /// Lays a delete marker over the versions.
    fn lay_delete_marker(&self, key: &str) -> impl Future<Output = Attempt> + Send;
    /// Puts without lock, condition or checksum.
    fn put_unlocked(&self, key: &str, bytes: &'static [u8])
    -> impl Future<Output = Attempt> + Send;
}

/// One named check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What must be true, as a sentence.
    pub name: &'static str,
    /// What was found instead; `None` when it is true.
    pub failed: Option<String>,
}

/// What the suite is to do.
#[derive(Debug, Clone)]
pub struct Suite {
    /// Keys are made below it; it must be new to the bucket.
    pub prefix: String,
    /// How long the objects stay locked.
    pub lock_for: SignedDuration,
}

impl Suite {
    /// Runs every check, in order; a failure of one does not keep the others from running.
    pub async fn run(&self, store: &(impl Destination + Adversary)) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut say = |name: &'static str, result: Result<(), String>| {
            checks.push(Check {
                name,
                failed: result.err(),
            });
        };
        say(
            "the bucket is versioned and has Object Lock",
            self.preflight(store).await,
        );
        let first = self.put(store, "locked", b"conformance: locked").await;
        say(
            "a conditional, locked, checksummed PUT makes a version",
            versioned(&first),
        );
        let version = match &first {
            Ok(Put {
                version_id: Some(version),
                ..
            }) => version.clone(),
            _ => return checks,
        };
        let key = self.key("locked");
        say(
            "the version is read back: size, identity, COMPLIANCE until the date asked",
            self.is_ours(store, &key, &version, b"conformance: locked")
                .await,
        );
        say(
            "a second conditional PUT is refused as occupied",
            self.second_put(store).await,
        );
        say(
            "of racing conditional PUTs exactly one wins",
            self.race(store).await,
        );
        say(
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
            say(name, refused(&attempt));
        }
        say(
            "what was refused changed nothing",
            self.is_ours(store, &key, &version, b"conformance: locked")
                .await,
        );
        say(
            "the lock can be lengthened",
            self.lengthen(store, &key, &version).await,
        );
        say(
            "a delete marker hides nothing from a listing of versions",
            self.under_marker(store, &key, &version).await,
        );
        say(
            "what is laid over a locked version leaves that version as it was",
            self.overlay(store, &key, &version).await,
        );
        say(
            "a version that does not exist is reported as missing",
            self.missing(store, &key).await,
        );
        checks
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn until(&self, store: &impl Destination) -> Timestamp {
        let now = store.server_now().unwrap_or_else(Timestamp::now);
        let until = now + self.lock_for;
        Timestamp::from_second(until.as_second()).unwrap_or(until)
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

    async fn preflight(&self, store: &impl Destination) -> Result<(), String> {
        let preflight = store.preflight().await.map_err(|e| e.to_string())?;
        match preflight.objection() {
            Some(objection) => Err(objection),
            None if preflight.unknown.is_empty() => Ok(()),
            None => Err(format!("could not check {}", preflight.unknown.join(", "))),
        }
    }

    async fn is_ours(
        &self,
        store: &impl Destination,
        key: &str,
        version: &str,
        bytes: &'static [u8],
    ) -> Result<(), String> {
        let stored = inspect(store, key, version).await?;
        if stored.size_bytes != bytes.len() as u64 {
            return Err(format!("{} bytes are stored", stored.size_bytes));
        }
        let Lock::Compliance(until) = stored.lock else {
            return Err(format!("the lock is {:?}", stored.lock));
        };
        let now = store.server_now().unwrap_or_else(Timestamp::now);
        if until.duration_since(now) < self.lock_for - SignedDuration::from_secs(120) {
            return Err(format!("the lock ends {until}"));
        }
        identity(store, key, version, &stored, bytes).await
    }

    async fn second_put(&self, store: &impl Destination) -> Result<(), String> {
        match self.put(store, "locked", b"conformance: other bytes").await {
            Err(failure) if failure.class == Class::Occupied => Ok(()),
            Err(failure) => Err(failure.to_string()),
            Ok(_) => Err("the store ignores If-None-Match".to_owned()),
        }
    }

    async fn race(&self, store: &impl Destination) -> Result<(), String> {
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
                Err(failure) => return Err(failure.to_string()),
            }
        }
        if won == 1 {
            Ok(())
        } else {
            Err(format!("{won} of 3 won"))
        }
    }

    async fn wrong_checksum(&self, store: &impl Destination) -> Result<(), String> {
        let mut request = self.request(store, "wrong", b"conformance: wrong");
        request.sha256 = Sha256::of(b"something else");
        match store.put(&request).await {
            Err(failure) if failure.class == Class::BlockItem => Ok(()),
            Err(failure) => Err(failure.to_string()),
            Ok(_) => Err("it was accepted".to_owned()),
        }
    }

    async fn lengthen(
        &self,
        store: &impl Destination,
        key: &str,
        version: &str,
    ) -> Result<(), String> {
        let later = self.until(store) + SignedDuration::from_secs(60);
        store
            .lock(key, version, later)
            .await
            .map_err(|e| e.to_string())?;
        match inspect(store, key, version).await?.lock {
            Lock::Compliance(until) if until >= later => Ok(()),
            lock => Err(format!("the lock is {lock:?}")),
        }
    }

    async fn under_marker(
        &self,
        store: &(impl Destination + Adversary),
        key: &str,
        version: &str,
    ) -> Result<(), String> {
        match store.lay_delete_marker(key).await {
            // A store may refuse to delete at all; then there is nothing to hide.
            Attempt::Refused(_) => return Ok(()),
            Attempt::NoAnswer => return Err("no answer".to_owned()),
            Attempt::Allowed => {}
        }
        let versions = store.versions(key).await.map_err(|e| e.to_string())?;
        if !versions
            .first()
            .is_some_and(|v| v.is_delete_marker && v.is_latest)
        {
            return Err("the listing does not show the marker as the newest version".to_owned());
        }
        if !versions
            .iter()
            .any(|v| v.version_id == version && !v.is_delete_marker)
        {
            return Err("the listing does not show the locked version".to_owned());
        }
        self.is_ours(store, key, version, b"conformance: locked")
            .await
    }

    async fn overlay(
        &self,
        store: &(impl Destination + Adversary),
        key: &str,
        version: &str,
    ) -> Result<(), String> {
        if store.put_unlocked(key, b"conformance: laid over").await == Attempt::NoAnswer {
            return Err("no answer".to_owned());
        }
        self.is_ours(store, key, version, b"conformance: locked")
            .await
    }

    async fn missing(&self, store: &impl Destination, key: &str) -> Result<(), String> {
        // The version of another key: well-formed, and not of this one.
        let other = store
            .versions(&self.key("raced"))
            .await
            .map_err(|e| e.to_string())?;
        let other = other.first().ok_or("no other version to ask for")?;
        match store.inspect(key, &other.version_id).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err("it was found".to_owned()),
            Err(failure) => Err(failure.to_string()),
        }
    }
}

async fn inspect(store: &impl Destination, key: &str, version: &str) -> Result<Stored, String> {
    store
        .inspect(key, version)
        .await
        .map_err(|e| e.to_string())?
        .ok_or_else(|| "the version is missing".to_owned())
}

/// What the store says the bytes are, and what they are when read: a store that is to be trusted
/// must be right in both.
async fn identity(
    store: &impl Destination,
    key: &str,
    version: &str,
    stored: &Stored,
    bytes: &[u8],
) -> Result<(), String> {
    let wanted = Sha256::of(bytes);
    if stored.sha256.is_some_and(|said| said != wanted) {
        return Err("the store reports the digest of other bytes".to_owned());
    }
    let read = store
        .read_back(key, version)
        .await
        .map_err(|e| e.to_string())?;
    if read.sha256 == wanted {
        Ok(())
    } else {
        Err("other bytes are stored".to_owned())
    }
}

fn versioned(put: &Result<Put, Failure>) -> Result<(), String> {
    match put {
        Ok(Put {
            version_id: Some(_),
            ..
        }) => Ok(()),
        Ok(_) => Err("the store names no version".to_owned()),
        Err(failure) => Err(failure.to_string()),
    }
}

fn refused(attempt: &Attempt) -> Result<(), String> {
    match attempt {
        Attempt::Refused(_) => Ok(()),
        Attempt::Allowed => Err("it was allowed".to_owned()),
        Attempt::NoAnswer => Err("no answer".to_owned()),
    }
}
