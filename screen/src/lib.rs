//! Screening: what must not be locked for six years is found and taken out before sealing.
//!
//! Secrets and patient identifiers are found by rules: those of gitleaks, our own, and a client's.
//! Whatever a rule finds is replaced by a marker that names the rule and a keyed digest, so that two
//! places with the same value can still be told to be the same, by whoever holds the key, and by
//! nobody once it is destroyed. The crate does no I/O but what its caller's readers and writers do.
//!
//! Nothing here can blow up: the regular expressions are automata (the `regex` crate), every pass is
//! over the text once, and the number of passes is bounded.

mod check;
mod document;
mod engine;
mod entropy;
mod gitleaks;
mod hit;
mod marker;
mod options;
mod own;
mod redact;
mod rule;
mod stream;
mod unwrap;
mod wide;

pub use document::{FoundAt, Place, ScreenedDocument};
pub use engine::Screen;
pub use gitleaks::{GITLEAKS_VERSION, LeftOut};
pub use hit::{Found, Hit};
pub use marker::MARKER_START;
pub use options::{Allow, CustomRule, Options, OptionsError};
pub use redact::{Counts, Redacted};
pub use rule::{Action, Origin, Rule};
pub use stream::{HEAD_BYTES, Stream, Streamed, is_text};
