//! One bundle and all that belongs to it, from the source into the folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use evidence::bundle::{VerifiedBundle, artifact_path};
use evidence::digest::Sha256;

use super::PullError;
use super::file;
use super::record::{Object, digest};
use crate::list::Doubt;
use crate::list::holdings::Held;
use crate::list::reader::{File, Proven, Reader, Reading};
use crate::source::Source;

/// Whoever may read the folder may read these.
const FILE_MODE: u32 = 0o644;

/// What is to be fetched.
pub(super) struct Fetch {
    pub(super) reader: Reader,
    pub(super) folder: PathBuf,
    pub(super) path: String,
    pub(super) held: Held,
    pub(super) sha256: Sha256,
}

/// What was fetched of one bundle, and what could not be.
#[derive(Default)]
pub(super) struct Fetched {
    pub(super) objects: Vec<Object>,
    pub(super) doubts: Vec<(String, Doubt)>,
}

impl Fetch {
    /// The artifacts come first, as in the bucket: a bundle that is here is here with all it has.
    pub(super) async fn run(mut self) -> Result<Fetched, PullError> {
        let mut fetched = Fetched::default();
        let proven = match self.reader.read(&self.path, &self.held).await {
            Reading::Proven(proven) if proven.bundle.sha256() == self.sha256 => proven,
            Reading::Proven(_) => {
                let reason = "its bytes are not those that custody lists".to_owned();
                return Ok(fetched.and(self.path, Doubt::Failed(reason)));
            }
            Reading::UnknownKey(key_id) => {
                let reason = format!("signed by a key that is not trusted: {key_id}");
                return Ok(fetched.and(self.path, Doubt::Failed(reason)));
            }
            Reading::Doubtful(doubt) => return Ok(fetched.and(self.path, doubt)),
        };
        let source = Arc::clone(&self.reader.source);
        self.artifacts(&source, &proven.bundle, &mut fetched)
            .await?;
        let Proven {
            bytes, signature, ..
        } = *proven;
        for (path, file) in [
            (format!("{}.bundle", self.path), signature),
            (self.path.clone(), bytes),
        ] {
            fetched.objects.push(self.write(&path, &file)?);
        }
        Ok(fetched)
    }

    fn write(&self, path: &str, file: &File) -> Result<Object, PullError> {
        let place = self.folder.join(path);
        file::write(&place, &file.bytes, FILE_MODE).map_err(PullError::file(&place))?;
        Ok(Object::new(
            path,
            &file.version_id,
            &file.facts,
            file.bytes.len() as u64,
            Sha256::of(&file.bytes),
        ))
    }

    async fn artifacts(
        &self,
        source: &Source,
        bundle: &VerifiedBundle,
        fetched: &mut Fetched,
    ) -> Result<(), PullError> {
        let mut wanted: Vec<(String, Sha256)> = bundle
            .artifacts()
            .iter()
            .map(|file| {
                (
                    artifact_path(&self.path, file.sha256, &file.name),
                    file.sha256,
                )
            })
            .collect();
        wanted.sort();
        wanted.dedup();
        for (path, sha256) in wanted {
            match self.artifact(source, &path, sha256).await? {
                Ok(object) => fetched.objects.push(object),
                Err(doubt) => fetched.doubts.push((path, doubt)),
            }
        }
        Ok(())
    }

    /// The first version that has the digest which the bundle names.
    async fn artifact(
        &self,
        source: &Source,
        path: &str,
        sha256: Sha256,
    ) -> Result<Result<Object, Doubt>, PullError> {
        let place = self.folder.join(path);
        let mut versions = match versions(source, path).await {
            Ok(versions) => versions,
            Err(doubt) => return Ok(Err(doubt)),
        };
        // They were listed the newest first.
        versions.reverse();
        let mut doubt = Doubt::Failed("the bundle names it, and it is not stored here".to_owned());
        for version_id in versions {
            let file = file::begin(&place).map_err(PullError::file(&place))?;
            let facts = match source.copy(path, &version_id, file.as_file()).await {
                Ok(facts) => facts,
                Err(error) => {
                    doubt = Doubt::CouldNotCheck(evidence::causes(&error));
                    continue;
                }
            };
            let (size_bytes, found) = digest(file.path()).map_err(PullError::file(&place))?;
            if found == sha256 {
                file::finish(file, &place, FILE_MODE).map_err(PullError::file(&place))?;
                return Ok(Ok(Object::new(
                    path,
                    &version_id,
                    &facts,
                    size_bytes,
                    sha256,
                )));
            }
            doubt = Doubt::Failed("its bytes are not those that the bundle names".to_owned());
        }
        Ok(Err(doubt))
    }
}

impl Fetched {
    fn and(mut self, path: String, doubt: Doubt) -> Self {
        self.doubts.push((path, doubt));
        self
    }
}

/// Every version of exactly this object, the newest first.
async fn versions(source: &Source, path: &str) -> Result<Vec<String>, Doubt> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut versions = Vec::new();
    let mut after = None;
    loop {
        let page = source
            .list(&format!("{folder}/"), after.as_ref())
            .await
            .map_err(|error| Doubt::CouldNotCheck(evidence::causes(&error)))?;
        let own = page
            .entries
            .into_iter()
            .filter(|listed| listed.path == path && !listed.is_delete_marker);
        versions.extend(own.map(|listed| listed.version_id));
        after = page.next;
        if after.is_none() {
            return Ok(versions);
        }
    }
}

/// Whether everything of a bundle is here already, going by what was written down and by its bytes.
pub(super) fn is_here(
    folder: &Path,
    path: &str,
    sha256: Sha256,
    record: &super::record::Record,
    key_of: impl Fn(&str) -> Option<evidence::keys::PublicKey>,
) -> bool {
    let signature_path = format!("{path}.bundle");
    let is_recorded = |path: &str| {
        record
            .objects
            .get(path)
            .filter(|object| object.is_in(folder))
    };
    if is_recorded(path).is_none_or(|object| object.sha256 != sha256)
        || is_recorded(&signature_path).is_none()
    {
        return false;
    }
    let (Ok(bytes), Ok(signature)) = (
        std::fs::read(folder.join(path)),
        std::fs::read(folder.join(&signature_path)),
    ) else {
        return false;
    };
    let key = evidence::signature::named_key(&signature)
        .ok()
        .and_then(|id| key_of(&id));
    let Some(bundle) = key.and_then(|key| VerifiedBundle::verify(&bytes, &signature, &key).ok())
    else {
        return false;
    };
    bundle.artifacts().iter().all(|file| {
        let path = artifact_path(path, file.sha256, &file.name);
        is_recorded(&path).is_some_and(|object| object.sha256 == file.sha256)
    })
}
