//! Hostile kits: evidence as somebody would forge it who wants an audit to pass.
//!
//! Each file in `tests/kits/` is one kit: how it is made, step by step, and what an audit must say of
//! it. The steps are played onto a bucket or into a folder, since version ids, locks and dates of a
//! store cannot be kept in files.

mod forge;
mod header;
mod host;
mod play;
mod shelf;

pub use forge::Files;
pub use header::{
    Auditor, Claim, Expect, Fault, Forgery, Header, KeyringEntry, Lie, Moment, Part, Predecessor,
    Script, Step, Storing, Verb,
};
pub use host::{DESTINATION, Host, Made, RETENTION_DAYS};
pub use play::{Played, play};
pub use shelf::{Laid, Shelf};

use crate::tools::workspace_root;

/// A kit.
pub struct Kit {
    /// The file's name, without its ending.
    pub name: String,
    /// What it says.
    pub header: Header,
}

/// Every kit, sorted by name.
///
/// # Panics
/// When one of them cannot be read: the error names the file.
#[must_use]
pub fn all() -> Vec<Kit> {
    let folder = workspace_root().join("tests/kits");
    let mut kits: Vec<Kit> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let header =
                toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            Kit { name, header }
        })
        .collect();
    kits.sort_by(|a, b| a.name.cmp(&b.name));
    kits
}
