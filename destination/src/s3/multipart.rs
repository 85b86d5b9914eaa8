//! Objects that are too large for one request (Amazon S3 User Guide, "Uploading and copying
//! objects using multipart upload").
//!
//! The whole object's checksum is CRC-64/NVME, the only one besides the other CRCs that S3 knows
//! of the whole: a multipart SHA-256 is composite. Each part carries its own, and Content-MD5.

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, ObjectLockMode, Part,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::S3Destination;
use super::answer::{etag, sha256_of, whole_seconds};
use super::body;
use super::classify::{Call, classify};
use super::version;
use crate::{Failure, MultipartEnd, MultipartRequest, PartRequest, Put, UploadedPart};

impl S3Destination {
    pub(super) async fn begin(&self, request: &MultipartRequest) -> Result<String, Failure> {
        let operation = "CreateMultipartUpload";
        let retain_until = DateTime::from_secs(whole_seconds(request.retain_until));
        let (encryption, key_id) = self.encryption();
        let answer = self
            .client()
            .create_multipart_upload()
            .bucket(self.bucket())
            .key(&request.key)
            .content_type(request.content_type)
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .checksum_type(ChecksumType::FullObject)
            .object_lock_mode(ObjectLockMode::Compliance)
            .object_lock_retain_until_date(retain_until)
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(key_id)
            .send()
            .await
            .map_err(|error| classify(Call::reading(operation), error))?;
        answer.upload_id.filter(|id| !id.is_empty()).ok_or_else(|| {
            let message = "the store began an upload and does not tell its id";
            self.half_answer(operation, "NoUploadId", message)
        })
    }

    pub(super) async fn part(&self, request: &PartRequest) -> Result<UploadedPart, Failure> {
        let operation = "UploadPart";
        let size_bytes = request.body.len() as u64;
        let answer = self
            .client()
            .upload_part()
            .bucket(self.bucket())
            .key(&request.key)
            .upload_id(&request.upload_id)
            .part_number(part_number(request.number))
            .content_length(i64::try_from(size_bytes).unwrap_or(i64::MAX))
            .body(body::in_pieces(&request.body))
            .checksum_crc64_nvme(to_base64(request.crc64nvme))
            .set_content_md5(request.md5.map(|md5| STANDARD.encode(md5)))
            .customize()
            .config_override(self.patient(request.body.len()))
            .send()
            .await
            .map_err(|error| classify(Call::reading(operation), error))?;
        let etag = etag(answer.e_tag()).ok_or_else(|| {
            let message = "the store took a part and does not tell its ETag";
            self.half_answer(operation, "NoETag", message)
        })?;
        Ok(UploadedPart {
            number: request.number,
            etag,
            size_bytes,
            crc64nvme: from_base64(answer.checksum_crc64_nvme()),
        })
    }

    pub(super) async fn parts(
        &self,
        key: &str,
        upload_id: &str,
    ) -> Result<Option<Vec<UploadedPart>>, Failure> {
        let operation = "ListParts";
        let mut found = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let answer = self
                .client()
                .list_parts()
                .bucket(self.bucket())
                .key(key)
                .upload_id(upload_id)
                .set_part_number_marker(marker.clone())
                .send()
                .await;
            let page = match answer {
                Ok(page) => page,
                Err(error) => {
                    let failure = classify(Call::reading(operation), error);
                    return if failure.code == "NoSuchUpload" {
                        Ok(None)
                    } else {
                        Err(failure)
                    };
                }
            };
            found.extend(page.parts().iter().filter_map(uploaded));
            if page.is_truncated() != Some(true) {
                break;
            }
            let next = page.next_part_number_marker;
            if next.is_none() || next == marker {
                let message = "the listing goes on, but does not say where";
                return Err(self.half_answer(operation, "ListingStuck", message));
            }
            marker = next;
        }
        found.sort_by_key(|part| part.number);
        Ok(Some(found))
    }

    pub(super) async fn complete(&self, end: &MultipartEnd) -> Result<Put, Failure> {
        let parts = end.parts.iter().map(|part| {
            CompletedPart::builder()
                .part_number(part_number(part.number))
                .e_tag(&part.etag)
                .set_checksum_crc64_nvme(part.crc64nvme.map(to_base64))
                .build()
        });
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts.collect()))
            .build();
        let answer = self
            .client()
            .complete_multipart_upload()
            .bucket(self.bucket())
            .key(&end.key)
            .upload_id(&end.upload_id)
            .multipart_upload(parts)
            .checksum_type(ChecksumType::FullObject)
            .checksum_crc64_nvme(to_base64(end.crc64nvme))
            .mpu_object_size(i64::try_from(end.size_bytes).unwrap_or(i64::MAX))
            .if_none_match("*")
            .send()
            .await
            .map_err(|error| classify(Call::changing("CompleteMultipartUpload"), error))?;
        Ok(Put {
            version_id: version(answer.version_id()),
            etag: etag(answer.e_tag()),
            sha256: sha256_of(answer.checksum_sha256()),
        })
    }

    pub(super) async fn abort(&self, key: &str, upload_id: &str) -> Result<(), Failure> {
        let answer = self
            .client()
            .abort_multipart_upload()
            .bucket(self.bucket())
            .key(key)
            .upload_id(upload_id)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) => {
                let failure = classify(Call::reading("AbortMultipartUpload"), error);
                if failure.code == "NoSuchUpload" {
                    Ok(())
                } else {
                    Err(failure)
                }
            }
        }
    }
}

fn uploaded(part: &Part) -> Option<UploadedPart> {
    Some(UploadedPart {
        number: part.part_number().and_then(|n| u32::try_from(n).ok())?,
        etag: etag(part.e_tag())?,
        size_bytes: part.size().and_then(|n| u64::try_from(n).ok())?,
        crc64nvme: from_base64(part.checksum_crc64_nvme()),
    })
}

fn part_number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// S3 writes a CRC as its big-endian bytes in base64.
fn to_base64(crc: u64) -> String {
    STANDARD.encode(crc.to_be_bytes())
}

fn from_base64(text: Option<&str>) -> Option<u64> {
    let bytes: [u8; 8] = STANDARD.decode(text?).ok()?.try_into().ok()?;
    Some(u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crc_is_its_big_endian_bytes_in_base64() {
        // The check value of CRC-64/NVME (of "123456789"), as S3 writes it.
        assert_eq!(to_base64(0xae8b_1486_0a79_9888), "rosUhgp5mIg=");
        assert_eq!(
            from_base64(Some("rosUhgp5mIg=")),
            Some(0xae8b_1486_0a79_9888)
        );
        assert_eq!(from_base64(Some("AAAA")), None);
        assert_eq!(from_base64(None), None);
    }
}
