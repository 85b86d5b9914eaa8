//! The agent in process: real folders, real SQLite, real keys; only the clock is the test's.

mod artifacts;
mod chain;
mod clinic;
mod custody;
mod folder;
mod hostile_drops;
mod hostile_receipts;
mod probe;
mod pruning;
mod races;
mod receipts;
mod rotation;
mod screening;
mod truth;
