//! Reading one unit: a bundle with its signature, in every version, or one other object.

use evidence::bundle::BUNDLE_MAX_BYTES;
use evidence::digest::Sha256;
use evidence::record::RECORD_MAX_BYTES;
use evidence::signature::SIGNATURE_MAX_BYTES;
use tokio::sync::Semaphore;

use super::examine::{Signature, Signatures, examine};
use super::ring::Ring;
use crate::code::Code;
use crate::ledger::{Examined, Read, ReadVersion, Signed, Standing, Unit, VersionToRead};
use crate::source::{Source, SourceError};

/// More versions of one key than this are not looked at: nobody has an honest reason for them.
pub(super) const MOST_VERSIONS: usize = 100;
/// Bundles of this size are read one at a time, so that many of them cost no more memory than one.
/// Custody of a busy hour is one: parsed, it takes many times its size.
const LARGE_BYTES: u64 = 256 << 10;

/// What every reading task shares.
pub(super) struct Reader {
    pub(super) source: Source,
    pub(super) ring: Ring,
    pub(super) trust_checksums: bool,
    pub(super) large: Semaphore,
}

/// What came of one unit.
pub(super) struct Done {
    pub(super) read: Read,
    /// How many versions were asked for.
    pub(super) versions: u64,
    /// Every question was met by an outage.
    pub(super) is_outage: bool,
    /// Of what was read and is to be kept until it is written down.
    pub(super) kept_bytes: u64,
}

impl Reader {
    pub(super) async fn read(&self, unit: Unit) -> Done {
        match unit {
            Unit::Object(version) => self.object(version).await,
            Unit::Signed {
                kind,
                path,
                bundles,
                signatures,
            } => self.signed(kind, path, &bundles, &signatures).await,
        }
    }

    async fn object(&self, version: VersionToRead) -> Done {
        let digested = self
            .source
            .digest(&version.path, &version.version_id, self.trust_checksums)
            .await;
        let is_outage = digested.as_ref().is_err_and(SourceError::is_outage);
        let outcome = digested
            .map(|digested| (digested.facts, Some(digested.sha256)))
            .map_err(|error| evidence::causes(&error));
        Done {
            read: Read {
                versions: vec![ReadVersion {
                    version_rowid: version.version_rowid,
                    outcome,
                }],
                ..Read::default()
            },
            versions: 1,
            is_outage,
            kept_bytes: 0,
        }
    }

    async fn signed(
        &self,
        kind: Signed,
        path: String,
        bundles: &[VersionToRead],
        signatures: &[VersionToRead],
    ) -> Done {
        let is_large = bundles.iter().any(|v| v.listed_bytes > LARGE_BYTES);
        // The semaphore is never closed; without a permit it would only cost memory.
        let _one_at_a_time = if is_large {
            self.large.acquire().await.ok()
        } else {
            None
        };
        let mut done = Done {
            read: Read {
                signed: Some((kind, path)),
                ..Read::default()
            },
            versions: (bundles.len() + signatures.len()) as u64,
            is_outage: true,
            kept_bytes: 0,
        };
        let signatures = self.signatures(signatures, &mut done).await;
        for (n, version) in bundles.iter().enumerate() {
            let examined = if n < MOST_VERSIONS {
                self.version(kind, version, &signatures, &mut done).await
            } else {
                too_many(version, &mut done)
            };
            done.read.bundles.push(examined);
        }
        done
    }

    async fn signatures(&self, versions: &[VersionToRead], done: &mut Done) -> Signatures {
        let mut signatures = Signatures::default();
        for (n, version) in versions.iter().enumerate() {
            let read = if n < MOST_VERSIONS {
                self.fetch(version, SIGNATURE_MAX_BYTES, done).await
            } else {
                Err(words(&too_many(version, done).standing))
            };
            match read {
                Ok((facts, Some(bytes))) => signatures.read.push(Signature {
                    version_rowid: version.version_rowid,
                    facts,
                    bytes,
                }),
                // Too long for a signature: one that is none.
                Ok((facts, None)) => signatures.read.push(Signature {
                    version_rowid: version.version_rowid,
                    facts,
                    bytes: Vec::new(),
                }),
                Err(problem) => signatures.unread = Some(problem),
            }
        }
        signatures
    }

    async fn version(
        &self,
        kind: Signed,
        version: &VersionToRead,
        signatures: &Signatures,
        done: &mut Done,
    ) -> Examined {
        let version_rowid = version.version_rowid;
        let max_bytes = match kind {
            Signed::Bundle => BUNDLE_MAX_BYTES,
            Signed::Record => RECORD_MAX_BYTES,
        };
        let standing = match self.fetch(version, max_bytes, done).await {
            Ok((facts, Some(bytes))) => {
                done.kept_bytes += bytes.len() as u64;
                return examine(kind, version_rowid, &facts, &bytes, signatures, &self.ring);
            }
            Ok((_, None)) => Standing::Bad {
                code: Code::TooLarge,
                problem: format!("none is larger than {max_bytes} bytes"),
            },
            Err(problem) => Standing::Unread { problem },
        };
        Examined {
            version_rowid,
            signature_rowid: None,
            standing,
            is_locked: false,
        }
    }

    async fn fetch(
        &self,
        version: &VersionToRead,
        max_bytes: u64,
        done: &mut Done,
    ) -> Result<(crate::source::Facts, Option<Vec<u8>>), String> {
        let fetched = self
            .source
            .fetch(&version.path, &version.version_id, max_bytes)
            .await;
        done.is_outage &= fetched.as_ref().is_err_and(SourceError::is_outage);
        let outcome = match &fetched {
            Ok(fetched) => Ok((
                fetched.facts.clone(),
                fetched.bytes.as_deref().map(Sha256::of),
            )),
            Err(error) => Err(evidence::causes(error)),
        };
        done.read.versions.push(ReadVersion {
            version_rowid: version.version_rowid,
            outcome,
        });
        fetched
            .map(|fetched| (fetched.facts, fetched.bytes))
            .map_err(|error| evidence::causes(&error))
    }
}

fn too_many(version: &VersionToRead, done: &mut Done) -> Examined {
    let problem = format!("only the {MOST_VERSIONS} oldest versions of a key are looked at");
    done.read.versions.push(ReadVersion {
        version_rowid: version.version_rowid,
        outcome: Err(problem.clone()),
    });
    Examined {
        version_rowid: version.version_rowid,
        signature_rowid: None,
        standing: Standing::Unread { problem },
        is_locked: false,
    }
}

fn words(standing: &Standing) -> String {
    match standing {
        Standing::Unread { problem } | Standing::Bad { problem, .. } => problem.clone(),
        Standing::UnknownKey { key_id } => key_id.clone(),
        Standing::Verified { .. } | Standing::Recorded { .. } => String::new(),
    }
}
