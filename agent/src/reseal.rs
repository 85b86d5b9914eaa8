//! A bundle said again under another name, because other bytes were found under its key.
//!
//! The key is never overwritten, and the signed bytes never change, so the only way out of such a
//! conflict is a new bundle: the same body, word for word, a new place in the chain, and the field
//! `reseals`, which names the earlier one by its digest. Both are kept. If the earlier one is of the
//! present chain, somebody else may be writing that chain (a clone of this host), so a new chain is
//! begun first: its keys are nobody else's.

use evidence::bundle::{
    BundleId, Draft, Kind, Producer, Reseals, SealError, TimeSource, artifact_path, object_path,
};
use evidence::chain::{Head, utc_day};
use evidence::controls::MappedControls;
use evidence::custody::CustodyBody;
use evidence::findings::Finding;
use evidence::handover::{Notice, NoticedBundle};
use evidence::incident::{IncidentBody, Redaction, Source};
use evidence::rotation::RotationBody;
use host::config::Settings;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spool::{Artifact, NewBundle, Spool, SpooledBundle};

use crate::destination_plan::plan;
use crate::keys::Keys;

/// What a bundle says, read back.
#[derive(Serialize)]
#[serde(untagged)]
enum Said {
    Incident(Box<SaidIncident>),
    Custody(Box<CustodyBody>),
    Rotation(RotationBody),
}

/// The fields of [`evidence::incident::SealedIncident`], in its order.
#[derive(Serialize, Deserialize)]
struct SaidIncident {
    #[serde(flatten)]
    body: IncidentBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    controls: Option<MappedControls>,
    source: Source,
    findings: Vec<Finding>,
    redactions: Vec<Redaction>,
}

/// What is said again, word for word.
const BODY: [&str; 13] = [
    "incident",
    "runbook",
    "execution",
    "actions_taken",
    "artifacts",
    "outputs",
    "extra",
    "controls",
    "source",
    "findings",
    "redactions",
    "custody",
    "rotation",
];

/// Why a bundle cannot be said again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResealError {
    #[error("a test at set-up attests nothing and is not said again")]
    Probe,
    #[error("the bundle's bytes cannot be read back from the spool")]
    Unreadable(#[source] serde_json::Error),
    #[error("the body would not come out as it was, so nothing was sealed")]
    Changed,
    #[error("sealing failed")]
    Seal(#[from] SealError),
    #[error(transparent)]
    Spool(#[from] spool::SpoolError),
}

/// A rotation is signed by the key that it rotates from. Said again by another one, as here, it is on
/// record, and leads whoever audits nowhere: they must be given the new key.
fn said(kind: Kind, document: &Value) -> Result<Said, ResealError> {
    match kind {
        Kind::Incident => {
            Deserialize::deserialize(document).map(|said| Said::Incident(Box::new(said)))
        }
        Kind::Custody => Deserialize::deserialize(document).map(Said::Custody),
        Kind::Rotation => Deserialize::deserialize(document).map(Said::Rotation),
        Kind::Probe => return Err(ResealError::Probe),
    }
    .map_err(ResealError::Unreadable)
}

/// What a new bundle is sealed with.
pub(crate) struct Resealer<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) keys: &'a Keys,
    pub(crate) producer: &'a Producer,
    pub(crate) time: TimeSource,
    pub(crate) spool: &'a Spool,
}

impl Resealer<'_> {
    /// Seals what `old` says, attached to the present head.
    pub(crate) fn seal(
        &self,
        old: &SpooledBundle,
        now: Timestamp,
    ) -> Result<NewBundle, ResealError> {
        let document: Value =
            serde_json::from_slice(&old.bytes).map_err(ResealError::Unreadable)?;
        let kind = Kind::deserialize(&document["kind"]).map_err(ResealError::Unreadable)?;
        let said = said(kind, &document)?;
        let day = utc_day(now);
        let bundle_id = BundleId::new(day, 1 + self.spool.last_number(day)?);
        let head: &Head = self.spool.head();
        let chain = head.next();
        let settings = self.settings;
        let path = object_path(
            &settings.client_id,
            &settings.host_id,
            &chain.chain_id,
            day,
            &bundle_id.file_name(),
        );
        let draft = Draft {
            bundle_id,
            kind,
            client_id: &settings.client_id,
            host_id: &settings.host_id,
            generated_at: now,
            chain,
            producer: self.producer,
            time: &self.time,
            related_to: Vec::new(),
            reseals: Some(Reseals {
                bundle_id: old.bundle_id.to_string(),
                sha256: old.sha256,
            }),
            body: &said,
            plan: plan(&settings.destinations, &path),
        };
        let sealed = draft.seal(&self.keys.signing)?;
        let again: Value =
            serde_json::from_slice(&sealed.bytes).map_err(ResealError::Unreadable)?;
        if BODY
            .iter()
            .any(|section| document[section] != again[section])
        {
            return Err(ResealError::Changed);
        }
        let files = match &said {
            Said::Incident(said) => said.body.artifacts.files.as_slice(),
            Said::Custody(_) | Said::Rotation(_) => &[],
        };
        let artifacts = files
            .iter()
            .map(|file| {
                (
                    artifact_path(&path, file.sha256, &file.name),
                    (file.size_bytes, file.sha256),
                )
            })
            .collect::<std::collections::BTreeMap<_, _>>()
            .into_iter()
            .map(|(path, (size_bytes, sha256))| Artifact {
                path,
                size_bytes,
                sha256,
            })
            .collect();
        Ok(NewBundle {
            sealed,
            kind,
            path,
            artifacts,
            // The drop is in the index already, under the earlier bundle.
            source: None,
        })
    }

    /// Tells the uploader that nothing more of the earlier bundle is wanted where its key is taken.
    pub(crate) fn notice(
        &self,
        old: &SpooledBundle,
        chain_id: &str,
        (destination_id, uri): (&str, &str),
        reason: &str,
        now: Timestamp,
    ) -> Notice {
        Notice {
            notice_version: 1,
            notice_id: format!("resealed-{chain_id}-{}-{destination_id}", old.sequence),
            client_id: self.settings.client_id.clone(),
            host_id: self.settings.host_id.clone(),
            created_at: now,
            destination_id: destination_id.to_owned(),
            uri: uri.to_owned(),
            bundle: Some(NoticedBundle {
                chain_id: chain_id.to_owned(),
                bundle_id: old.bundle_id.to_string(),
            }),
            reason: reason.to_owned(),
        }
    }
}
