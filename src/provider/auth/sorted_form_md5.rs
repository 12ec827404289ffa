//! MD5 over the decoded form pairs, sorted and joined, and a secret; hex, in a field. Weak, and what many resellers ask for.

use crate::provider::auth::Setting;
use crate::provider::file::auth::SortedFormMd5File;
use crate::provider::request::{Content, Draft};
use crate::provider::secret::Secret;
use crate::provider::template::Unwritable;
use openssl::hash::{MessageDigest, hash};
use zeroize::Zeroizing;

/// Where the secret goes in the suffix.
const PLACE: &str = "{secret}";

/// A checked mechanism with its secret.
#[derive(Debug)]
pub(crate) struct SortedFormMd5 {
    field: Box<str>,
    suffix: Secret,
    uppercase: bool,
}

impl SortedFormMd5 {
    pub(super) fn compile(file: &SortedFormMd5File, mut setting: Setting<'_>) -> Option<Self> {
        let secret = setting.secret_text(&file.secret);
        if !file.suffix.get().contains(PLACE) {
            let hint = "write `{secret}` where the secret goes";
            setting.problems.file(
                file.suffix.span(),
                "the suffix has no place for the secret",
                hint,
            );
            return None;
        }
        let suffix = file.suffix.get().replace(PLACE, secret?.expose_text()?);
        Some(Self {
            field: file.field.get().as_str().into(),
            suffix: Secret::new(suffix.into_bytes()),
            uppercase: file.uppercase,
        })
    }

    pub(super) fn sign(&self, draft: &mut Draft) -> Result<(), Unwritable> {
        let Content::Form(pairs) = &mut draft.content else { return Err(Unwritable) };
        pairs.retain(|(name, _)| *name != self.field.as_bytes());
        let mut sorted: Vec<_> = pairs.iter().collect();
        sorted.sort();
        let lines: Vec<Vec<u8>> =
            sorted.iter().map(|(name, value)| [name, &b"="[..], value].concat()).collect();
        let text = Zeroizing::new([lines.join(&b'&').as_slice(), self.suffix.expose()].concat());
        let digest = hash(MessageDigest::md5(), &text).map_err(|_| Unwritable)?;
        let hex = if self.uppercase { hex::encode_upper(digest) } else { hex::encode(digest) };
        pairs.push((self.field.as_bytes().to_vec(), hex.into_bytes()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    /// The digests are `md5sum`'s of the text in the comment.
    #[test]
    fn sorted_pairs_and_the_secret_are_hashed() {
        let check = |fields: &[(&str, &str)], uppercase: bool, expected: &str| {
            let pairs = fields.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec()));
            let mut draft = Draft {
                method: http::Method::POST,
                path: "/".into(),
                query: String::new(),
                headers: HeaderMap::new(),
                content: Content::Form(pairs.collect()),
            };
            let suffix = Secret::new(b"&secret=k".to_vec());
            let auth = SortedFormMd5 { field: "sign".into(), suffix, uppercase };
            auth.sign(&mut draft).unwrap();
            let Content::Form(pairs) = draft.content else { panic!("a form") };
            let signed = pairs.last().unwrap();
            assert_eq!(String::from_utf8_lossy(&signed.1), expected);
            assert_eq!(pairs.iter().filter(|(name, _)| name == b"sign").count(), 1);
        };
        // a=1&b=x y&secret=k
        check(
            &[("b", "x y"), ("a", "1"), ("sign", "old")],
            false,
            "73e971765be00d0f09a591ee014ea4ad",
        );
        // name=张三&secret=k
        check(&[("name", "张三")], true, "884474B611D6EC868B272ED30B7136D1");
    }
}
