//! The checksums that S3 computes, checks and echoes.
//!
//! Amazon S3 User Guide, "Checking object integrity": every object carries one checksum. Of a
//! multipart object it is either of the whole bytes (`FULL_OBJECT`, the CRCs only) or of the
//! parts' checksums (`COMPOSITE`, with `-N` appended), which never equals the file's own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use serde::{Deserialize, Serialize};

/// A checksum algorithm of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// CRC-32 (ISO HDLC).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME; what S3 computes by itself when the client sends nothing.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    /// The name in capitals, as in `x-amz-checksum-algorithm`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The request header that carries a value of it.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The algorithm of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str() == text)
    }

    /// Length of a raw value in bytes.
    #[must_use]
    pub const fn size_bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// What a multipart checksum is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// The whole bytes.
    FullObject,
    /// The parts' checksums.
    Composite,
}

impl Kind {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }
}

/// The checksum that S3 keeps with an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// By which algorithm.
    pub algorithm: Algorithm,
    /// Base64, with `-N` appended when composite.
    pub value: String,
    /// Over what.
    pub kind: Kind,
}

/// A checksum over bytes that arrive in pieces.
pub(crate) struct Running {
    algorithm: Algorithm,
    hasher: ChecksumHasher,
}

impl Running {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let mut hasher = ChecksumHasher::default();
        match algorithm {
            Algorithm::Crc32 => hasher.crc32 = Some(Crc32::new()),
            Algorithm::Crc32c => hasher.crc32c = Some(Crc32c::new()),
            Algorithm::Crc64Nvme => hasher.crc64nvme = Some(Crc64Nvme::new()),
            Algorithm::Sha1 => hasher.sha1 = Some(Sha1::new()),
            Algorithm::Sha256 => hasher.sha256 = Some(Sha256::new()),
        }
        Self { algorithm, hasher }
    }

    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
    }

    /// Base64 of the checksum.
    pub(crate) fn finish(self) -> String {
        let sums = self.hasher.finalize();
        let value = match self.algorithm {
            Algorithm::Crc32 => sums.checksum_crc32,
            Algorithm::Crc32c => sums.checksum_crc32c,
            Algorithm::Crc64Nvme => sums.checksum_crc64nvme,
            Algorithm::Sha1 => sums.checksum_sha1,
            Algorithm::Sha256 => sums.checksum_sha256,
        };
        // The hasher returns exactly the sums that `new` switched on.
        value.unwrap_or_default()
    }
}

/// Base64 of the checksum of `bytes`.
#[must_use]
pub fn checksum_of(algorithm: Algorithm, bytes: &[u8]) -> String {
    let mut running = Running::new(algorithm);
    running.update(bytes);
    running.finish()
}

/// Raw MD5 of `bytes` (RFC 1321), for ETags and `Content-MD5`.
#[must_use]
pub fn md5_of(bytes: &[u8]) -> [u8; 16] {
    Md5::checksum(bytes)
}

/// Lower-case hexadecimal SHA-256 of `bytes`.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::checksum(bytes))
}

/// SHA-256 over bytes that arrive in pieces, in lower-case hexadecimal.
#[derive(Default)]
pub(crate) struct RunningSha256(Sha256);

impl RunningSha256 {
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The checksum of checksums of a multipart object: over the raw values, `-N` appended. `None`
/// when a part's value is not Base64.
pub(crate) fn composite(algorithm: Algorithm, parts: &[&str]) -> Option<String> {
    let mut running = Running::new(algorithm);
    for part in parts {
        running.update(&STANDARD.decode(part).ok()?);
    }
    Some(format!("{}-{}", running.finish(), parts.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the CRC catalogue (reveng) and FIPS 180-4 for `123456789`.
    #[test]
    fn every_algorithm_gives_its_published_check_value() {
        let expected = [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64Nvme, "ae8b14860a799888"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (
                Algorithm::Sha256,
                "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
            ),
        ];
        for (algorithm, hexadecimal) in expected {
            let raw = STANDARD
                .decode(checksum_of(algorithm, b"123456789"))
                .unwrap();
            assert_eq!(hex(&raw), hexadecimal, "{}", algorithm.as_str());
            assert_eq!(raw.len(), algorithm.size_bytes());
            assert_eq!(Algorithm::parse(algorithm.as_str()), Some(algorithm));
        }
        assert_eq!(
            hex(&md5_of(b"123456789")),
            "25f9e794323b453885f5181f1b624d0b"
        );
    }

    #[test]
    fn a_composite_checksum_is_not_the_checksum_of_the_whole() {
        let parts = [
            checksum_of(Algorithm::Sha256, b"a"),
            checksum_of(Algorithm::Sha256, b"b"),
        ];
        let whole = checksum_of(Algorithm::Sha256, b"ab");
        let both = composite(Algorithm::Sha256, &[&parts[0], &parts[1]]).unwrap();
        assert!(both.ends_with("-2"));
        assert_ne!(both.trim_end_matches("-2"), whole);
        assert_eq!(composite(Algorithm::Sha256, &["not base64!"]), None);
    }
}
