//! A certificate authority made for a test, and a server with a certificate of it before a store.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: pem::encode(&pem::Pem::new("CERTIFICATE", certificate.der().to_vec())),
            issuer: Issuer::new(params, key),
        }
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> &[u8] {
        self.pem.as_bytes()
    }

    /// The same in a file.
    pub(crate) fn file(&self) -> PathBuf {
        let file = tempfile::tempdir().unwrap().keep().join("ca.pem");
        std::fs::write(&file, &self.pem).unwrap();
        file
    }

    /// Takes TLS connections for this name and passes what is inside on to `behind`.
    pub(crate) async fn serve(&self, name: &str, behind: SocketAddr) -> TlsServer {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Whoever does not trust us hangs up.
                    let Ok(mut inside) = acceptor.accept(stream).await else {
                        return;
                    };
                    let mut behind = TcpStream::connect(behind).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut inside, &mut behind).await;
                });
            }
        });
        TlsServer { address, task }
    }
}

/// Ends when dropped.
pub(crate) struct TlsServer {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
