//! Where Prometheus asks: `GET /metrics` on an address that only this machine reaches.
//!
//! Whoever asks can read and nothing else. A few connections at a time and each for seconds, so
//! that no process of this machine takes the uploader's descriptors away.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{debug, error, info};

use super::Metrics;

/// Connections at once; more wait.
const CONNECTIONS: usize = 8;
/// A connection lives no longer. Prometheus connects anew.
const CONNECTION_LIFE: Duration = Duration::from_secs(30);
/// The alarm while the address is not to be had, and how often it is tried again.
const ALARM: &str = "not_listening";
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// Answers until it is dropped.
pub(crate) async fn serve(address: SocketAddr, metrics: Arc<Metrics>) {
    let listener = listen(address, &metrics).await;
    info!(address = %address, "metrics are told to whoever asks on this machine");
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // Never closed.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let metrics = Arc::clone(&metrics);
                connections.spawn(async move {
                    // Its end is the end of the connection.
                    let _ = tokio::time::timeout(CONNECTION_LIFE, answer(stream, metrics)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                error!(error = %error, "metrics cannot be told just now");
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn listen(address: SocketAddr, metrics: &Metrics) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                metrics.instance.clear(ALARM);
                return listener;
            }
            Err(error) => {
                let why = format!(
                    "metrics.listen = \"{address}\" cannot be had ({error}): choose another port, \
                     or stop who has it"
                );
                error!(state = ALARM, "{why}");
                metrics.instance.raise(ALARM, &why);
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, metrics: Arc<Metrics>) {
    let service = service_fn(move |request| {
        let response = respond(&request, &metrics);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(error = %error, "whoever asked for metrics went away");
    }
}

fn respond(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let status = |code: StatusCode, words: &'static str| {
        let mut response = Response::new(Full::from(words));
        *response.status_mut() = code;
        response
    };
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return status(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    if request.uri().path() != "/metrics" {
        return status(StatusCode::NOT_FOUND, "only /metrics\n");
    }
    match metrics.page(true, Timestamp::now()) {
        Ok(text) => {
            let mut response = Response::new(Full::from(text));
            response.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static(host::metrics::CONTENT_TYPE),
            );
            response
        }
        Err(_) => status(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the metrics cannot be written down\n",
        ),
    }
}
