//! TLS in front of a store, with a certificate that can be exchanged while it runs: for what an
//! uploader does when the other side cannot prove who it is.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::guest::STORE_NAME;

/// What a certificate is for.
const NAMES: [&str; 2] = ["127.0.0.1", STORE_NAME];

/// What the other side shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// A certificate of the trusted authority for 127.0.0.1, and for the name by which guests know it.
    Right,
    /// One of another authority that bears the same name.
    WrongAuthority,
    /// One that has expired.
    Expired,
    /// One for another host.
    OtherHost,
    /// No TLS at all: plain HTTP on this port.
    Plain,
}

/// A running front; it ends when this is dropped.
pub struct TlsFront {
    address: SocketAddr,
    behind: SocketAddr,
    listener: Arc<TcpListener>,
    trusted: Authority,
    other: Authority,
    runtime: Handle,
    task: Mutex<JoinHandle<()>>,
}

struct Authority {
    certificate: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl TlsFront {
    /// Listens on a free port of 127.0.0.1 with the right face and passes what is inside on.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start(runtime: &Handle, behind: SocketAddr) -> Self {
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .unwrap();
        let front = Self {
            address: listener.local_addr().unwrap(),
            behind,
            listener: Arc::new(listener),
            trusted: Authority::new(),
            other: Authority::new(),
            runtime: runtime.clone(),
            task: Mutex::new(runtime.spawn(std::future::ready(()))),
        };
        front.show(Face::Right);
        front
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Writes the certificate of the trusted authority into this folder.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn ca_file(&self, folder: &Path) -> PathBuf {
        let path = folder.join("ca.pem");
        let pem = pem::Pem::new("CERTIFICATE", self.trusted.certificate.clone());
        std::fs::write(&path, pem::encode(&pem)).unwrap();
        path
    }

    /// Ends every connection and shows this from now on.
    pub fn show(&self, face: Face) {
        let acceptor = match face {
            Face::Right => Some(self.trusted.acceptor(&NAMES, 2100)),
            Face::WrongAuthority => Some(self.other.acceptor(&NAMES, 2100)),
            Face::Expired => Some(self.trusted.acceptor(&NAMES, 2020)),
            Face::OtherHost => Some(self.trusted.acceptor(&["elsewhere.example"], 2100)),
            Face::Plain => None,
        };
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.abort();
        let serving = serve(Arc::clone(&self.listener), acceptor, self.behind);
        *task = self.runtime.spawn(serving);
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.abort();
    }
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = params.distinguished_name.get(&DnType::CommonName);
        assert!(name.is_some(), "both have the same name");
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        Self {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for these names that ends with the year before `until`.
    fn acceptor(&self, names: &[&str], until: i32) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

async fn serve(listener: Arc<TcpListener>, acceptor: Option<TlsAcceptor>, behind: SocketAddr) {
    // The connections live in this task's set, so they end with it.
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            let Ok(mut store) = TcpStream::connect(behind).await else {
                return;
            };
            // Whoever does not trust us hangs up; that is what it is for.
            let _ = match acceptor {
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(mut inside) => tokio::io::copy_bidirectional(&mut inside, &mut store).await,
                    Err(error) => Err(error),
                },
                None => tokio::io::copy_bidirectional(&mut stream, &mut store).await,
            };
        });
    }
}
