//! The running endpoint: options, start, accept loop, shutdown.

mod exchange;
mod gate;
mod request_body;
mod response_body;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::host::SingleDomain;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub(crate) use exchange::Exchange;

use crate::clock::Clock;
use crate::faults::{Faults, Script};
use crate::identity::{Identities, Identity};
use crate::request_log::RequestLog;
use crate::s3;
use crate::store::{DefaultRule, Refusal, Store};
use gate::Gate;

/// A bucket to have from the start.
#[derive(Debug, Clone)]
pub struct BucketOptions {
    /// Its name.
    pub name: String,
    /// Whether it has Object Lock, and so versions.
    pub object_lock: bool,
    /// Its default retention rule.
    pub default_rule: Option<DefaultRule>,
}

impl BucketOptions {
    /// A bucket with Object Lock and no default rule.
    pub fn locked(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            object_lock: true,
            default_rule: None,
        }
    }
}

/// How to start an endpoint.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// The folder to keep everything in, from one start to the next; memory when absent.
    pub dir: Option<PathBuf>,
    /// The port on 127.0.0.1; any free one when 0.
    pub port: u16,
    /// Who may call; the first is [`Sandbox::credentials`].
    pub identities: Vec<Identity>,
    /// Created where they do not exist yet.
    pub buckets: Vec<BucketOptions>,
    /// Faults armed from the start.
    pub script: Script,
    /// The host name below which buckets are hosts (`bucket.domain`); then the bucket is never
    /// looked for in the path. Clients must be led here, by a proxy for example.
    pub domain: Option<String>,
}

impl Default for SandboxOptions {
    /// In memory, on any free port, one identity that may do everything, no bucket, no fault.
    fn default() -> Self {
        Self {
            dir: None,
            port: 0,
            identities: vec![Identity::new(
                "SANDBOXACCESSKEY0000",
                "sandbox-secret-key-not-for-use",
            )],
            buckets: Vec::new(),
            script: Script::default(),
            domain: None,
        }
    }
}

impl SandboxOptions {
    /// The default with one bucket with Object Lock.
    pub fn with_bucket(name: impl Into<String>) -> Self {
        Self {
            buckets: vec![BucketOptions::locked(name)],
            ..Self::default()
        }
    }
}

/// The endpoint could not start or stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// Nobody could call.
    #[error("the sandbox needs at least one identity")]
    NoIdentity,
    /// The folder could not be opened or read.
    #[error("cannot open the sandbox's folder {}", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The port is taken, for example.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The domain is none.
    #[error("{0:?} is not a host name")]
    Domain(String),
    /// A bucket could not be created.
    #[error("cannot create the bucket {bucket}")]
    Bucket {
        /// The bucket.
        bucket: String,
        /// Why.
        #[source]
        source: Refusal,
    },
}

/// A running S3 endpoint. Dropping it stops it, like a killed server; [`Sandbox::shutdown`] also
/// waits until its folder may be opened again.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    credentials: Identity,
    identities: Identities,
    clock: Clock,
    store: Arc<Store>,
    faults: Arc<Faults>,
    log: Arc<RequestLog>,
    stop: watch::Sender<bool>,
    server: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Binds 127.0.0.1 and serves until dropped or shut down. Needs a tokio runtime with I/O and
    /// time.
    ///
    /// # Errors
    /// When the folder, the port or a bucket cannot be had.
    pub async fn start(options: SandboxOptions) -> Result<Self, SandboxError> {
        let credentials = options
            .identities
            .first()
            .ok_or(SandboxError::NoIdentity)?
            .clone();
        let clock = Clock::default();
        let store = match options.dir {
            None => Store::in_memory(clock.clone()),
            Some(dir) => Store::open(&dir, clock.clone())
                .map_err(|source| SandboxError::Folder { dir, source })?,
        };
        let store = Arc::new(store);
        create_buckets(&store, &options.buckets)?;
        let faults = Arc::new(Faults::new(clock.clone()));
        faults.load(options.script);
        let identities = Identities::new(options.identities);
        let log = Arc::new(RequestLog::default());

        let domain = match options.domain {
            None => None,
            Some(name) => match SingleDomain::new(&name) {
                Ok(domain) => Some(domain),
                Err(_) => return Err(SandboxError::Domain(name)),
            },
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let listening = TcpListener::bind(address).await;
        let listening = listening.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) =
            listening.map_err(|source| SandboxError::Listen { address, source })?;
        let gate = Gate {
            service: s3::service(&store, &clock, &identities, &faults, &log, domain),
            clock: clock.clone(),
            log: Arc::clone(&log),
        };
        let (stop, stopped) = watch::channel(false);
        let server = Some(tokio::spawn(accept(listener, Arc::new(gate), stopped)));
        Ok(Self {
            address,
            credentials,
            identities,
            clock,
            store,
            faults,
            log,
            stop,
            server,
        })
    }

    /// The endpoint's URL. Clients must use path-style addressing, unless a domain was given; any
    /// region will do.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// The first identity that the endpoint was started with.
    #[must_use]
    pub const fn credentials(&self) -> &Identity {
        &self.credentials
    }

    /// Who may call; may be changed while it runs.
    #[must_use]
    pub const fn identities(&self) -> &Identities {
        &self.identities
    }

    /// The endpoint's clock.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The scripted faults.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What is really stored.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What was asked, and how it ended.
    #[must_use]
    pub fn log(&self) -> &RequestLog {
        &self.log
    }

    /// How many requests of this operation arrived, such as `PutObject`.
    #[must_use]
    pub fn hits(&self, operation: &str) -> u64 {
        self.log.hits(operation)
    }

    /// Closes every connection, stops, and lets the folder go.
    ///
    /// # Errors
    /// When the folder's lock cannot be released.
    pub async fn shutdown(mut self) -> io::Result<()> {
        self.stop.send_replace(true);
        if let Some(server) = self.server.take() {
            // The accept loop neither panics nor is cancelled by anyone else.
            let _ = server.await;
        }
        self.store.release()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

fn create_buckets(store: &Store, buckets: &[BucketOptions]) -> Result<(), SandboxError> {
    for bucket in buckets {
        let created = match store.create_bucket(&bucket.name, bucket.object_lock) {
            Ok(()) if bucket.default_rule.is_some() => {
                store.set_default_rule(&bucket.name, bucket.default_rule)
            }
            Ok(()) | Err(Refusal::BucketAlreadyOwnedByYou) => Ok(()),
            Err(refusal) => Err(refusal),
        };
        created.map_err(|source| SandboxError::Bucket {
            bucket: bucket.name.clone(),
            source,
        })?;
    }
    Ok(())
}

/// Accepts until told to stop. The connections live in this task's set, so they end with it.
async fn accept(listener: TcpListener, gate: Arc<Gate>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Out of file descriptors, or the peer has gone: the next one may do better.
                Err(error) => {
                    tracing::debug!(%error, "accept failed");
                    tokio::task::yield_now().await;
                    continue;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            _ = stopped.changed() => break,
        };
        let gate = Arc::clone(&gate);
        // Answers are small; do not wait to fill a segment.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let gate = Arc::clone(&gate);
                async move { gate.serve(request).await }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended early");
            }
        });
    }
    connections.shutdown().await;
}
