//! Who calls, whether they may, and which faults strike: after the signature, before anything is
//! read or done.

use std::sync::Arc;
use std::time::Duration;

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3Result};

use super::refuse;
use crate::endpoint::Exchange;
use crate::faults::{Action, Faults};
use crate::identity::{Identities, action_of};
use crate::request_log::RequestLog;

/// Looks up secret keys.
pub(super) struct Auth(pub(super) Identities);

#[async_trait::async_trait]
impl S3Auth for Auth {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.0.get(access_key) {
            Some(identity) => Ok(SecretKey::from(identity.secret_key.as_str())),
            None => Err(refuse::with(
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
            )),
        }
    }
}

/// Notes the request, lets faults strike, checks permissions.
pub(super) struct Gatekeeper {
    pub(super) identities: Identities,
    pub(super) faults: Arc<Faults>,
    pub(super) log: Arc<RequestLog>,
}

#[async_trait::async_trait]
impl S3Access for Gatekeeper {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = cx.s3_op().name().to_owned();
        let bucket = cx.s3_path().get_bucket_name().map(str::to_owned);
        let key = cx.s3_path().get_object_key().map(str::to_owned);
        let access_key = cx
            .credentials()
            .map(|credentials| credentials.access_key.clone());
        let identity = access_key
            .as_deref()
            .and_then(|access_key| self.identities.get(access_key));
        let query = cx.uri().query().unwrap_or_default().to_owned();
        let matched_key = key.clone().or_else(|| parameter(&query, "prefix"));
        let names_version = parameter(&query, "versionId").is_some();
        let exchange = cx
            .extensions_mut()
            .get_or_insert_default::<Exchange>()
            .clone();

        self.log.arrived(&operation);
        let actions = self.faults.strike(&operation, matched_key.as_deref());
        {
            let mut inner = exchange.inner();
            inner.operation.clone_from(&operation);
            inner.bucket = bucket;
            inner.key.clone_from(&key);
            inner.access_key = access_key;
            inner.identity.clone_from(&identity);
            inner.actions.clone_from(&actions);
        }
        for action in &actions {
            match action {
                Action::StallRequest { millis } => {
                    tokio::time::sleep(Duration::from_millis(*millis)).await;
                }
                Action::Answer {
                    status,
                    code,
                    message,
                } => {
                    return Err(refuse::scripted(*status, code, message));
                }
                // The HTTP layer closes the connection; whatever is answered here is not sent.
                Action::DropBeforeCommit => return Err(refuse::access_denied()),
                _ => {}
            }
        }

        let Some(identity) = identity else {
            return Err(refuse::access_denied());
        };
        let token = cx.headers().get("x-amz-security-token");
        if let Some(wanted) = &identity.session_token
            && token.is_none_or(|token| token.as_bytes() != wanted.as_bytes())
        {
            return Err(refuse::with(
                "InvalidToken",
                "The provided token is malformed or otherwise invalid.",
            ));
        }
        let in_reach = key.is_none_or(|key| key.starts_with(&identity.key_prefix));
        if !in_reach || !identity.may(action_of(&operation, names_version)) {
            return Err(refuse::access_denied());
        }
        Ok(())
    }
}

/// A parameter of the query, percent-decoded.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then_some(value)
    })?;
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let pair = [rest.next()?, rest.next()?];
                let pair = std::str::from_utf8(&pair).ok()?;
                bytes.push(u8::from_str_radix(pair, 16).ok()?);
            }
            b'+' => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Denies an extra permission that an operation needs.
pub(super) fn require(exchange: &Exchange, action: &str) -> Result<(), S3Error> {
    if exchange.may(action) {
        Ok(())
    } else {
        Err(refuse::access_denied())
    }
}

/// Whether governance retention is bypassed: asked for, and permitted.
pub(super) fn bypass(exchange: &Exchange, asked: Option<bool>) -> Result<bool, S3Error> {
    if asked != Some(true) {
        return Ok(false);
    }
    require(exchange, "BypassGovernanceRetention")?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_and_decoded() {
        let query = "versions&prefix=a%2Fb+c&versionId=x";
        assert_eq!(parameter(query, "prefix").as_deref(), Some("a/b c"));
        assert_eq!(parameter(query, "versionId").as_deref(), Some("x"));
        assert_eq!(parameter(query, "versions"), None);
        assert_eq!(parameter("prefix=%4", "prefix"), None);
    }
}
