//! Notices, as the uploader reads them.

use evidence::handover::{Notice, REASON_MAX_BYTES};

use super::written::{comes_back, is_one_line, is_one_name};

/// A notice that is accepted names what it ends by safe names, and its reason is one line.
pub fn holds(bytes: &[u8]) {
    let Ok(notice) = Notice::parse(bytes) else {
        return;
    };
    assert!(is_one_name(&notice.notice_id) && is_one_name(&notice.destination_id));
    if let Some(bundle) = &notice.bundle {
        assert!(is_one_name(&bundle.chain_id) && is_one_name(&bundle.bundle_id));
    }
    assert!(is_one_line(&notice.reason, REASON_MAX_BYTES));
    assert!(!notice.uri.is_empty());
    comes_back(&notice, Notice::to_bytes, Notice::parse);
}
