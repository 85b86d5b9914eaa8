//! Which machine this is.

use std::path::Path;

use evidence::digest::Sha256;

/// The machine's identity from its machine-id(5) file, hashed: that page asks that the id itself not
/// be shown to the outside. A file that cannot be read is an identity like any other.
#[must_use]
pub fn digest(machine_id: &Path) -> Sha256 {
    let id = std::fs::read(machine_id).unwrap_or_default();
    Sha256::of(&[b"msp-evidence chain binding\0".as_slice(), id.trim_ascii()].concat())
}
