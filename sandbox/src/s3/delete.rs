//! DeleteObject and DeleteObjects.

use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    Error,
};
use s3s::{S3Request, S3Result};

use super::claim::check_xml;
use super::{Operations, access, exchange, refuse};

/// What one DeleteObjects may name (Amazon S3 API, DeleteObjects).
const MAX_OBJECTS: usize = 1000;

pub(super) async fn one(
    operations: &Operations,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<DeleteObjectOutput> {
    let exchange = exchange(&request);
    let input = request.input;
    if input.if_match.is_some() {
        return Err(refuse::with(
            "NotImplemented",
            "Conditional deletes are not implemented",
        ));
    }
    let bypass = access::bypass(&exchange, input.bypass_governance_retention)?;
    let deleted = operations
        .blocking(move |store| {
            store.delete(
                &input.bucket,
                &input.key,
                input.version_id.as_deref(),
                bypass,
            )
        })
        .await?;
    Ok(DeleteObjectOutput {
        delete_marker: deleted.is_delete_marker.then_some(true),
        version_id: deleted.version_id,
        ..DeleteObjectOutput::default()
    })
}

pub(super) async fn many(
    operations: &Operations,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<DeleteObjectsOutput> {
    let exchange = exchange(&request);
    check_xml(&exchange, &request.headers)?;
    let input = request.input;
    if input.delete.objects.len() > MAX_OBJECTS {
        return Err(refuse::with(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published \
             schema",
        ));
    }
    operations
        .store
        .settings(&input.bucket)
        .map_err(refuse::error)?;
    let bypass = access::bypass(&exchange, input.bypass_governance_retention)?;
    let quiet = input.delete.quiet == Some(true);
    let key_prefix = exchange
        .inner()
        .identity
        .as_ref()
        .map(|i| i.key_prefix.clone());
    let key_prefix = key_prefix.unwrap_or_default();
    let may_delete_versions = exchange.may("DeleteObjectVersion");
    operations
        .blocking(move |store| {
            let mut deleted_objects = Vec::new();
            let mut errors = Vec::new();
            for object in input.delete.objects {
                let named = object.version_id.as_deref();
                let permitted =
                    object.key.starts_with(&key_prefix) && (named.is_none() || may_delete_versions);
                let deleted = match permitted {
                    true => store.delete(&input.bucket, &object.key, named, bypass),
                    false => Err(crate::store::Refusal::Locked),
                };
                match deleted {
                    Ok(_) if quiet => {}
                    Ok(deleted) => deleted_objects.push(DeletedObject {
                        delete_marker: deleted.is_delete_marker.then_some(true),
                        delete_marker_version_id: deleted
                            .is_delete_marker
                            .then_some(deleted.version_id)
                            .flatten(),
                        key: Some(object.key),
                        version_id: object.version_id,
                    }),
                    Err(refusal) => errors.push(Error {
                        code: Some(refusal.code().to_owned()),
                        message: Some(refusal.to_string()),
                        key: Some(object.key),
                        version_id: object.version_id,
                    }),
                }
            }
            Ok(DeleteObjectsOutput {
                deleted: Some(deleted_objects),
                errors: (!errors.is_empty()).then_some(errors),
                ..DeleteObjectsOutput::default()
            })
        })
        .await
}
