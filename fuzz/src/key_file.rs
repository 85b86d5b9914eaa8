//! Key files: the private one up to the key derivation, which would take a tenth of a second for
//! each input, the public one, and the secret of keyed digests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::digest::DigestKey;
use evidence::keys::{EncryptedKey, PublicKey};
use serde_json::Value;

/// What is accepted is written and read again as the same key; the same key has one fingerprint.
/// What starts with a brace is put into a private key's PEM first: libFuzzer knows no base64.
pub fn holds(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let pem;
    let text = if text.starts_with('{') {
        let label = "ENCRYPTED SIGSTORE PRIVATE KEY";
        let base64 = STANDARD.encode(text);
        pem = format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n");
        &pem
    } else {
        text
    };
    if let Ok(key) = EncryptedKey::parse(text) {
        let written = key.to_pem().expect("plain structs serialise");
        // An attacker who could choose these would choose how long and in how much memory we derive.
        let params = params(&written).expect("a PEM file around JSON");
        assert!([32_768, 65_536, 131_072].contains(&params.0) && params.1 == 8 && params.2 == 1);
        for text in [written.replace("SIGSTORE", "COSIGN"), written] {
            let again = EncryptedKey::parse(&text).expect("what was accepted is accepted");
            assert_eq!(again, key);
        }
    }
    if let Ok(key) = PublicKey::from_pem(text) {
        let again = PublicKey::from_pem(&key.to_pem()).expect("what was accepted is accepted");
        assert_eq!(again, key);
        assert_eq!(again.key_id(), key.key_id());
        assert!(!key.verifies(b"nobody signed this", bytes));
    }
    if let Ok(key) = DigestKey::from_hex(text) {
        let again = DigestKey::from_hex(&text.to_ascii_lowercase()).expect("the same digits");
        assert_eq!(again.hmac(b"drop"), key.hmac(b"drop"));
    }
}

/// N, r and p of scrypt, as the file names them.
fn params(pem: &str) -> Option<(u64, u64, u64)> {
    let base64: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let json: Value = serde_json::from_slice(&STANDARD.decode(base64).ok()?).ok()?;
    let params = &json["kdf"]["params"];
    Some((
        params["N"].as_u64()?,
        params["r"].as_u64()?,
        params["p"].as_u64()?,
    ))
}
