//! Uploads that were given up are aborted, so that nobody pays for their parts. As well as can be:
//! evidence does not depend on it, and the bucket's lifecycle rule clears away what stays.

use destination::{Class, Destination};
use tracing::{info, warn};

use super::parcel::Route;
use super::verdict::chain;
use crate::delivery::DeliveryError;

/// Most in one go.
const AT_ONCE: usize = 16;

impl<D: Destination> Route<D> {
    /// Aborts what was given up at this destination. What the store cannot be asked now waits for
    /// the next look at the bucket.
    ///
    /// # Errors
    /// When delivery.db cannot be read or written.
    pub(crate) async fn abort_abandoned(&self) -> Result<(), DeliveryError> {
        let destination_rowid = self.destination_rowid;
        let abandoned = self
            .writer
            .call(move |ledger| ledger.abandoned_uploads(destination_rowid, AT_ONCE))
            .await?;
        for upload in abandoned {
            let key = format!("{}{}", self.prefix, upload.path);
            let destination = &self.destination_id;
            let path = &upload.path;
            match self
                .destination
                .abort_multipart(&key, &upload.upload_id)
                .await
            {
                Ok(()) => info!(destination, path, "an upload in parts was aborted"),
                Err(failure) => {
                    let is_refused = matches!(failure.class, Class::Park | Class::BlockItem);
                    warn!(
                        destination,
                        path,
                        upload = upload.upload_id,
                        error = chain(&failure),
                        hint = "give the bucket a lifecycle rule that aborts incomplete multipart \
                                uploads, and the credentials s3:AbortMultipartUpload",
                        "an upload in parts that is no longer needed could not be aborted"
                    );
                    if !is_refused {
                        return Ok(());
                    }
                }
            }
            let rowid = upload.upload_rowid;
            self.writer
                .call(move |ledger| ledger.forget_abandoned(rowid))
                .await?;
        }
        Ok(())
    }
}
