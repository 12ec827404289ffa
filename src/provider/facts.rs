//! What templates may say: the elements of one question, its id and time, and configured variables.

use crate::domain::business::CreditCode;
use crate::domain::clock::Timestamp;
use crate::domain::element::{CardSecret, Element, Elements};
use crate::domain::id::PaymentId;
use crate::domain::identity::{CertificateNumber, IdNumber};
use crate::domain::image::Image;
use crate::domain::pan::{AccountLevel, Pan};
use crate::domain::person::{Mobile, Name};
use jiff::tz::{Offset, TimeZone};
use minijinja::Value;
use std::collections::BTreeMap;

/// The names that every template may use.
pub(crate) const NAMES: [&str; 17] = [
    "name",
    "id_number",
    "id_type",
    "pan",
    "account_kind",
    "phone",
    "cvv2",
    "expiry",
    "account_level",
    "face_image",
    "id_card_image",
    "business_name",
    "credit_code",
    "certificate_number",
    "inquiry_id",
    "time",
    "var",
];

/// The parts of `time`.
pub(crate) const TIME_PARTS: [&str; 5] = ["unix", "unix_ms", "utc", "utc_date", "beijing"];

/// The values of `elements`; every use is a place to review.
pub(crate) fn values(elements: &Elements) -> Vec<(Element, &str)> {
    let Elements {
        name,
        id_number,
        pan,
        phone,
        cvv2,
        expiry,
        account_level,
        face_image,
        id_card_image,
        business_name,
        credit_code,
        certificate_number,
    } = elements;
    [
        (Element::Name, name.as_ref().map(Name::expose)),
        (Element::IdNumber, id_number.as_ref().map(IdNumber::expose)),
        (Element::Pan, pan.as_ref().map(Pan::expose)),
        (Element::Phone, phone.as_ref().map(Mobile::expose)),
        (Element::Cvv2, cvv2.as_ref().map(CardSecret::expose)),
        (Element::Expiry, expiry.as_ref().map(CardSecret::expose)),
        (Element::AccountLevel, account_level.map(AccountLevel::as_str)),
        (Element::FaceImage, face_image.as_ref().map(Image::expose)),
        (Element::IdCardImage, id_card_image.as_ref().map(Image::expose)),
        (Element::BusinessName, business_name.as_ref().map(Name::expose)),
        (Element::CreditCode, credit_code.as_ref().map(CreditCode::expose)),
        (Element::CertificateNumber, certificate_number.as_ref().map(CertificateNumber::expose)),
    ]
    .into_iter()
    .filter_map(|(element, value)| value.map(|value| (element, value)))
    .collect()
}

/// The context in which one question's templates are rendered.
pub(crate) fn context(
    elements: &Elements,
    id: PaymentId,
    now: Timestamp,
    vars: &BTreeMap<String, String>,
) -> Value {
    let mut facts: BTreeMap<&str, Value> = values(elements)
        .into_iter()
        .map(|(element, value)| (element.as_str(), Value::from(value)))
        .collect();
    if let Some(id_number) = &elements.id_number {
        facts.insert("id_type", Value::from(id_number.kind().as_str()));
    }
    if let Some(pan) = &elements.pan {
        facts.insert("account_kind", Value::from(pan.kind().as_str()));
    }
    facts.insert("inquiry_id", Value::from(id.to_string()));
    facts.insert("time", time(now));
    facts.insert("var", Value::from(vars.clone()));
    Value::from(facts)
}

/// The ways in which protocols write an instant.
fn time(now: Timestamp) -> Value {
    // Beijing has had no summer time since 1991, and protocols mean the offset.
    const BEIJING: Offset = Offset::constant(8);
    let ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let instant = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    let beijing = instant.to_zoned(TimeZone::fixed(BEIJING));
    Value::from(BTreeMap::from([
        ("unix", Value::from(now.as_secs())),
        ("unix_ms", Value::from(now.as_millis())),
        ("utc", Value::from(instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())),
        ("utc_date", Value::from(instant.strftime("%Y-%m-%d").to_string())),
        ("beijing", Value::from(beijing.strftime("%Y%m%d%H%M%S").to_string())),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_as_protocols_write_it() {
        // 2019-02-25 16:44:25 UTC, past midnight in Beijing.
        let time = time(Timestamp::from_millis(1_551_113_065_999));
        let check = |part: &str, expected: &str| {
            assert_eq!(time.get_attr(part).unwrap().to_string(), expected, "{part}");
        };
        check("unix", "1551113065");
        check("unix_ms", "1551113065999");
        check("utc", "2019-02-25T16:44:25Z");
        check("utc_date", "2019-02-25");
        check("beijing", "20190226004425");
    }
}
