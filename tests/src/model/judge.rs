//! The end of a sequence: everything is well again, and then the bucket, the host and the list of what
//! was dropped must say the same.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use destination::S3Destination;
use fsck::{Level, Look};
use jiff::Timestamp;

use super::run::Run;
use super::step::Death;
use super::{BUCKET, Figures, PATIENCE};
use crate::bucket::judge;
use crate::servers::client;

impl Run<'_> {
    /// Everything is well again; the daemons work until nothing is left to do.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        let mut figures = Figures::default();
        self.machine.die();
        self.death = Some(Death::Kill);
        self.bury(&mut figures);
        self.machine.set_full(false);
        self.heal_server();
        let began = Instant::now();
        loop {
            self.seal();
            self.deliver(Duration::from_millis(5));
            if self.is_done() {
                self.stop_all();
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                self.stop_all();
                return Err(format!("it does not settle: {:#?}", self.status()));
            }
        }
    }

    fn is_done(&self) -> bool {
        let is_empty = |folder: &str, of_interest: fn(&str) -> bool| {
            fs::read_dir(self.state.join(folder)).is_ok_and(|mut entries| {
                !entries.any(|e| of_interest(&e.unwrap().file_name().to_string_lossy()))
            })
        };
        is_empty("drop", |name| {
            !name.starts_with('.') || name.starts_with(".taken-")
        }) && is_empty("outbox", |name| name.ends_with(".order.json"))
            && is_empty("receipts", |name| name.ends_with(".receipt.json"))
            && self.status().is_some_and(|(spool, pending)| {
                spool.sealed_bundles == spool.confirmed_bundles && pending == 0
            })
    }

    fn status(&self) -> Option<(spool::reader::Counts, u64)> {
        let spool = spool::reader::Reader::open(&self.state.join("spool/spool.db")).ok()?;
        let delivery = uploader::delivery::Reader::open(&self.state.join("delivery")).ok()??;
        let summary = delivery.summary(Timestamp::now()).ok()?;
        let pending = summary
            .destinations
            .iter()
            .map(|d| d.counts.pending + d.counts.uploaded + d.counts.blocked)
            .sum();
        Some((spool.counts().ok()?, pending))
    }

    pub(super) fn judge(&self, figures: &mut Figures) -> Result<(), String> {
        let mut problems = Vec::new();
        let (counts, _) = self.status().ok_or("no status")?;
        for (what, found, expected) in [
            ("sealed", counts.sealed_incidents, self.dropped.len() as u64),
            ("duplicates", counts.duplicates, self.again),
            ("quarantined", counts.quarantined, self.broken),
        ] {
            if found != expected {
                problems.push(format!("{what}: {found}, not {expected}"));
            }
        }
        let identity = self.sandbox.credentials();
        let client = client(
            &self.sandbox.endpoint(),
            &identity.access_key,
            &identity.secret_key,
        );
        let judged = self.world.runtime.block_on(judge(
            &client,
            BUCKET,
            std::slice::from_ref(&self.world.public),
        ));
        problems.extend(judged.problems);
        let expected: BTreeSet<String> = self.dropped.values().cloned().collect();
        if judged.incidents != expected {
            problems.push(format!(
                "in the bucket: {:?}, not {expected:?}",
                judged.incidents
            ));
        }
        if judged.chains.len() > 1 {
            problems.push(format!("{} chains", judged.chains.len()));
        }
        problems.extend(self.fsck());
        if problems.is_empty() {
            figures.bundles += counts.sealed_bundles;
            Ok(())
        } else {
            Err(problems.join("\n"))
        }
    }

    fn fsck(&self) -> Vec<String> {
        let settings = self.settings();
        let keys = self.world.public.clone().into();
        let mut look = Look::open(&settings, &keys, Timestamp::MAX).unwrap();
        let mut report = look.check();
        let destination = &settings.destinations[0];
        self.world.runtime.block_on(async {
            let options = uploader::store_options(destination, &settings).unwrap();
            let store = Arc::new(S3Destination::connect(options).await);
            let (id, prefix) = (&destination.destination_id, &destination.prefix);
            fsck::check_bucket(&look, id, prefix, store, &mut report, |_| {}).await;
        });
        report
            .findings
            .iter()
            .filter(|finding| finding.level >= Level::Repairable)
            .map(|finding| format!("fsck: {finding:?}"))
            .collect()
    }
}
