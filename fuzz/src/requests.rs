//! What operators ask of the agent, and what it answers.

use evidence::bundle::BundleId;
use evidence::handover::{Action, Answer, REASON_MAX_BYTES, Request};

use super::written::{comes_back, is_one_line, is_one_name};

/// A request that is accepted names what is to be changed by safe names, in words of one line.
pub fn holds(bytes: &[u8]) {
    if let Ok(answer) = Answer::parse(bytes) {
        comes_back(&answer, Answer::to_bytes, Answer::parse);
    }
    let Ok(request) = Request::parse(bytes) else {
        return;
    };
    let reason_holds = |reason: &str| assert!(is_one_line(reason, REASON_MAX_BYTES));
    assert!(is_one_name(&request.request_id));
    match &request.action {
        Action::Retire {
            destination_id,
            reason,
        } => {
            assert!(is_one_name(destination_id));
            reason_holds(reason);
        }
        Action::Backfill { destination_id, .. } => assert!(is_one_name(destination_id)),
        Action::Probe { reason } => reason_holds(reason),
        Action::Reseal {
            chain_id,
            bundle_id,
            destinations,
            reason,
        } => {
            assert!(is_one_name(chain_id) && bundle_id.parse::<BundleId>().is_ok());
            assert!(!destinations.is_empty() && destinations.iter().all(|id| is_one_name(id)));
            reason_holds(reason);
        }
        Action::Rotate {
            to_key_id,
            reason,
            by,
        } => {
            assert_eq!(to_key_id.len(), "sha256:".len() + 64);
            reason_holds(reason);
            by.iter().for_each(|by| reason_holds(by));
        }
    }
    if let Some(name) = &request.requested_by.sudo_user {
        reason_holds(name);
    }
    comes_back(&request, Request::to_bytes, Request::parse);
}
