//! The endpoint, driven by the real AWS SDK: every rule that the product relies on, every fault.

mod checksums;
mod client;
mod conditional;
mod faults;
mod lock;
mod multipart;
mod persistence;
mod requests;
mod versions;
