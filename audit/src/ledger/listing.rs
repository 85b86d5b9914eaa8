//! Writing down what was listed, page by page, each together with where the next one begins.

use evidence::record::RECORD_FOLDER;
use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::values::{int, us};
use super::{Ledger, LedgerError};
use crate::place::Place;
use crate::source::{Listed, Marker, Page};

/// How far listing has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedTo {
    /// So many of the folders that are looked at are listed whole.
    pub folders: usize,
    /// Where the next one goes on.
    pub after: Option<Marker>,
    /// Everything is listed.
    pub is_done: bool,
}

impl Ledger {
    /// How far listing has come.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn listed_to(&self) -> Result<ListedTo, LedgerError> {
        match self.meta("listed_to")? {
            None => Ok(ListedTo::default()),
            Some(text) => {
                serde_json::from_str(&text).map_err(|_| LedgerError::Damaged("listed_to"))
            }
        }
    }

    /// Writes down a page of a listing, and how far that is, together.
    pub(crate) fn add_page(&self, page: &Page, listed_to: &ListedTo) -> Result<(), LedgerError> {
        self.together(|| {
            for entry in &page.entries {
                self.add_listed(entry)?;
            }
            let text =
                serde_json::to_string(listed_to).map_err(|_| LedgerError::Damaged("listed_to"))?;
            self.set_meta("listed_to", &text)
        })
    }

    fn add_listed(&self, listed: &Listed) -> Result<(), LedgerError> {
        let (role, belongs_to) = role_of(&listed.path);
        let state = if listed.is_delete_marker || belongs_to.is_none() {
            "not_to_read"
        } else {
            "unread"
        };
        self.sql()
            .prepare_cached(
                "INSERT OR IGNORE INTO version (path, version_id, role, bundle_path,
                   is_delete_marker, is_latest, listed_bytes, last_modified_us, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                listed.path,
                listed.version_id,
                role,
                belongs_to,
                listed.is_delete_marker,
                listed.is_latest,
                int(listed.size_bytes),
                listed.last_modified.map(us),
                state,
            ])?;
        Ok(())
    }
}

/// What an object is, and the path of the bundle or record that it belongs to.
fn role_of(path: &str) -> (&'static str, Option<String>) {
    if let Some(place) = Place::of(path) {
        return (place.role.as_str(), Some(place.bundle_path));
    }
    let name = path
        .strip_prefix(RECORD_FOLDER)
        .and_then(|rest| rest.strip_prefix("/REC-"));
    match name {
        Some(name) if !name.contains('/') && name.ends_with(".json") => {
            ("record", Some(path.to_owned()))
        }
        Some(name) if !name.contains('/') && name.ends_with(".json.bundle") => (
            "record_signature",
            path.strip_suffix(".bundle").map(str::to_owned),
        ),
        _ => ("other", None),
    }
}
