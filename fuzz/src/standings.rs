//! The agent's standing, as the uploader reads it: what it says of it leaves the host.

use evidence::handover::Standing;

use super::written::{comes_back, is_one_name};

/// A standing that is accepted holds codes and no words.
pub fn holds(bytes: &[u8]) {
    let Ok(standing) = Standing::parse(bytes) else {
        return;
    };
    assert!(standing.alarms.len() <= 64);
    assert!(standing.alarms.iter().all(|alarm| is_one_name(&alarm.code)));
    comes_back(&standing, Standing::to_bytes, Standing::parse);
}
