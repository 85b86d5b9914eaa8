//! A session of MinIO's own user, limited by a policy: `AssumeRole` of MinIO's STS. The SDK's own
//! provider wants an ARN in the answer, which MinIO leaves empty.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::SystemTime;

use aws_sdk_s3::config::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use jiff::Timestamp;

use crate::servers::{REGION, Server};
use crate::tools::workspace_root;

/// The policy of an uploader that is shipped for MinIO, of this host.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn writer_policy(bucket: &str, client: &str, host: &str) -> String {
    let path = workspace_root().join("packaging/bucket/minio/writer-policy.json");
    std::fs::read_to_string(path)
        .unwrap()
        .replace("BUCKET", bucket)
        .replace("CLIENT", client)
        .replace("HOST", host)
}

/// Credentials that may do what `policy` allows.
///
/// # Panics
/// When the server gives none.
#[must_use]
pub fn session(server: &Server, policy: &str) -> Credentials {
    let (access_key, secret_key) = server.credentials();
    let identity = Identity::from(Credentials::new(access_key, secret_key, None, None, "root"));
    let body = format!(
        "Action=AssumeRole&Version=2011-06-15&DurationSeconds=3600&Policy={}",
        encoded(policy)
    );
    let host = server.endpoint.trim_start_matches("http://");
    let mut headers = vec![
        ("host".to_owned(), host.to_owned()),
        (
            "content-type".to_owned(),
            "application/x-www-form-urlencoded".to_owned(),
        ),
    ];
    let url = format!("{}/", server.endpoint);
    let signable = SignableRequest::new(
        "POST",
        &url,
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
        SignableBody::Bytes(body.as_bytes()),
    )
    .unwrap();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name("sts")
        .time(SystemTime::from(Timestamp::now()))
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    let (signed, _) = instructions.into_parts();
    headers.extend(
        signed
            .iter()
            .map(|header| (header.name().to_owned(), header.value().to_owned())),
    );
    let mut request = "POST / HTTP/1.1\r\nconnection: close\r\n".to_owned();
    for (name, value) in headers {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    let _ = write!(request, "content-length: {}\r\n\r\n{body}", body.len());
    let mut connection = TcpStream::connect(host).unwrap();
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let element = |name: &str| {
        let (_, rest) = answer.split_once(&format!("<{name}>"))?;
        Some(rest.split_once('<')?.0.to_owned())
    };
    let wanted = |name: &str| element(name).unwrap_or_else(|| panic!("no {name}: {answer}"));
    Credentials::new(
        wanted("AccessKeyId"),
        wanted("SecretAccessKey"),
        Some(wanted("SessionToken")),
        None,
        "thief",
    )
}

/// For a form: everything but what is unreserved (RFC 3986, section 2.3).
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
