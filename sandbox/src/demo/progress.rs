//! Each incident on its way through the stages, told by the daemons' own log lines.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::executor::Dropped;

pub(crate) struct Progress {
    sender: Option<UnboundedSender<Value>>,
    events: UnboundedReceiver<Value>,
    bundle_of: BTreeMap<String, String>,
    incident_of: BTreeMap<String, String>,
    confirmed: usize,
    quarantined: usize,
    duplicates: usize,
}

impl Default for Progress {
    fn default() -> Self {
        let (sender, events) = unbounded_channel();
        Self {
            sender: Some(sender),
            events,
            bundle_of: BTreeMap::new(),
            incident_of: BTreeMap::new(),
            confirmed: 0,
            quarantined: 0,
            duplicates: 0,
        }
    }
}

impl Progress {
    /// Where the daemons' events go.
    pub(crate) fn channel(&self) -> UnboundedSender<Value> {
        self.sender.clone().unwrap_or_else(|| unbounded_channel().0)
    }

    /// Bundle ids of this run, by incident.
    pub(crate) const fn bundles(&self) -> &BTreeMap<String, String> {
        &self.bundle_of
    }

    /// Listens until every incident is confirmed and every other drop is where it belongs.
    pub(crate) async fn until_done(&mut self, dropped: &Dropped) -> Result<()> {
        // Only the daemons keep the channel open: should both end, this ends as well.
        self.sender = None;
        while self.confirmed < dropped.incidents.len()
            || self.quarantined < dropped.malformed
            || self.duplicates < dropped.duplicates
        {
            let event = self.events.recv().await.context("both daemons ended")?;
            self.hear(&event, dropped);
        }
        Ok(())
    }

    fn hear(&mut self, event: &Value, dropped: &Dropped) {
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        match text("state") {
            "sealed" if dropped.incidents.contains(text("incident")) => {
                let (incident, bundle) = (text("incident").to_owned(), text("bundle").to_owned());
                eprintln!("  sealed      {incident}  as {bundle}");
                self.incident_of.insert(bundle.clone(), incident.clone());
                self.bundle_of.insert(incident, bundle);
            }
            // The bundle itself is the last of its objects to go.
            "uploaded" if text("path").ends_with(".json") => {
                self.tell("uploaded", text("bundle"), text("destination"));
            }
            // Both daemons say it of their own part; the agent's word, that the receipt was
            // believed and the locations completed, is the end of the way.
            "confirmed" if event.get("retain_until").is_some() && self.is_agents(event) => {
                self.tell(
                    "confirmed",
                    text("bundle"),
                    &format!("locked until {}", text("retain_until")),
                );
                self.confirmed += usize::from(self.incident_of.contains_key(text("bundle")));
            }
            "quarantined" if !text("reason").is_empty() => {
                self.quarantined += 1;
                eprintln!("  quarantined {}  {}", text("drop"), text("reason"));
            }
            "duplicate" => {
                self.duplicates += 1;
                eprintln!(
                    "  duplicate   {}  sealed before, not sealed again",
                    text("incident")
                );
            }
            _ => {}
        }
    }

    fn is_agents(&self, event: &Value) -> bool {
        event["target"]
            .as_str()
            .is_some_and(|target| target.starts_with("agent::"))
    }

    fn tell(&self, stage: &str, bundle: &str, more: &str) {
        if let Some(incident) = self.incident_of.get(bundle) {
            eprintln!("  {stage:11} {incident}  {bundle}  {more}");
        }
    }
}
