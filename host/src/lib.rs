//! What both daemons and the CLI share on a host: config, logging, safe files, secrets, locks.
//!
//! Everything here is about one machine. No tokio, no SQL, no network: the agent depends on this
//! crate, and the agent must not be able to reach anything.

pub mod age;
pub mod alarm;
pub mod config;
pub mod disk;
pub mod exit;
pub mod failure;
pub mod files;
pub mod heart;
pub mod instance;
pub mod logging;
pub mod machine;
pub mod metrics;
pub mod notify;
pub mod owner;
pub mod reload;
pub mod secret;
pub mod signing_keys;
pub mod waiting;
