//! What the tests across processes share.

pub mod backlog;
pub mod browser;
pub mod bucket;
pub mod campaign;
pub mod clinic;
pub mod cosign;
pub mod disk;
pub mod faults;
pub mod guest;
pub mod incident;
pub mod interpose;
pub mod kit;
pub mod model;
pub mod network;
pub mod proxy;
pub mod report;
pub mod screening;
pub mod sealing;
pub mod servers;
pub mod sts;
pub mod tls;
pub mod tmpfs;
pub mod tools;
pub mod trace;
