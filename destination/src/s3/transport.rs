//! The way to a server: whom its certificate must come from, and through which proxy.
//!
//! A destination's `ca_file` is trusted *instead of* the system's authorities: whoever runs an
//! authority of their own means that no other vouches for the store. Calls to STS trust both, as
//! AWS's own STS is not behind that authority.
//!
//! Proxies are those of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, in
//! capitals or not). A store on this very host is reached directly, and so are the instance's and
//! the container's metadata services, which no proxy could reach.

use aws_sdk_s3::config::SharedHttpClient;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};

use super::trust::CaBundle;

/// Who vouches for a server.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trust<'a> {
    /// The system's authorities.
    System,
    /// These alone.
    Only(&'a CaBundle),
    /// These and the system's.
    Both(&'a CaBundle),
}

/// A way to whoever `trust` vouches for, for requests that are not the SDK's.
pub(super) fn connector(trust: Trust<'_>, proxies: ProxyConfig) -> Connector {
    Connector::builder()
        .proxy_config(proxies)
        .tls_provider(Provider::rustls(CryptoMode::AwsLc))
        .tls_context(context(trust))
        .build()
}

fn context(trust: Trust<'_>) -> TlsContext {
    let store = match trust {
        Trust::System => TrustStore::default(),
        Trust::Only(ca) => TrustStore::empty().with_pem_certificate(ca.pem()),
        Trust::Both(ca) => TrustStore::default().with_pem_certificate(ca.pem()),
    };
    TlsContext::builder()
        .with_trust_store(store)
        .build()
        // It only puts the parts together; certificates are read later, and were by `CaBundle`.
        .expect("a context of valid parts")
}

/// A client that speaks to whoever `trust` vouches for.
pub(super) fn client(trust: Trust<'_>, proxies: ProxyConfig) -> SharedHttpClient {
    let context = context(trust);
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder()
            .proxy_config(proxies.clone())
            .tls_provider(Provider::rustls(CryptoMode::AwsLc))
            .tls_context(context.clone());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.build()
    })
}

/// The environment's proxies, unless the endpoint is on this host.
pub(super) fn proxies(endpoint: Option<&str>) -> ProxyConfig {
    if endpoint.is_some_and(is_loopback) {
        ProxyConfig::disabled()
    } else {
        ProxyConfig::from_env()
    }
}

/// `localhost` and below (RFC 6761 section 6.3), or a loopback address.
pub(super) fn is_loopback(endpoint: &str) -> bool {
    let rest = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let host = host.to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_host_is_loopback() {
        for near in [
            "http://127.0.0.1:9000",
            "https://localhost/",
            "http://LOCALHOST:1",
            "http://bucket.localhost:1",
            "http://[::1]:9000",
        ] {
            assert!(is_loopback(near), "{near}");
        }
        for far in [
            "https://s3.example.com",
            "https://localhost.example.com",
            "http://10.0.0.1:9000",
            "http://[fd00::1]",
        ] {
            assert!(!is_loopback(far), "{far}");
        }
    }
}
