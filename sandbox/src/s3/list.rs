//! ListObjectsV2 and ListObjectVersions.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CommonPrefix, DeleteMarkerEntry, EncodingType,
    ListObjectVersionsInput, ListObjectVersionsOutput, ListObjectsV2Input, ListObjectsV2Output,
    Object, ObjectStorageClass, ObjectVersion, ObjectVersionStorageClass,
};
use s3s::{S3Request, S3Result};

use super::{Operations, refuse, values};
use crate::store::{Listing, Version};

/// A page has at most that many entries (Amazon S3 API, ListObjectsV2).
const MAX_KEYS: i32 = 1000;

pub(super) async fn objects(
    operations: &Operations,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<ListObjectsV2Output> {
    let input = request.input;
    let max_keys = max_keys(input.max_keys)?;
    let marker = match &input.continuation_token {
        None => input.start_after.clone(),
        Some(token) => {
            let key = URL_SAFE_NO_PAD.decode(token).ok();
            let key = key.and_then(|bytes| String::from_utf8(bytes).ok());
            Some(key.ok_or_else(|| {
                refuse::with(
                    "InvalidArgument",
                    "The continuation token provided is incorrect",
                )
            })?)
        }
    };
    let listing = Listing {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone(),
        key_marker: marker,
        version_marker: None,
        max_entries: max_keys as usize,
    };
    let bucket = input.bucket.clone();
    let page = operations
        .blocking(move |store| store.list_current(&bucket, &listing))
        .await?;
    let encode = Encode::new(input.encoding_type.as_ref())?;
    let contents: Vec<Object> = page
        .entries
        .iter()
        .map(|(version, _)| Object {
            checksum_algorithm: algorithms(version),
            checksum_type: checksum_type(version),
            e_tag: Some(values::etag(version)),
            key: Some(encode.text(&version.key)),
            last_modified: Some(values::to_dto(version.last_modified)),
            size: i64::try_from(version.size_bytes).ok(),
            storage_class: Some(ObjectStorageClass::from_static(
                ObjectStorageClass::STANDARD,
            )),
            ..Object::default()
        })
        .collect();
    let key_count = i32::try_from(contents.len() + page.groups.len()).ok();
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encode.text(&input.prefix.unwrap_or_default())),
        max_keys: Some(max_keys),
        key_count,
        continuation_token: input.continuation_token,
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.map(|(key, _)| URL_SAFE_NO_PAD.encode(key)),
        contents: Some(contents),
        common_prefixes: Some(common_prefixes(&page.groups, &encode)),
        delimiter: input.delimiter.as_deref().map(|text| encode.text(text)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.as_deref().map(|text| encode.text(text)),
        ..ListObjectsV2Output::default()
    })
}

pub(super) async fn versions(
    operations: &Operations,
    request: S3Request<ListObjectVersionsInput>,
) -> S3Result<ListObjectVersionsOutput> {
    let input = request.input;
    let max_keys = max_keys(input.max_keys)?;
    let key_marker = input.key_marker.clone().filter(|marker| !marker.is_empty());
    let version_marker = input
        .version_id_marker
        .clone()
        .filter(|marker| !marker.is_empty());
    if version_marker.is_some() && key_marker.is_none() {
        return Err(refuse::with(
            "InvalidArgument",
            "A version-id marker cannot be specified without a key marker.",
        ));
    }
    let listing = Listing {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone(),
        key_marker,
        version_marker,
        max_entries: max_keys as usize,
    };
    let bucket = input.bucket.clone();
    let page = operations
        .blocking(move |store| store.list_versions(&bucket, &listing))
        .await?;
    let encode = Encode::new(input.encoding_type.as_ref())?;
    let mut versions = Vec::new();
    let mut delete_markers = Vec::new();
    for (version, is_latest) in &page.entries {
        let key = Some(encode.text(&version.key));
        let last_modified = Some(values::to_dto(version.last_modified));
        let version_id = Some(version.version_id.clone());
        if version.is_delete_marker {
            delete_markers.push(DeleteMarkerEntry {
                is_latest: Some(*is_latest),
                key,
                last_modified,
                version_id,
                ..DeleteMarkerEntry::default()
            });
        } else {
            let class = ObjectVersionStorageClass::STANDARD;
            versions.push(ObjectVersion {
                checksum_algorithm: algorithms(version),
                checksum_type: checksum_type(version),
                e_tag: Some(values::etag(version)),
                is_latest: Some(*is_latest),
                key,
                last_modified,
                size: i64::try_from(version.size_bytes).ok(),
                storage_class: Some(ObjectVersionStorageClass::from_static(class)),
                version_id,
                ..ObjectVersion::default()
            });
        }
    }
    let (next_key, next_version) = page.next.clone().unzip();
    Ok(ListObjectVersionsOutput {
        common_prefixes: Some(common_prefixes(&page.groups, &encode)),
        delete_markers: Some(delete_markers),
        delimiter: input.delimiter.as_deref().map(|text| encode.text(text)),
        encoding_type: input.encoding_type,
        is_truncated: Some(page.next.is_some()),
        key_marker: Some(encode.text(&input.key_marker.unwrap_or_default())),
        max_keys: Some(max_keys),
        name: Some(input.bucket),
        next_key_marker: next_key.map(|key| encode.text(&key)),
        next_version_id_marker: next_version.flatten(),
        prefix: Some(encode.text(&input.prefix.unwrap_or_default())),
        version_id_marker: input.version_id_marker,
        versions: Some(versions),
        ..ListObjectVersionsOutput::default()
    })
}

fn max_keys(asked: Option<i32>) -> S3Result<i32> {
    match asked.unwrap_or(MAX_KEYS) {
        asked if asked < 0 => Err(refuse::with(
            "InvalidArgument",
            "Argument maxKeys must be an integer between 0 and 2147483647",
        )),
        asked => Ok(asked.min(MAX_KEYS)),
    }
}

fn algorithms(version: &Version) -> Option<Vec<ChecksumAlgorithm>> {
    let checksum = version.checksum.as_ref()?;
    Some(vec![ChecksumAlgorithm::from_static(
        checksum.algorithm.as_str(),
    )])
}

fn checksum_type(version: &Version) -> Option<ChecksumType> {
    version
        .checksum
        .as_ref()
        .map(|checksum| ChecksumType::from_static(checksum.kind.as_str()))
}

fn common_prefixes(groups: &[String], encode: &Encode) -> Vec<CommonPrefix> {
    groups
        .iter()
        .map(|group| CommonPrefix {
            prefix: Some(encode.text(group)),
        })
        .collect()
}

/// `encoding-type=url`: keys percent-encoded, since XML cannot hold every character.
pub(super) struct Encode {
    url: bool,
}

impl Encode {
    pub(super) fn new(asked: Option<&EncodingType>) -> S3Result<Self> {
        match asked.map(EncodingType::as_str) {
            None => Ok(Self { url: false }),
            Some(EncodingType::URL) => Ok(Self { url: true }),
            Some(_) => Err(refuse::with(
                "InvalidArgument",
                "Invalid Encoding Method specified in Request",
            )),
        }
    }

    pub(super) fn text(&self, text: &str) -> String {
        if !self.url {
            return text.to_owned();
        }
        let mut encoded = String::with_capacity(text.len());
        for byte in text.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                    encoded.push(char::from(byte));
                }
                _ => encoded.push_str(&format!("%{byte:02X}")),
            }
        }
        encoded
    }
}
