//! The store's clock, kept from the `Date` of every answer (RFC 9110 section 6.6.1).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;
use jiff::{SignedDuration, Timestamp};

use super::answer::time;

/// The last date that the store sent, and when it came by the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct ServerClock(Mutex<Option<(Timestamp, Instant)>>);

impl ServerClock {
    pub(super) fn now(&self) -> Option<Timestamp> {
        let (date, since) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let passed = SignedDuration::try_from(since.elapsed()).ok()?;
        date.checked_add(passed).ok()
    }

    fn set(&self, date: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((date, Instant::now()));
    }
}

/// Requests are signed with the store's date once it is known: a store refuses a request that is
/// dated 15 minutes wrong, whoever's clock is wrong, and without retries in the SDK nothing else
/// corrects it. The SDK's own correction, which its client learns from the same answers, is switched
/// off: after a jump of the store's clock both together would date the next request wrong again.
#[derive(Debug)]
pub(super) struct SigningClock(Arc<ServerClock>);

impl SigningClock {
    pub(super) fn new(clock: Arc<ServerClock>) -> Self {
        Self(clock)
    }
}

impl TimeSource for SigningClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the SDK signs by SystemTime, here until a Date came"
    )]
    fn now(&self) -> SystemTime {
        self.0.now().map_or_else(SystemTime::now, SystemTime::from)
    }
}

/// Reads an HTTP date.
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    DateTime::from_str(text, Format::HttpDate)
        .ok()
        .as_ref()
        .and_then(time)
}

/// Sees every answer, also the refusals.
#[derive(Debug)]
pub(super) struct DateKeeper(Arc<ServerClock>);

impl DateKeeper {
    pub(super) fn new(clock: Arc<ServerClock>) -> Self {
        Self(clock)
    }
}

impl Intercept for DateKeeper {
    fn name(&self) -> &'static str {
        "DateKeeper"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date").and_then(http_date) {
            self.0.set(date);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_date_is_read_and_then_goes_on() {
        let clock = ServerClock::default();
        assert_eq!(clock.now(), None);
        let date = http_date("Sat, 21 Nov 2026 10:00:00 GMT").unwrap();
        assert_eq!(date, "2026-11-21T10:00:00Z".parse().unwrap());
        clock.set(date);
        let now = clock.now().unwrap();
        assert!(now >= date && now < date + SignedDuration::from_secs(60));
        assert_eq!(http_date("yesterday"), None);
    }
}
