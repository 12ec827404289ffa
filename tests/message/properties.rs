//! Properties of extraction from forms, by a shipped profile.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use encoding_rs::{Encoding, GB18030, UTF_8};
use hefu::config;
use hefu::message::extract::{self, Request};
use hefu::message::profile::Profile;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

/// A legal debit.
const DEBIT: &[u8] = include_bytes!("unionpay/debit.http");

static PROFILE: LazyLock<Profile> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/channels/unionpay.toml");
    config::profile(&file, &BTreeMap::new()).map_err(|problems| problems.to_string()).unwrap()
});

fn request(body: &[u8]) -> Request<'_> {
    Request::post("/gateway/api/backtransreq.do", "application/x-www-form-urlencoded", body)
}

/// Order, amount and elements of a debit, in one line.
fn show(body: &[u8]) -> String {
    let extracted = extract::extract(&PROFILE, &request(body)).map_err(|error| error.to_string());
    let payment = &extracted.as_ref().unwrap().payments.first().unwrap().payment;
    let order = payment.order.as_ref().map_or("", |order| &order.0);
    let amount = payment.amount.map(|amount| amount.to_string()).unwrap_or_default();
    let name = payment.elements.name.as_ref().map_or("", |name| name.expose());
    format!("{} {order} {amount} [{}] {name}", payment.scenario.as_str(), payment.elements.set())
}

fn customer_info(text: &str, encoding: &'static Encoding) -> String {
    STANDARD.encode(encoding.encode(text).0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_order_of_fields_and_the_way_of_escaping_do_not_matter(
        seed in any::<u64>(),
        name in "[张李王赵阿依古丽]{2,6}(·[买提]{2,4})?",
        gbk in any::<bool>(),
    ) {
        let encoding = if gbk { GB18030 } else { UTF_8 };
        let label = if gbk { "GBK" } else { "UTF-8" };
        let info = customer_info(&format!("{{certifId=11010519491231002X&customerNm={name}&phoneNo=13800000000}}"), encoding);
        let mut fields = vec![
            ("txnType", "11".to_owned()), ("txnSubType", "02".to_owned()), ("merId", "1".to_owned()),
            ("orderId", "T1".to_owned()), ("txnTime", "2".to_owned()), ("txnAmt", "8888".to_owned()),
            ("accNo", "6200000000000005".to_owned()), ("customerInfo", info), ("encoding", label.to_owned()),
            ("reserved", String::new()), ("riskRateInfo", "{x=1&y=2}".to_owned()),
        ];
        let mut state = seed;
        let mut next = || { state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1); state >> 33 };
        fields.sort_by_cached_key(|_| next());
        let body: Vec<_> = fields.iter().map(|(key, value)| {
            let value: String = value.bytes().map(|byte| {
                let plain = byte.is_ascii_alphanumeric() && next() % 3 != 0;
                let hex = if next() % 2 == 0 { format!("%{byte:02x}") } else { format!("%{byte:02X}") };
                // A charset is peeked at before it is known, so it is written plainly, as it is in the field.
                if plain || *key == "encoding" { char::from(byte).to_string() } else { hex }
            }).collect();
            format!("{key}={value}")
        }).collect();
        let shown = show(body.join("&").as_bytes());
        prop_assert_eq!(shown, format!("debit 1|T1|2 8888 [name id_number pan phone] {name}"));
    }

    #[test]
    fn a_changed_byte_never_panics_and_never_reads_two_ways(at in any::<prop::sample::Index>(), byte in any::<u8>(), insert in any::<bool>()) {
        let mut body = DEBIT.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap().to_vec();
        let at = at.index(body.len());
        if insert { body.insert(at, byte) } else if let Some(slot) = body.get_mut(at) { *slot = byte }
        if let Ok(extracted) = extract::extract(&PROFILE, &request(&body)) {
            // An independent reader: the URL standard's, as browsers have it.
            let read: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
            let values = |key: &str| read.iter().filter(|(k, _)| k == key).map(|(_, v)| v.clone()).collect::<Vec<_>>();
            let payment = &extracted.payments.first().unwrap().payment;
            let amount = payment.amount.map(|amount| amount.to_string());
            prop_assert_eq!(values("txnAmt"), amount.into_iter().collect::<Vec<_>>());
            let order = ["merId", "orderId", "txnTime"].map(|key| values(key).join("")).join("|");
            prop_assert_eq!(order, payment.order.as_ref().map(|order| order.0.to_string()).unwrap_or_default());
        }
    }
}
