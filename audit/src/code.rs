//! Every finding that an audit can make, by the name that programs know it by.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident => $name:literal, $meaning:literal;)*) => {
        /// What a finding is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name used in JSON and SQL.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What it means, for an auditor.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),* }
            }
        }
    };
}

codes! {
    // source
    NothingThere => "nothing_there", "Nothing at all lies below the prefix.";
    NoEvidence => "no_evidence", "Something lies below the prefix, and nothing of it is laid out as evidence.";
    NotListed => "not_listed", "What is there could not be listed to its end.";
    NotAllRead => "not_all_read", "Reading ended before everything was read.";
    HostMissing => "host_missing", "A host that the auditor expects has no evidence.";
    // signature
    NotRead => "not_read", "An object could not be read.";
    Unsigned => "unsigned", "A bundle has no signature.";
    SignatureAlone => "signature_alone", "A signature has no bundle.";
    LegacyFormat => "legacy_format", "The signature is in cosign's legacy format, which can be forged.";
    NotASignature => "not_a_signature", "The signature is not of the one accepted form.";
    UnknownKey => "unknown_key", "The signature names a key that the auditor did not give, and no followed rotation leads to it.";
    BytesChanged => "bytes_changed", "The signature is for other bytes than these.";
    Forged => "forged", "The signature does not verify with the key that it names.";
    TooLarge => "too_large", "An object is larger than any of its kind.";
    // content
    NotJson => "not_json", "What was signed is not I-JSON.";
    NotTheSchema => "not_the_schema", "What was signed does not follow the schema.";
    ContentHash => "content_hash", "The content hash is not that of the content.";
    HeaderInconsistent => "header_inconsistent", "The header contradicts itself or the signature.";
    BodyInconsistent => "body_inconsistent", "A custody or rotation contradicts itself.";
    SealedWithFinding => "sealed_with_finding", "Incidents were sealed with a finding: what they claim looked wrong to their own host.";
    RunbookDiffers => "runbook_differs", "One runbook id and version has several hashes.";
    // key
    KeyOfAnotherClient => "key_of_another_client", "The key is another client's.";
    KeyOfAnotherHost => "key_of_another_host", "The key is another host's.";
    KeyUnbound => "key_unbound", "The key signs for several hosts, and the auditor did not say whose it is.";
    KeyRevoked => "key_revoked", "The store received it after the key was revoked.";
    KeyNotYetValid => "key_not_yet_valid", "The store received it before the key became valid.";
    KeyExpired => "key_expired", "The store received it after the key expired.";
    KeyTimeUnknown => "key_time_unknown", "The key's validity ends or begins, and nothing tells when the store received this.";
    KeyRotatedAway => "key_rotated_away", "The key had already named its successor.";
    KeyBeforeRotation => "key_before_rotation", "The key is one that is named only later in the chain.";
    KeyChanged => "key_changed", "Another key signs in the midst of a chain, and no rotation named it.";
    RotationRefused => "rotation_refused", "A rotation leads nowhere: it is itself not trusted.";
    RotationFollowed => "rotation_followed", "A rotation was followed to a new key.";
    // place
    Misplaced => "misplaced", "A bundle lies elsewhere than its own header says: moved, or replayed.";
    // artifact
    ArtifactMissing => "artifact_missing", "An artifact that a bundle names is not there.";
    ArtifactChanged => "artifact_changed", "An artifact's bytes are not those that the bundle names.";
    // chain
    Gap => "gap", "Places of a chain have no bundle that is proven.";
    DuplicatePlace => "duplicate_place", "Two proven bundles claim one place of a chain: a fork, or a chain set back.";
    LinkBroken => "link_broken", "A bundle names other bytes before it than those that are there.";
    Resealed => "resealed", "The bundle of this place is said again by another one.";
    ChainRestarted => "chain_restarted", "A new chain follows another one of its host, and says why.";
    RestartUnexplained => "restart_unexplained", "A host has another chain, which names none before it.";
    PredecessorUnknown => "predecessor_unknown", "A chain says that there was one before it, and not where it ended.";
    PredecessorMissing => "predecessor_missing", "The end of the earlier chain that a chain names is not there.";
    RolledBack => "rolled_back", "The earlier chain went on after the place where this one says that it ended.";
    DeclaredMissing => "declared_missing", "The host itself says that bundles are lost.";
    Restarted => "restarted", "The machine or the agent was started again.";
    // custody
    NoCustody => "no_custody", "A chain has no custody bundle, so nothing says what else there was.";
    NotCovered => "not_covered", "Places of a chain are covered by no custody bundle.";
    CoveredTwice => "covered_twice", "Places of a chain are covered by two custody bundles.";
    OpenTail => "open_tail", "What came after the newest custody bundle is not covered yet.";
    CustodyBroken => "custody_broken", "A custody bundle names another one before it than the one that is there.";
    TotalsWentBack => "totals_went_back", "A total is smaller than it was before.";
    SealedMissing => "sealed_missing", "A bundle that custody says was sealed is not there.";
    SealedDiffers => "sealed_differs", "A bundle is not as custody says.";
    ConfirmedMissing => "confirmed_missing", "An object that custody says was stored and locked is not there.";
    ConfirmedVersionMissing => "confirmed_version_missing", "The version that custody says was stored is not there; others are.";
    ConfirmedDiffers => "confirmed_differs", "A stored version is not as custody says.";
    ConfirmedLockDiffers => "confirmed_lock_differs", "The lock is not, or ends earlier than, what custody says.";
    ConfirmedElsewhere => "confirmed_elsewhere", "Custody speaks only of other stores than the one that is audited.";
    NoStoreMetadata => "no_store_metadata", "A folder has no versions, locks or dates of a store.";
    // coverage
    Silent => "silent", "No custody came for longer than it should.";
    Stopped => "stopped", "No custody came while the agent was stopped, as a signed custody says.";
    // store
    Unlocked => "unlocked", "A version has no lock.";
    Governance => "governance", "A version is locked in GOVERNANCE mode only, which can be lifted.";
    LockUnknown => "lock_unknown", "The store would not say whether a version is locked.";
    LockTooShort => "lock_too_short", "A lock ends earlier than it should.";
    Shadowed => "shadowed", "Another version, with other bytes, lies under the same key.";
    StoredTwice => "stored_twice", "The same bytes were stored twice under one key.";
    DeleteMarker => "delete_marker", "A delete marker lies over an object.";
    UnexpectedObject => "unexpected_object", "An object belongs to no bundle.";
    WriteProbe => "write_probe", "A host's own test whether it may write; it is no evidence.";
    SizeDiffers => "size_differs", "An object is larger or smaller than the listing says.";
    // time
    StoredBeforeSealed => "stored_before_sealed", "The store received it before the time at which it says it was sealed.";
    StoredLate => "stored_late", "The store received it long after it was sealed.";
    ClockWentBack => "clock_went_back", "A bundle says an earlier time than the one before it.";
    ClockJump => "clock_jump", "A signed custody says that the clock jumped.";
    ClockNotKnown => "clock_not_known", "Bundles were sealed while nothing was known of the host's clock, or it was known not to be synchronised.";
    StoreTimeUnknown => "store_time_unknown", "Nothing tells when the store received it.";
    // record
    RecordOfAnotherStore => "record_of_another_store", "An operator's record is of another bucket or prefix.";
    RecordBroken => "record_broken", "A record says that something was done, and its intention is not there.";
    RecordUnfinished => "record_unfinished", "An operator intended a change of locks, and nothing says what came of it.";
    Recorded => "recorded", "An operator changed locks.";
}

impl Code {
    /// The inverse of [`Code::as_str`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own_and_is_read_back_from_it() {
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::from_name(code.as_str()), Some(*code));
            assert_eq!(code.to_string(), code.as_str());
            assert!(code.meaning().ends_with('.'));
        }
        assert_eq!(Code::from_name("fine"), None);
    }

    #[test]
    fn every_code_is_explained_to_auditors() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/audit.md");
        let page = std::fs::read_to_string(page).unwrap();
        for code in Code::ALL {
            let line = format!("| `{code}` | {} |", code.meaning());
            assert!(page.contains(&line), "docs/audit.md lacks {line}");
        }
    }
}
