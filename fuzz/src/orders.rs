//! Work orders, as the uploader reads them.

use std::collections::HashSet;

use evidence::handover::Order;

use super::written::{comes_back, is_one_name, stays_below};

/// An order that is accepted names nothing outside the evidence folder, each place once, and asks
/// for a COMPLIANCE lock.
pub fn holds(bytes: &[u8]) {
    let Ok(order) = Order::parse(bytes) else {
        return;
    };
    assert!(is_one_name(&order.order_id));
    assert!(!order.objects.is_empty() && !order.destinations.is_empty());
    let mut paths = HashSet::new();
    for object in &order.objects {
        assert!(is_one_name(&object.bundle_id));
        assert!(stays_below(&object.path) && object.path.len() <= 900);
        assert!(paths.insert(&object.path), "two objects at one place");
    }
    let mut ids = HashSet::new();
    for destination in &order.destinations {
        assert!(is_one_name(&destination.destination_id));
        assert!(
            ids.insert(&destination.destination_id),
            "an id with two meanings"
        );
        assert_eq!(destination.object_lock_mode, "COMPLIANCE");
        assert!(destination.retention_days > 0);
    }
    comes_back(&order, Order::to_bytes, Order::parse);
}
