//! The bucket templates below `packaging/bucket`: do the tools accept them, what do their policies
//! allow, and what can somebody with stolen credentials do to a real store?

mod create;
mod doctor;
mod policies;
mod stolen;
mod templates;
mod workbench;
