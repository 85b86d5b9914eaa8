//! Stand-ins for what hands out roles at AWS: the instance metadata service, the containers'
//! credentials endpoint, and STS.
//!
//! They hand out what a test tells them to and remember what they were asked. What the real ones
//! insist on, these do too: version 2 of the metadata service (a token, by PUT, in every request;
//! EC2 User Guide, "Use the Instance Metadata Service"), and the authorization that a container
//! was given.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::identity::Identity;
use crate::s3::parameter;

/// The role of the instance.
pub const ROLE: &str = "evidence-uploader";
/// The container's path, as `AWS_CONTAINER_CREDENTIALS_FULL_URI` ends.
pub const CONTAINER_PATH: &str = "/container/credentials";

const METADATA_PATH: &str = "/latest/meta-data/iam/security-credentials/";
const METADATA_TOKEN: &str = "sandbox-metadata-token";
/// How long a token holds: asked for, and answered.
const METADATA_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
/// Nothing that is asked is longer.
const BODY_MAX_BYTES: usize = 1 << 20;

/// One question, as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    headers: http::HeaderMap,
    form: String,
}

impl Asked {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A field of the form in the body, as STS is asked.
    #[must_use]
    pub fn form(&self, name: &str) -> Option<String> {
        parameter(&self.form, name)
    }
}

/// Runs until dropped.
#[derive(Debug)]
pub struct RoleServices {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    given: Option<(Identity, SignedDuration)>,
    authorization: Option<String>,
    asked: Vec<Asked>,
}

impl RoleServices {
    /// Binds 127.0.0.1; hands nothing out yet.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::default());
        let server = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self {
            address,
            state,
            server,
        })
    }

    /// Where all three listen; the paths tell them apart.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on everybody who asks gets this identity, for so long from then.
    pub fn hand_out(&self, identity: Identity, lifetime: SignedDuration) {
        lock(&self.state).given = Some((identity, lifetime));
    }

    /// What the container's endpoint wants to see in `Authorization`.
    pub fn require_authorization(&self, value: &str) {
        lock(&self.state).authorization = Some(value.to_owned());
    }

    /// What was asked so far, oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }
}

impl Drop for RoleServices {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    // They end with this task.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(move |request| serve(Arc::clone(&state), request));
            let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = served.await {
                tracing::debug!(%error, "connection ended early");
            }
        });
    }
}

async fn serve(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        headers: parts.headers,
        form: String::from_utf8_lossy(&body[..body.len().min(BODY_MAX_BYTES)]).into_owned(),
    };
    let mut state = lock(&state);
    let (status, text) = answer(&state, &asked);
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    if let Some(asked_for) = asked.headers.get(METADATA_TTL) {
        response
            .headers_mut()
            .insert(METADATA_TTL, asked_for.clone());
    }
    state.asked.push(asked);
    Ok(response)
}

fn answer(state: &State, asked: &Asked) -> (StatusCode, String) {
    let refused = |status| (status, String::new());
    let Some((identity, lifetime)) = &state.given else {
        return refused(StatusCode::NOT_FOUND);
    };
    let expires_at = Timestamp::now() + *lifetime;
    let json = || {
        let token = identity.session_token.as_deref().unwrap_or_default();
        json!({
            "Code": "Success", "Type": "AWS-HMAC",
            "AccessKeyId": identity.access_key, "SecretAccessKey": identity.secret_key,
            "Token": token, "Expiration": seconds(expires_at),
            "LastUpdated": "2026-01-01T00:00:00Z",
        })
        .to_string()
    };
    match (asked.method.as_str(), asked.path.as_str()) {
        ("PUT", "/latest/api/token") => (StatusCode::OK, METADATA_TOKEN.to_owned()),
        ("GET", path) if path.starts_with(METADATA_PATH) => {
            if asked.header("x-aws-ec2-metadata-token") != Some(METADATA_TOKEN) {
                return refused(StatusCode::UNAUTHORIZED);
            }
            match &path[METADATA_PATH.len()..] {
                "" => (StatusCode::OK, ROLE.to_owned()),
                ROLE => (StatusCode::OK, json()),
                _ => refused(StatusCode::NOT_FOUND),
            }
        }
        ("GET", CONTAINER_PATH) => {
            if asked.header("authorization") != state.authorization.as_deref() {
                return refused(StatusCode::UNAUTHORIZED);
            }
            (StatusCode::OK, json())
        }
        ("POST", "/") => match asked.form("Action").as_deref() {
            Some(action @ ("AssumeRole" | "AssumeRoleWithWebIdentity")) => {
                (StatusCode::OK, assumed(action, identity, expires_at))
            }
            _ => refused(StatusCode::BAD_REQUEST),
        },
        _ => refused(StatusCode::NOT_FOUND),
    }
}

/// AWS STS API Reference, "AssumeRoleWithWebIdentity".
fn assumed(action: &str, identity: &Identity, expires_at: Timestamp) -> String {
    let token = identity.session_token.as_deref().unwrap_or_default();
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
         <AssumedRoleUser><Arn>arn:aws:sts::111122223333:assumed-role/{ROLE}/session</Arn>\
         <AssumedRoleId>AROASANDBOX:session</AssumedRoleId></AssumedRoleUser>\
         <Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
         <SessionToken>{token}</SessionToken><Expiration>{}</Expiration></Credentials>\
         </{action}Result></{action}Response>",
        identity.access_key,
        identity.secret_key,
        seconds(expires_at),
    )
}

fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
