//! Outbox, receipts and quarantine against the spool.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use evidence::handover::{
    NOTICE_MAX_BYTES, NOTICE_SUFFIX, ORDER_MAX_BYTES, ORDER_SUFFIX, Order, RECEIPT_MAX_BYTES,
    RECEIPT_SUFFIX, Receipt,
};
use jiff::Timestamp;
use spool::SpoolError;
use spool::reader::Reader;

use crate::evidence_files::read_file;
use crate::finding::{Level, Part, Report};
use crate::look::{Look, changed_at};

const REASON_SUFFIX: &str = ".reason.json";

pub(crate) fn check(
    look: &Look<'_>,
    spool: &Reader,
    report: &mut Report,
) -> Result<(), SpoolError> {
    check_orders(look, spool, report)?;
    check_notices(look, spool, report)?;
    for name in names(&look.settings.paths.receipts, RECEIPT_SUFFIX) {
        let path = look.settings.paths.receipts.join(&name);
        let bytes = read_file(&path, RECEIPT_MAX_BYTES);
        if bytes.is_none_or(|bytes| Receipt::parse(&bytes).is_err()) && path.exists() {
            report.say(
                Level::Repairable,
                Part::Receipts,
                "receipt_damaged",
                name,
                "it cannot be read; the agent removes it, and the uploader writes it again",
            );
        }
    }
    Ok(())
}

fn check_orders(look: &Look<'_>, spool: &Reader, report: &mut Report) -> Result<(), SpoolError> {
    let outbox = &look.settings.paths.outbox;
    let mut open = BTreeSet::new();
    spool.each_open_order(|order| -> Result<(), SpoolError> {
        let name = format!("{}{ORDER_SUFFIX}", order.order_id);
        let made_at = Order::parse(&order.body).map_or(Timestamp::MIN, |o| o.created_at);
        match read_file(&outbox.join(&name), ORDER_MAX_BYTES) {
            Some(bytes) if bytes == order.body => {}
            _ if !look.is_settled(made_at) => {}
            Some(_) => report.say(
                Level::Repairable,
                Part::Outbox,
                "order_changed",
                &order.order_id,
                "its file is not what the spool ordered; the uploader does not act on it",
            ),
            None => report.say(
                Level::Repairable,
                Part::Outbox,
                "order_missing",
                &order.order_id,
                "its file is not there",
            ),
        }
        open.insert(name);
        Ok(())
    })?;
    for name in names(outbox, ORDER_SUFFIX) {
        if open.contains(&name) || !look.is_settled(changed_at(outbox, &name)) {
            continue;
        }
        let id = name.trim_end_matches(ORDER_SUFFIX);
        if spool.is_complete(id)? {
            report.say(
                Level::Repairable,
                Part::Outbox,
                "order_left_over",
                id,
                "everything of it is confirmed, and its file is still there",
            );
        } else {
            report.say(
                Level::Note,
                Part::Outbox,
                "order_unknown",
                id,
                "the spool does not know it: made before the spool, which was lost or restored",
            );
        }
    }
    Ok(())
}

fn check_notices(look: &Look<'_>, spool: &Reader, report: &mut Report) -> Result<(), SpoolError> {
    for (id, body) in spool.notices()? {
        let path = look
            .settings
            .paths
            .outbox
            .join(format!("{id}{NOTICE_SUFFIX}"));
        let made_at = evidence::handover::Notice::parse(&body)
            .map_or(Timestamp::MIN, |notice| notice.created_at);
        let same = read_file(&path, NOTICE_MAX_BYTES).is_some_and(|bytes| bytes == body);
        if !same && look.is_settled(made_at) {
            report.say(
                Level::Repairable,
                Part::Outbox,
                "notice_missing",
                id,
                "its file is not there, or is not what the agent wrote",
            );
        }
    }
    Ok(())
}

/// Each drop in quarantine has its reason beside it. A reason alone is a drop that an operator has
/// put back or taken out.
pub(crate) fn check_quarantine(look: &Look<'_>, report: &mut Report) {
    let folder = &look.settings.paths.quarantine;
    let all: BTreeSet<String> = names(folder, "").into_iter().collect();
    for name in &all {
        let has_reason =
            name.ends_with(REASON_SUFFIX) || all.contains(&format!("{name}{REASON_SUFFIX}"));
        if !has_reason {
            report.say(
                Level::Note,
                Part::Quarantine,
                "no_reason",
                name,
                "a file without a reason beside it; the agent did not put it there",
            );
        }
    }
}

/// Plain names with that end, sorted; none when the folder cannot be listed.
fn names(folder: &Path, suffix: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') && name.ends_with(suffix))
        .collect();
    names.sort();
    names
}
