//! An HMAC-SHA-256 over a canonical form of the request, in `Authorization`.
//!
//! One mechanism with two dialects, told apart by data. With `derive`, a chain of HMACs makes the signing key, and
//! instant and scope are signed (Tencent Cloud API 3.0, TC3-HMAC-SHA256; AWS Signature 4 is the ancestor). Without it the
//! secret signs the hash alone, and instant and nonce are signed headers (Alibaba Cloud, ACS3-HMAC-SHA256).

use crate::provider::auth::{Scene, Setting};
use crate::provider::file::auth::CanonicalRequestHmacFile;
use crate::provider::request::Draft;
use crate::provider::secret::Secret;
use crate::provider::template::{Text, Unwritable};
use hmac::{Hmac, KeyInit, Mac};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A checked mechanism with its secret.
#[derive(Debug)]
pub(crate) struct CanonicalRequestHmac {
    algorithm: Box<str>,
    key_id: Text,
    secret: Secret,
    /// In lower case, sorted.
    signed_headers: Vec<HeaderName>,
    lowercase_values: bool,
    content_hash_header: Option<HeaderName>,
    separator: Box<str>,
    derive: Option<Derive>,
}

#[derive(Debug)]
struct Derive {
    prefix: Box<str>,
    chain: Vec<Text>,
    timestamp: Text,
}

impl CanonicalRequestHmac {
    pub(super) fn compile(
        file: &CanonicalRequestHmacFile,
        mut setting: Setting<'_>,
    ) -> Option<Self> {
        let secret = setting.secret_text(&file.secret);
        let content_hash_header =
            file.content_hash_header.as_ref().and_then(|name| setting.header(name));
        let mut signed_headers = Vec::with_capacity(file.signed_headers.len());
        for name in &file.signed_headers {
            let Some(header) = setting.header(name) else { continue };
            let sent = header == http::header::HOST
                || Some(&header) == content_hash_header.as_ref()
                || setting.request.sends(header.as_str());
            if !sent {
                let message = format!("`{header}` is signed and never sent");
                setting.problems.file(name.span(), message, "add it to `request.headers`");
            }
            signed_headers.push(header);
        }
        signed_headers.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        signed_headers.dedup();
        for text in [&file.algorithm, &file.separator] {
            if text.get().is_empty() || HeaderValue::from_str(text.get()).is_err() {
                setting.problems.file(text.span(), "this cannot stand in a header", "");
            }
        }
        let Setting { templates, problems, .. } = setting;
        let derive = file.derive.as_ref().map(|derive| Derive {
            prefix: derive.prefix.as_str().into(),
            chain: derive.chain.iter().map(|step| templates.add_at(step, problems)).collect(),
            timestamp: templates.add_at(&derive.timestamp, problems),
        });
        Some(Self {
            algorithm: file.algorithm.get().as_str().into(),
            key_id: templates.add_at(&file.key_id, problems),
            secret: secret?,
            signed_headers,
            lowercase_values: file.lowercase_values,
            content_hash_header,
            separator: file.separator.get().as_str().into(),
            derive,
        })
    }

    pub(super) fn sign(&self, draft: &mut Draft, scene: &Scene<'_>) -> Result<(), Unwritable> {
        let body_hash = hex_sha256(&draft.content.bytes());
        if let Some(header) = &self.content_hash_header {
            let value = HeaderValue::from_str(&body_hash).map_err(|_| Unwritable)?;
            draft.headers.insert(header.clone(), value);
        }
        let names: Vec<&str> = self.signed_headers.iter().map(HeaderName::as_str).collect();
        let names = names.join(";");
        let canonical = self.canonical(draft, scene.host, &names, &body_hash)?;
        let hash = hex_sha256(canonical.as_bytes());
        let mut credential = scene.templates.render(&self.key_id, scene.context)?;
        let mut key = Zeroizing::new(self.secret.expose().to_vec());
        let mut signed = format!("{}\n", self.algorithm);
        if let Some(derive) = &self.derive {
            let render = |text| scene.templates.render(text, scene.context);
            let steps: Vec<String> = derive.chain.iter().map(render).collect::<Result<_, _>>()?;
            let scope = steps.join("/");
            key.splice(0..0, derive.prefix.bytes());
            for step in &steps {
                key = Zeroizing::new(hmac_sha256(&key, step)?);
            }
            signed = format!("{signed}{}\n{scope}\n", render(&derive.timestamp)?);
            credential = format!("{credential}/{scope}");
        }
        signed.push_str(&hash);
        let signature = hex::encode(hmac_sha256(&key, &signed)?);
        let gap = &self.separator;
        let algorithm = &self.algorithm;
        let value = format!(
            "{algorithm} Credential={credential}{gap}SignedHeaders={names}{gap}Signature={signature}"
        );
        let mut value = HeaderValue::from_str(&value).map_err(|_| Unwritable)?;
        value.set_sensitive(true);
        draft.headers.insert(AUTHORIZATION, value);
        Ok(())
    }

    /// Method, path, query, signed headers, their names and the body's hash, a line each.
    fn canonical(
        &self,
        draft: &Draft,
        host: &str,
        names: &str,
        body_hash: &str,
    ) -> Result<String, Unwritable> {
        let mut headers = String::new();
        for name in &self.signed_headers {
            let sent = draft.headers.get(name).and_then(|value| value.to_str().ok());
            let sent = if *name == http::header::HOST { Some(host) } else { sent };
            let value = sent.ok_or(Unwritable)?.trim();
            let value = if self.lowercase_values { value.to_lowercase() } else { value.to_owned() };
            headers.extend([name.as_str(), ":", &value, "\n"]);
        }
        let Draft { method, path, query, .. } = draft;
        Ok(format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{body_hash}"))
    }
}

fn hex_sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn hmac_sha256(key: &[u8], text: &str) -> Result<Vec<u8>, Unwritable> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Unwritable)?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::Timestamp;
    use crate::domain::element::Elements;
    use crate::domain::id::PaymentId;
    use crate::provider::facts;
    use crate::provider::file::Charset;
    use crate::provider::problem::Problems;
    use crate::provider::request::Content;
    use crate::provider::template::Templates;
    use std::collections::BTreeMap;

    struct Case<'c> {
        at_ms: u64,
        host: &'c str,
        query: &'c str,
        headers: &'c [(&'static str, &'static str)],
        body: &'c [u8],
    }

    fn check(auth: &CanonicalRequestHmac, templates: &Templates, case: Case<'_>, expected: &str) {
        let mut draft = Draft {
            method: http::Method::POST,
            path: "/".into(),
            query: case.query.into(),
            headers: case
                .headers
                .iter()
                .map(|(name, value)| {
                    (HeaderName::from_static(name), HeaderValue::from_static(value))
                })
                .collect(),
            content: Content::Bytes(case.body.to_vec()),
        };
        let now = Timestamp::from_millis(case.at_ms);
        let vars = BTreeMap::new();
        let context = facts::context(&Elements::default(), PaymentId::new(now, 0), now, &vars);
        auth.sign(&mut draft, &Scene { templates, context: &context, host: case.host }).unwrap();
        assert_eq!(draft.headers[AUTHORIZATION].to_str().unwrap(), expected);
        assert!(
            !format!("{auth:?}{draft_headers:?}", draft_headers = draft.headers)
                .contains("Signature=")
        );
    }

    /// The published example of Tencent Cloud API 3.0; the signature recomputed with Python's `hmac`.
    #[test]
    fn a_derived_key_signs_instant_and_scope() {
        let mut templates = Templates::new(Charset::Utf8);
        let mut add = |text| templates.add(text, 0..0, &mut Problems::default());
        let auth = CanonicalRequestHmac {
            algorithm: "TC3-HMAC-SHA256".into(),
            key_id: add("AKIDz8krbsJ5yKBZQpn74WFkmLPx3*******"),
            secret: Secret::new(b"Gu5t9xGARNpq86cd98joQYCN3*******".to_vec()),
            signed_headers: ["content-type", "host"].map(HeaderName::from_static).into(),
            lowercase_values: true,
            content_hash_header: None,
            separator: ", ".into(),
            derive: Some(Derive {
                prefix: "TC3".into(),
                chain: ["{{ time.utc_date }}", "cvm", "tc3_request"].map(&mut add).into(),
                timestamp: add("{{ time.unix }}"),
            }),
        };
        let case = Case {
            at_ms: 1_551_113_065_000,
            host: "cvm.tencentcloudapi.com",
            query: "",
            headers: &[("content-type", "application/json; charset=utf-8")],
            body: br#"{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}"#,
        };
        check(
            &auth,
            &templates,
            case,
            "TC3-HMAC-SHA256 Credential=AKIDz8krbsJ5yKBZQpn74WFkmLPx3*******/2019-02-25/cvm/tc3_request, \
             SignedHeaders=content-type;host, \
             Signature=2230eefd229f582d8b1b891af7107b91597240707d778ab3738f756258d7652c",
        );
    }

    /// The published example of Alibaba Cloud's signature version 3; the signature recomputed with Python's `hmac`.
    #[test]
    fn without_derivation_the_secret_signs_the_hash() {
        let mut templates = Templates::new(Charset::Utf8);
        let names = [
            "host",
            "x-acs-action",
            "x-acs-content-sha256",
            "x-acs-date",
            "x-acs-signature-nonce",
            "x-acs-version",
        ];
        let auth = CanonicalRequestHmac {
            algorithm: "ACS3-HMAC-SHA256".into(),
            key_id: templates.add("YourAccessKeyId", 0..0, &mut Problems::default()),
            secret: Secret::new(b"YourAccessKeySecret".to_vec()),
            signed_headers: names.map(HeaderName::from_static).into(),
            lowercase_values: false,
            content_hash_header: Some(HeaderName::from_static("x-acs-content-sha256")),
            separator: ",".into(),
            derive: None,
        };
        let case = Case {
            at_ms: 1_698_315_752_000,
            host: "ecs.cn-shanghai.aliyuncs.com",
            query: "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai",
            headers: &[
                ("x-acs-action", "RunInstances"),
                ("x-acs-date", "2023-10-26T10:22:32Z"),
                ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
                ("x-acs-version", "2014-05-26"),
            ],
            body: b"",
        };
        check(
            &auth,
            &templates,
            case,
            "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,\
             SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,\
             Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0",
        );
    }
}
