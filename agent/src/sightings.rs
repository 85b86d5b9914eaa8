//! Bundles that the uploader found in a bucket and not on this host: was the host restored from an
//! older snapshot?
//!
//! Read as hostile: only this host's own signature counts, and only a bundle of the present chain that
//! the spool has never had. Then going on would give places to other bytes that the bucket already
//! holds: a new chain begins, which names the last bundle that was seen.

use evidence::bundle::{BundleId, ChainPosition, ChainStart};
use evidence::handover::{SIGHTING_MAX_BYTES, SIGHTING_SUFFIX, Sighting};
use host::files::{self, FileError};

use crate::AgentError;
use crate::pass::Agent;
use crate::token::printable;

/// A flood is read a piece at a time.
const FILES_AT_ONCE: usize = 16;

impl Agent {
    /// Looks at the sightings that wait, and removes them.
    pub(crate) fn heed_sightings(&mut self) -> Result<(), AgentError> {
        let names = self.receipts.waiting(SIGHTING_SUFFIX, FILES_AT_ONCE)?;
        for name in names {
            match files::read_capped(self.receipts.dir(), &name, SIGHTING_MAX_BYTES) {
                // That says nothing about the file; it is read in another pass.
                Err(FileError::Io { .. }) => continue,
                Err(error) => tracing::error!(
                    state = "sighting_refused",
                    sighting = printable(&name, 128),
                    "a sighting cannot be read and was removed: {error}"
                ),
                Ok(contents) => match Sighting::parse(&contents.bytes) {
                    Err(error) => tracing::error!(
                        state = "sighting_refused",
                        sighting = printable(&name, 128),
                        "a sighting is not one and was removed: {error}"
                    ),
                    Ok(sighting) => self.heed(&sighting)?,
                },
            }
            self.receipts.remove(&name);
        }
        Ok(())
    }

    fn heed(&mut self, sighting: &Sighting) -> Result<(), AgentError> {
        let bundle = self
            .keys
            .known
            .verify(sighting.bundle.as_bytes(), sighting.signature.as_bytes());
        let Ok(bundle) = bundle else {
            tracing::error!(
                state = "sighting_refused",
                destination = sighting.destination_id,
                "a bundle that the uploader says the bucket has is not signed by this host; ignored"
            );
            return Ok(());
        };
        let header = bundle.header();
        let is_of_this_chain = header.client_id == self.settings.client_id
            && header.host_id == self.settings.host_id
            && header.chain.chain_id == self.spool.head().chain_id();
        let Ok(id) = header.bundle_id.parse::<BundleId>() else {
            return Ok(());
        };
        if !is_of_this_chain || self.spool.knows_bundle(&header.bundle_id)? {
            return Ok(());
        }
        let seen = ChainPosition {
            chain_id: header.chain.chain_id.clone(),
            sequence: header.chain.sequence,
            sha256: bundle.sha256(),
        };
        tracing::error!(
            state = "rolled_back",
            bundle = header.bundle_id,
            destination = sighting.destination_id,
            chain = seen.chain_id,
            sequence = seen.sequence,
            "the bucket has a bundle of this chain that this host has forgotten: an older snapshot was \
             restored. A new chain begins; msp-evidence fsck --bucket shows what is missing here, and \
             fsck --rebuild brings it back"
        );
        // A name of a forgotten bundle would be easy to mistake.
        self.spool.pass_number(id)?;
        let now = self.clock.now();
        self.spool
            .restart_chain_after(ChainStart::RolledBack, self.machine, seen, now)?;
        self.head_path = None;
        Ok(())
    }
}
