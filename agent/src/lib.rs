//! drop -> seal -> spool -> publish, and receipts back: everything on the side that holds the key
//! and has no network.

mod arguments;
mod carry_out;
mod clock;
mod custody;
mod custody_timer;
mod daemon;
mod destination_plan;
mod error;
mod folder;
mod folder_drop;
mod intake;
mod keys;
mod lost_spool;
mod metrics;
mod own_bundle;
mod pass;
mod probe;
mod prune;
mod publish;
mod quarantine;
mod receipts;
mod reload;
mod republish;
mod requests;
mod reseal;
mod rollback;
mod rotation;
mod screening;
mod seal;
mod sightings;
mod signals;
mod start;
mod status;
mod summary;
mod token;

pub use arguments::{Action, Arguments};
pub use clock::{Clock, system_clock};
pub use daemon::run;
pub use error::AgentError;
pub use intake::Waker;
pub use keys::Keys;
pub use pass::{Agent, Pass};
pub use republish::repair;
pub use screening::screen_of;
pub use summary::Summary;
