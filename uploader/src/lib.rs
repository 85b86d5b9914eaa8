//! upload and confirm: takes orders from the outbox, stores each object once, locked, at every
//! destination, proves by version what is stored, and writes receipts.
//!
//! The uploader has the network and the bucket's credentials and never the signing key. It
//! trusts no one: orders are parsed as untrusted, files are hashed again before they are sent,
//! and a store's word counts only when it is read back by version. Nothing is called confirmed
//! without a proven COMPLIANCE lock; nothing is ever given up or overwritten.

pub mod daemon;
pub mod delivery;
pub mod policy;
pub mod status;

mod arguments;
mod desk;
mod hooks;
mod metrics;
mod outbox;
mod receipts;
mod store;
mod upload;
mod worker;

pub use arguments::{Action, Arguments};
pub use hooks::Audience;
pub use store::{credentials_are_closed, store_options};
pub use worker::health::{Breaker, Trouble};
