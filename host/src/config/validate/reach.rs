//! How a destination is reached: endpoint, certificates, encryption, credentials.

use std::path::PathBuf;

use super::{absolute, given, given_path};
use crate::config::file::DestinationSection;
use crate::config::places::Places;

/// The part of a destination's settings that says how, not where to.
pub(super) struct Reach {
    pub(super) endpoint: Option<String>,
    pub(super) use_dual_stack: bool,
    pub(super) use_fips: bool,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) sse_kms_key_id: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) credentials_file: Option<PathBuf>,
}

/// Takes them from the section of the destination `id`.
pub(super) fn reach(
    id: &str,
    section: &mut DestinationSection,
    places: &Places,
    warnings: &mut Vec<String>,
) -> Reach {
    let key = |name: &str| format!("destination.{id}.{name}");
    let endpoint = given(section.endpoint.take());
    if let Some(url) = &endpoint {
        check_endpoint(url, &key("endpoint"), places, warnings);
    }
    let of_aws = |name: &str, chosen: Option<bool>| {
        let chosen = chosen.unwrap_or(false);
        if chosen && endpoint.is_some() {
            places.problem(
                &key(name),
                chosen,
                "it chooses among AWS's own endpoints, and endpoint is set",
                "remove one of the two",
            );
        }
        chosen
    };
    let path = |name: &str, path: Option<PathBuf>| {
        given_path(path).map(|path| absolute(places, &key(name), path))
    };
    let ca_file = path("ca_file", section.ca_file.take());
    if let (Some(file), Some(url)) = (&ca_file, &endpoint)
        && url.starts_with("http://")
    {
        places.problem(
            &key("ca_file"),
            file.display(),
            "endpoint is not encrypted, so there is no certificate to check",
            "use https in endpoint, or remove ca_file",
        );
    }
    let sse_kms_key_id = given(section.sse_kms_key_id.take());
    if let Some(id) = &sse_kms_key_id
        && !is_kms_key(id)
    {
        places.problem(
            &key("sse_kms_key_id"),
            format!("{id:?}"),
            "it is not the name of a KMS key",
            "use the key's id, its ARN, or alias/NAME",
        );
    }
    Reach {
        use_dual_stack: of_aws("use_dual_stack", section.use_dual_stack),
        use_fips: of_aws("use_fips", section.use_fips),
        profile: given(section.profile.take()),
        credentials_file: path("credentials_file", section.credentials_file.take()),
        endpoint,
        ca_file,
        sse_kms_key_id,
    }
}

/// A key's id, `alias/…` or an ARN (AWS KMS API Reference, "KeyId": at most 2,048 characters).
fn is_kms_key(id: &str) -> bool {
    let usual = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'/' | b':');
    id.len() <= 2048 && id.bytes().all(usual)
}

fn check_endpoint(url: &str, key: &str, places: &Places, warnings: &mut Vec<String>) {
    let (rest, encrypted) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (rest, true),
        (None, Some(rest)) => (rest, false),
        (None, None) => ("", false),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    // A name in front of the host would be a credential, and the value is printed in messages.
    if authority.is_empty() || authority.contains(['/', '@', '?', '#', ' ']) {
        let shown = if url.contains('@') {
            "(hidden: it has an `@`)".to_owned()
        } else {
            format!("{url:?}")
        };
        places.problem(
            key,
            shown,
            "it is not an endpoint",
            "use https://HOST or https://HOST:PORT, without user, path or query",
        );
        return;
    }
    let loopback = ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .any(|host| authority == *host || authority.starts_with(&format!("{host}:")));
    if !encrypted && !loopback {
        warnings.push(format!(
            "{key} = {url:?} is not encrypted: evidence travels readable through the network \
             (45 CFR 164.312(e)(1)); use https"
        ));
    }
}
