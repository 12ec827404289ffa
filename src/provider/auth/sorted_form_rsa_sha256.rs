//! RSA with SHA-256 over the hex SHA-256 of the decoded form pairs, sorted and joined, as base64 in a field.
//!
//! Answers that are forms carry the same signature, made with the provider's key.

use crate::provider::auth::Setting;
use crate::provider::file::auth::SortedFormRsaSha256File;
use crate::provider::form::Pairs;
use crate::provider::request::{Content, Draft};
use crate::provider::template::Unwritable;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{HasPublic, PKey, Private, Public};
use openssl::sign::{Signer, Verifier};
use openssl::x509::X509;
use sha2::{Digest, Sha256};
use std::fmt;

/// A checked mechanism with its keys.
pub(crate) struct SortedFormRsaSha256 {
    field: Box<str>,
    key: PKey<Private>,
    verify: Option<PKey<Public>>,
}

impl fmt::Debug for SortedFormRsaSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.key.bits();
        write!(f, "SortedFormRsaSha256({} bits, pinned: {})", bits, self.verify.is_some())
    }
}

impl SortedFormRsaSha256 {
    pub(super) fn compile(
        file: &SortedFormRsaSha256File,
        mut setting: Setting<'_>,
    ) -> Option<Self> {
        let key = setting.secret(&file.secret).and_then(|pem| {
            let key = PKey::private_key_from_pem(pem.expose()).ok();
            let key = key.filter(is_rsa);
            if key.is_none() {
                let message = format!("the secret `{}` is no RSA private key", file.secret);
                let hint = "convert a PFX with `openssl pkcs12 -nodes -nocerts`";
                setting.problems.deployment("secrets", message, hint);
            }
            key
        });
        let pinned = file
            .verify
            .as_ref()
            .filter(|name| setting.deployment.secrets.contains_key(name.as_str()));
        let verify = match pinned.and_then(|name| Some((name, setting.secret(name)?))) {
            None => None,
            Some((name, pem)) => {
                let key = PKey::public_key_from_pem(pem.expose())
                    .or_else(|_| X509::from_pem(pem.expose())?.public_key())
                    .ok();
                let key = key.filter(is_rsa);
                if key.is_none() {
                    let message = format!("`{name}` is no RSA public key or certificate");
                    setting.problems.deployment("secrets", message, "it must be PEM");
                }
                key
            }
        };
        Some(Self { field: file.field.get().as_str().into(), key: key?, verify })
    }

    pub(super) fn sign(&self, draft: &mut Draft) -> Result<(), Unwritable> {
        let Content::Form(pairs) = &mut draft.content else { return Err(Unwritable) };
        pairs.retain(|(name, _)| *name != self.field.as_bytes());
        let signature = sign(&self.key, &self.digest(pairs)).map_err(|_| Unwritable)?;
        let signature = STANDARD.encode(signature).into_bytes();
        pairs.push((self.field.as_bytes().to_vec(), signature));
        Ok(())
    }

    /// Whether the answer is signed with the pinned key; without one there is nothing to hold it against.
    pub(super) fn vouches_for(&self, answer: Option<&Pairs>) -> bool {
        let Some(key) = &self.verify else { return true };
        let Some(pairs) = answer else { return false };
        let signature = pairs
            .iter()
            .find(|(name, _)| *name == self.field.as_bytes())
            .and_then(|(_, value)| STANDARD.decode(value).ok());
        signature
            .is_some_and(|signature| verify(key, &self.digest(pairs), &signature).unwrap_or(false))
    }

    /// The hex SHA-256 of the pairs sorted by name and joined by `&`, without the signature.
    fn digest(&self, pairs: &Pairs) -> String {
        let mut sorted: Vec<_> =
            pairs.iter().filter(|(name, _)| *name != self.field.as_bytes()).collect();
        sorted.sort();
        let joined: Vec<Vec<u8>> =
            sorted.into_iter().map(|(name, value)| [name, &b"="[..], value].concat()).collect();
        hex::encode(Sha256::digest(joined.join(&b"&"[..])))
    }
}

fn is_rsa<T: HasPublic>(key: &PKey<T>) -> bool {
    key.rsa().is_ok()
}

fn sign(key: &PKey<Private>, text: &str) -> Result<Vec<u8>, ErrorStack> {
    let mut signer = Signer::new(MessageDigest::sha256(), key)?;
    signer.sign_oneshot_to_vec(text.as_bytes())
}

fn verify(key: &PKey<Public>, text: &str, signature: &[u8]) -> Result<bool, ErrorStack> {
    let mut verifier = Verifier::new(MessageDigest::sha256(), key)?;
    verifier.verify_oneshot(signature, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::rsa::Rsa;

    fn pairs(text: &[(&str, &str)]) -> Pairs {
        text.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()
    }

    fn auth(key: &Rsa<Private>, pinned: Option<&Rsa<Private>>) -> SortedFormRsaSha256 {
        let public = |key: &Rsa<Private>| {
            PKey::public_key_from_pem(&key.public_key_to_pem().unwrap()).unwrap()
        };
        let key_of = PKey::from_rsa(key.clone()).unwrap();
        SortedFormRsaSha256 { field: "signature".into(), key: key_of, verify: pinned.map(public) }
    }

    fn draft(fields: &[(&str, &str)]) -> Draft {
        Draft {
            method: http::Method::POST,
            path: "/".into(),
            query: String::new(),
            headers: http::HeaderMap::new(),
            content: Content::Form(pairs(fields)),
        }
    }

    #[test]
    fn pairs_are_signed_sorted_decoded_and_without_the_signature() {
        let key = Rsa::generate(2048).unwrap();
        let mut draft = draft(&[("b", "x y&z"), ("signature", "old"), ("a", "1")]);
        auth(&key, None).sign(&mut draft).unwrap();
        let Content::Form(signed) = &draft.content else { panic!("a form") };
        let (_, signature) = signed.iter().find(|(name, _)| name == b"signature").unwrap();
        // Written out by hand from the specification, not with the code under test.
        let digest = hex::encode(Sha256::digest("a=1&b=x y&z"));
        let public = PKey::public_key_from_pem(&key.public_key_to_pem().unwrap()).unwrap();
        let mut verifier = Verifier::new(MessageDigest::sha256(), &public).unwrap();
        let signature = STANDARD.decode(signature).unwrap();
        assert!(verifier.verify_oneshot(&signature, digest.as_bytes()).unwrap());
    }

    #[test]
    fn only_the_pinned_key_vouches_for_an_answer() {
        let (provider, stranger) = (Rsa::generate(2048).unwrap(), Rsa::generate(2048).unwrap());
        let mut draft = draft(&[("respCode", "00")]);
        auth(&provider, None).sign(&mut draft).unwrap();
        let Content::Form(signed) = draft.content else { panic!("a form") };
        let check = |answer: Option<&Pairs>, pinned: Option<&Rsa<Private>>, expected: bool| {
            assert_eq!(auth(&stranger, pinned).vouches_for(answer), expected);
        };
        check(Some(&signed), Some(&provider), true);
        check(Some(&signed), Some(&stranger), false);
        check(Some(&pairs(&[("respCode", "00")])), Some(&provider), false);
        check(Some(&pairs(&[("respCode", "00")])), None, true);
        check(None, Some(&provider), false);
        let mut changed = signed.clone();
        changed[0].1 = b"66".to_vec();
        check(Some(&changed), Some(&provider), false);
    }
}
