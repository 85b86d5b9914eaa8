//! S3's operations over the store: what `s3s` parses and serialises, decided here.
//!
//! Operations that are not here answer `NotImplemented`.

mod access;
mod bucket;
mod claim;
mod delete;
mod list;
mod lock;
mod multipart;
mod precondition;
mod put;
mod read;
mod refuse;
mod values;

use std::sync::Arc;

use s3s::config::{S3Config, StaticConfigProvider};
use s3s::dto::*;
use s3s::host::SingleDomain;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Error, S3Request, S3Response, S3Result};

pub(crate) use access::parameter;

use crate::clock::Clock;
use crate::endpoint::Exchange;
use crate::faults::Faults;
use crate::identity::Identities;
use crate::request_log::RequestLog;
use crate::store::{Refusal, Store};

/// Puts the S3 service together.
pub(crate) fn service(
    store: &Arc<Store>,
    clock: &Clock,
    identities: &Identities,
    faults: &Arc<Faults>,
    log: &Arc<RequestLog>,
    domain: Option<SingleDomain>,
) -> S3Service {
    let operations = Operations {
        store: Arc::clone(store),
        clock: clock.clone(),
    };
    let mut builder = S3ServiceBuilder::new(operations);
    builder.set_auth(access::Auth(identities.clone()));
    builder.set_access(access::Gatekeeper {
        identities: identities.clone(),
        faults: Arc::clone(faults),
        log: Arc::clone(log),
    });
    // The skew is checked against the sandbox's own clock, before s3s sees the request.
    let mut config = S3Config::default();
    config.presigned_url_max_skew_time_secs = u32::MAX;
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    if let Some(domain) = domain {
        builder.set_host(domain);
    }
    builder.build()
}

/// The operations of one endpoint.
struct Operations {
    store: Arc<Store>,
    clock: Clock,
}

impl Operations {
    /// Runs work on the store where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, Refusal> + Send + 'static,
    ) -> S3Result<T> {
        self.checked(move |store| work(store).map_err(refuse::error))
            .await
    }

    /// As `blocking`, for work that also checks the request.
    async fn checked<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> S3Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let store = Arc::clone(&self.store);
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.unwrap_or_else(|failed| Err(S3Error::internal_error(failed)))
    }
}

/// What the layers noted about this request. Requests that did not pass them have none.
fn exchange<T>(request: &S3Request<T>) -> Exchange {
    request
        .extensions
        .get::<Exchange>()
        .cloned()
        .unwrap_or_default()
}

macro_rules! operations {
    ($($name:ident($input:ty) -> $output:ty = $function:path;)*) => {
        #[async_trait::async_trait]
        impl S3 for Operations {
            $(async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                $function(self, request).await.map(S3Response::new)
            })*
        }
    };
}

operations! {
    create_bucket(CreateBucketInput) -> CreateBucketOutput = bucket::create;
    head_bucket(HeadBucketInput) -> HeadBucketOutput = bucket::head;
    list_buckets(ListBucketsInput) -> ListBucketsOutput = bucket::list;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput = bucket::location;
    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput
        = bucket::get_versioning;
    put_bucket_versioning(PutBucketVersioningInput) -> PutBucketVersioningOutput
        = bucket::put_versioning;
    get_object_lock_configuration(GetObjectLockConfigurationInput)
        -> GetObjectLockConfigurationOutput = bucket::get_lock_configuration;
    put_object_lock_configuration(PutObjectLockConfigurationInput)
        -> PutObjectLockConfigurationOutput = bucket::put_lock_configuration;
    put_object(PutObjectInput) -> PutObjectOutput = put::put;
    head_object(HeadObjectInput) -> HeadObjectOutput = read::head;
    get_object(GetObjectInput) -> GetObjectOutput = read::get;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput = delete::one;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput = delete::many;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output = list::objects;
    list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput = list::versions;
    get_object_retention(GetObjectRetentionInput) -> GetObjectRetentionOutput
        = lock::get_retention;
    put_object_retention(PutObjectRetentionInput) -> PutObjectRetentionOutput
        = lock::put_retention;
    get_object_legal_hold(GetObjectLegalHoldInput) -> GetObjectLegalHoldOutput
        = lock::get_legal_hold;
    put_object_legal_hold(PutObjectLegalHoldInput) -> PutObjectLegalHoldOutput
        = lock::put_legal_hold;
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput
        = multipart::create;
    upload_part(UploadPartInput) -> UploadPartOutput = multipart::upload_part;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput
        = multipart::complete;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput
        = multipart::abort;
    list_parts(ListPartsInput) -> ListPartsOutput = multipart::list_parts;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput
        = multipart::list_uploads;
}
