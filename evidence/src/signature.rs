//! The detached signature: a sigstore bundle v0.3 with a public-key hint (`….json.bundle`).
//!
//! Format: `dev.sigstore.bundle.v1.Bundle` of sigstore/protobuf-specs. Only the key-based,
//! message-signature form of version 0.3 is written or accepted. The legacy format of older
//! cosign carries its own key and can be forged (GHSA-fx35-mq7g-6g98); a file that is not
//! exactly of our form is refused, whatever else it may be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sigstore_types::bundle::SignatureContent;

use crate::digest::Sha256;
use crate::keys::{KeyError, PrivateKey, PublicKey};

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// No signature file of ours is larger; a reader need not read more.
pub const SIGNATURE_MAX_BYTES: u64 = 64 << 10;

/// Exactly the fields that are allowed: one more and stock cosign takes the file for its legacy
/// format, so one more is refused here too.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire {
    media_type: String,
    verification_material: Material,
    message_signature: Message,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Material {
    public_key: Hint,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hint {
    hint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Message {
    message_digest: Digest,
    signature: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Digest {
    algorithm: String,
    digest: String,
}

/// Why a signature does not prove the bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not a sigstore bundle v0.3 with a public-key hint and a message signature.
    #[error("not a key-based sigstore bundle v0.3: {0}")]
    Format(String),
    /// The legacy cosign format, which names its own key.
    #[error(
        "this is cosign's legacy bundle format, which can be forged (GHSA-fx35-mq7g-6g98); it is never accepted"
    )]
    Legacy,
    /// Signed by another key, going by the hint.
    #[error("signed by another key: the bundle names {found}, the key given is {expected}")]
    OtherKey {
        /// Fingerprint of the key given.
        expected: String,
        /// The hint in the file.
        found: String,
    },
    /// The digest in the file is not that of the bytes.
    #[error("the signature is for other bytes: its digest is not that of this file")]
    Digest,
    /// The signature does not verify.
    #[error("the signature does not verify with the key {0}")]
    Signature(String),
}

/// Signs `message` and returns the bytes of the `….json.bundle` file.
///
/// # Errors
/// When the crypto library fails.
pub fn sign(message: &[u8], sha256: Sha256, key: &PrivateKey) -> Result<Vec<u8>, KeyError> {
    let wire = Wire {
        media_type: MEDIA_TYPE.to_owned(),
        verification_material: Material {
            public_key: Hint {
                hint: key.public().hint(),
            },
        },
        message_signature: Message {
            message_digest: Digest {
                algorithm: "SHA2_256".to_owned(),
                digest: STANDARD.encode(sha256.as_bytes()),
            },
            signature: STANDARD.encode(key.sign(message)?),
        },
    };
    serde_json::to_vec(&wire).map_err(|e| KeyError::Format(e.to_string()))
}

/// Checks that `file` is `key`'s signature over `message`.
///
/// The hint is not trusted: it only makes the message clearer when the key is another one.
///
/// # Errors
/// See [`SignatureError`]; every one of them means "not proven".
pub fn verify(message: &[u8], file: &[u8], key: &PublicKey) -> Result<(), SignatureError> {
    let (wire, bundle) = read(file)?;
    let SignatureContent::MessageSignature(content) = &bundle.content else {
        return Err(SignatureError::Format(
            "it holds no message signature".to_owned(),
        ));
    };
    let found = &wire.verification_material.public_key.hint;
    if *found != key.hint() {
        return Err(SignatureError::OtherKey {
            expected: key.hint(),
            found: shortened(found),
        });
    }
    let digest = &wire.message_signature.message_digest;
    if digest.algorithm != "SHA2_256"
        || digest.digest != STANDARD.encode(Sha256::of(message).as_bytes())
    {
        return Err(SignatureError::Digest);
    }
    if key.verifies(message, content.signature.as_bytes()) {
        Ok(())
    } else {
        Err(SignatureError::Signature(key.key_id()))
    }
}

/// The key id of the key that a signature file names, `sha256:…`: which of several trusted keys to
/// verify it with. It proves nothing.
///
/// # Errors
/// When the file is not of our form.
pub fn named_key(file: &[u8]) -> Result<String, SignatureError> {
    let (wire, _) = read(file)?;
    let hint = &wire.verification_material.public_key.hint;
    let fingerprint = STANDARD
        .decode(hint)
        .ok()
        .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
        .ok_or_else(|| SignatureError::Format("its hint names no key".to_owned()))?;
    Ok(Sha256::from_bytes(fingerprint).prefixed())
}

/// Exactly our form, and the sigstore project's own parser agrees that this is what it looks like.
fn read(file: &[u8]) -> Result<(Wire, sigstore_types::Bundle), SignatureError> {
    let text = std::str::from_utf8(file)
        .map_err(|_| SignatureError::Format("it is not UTF-8".to_owned()))?;
    let wire: Wire = serde_json::from_str(text).map_err(|error| not_ours(text, &error))?;
    if wire.media_type != MEDIA_TYPE {
        return Err(SignatureError::Format(
            "the media type is another one".to_owned(),
        ));
    }
    let bundle = sigstore_types::Bundle::from_json(text)
        .map_err(|e| SignatureError::Format(e.to_string()))?;
    Ok((wire, bundle))
}

fn not_ours(text: &str, error: &serde_json::Error) -> SignatureError {
    #[derive(Deserialize)]
    struct Legacy {
        #[serde(rename = "base64Signature")]
        _signature: String,
    }
    if serde_json::from_str::<Legacy>(text).is_ok() {
        SignatureError::Legacy
    } else {
        SignatureError::Format(error.to_string())
    }
}

fn shortened(hint: &str) -> String {
    hint.chars()
        .filter(|c| c.is_ascii_graphic())
        .take(64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{key, other_key};

    fn signed() -> (&'static PrivateKey, Vec<u8>) {
        let key = key();
        let file = sign(b"evidence", Sha256::of(b"evidence"), key).unwrap();
        (key, file)
    }

    fn changed(file: &[u8], change: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
        let mut json = serde_json::from_slice(file).unwrap();
        change(&mut json);
        serde_json::to_vec(&json).unwrap()
    }

    #[test]
    fn a_signature_verifies_over_its_bytes_and_over_no_others() {
        let (key, file) = signed();
        assert_eq!(verify(b"evidence", &file, key.public()), Ok(()));
        assert_eq!(
            verify(b"evidencE", &file, key.public()),
            Err(SignatureError::Digest)
        );
    }

    #[test]
    fn a_signature_names_its_key_and_a_file_of_another_form_none() {
        let (key, file) = signed();
        assert_eq!(named_key(&file), Ok(key.public().key_id()));
        let other = changed(&file, |json| {
            json["verificationMaterial"]["publicKey"]["hint"] = "AAAA".into();
        });
        assert!(matches!(named_key(&other), Err(SignatureError::Format(_))));
        assert!(named_key(b"{}").is_err());
    }

    #[test]
    fn another_key_is_named_as_such_and_a_forged_hint_does_not_help() {
        let (key, file) = signed();
        assert!(matches!(
            verify(b"evidence", &file, other_key().public()),
            Err(SignatureError::OtherKey { .. })
        ));
        let forged = changed(&file, |j| {
            j["verificationMaterial"]["publicKey"]["hint"] = other_key().public().hint().into();
        });
        assert!(matches!(
            verify(b"evidence", &forged, other_key().public()),
            Err(SignatureError::Signature(_))
        ));
        assert!(verify(b"evidence", &forged, key.public()).is_err());
    }

    #[test]
    fn a_legacy_bundle_is_refused_by_name() {
        let (key, _) = signed();
        let legacy = br#"{"base64Signature":"AAAA","cert":"","rekorBundle":{}}"#;
        assert_eq!(
            verify(b"evidence", legacy, key.public()),
            Err(SignatureError::Legacy)
        );
    }

    #[test]
    fn a_field_too_many_is_refused_because_cosign_would_read_another_format() {
        let (key, file) = signed();
        for pointer in ["", "/verificationMaterial", "/messageSignature"] {
            let more = changed(&file, |j| j.pointer_mut(pointer).unwrap()["x"] = 1.into());
            assert!(matches!(
                verify(b"evidence", &more, key.public()),
                Err(SignatureError::Format(_))
            ));
        }
    }

    #[test]
    fn older_media_types_are_refused() {
        let (key, file) = signed();
        let old = changed(&file, |j| {
            j["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.2".into();
        });
        assert!(matches!(
            verify(b"evidence", &old, key.public()),
            Err(SignatureError::Format(_))
        ));
    }

    #[test]
    fn no_signature_file_is_nearly_as_large_as_a_reader_allows() {
        let (_, file) = signed();
        assert!((file.len() as u64) < SIGNATURE_MAX_BYTES / 16);
    }

    #[test]
    fn a_hint_that_names_another_key_is_shown_without_what_a_terminal_obeys() {
        let (key, file) = signed();
        let shown = |hint: &str| {
            let named = changed(&file, |j| {
                j["verificationMaterial"]["publicKey"]["hint"] = hint.into();
            });
            match verify(b"evidence", &named, key.public()) {
                Err(SignatureError::OtherKey { expected, found }) => {
                    assert_eq!(expected, key.public().hint());
                    found
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(shown("other\u{1b}[31m\n\u{202e}key"), "other[31mkey");
        assert_eq!(shown(&"x".repeat(65)), "x".repeat(64));
    }

    #[test]
    fn another_digest_or_algorithm_in_the_file_is_refused() {
        let (key, file) = signed();
        for (name, value) in [
            ("algorithm", "SHA2_512".to_owned()),
            (
                "digest",
                STANDARD.encode(Sha256::of(b"evidencE").as_bytes()),
            ),
        ] {
            let other = changed(&file, |j| {
                j["messageSignature"]["messageDigest"][name] = value.clone().into();
            });
            let refused = verify(b"evidence", &other, key.public());
            assert_eq!(refused, Err(SignatureError::Digest), "{name}");
        }
    }
}
