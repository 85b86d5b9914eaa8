//! A bundle, from the source to a proven one; or why not.

use std::sync::Arc;

use destination::Lock;
use evidence::bundle::{BUNDLE_MAX_BYTES, VerifiedBundle};
use evidence::signature::{self, SIGNATURE_MAX_BYTES};
use jiff::Timestamp;

use super::Doubt;
use super::holdings::{Held, Version};
use super::trust::Trust;
use crate::source::{Facts, Source};

/// A bundle that is proven, with its files as they are stored.
pub(crate) struct Proven {
    pub(crate) bundle: VerifiedBundle,
    pub(crate) bytes: File,
    pub(crate) signature: File,
}

/// One version of a small object, as it was read.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) version_id: Box<str>,
    pub(crate) facts: Facts,
}

/// What came of reading a bundle.
pub(crate) enum Reading {
    /// It is proven, and its key may say it.
    Proven(Box<Proven>),
    /// Signed by a key of this id, which is not trusted, or not yet.
    UnknownKey(String),
    /// It is not evidence, or could not be read.
    Doubtful(Doubt),
}

impl Proven {
    fn is_locked(&self) -> bool {
        [&self.bytes, &self.signature]
            .iter()
            .all(|file| matches!(file.facts.lock, Some(Lock::Compliance(_))))
    }
}

/// So many versions, each with each of its signature, are looked at, the oldest first: nobody makes a
/// search endless.
const MOST_PAIRS: usize = 100;

/// Reads and proves.
pub(crate) struct Reader {
    pub(crate) source: Arc<Source>,
    pub(crate) trust: Trust,
    /// Bundles and signatures that were fetched.
    pub(crate) fetched: u64,
}

impl Reader {
    pub(crate) fn new(source: &Arc<Source>, trust: Trust) -> Self {
        Self {
            source: Arc::clone(source),
            trust,
            fetched: 0,
        }
    }

    /// Of the versions that are proven the oldest that is locked, failing that the oldest, as an audit
    /// takes it: what was laid over it later does not count.
    pub(crate) async fn read(&mut self, path: &str, held: &Held) -> Reading {
        if held.bundles.is_empty() {
            return failed("a signature without its bundle");
        }
        if held.signatures.is_empty() {
            return failed("unsigned: no signature is beside it");
        }
        let count = held.bundles.len() * held.signatures.len();
        let mut best = failed("nothing is stored");
        for pair in 0..count.min(MOST_PAIRS) {
            let bundle = &held.bundles[pair / held.signatures.len()];
            let signature = &held.signatures[pair % held.signatures.len()];
            let reading = self.read_pair(path, bundle, signature).await;
            match &reading {
                Reading::Proven(proven) if count == 1 || proven.is_locked() => return reading,
                Reading::Proven(_) if matches!(best, Reading::Proven(_)) => {}
                Reading::Proven(_) => best = reading,
                _ if matches!(best, Reading::Proven(_)) => {}
                _ => best = reading,
            }
        }
        best
    }

    async fn read_pair(&mut self, path: &str, bundle: &Version, signature: &Version) -> Reading {
        let signature_path = format!("{path}.bundle");
        // Together: over a network each answer takes its time.
        let (bytes, signature) = tokio::join!(
            fetch(&self.source, path, bundle, BUNDLE_MAX_BYTES),
            fetch(
                &self.source,
                &signature_path,
                signature,
                SIGNATURE_MAX_BYTES
            ),
        );
        self.fetched += 2;
        let (bytes, signature) = match (bytes, signature) {
            (Ok(bytes), Ok(signature)) => (bytes, signature),
            (Err(doubt), _) | (_, Err(doubt)) => return Reading::Doubtful(doubt),
        };
        let key_id = match signature::named_key(&signature.bytes) {
            Ok(key_id) => key_id,
            Err(error) => return failed(&evidence::causes(&error)),
        };
        let Some(key) = self.trust.key(&key_id) else {
            return Reading::UnknownKey(key_id);
        };
        let verified = match VerifiedBundle::verify(&bytes.bytes, &signature.bytes, key) {
            Ok(verified) => verified,
            Err(error) => return failed(&evidence::causes(&error)),
        };
        if verified.path() != path {
            return failed(&format!(
                "its own header says that it belongs to {}",
                verified.path()
            ));
        }
        match self.trust.judge(&verified, stored(&bytes, &signature)) {
            Ok(()) => Reading::Proven(Box::new(Proven {
                bundle: verified,
                bytes,
                signature,
            })),
            Err(doubt) => Reading::Doubtful(doubt),
        }
    }

    /// The key that the signature of a bundle names; `None` when that cannot be told.
    pub(crate) async fn named_key(&mut self, path: &str, held: &Held) -> Option<String> {
        let signature = held.signatures.first()?;
        let path = format!("{path}.bundle");
        self.fetched += 1;
        let file = fetch(&self.source, &path, signature, SIGNATURE_MAX_BYTES)
            .await
            .ok()?;
        signature::named_key(&file.bytes).ok()
    }
}

fn failed(reason: &str) -> Reading {
    Reading::Doubtful(Doubt::Failed(reason.to_owned()))
}

/// The store had both at this time.
fn stored(bytes: &File, signature: &File) -> Option<Timestamp> {
    Some(
        bytes
            .facts
            .last_modified?
            .max(signature.facts.last_modified?),
    )
}

async fn fetch(
    source: &Source,
    path: &str,
    version: &Version,
    max_bytes: u64,
) -> Result<File, Doubt> {
    let fetched = source
        .fetch(path, &version.id, max_bytes)
        .await
        .map_err(|error| Doubt::CouldNotCheck(evidence::causes(&error)))?;
    let bytes = fetched
        .bytes
        .ok_or_else(|| Doubt::Failed(format!("larger than {max_bytes} bytes")))?;
    Ok(File {
        bytes: bytes.into(),
        version_id: version.id.clone(),
        facts: fetched.facts,
    })
}
