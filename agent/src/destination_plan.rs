//! The plan that goes into the signed bytes, and the order that asks for it.

use evidence::bundle::{LocationState, OBJECT_LOCK_MODE, PlannedLocation};
use evidence::handover::Order;
use host::config::{DestinationSettings, Settings};
use jiff::Timestamp;
use spool::NewBundle;

use crate::requests::ordered;

/// Where a bundle at `path` is to be stored.
pub(crate) fn plan(destinations: &[DestinationSettings], path: &str) -> Vec<PlannedLocation> {
    destinations
        .iter()
        .map(|d| PlannedLocation {
            destination_id: d.destination_id.clone(),
            uri: format!("{}{path}", d.uri()),
            object_lock_mode: OBJECT_LOCK_MODE.to_owned(),
            retention_days: d.retention_days,
            state: LocationState::Planned,
        })
        .collect()
}

/// One order for a whole group: of each bundle the artifacts, then the signature, then the bundle
/// as commit marker.
pub(crate) fn order(settings: &Settings, bundles: &[NewBundle], now: Timestamp) -> Option<Order> {
    let first = &bundles.first()?.sealed.position;
    Some(Order {
        order_version: 1,
        order_id: format!("{}-{:012}", first.chain_id, first.sequence),
        client_id: settings.client_id.clone(),
        host_id: settings.host_id.clone(),
        chain_id: first.chain_id.clone(),
        created_at: now,
        destinations: settings.destinations.iter().map(ordered).collect(),
        objects: bundles.iter().flat_map(NewBundle::objects).collect(),
    })
}
