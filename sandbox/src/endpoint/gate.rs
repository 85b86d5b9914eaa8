//! The HTTP layer around the S3 service: the clock's skew and `Date`, the faults that concern the
//! connection, and the request log.
//!
//! The order is that of S3: a request too far from the server's clock is refused before its
//! signature is looked at; what was committed stays committed when the answer is lost.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, EXPECT, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::tz::TimeZone;
use s3s::service::S3Service;

use super::exchange::Exchange;
use super::request_body::RequestBody;
use super::response_body;
use crate::clock::Clock;
use crate::faults::Action;
use crate::request_log::{Outcome, Request as LogEntry, RequestLog};

/// How far a request's date may be from ours (Amazon S3 error responses, RequestTimeTooSkewed).
const MAX_SKEW_SECS: i64 = 900;

/// Closes the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was closed on purpose")]
pub(crate) struct Dropped;

/// What all connections of an endpoint share.
pub(crate) struct Gate {
    pub(crate) service: S3Service,
    pub(crate) clock: Clock,
    pub(crate) log: Arc<RequestLog>,
}

impl Gate {
    pub(crate) async fn serve(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<s3s::Body>, Dropped> {
        let exchange = Exchange::default();
        let (mut parts, incoming) = request.into_parts();
        parts.extensions.insert(exchange.clone());
        let waits_for_continue = parts.headers.contains_key(EXPECT);
        let skewed = self.skew(&parts.headers);
        let body = RequestBody::new(incoming, exchange.clone());
        let rest = body.clone();

        let response = match skewed {
            Some(refusal) => refusal,
            None => {
                let body = s3s::Body::http_body_unsync(body);
                match self.service.call(Request::from_parts(parts, body)).await {
                    Ok(response) => response,
                    Err(_) => error(
                        500,
                        "InternalError",
                        "We encountered an internal error.",
                        "",
                    ),
                }
            }
        };
        let unread = exchange.inner().small_body.is_none();
        let drops = |action: &Action| {
            matches!(action, Action::DropBeforeCommit | Action::DropAfterCommit).then_some(())
        };
        if exchange.find(drops).is_some() {
            self.record(&exchange, Outcome::Dropped);
            return Err(Dropped);
        }
        // A client that waits for "100 Continue" has not sent its body and need not.
        if !(unread && waits_for_continue) {
            rest.drain().await;
        }
        let response = self.finish(&exchange, response).await;
        self.record(&exchange, outcome(&response));
        Ok(response)
    }

    /// The refusal of a request whose date is too far from our clock.
    fn skew(&self, headers: &http::HeaderMap) -> Option<Response<s3s::Body>> {
        let text = headers.get("x-amz-date")?.to_str().ok()?;
        let date = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
        let date = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let now = self.clock.now();
        if now.duration_since(date).as_secs().abs() <= MAX_SKEW_SECS {
            return None;
        }
        let details = format!(
            "<RequestTime>{text}</RequestTime><ServerTime>{}</ServerTime>\
             <MaxAllowedSkewMilliseconds>{}</MaxAllowedSkewMilliseconds>",
            now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            MAX_SKEW_SECS * 1000
        );
        let message = "The difference between the request time and the current time is too large.";
        Some(error(403, "RequestTimeTooSkewed", message, &details))
    }

    /// Applies what faults do to a response, and adds the headers that every response has.
    async fn finish(
        &self,
        exchange: &Exchange,
        mut response: Response<s3s::Body>,
    ) -> Response<s3s::Body> {
        if let Some(spoilt) = exchange.find(|action| match action {
            Action::AnswerAfterCommit {
                status,
                code,
                message,
            } => Some(error(
                *status,
                code,
                if message.is_empty() { code } else { message },
                "",
            )),
            _ => None,
        }) {
            response = spoilt;
        }
        if let Some(millis) = exchange.find(|action| match action {
            Action::StallResponse { millis } => Some(*millis),
            _ => None,
        }) {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        if let Some(size_bytes) = response.body().size_hint().exact()
            && !response.headers().contains_key(CONTENT_LENGTH)
            && response.status() != StatusCode::NO_CONTENT
            && response.status() != StatusCode::NOT_MODIFIED
        {
            response
                .headers_mut()
                .insert(CONTENT_LENGTH, HeaderValue::from(size_bytes));
        }
        response =
            exchange
                .inner()
                .actions
                .iter()
                .fold(response, |response, action| match action {
                    Action::SlowBody {
                        piece_bytes,
                        pause_millis,
                    } => {
                        let pause = Duration::from_millis(*pause_millis);
                        response.map(|body| response_body::slow(body, *piece_bytes, pause))
                    }
                    Action::CutBody { after_bytes } => {
                        response.map(|body| response_body::cut(body, *after_bytes))
                    }
                    _ => response,
                });
        let id: String = std::iter::repeat_with(fastrand::alphanumeric)
            .take(16)
            .collect();
        if let Ok(id) = HeaderValue::from_str(&id.to_uppercase()) {
            response.headers_mut().insert("x-amz-request-id", id);
        }
        response
            .headers_mut()
            .insert("server", HeaderValue::from_static("sandbox"));
        if let Some(date) = http_date(self.clock.now()) {
            response.headers_mut().insert(DATE, date);
        }
        response
    }

    fn record(&self, exchange: &Exchange, outcome: Outcome) {
        let inner = exchange.inner();
        self.log.ended(LogEntry {
            at: self.clock.now(),
            operation: inner.operation.clone(),
            bucket: inner.bucket.clone(),
            key: inner.key.clone(),
            access_key: inner.access_key.clone(),
            outcome,
        });
    }
}

/// An error in S3's XML; `details` are further elements.
fn error(status: u16, code: &str, message: &str, details: &str) -> Response<s3s::Body> {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code>\
         <Message>{}</Message>{details}</Error>",
        escape(code),
        escape(message)
    );
    let mut response = Response::new(s3s::Body::from(xml));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn outcome(response: &Response<s3s::Body>) -> Outcome {
    let status = response.status();
    let body = (status.as_u16() >= 400)
        .then(|| response.body().bytes())
        .flatten();
    let code = body.and_then(|body| {
        let text = std::str::from_utf8(&body).ok()?;
        let (_, rest) = text.split_once("<Code>")?;
        Some(rest.split_once("</Code>")?.0.to_owned())
    });
    Outcome::Answered {
        status: status.as_u16(),
        code,
    }
}

/// RFC 9110, 5.6.7.
fn http_date(at: Timestamp) -> Option<HeaderValue> {
    let text = DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&at)
        .ok()?;
    HeaderValue::from_str(&text).ok()
}
