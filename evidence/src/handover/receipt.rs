//! Receipts: what the uploader says it found stored and locked.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Sha256;

/// A batch of confirmations, reported by the uploader. Hostile until the agent has matched each
/// entry with an object that it sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Always 1.
    pub receipt_version: u32,
    /// Unique; also the file name, before [`super::RECEIPT_SUFFIX`].
    pub receipt_id: String,
    /// When it was written, by the uploader's clock.
    pub reported_at: Timestamp,
    /// At most [`super::RECEIPT_MAX_CONFIRMATIONS`].
    pub confirmations: Vec<Confirmation>,
}

/// How the identity of the stored bytes was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The server returned the SHA-256 it computed or checked.
    ServerSha256,
    /// The ETag is the MD5 of our bytes or, of an object that was stored in parts, the MD5 of the
    /// parts' MD5s with their number. Never under a key of KMS or the customer's, where the ETag is
    /// something else.
    EtagMd5,
    /// The stored bytes were read back and hashed.
    ReadBack,
}

/// One object, stored and locked at one destination, as read back by version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The order that asked for it.
    pub order_id: String,
    /// The bundle it belongs to.
    pub bundle_id: String,
    /// The object, as in the order.
    pub path: String,
    /// SHA-256 of the stored bytes, as proven by `proof`.
    pub sha256: Sha256,
    /// Stored size in bytes.
    pub size_bytes: u64,
    /// Where.
    pub destination_id: String,
    /// `s3://bucket/key`.
    pub uri: String,
    /// The store's version id.
    pub version_id: String,
    /// The store's ETag, without quotes.
    pub etag: Option<String>,
    /// How identity was proven.
    pub proof: Proof,
    /// Object Lock mode read back; only `COMPLIANCE` is ever confirmed.
    pub object_lock_mode: String,
    /// Read back from the store.
    pub retain_until: Timestamp,
    /// The store's clock when it answered.
    pub server_date: Timestamp,
    /// The uploader's clock when it read the lock back.
    pub confirmed_at: Timestamp,
}

/// Why a file is not a valid receipt.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// Not JSON of the expected form.
    #[error("the receipt is not valid JSON of version 1")]
    Json(#[from] serde_json::Error),
    /// A version this build does not know.
    #[error("receipt version {0} is not known to this version; upgrade the agent")]
    Version(u32),
    /// Larger than the agent reads.
    #[error("the receipt holds {0} confirmations, more than the limit")]
    TooMany(usize),
}

impl Receipt {
    /// The bytes of the receipt file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Parses a receipt file. What it says of each object is still to be matched by the agent.
    ///
    /// # Errors
    /// When the bytes are not a receipt of version 1, or it is over the limit.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let receipt: Self = serde_json::from_slice(bytes)?;
        if receipt.receipt_version != 1 {
            return Err(ReceiptError::Version(receipt.receipt_version));
        }
        if receipt.confirmations.len() > super::RECEIPT_MAX_CONFIRMATIONS {
            return Err(ReceiptError::TooMany(receipt.confirmations.len()));
        }
        Ok(receipt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::{RECEIPT_MAX_BYTES, RECEIPT_MAX_CONFIRMATIONS};

    fn confirmation() -> Confirmation {
        let path = format!("{}/EB-20261121-0001.json", "x".repeat(300));
        Confirmation {
            order_id: "CHAIN-000000000001".to_owned(),
            bundle_id: "EB-20261121-0001".to_owned(),
            uri: format!("s3://bucket/prefix/{path}"),
            path,
            sha256: Sha256::of(b"bytes"),
            size_bytes: 5,
            destination_id: "main".to_owned(),
            version_id: "v".repeat(64),
            etag: None,
            proof: Proof::ServerSha256,
            object_lock_mode: "COMPLIANCE".to_owned(),
            retain_until: Timestamp::UNIX_EPOCH,
            server_date: Timestamp::UNIX_EPOCH,
            confirmed_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn receipt(confirmations: usize) -> Receipt {
        Receipt {
            receipt_version: 1,
            receipt_id: "01JDA0000000000000000000AB".to_owned(),
            reported_at: Timestamp::UNIX_EPOCH,
            confirmations: vec![confirmation(); confirmations],
        }
    }

    #[test]
    fn what_is_written_is_read_back_up_to_the_limit_of_confirmations() {
        for confirmations in [0, 1, RECEIPT_MAX_CONFIRMATIONS] {
            let receipt = receipt(confirmations);
            assert_eq!(Receipt::parse(&receipt.to_bytes()).unwrap(), receipt);
        }
        assert!(matches!(
            Receipt::parse(&receipt(RECEIPT_MAX_CONFIRMATIONS + 1).to_bytes()),
            Err(ReceiptError::TooMany(n)) if n == RECEIPT_MAX_CONFIRMATIONS + 1
        ));
    }

    #[test]
    fn a_full_receipt_is_within_what_the_agent_reads() {
        let bytes = receipt(RECEIPT_MAX_CONFIRMATIONS).to_bytes();
        assert!((bytes.len() as u64) <= RECEIPT_MAX_BYTES, "{}", bytes.len());
        assert!(bytes.ends_with(b"}\n"));
    }

    #[test]
    fn a_receipt_of_another_version_or_with_a_field_too_many_is_refused() {
        let text = String::from_utf8(receipt(1).to_bytes()).unwrap();
        let changed = |from: &str, to: &str| {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            Receipt::parse(changed.as_bytes())
        };
        assert!(matches!(
            changed("\"receipt_version\":1", "\"receipt_version\":2"),
            Err(ReceiptError::Version(2))
        ));
        assert!(matches!(
            changed("\"proof\"", "\"more\":1,\"proof\""),
            Err(ReceiptError::Json(_))
        ));
    }
}
