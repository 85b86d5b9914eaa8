//! Which machine this is.

use std::io;
use std::path::Path;

use evidence::digest::Sha256;

/// The machine's identity from its machine-id(5) file, hashed: that page asks that the id itself not
/// be shown to the outside. No file is an identity like any other.
///
/// # Errors
/// When the file is there and cannot be read: for a moment's fault a machine must not be taken for
/// another, on which a new chain would begin.
pub fn digest(machine_id: &Path) -> io::Result<Sha256> {
    let id = match std::fs::read(machine_id) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    Ok(Sha256::of(
        &[b"msp-evidence chain binding\0".as_slice(), id.trim_ascii()].concat(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_is_an_identity_and_one_that_cannot_be_read_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("machine-id");
        let missing = digest(&path).unwrap();
        std::fs::write(&path, "0123\n").unwrap();
        assert_ne!(digest(&path).unwrap(), missing);
        // To root no mode is closed; a folder cannot be read by anybody.
        digest(folder.path()).unwrap_err();
    }
}
