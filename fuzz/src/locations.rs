//! `EB-….locations.json`, as scripts and the audit read it.

use evidence::bundle::Locations;

use super::written::comes_back;

/// A document that is accepted is written and read again as the same.
pub fn holds(bytes: &[u8]) {
    let Ok(locations) = serde_json::from_slice::<Locations>(bytes) else {
        return;
    };
    comes_back(
        &locations,
        |l| serde_json::to_vec_pretty(l).expect("plain structs serialise"),
        |b| serde_json::from_slice(b),
    );
}
