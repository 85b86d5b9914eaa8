//! Signs a request again (AWS Signature Version 4), so that signed headers can be taken out on the
//! way as a store would ignore them, and so that a store can seem to live by another clock.

use std::time::SystemTime;

use aws_sdk_s3::config::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use jiff::Timestamp;

use super::message::Head;
use crate::servers::REGION;

/// Who the store believes to speak: access key and secret.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) access_key: String,
    pub(super) secret_key: String,
}

impl Owner {
    /// Replaces the signature of a request by one of the owner's at `now`.
    pub(super) fn sign(&self, head: &mut Head, now: Timestamp) {
        let payload = head
            .get("x-amz-content-sha256")
            .unwrap_or("UNSIGNED-PAYLOAD")
            .to_owned();
        for stale in [
            "authorization",
            "x-amz-date",
            "x-amz-content-sha256",
            "x-amz-security-token",
        ] {
            head.strip(stale);
        }
        let mut words = head.line.split(' ');
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let url = format!("http://{}{target}", head.get("host").unwrap_or_default());
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let request =
            SignableRequest::new(method, url, headers, SignableBody::Precomputed(payload))
                .expect("a request that was read can be signed");
        let identity = Identity::from(Credentials::new(
            &self.access_key,
            &self.secret_key,
            None,
            None,
            "owner",
        ));
        let mut settings = SigningSettings::default();
        // As S3 wants it (Amazon S3 API Reference, "Authenticating Requests").
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name("s3")
            .time(SystemTime::from(now))
            .settings(settings)
            .build()
            .expect("every parameter is given")
            .into();
        let (instructions, _) = sign(request, &params)
            .expect("a request that was read can be signed")
            .into_parts();
        let (headers, _) = instructions.into_parts();
        for header in headers {
            head.set(header.name(), header.value());
        }
    }
}
