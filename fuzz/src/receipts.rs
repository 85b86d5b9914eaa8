//! Receipts, as the agent reads them: from the program that is on the network.

use evidence::handover::{RECEIPT_MAX_CONFIRMATIONS, Receipt};

use super::written::comes_back;

/// A receipt that is accepted says no more than one may, and says it in one way. What it says is
/// believed only when it fits what the agent ordered: `agent/tests/agent/hostile_receipts.rs`.
pub fn holds(bytes: &[u8]) {
    let Ok(receipt) = Receipt::parse(bytes) else {
        return;
    };
    assert_eq!(receipt.receipt_version, 1);
    assert!(receipt.confirmations.len() <= RECEIPT_MAX_CONFIRMATIONS);
    comes_back(&receipt, Receipt::to_bytes, Receipt::parse);
}
