//! What keeps tokens unreadable in the database.

use super::key::{self, Key};
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use hmac::{Hmac, Mac};
use serde::{Serialize, de::DeserializeOwned};
use sha2::Sha256;
use std::fmt;

/// First byte of everything sealed, so that another way of sealing can follow one day.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;

/// Seals JSON values and fingerprints tokens, each with its own key derived from the one in the key file.
pub(super) struct Sealer {
    cipher: XChaCha20Poly1305,
    fingerprint: Key,
}

impl Sealer {
    pub(super) fn new(key: &Key) -> Self {
        let cipher = XChaCha20Poly1305::new(&derive(key, &[b"pollux sealing"]).into());
        Self { cipher, fingerprint: derive(key, &[b"pollux token hash"]) }
    }

    /// Seals `value` for one place: what was sealed elsewhere does not open there.
    pub(super) fn seal(&self, place: &Place<'_>, value: &impl Serialize) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let plain = serde_json::to_vec(value).expect("strings and JSON values always serialise");
        let aad = place.bytes();
        let boxed = self
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: &plain, aad: &aad })
            .expect("only a text beyond 256 GiB cannot be sealed");
        [&[VERSION], &nonce[..], &boxed].concat()
    }

    /// Opens what was sealed for this place; `None` if it was sealed otherwise, elsewhere, or altered.
    pub(super) fn open<T: DeserializeOwned>(&self, place: &Place<'_>, sealed: &[u8]) -> Option<T> {
        let (&VERSION, rest) = sealed.split_first()? else { return None };
        let (nonce, boxed) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let aad = place.bytes();
        let plain = self.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: boxed, aad: &aad }).ok()?;
        serde_json::from_slice(&plain).ok()
    }

    /// Tells one token of a provider from another without giving it away.
    pub(super) fn fingerprint(&self, provider: &str, token: &str) -> String {
        key::hex(&derive(&self.fingerprint, &[provider.as_bytes(), &[0], token.as_bytes()]))
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

/// What a sealed value is bound to.
pub(super) enum Place<'a> {
    Credential { provider: &'a str, seal_id: &'a str },
    Proxy { provider: &'a str, seal_id: &'a str },
    Login { provider: &'a str, id_hash: &'a str },
    Vault,
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        let (table, provider, row) = match self {
            Self::Credential { provider, seal_id } => ("credential", *provider, *seal_id),
            Self::Proxy { provider, seal_id } => ("proxy", *provider, *seal_id),
            Self::Login { provider, id_hash } => ("login", *provider, *id_hash),
            Self::Vault => ("vault", "", ""),
        };
        [table, provider, row].join("\0").into_bytes()
    }
}

fn derive(key: &Key, parts: &[&[u8]]) -> Key {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("any length of key will do");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'_> = Place::Credential { provider: "acme", seal_id: "1" };

    #[test]
    fn what_was_sealed_opens_at_its_own_place_with_its_own_key_only() {
        let sealer = Sealer::new(&[7; 32]);
        let sealed = sealer.seal(&HERE, &"secret");
        assert_eq!(sealer.open::<String>(&HERE, &sealed).as_deref(), Some("secret"));
        for elsewhere in [
            Place::Credential { provider: "acme", seal_id: "2" },
            Place::Credential { provider: "other", seal_id: "1" },
            Place::Login { provider: "acme", id_hash: "1" },
            Place::Proxy { provider: "acme", seal_id: "1" },
            Place::Vault,
        ] {
            assert_eq!(sealer.open::<String>(&elsewhere, &sealed), None);
        }
        assert_eq!(Sealer::new(&[8; 32]).open::<String>(&HERE, &sealed), None);
    }

    #[test]
    fn no_altered_and_no_shortened_byte_goes_unnoticed() {
        let sealer = Sealer::new(&[7; 32]);
        let sealed = sealer.seal(&HERE, &"secret");
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert_eq!(sealer.open::<String>(&HERE, &altered), None, "byte {at}");
            assert_eq!(sealer.open::<String>(&HERE, &sealed[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn a_fingerprint_depends_on_token_provider_and_key() {
        let sealer = Sealer::new(&[7; 32]);
        let print = sealer.fingerprint("acme", "token");
        assert_eq!(print, sealer.fingerprint("acme", "token"));
        assert_ne!(print, sealer.fingerprint("acme", "other"));
        assert_ne!(print, sealer.fingerprint("acm", "etoken"));
        assert_ne!(print, Sealer::new(&[8; 32]).fingerprint("acme", "token"));
    }
}
