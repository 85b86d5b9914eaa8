//! Two keys for all tests of this crate, without a file: what costs time is encrypting that.

use std::sync::LazyLock;

use super::PrivateKey;
use super::private::new_pkcs8;

static KEYS: LazyLock<[PrivateKey; 2]> =
    LazyLock::new(|| [(); 2].map(|()| PrivateKey::from_pkcs8(&new_pkcs8().unwrap()).unwrap()));

/// A key.
pub(crate) fn key() -> &'static PrivateKey {
    &KEYS[0]
}

/// Another key.
pub(crate) fn other_key() -> &'static PrivateKey {
    &KEYS[1]
}
