//! Sealed payloads that we are given a key to.
//!
//! One mechanism so far: the sender cuts the text into pieces, encrypts each with its RSA *private* key under PKCS#1
//! v1.5 padding of type 1, and joins the blocks; whoever holds the public key opens it. The key length is the block length.

use openssl::{pkey::Public, rsa::Padding, rsa::Rsa, x509::X509};
use std::fmt;

/// The most blocks that are opened: each costs a public-key operation, so the count is bounded.
const BLOCKS_MAX: usize = 1024;

/// A key that opens sealed payloads.
#[derive(Clone)]
pub struct OpeningKey(Rsa<Public>);

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpeningKey({} bits)", self.0.size().saturating_mul(8))
    }
}

/// Why a payload could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The file holds neither a PEM public key nor a PEM certificate with an RSA key.
    #[error("not a PEM public key or certificate with an RSA key")]
    Key,
    /// The payload is not a whole number of blocks, or too many.
    #[error("the sealed payload is not a whole number of blocks, or has more than {BLOCKS_MAX}")]
    Blocks,
    /// A block does not open under the key.
    #[error("a sealed block does not open under the configured key")]
    Closed,
}

impl OpeningKey {
    /// Reads a PEM public key or certificate.
    ///
    /// # Errors
    /// [`SealError::Key`] for anything else.
    pub fn from_pem(pem: &[u8]) -> Result<Self, SealError> {
        Rsa::public_key_from_pem(pem)
            .or_else(|_| X509::from_pem(pem)?.public_key()?.rsa())
            .map(Self)
            .map_err(|_| SealError::Key)
    }

    pub(super) const fn rsa(&self) -> &Rsa<Public> {
        &self.0
    }

    /// Opens blocks that were sealed with the private half.
    ///
    /// # Errors
    /// [`SealError::Blocks`] or [`SealError::Closed`].
    pub fn open_blocks(&self, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let block = usize::try_from(self.0.size()).map_err(|_| SealError::Key)?;
        if block == 0 || !sealed.len().is_multiple_of(block) || sealed.len() / block > BLOCKS_MAX {
            return Err(SealError::Blocks);
        }
        let mut opened = Vec::with_capacity(sealed.len());
        let mut piece = vec![0; block];
        for sealed_block in sealed.chunks_exact(block) {
            let length = self
                .0
                .public_decrypt(sealed_block, &mut piece, Padding::PKCS1)
                .map_err(|_| SealError::Closed)?;
            opened.extend(piece.iter().take(length));
        }
        Ok(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_private_key_sealed_the_public_key_opens() {
        let private = Rsa::generate(1024).unwrap();
        let key = OpeningKey::from_pem(&private.public_key_to_pem().unwrap()).unwrap();
        let text = b"a text that is longer than one piece of thirty-two bytes";
        let mut sealed = Vec::new();
        for piece in text.chunks(32) {
            let mut block = vec![0; 128];
            private.private_encrypt(piece, &mut block, Padding::PKCS1).unwrap();
            sealed.extend(block);
        }
        assert_eq!(key.open_blocks(&sealed).unwrap(), text);
        assert!(matches!(key.open_blocks(&sealed[1..]), Err(SealError::Blocks)));
        sealed[0] ^= 1;
        assert!(matches!(key.open_blocks(&sealed), Err(SealError::Closed)));
        let other = Rsa::generate(1024).unwrap();
        let other = OpeningKey::from_pem(&other.public_key_to_pem().unwrap()).unwrap();
        assert!(matches!(other.open_blocks(&sealed), Err(SealError::Closed)));
        assert!(matches!(OpeningKey::from_pem(b"no key"), Err(SealError::Key)));
    }
}
