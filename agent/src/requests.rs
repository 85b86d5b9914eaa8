//! What operators ask of the agent, by files in `requests/` (the only way to change spool.db).
//!
//! A request is carried out by the transaction that records it, so a crash repeats nothing: the
//! answer is written again from the spool, and only then is the request removed. What is refused
//! changed nothing and is not recorded.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use evidence::bundle::OBJECT_LOCK_MODE;
use evidence::handover::{
    ANSWER_SUFFIX, Action, Answer, Notice, Order, OrderedDestination, REQUEST_MAX_BYTES,
    REQUEST_SUFFIX, Request,
};
use evidence::keys::HostKeys;
use host::config::{DestinationSettings, Settings};
use host::files::{self, Durability, FileError, Replace};
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Map, Value, json};
use spool::{AppliedRequest, Spool};

use crate::AgentError;
use crate::prune::bring_back;
use crate::publish::Publisher;
use crate::token::printable;

/// Bundles of one backfill order.
const BUNDLES_AT_ONCE: usize = 64;
/// Backfill orders of one pass: sealing is not held up for longer than they take.
const ORDERS_AT_ONCE: usize = 32;

pub(crate) struct Requests {
    path: PathBuf,
    dir: OwnedFd,
    /// How far backfills have come: the last row looked at, and bundles ordered.
    backfills: HashMap<String, (i64, u64)>,
}

/// What a file in the folder is.
pub(crate) enum Asked {
    Request(Box<Request>),
    /// Nothing that can be carried out, and gone.
    NoRequest,
    /// It cannot be read just now, and stays.
    Later,
}

/// What is done about a request.
pub(crate) enum Done {
    /// Carried out, or refused: this is the answer.
    Answered(Vec<u8>),
    /// Not finished; the next pass goes on.
    GoesOn,
    /// Another part of the agent carries it out.
    Elsewhere(Box<Request>),
}

impl Requests {
    pub(crate) fn open(path: PathBuf) -> Result<Self, AgentError> {
        use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
        let failed = |source| AgentError::Folder {
            path: path.clone(),
            source,
        };
        if !path.exists() {
            std::fs::DirBuilder::new()
                .mode(0o700)
                .create(&path)
                .map_err(failed)?;
        }
        // Whoever may put a request here commands the agent.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
        let dir = files::open_dir(&path).map_err(AgentError::file(&path))?;
        Ok(Self {
            path,
            dir,
            backfills: HashMap::new(),
        })
    }

    /// The requests that wait, in the order of their ids.
    pub(crate) fn waiting(&self) -> Result<Vec<OsString>, AgentError> {
        let names = files::names(&self.dir, 1000).map_err(AgentError::file(&self.path))?;
        let is_request = |name: &OsString| {
            let name = name.to_string_lossy();
            name.ends_with(REQUEST_SUFFIX) && !name.starts_with('.')
        };
        Ok(names.into_iter().filter(is_request).collect())
    }

    /// Reads a request; what is none is logged and removed.
    pub(crate) fn read(&self, name: &OsString) -> Result<Asked, AgentError> {
        let read = files::read_capped(&self.dir, name, REQUEST_MAX_BYTES);
        if let Err(error @ FileError::Io { .. }) = read {
            // That says nothing about the request: no descriptor left, a disk that fails.
            tracing::error!(
                state = "request_deferred",
                request = printable(name, 128),
                "a request cannot be read just now and waits: {:#}",
                anyhow::Error::from(error)
            );
            return Ok(Asked::Later);
        }
        let read = read
            .map_err(|e| e.to_string())
            .and_then(|c| Request::parse(&c.bytes).map_err(|e| e.to_string()))
            .and_then(|request| {
                let named = format!("{}{REQUEST_SUFFIX}", request.request_id);
                if named.as_str() == name {
                    Ok(request)
                } else {
                    Err("the file is named otherwise than the request in it".to_owned())
                }
            });
        match read {
            Ok(request) => Ok(Asked::Request(Box::new(request))),
            Err(reason) => {
                tracing::error!(
                    state = "request_refused",
                    request = printable(name, 128),
                    reason,
                    "a file in requests/ is no request; it was removed"
                );
                self.remove(name)?;
                Ok(Asked::NoRequest)
            }
        }
    }

    /// Carries a request out, or says who does.
    pub(crate) fn carry_out(
        &mut self,
        request: Request,
        settings: &mut Settings,
        spool: &mut Spool,
        publisher: &mut Publisher,
        keys: &HostKeys,
        now: Timestamp,
    ) -> Result<Done, AgentError> {
        if let Some(answer) = spool.answer(&request.request_id)? {
            return Ok(Done::Answered(answer));
        }
        match &request.action {
            Action::Retire {
                destination_id,
                reason,
            } => {
                let (id, reason) = (destination_id.clone(), reason.clone());
                retire(&request, &id, &reason, settings, spool, publisher, now)
            }
            Action::Backfill {
                destination_id,
                since,
            } => {
                let (id, since) = (destination_id.clone(), *since);
                self.backfill(&request, &id, since, settings, spool, publisher, keys, now)
            }
            Action::Reseal { .. } | Action::Rotate { .. } | Action::Probe { .. } => {
                Ok(Done::Elsewhere(Box::new(request)))
            }
        }
    }

    /// Writes the answer, and only then removes the request.
    pub(crate) fn answer(&mut self, name: &OsString, answer: &[u8]) -> Result<(), AgentError> {
        let id = name.to_string_lossy();
        let id = id.strip_suffix(REQUEST_SUFFIX).unwrap_or(&id);
        files::publish(
            &self.dir,
            format!("{id}{ANSWER_SUFFIX}"),
            answer,
            0o600,
            Durability::None,
            Replace::Yes,
        )
        .map_err(AgentError::file(&self.path))?;
        self.backfills.remove(id);
        self.remove(name)
    }

    fn remove(&self, name: &OsString) -> Result<(), AgentError> {
        match files::remove(&self.dir, name) {
            Ok(()) | Err(FileError::NotFound { .. }) => Ok(()),
            Err(error) => Err(AgentError::file(&self.path)(error)),
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one call site; a struct would name them twice"
    )]
    fn backfill(
        &mut self,
        request: &Request,
        id: &str,
        since: Option<Date>,
        settings: &Settings,
        spool: &mut Spool,
        publisher: &mut Publisher,
        keys: &HostKeys,
        now: Timestamp,
    ) -> Result<Done, AgentError> {
        let Some(destination) = settings
            .destinations
            .iter()
            .find(|d| d.destination_id == id)
        else {
            return Ok(refused(request, &not_live(id)));
        };
        let (mut after, mut bundles) = self
            .backfills
            .get(&request.request_id)
            .copied()
            .unwrap_or((0, 0));
        for _ in 0..ORDERS_AT_ONCE {
            let Some(found) = spool.unordered(id, since, after, BUNDLES_AT_ONCE)? else {
                let details = Map::from_iter([("bundles".to_owned(), json!(bundles))]);
                let mut message = format!("{bundles} bundles ordered for {id}");
                let not_here = spool.not_here(id, since)?;
                if not_here > 0 {
                    message.push_str(&format!(
                        "; {not_here} were left out, since their artifacts are not on this host any \
                         more: `msp-evidence fsck --rebuild` fetches them from where they are stored"
                    ));
                }
                tracing::info!(destination = id, bundles, state = "backfilled", "{message}");
                let applied = applied(request, &message, details);
                spool.record(&applied, now)?;
                return Ok(Done::Answered(applied.answer));
            };
            let order = Order {
                order_version: 1,
                order_id: format!("{}-{:012}-{id}", found.chain_id, found.first_sequence),
                client_id: settings.client_id.clone(),
                host_id: settings.host_id.clone(),
                chain_id: found.chain_id,
                created_at: now,
                destinations: vec![ordered(destination)],
                objects: found.objects,
            };
            bring_back(spool, publisher, &found.bundle_rowids, keys)?;
            spool.backfill(&order, &found.bundle_rowids)?;
            publisher.order(&order.order_id, &order.to_bytes())?;
            bundles += found.bundle_rowids.len() as u64;
            after = found.bundle_rowids.last().copied().unwrap_or(after);
        }
        self.backfills
            .insert(request.request_id.clone(), (after, bundles));
        Ok(Done::GoesOn)
    }
}

fn retire(
    request: &Request,
    id: &str,
    reason: &str,
    settings: &mut Settings,
    spool: &mut Spool,
    publisher: &Publisher,
    now: Timestamp,
) -> Result<Done, AgentError> {
    let live = spool.live_destinations()?;
    let Some((_, uri)) = live.iter().find(|(live, _)| live == id) else {
        return Ok(refused(request, &not_live(id)));
    };
    if !settings.destinations.iter().any(|d| d.destination_id != id) {
        return Ok(refused(
            request,
            &format!("{id} is the last destination, evidence would go nowhere: add another first"),
        ));
    }
    let notice = Notice {
        notice_version: 1,
        notice_id: format!("retired-{id}"),
        client_id: settings.client_id.clone(),
        host_id: settings.host_id.clone(),
        created_at: now,
        destination_id: id.to_owned(),
        uri: uri.clone(),
        bundle: None,
        reason: reason.to_owned(),
    };
    let by = request.requested_by.to_string();
    let mut answer = Vec::new();
    let ended = spool.retire(
        &notice,
        &by,
        |ended| {
            let message = format!(
                "{id} is retired; {} objects are no longer waited for there; remove it from the \
                 configuration",
                ended.objects
            );
            let details = Map::from_iter([("objects".to_owned(), json!(ended.objects))]);
            let applied = applied(request, &message, details);
            answer.clone_from(&applied.answer);
            applied
        },
        now,
    )?;
    settings.destinations.retain(|d| d.destination_id != id);
    publisher.notice(&notice.notice_id, &notice.to_bytes())?;
    for order in &ended.completed {
        publisher.remove_order(order)?;
    }
    tracing::warn!(
        destination = id,
        state = "retired",
        reason,
        by,
        objects = ended.objects,
        "the destination is retired; what is not confirmed there is no longer waited for"
    );
    Ok(Done::Answered(answer))
}

/// A destination as an order names it.
pub(crate) fn ordered(destination: &DestinationSettings) -> OrderedDestination {
    OrderedDestination {
        destination_id: destination.destination_id.clone(),
        uri: destination.uri(),
        object_lock_mode: OBJECT_LOCK_MODE.to_owned(),
        retention_days: destination.retention_days,
    }
}

fn not_live(id: &str) -> String {
    format!(
        "{id} is not in use: it is not configured, or retired, or the agent was not restarted since \
         it was configured"
    )
}

/// An answer that says No; nothing was changed.
pub(crate) fn refused(request: &Request, why: &str) -> Done {
    tracing::error!(
        state = "request_refused",
        request = request.request_id,
        kind = request.action.as_str(),
        "{why}"
    );
    Done::Answered(answer(request, false, why, Map::new()).to_bytes())
}

/// A request that is carried out, with its answer.
pub(crate) fn applied(
    request: &Request,
    message: &str,
    details: Map<String, Value>,
) -> AppliedRequest {
    AppliedRequest {
        request_id: request.request_id.clone(),
        answer: answer(request, true, message, details).to_bytes(),
    }
}

fn answer(request: &Request, ok: bool, message: &str, details: Map<String, Value>) -> Answer {
    Answer {
        answer_version: 1,
        request_id: request.request_id.clone(),
        ok,
        message: message.to_owned(),
        details,
    }
}
