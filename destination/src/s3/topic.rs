//! A topic of Amazon SNS: one call of its query protocol (Amazon SNS API Reference, "Publish"), signed
//! with what the SDK signs with. The SDK's own client for SNS would be three times this crate.

use std::sync::Arc;

use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_async::time::TimeSource as _;

use super::clock::{ServerClock, SigningClock};
use super::connection::S3Options;
use super::credentials::Sources;
use super::trust::CaBundle;
use super::web::{Url, Web, WebError};

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// A topic that may be published to.
#[derive(Debug)]
pub struct Topic {
    arn: String,
    region: String,
    web: Web,
    sources: Sources,
    clock: SigningClock,
}

impl Topic {
    /// The topic `arn:aws:sns:REGION:ACCOUNT:NAME`; nothing is sent and no credential needed yet.
    /// `profile` and `credentials_file` are as for a destination; `endpoint` replaces AWS's own.
    ///
    /// # Errors
    /// When the endpoint is not one.
    pub fn new(
        arn: &str,
        profile: Option<String>,
        credentials_file: Option<std::path::PathBuf>,
        endpoint: Option<&str>,
        ca: Option<&CaBundle>,
    ) -> Result<Self, WebError> {
        let mut parts = arn.split(':');
        let partition = parts.nth(1).unwrap_or_default();
        let region = parts.nth(1).unwrap_or_default().to_owned();
        let domain = if partition == "aws-cn" {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        let url = match endpoint {
            Some(endpoint) => Url::parse(&format!("{}/", endpoint.trim_end_matches('/')))?,
            None => Url::parse(&format!("https://sns.{region}.{domain}/"))?,
        };
        let clock = Arc::new(ServerClock::default());
        let options = S3Options {
            profile,
            credentials_file,
            ..S3Options::new("sns", "", &region)
        };
        Ok(Self {
            arn: arn.to_owned(),
            region,
            web: Web::new(url, ca),
            sources: Sources::new(&options, &clock),
            clock: SigningClock::new(clock),
        })
    }

    /// Where it is told.
    #[must_use]
    pub fn host(&self) -> &str {
        self.web.url().host()
    }

    /// Publishes a message, once. `subject` is what a mail of it is called: ASCII, 100 characters at
    /// most.
    ///
    /// # Errors
    /// When there are no credentials, nobody answers, or the answer is not of the class 2xx.
    pub async fn publish(&self, subject: &str, message: &str) -> Result<(), WebError> {
        let unmade = |source: Box<dyn std::error::Error + Send + Sync>| WebError::Unmade {
            host: self.host().to_owned(),
            source,
        };
        let body = form(&[
            ("Action", "Publish"),
            ("Version", "2010-03-31"),
            ("TopicArn", &self.arn),
            ("Subject", subject),
            ("Message", message),
        ]);
        let credentials = self
            .sources
            .provide_credentials()
            .await
            .map_err(|error| unmade(error.into()))?;
        let identity = credentials.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("sns")
            .time(self.clock.now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| unmade(error.into()))?
            .into();
        let headers = [("content-type", FORM)];
        let request = SignableRequest::new(
            "POST",
            self.web.url().as_str(),
            headers.into_iter(),
            SignableBody::Bytes(body.as_bytes()),
        )
        .map_err(|error| unmade(error.into()))?;
        let (signed, _) = sign(request, &params)
            .map_err(|error| unmade(error.into()))?
            .into_parts();
        let mut headers = headers.to_vec();
        headers.extend(signed.headers());
        self.web.post(&headers, body.as_bytes()).await
    }
}

/// A form (WHATWG URL, "application/x-www-form-urlencoded"), with everything unusual encoded.
fn form(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(char::from(byte));
                }
                byte => text.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_says_where_it_is() {
        let host = |arn: &str| {
            let topic = Topic::new(arn, None, None, None, None).unwrap();
            topic.host().to_owned()
        };
        assert_eq!(
            host("arn:aws:sns:eu-west-1:123456789012:alarms"),
            "sns.eu-west-1.amazonaws.com"
        );
        assert_eq!(
            host("arn:aws-cn:sns:cn-north-1:123456789012:alarms"),
            "sns.cn-north-1.amazonaws.com.cn"
        );
    }

    #[test]
    fn a_form_holds_whatever_it_is_given() {
        assert_eq!(
            form(&[("a", "x y&=ä"), ("b", "1~.-_")]),
            "a=x%20y%26%3D%C3%A4&b=1~.-_"
        );
    }
}
