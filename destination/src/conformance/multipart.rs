//! An object in parts: begun, forgotten, taken up again, completed once, locked, attacked.

use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use evidence::digest::Sha256;
use jiff::SignedDuration;
use md5::Digest as _;

use super::single::{inspect, version_of};
use super::{Adversary, Problem, Report, Suite, refused};
use crate::{
    Class, Destination, Lock, MultipartEnd, MultipartRequest, PartRequest, Put, UploadedPart,
};

/// The least that S3 takes as a part that is not the last.
const PART_BYTES: usize = 5 << 20;
const LAST_BYTES: usize = 1000;

impl Suite {
    pub(super) async fn multipart(
        &self,
        store: &(impl Destination + Adversary),
        report: &mut Report<'_>,
    ) {
        let whole = body();
        let key = self.key("parts");
        let begun = self.send_parts(store, &key, &whole).await;
        let (upload_id, parts) = match begun {
            Ok(begun) => begun,
            Err(problem) => {
                report.say(BEGIN, Err(problem));
                return;
            }
        };
        report.say(BEGIN, Ok(()));
        report.say(
            "the parts of an upload are listed to whoever lost count of them",
            lists(store, &key, &upload_id, &parts).await,
        );
        report.say(
            "a part whose checksum is wrong is refused",
            wrong_part(store, &key, &upload_id).await,
        );
        let end = end(&key, &upload_id, parts, &whole);
        let version = match version_of(store.complete_multipart(&end).await) {
            Ok(version) => version,
            Err(problem) => {
                report.say(COMPLETE, Err(problem));
                return;
            }
        };
        report.say(COMPLETE, Ok(()));
        report.say(
            "an object of several parts is read back as it was sent",
            is_whole(store, &key, &version, &whole).await,
        );
        let locked = report.say(
            "an object of several parts is locked as asked",
            self.is_locked(store, &key, &version).await,
        );
        if !locked {
            report.say(
                "a lock that was dropped can be set afterwards",
                self.set_lock(store, &key, &version).await,
            );
        }
        report.say(
            "deleting the locked version of several parts is refused",
            refused(&store.delete_version(&key, &version).await),
        );
        report.say(
            "an upload that was completed is unknown",
            is_unknown(store, &key, &upload_id).await,
        );
        report.say(
            "a multipart upload to a taken key is refused as occupied",
            self.second_upload(store, &key, &whole).await,
        );
        report.say(
            "completing with a wrong checksum of the whole is refused",
            self.wrong_whole(store, &whole).await,
        );
        report.say(
            "an upload that was given up is unknown",
            self.given_up(store).await,
        );
    }

    async fn begin(&self, store: &impl Destination, key: &str) -> Result<String, Problem> {
        let request = MultipartRequest {
            key: key.to_owned(),
            content_type: "application/octet-stream",
            retain_until: self.until(store),
        };
        Ok(store.begin_multipart(&request).await?)
    }

    async fn send_parts(
        &self,
        store: &impl Destination,
        key: &str,
        whole: &Bytes,
    ) -> Result<(String, Vec<UploadedPart>), Problem> {
        let upload_id = self.begin(store, key).await?;
        let mut parts = Vec::new();
        let pieces = [whole.slice(..PART_BYTES), whole.slice(PART_BYTES..)];
        for (number, piece) in (1..).zip(pieces) {
            parts.push(
                store
                    .put_part(&part(key, &upload_id, number, piece))
                    .await?,
            );
        }
        Ok((upload_id, parts))
    }

    async fn is_locked(
        &self,
        store: &impl Destination,
        key: &str,
        version: &str,
    ) -> Result<(), Problem> {
        let least = self.until(store) - SignedDuration::from_secs(120);
        match inspect(store, key, version).await?.lock {
            Lock::Compliance(until) if until >= least => Ok(()),
            lock => Err(format!("the lock is {lock:?}").into()),
        }
    }

    async fn set_lock(
        &self,
        store: &impl Destination,
        key: &str,
        version: &str,
    ) -> Result<(), Problem> {
        store.lock(key, version, self.until(store)).await?;
        self.is_locked(store, key, version).await
    }

    async fn second_upload(
        &self,
        store: &impl Destination,
        key: &str,
        whole: &Bytes,
    ) -> Result<(), Problem> {
        let (upload_id, parts) = self.send_parts(store, key, whole).await?;
        let result = store
            .complete_multipart(&end(key, &upload_id, parts, whole))
            .await;
        // Whatever it answered: parts that are left over cost money.
        store.abort_multipart(key, &upload_id).await?;
        match result {
            Err(failure) if failure.class == Class::Occupied => Ok(()),
            Err(failure) => Err(failure.into()),
            Ok(_) => Err("the store ignores If-None-Match there".into()),
        }
    }

    async fn wrong_whole(&self, store: &impl Destination, whole: &Bytes) -> Result<(), Problem> {
        let key = self.key("wrong-whole");
        let (upload_id, parts) = self.send_parts(store, &key, whole).await?;
        let mut wrong = end(&key, &upload_id, parts, whole);
        wrong.crc64nvme ^= 1;
        let result = store.complete_multipart(&wrong).await;
        store.abort_multipart(&key, &upload_id).await?;
        match result {
            Err(failure) if matches!(failure.class, Class::BlockItem | Class::ConflictRetry) => {
                Ok(())
            }
            Err(failure) => Err(failure.into()),
            Ok(Put { .. }) => Err("it was accepted".into()),
        }
    }

    async fn given_up(&self, store: &impl Destination) -> Result<(), Problem> {
        let key = self.key("given-up");
        let upload_id = self.begin(store, &key).await?;
        store.abort_multipart(&key, &upload_id).await?;
        is_unknown(store, &key, &upload_id).await?;
        // Again: a retry of what succeeded is no failure.
        Ok(store.abort_multipart(&key, &upload_id).await?)
    }
}

const BEGIN: &str = "a locked multipart upload takes parts";
const COMPLETE: &str = "the parts become one version of a free key";

/// Not the same byte everywhere, so that parts in a wrong order would be noticed.
fn body() -> Bytes {
    let pattern = |n: usize| (n % 251) as u8;
    (0..PART_BYTES + LAST_BYTES).map(pattern).collect()
}

fn crc(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

fn part(key: &str, upload_id: &str, number: u32, body: Bytes) -> PartRequest {
    PartRequest {
        key: key.to_owned(),
        upload_id: upload_id.to_owned(),
        number,
        crc64nvme: crc(&body),
        md5: Some(md5::Md5::digest(&body).into()),
        body,
    }
}

fn end(key: &str, upload_id: &str, parts: Vec<UploadedPart>, whole: &Bytes) -> MultipartEnd {
    MultipartEnd {
        key: key.to_owned(),
        upload_id: upload_id.to_owned(),
        parts,
        size_bytes: whole.len() as u64,
        crc64nvme: crc(whole),
    }
}

async fn lists(
    store: &impl Destination,
    key: &str,
    upload_id: &str,
    sent: &[UploadedPart],
) -> Result<(), Problem> {
    let Some(listed) = store.uploaded_parts(key, upload_id).await? else {
        return Err("the store does not know the upload".into());
    };
    let known = |parts: &[UploadedPart]| {
        let key = |p: &UploadedPart| (p.number, p.etag.clone(), p.size_bytes);
        parts.iter().map(key).collect::<Vec<_>>()
    };
    if known(&listed) == known(sent) {
        Ok(())
    } else {
        Err(format!("sent {:?}, listed {:?}", known(sent), known(&listed)).into())
    }
}

async fn wrong_part(store: &impl Destination, key: &str, upload_id: &str) -> Result<(), Problem> {
    let mut wrong = part(key, upload_id, 3, Bytes::from_static(b"conformance: part"));
    wrong.crc64nvme ^= 1;
    match store.put_part(&wrong).await {
        Err(failure) if failure.class == Class::BlockItem => Ok(()),
        Err(failure) => Err(failure.into()),
        Ok(_) => Err("it was accepted".into()),
    }
}

async fn is_whole(
    store: &impl Destination,
    key: &str,
    version: &str,
    whole: &Bytes,
) -> Result<(), Problem> {
    let read = store.read_back(key, version).await?;
    if read.sha256 == Sha256::of(whole) && read.size_bytes == whole.len() as u64 {
        Ok(())
    } else {
        Err("other bytes are stored".into())
    }
}

async fn is_unknown(store: &impl Destination, key: &str, upload_id: &str) -> Result<(), Problem> {
    match store.uploaded_parts(key, upload_id).await? {
        None => Ok(()),
        Some(parts) => Err(format!("it is known, with {} parts", parts.len()).into()),
    }
}
