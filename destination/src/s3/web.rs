//! A POST to whoever is to be told of something: by the same TLS and the same proxies as a store.
//!
//! Only over https, but to this very host. Redirections are not followed: what is told is meant for
//! one address. An address may hold a token, so no error and no log shows more of it than its host.

use std::fmt;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;

use super::transport::{self, Trust};
use super::trust::CaBundle;

/// Longest wait for a connection, the request and the answer's head together.
const TIMEOUT: Duration = Duration::from_secs(15);

/// An address that may be told something.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(String);

/// Why nobody was told.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Not an address that may be told something.
    #[error("it is not an https address (http is for this very host only)")]
    NotHttps,
    /// The server said no.
    #[error("{host} answered {status}")]
    Refused {
        /// Who.
        host: String,
        /// HTTP's status.
        status: u16,
    },
    /// No answer in time.
    #[error("{host} did not answer within {} seconds", TIMEOUT.as_secs())]
    TimedOut {
        /// Who.
        host: String,
    },
    /// No connection, or none that can be trusted.
    #[error("{host} could not be reached")]
    Unreachable {
        /// Who.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The request could not be made or signed.
    #[error("the request to {host} could not be made")]
    Unmade {
        /// Who.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Url {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is neither https nor this very host.
    pub fn parse(text: &str) -> Result<Self, WebError> {
        let plain = text.bytes().all(|b| b.is_ascii_graphic());
        let is_far = text.starts_with("https://");
        let is_near = text.starts_with("http://") && transport::is_loopback(text);
        let url = Self(text.to_owned());
        if !plain || !(is_far || is_near) || url.host().is_empty() {
            return Err(WebError::NotHttps);
        }
        Ok(url)
    }

    /// The host, without user, port and path: what may be shown.
    #[must_use]
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        match host.strip_prefix('[') {
            Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({}/…)", self.host())
    }
}

/// The way to an address.
#[derive(Debug)]
pub struct Web {
    url: Url,
    connector: aws_smithy_http_client::Connector,
}

impl Web {
    /// Nothing is sent yet. `ca` is trusted instead of the system's authorities.
    #[must_use]
    pub fn new(url: Url, ca: Option<&CaBundle>) -> Self {
        let trust = ca.map_or(Trust::System, Trust::Only);
        let proxies = transport::proxies(Some(url.as_str()));
        Self {
            connector: transport::connector(trust, proxies),
            url,
        }
    }

    /// The address.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Sends `body`, once.
    ///
    /// # Errors
    /// When nobody answers, or the answer is not of the class 2xx.
    pub async fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> Result<(), WebError> {
        let host = || self.url.host().to_owned();
        let mut request = HttpRequest::new(SdkBody::from(body.to_vec()));
        let unmade = |source: Box<dyn std::error::Error + Send + Sync>| WebError::Unmade {
            host: host(),
            source,
        };
        request
            .set_method("POST")
            .map_err(|error| unmade(error.into()))?;
        request
            .set_uri(self.url.as_str())
            .map_err(|error| unmade(error.into()))?;
        for (name, value) in headers {
            request
                .headers_mut()
                .try_insert((*name).to_owned(), (*value).to_owned())
                .map_err(|error| unmade(error.into()))?;
        }
        let answer = tokio::time::timeout(TIMEOUT, self.connector.call(request))
            .await
            .map_err(|_| WebError::TimedOut { host: host() })?
            .map_err(|error| WebError::Unreachable {
                host: host(),
                source: error.into(),
            })?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(WebError::Refused {
            host: host(),
            status: answer.status().as_u16(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_or_this_very_host_is_told_anything() {
        for good in [
            "https://hooks.example.com/services/T/B/secret",
            "http://127.0.0.1:8080/hook",
            "http://localhost/hook",
        ] {
            Url::parse(good).unwrap();
        }
        for bad in [
            "http://hooks.example.com/x",
            "ftp://example.com",
            "https://",
            "https:///path",
            "https://a b/",
            "hooks.example.com",
            "",
        ] {
            assert!(matches!(Url::parse(bad), Err(WebError::NotHttps)), "{bad}");
        }
    }

    #[test]
    fn an_address_is_never_shown_but_for_its_host() {
        let url = Url::parse("https://user:word@hooks.example.com:8443/T/secret?token=x").unwrap();
        assert_eq!(url.host(), "hooks.example.com");
        assert_eq!(format!("{url:?}"), "Url(hooks.example.com/…)");
    }
}
