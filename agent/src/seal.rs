//! Sealing a group: read, check, number, chain, sign; then one commit makes all of it true.
//!
//! Nothing outside this process changes before the commit, and everything after it can be done
//! again from the spool. So a crash anywhere leaves either the drops, or the bundles and perhaps
//! the drops as well, which their tokens then tell from duplicates.

use std::collections::{BTreeMap, HashMap, HashSet};

use evidence::bundle::{
    BundleId, Draft, Kind, Producer, Related, SealError, TimeSource, VerifyError, artifact_path,
    object_path,
};
use evidence::chain::{Head, utc_day};
use evidence::controls::ControlMap;
use evidence::digest::Sha256;
use evidence::findings::{
    Finding, clock_doubt, code, consistency, is_real_sha256, runbook_changed, timeliness,
};
use evidence::incident::{Incident, IncidentBody, Limits, SealedIncident, Source, StoredFile};
use host::config::Settings;
use jiff::Timestamp;
use spool::{Artifact, Duplicate, Group, IncidentSource, NewBundle, Seen, Spool};

use crate::AgentError;
use crate::destination_plan::{order, plan};
use crate::folder::{DropFolder, Reading, Refusal, Taken, WasRead};
use crate::folder_drop::FolderRead;
use crate::intake::{self, Intake, Outcome, StagedFile, source_bytes};
use crate::keys::Keys;
use crate::quarantine::Refused;
use crate::screening::{Screened, Screening};

/// So many bytes of documents are held at once, whatever the group limit is.
const GROUP_BYTES: usize = 16 << 20;
/// With one drop's artifacts more than so many, an order is still far below its largest size.
const GROUP_ARTIFACTS: usize = 4096;

/// A group, ready to commit, and what is to be done with each drop afterwards.
#[derive(Default)]
pub(crate) struct Prepared {
    pub(crate) group: Group,
    /// Sealed, or sealed before: to be removed after the commit.
    pub(crate) done: Vec<Done>,
    /// To be moved to quarantine after the commit.
    pub(crate) refused: Vec<Refused>,
    /// Read again in the next pass.
    pub(crate) later: usize,
    /// Of them, those that could not be taken or read.
    pub(crate) troubled: usize,
    bytes: usize,
    artifacts: usize,
    head: Option<Head>,
    last_numbers: HashMap<jiff::civil::Date, u64>,
    /// Incidents of this very group, by id: the spool does not know them yet.
    within: HashMap<String, Vec<InGroup>>,
    /// Runbooks that this very group names first: the hash and the bundle, by id and version.
    runbooks: HashMap<(String, String), (String, BundleId)>,
}

/// A drop that is to be removed.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) taken: Taken,
    /// What was read of it.
    pub(crate) read: WasRead,
}

/// A drop, read.
struct Incoming {
    bytes: Vec<u8>,
    owner: u32,
    files: Vec<StagedFile>,
    read: WasRead,
}

struct InGroup {
    source_hmac: Sha256,
    bundle_id: BundleId,
    sha256: Sha256,
}

/// Why a drop does not go into this group.
enum NotNow {
    Refused(Refusal),
    Later(String),
    /// Its artifacts are being copied.
    Staging,
}

/// What sealing needs and does not change.
pub(crate) struct Sealer<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) keys: &'a Keys,
    pub(crate) producer: &'a Producer,
    pub(crate) time: TimeSource,
    pub(crate) controls: &'a ControlMap,
    pub(crate) folder: &'a DropFolder,
    pub(crate) spool: &'a Spool,
    pub(crate) screening: &'a Screening,
}

enum Before {
    New(Vec<Related>),
    Leftover,
    Duplicate(i64),
    /// The same bytes twice within this group: the next pass sees it as a duplicate.
    WithinGroup,
}

impl Prepared {
    pub(crate) fn is_full(&self, limit: usize) -> bool {
        self.done.len() + self.refused.len() >= limit
            || self.bytes >= GROUP_BYTES
            || self.artifacts >= GROUP_ARTIFACTS
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.done.is_empty() && self.refused.is_empty()
    }
}

impl Sealer<'_> {
    /// Takes one drop into the group: sealed, recognised, refused, or left until its artifacts are
    /// staged. `changed` names drops that were sealed and then found to hold something else.
    pub(crate) fn add(
        &self,
        prepared: &mut Prepared,
        intake: &mut Intake,
        changed: &HashSet<String>,
        taken: Taken,
        now: Timestamp,
    ) -> Result<(), AgentError> {
        let refuse = |refusal, hmac, size, owner, taken| Refused {
            taken,
            refusal,
            source_hmac: hmac,
            size_bytes: size,
            owner_uid: owner,
            at: now,
        };
        let Incoming {
            bytes,
            owner,
            files,
            read,
        } = match self.read(intake, changed, &taken) {
            Ok(incoming) => incoming,
            Err(NotNow::Refused(refusal)) => {
                prepared
                    .refused
                    .push(refuse(refusal, None, None, None, taken));
                return Ok(());
            }
            Err(NotNow::Later(why)) => {
                prepared.later += 1;
                prepared.troubled += 1;
                tracing::warn!(
                    state = "deferred",
                    drop = taken.shown,
                    "a drop cannot be read just now and waits: {}",
                    self.screening.text(&why)
                );
                return Ok(());
            }
            Err(NotNow::Staging) => {
                prepared.later += 1;
                return Ok(());
            }
        };
        prepared.bytes += bytes.len();
        prepared.artifacts += files.len();
        let size = bytes.len() as u64;
        let limits = Limits {
            max_depth: self.settings.drop.max_depth,
        };
        let parsed = self.screening.incident(&bytes, &limits);
        let hmac = self.keys.digest.hmac(&source_bytes(bytes, &files));
        let Screened {
            mut incident,
            mut redactions,
        } = match parsed {
            Ok(screened) => screened,
            Err(refusal) => {
                prepared
                    .refused
                    .push(refuse(refusal, Some(hmac), Some(size), Some(owner), taken));
                return Ok(());
            }
        };
        incident.body.artifacts.files = files.iter().map(|file| file.stored.clone()).collect();
        redactions.extend(intake::redactions(&files));
        let related = match self.before(prepared, &incident, hmac, &taken)? {
            Before::New(related) => related,
            Before::Leftover => {
                prepared.done.push(Done { taken, read });
                return Ok(());
            }
            Before::Duplicate(bundle_rowid) => {
                tracing::info!(
                    incident = incident.incident_id(),
                    state = "duplicate",
                    "sealed before with the same bytes; counted, not sealed again"
                );
                prepared.group.duplicates.push(Duplicate {
                    taken_token: taken.token.clone(),
                    bundle_rowid,
                    received_at: now,
                });
                prepared.done.push(Done { taken, read });
                return Ok(());
            }
            Before::WithinGroup => {
                prepared.later += 1;
                return Ok(());
            }
        };
        let runbook = self.runbook_finding(prepared, &incident.body)?;
        let timely = timeliness(&incident.body, now, self.settings.agent.lateness());
        let doubt = clock_doubt(&self.time);
        incident
            .findings
            .extend(runbook.into_iter().chain(timely).chain(doubt));
        let screened = Screened {
            incident,
            redactions,
        };
        let incident = &screened.incident;
        match self.seal(prepared, &screened, related, hmac, size, &taken, now) {
            Ok(()) => {
                prepared.done.push(Done { taken, read });
                Ok(())
            }
            Err(error) if concerns_all(&error) => Err(AgentError::Seal(error)),
            Err(error) => {
                tracing::error!(
                    incident = incident.incident_id(),
                    state = "quarantined",
                    "this incident cannot be sealed: {error:?}"
                );
                let refusal = Refusal::new("not_sealable", error.to_string());
                prepared
                    .refused
                    .push(refuse(refusal, Some(hmac), Some(size), Some(owner), taken));
                Ok(())
            }
        }
    }

    fn read(
        &self,
        intake: &mut Intake,
        changed: &HashSet<String>,
        taken: &Taken,
    ) -> Result<Incoming, NotNow> {
        let folder = match self.folder.read(taken) {
            Reading::Bytes(bytes, meta) => {
                return Ok(Incoming {
                    bytes,
                    owner: meta.owner_uid,
                    files: Vec::new(),
                    read: WasRead::File(meta),
                });
            }
            Reading::Refused(refusal) => return Err(NotNow::Refused(refusal)),
            Reading::Later(error) => return Err(NotNow::Later(error.to_string())),
            Reading::Folder(folder) => folder,
        };
        if changed.contains(&taken.token) {
            return Err(NotNow::Refused(Refusal::new(
                "changed_after_seal",
                "the folder was sealed, and then held something else than what was sealed; what \
                 it holds now is kept here",
            )));
        }
        let files = if folder.has_artifacts {
            match intake.ask(taken) {
                None => return Err(NotNow::Staging),
                Some(Outcome::Staged(files)) => files,
                Some(Outcome::Refused(refusal)) => return Err(NotNow::Refused(refusal)),
                Some(Outcome::Later(why)) => {
                    intake.forget(&taken.token);
                    return Err(NotNow::Later(why));
                }
            }
        } else {
            Vec::new()
        };
        let artifacts = files.iter().map(|f| (f.name.clone(), f.meta)).collect();
        Ok(Incoming {
            bytes: folder.bytes,
            owner: folder.owner_uid,
            files,
            read: WasRead::Folder(FolderRead {
                document: folder.document,
                artifacts,
            }),
        })
    }

    /// Builds the order, once the group is complete.
    pub(crate) fn finish(&self, prepared: &mut Prepared, now: Timestamp) {
        prepared.group.order = order(self.settings, &prepared.group.bundles, now);
        prepared.group.quarantined = prepared
            .refused
            .iter()
            .map(|refused| spool::Quarantined {
                taken_token: refused.taken.token.clone(),
                name: refused.name(),
                reason: refused.refusal.code.clone(),
                source_hmac: refused.source_hmac,
                at: refused.at,
            })
            .collect();
    }

    fn before(
        &self,
        prepared: &Prepared,
        incident: &Incident,
        hmac: Sha256,
        taken: &Taken,
    ) -> Result<Before, AgentError> {
        let within = prepared.within.get(incident.incident_id());
        if within.is_some_and(|w| w.iter().any(|one| one.source_hmac == hmac)) {
            return Ok(Before::WithinGroup);
        }
        let seen = self.spool.seen(incident.incident_id())?;
        if let Some(same) = seen.iter().find(|s| s.source_hmac == hmac) {
            return Ok(if same.taken_token.as_ref() == Some(&taken.token) {
                Before::Leftover
            } else {
                Before::Duplicate(same.bundle_rowid)
            });
        }
        let earlier = seen.iter().map(|s: &Seen| (s.bundle_id.clone(), s.sha256));
        let in_group = within
            .into_iter()
            .flatten()
            .map(|w| (w.bundle_id.to_string(), w.sha256));
        Ok(Before::New(
            earlier
                .chain(in_group)
                .map(|(bundle_id, sha256)| Related {
                    bundle_id,
                    sha256,
                    relation: code::INCIDENT_ID_REUSED.to_owned(),
                })
                .collect(),
        ))
    }

    /// Whether the runbook had another hash when this host first sealed its id and version.
    fn runbook_finding(
        &self,
        prepared: &Prepared,
        body: &IncidentBody,
    ) -> Result<Option<Finding>, AgentError> {
        let runbook = &body.runbook;
        let (id, version) = (&runbook.runbook_id, &runbook.runbook_version);
        if let Some(seen) = self.spool.runbook_seen(id, version)? {
            return Ok(runbook_changed(body, &seen.hash, &seen.bundle_id));
        }
        let within = prepared.runbooks.get(&(id.clone(), version.clone()));
        Ok(within.and_then(|(hash, bundle)| runbook_changed(body, hash, &bundle.to_string())))
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one call site; a struct would name them twice"
    )]
    fn seal(
        &self,
        prepared: &mut Prepared,
        screened: &Screened,
        related: Vec<Related>,
        hmac: Sha256,
        size_bytes: u64,
        taken: &Taken,
        now: Timestamp,
    ) -> Result<(), SealError> {
        let incident = &screened.incident;
        let head = prepared
            .head
            .clone()
            .unwrap_or_else(|| self.spool.head().clone());
        let day = utc_day(now);
        let last = prepared.last_numbers.get(&day).copied().unwrap_or(0);
        let number = 1 + last.max(self.spool.last_number(day).unwrap_or(u64::MAX - 1));
        let bundle_id = BundleId::new(day, number);
        let chain = head.next();
        let settings = self.settings;
        let path = object_path(
            &settings.client_id,
            &settings.host_id,
            &chain.chain_id,
            day,
            &bundle_id.file_name(),
        );
        let mut findings = incident.findings.clone();
        findings.extend(consistency(&incident.body, now, self.controls));
        if !related.is_empty() {
            findings.push(Finding::new(
                code::INCIDENT_ID_REUSED,
                "/incident/incident_id",
                "an earlier bundle has this incident id with other bytes",
            ));
        }
        let draft = Draft {
            bundle_id,
            kind: Kind::Incident,
            client_id: &settings.client_id,
            host_id: &settings.host_id,
            generated_at: now,
            chain,
            producer: self.producer,
            time: &self.time,
            related_to: related,
            reseals: None,
            body: SealedIncident {
                body: &incident.body,
                controls: &self
                    .controls
                    .map(incident.body.hipaa_controls(), incident.body.about()),
                source: Source {
                    hmac_sha256: hmac,
                    size_bytes,
                    received_at: now,
                },
                findings: &findings,
                redactions: &screened.redactions,
            },
            plan: plan(&settings.destinations, &path),
        };
        let sealed = draft.seal(&self.keys.signing)?;
        prepared.last_numbers.insert(day, number);
        let runbook = &incident.body.runbook;
        if is_real_sha256(&runbook.runbook_hash) {
            prepared
                .runbooks
                .entry((runbook.runbook_id.clone(), runbook.runbook_version.clone()))
                .or_insert_with(|| (runbook.runbook_hash.clone(), bundle_id));
        }
        prepared.head = Some(Head::At(sealed.position.clone()));
        prepared
            .within
            .entry(incident.incident_id().to_owned())
            .or_default()
            .push(InGroup {
                source_hmac: hmac,
                bundle_id,
                sha256: sealed.position.sha256,
            });
        prepared.group.bundles.push(NewBundle {
            sealed,
            kind: Kind::Incident,
            artifacts: artifacts(&path, &incident.body.artifacts.files),
            path,
            source: Some(IncidentSource {
                incident_id: incident.incident_id().to_owned(),
                source_hmac: hmac,
                taken_token: taken.token.clone(),
            }),
        });
        Ok(())
    }
}

/// Files with the same bytes and safe name are one object.
fn artifacts(bundle_path: &str, files: &[StoredFile]) -> Vec<Artifact> {
    let by_path: BTreeMap<String, &StoredFile> = files
        .iter()
        .map(|file| (artifact_path(bundle_path, file.sha256, &file.name), file))
        .collect();
    by_path
        .into_iter()
        .map(|(path, file)| Artifact {
            path,
            size_bytes: file.size_bytes,
            sha256: file.sha256,
        })
        .collect()
}

/// A key that does not sign, or a signature that does not verify, would fail every drop alike:
/// then nothing is sealed and all of them wait. Anything else concerns one document.
pub(crate) fn concerns_all(error: &SealError) -> bool {
    match error {
        SealError::Key(_) | SealError::SelfCheck(VerifyError::Signature(_)) => true,
        SealError::SelfCheck(_) | SealError::Json(_) => false,
    }
}
