//! The main job across processes: agent and uploader as they are installed, a store that locks.

mod ansible_role;
mod artifacts;
mod audit;
mod audit_collecting;

mod clones;
mod crash;
mod crash_points;
mod credentials;
mod destinations;
mod disaster;
mod doctor;
mod executors;
mod exhaustion;
mod fleet;
mod fsck;
mod hold;
mod hostile;
mod incident;
mod journey;
mod kits;
mod large;
mod network;
mod producers;
mod pruning;
mod rotation;
mod screened;
mod selecting;
mod setup;
mod stores;
mod without_our_program;
