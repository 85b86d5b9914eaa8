//! How a PUT is carried out for a large object: begin, send what is missing, complete.
//!
//! Why the order is safe: the upload's id is committed before its first part is sent, so a crash at
//! any point leaves an upload that the next run finds; the next run looks at the key's versions
//! before it comes here, so a completion whose answer was lost is adopted and not repeated; every
//! part is compared with the plan before it leaves, and the plan was made of bytes with the order's
//! SHA-256. Nothing shows at the key before the completion, which carries the checksum of the whole
//! and `If-None-Match: *`, so until then a failure is a PUT that changed nothing.
//!
//! One part is in memory at a time, and is paid for like any other body.

use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use destination::{Class, Destination, MultipartEnd, MultipartRequest, PartRequest, UploadedPart};
use jiff::Timestamp;
use tracing::{info, warn};

use super::Answer;
use super::attempt::Run;
use super::body::{self, BodyError};
use super::exchange::content_type;
use super::parts::{Fate, Parts, after_completion, after_part};
use super::pass::{self, Wanted};
use super::plan::{Plan, PlannedPart, crc64nvme, part_bytes};
use super::progress::Progress;
use super::unsent::Unsent;
use super::verdict::chain;
use crate::delivery::{Delivery, Upload};

impl<D: Destination> Run<'_, D> {
    /// The plan for a delivery, cut as its upload was, or as a new one will be.
    pub(super) async fn plan(&self, delivery: &Delivery) -> Result<Arc<Plan>, Unsent> {
        let part_bytes = delivery.upload.as_ref().map_or_else(
            || part_bytes(delivery.size_bytes, self.route.policy.part_min_bytes),
            |upload| upload.part_bytes,
        );
        let wanted = Wanted {
            path: &delivery.path,
            size_bytes: delivery.size_bytes,
            sha256: delivery.sha256,
            part_bytes,
        };
        pass::plan(self.route, wanted, &self.work).await
    }

    pub(super) async fn put_in_parts(
        &mut self,
        delivery: &mut Delivery,
        retain_until: Timestamp,
    ) -> Result<Answer, Unsent> {
        let store = &self.route.destination;
        let key = self.key(delivery);
        let plan = self.plan(delivery).await?;
        if let Some(etag) = plan.etag() {
            self.etags.insert(delivery.delivery_rowid, etag);
        }
        let mut listed = Vec::new();
        if let Some(upload) = delivery.upload.clone() {
            match store.uploaded_parts(&key, &upload.upload_id).await {
                Ok(Some(parts)) => listed = parts,
                Ok(None) => self.end_upload(delivery, Fate::Gone).await?,
                Err(failure) if failure.class == Class::Park => {
                    // The key was listed a moment ago, so it is this permission that lacks. Small
                    // evidence must not wait for it: everything is sent again instead.
                    warn!(
                        bundle = self.bundle_id,
                        destination = self.route.destination_id,
                        path = delivery.path,
                        error = chain(&failure),
                        hint = "allow s3:ListMultipartUploadParts",
                        "what was sent of a large object cannot be listed"
                    );
                    self.end_upload(delivery, Fate::GivenUp).await?;
                }
                Err(failure) => return Ok(Answer::Failed(failure)),
            }
        }
        let upload_id = match &delivery.upload {
            Some(upload) => upload.upload_id.clone(),
            None => {
                let request = MultipartRequest {
                    key: key.clone(),
                    content_type: content_type(delivery.role),
                    retain_until,
                };
                match store.begin_multipart(&request).await {
                    Ok(id) => self.begin_upload(delivery, id, &plan).await?,
                    Err(failure) => return Ok(Answer::Failed(failure)),
                }
            }
        };
        let mut parts = Parts::of(&plan, listed);
        info!(
            bundle = self.bundle_id,
            destination = self.route.destination_id,
            path = delivery.path,
            stored = parts.stored.len(),
            missing = parts.missing.len(),
            part_bytes = plan.part_bytes(),
            "sending in parts"
        );
        let mut sent_bytes = parts.stored_bytes();
        let mut progress = Progress::new(plan.size_bytes(), sent_bytes, Instant::now());
        for part in std::mem::take(&mut parts.missing) {
            if self.route.is_stopping() {
                self.write_progress(delivery, sent_bytes).await?;
                return Err(Unsent::Stopped);
            }
            match self.send_part(delivery, &upload_id, part).await? {
                Ok(stored) => {
                    parts.stored.insert(part.number, stored);
                    sent_bytes += part.size_bytes;
                    self.tell(delivery, &mut progress, sent_bytes).await?;
                }
                Err(failure) => {
                    let (failure, fate) = after_part(failure);
                    if progress.was_made() {
                        self.write_progress(delivery, sent_bytes).await?;
                    }
                    self.end_upload(delivery, fate).await?;
                    return Ok(Answer::Failed(failure));
                }
            }
        }
        let end = MultipartEnd {
            key,
            upload_id,
            parts: parts.into_named(&plan),
            size_bytes: plan.size_bytes(),
            crc64nvme: plan.crc64nvme(),
        };
        match store.complete_multipart(&end).await {
            Ok(put) => Ok(Answer::Put(put)),
            Err(failure) => {
                let (failure, fate) = after_completion(failure);
                self.end_upload(delivery, fate).await?;
                Ok(Answer::Failed(failure))
            }
        }
    }

    /// Reads, compares and sends one part.
    async fn send_part(
        &self,
        delivery: &Delivery,
        upload_id: &str,
        part: PlannedPart,
    ) -> Result<Result<UploadedPart, destination::Failure>, Unsent> {
        let permit = self.route.room_for(part.size_bytes).await?;
        let (folder, path) = (self.route.evidence.clone(), delivery.path.clone());
        let size_bytes = delivery.size_bytes;
        // Made here and not where it is filled: each thread's allocator keeps what was freed to it.
        let room = usize::try_from(part.size_bytes).map_err(|e| BodyError::Unreadable(e.into()))?;
        let buffer = vec![0; room];
        let read = move || read_part(&body::open(&folder, &path, size_bytes)?, part, buffer);
        let bytes = match body::blocking(read).await {
            Ok(Some(bytes)) => bytes,
            // Truncated, or written to: the next run looks at all of it again.
            Ok(None) | Err(BodyError::Differs) => {
                self.route.plans.forget(delivery.sha256);
                return Err(Unsent::Changed);
            }
            Err(error) => return Err(error.into()),
        };
        let request = PartRequest {
            key: self.key(delivery),
            upload_id: upload_id.to_owned(),
            number: part.number,
            body: bytes,
            crc64nvme: part.crc64nvme,
            md5: part.md5,
        };
        let sent = self.route.destination.put_part(&request).await;
        drop(request);
        drop(permit);
        Ok(sent)
    }

    async fn begin_upload(
        &self,
        delivery: &mut Delivery,
        upload_id: String,
        plan: &Plan,
    ) -> Result<String, Unsent> {
        let upload = Upload {
            upload_id: upload_id.clone(),
            part_bytes: plan.part_bytes(),
        };
        let (rowid, written) = (delivery.delivery_rowid, upload.clone());
        self.route
            .writer
            .call(move |ledger| ledger.begin_upload(rowid, &written))
            .await?;
        delivery.upload = Some(upload);
        Ok(upload_id)
    }

    async fn end_upload(&self, delivery: &mut Delivery, fate: Fate) -> Result<(), Unsent> {
        let rowid = delivery.delivery_rowid;
        match fate {
            Fate::Kept => return Ok(()),
            Fate::Gone => {
                self.route
                    .writer
                    .call(move |ledger| ledger.upload_ended(rowid))
                    .await?;
            }
            Fate::GivenUp => {
                self.route
                    .writer
                    .call(move |ledger| ledger.abandon_upload(rowid))
                    .await?;
                self.route.abort_abandoned().await?;
            }
        }
        delivery.upload = None;
        info!(
            bundle = self.bundle_id,
            destination = self.route.destination_id,
            path = delivery.path,
            "the upload in parts is begun anew"
        );
        Ok(())
    }

    async fn tell(
        &mut self,
        delivery: &mut Delivery,
        progress: &mut Progress,
        sent_bytes: u64,
    ) -> Result<(), Unsent> {
        let tell = progress.stored(sent_bytes, Instant::now());
        self.progressed = true;
        self.work.moved();
        if tell.write {
            self.write_progress(delivery, sent_bytes).await?;
        }
        if tell.log {
            info!(
                bundle = self.bundle_id,
                destination = self.route.destination_id,
                path = delivery.path,
                sent_bytes,
                size_bytes = delivery.size_bytes,
                "progress"
            );
        }
        Ok(())
    }

    async fn write_progress(&self, delivery: &mut Delivery, sent_bytes: u64) -> Result<(), Unsent> {
        let rowid = delivery.delivery_rowid;
        self.route
            .writer
            .call(move |ledger| ledger.upload_progressed(rowid, sent_bytes))
            .await?;
        // Parts that arrive end a row of failures, here as in the row.
        delivery.attempts = 0;
        delivery.last_error_code = None;
        Ok(())
    }
}

/// The bytes of a part, if they are still those of the plan.
fn read_part(
    file: &File,
    part: PlannedPart,
    mut buffer: Vec<u8>,
) -> Result<Option<Bytes>, BodyError> {
    body::read_at(file, part.offset_bytes, &mut buffer)?;
    Ok((crc64nvme(&buffer) == part.crc64nvme).then(|| Bytes::from(buffer)))
}
