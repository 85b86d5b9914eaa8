//! What monitoring is told by daemons that run, and what it makes of it.

mod dashboard;
mod hooks;
mod rules;
mod told;
mod watch;
