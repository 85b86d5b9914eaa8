//! The key of the fuzz targets, and a bundle that it really signed. It signs nothing else.

use std::sync::LazyLock;

use evidence::keys::{PrivateKey, PublicKey};

/// `fuzz/signer/` holds a key with an empty password, and one bundle that was sealed with it.
pub(super) const BUNDLE: &[u8] = include_bytes!("../signer/EB-20261121-0001.json");
/// Its signature.
pub(super) const SIGNATURE: &[u8] = include_bytes!("../signer/EB-20261121-0001.json.bundle");

/// Opened once: scrypt takes a tenth of a second.
pub(super) static KEY: LazyLock<PrivateKey> = LazyLock::new(|| {
    PrivateKey::from_encrypted_pem(include_str!("../signer/key.pem"), b"")
        .expect("the committed key opens")
});

/// Somebody else's key.
pub(super) static OTHER_KEY: LazyLock<PublicKey> = LazyLock::new(|| {
    PublicKey::from_pem(include_str!("../signer/other.pub")).expect("the committed key is one")
});
