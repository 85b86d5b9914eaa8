//! Multipart uploads: parts arrive in any order, and one commit makes them a version.

use bytes::Bytes;

use super::body::Reader;
use super::checksum::{Algorithm, Checksum, Kind, Running, RunningSha256, composite};
use super::disk::new_id;
use super::refusal::Refusal;
use super::upload::{Completion, MIN_PART_BYTES, Part, Upload};
use super::version::{Condition, Headers, LockRequest, Version};
use super::{Lock, Store, hex, md5_of, require_object_lock};

pub(crate) fn record_name(upload_id: &str) -> String {
    format!("uploads/{upload_id}.json")
}

impl Store {
    /// Begins an upload and returns its id.
    pub(crate) fn create_upload(
        &self,
        bucket: &str,
        key: &str,
        agreed: (Option<Algorithm>, Kind),
        headers: Headers,
        lock: LockRequest,
    ) -> Result<Upload, Refusal> {
        let mut state = self.state();
        let target = state.bucket_mut(bucket)?;
        if let LockRequest::Asked(lock) = lock
            && lock != Lock::default()
        {
            require_object_lock(&target.settings)?;
        }
        let upload = Upload {
            upload_id: new_id(),
            key: key.to_owned(),
            initiated_at: self.clock.now(),
            algorithm: agreed.0,
            kind: agreed.1,
            parts: Default::default(),
            headers,
            lock,
        };
        self.disk
            .write_record(bucket, &record_name(&upload.upload_id), &upload)?;
        target
            .uploads
            .insert(upload.upload_id.clone(), upload.clone());
        Ok(upload)
    }

    /// An unfinished upload.
    pub(crate) fn upload(&self, bucket: &str, key: &str, id: &str) -> Result<Upload, Refusal> {
        let state = self.state();
        let upload = state
            .bucket(bucket)?
            .uploads
            .get(id)
            .filter(|upload| upload.key == key);
        upload.cloned().ok_or(Refusal::NoSuchUpload)
    }

    /// Stores a part, replacing an earlier one of that number.
    pub(crate) fn put_part(
        &self,
        bucket: &str,
        upload_id: &str,
        number: u16,
        bytes: Bytes,
        checksum: &str,
    ) -> Result<Part, Refusal> {
        let object_id = new_id();
        let part = Part {
            number,
            size_bytes: bytes.len() as u64,
            etag: hex(&md5_of(&bytes)),
            checksum: checksum.to_owned(),
            last_modified: self.clock.now(),
            body: Some(self.disk.write_body(bucket, &object_id, bytes)?),
            object_id,
        };
        let replaced = {
            let mut state = self.state();
            let uploads = &mut state.bucket_mut(bucket)?.uploads;
            let Some(upload) = uploads.get_mut(upload_id) else {
                remove(&part)?;
                return Err(Refusal::NoSuchUpload);
            };
            let mut changed = upload.clone();
            let replaced = changed.parts.insert(number, part.clone());
            self.disk
                .write_record(bucket, &record_name(upload_id), &changed)?;
            *upload = changed;
            replaced
        };
        if let Some(replaced) = replaced {
            remove(&replaced)?;
        }
        Ok(part)
    }

    /// Forgets an upload and its parts.
    pub(crate) fn abort_upload(&self, bucket: &str, key: &str, id: &str) -> Result<(), Refusal> {
        self.upload(bucket, key, id)?;
        let upload = {
            let mut state = self.state();
            let uploads = &mut state.bucket_mut(bucket)?.uploads;
            let upload = uploads.remove(id).ok_or(Refusal::NoSuchUpload)?;
            self.disk.remove_record(bucket, &record_name(id))?;
            upload
        };
        upload.parts.values().try_for_each(remove)
    }

    /// Makes the parts one version, if the condition holds. A refusal keeps the upload, so that
    /// the client can complete it again or abort it.
    pub(crate) fn complete_upload(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
        completion: &Completion,
        condition: &Condition,
        lose_lock: bool,
    ) -> Result<Version, Refusal> {
        let upload = self.upload(bucket, key, upload_id)?;
        let lock = if lose_lock {
            LockRequest::Lost
        } else {
            upload.lock
        };
        let parts = chosen_parts(&upload, completion)?;
        let size_bytes = parts.iter().map(|part| part.size_bytes).sum();
        if completion
            .size_bytes
            .is_some_and(|claimed| claimed != size_bytes)
        {
            return Err(Refusal::InvalidRequest(
                "The provided 'x-amz-mp-object-size' header does not match what was computed"
                    .to_owned(),
            ));
        }

        let object_id = new_id();
        let algorithm = upload.algorithm.unwrap_or(Algorithm::Crc64Nvme);
        let mut whole = Running::new(algorithm);
        let mut stored_sha256 = RunningSha256::default();
        let readers = parts
            .iter()
            .map(|part| open(part))
            .collect::<Result<Vec<_>, _>>()?;
        let body = self
            .disk
            .join_bodies(bucket, &object_id, readers, |piece| {
                whole.update(piece);
                stored_sha256.update(piece);
            })?;
        let checksum = match upload.kind {
            Kind::FullObject => whole.finish(),
            Kind::Composite => {
                let values: Vec<&str> = parts.iter().map(|part| part.checksum.as_str()).collect();
                composite(algorithm, &values).ok_or(Refusal::InvalidPart)?
            }
        };
        if let Err(refusal) = check_claim(completion, algorithm, &checksum) {
            body.remove()?;
            return Err(refusal);
        }
        let digests: Vec<u8> = parts.iter().flat_map(|part| unhex(&part.etag)).collect();
        let version = Version {
            key: key.to_owned(),
            version_id: String::new(),
            sequence: 0,
            is_delete_marker: false,
            size_bytes,
            sha256: stored_sha256.finish(),
            etag: format!("{}-{}", hex(&md5_of(&digests)), parts.len()),
            checksum: Some(Checksum {
                algorithm,
                value: checksum,
                kind: upload.kind,
            }),
            parts_count: u32::try_from(parts.len()).ok(),
            headers: upload.headers.clone(),
            last_modified: self.clock.now(),
            lock: Lock::default(),
            upload_id: Some(upload_id.to_owned()),
            body: Some(body),
            object_id,
        };
        // The commit takes the upload out, so of two racing completions one finds it gone.
        let version = self.commit(bucket, version, lock, condition)?;
        self.disk.remove_record(bucket, &record_name(upload_id))?;
        upload.parts.values().try_for_each(remove)?;
        Ok(version)
    }
}

/// The parts that the client named, checked against what was uploaded.
fn chosen_parts<'a>(upload: &'a Upload, said: &Completion) -> Result<Vec<&'a Part>, Refusal> {
    if !said.parts.is_sorted_by(|a, b| a.number < b.number) {
        return Err(Refusal::InvalidPartOrder);
    }
    let mut parts = Vec::new();
    for named in &said.parts {
        let part = upload
            .parts
            .get(&named.number)
            .filter(|part| part.etag == named.etag);
        let part = part.ok_or(Refusal::InvalidPart)?;
        if upload.kind == Kind::Composite && named.checksum.is_none() {
            let algorithm = upload
                .algorithm
                .map_or("", Algorithm::as_str)
                .to_lowercase();
            return Err(Refusal::InvalidRequest(format!(
                "The upload was created using a {algorithm} checksum. The complete request must \
                 include the checksum for each part. It was missing for part {} in the request.",
                named.number
            )));
        }
        if named
            .checksum
            .as_ref()
            .is_some_and(|claimed| *claimed != part.checksum)
        {
            return Err(Refusal::InvalidPart);
        }
        parts.push(part);
    }
    let all_but_last = parts.len().saturating_sub(1);
    if parts
        .iter()
        .take(all_but_last)
        .any(|part| part.size_bytes < MIN_PART_BYTES)
    {
        return Err(Refusal::EntityTooSmall);
    }
    Ok(parts)
}

/// Checks the checksum header of the complete request; a composite one may lack its `-N`.
fn check_claim(said: &Completion, algorithm: Algorithm, computed: &str) -> Result<(), Refusal> {
    let Some((claimed_by, claimed)) = &said.checksum else {
        return Ok(());
    };
    if *claimed_by != algorithm {
        return Err(Refusal::InvalidRequest(format!(
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            algorithm.as_str().to_lowercase(),
            claimed_by.as_str().to_lowercase()
        )));
    }
    let bare = computed.split_once('-').map_or(computed, |(bare, _)| bare);
    if claimed == computed || claimed == bare {
        return Ok(());
    }
    Err(Refusal::BadDigest(format!(
        "The {} you specified did not match the calculated checksum.",
        algorithm.as_str()
    )))
}

fn open(part: &Part) -> Result<Reader, Refusal> {
    Ok(part.body.as_ref().ok_or(Refusal::InvalidPart)?.open_at(0)?)
}

fn remove(part: &Part) -> Result<(), Refusal> {
    Ok(part.body.as_ref().map_or(Ok(()), super::Body::remove)?)
}

/// The raw digest of an ETag that this store made.
fn unhex(etag: &str) -> Vec<u8> {
    let pairs = etag.as_bytes().chunks_exact(2);
    pairs
        .filter_map(|p| u8::from_str_radix(std::str::from_utf8(p).ok()?, 16).ok())
        .collect()
}
