//! Evidence for tests, sealed by the code that the agent seals with.

use std::sync::LazyLock;

use evidence::keys::PrivateKey;

static KEYS: LazyLock<[PrivateKey; 3]> = LazyLock::new(|| {
    [(); 3].map(|()| {
        PrivateKey::generate(b"for tests")
            .expect("a key can be made")
            .0
    })
});

/// A key.
pub fn key() -> &'static PrivateKey {
    &KEYS[0]
}

/// Another key.
pub fn other_key() -> &'static PrivateKey {
    &KEYS[1]
}

/// A third key.
pub fn third_key() -> &'static PrivateKey {
    &KEYS[2]
}
