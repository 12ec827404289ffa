//! Records for whoever inspects: signed, so that they need not trust where they come from (RFC 7515, Ed25519 by RFC 8037).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openssl::error::ErrorStack;
use openssl::pkey::{Id, PKey, Private};
use openssl::sign::Signer;
use std::fmt;

/// The key by which records are signed.
#[derive(Clone)]
pub struct RecordKey(PKey<Private>);

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl RecordKey {
    /// The key in a PEM file, where it is one of Ed25519.
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        PKey::private_key_from_pem(pem).ok().filter(|key| key.id() == Id::ED25519).map(Self)
    }

    /// `payload` as a JSON web signature in its compact form.
    ///
    /// # Errors
    /// The library's.
    pub fn sign(&self, payload: &[u8]) -> Result<String, ErrorStack> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let text = format!("{}.{}", encode(br#"{"alg":"EdDSA","typ":"JOSE"}"#), encode(payload));
        let mut signer = Signer::new_without_digest(&self.0)?;
        let signature = signer.sign_oneshot_to_vec(text.as_bytes())?;
        Ok(format!("{text}.{}", encode(&signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 8037, appendix A: the key, the payload, and the signature over its own header.
    #[test]
    fn the_key_signs_as_the_specification_does() {
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let key = PKey::private_key_from_raw_bytes(&seed, Id::ED25519).unwrap();
        let mut signer = Signer::new_without_digest(&key).unwrap();
        let text = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = URL_SAFE_NO_PAD.encode(signer.sign_oneshot_to_vec(text).unwrap());
        assert_eq!(
            signature,
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
        let record = RecordKey(key).sign(b"Example of Ed25519 signing").unwrap();
        assert_eq!(record.split('.').nth(1), Some("RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"));
    }

    #[test]
    fn another_kind_of_key_is_none() {
        let rsa = openssl::rsa::Rsa::generate(2048).unwrap();
        let pem = PKey::from_rsa(rsa).unwrap().private_key_to_pem_pkcs8().unwrap();
        assert!(RecordKey::from_pem(&pem).is_none());
        assert!(RecordKey::from_pem(b"no key").is_none());
        let key = PKey::generate_ed25519().unwrap().private_key_to_pem_pkcs8().unwrap();
        assert_eq!(format!("{:?}", RecordKey::from_pem(&key)), "Some([REDACTED])");
    }
}
