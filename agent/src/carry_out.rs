//! Requests carried out: those that only change the spool by [`crate::requests`], a reseal here, a
//! rotation by [`crate::rotation`] and a probe by [`crate::probe`], since they also seal.

use evidence::handover::{Action, Request};
use jiff::Timestamp;
use spool::{ChainStart, Group, Resealed};

use crate::AgentError;
use crate::destination_plan::order;
use crate::intake::staged_folder;
use crate::pass::Agent;
use crate::republish::elsewhere;
use crate::requests::{self, Asked, Done};
use crate::reseal::Resealer;

impl Agent {
    /// Says how many there were; those that could not be read just now are added to `later`.
    pub(crate) fn carry_out_requests(&mut self, later: &mut usize) -> Result<usize, AgentError> {
        let mut carried_out = 0;
        for name in self.requests.waiting()? {
            let request = match self.requests.read(&name)? {
                Asked::Request(request) => *request,
                Asked::NoRequest => continue,
                Asked::Later => {
                    *later += 1;
                    continue;
                }
            };
            match self.carry_out(request) {
                Ok(Done::Answered(answer)) => self.requests.answer(&name, &answer)?,
                Ok(_) => {}
                Err(error) => {
                    // It waits, and keeps no incident from being sealed.
                    tracing::error!(
                        state = "request_deferred",
                        request = crate::token::printable(&name, 128),
                        "{:#}",
                        anyhow::Error::from(error)
                    );
                    continue;
                }
            }
            carried_out += 1;
        }
        Ok(carried_out)
    }

    fn carry_out(&mut self, request: Request) -> Result<Done, AgentError> {
        let now = self.clock.now();
        let done = self.requests.carry_out(
            request,
            &mut self.settings,
            &mut self.spool,
            &mut self.publisher,
            &self.keys.known,
            now,
        )?;
        match done {
            Done::Elsewhere(request) => match request.action {
                Action::Rotate { .. } => self.rotate(&request, now),
                Action::Probe { .. } => self.probe(&request, now),
                _ => self.reseal(&request, now),
            },
            other => Ok(other),
        }
    }

    fn reseal(&mut self, request: &Request, now: Timestamp) -> Result<Done, AgentError> {
        let Action::Reseal {
            chain_id: asked_chain_id,
            bundle_id,
            destinations,
            reason,
        } = &request.action
        else {
            return Ok(requests::refused(request, "it is no reseal"));
        };
        let refused = |why: &str| Ok(requests::refused(request, why));
        let Some((old, chain_id)) = self.spool.bundle_named(bundle_id)? else {
            return refused(&format!("the spool has no bundle {bundle_id}"));
        };
        if chain_id != *asked_chain_id {
            return refused(&format!(
                "the spool has no bundle {bundle_id} of chain {asked_chain_id}, only another of that \
                 name; its spool was lost, and its files lie in the evidence folder"
            ));
        }
        if let Some(by) = self.spool.locations(&old)?.resealed_by {
            return refused(&format!(
                "{bundle_id} was resealed already, as {by}; reseal that"
            ));
        }
        if self.spool.pruned_at(old.bundle_rowid)?.is_some() {
            return refused(&format!(
                "{bundle_id} is confirmed wherever it is to be, and its local copy was removed: there \
                 is nothing to reseal"
            ));
        }
        let live = self.spool.live_destinations()?;
        let mut taken = Vec::new();
        for id in destinations {
            match live.iter().find(|(live, _)| live == id) {
                Some((id, uri)) => taken.push((id.as_str(), uri.as_str())),
                None => return refused(&format!("{id} is not a destination in use")),
            }
        }
        self.enough_room()?;
        self.check_head()?;
        if chain_id == self.spool.head().chain_id() {
            // Whoever took this key may go on taking the next ones.
            self.spool
                .restart_chain(ChainStart::Forked, self.machine, now)?;
            tracing::warn!(
                chain = self.spool.head().chain_id(),
                state = "chain_started",
                why = ?ChainStart::Forked,
                "a new chain begins, since keys of the old one were taken"
            );
        }
        let resealer = Resealer {
            settings: &self.settings,
            keys: &self.keys,
            producer: &self.producer,
            time: self.time_source()?,
            spool: &self.spool,
        };
        let new = match resealer.seal(&old, now) {
            Ok(new) => new,
            Err(error) => return refused(&format!("{:#}", anyhow::Error::from(error))),
        };
        let id = new.sealed.bundle_id.to_string();
        let details = serde_json::Map::from_iter([
            ("bundle_id".to_owned(), id.clone().into()),
            ("reseals".to_owned(), bundle_id.clone().into()),
        ]);
        let message = format!("{bundle_id} is resealed as {id}; both are kept");
        let applied = requests::applied(request, &message, details);
        let answer = applied.answer.clone();
        let notices: Vec<_> = taken
            .iter()
            .map(|place| resealer.notice(&old, &chain_id, *place, reason, now))
            .collect();
        let order = order(&self.settings, std::slice::from_ref(&new), now);
        let group = Group {
            bundles: vec![new],
            order,
            resealed: Some(Resealed {
                old_bundle_rowid: old.bundle_rowid,
                notices,
                reason: reason.clone(),
                by: request.requested_by.to_string(),
                applied,
            }),
            ..Group::default()
        };
        let ended = self.spool.commit(&group)?;
        self.is_published = false;
        for notice in group.resealed.iter().flat_map(|r| &r.notices) {
            self.publisher
                .notice(&notice.notice_id, &notice.to_bytes())?;
        }
        for order in &ended.completed {
            self.publisher.remove_order(order)?;
        }
        for new in &group.bundles {
            let staged = staged_folder(&self.settings.paths.evidence, "resealed");
            let spool = &self.spool;
            self.publisher
                .artifacts(&staged, &new.artifacts, |a| elsewhere(spool, a))?;
            let sealed = &new.sealed;
            let (path, id) = (new.path.clone(), sealed.bundle_id);
            self.publish(&path, id, &sealed.bytes, &sealed.signature)?;
        }
        if let Some(order) = &group.order {
            self.publisher.order(&order.order_id, &order.to_bytes())?;
        }
        self.is_published = true;
        tracing::warn!(
            bundle = id,
            state = "sealed",
            reseals = bundle_id,
            reason,
            "{message}"
        );
        Ok(Done::Answered(answer))
    }
}
