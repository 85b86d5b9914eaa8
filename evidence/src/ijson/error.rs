//! Why a document is not I-JSON, in words that quote nothing of it.

use std::borrow::Cow;
use std::fmt;

/// What is wrong with a document; the names are stable and go into reason files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// Not UTF-8 (RFC 7493 section 2.1).
    NotUtf8,
    /// A byte order mark before the document (RFC 8259 section 8.1).
    ByteOrderMark,
    /// Two members of one object have the same name (RFC 7493 section 2.3).
    DuplicateKey,
    /// An escape that is half a surrogate pair (RFC 7493 section 2.1).
    LoneSurrogate,
    /// `NaN`, `Infinity` or `-Infinity` (RFC 8259 section 6).
    NotFinite,
    /// Nested deeper than the limit.
    TooDeep,
    /// The document ends too early.
    Truncated,
    /// Something follows the document.
    TrailingBytes,
    /// Anything else that is not JSON (RFC 8259).
    Syntax,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 9] = [
        Self::NotUtf8,
        Self::ByteOrderMark,
        Self::DuplicateKey,
        Self::LoneSurrogate,
        Self::NotFinite,
        Self::TooDeep,
        Self::Truncated,
        Self::TrailingBytes,
        Self::Syntax,
    ];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::ByteOrderMark => "byte_order_mark",
            Self::DuplicateKey => "duplicate_key",
            Self::LoneSurrogate => "lone_surrogate",
            Self::NotFinite => "not_finite",
            Self::TooDeep => "too_deep",
            Self::Truncated => "truncated",
            Self::TrailingBytes => "trailing_bytes",
            Self::Syntax => "syntax",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A document that is not I-JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What is wrong.
    pub code: Code,
    /// JSON pointer of the value at fault, made presentable; empty for the whole document.
    pub path: String,
    /// What is wrong in words, with a position but without content.
    pub message: Cow<'static, str>,
}

impl Error {
    pub(super) fn new(
        code: Code,
        path: impl Into<String>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            code,
            path: path.into(),
            message: message.into(),
        }
    }
}
