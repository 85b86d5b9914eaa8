//! Sightings, as the agent reads them: from the program that is on the network.

use evidence::handover::Sighting;

use super::written::{comes_back, is_one_name};

/// A sighting that is accepted names itself and the destination by safe names. The bundle in it is
/// for the `bundle_verifier`.
pub fn holds(bytes: &[u8]) {
    let Ok(sighting) = Sighting::parse(bytes) else {
        return;
    };
    assert!(is_one_name(&sighting.sighting_id) && is_one_name(&sighting.destination_id));
    comes_back(&sighting, Sighting::to_bytes, Sighting::parse);
}
