//! Signed requests: that the body is the client's who holds the key, and that it was sent just now.

use crate::api::Problem;
use crate::domain::clock::Timestamp;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};
use sha2::Sha256;
use std::fmt;
use std::time::Duration;

/// How far a client's clock may be from ours, and how long a signature is good for.
const WINDOW: Duration = Duration::from_mins(5);

/// Where it stands: `t=MILLISECONDS,v1=HEX`.
const HEADER: &str = "Hefu-Signature";

/// By which a client signs.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Box<[u8]>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl SigningKey {
    /// The key as it stands in its file.
    pub fn new(key: &[u8]) -> Self {
        Self(key.into())
    }

    /// Whether the head says what the body's hash is, and that is signed, at about `now`: it is known before the body is read.
    pub(super) fn vouches_before(&self, parts: &Parts, now: Timestamp) -> Result<(), Problem> {
        const UNTOLD: Problem = Problem::new(
            StatusCode::UNAUTHORIZED,
            "a batch or a picture needs `Content-Digest: sha-256=:BASE64:` of the body, so that it is known to be yours before it is read",
        );
        let told = one(parts, "Content-Digest").and_then(|value| value.to_str().ok());
        let told = told.and_then(|text| Parser::new(text).parse::<Dictionary>().ok());
        let told = told.and_then(|mut told| match told.swap_remove("sha-256")? {
            ListEntry::Item(Item { bare_item: BareItem::ByteSequence(hash), .. }) => {
                hash.try_into().ok()
            }
            ListEntry::Item(_) | ListEntry::InnerList(_) => None,
        });
        self.vouches(parts, told.ok_or(UNTOLD)?, now)
    }

    /// Whether `parts` and a body with this SHA-256 are signed, at about `now`. The name of the request is signed with it, so that
    /// whoever sends it again has the same request again.
    pub(super) fn vouches(
        &self,
        parts: &Parts,
        body: [u8; 32],
        now: Timestamp,
    ) -> Result<(), Problem> {
        const UNSIGNED: Problem = Problem::new(
            StatusCode::UNAUTHORIZED,
            "the request is not signed as yours are: `Hefu-Signature: t=MILLISECONDS,v1=HEX` over what was sent, not long ago",
        );
        let one = |name| one(parts, name);
        let signature = one(HEADER).and_then(|value| value.to_str().ok()).ok_or(UNSIGNED)?;
        let (at, digest) = signature.split_once(',').ok_or(UNSIGNED)?;
        let at = at.strip_prefix("t=").ok_or(UNSIGNED)?;
        let sent = Timestamp::from_millis(at.parse().map_err(|_| UNSIGNED)?);
        let digest =
            digest.strip_prefix("v1=").and_then(|hex| hex::decode(hex).ok()).ok_or(UNSIGNED)?;
        let key = one("Idempotency-Key").map_or(&b""[..], HeaderValue::as_bytes);
        let place = parts.uri.path_and_query().map_or("", |place| place.as_str());
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).map_err(|_| UNSIGNED)?;
        mac.update(format!("{at}.{} {place}\n", parts.method).as_bytes());
        mac.update(key);
        mac.update(format!("\n{}", hex::encode(body)).as_bytes());
        let is_ours = mac.verify_slice(&digest).is_ok();
        let is_now = now.since(sent).max(sent.since(now)) <= WINDOW;
        if is_ours && is_now { Ok(()) } else { Err(UNSIGNED) }
    }
}

/// A header that is there once.
fn one<'p>(parts: &'p Parts, name: &str) -> Option<&'p HeaderValue> {
    let mut values = parts.headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use sha2::Digest as _;

    /// `printf '1700000000000.POST /v1/verifications\none\n%s' "$(printf '{}' | sha256sum | cut -c1-64)" | openssl dgst -sha256 -hmac KEY`
    const SIGNED: &str =
        "t=1700000000000,v1=d32e2ac390c54fa12bdae86bf1b7f29c371b481eaaff61182e40854a755305cc";

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn a_signature_is_over_all_that_was_sent_and_good_for_minutes() {
        let key = SigningKey::new(b"KEY");
        let check = |line: (&str, &str),
                     headers: &[(&str, &str)],
                     body: &str,
                     later: i64,
                     expected: bool| {
            let mut request = Request::builder().method(line.0).uri(line.1);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let now =
                Timestamp::from_millis(1_700_000_000_000_u64.checked_add_signed(later).unwrap());
            assert_eq!(
                key.vouches(&parts, Sha256::digest(body).into(), now).is_ok(),
                expected,
                "{line:?} {headers:?} {body} {later}"
            );
        };
        let (line, signed, named) =
            (("POST", "/v1/verifications"), (HEADER, SIGNED), ("Idempotency-Key", "one"));
        check(line, &[signed, named], "{}", 0, true);
        check(line, &[signed, named], "{}", 300_000, true);
        check(line, &[signed, named], "{}", -300_000, true);
        check(line, &[signed, named], "{}", 300_001, false);
        check(line, &[signed, named], "{}", -300_001, false);
        check(line, &[signed, named], "{} ", 0, false);
        check(line, &[signed, ("Idempotency-Key", "two")], "{}", 0, false);
        check(line, &[signed], "{}", 0, false);
        check(line, &[signed, named, named], "{}", 0, false);
        check(line, &[signed, signed, named], "{}", 0, false);
        check(line, &[named], "{}", 0, false);
        check(("GET", "/v1/verifications"), &[signed, named], "{}", 0, false);
        check(("POST", "/v1/verifications?x"), &[signed, named], "{}", 0, false);
        for wrong in [
            "",
            "t=1700000000000",
            "t=1,v1=00",
            "t=x,v1=",
            "v1=,t=1",
            &SIGNED.replace("t=17", "t=17,"),
        ] {
            check(line, &[(HEADER, wrong), named], "{}", 0, false);
        }
        // What the head says of the body is what is signed, or it is not read.
        let before = |told: &[&str]| {
            let mut request = Request::builder().method("POST").uri(line.1);
            for (name, value) in [signed, named] {
                request = request.header(name, value);
            }
            for told in told {
                request = request.header("Content-Digest", *told);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            key.vouches_before(&parts, Timestamp::from_millis(1_700_000_000_000)).is_ok()
        };
        // `printf '{}' | openssl dgst -sha256 -binary | base64`
        let told = "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:";
        assert!(before(&[told]));
        // A dictionary may have other members, and parameters: `openssl dgst -sha512` made the other one.
        let longer = "sha-512=:J8dGcK23UHX60FjVzq97IMTneGyDuuijL2Jvl4KvNMmjPCBG72D9Knh403jin+yFGAa72aZ4ePOp8c2kgwdj/Q==:";
        for legal in [
            format!("{longer}, {told}"),
            format!("{told},\t{longer};x=?0"),
            format!("unixsum=30637, {told};weight=1"),
        ] {
            assert!(before(&[&legal]), "{legal}");
        }
        for wrong in [
            &[][..],
            &[told, told],
            &[longer],
            &["sha-256=(:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:)"],
            &["sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:,"],
            &["sha-256=\"RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=\""],
            &["sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:, sha-256=1"],
            &["sha-256=RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o="],
            &["sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq:"],
            &["sha-256=:SBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:"],
        ] {
            assert!(!before(wrong), "{wrong:?}");
        }
        let other = SigningKey::new(b"KEx");
        let (parts, ()) = Request::builder()
            .method("POST")
            .uri(line.1)
            .header(HEADER, SIGNED)
            .header(named.0, named.1)
            .body(())
            .unwrap()
            .into_parts();
        let body = Sha256::digest("{}").into();
        assert!(other.vouches(&parts, body, Timestamp::from_millis(1_700_000_000_000)).is_err());
    }
}
