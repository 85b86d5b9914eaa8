//! The command as a person meets it: the built program, its exit codes and its words. What needs
//! running daemons and a store is in the workspace's end-to-end tests.

mod before_daemons;
mod configuration;
mod desk;
mod keys;
mod quarantine;
mod screening;
mod submit;
mod usage;
mod verify;
