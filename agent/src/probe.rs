//! A probe: sealed, uploaded, locked and confirmed like an incident, and excluded from every count. It
//! shows at set-up that the way from the signing key to the lock works, before the first incident does.
//!
//! The commit that seals it records the request, so a crash seals one and no second one.

use evidence::bundle::Kind;
use evidence::handover::{Action, Request};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Map;
use spool::Group;

use crate::AgentError;
use crate::pass::Agent;
use crate::requests::{self, Done};

/// The body of a probe bundle, as it stands in the document.
#[derive(Serialize)]
struct ProbeBody<'a> {
    probe: Probe<'a>,
}

#[derive(Serialize)]
struct Probe<'a> {
    /// Why, in the operator's words.
    reason: &'a str,
    /// Who asked.
    by: String,
}

impl Agent {
    pub(crate) fn probe(&mut self, request: &Request, now: Timestamp) -> Result<Done, AgentError> {
        let Action::Probe { reason } = &request.action else {
            return Ok(requests::refused(request, "it is no probe"));
        };
        self.enough_room()?;
        self.check_head()?;
        let body = ProbeBody {
            probe: Probe {
                reason,
                by: request.requested_by.to_string(),
            },
        };
        let new = self.seal_own(Kind::Probe, body, now)?;
        let (id, sequence) = (new.sealed.bundle_id, new.sealed.position.sequence);
        let details = Map::from_iter([("bundle_id".to_owned(), id.to_string().into())]);
        let message = format!("{id} is sealed: a probe, which is no evidence of anything");
        let applied = requests::applied(request, &message, details);
        let answer = applied.answer.clone();
        let with = Group {
            applied: Some(applied),
            ..Group::default()
        };
        self.commit_own(new, with, now)?;
        tracing::info!(bundle = %id, sequence, state = "sealed", kind = "probe", reason, "{message}");
        Ok(Done::Answered(answer))
    }
}
