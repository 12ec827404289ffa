//! Tags of rows: what tells rows that we wrote from rows that others wrote where others can write.
//!
//! A tag is SipHash-2-4 over the row, under a key of the store's own. The key is drawn once, and kept beside the rows under every
//! fingerprint key that was current since (AES-256-GCM): a fingerprint key may come and go while rows stay.

use crate::crypto::fingerprint::Fingerprinter;
use openssl::symm::{Cipher, decrypt_aead, encrypt_aead};
use siphasher::sip::SipHasher24;
use std::fmt;
use std::hash::Hasher as _;

/// The bytes of a key.
pub const TAG_KEY: usize = 16;

/// The bytes by which two wrappings of one key differ.
pub const NONCE: usize = 12;

/// The bytes by which a wrapping is known to be whole.
const WHOLE: usize = 16;

/// The key of a store's tags.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tagger([u8; TAG_KEY]);

impl fmt::Debug for Tagger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tagger")
    }
}

impl Tagger {
    /// A tagger under `key`, which must be drawn.
    pub const fn new(key: [u8; TAG_KEY]) -> Self {
        Self(key)
    }

    /// The tag of what is written to the hasher.
    pub fn tag(&self, write: impl FnOnce(&mut SipHasher24)) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        write(&mut hasher);
        hasher.finish()
    }

    /// The key, to be read again by who has `fingerprinter`; nothing where the library fails. `nonce` must be drawn.
    pub fn wrapped(&self, fingerprinter: &Fingerprinter, nonce: [u8; NONCE]) -> Option<String> {
        let mut whole = [0; WHOLE];
        let key = fingerprinter.wrapping();
        let sealed =
            encrypt_aead(Cipher::aes_256_gcm(), &key, Some(&nonce), &[], &self.0, &mut whole)
                .ok()?;
        Some(hex::encode([nonce.as_slice(), &sealed, &whole].concat()))
    }

    /// What [`Self::wrapped`] yielded, read again; nothing where it was wrapped for another key, or is not whole.
    pub fn unwrapped(wrapped: &str, fingerprinter: &Fingerprinter) -> Option<Self> {
        let bytes = hex::decode(wrapped).ok()?;
        let (nonce, rest) = bytes.split_first_chunk::<NONCE>()?;
        let (sealed, whole) = rest.split_last_chunk::<WHOLE>()?;
        let key = fingerprinter.wrapping();
        let opened =
            decrypt_aead(Cipher::aes_256_gcm(), &key, Some(nonce), &[], sealed, whole).ok()?;
        opened.try_into().ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::KeyId;

    fn key(byte: u8) -> Fingerprinter {
        Fingerprinter::new(KeyId(1), &[byte; 32]).unwrap()
    }

    #[test]
    fn a_key_comes_out_as_it_went_in_and_under_no_other_key() {
        let tagger = Tagger::new([7; TAG_KEY]);
        let wrapped = tagger.wrapped(&key(1), [3; NONCE]).unwrap();
        assert_eq!(Tagger::unwrapped(&wrapped, &key(1)), Some(tagger));
        assert_eq!(Tagger::unwrapped(&wrapped, &key(2)), None);
        for at in 0..wrapped.len() {
            let mut changed = wrapped.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(Tagger::unwrapped(&changed, &key(1)), None, "{at}");
            assert_eq!(Tagger::unwrapped(wrapped.get(..at).unwrap(), &key(1)), None, "{at}");
        }
        assert_ne!(wrapped, tagger.wrapped(&key(1), [4; NONCE]).unwrap());
    }

    /// Vectors of its authors: of their code, and of appendix A of "`SipHash`: a fast short-input PRF".
    #[test]
    fn a_tag_is_siphash_2_4() {
        let key: [u8; TAG_KEY] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let tag =
            |long: u8| Tagger::new(key).tag(|hasher| hasher.write(&(0..long).collect::<Vec<_>>()));
        assert_eq!(tag(0), 0x726f_db47_dd0e_0e31);
        assert_eq!(tag(15), 0xa129_ca61_49be_45e5);
    }
}
