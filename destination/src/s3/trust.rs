//! Certificates of an operator's own authority, checked before anything relies on them.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The certificate authorities that may vouch for a store, from a PEM file (RFC 7468).
#[derive(Clone, PartialEq, Eq)]
pub struct CaBundle(Arc<[u8]>);

/// Why a file is no [`CaBundle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// It is not PEM, or damaged.
    #[error("it is not PEM")]
    NotPem,
    /// No section is a certificate.
    #[error("it holds no certificate")]
    NoCertificate,
    /// A section is called a certificate and is none that can be trusted.
    #[error("its certificate number {0} cannot be read")]
    BadCertificate(usize),
}

impl CaBundle {
    /// Checks that every certificate can be trusted: the HTTP client panics on one that cannot.
    ///
    /// # Errors
    /// When there is no certificate, or one that cannot be read.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CaError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| CaError::NotPem)?;
            let number = roots.len() + 1;
            roots
                .add(certificate)
                .map_err(|_| CaError::BadCertificate(number))?;
        }
        if roots.is_empty() {
            return Err(CaError::NoCertificate);
        }
        Ok(Self(pem.into()))
    }

    /// The PEM text as it was given.
    pub(super) fn pem(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for CaBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaBundle({} bytes)", self.0.len())
    }
}
