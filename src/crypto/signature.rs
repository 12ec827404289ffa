//! Signatures of those whose public key is pinned here: RSA, PKCS#1 v1.5 (RFC 8017 section 8.2).
//!
//! The mechanism is the reader's to choose and never the message's, so that nobody can ask for a weaker one.

use crate::crypto::seal::OpeningKey;
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::pkey::PKey;
use openssl::sign::Verifier;

/// The hash of what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-1.
    Sha1,
    /// MD5.
    Md5,
}

impl Hash {
    /// Every hash.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha1, Self::Md5];

    /// The word for RSA over it, used in configuration.
    pub const fn rsa(self) -> &'static str {
        match self {
            Self::Sha256 => "rsa_sha256",
            Self::Sha1 => "rsa_sha1",
            Self::Md5 => "rsa_md5",
        }
    }

    fn digest(self) -> MessageDigest {
        match self {
            Self::Sha256 => MessageDigest::sha256(),
            Self::Sha1 => MessageDigest::sha1(),
            Self::Md5 => MessageDigest::md5(),
        }
    }

    /// The hash of `text` in lower-case hexadecimal; nothing where the system's library does not know it.
    pub fn hex(self, text: &[u8]) -> Option<String> {
        hash(self.digest(), text).ok().map(hex::encode)
    }
}

impl OpeningKey {
    /// Whether `signature` over `text` was made with the private half.
    pub fn vouches_for(&self, hash: Hash, text: &[u8], signature: &[u8]) -> bool {
        let verify = || -> Result<bool, ErrorStack> {
            let key = PKey::from_rsa(self.rsa().clone())?;
            Verifier::new(hash.digest(), &key)?.verify_oneshot(signature, text)
        };
        verify().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::rsa::Rsa;
    use openssl::sign::Signer;

    #[test]
    fn only_the_private_half_signs_and_only_by_the_hash_that_was_agreed() {
        let private = Rsa::generate(1024).unwrap();
        let key = OpeningKey::from_pem(&private.public_key_to_pem().unwrap()).unwrap();
        let private = PKey::from_rsa(private).unwrap();
        for hash in Hash::ALL {
            let mut signer = Signer::new(hash.digest(), &private).unwrap();
            let signature = signer.sign_oneshot_to_vec(b"text").unwrap();
            assert!(key.vouches_for(hash, b"text", &signature));
            assert!(!key.vouches_for(hash, b"texts", &signature));
            assert!(!key.vouches_for(hash, b"text", b""));
            let other = if hash == Hash::Md5 { Hash::Sha1 } else { Hash::Md5 };
            assert!(!key.vouches_for(other, b"text", &signature));
        }
        assert_eq!(Hash::Md5.hex(b"").unwrap(), "d41d8cd98f00b204e9800998ecf8427e");
    }
}
