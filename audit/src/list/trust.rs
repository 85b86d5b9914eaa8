//! Which key speaks for whom: the auditor's, and those that they rotated to.

use std::collections::BTreeMap;

use evidence::bundle::VerifiedBundle;
use evidence::keys::PublicKey;
use evidence::rotation::Rotation;
use jiff::Timestamp;

use super::Doubt;
use crate::keyring::{Keyring, PinnedKey};

/// The keys that are believed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    keys: BTreeMap<String, PinnedKey>,
    /// Client and host that a key was first heard for: an unbound one speaks for no other.
    heard_for: BTreeMap<String, (String, String)>,
}

impl Trust {
    pub(crate) fn new(keyring: &Keyring) -> Self {
        Self {
            keys: keyring
                .keys()
                .map(|pinned| (pinned.key.key_id(), pinned.clone()))
                .collect(),
            heard_for: BTreeMap::new(),
        }
    }

    pub(crate) fn key(&self, key_id: &str) -> Option<&PublicKey> {
        self.keys.get(key_id).map(|pinned| &pinned.key)
    }

    /// Every key that was heard, in the order of ids.
    pub(crate) fn heard(&self) -> impl Iterator<Item = &PublicKey> {
        self.heard_for.keys().filter_map(|id| self.key(id))
    }

    /// Whether the key that signed may say this, going by whose it is and when the store received it.
    pub(crate) fn judge(
        &mut self,
        bundle: &VerifiedBundle,
        stored: Option<Timestamp>,
    ) -> Result<(), Doubt> {
        let header = bundle.header();
        let Some((key_id, pinned)) = header
            .signatures
            .first()
            .and_then(|signed| self.keys.get_key_value(&signed.key_id))
        else {
            return Err(Doubt::Failed(
                "signed by a key that is not trusted".to_owned(),
            ));
        };
        for (bound, own) in [
            (&pinned.client_id, &header.client_id),
            (&pinned.host_id, &header.host_id),
        ] {
            if bound.as_ref().is_some_and(|bound| bound != own) {
                return Err(Doubt::Failed(format!(
                    "signed by the key of {}/{}",
                    pinned.client_id.as_deref().unwrap_or("any"),
                    pinned.host_id.as_deref().unwrap_or("any"),
                )));
            }
        }
        was_valid(pinned, stored)?;
        let own = (header.client_id.clone(), header.host_id.clone());
        let first = self
            .heard_for
            .entry(key_id.clone())
            .or_insert_with(|| own.clone());
        if *first != own {
            return Err(Doubt::CouldNotCheck(format!(
                "its key also signs for {}/{}: say with a keyring whose it is",
                first.0, first.1
            )));
        }
        Ok(())
    }

    /// Trusts the key that a rotation leads to, for whom its signer is trusted; the rotation itself
    /// must have been judged.
    pub(crate) fn follow(&mut self, bundle: &VerifiedBundle) -> Result<(), Doubt> {
        let (_, to) =
            Rotation::read(bundle).map_err(|error| Doubt::Failed(evidence::causes(&error)))?;
        let header = bundle.header();
        self.keys.entry(to.key_id()).or_insert_with(|| PinnedKey {
            client_id: Some(header.client_id.clone()),
            host_id: Some(header.host_id.clone()),
            ..PinnedKey::new(to)
        });
        Ok(())
    }
}

/// Judged by the store's clock only: whoever has a stolen key can sign any time.
fn was_valid(pinned: &PinnedKey, stored: Option<Timestamp>) -> Result<(), Doubt> {
    let is_bounded =
        pinned.not_before.is_some() || pinned.not_after.is_some() || pinned.revoked_at.is_some();
    let Some(stored) = stored else {
        return if is_bounded {
            Err(Doubt::CouldNotCheck(
                "its key was not always valid, and nothing tells when it was stored".to_owned(),
            ))
        } else {
            Ok(())
        };
    };
    if pinned.revoked_at.is_some_and(|revoked| stored >= revoked) {
        return Err(Doubt::Failed("stored after its key was revoked".to_owned()));
    }
    if pinned.not_before.is_some_and(|from| stored < from)
        || pinned.not_after.is_some_and(|until| stored > until)
    {
        return Err(Doubt::Failed(
            "stored when its key was not valid".to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use evidence::bundle::{Draft, Kind, Producer, TimeSource};
    use evidence::chain::{Head, new_chain_id};
    use evidence::rotation::RotationBody;
    use serde::Serialize;

    use super::*;
    use crate::testing::{key, other_key};

    fn seal(host_id: &str, kind: Kind, body: &impl Serialize) -> VerifiedBundle {
        let head = Head::Empty {
            chain_id: new_chain_id(),
            predecessor: None,
            began: None,
        };
        let sealed = Draft {
            bundle_id: "EB-20261121-0001".parse().unwrap(),
            kind,
            client_id: "clinic",
            host_id,
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

    fn probe(host_id: &str) -> VerifiedBundle {
        seal(host_id, Kind::Probe, &serde_json::json!({"probe": {}}))
    }

    fn trust(pinned: PinnedKey) -> Trust {
        Trust::new(&Keyring::of([pinned]))
    }

    fn pinned() -> PinnedKey {
        PinnedKey::new(key().public().clone())
    }

    fn at(time: &str) -> Option<Timestamp> {
        Some(time.parse().unwrap())
    }

    #[test]
    fn a_key_speaks_for_whom_it_is_bound_to_and_an_unbound_one_for_one_host() {
        let mut bound = trust(PinnedKey {
            client_id: Some("clinic".to_owned()),
            host_id: Some("b".to_owned()),
            ..pinned()
        });
        assert!(matches!(
            bound.judge(&probe("a"), None),
            Err(Doubt::Failed(_))
        ));
        assert!(bound.judge(&probe("b"), None).is_ok());
        let mut unbound = trust(pinned());
        assert!(unbound.judge(&probe("a"), None).is_ok());
        assert!(matches!(
            unbound.judge(&probe("b"), None),
            Err(Doubt::CouldNotCheck(_))
        ));
        assert!(unbound.judge(&probe("a"), None).is_ok());
    }

    #[test]
    fn validity_is_judged_by_when_the_store_received_it_and_not_at_all_without_that() {
        let revoked = || PinnedKey {
            revoked_at: at("2026-11-20T00:00:00Z"),
            ..pinned()
        };
        let judge = |pinned, stored| trust(pinned).judge(&probe("a"), stored);
        assert!(judge(revoked(), at("2026-11-19T23:59:59Z")).is_ok());
        assert!(matches!(
            judge(revoked(), at("2026-11-20T00:00:00Z")),
            Err(Doubt::Failed(_))
        ));
        assert!(matches!(
            judge(revoked(), None),
            Err(Doubt::CouldNotCheck(_))
        ));
        let bounded = || PinnedKey {
            not_before: at("2026-01-01T00:00:00Z"),
            not_after: at("2026-12-31T00:00:00Z"),
            ..pinned()
        };
        assert!(judge(bounded(), at("2026-06-01T00:00:00Z")).is_ok());
        assert!(judge(bounded(), at("2025-06-01T00:00:00Z")).is_err());
        assert!(judge(bounded(), at("2027-06-01T00:00:00Z")).is_err());
    }

    #[test]
    fn a_rotation_leads_to_one_more_key_for_the_same_host() {
        let mut trust = trust(pinned());
        assert!(trust.key(&other_key().public().key_id()).is_none());
        let rotation = RotationBody {
            rotation: Rotation {
                from_key_id: key().public().key_id(),
                to_key_id: other_key().public().key_id(),
                to_public_key: other_key().public().to_pem(),
                reason: "yearly".to_owned(),
                by: "an engineer".to_owned(),
            },
        };
        trust.follow(&seal("a", Kind::Rotation, &rotation)).unwrap();
        let led_to = &trust.keys[&other_key().public().key_id()];
        assert_eq!(led_to.host_id.as_deref(), Some("a"));
        assert!(trust.follow(&probe("a")).is_err());
    }
}
