//! `/etc/msp/evidence.toml`, parsed and validated.

mod settings;

pub use settings::{
    AgentSettings, DestinationSettings, DropSettings, LogFormat, LogSettings, OnSealed, Paths,
    Settings, Signing, UploaderSettings,
};
