//! Rotation: the key in use names the next one, and from then on the next one signs.
//!
//! What makes it true is the commit of one bundle, signed by the old key: before it everything is as it
//! was, and after it the spool's newest bundle says which key is in use, wherever the key files lie. The
//! request is recorded by the same commit. So a crash anywhere leaves a host that signs with exactly one
//! key, and the command that asked puts the files in place, now or when it is run again.

use std::sync::Arc;

use evidence::bundle::Kind;
use evidence::custody::CustodyCause;
use evidence::handover::{Action, Request};
use evidence::rotation::{Rotation, RotationBody};
use host::signing_keys;
use jiff::Timestamp;
use serde_json::Map;
use spool::Group;

use crate::AgentError;
use crate::keys::open_next;
use crate::pass::Agent;
use crate::requests::{self, Done};

impl Agent {
    pub(crate) fn rotate(&mut self, request: &Request, now: Timestamp) -> Result<Done, AgentError> {
        let Action::Rotate {
            to_key_id,
            reason,
            by,
        } = &request.action
        else {
            return Ok(requests::refused(request, "it is no rotation"));
        };
        let refused = |why: &str| Ok(requests::refused(request, why));
        let from_key_id = self.keys.signing.public().key_id();
        if *to_key_id == from_key_id {
            return refused(&format!("{to_key_id} is the key in use"));
        }
        let next = match open_next(&self.settings.signing) {
            Ok(next) => next,
            Err(error) => {
                return refused(&format!(
                    "{:#}: it needs the password of the key in use, and this user's permission",
                    anyhow::Error::from(error)
                ));
            }
        };
        let found = next.public().key_id();
        if found != *to_key_id {
            return refused(&format!("the next key is {found}, not {to_key_id}"));
        }
        if signing_keys::retired(&self.settings.signing.key, next.public()).exists() {
            return refused(&format!(
                "{found} signed before, and a key that was left is not taken up again: make a new one"
            ));
        }
        self.enough_room()?;
        self.check_head()?;
        let rotation = Rotation {
            from_key_id: from_key_id.clone(),
            to_key_id: found.clone(),
            to_public_key: next.public().to_pem(),
            reason: reason.clone(),
            by: by
                .clone()
                .unwrap_or_else(|| request.requested_by.to_string()),
        };
        let new = self.seal_own(Kind::Rotation, RotationBody { rotation }, now)?;
        let (id, sequence) = (new.sealed.bundle_id, new.sealed.position.sequence);
        let details = Map::from_iter([
            ("bundle_id".to_owned(), id.to_string().into()),
            ("from_key_id".to_owned(), from_key_id.clone().into()),
            ("to_key_id".to_owned(), found.clone().into()),
        ]);
        let message =
            format!("{id} rotates from {from_key_id} to {found}, which signs from now on");
        let applied = requests::applied(request, &message, details);
        let answer = applied.answer.clone();
        let with = Group {
            applied: Some(applied),
            ..Group::default()
        };
        let committed = self.commit_own(new, with, now);
        if self.spool.head().sequence() == sequence {
            // Also when its files could not be published: they are, by the next pass.
            self.keys = Arc::new(self.keys.rotated(&self.settings.signing, next));
        }
        committed?;
        tracing::warn!(
            bundle = %id,
            sequence,
            state = "rotated",
            from = from_key_id,
            to = found,
            reason,
            "{message}"
        );
        // The rotation stands whether or not this is sealed now; then the next custody names it.
        if let Err(error) = self.attest_because(CustodyCause::Rotation) {
            tracing::error!(
                state = "custody_deferred",
                "no custody after the rotation; the next one names it: {:#}",
                anyhow::Error::from(error)
            );
        }
        Ok(Done::Answered(answer))
    }
}
