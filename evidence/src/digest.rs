//! SHA-256 and HMAC-SHA-256, the only digests the product attests (FIPS 180-4, FIPS 198-1).
//!
//! One place, so that every crate spells and compares digests the same way: lower-case
//! hexadecimal in JSON, and constant-time comparison is not needed because no digest here is
//! a secret.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A SHA-256 digest (32 bytes), shown and serialised as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
        Self(out)
    }

    /// A digest that was computed elsewhere, for example read back from a database.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// `sha256:` followed by the hexadecimal digits, as bundles write content identities.
    #[must_use]
    pub fn prefixed(&self) -> String {
        format!("sha256:{self}")
    }

    /// The inverse of [`Sha256::prefixed`]; `None` unless it is exactly of that form.
    #[must_use]
    pub fn from_prefixed(text: &str) -> Option<Self> {
        text.strip_prefix("sha256:")?.parse().ok()
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

/// The text was not 64 lower-case hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("not a SHA-256 digest: expected 64 lower-case hexadecimal digits")]
pub struct NotADigest;

impl FromStr for Sha256 {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        if text.len() != 64 || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(NotADigest);
        }
        let mut out = [0; 32];
        hex::decode_to_slice(text, &mut out).map_err(|_| NotADigest)?;
        Ok(Self(out))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// SHA-256 over bytes that arrive in pieces.
pub struct Sha256Stream(aws_lc_rs::digest::Context);

impl Default for Sha256Stream {
    fn default() -> Self {
        Self(aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256))
    }
}

impl Sha256Stream {
    /// Adds the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The digest of everything added.
    #[must_use]
    pub fn finish(self) -> Sha256 {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        Sha256(out)
    }
}

/// The client's secret for keyed digests (32 bytes).
///
/// A bare hash of unscreened text can be found again by guessing; an HMAC under a key that never
/// leaves the host cannot. Losing the key loses correlation only, never evidence.
#[derive(zeroize::ZeroizeOnDrop)]
pub struct DigestKey([u8; 32]);

impl DigestKey {
    /// Wraps the 32 secret bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key from its file's text: 64 hexadecimal digits.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self, NotADigest> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotADigest)?;
        Ok(Self(bytes))
    }

    /// A new random key, from the operating system's generator.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(Self(bytes))
    }

    /// The secret itself, for writing the key file only.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// HMAC-SHA-256 of `bytes` under this key.
    #[must_use]
    pub fn hmac(&self, bytes: &[u8]) -> Sha256 {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &self.0);
        let mut out = [0; 32];
        out.copy_from_slice(aws_lc_rs::hmac::sign(&key, bytes).as_ref());
        Sha256(out)
    }
}

/// The operating system's random generator failed.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_abc_is_the_fips_180_4_vector() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256::of(b"abc").to_string(), expected);
        let mut stream = Sha256Stream::default();
        stream.update(b"a");
        stream.update(b"bc");
        assert_eq!(stream.finish(), expected.parse().unwrap());
    }

    #[test]
    fn a_digest_parses_only_from_64_lower_case_hex_digits() {
        let good = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(good.parse::<Sha256>().is_ok());
        assert!(good.to_uppercase().parse::<Sha256>().is_err());
        assert!(good[1..].parse::<Sha256>().is_err());
        assert!(Sha256::from_prefixed(good).is_none());
        assert!(Sha256::from_prefixed(&format!("sha256:{good}")).is_some());
    }

    #[test]
    fn hmac_matches_rfc_4231_test_case_2_when_the_key_is_padded() {
        // RFC 4231 pads short keys with zeros, so "Jefe" and its zero-padded form agree.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mac = DigestKey::from_bytes(key).hmac(b"what do ya want for nothing?");
        assert_eq!(
            mac.to_string(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_digest_reads_back_from_each_form_that_it_is_written_in() {
        let digest = Sha256::of(b"abc");
        assert_eq!(digest.prefixed(), format!("sha256:{OF_ABC}"));
        assert_eq!(Sha256::from_prefixed(&digest.prefixed()), Some(digest));
        assert_eq!(hex::encode(digest.as_bytes()), OF_ABC);
        assert_eq!(Sha256::from_bytes(*digest.as_bytes()), digest);
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{OF_ABC}\""));
        assert_eq!(serde_json::from_str::<Sha256>(&json).unwrap(), digest);
        assert!(serde_json::from_str::<Sha256>("\"abc\"").is_err());
        assert_eq!(format!("{digest:?}"), format!("Sha256({OF_ABC})"));
    }

    #[test]
    fn a_digest_key_is_random_and_comes_back_from_its_64_digits() {
        let key = DigestKey::generate().unwrap();
        assert_ne!(key.expose(), DigestKey::generate().unwrap().expose());
        let text = hex::encode(key.expose());
        let again = DigestKey::from_hex(&text).unwrap();
        assert_eq!(again.expose(), key.expose());
        assert_eq!(again.hmac(b"drop"), key.hmac(b"drop"));
        for bad in [
            "",
            "00",
            &text[1..],
            &format!("{text}0"),
            &text.replace(&text[..1], "g"),
        ] {
            assert!(DigestKey::from_hex(bad).is_err(), "{bad}");
        }
    }
}
