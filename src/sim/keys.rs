//! Real keys, fresh each run, and what is done with them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    error::ErrorStack,
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::{Padding, Rsa},
    sign::{Signer, Verifier},
    x509::{X509, X509NameBuilder},
};

/// An RSA key pair.
pub(super) struct Key {
    pair: PKey<Private>,
    rsa: Rsa<Private>,
}

impl Key {
    /// Draws a pair of this many bits.
    pub(super) fn new(bits: u32) -> Result<Self, ErrorStack> {
        let rsa = Rsa::generate(bits)?;
        Ok(Self { pair: PKey::from_rsa(rsa.clone())?, rsa })
    }

    /// RSA over SHA-256, base64.
    pub(super) fn sign(&self, text: &[u8]) -> Result<String, ErrorStack> {
        self.sign_by(MessageDigest::sha256(), text)
    }

    /// RSA over this digest, base64.
    pub(super) fn sign_by(&self, digest: MessageDigest, text: &[u8]) -> Result<String, ErrorStack> {
        let mut signer = Signer::new(digest, &self.pair)?;
        Ok(STANDARD.encode(signer.sign_oneshot_to_vec(text)?))
    }

    /// Whether `signature` is this pair's over `text`.
    pub(super) fn verify(&self, text: &[u8], signature: &str) -> bool {
        self.verify_by(MessageDigest::sha256(), text, signature)
    }

    /// Whether `signature` is this pair's over `text` with this digest.
    pub(super) fn verify_by(&self, digest: MessageDigest, text: &[u8], signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else { return false };
        Verifier::new(digest, &self.pair)
            .and_then(|mut verifier| verifier.verify_oneshot(&signature, text))
            .unwrap_or(false)
    }

    /// Encrypts a short text to this pair's owner (PKCS #1), base64.
    pub(super) fn conceal(&self, text: &str) -> Result<String, ErrorStack> {
        let mut out = vec![0; usize::try_from(self.rsa.size()).unwrap_or_default()];
        let written = self.rsa.public_encrypt(text.as_bytes(), &mut out, Padding::PKCS1)?;
        Ok(STANDARD.encode(out.get(..written).unwrap_or_default()))
    }

    /// Decrypts what was concealed to this pair.
    pub(super) fn reveal(&self, concealed: &str) -> Option<String> {
        let mut out = vec![0; usize::try_from(self.rsa.size()).ok()?];
        let bytes = STANDARD.decode(concealed).ok()?;
        let written = self.rsa.private_decrypt(&bytes, &mut out, Padding::PKCS1).ok()?;
        String::from_utf8(out.get(..written)?.to_vec()).ok()
    }

    /// Seals a text as Baofoo does: base64, blocks of 32 bytes, each encrypted with the private key, hex, joined.
    pub(super) fn seal(&self, text: &str) -> Result<String, ErrorStack> {
        let mut sealed = String::new();
        let size = usize::try_from(self.rsa.size()).unwrap_or_default();
        for block in STANDARD.encode(text).as_bytes().chunks(32) {
            let mut out = vec![0; size];
            let written = self.rsa.private_encrypt(block, &mut out, Padding::PKCS1)?;
            sealed.push_str(&hex::encode(out.get(..written).unwrap_or_default()));
        }
        Ok(sealed)
    }

    /// Opens what this pair sealed, with its public half only.
    pub(super) fn open(&self, sealed: &str) -> Option<String> {
        let size = usize::try_from(self.rsa.size()).ok()?;
        let sealed = hex::decode(sealed).ok()?;
        if sealed.is_empty() || sealed.len() % size != 0 {
            return None;
        }
        let mut text = vec![];
        for block in sealed.chunks(size) {
            let mut out = vec![0; size];
            let written = self.rsa.public_decrypt(block, &mut out, Padding::PKCS1).ok()?;
            text.extend_from_slice(out.get(..written)?);
        }
        String::from_utf8(STANDARD.decode(text).ok()?).ok()
    }

    /// The public half, PEM.
    pub(super) fn public_pem(&self) -> Result<Vec<u8>, ErrorStack> {
        self.pair.public_key_to_pem()
    }

    /// The private half, PEM (PKCS #8).
    pub(super) fn private_pem(&self) -> Result<Vec<u8>, ErrorStack> {
        self.pair.private_key_to_pem_pkcs8()
    }

    /// A self-signed certificate over the public half, PEM.
    pub(super) fn certificate(&self, common_name: &str) -> Result<String, ErrorStack> {
        let mut name = X509NameBuilder::new()?;
        name.append_entry_by_text("CN", common_name)?;
        let name = name.build();
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        builder.set_serial_number(&*BigNum::from_u32(1)?.to_asn1_integer()?)?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(&name)?;
        builder.set_pubkey(&self.pair)?;
        builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
        builder.set_not_after(&*Asn1Time::days_from_now(30)?)?;
        builder.sign(&self.pair, MessageDigest::sha256())?;
        Ok(String::from_utf8_lossy(&builder.build().to_pem()?).into_owned())
    }
}

/// HMAC-SHA256.
pub(super) fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    PKey::hmac(key)
        .and_then(|key| {
            Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot_to_vec(text.as_bytes())
        })
        .unwrap_or_default()
}

/// SHA-256 in hex.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(openssl::sha::sha256(bytes))
}

/// A number that depends on the seed and the parts alone: for choices that must not depend on the order of arrival.
pub(super) fn dice(seed: u64, parts: &[&str]) -> u64 {
    let digest = openssl::sha::sha256(format!("{seed}|{}", parts.join("|")).as_bytes());
    digest.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_and_what_is_tampered_does_not() {
        let key = Key::new(1024).unwrap();
        let sealed = key.seal(r#"{"id_holder":"苏·禾","n":"a+b c"}"#).unwrap();
        assert_eq!(key.open(&sealed).unwrap(), r#"{"id_holder":"苏·禾","n":"a+b c"}"#);
        let tampered = sealed.replacen(['0', '1'], "f", 1);
        assert!(key.open(&tampered).is_none());
        let signature = key.sign(b"text").unwrap();
        assert!(key.verify(b"text", &signature) && !key.verify(b"texu", &signature));
    }
}
