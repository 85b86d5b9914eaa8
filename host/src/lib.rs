//! What both daemons and the CLI share on a host: config, logging, safe files, exit codes.

pub mod config;
