//! What the two daemons hand each other, as files renamed into a folder (design: the data's way).
//!
//! The agent publishes immutable [`Order`]s in `outbox/`; the uploader answers with [`Receipt`]s
//! in `receipts/`. Neither side trusts the other: the uploader re-hashes every file it sends,
//! and the agent parses receipts as hostile and accepts only what speaks of objects it sealed.
//! A [`Notice`] in `outbox/` ends deliveries; a [`Request`] in `requests/` is how the operator's
//! command asks the agent for what only the agent may change.

mod notice;
mod order;
mod receipt;
mod request;
mod sighting;
mod standing;

pub use notice::{Notice, NoticeError, NoticedBundle};
pub use order::{
    Order, OrderError, OrderedDestination, OrderedObject, Role, is_safe_name, is_safe_path,
};
pub use receipt::{Confirmation, Proof, Receipt, ReceiptError};
pub use request::{
    Action, Answer, REASON_MAX_BYTES, Request, RequestError, Requester, is_request_id,
};
pub use sighting::{Sighting, SightingError};
pub use standing::{Standing, StandingAlarm, StandingError};

/// Whether `text` is a line of words: not blank, at most [`REASON_MAX_BYTES`], and nothing in it
/// that a log or a terminal would not show as it is.
#[must_use]
pub fn is_line(text: &str) -> bool {
    !text.trim().is_empty()
        && text.len() <= REASON_MAX_BYTES
        && !text.contains(crate::ijson::is_unsafe_to_show)
}

/// A sighting file's name ends so, in `receipts/`.
pub const SIGHTING_SUFFIX: &str = ".sighting.json";
/// Larger bundles are not sighted: a smaller one beside it says the same.
pub const SIGHTED_BUNDLE_MAX_BYTES: u64 = 4 << 20;
/// No sighting is larger: a bundle and its signature, escaped.
pub const SIGHTING_MAX_BYTES: u64 = 16 << 20;
/// An order file's name ends so; anything else in `outbox/` is not an order.
pub const ORDER_SUFFIX: &str = ".order.json";
/// A receipt file's name ends so; anything else in `receipts/` is not a receipt.
pub const RECEIPT_SUFFIX: &str = ".receipt.json";
/// No order is larger: a group commit of 64 bundles is about 100 KB.
pub const ORDER_MAX_BYTES: u64 = 16 << 20;
/// No receipt is larger; the uploader splits, the agent refuses.
pub const RECEIPT_MAX_BYTES: u64 = 1 << 20;
/// No receipt carries more confirmations.
pub const RECEIPT_MAX_CONFIRMATIONS: usize = 512;
/// A notice file's name ends so, in `outbox/`.
pub const NOTICE_SUFFIX: &str = ".notice.json";
/// No notice is larger.
pub const NOTICE_MAX_BYTES: u64 = 16 << 10;
/// The agent's standing, in `outbox/`: one file, replaced.
pub const STANDING_NAME: &str = "agent.standing.json";
/// No standing is larger.
pub const STANDING_MAX_BYTES: u64 = 16 << 10;
/// A request file's name ends so, in `requests/`.
pub const REQUEST_SUFFIX: &str = ".request.json";
/// An answer file's name ends so, in `requests/`.
pub const ANSWER_SUFFIX: &str = ".answer.json";
/// No request and no answer is larger.
pub const REQUEST_MAX_BYTES: u64 = 64 << 10;

/// Below a host's own prefix in a bucket: the folder of the objects that `doctor --write-probe` stores
/// to see whether it may. They are no evidence, and stay locked as long as evidence.
pub const WRITE_PROBE_FOLDER: &str = "write-probes";

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;

    /// Each limit is one side's promise and the other side's refusal, so none may slip.
    #[test]
    fn the_limits_are_those_of_the_format() {
        assert_eq!(ORDER_MAX_BYTES, 16 * KIB * KIB);
        assert_eq!(RECEIPT_MAX_BYTES, KIB * KIB);
        assert_eq!(NOTICE_MAX_BYTES, 16 * KIB);
        assert_eq!(STANDING_MAX_BYTES, 16 * KIB);
        assert_eq!(REQUEST_MAX_BYTES, 64 * KIB);
        assert_eq!(SIGHTED_BUNDLE_MAX_BYTES, 4 * KIB * KIB);
        assert_eq!(SIGHTING_MAX_BYTES, 16 * KIB * KIB);
    }
}
