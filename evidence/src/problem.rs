//! What a check of one of the databases finds.

/// Something in a database that its writer never leaves so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind, for scripts.
    pub code: &'static str,
    /// The bundle, order or table concerned.
    pub item: String,
    /// In words.
    pub message: String,
}
