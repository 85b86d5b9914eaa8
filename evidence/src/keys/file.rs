//! cosign's encrypted private key file: PEM around JSON around a NaCl secretbox of PKCS#8.
//!
//! Source: `pkg/cosign/keys.go` of cosign and `encrypted/encrypted.go` of go-tuf, which write
//! scrypt (RFC 7914) with N = 65536 (32768 in older releases), r = 8, p = 1.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::{AeadInPlace, KeyInit};
use crypto_secretbox::{Key, Nonce, XSalsa20Poly1305};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::KeyError;

const LABEL: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
const OLD_LABEL: &str = "ENCRYPTED COSIGN PRIVATE KEY";
const ACCEPTED_N: [u64; 3] = [32_768, 65_536, 131_072];
const WRITTEN_N: u64 = 65_536;
const SALT_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

#[derive(Serialize, Deserialize)]
struct Envelope {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: KdfParams,
    salt: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct KdfParams {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// An encrypted private key file that was read, and not yet opened: everything about it is as
/// cosign writes it, so that the costly key derivation starts for nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptedKey {
    params: KdfParams,
    salt: Vec<u8>,
    nonce: [u8; NONCE_BYTES],
    /// NaCl's order: the tag first, then the ciphertext.
    boxed: Vec<u8>,
}

impl EncryptedKey {
    /// Reads the file's text.
    ///
    /// # Errors
    /// When it is not such a file, or wants another key derivation or cipher than cosign's.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let pem = pem::parse(text).map_err(|_| KeyError::NotPem {
            expected: LABEL,
            found: None,
        })?;
        if pem.tag() != LABEL && pem.tag() != OLD_LABEL {
            return Err(KeyError::NotPem {
                expected: LABEL,
                found: Some(pem.tag().to_owned()),
            });
        }
        let envelope: Envelope =
            serde_json::from_slice(pem.contents()).map_err(|e| KeyError::Format(e.to_string()))?;
        if envelope.kdf.name != "scrypt" || envelope.cipher.name != "nacl/secretbox" {
            return Err(KeyError::Format(
                "another kdf than scrypt, or another cipher than nacl/secretbox".to_owned(),
            ));
        }
        let decode = |field: &'static str, text: &str| {
            STANDARD
                .decode(text)
                .map_err(|_| KeyError::Format(format!("{field} is not base64")))
        };
        let salt = decode("kdf.salt", &envelope.kdf.salt)?;
        let nonce = decode("cipher.nonce", &envelope.cipher.nonce)?;
        let boxed = decode("ciphertext", &envelope.ciphertext)?;
        let nonce = nonce
            .try_into()
            .ok()
            .filter(|_| boxed.len() >= TAG_BYTES)
            .ok_or_else(|| KeyError::Format("nonce or ciphertext is too short".to_owned()))?;
        let params = envelope.kdf.params;
        if !ACCEPTED_N.contains(&params.n) || params.r != 8 || params.p != 1 {
            return Err(KeyError::Kdf {
                n: params.n,
                r: params.r,
                p: params.p,
            });
        }
        Ok(Self {
            params,
            salt,
            nonce,
            boxed,
        })
    }

    /// The file's text, as cosign writes it.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        let envelope = Envelope {
            kdf: Kdf {
                name: "scrypt".to_owned(),
                params: self.params,
                salt: STANDARD.encode(&self.salt),
            },
            cipher: Cipher {
                name: "nacl/secretbox".to_owned(),
                nonce: STANDARD.encode(self.nonce),
            },
            ciphertext: STANDARD.encode(&self.boxed),
        };
        let json = serde_json::to_vec(&envelope).map_err(|e| KeyError::Format(e.to_string()))?;
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        Ok(pem::encode_config(&pem::Pem::new(LABEL, json), config))
    }

    fn encrypt(pkcs8: &[u8], password: &[u8]) -> Result<Self, KeyError> {
        let mut key = Self {
            params: KdfParams {
                n: WRITTEN_N,
                r: 8,
                p: 1,
            },
            salt: vec![0; SALT_BYTES],
            nonce: [0; NONCE_BYTES],
            boxed: vec![0; TAG_BYTES],
        };
        for buffer in [&mut key.salt[..], &mut key.nonce[..]] {
            aws_lc_rs::rand::fill(buffer).map_err(|e| KeyError::Crypto(e.to_string()))?;
        }
        let cipher = key.cipher(password)?;
        key.boxed.extend_from_slice(pkcs8);
        let tag = cipher
            .encrypt_in_place_detached(
                Nonce::from_slice(&key.nonce),
                b"",
                &mut key.boxed[TAG_BYTES..],
            )
            .map_err(|_| KeyError::Crypto("secretbox".to_owned()))?;
        key.boxed[..TAG_BYTES].copy_from_slice(&tag);
        Ok(key)
    }

    fn decrypt(&self, password: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let cipher = self.cipher(password)?;
        let (tag, message) = self.boxed.split_at(TAG_BYTES);
        let mut message = Zeroizing::new(message.to_vec());
        cipher
            .decrypt_in_place_detached(
                Nonce::from_slice(&self.nonce),
                b"",
                &mut message,
                tag.into(),
            )
            .map_err(|_| KeyError::Password)?;
        Ok(message)
    }

    fn cipher(&self, password: &[u8]) -> Result<XSalsa20Poly1305, KeyError> {
        let KdfParams { n, r, p } = self.params;
        let refused = KeyError::Kdf { n, r, p };
        // A power of two, since it is one of the accepted, so the trailing zeros are its logarithm.
        let log_n = u8::try_from(n.trailing_zeros()).unwrap_or(u8::MAX);
        let scrypt_params = scrypt::Params::new(log_n, r, p).map_err(|_| refused)?;
        let mut key = Zeroizing::new([0; 32]);
        scrypt::scrypt(password, &self.salt, &scrypt_params, &mut key[..])
            .map_err(|e| KeyError::Crypto(e.to_string()))?;
        Ok(XSalsa20Poly1305::new(Key::from_slice(&key[..])))
    }
}

pub(super) fn encrypt(pkcs8: &[u8], password: &[u8]) -> Result<Zeroizing<String>, KeyError> {
    EncryptedKey::encrypt(pkcs8, password)?
        .to_pem()
        .map(Zeroizing::new)
}

pub(super) fn decrypt(text: &str, password: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    EncryptedKey::parse(text)?.decrypt(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_json(text: &str, change: impl Fn(&mut serde_json::Value)) -> String {
        let pem = pem::parse(text).unwrap();
        let mut json: serde_json::Value = serde_json::from_slice(pem.contents()).unwrap();
        change(&mut json);
        pem::encode(&pem::Pem::new(
            pem.tag(),
            serde_json::to_vec(&json).unwrap(),
        ))
    }

    #[test]
    fn what_is_encrypted_is_decrypted_again_under_either_label() {
        let text = encrypt(b"secret pkcs8", b"pw").unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"));
        assert_eq!(&decrypt(&text, b"pw").unwrap()[..], b"secret pkcs8");
        let old = text.replace(LABEL, OLD_LABEL);
        assert_eq!(&decrypt(&old, b"pw").unwrap()[..], b"secret pkcs8");
    }

    #[test]
    fn scrypt_costs_that_cosign_never_wrote_are_refused() {
        let text = encrypt(b"secret pkcs8", b"pw").unwrap();
        for n in [1_u64 << 10, 1 << 14, 1 << 20, 65_535, 0] {
            let changed = with_json(&text, |j| j["kdf"]["params"]["N"] = n.into());
            assert!(
                matches!(decrypt(&changed, b"pw"), Err(KeyError::Kdf { .. })),
                "N={n}"
            );
        }
    }

    #[test]
    fn a_changed_ciphertext_is_refused_like_a_wrong_password() {
        let text = encrypt(b"secret pkcs8", b"pw").unwrap();
        let changed = with_json(&text, |j| {
            let mut bytes = STANDARD.decode(j["ciphertext"].as_str().unwrap()).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            j["ciphertext"] = STANDARD.encode(bytes).into();
        });
        assert!(matches!(decrypt(&changed, b"pw"), Err(KeyError::Password)));
    }

    #[test]
    fn other_forms_of_the_envelope_are_refused_before_anything_is_computed() {
        let text = encrypt(b"secret pkcs8", b"pw").unwrap();
        type Change = fn(&mut serde_json::Value);
        let format: [Change; 5] = [
            |j| j["kdf"]["name"] = "pbkdf2".into(),
            |j| j["cipher"]["name"] = "aes-gcm".into(),
            |j| j["cipher"]["nonce"] = STANDARD.encode([0; NONCE_BYTES - 1]).into(),
            |j| j["cipher"]["nonce"] = STANDARD.encode([0; NONCE_BYTES + 1]).into(),
            |j| j["ciphertext"] = STANDARD.encode([0; TAG_BYTES - 1]).into(),
        ];
        for (case, change) in format.into_iter().enumerate() {
            let refused = decrypt(&with_json(&text, change), b"pw");
            assert!(matches!(refused, Err(KeyError::Format(_))), "{case}");
        }
        let costs: [Change; 2] = [
            |j| j["kdf"]["params"]["r"] = 1.into(),
            |j| j["kdf"]["params"]["p"] = 2.into(),
        ];
        for change in costs {
            let refused = decrypt(&with_json(&text, change), b"pw");
            assert!(matches!(refused, Err(KeyError::Kdf { .. })));
        }
        // A tag without a message has the form; no password opens it.
        let empty = with_json(&text, |j| {
            j["ciphertext"] = STANDARD.encode([0; TAG_BYTES]).into()
        });
        assert!(matches!(decrypt(&empty, b"pw"), Err(KeyError::Password)));
    }

    #[test]
    fn files_of_another_kind_are_refused_with_their_label() {
        let text = pem::encode(&pem::Pem::new("PRIVATE KEY", b"x".to_vec()));
        let error = decrypt(&text, b"").unwrap_err();
        assert!(error.to_string().contains("PRIVATE KEY"), "{error}");
    }
}
