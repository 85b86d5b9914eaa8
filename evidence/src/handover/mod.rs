//! What the two daemons hand each other, as files renamed into a folder (design: the data's way).
//!
//! The agent publishes immutable [`Order`]s in `outbox/`; the uploader answers with [`Receipt`]s
//! in `receipts/`. Neither side trusts the other: the uploader re-hashes every file it sends,
//! and the agent parses receipts as hostile and accepts only what speaks of objects it sealed.

mod order;
mod receipt;

pub use order::{
    Order, OrderError, OrderedDestination, OrderedObject, Role, is_safe_name, is_safe_path,
};
pub use receipt::{Confirmation, Proof, Receipt, ReceiptError};

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
