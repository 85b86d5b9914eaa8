//! Why a drop cannot be sealed. It ends up in a reason file, so it quotes nothing of the drop.

use std::borrow::Cow;

use serde::Serialize;

use crate::ijson;

/// Why a drop cannot be sealed.
///
/// The codes are stable: those of [`ijson::Code`], and
/// - `not_an_object`: the document is JSON, but no object;
/// - `missing_field`: a required field is not there;
/// - `wrong_type`: a known field has another JSON type than it must have;
/// - `bad_name`: an id or name is empty, longer than [`super::MAX_NAME_CHARS`] or holds control
///   characters;
/// - `bad_timestamp`: a time is not RFC 3339 with an offset;
/// - `bad_number`: a number is negative, not whole or out of range where it must not be;
/// - `conflicting_fields`: both `actions` and `actions_taken` are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{code} at {path:?}: {message}")]
pub struct Refusal {
    /// The stable code.
    pub code: Cow<'static, str>,
    /// JSON pointer of the field at fault, made presentable; empty for the whole document.
    pub path: String,
    /// What is wrong and what is expected, in words.
    pub message: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn new(
        code: &'static str,
        path: impl Into<String>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            code: Cow::Borrowed(code),
            path: path.into(),
            message: message.into(),
        }
    }
}

impl From<ijson::Error> for Refusal {
    fn from(error: ijson::Error) -> Self {
        Self {
            code: Cow::Borrowed(error.code.as_str()),
            path: error.path,
            message: error.message,
        }
    }
}
