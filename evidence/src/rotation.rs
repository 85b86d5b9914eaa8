//! Rotation: the key in use names the one that signs from the next bundle on.
//!
//! It is signed by the old key, so whoever trusts that one can follow to the new one without hearing
//! of it by another way. A revoked key cannot rotate: what a store received after the revocation is
//! not followed, whatever time the bundle itself names.

use serde::{Deserialize, Serialize};

use crate::bundle::{Kind, VerifiedBundle};
use crate::keys::PublicKey;

/// The body of a rotation bundle, as it stands in the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationBody {
    /// What is stated.
    pub rotation: Rotation,
}

/// From one key to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Fingerprint of the key that signs this, and nothing after it in this chain.
    pub from_key_id: String,
    /// Fingerprint of the key that signs whatever follows.
    pub to_key_id: String,
    /// That key: PEM of its SPKI.
    pub to_public_key: String,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who asked.
    pub by: String,
}

/// Why a signed rotation leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// Another kind of bundle.
    #[error("not a rotation bundle")]
    OtherKind,
    /// The schema was followed, and still it cannot be read.
    #[error("the rotation cannot be read")]
    Form(#[from] serde_json::Error),
    /// It speaks in the name of a key that did not sign it.
    #[error("the rotation is signed by another key than the one it rotates from")]
    OtherSigner,
    /// The new key is none, or not the one that is named.
    #[error("the new key is not the one that its fingerprint names")]
    OtherKey,
}

impl Rotation {
    /// The rotation in a verified bundle, and the key that it leads to.
    ///
    /// # Errors
    /// See [`RotationError`]; then nothing is to be followed.
    pub fn read(bundle: &VerifiedBundle) -> Result<(Self, PublicKey), RotationError> {
        if bundle.header().kind != Kind::Rotation {
            return Err(RotationError::OtherKind);
        }
        let RotationBody { rotation } = RotationBody::deserialize(bundle.document())?;
        let signer = bundle.header().signatures.first();
        if signer.map(|s| s.key_id.as_str()) != Some(rotation.from_key_id.as_str()) {
            return Err(RotationError::OtherSigner);
        }
        let key =
            PublicKey::from_pem(&rotation.to_public_key).map_err(|_| RotationError::OtherKey)?;
        if key.key_id() != rotation.to_key_id || rotation.to_key_id == rotation.from_key_id {
            return Err(RotationError::OtherKey);
        }
        Ok((rotation, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Draft, Producer, TimeSource};
    use crate::chain::{Head, new_chain_id};
    use crate::keys::testing::{key, other_key};

    fn seal(kind: Kind, body: &impl Serialize) -> VerifiedBundle {
        let head = Head::Empty {
            chain_id: new_chain_id(),
            predecessor: None,
            began: None,
        };
        let sealed = Draft {
            bundle_id: "EB-20261121-0001".parse().unwrap(),
            kind,
            client_id: "c",
            host_id: "h",
            generated_at: "2026-11-21T10:00:00Z".parse().unwrap(),
            chain: head.next(),
            producer: &Producer {
                name: "test".to_owned(),
                version: "1".to_owned(),
                boot_id: "b".to_owned(),
            },
            time: &TimeSource::unknown(),
            related_to: Vec::new(),
            reseals: None,
            body,
            plan: Vec::new(),
        }
        .seal(key())
        .unwrap();
        VerifiedBundle::verify(&sealed.bytes, &sealed.signature, key().public()).unwrap()
    }

    fn rotation() -> Rotation {
        Rotation {
            from_key_id: key().public().key_id(),
            to_key_id: other_key().public().key_id(),
            to_public_key: other_key().public().to_pem(),
            reason: "yearly".to_owned(),
            by: "an engineer".to_owned(),
        }
    }

    #[test]
    fn a_rotation_leads_to_the_key_that_it_names() {
        let said = rotation();
        let bundle = seal(
            Kind::Rotation,
            &RotationBody {
                rotation: said.clone(),
            },
        );
        let (read, to) = Rotation::read(&bundle).unwrap();
        assert_eq!(read, said);
        assert_eq!(to.key_id(), other_key().public().key_id());
    }

    #[test]
    fn a_rotation_that_is_not_its_signers_or_not_to_that_key_leads_nowhere() {
        let mine = key().public();
        let others = other_key().public();
        for (from, to, pem) in [
            (others.key_id(), others.key_id(), others.to_pem()),
            (mine.key_id(), others.key_id(), mine.to_pem()),
            (mine.key_id(), mine.key_id(), mine.to_pem()),
            (
                mine.key_id(),
                others.key_id(),
                "-----BEGIN PUBLIC KEY-----\n".to_owned(),
            ),
        ] {
            let rotation = Rotation {
                from_key_id: from,
                to_key_id: to,
                to_public_key: pem,
                ..rotation()
            };
            let bundle = seal(Kind::Rotation, &RotationBody { rotation });
            assert!(Rotation::read(&bundle).is_err());
        }
        let probe = seal(Kind::Probe, &serde_json::json!({"probe": {}}));
        assert!(matches!(
            Rotation::read(&probe),
            Err(RotationError::OtherKind)
        ));
    }
}
