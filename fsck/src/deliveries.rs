//! delivery.db against itself and against what was sealed.

use spool::reader::Reader as Spool;
use uploader::delivery::{Delivered, DeliveryError, Reader, State};

use crate::finding::{Level, Part, Report};
use crate::look::Look;

pub(crate) fn check(
    look: &Look<'_>,
    delivery: &Reader,
    report: &mut Report,
) -> Result<(), DeliveryError> {
    delivery.check(|problem| {
        report.say(
            Level::Repairable,
            Part::Delivery,
            "delivery_damaged",
            problem.item,
            format!("{}: {}", problem.code, problem.message),
        );
    })?;
    delivery.each_delivery(|delivered| {
        report.deliveries += 1;
        if let Some(spool) = &look.spool {
            compare(spool, &delivered, report);
        }
    })
}

/// What is delivered is what was sealed. A bundle that the spool does not know was sealed before it.
fn compare(spool: &Spool, delivered: &Delivered, report: &mut Report) {
    let sealed = spool.sealed_object(&delivered.path, delivered.role);
    let Ok(Some((sha256, size_bytes))) = sealed else {
        return;
    };
    if (sha256, size_bytes) == (delivered.sha256, delivered.size_bytes) {
        return;
    }
    let level = if delivered.state == State::Confirmed {
        Level::Damaged
    } else {
        Level::Repairable
    };
    report.say(
        level,
        Part::Delivery,
        "delivery_damaged",
        &delivered.bundle_id,
        format!(
            "{} was delivered with another digest than was sealed",
            delivered.path
        ),
    );
}
