//! Rows, as every database keeps them: by aggregate a key, how long it is kept, and the value as JSON.

use crate::crypto::tag::Tagger;
use crate::domain::clock::Timestamp;
use crate::domain::id::{AgreementId, Bank, ChannelName, Fingerprint, PaymentId};
use crate::domain::keep::PAYMENTS_KEPT;
use crate::reconcile::concordance::Place;
use crate::reconcile::hold::{Hold, HoldKey};
use crate::store::journal::OrderKey;
use crate::store::{Judged, Owed, Record};
use serde::Serialize;
use std::hash::Hasher as _;

/// A kind of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aggregate {
    /// Evidence by tuple.
    Evidence,
    /// Agreements by channel and id.
    Agreements,
    /// What the first step of a bind left.
    Waiting,
    /// Holds by what they hold.
    Holds,
    /// Records of payments.
    Payments,
    /// Payments whose outcome is owed.
    Expectations,
    /// Orders whose money message left.
    Orders,
    /// Inquiries whose answer is not known.
    Inquiries,
    /// What inquiries came to.
    Charges,
    /// Codes that no map knows.
    Unmapped,
    /// Who was forgotten.
    Forgotten,
    /// What tells the keys of fingerprints from others.
    Keys,
    /// What persons did.
    Audit,
    /// How often a card or a person was asked about.
    Attempts,
    /// What was spent on inquiries, by day and account.
    Spend,
    /// How the halves of payments differ.
    Mismatches,
    /// Days of which a channel's statement was read.
    Statements,
    /// What is to be told to whoever listens.
    Webhooks,
    /// How often the halves agreed, by place.
    Concordance,
    /// Which evidence was counted there.
    Samples,
    /// What persons put in force through the admin API.
    Managed,
    /// What stands in lists that rules look into.
    ListEntries,
    /// Payment accounts, whose they are, and what was paid from balance.
    Accounts,
    /// What clients had verified.
    Verifications,
    /// By which keys they asked, and how much of what they may.
    ClientUse,
}

impl Aggregate {
    /// Every kind.
    pub const ALL: [Self; 25] = [
        Self::Evidence,
        Self::Agreements,
        Self::Waiting,
        Self::Holds,
        Self::Payments,
        Self::Expectations,
        Self::Orders,
        Self::Inquiries,
        Self::Charges,
        Self::Unmapped,
        Self::Forgotten,
        Self::Keys,
        Self::Audit,
        Self::Attempts,
        Self::Spend,
        Self::Mismatches,
        Self::Statements,
        Self::Webhooks,
        Self::Concordance,
        Self::Samples,
        Self::Managed,
        Self::ListEntries,
        Self::Accounts,
        Self::Verifications,
        Self::ClientUse,
    ];

    /// The kinds whose rows say whose they are.
    pub const PERSONAL: [Self; 4] = [Self::Evidence, Self::Agreements, Self::Waiting, Self::Holds];

    /// The name of its table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::Agreements => "agreements",
            Self::Waiting => "waiting_binds",
            Self::Holds => "holds",
            Self::Payments => "payments",
            Self::Expectations => "expectations",
            Self::Orders => "orders",
            Self::Inquiries => "inquiries",
            Self::Charges => "charges",
            Self::Unmapped => "unmapped_codes",
            Self::Forgotten => "forgotten",
            Self::Keys => "fingerprint_keys",
            Self::Audit => "audit",
            Self::Attempts => "attempts",
            Self::Spend => "spend",
            Self::Mismatches => "mismatches",
            Self::Statements => "statement_days",
            Self::Webhooks => "webhooks",
            Self::Concordance => "concordance",
            Self::Samples => "samples",
            Self::Managed => "managed",
            Self::ListEntries => "list_entries",
            Self::Accounts => "accounts",
            Self::Verifications => "verifications",
            Self::ClientUse => "client_use",
        }
    }
}

/// What a row is found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// Its kind.
    pub of: Aggregate,
    /// Its name among its kind.
    pub name: String,
}

impl RowKey {
    /// Evidence about `tuple`.
    pub fn evidence(tuple: &Fingerprint) -> Self {
        Self { of: Aggregate::Evidence, name: tuple.to_string() }
    }

    /// The agreement `id` at `channel`.
    pub fn agreement(channel: &ChannelName, id: &AgreementId) -> Self {
        Self { of: Aggregate::Agreements, name: [channel.as_str(), &id.0].join("\n") }
    }

    /// What the first step of a bind left under `key`.
    pub fn waiting(channel: &ChannelName, key: &str) -> Self {
        Self { of: Aggregate::Waiting, name: [channel.as_str(), key].join("\n") }
    }

    /// The hold on `key`.
    pub fn hold(key: &HoldKey) -> Self {
        Self { of: Aggregate::Holds, name: key.written() }
    }

    /// The record of `payment`.
    pub fn payment(payment: PaymentId) -> Self {
        Self { of: Aggregate::Payments, name: payment.to_string() }
    }

    /// That `person` was forgotten.
    pub fn forgotten(person: &Fingerprint) -> Self {
        Self { of: Aggregate::Forgotten, name: person.to_string() }
    }

    /// What is owed to `payment`.
    pub fn expectation(payment: PaymentId) -> Self {
        Self { of: Aggregate::Expectations, name: payment.to_string() }
    }

    /// The inquiry `id`, while it is open.
    pub fn inquiry(id: PaymentId) -> Self {
        Self { of: Aggregate::Inquiries, name: id.to_string() }
    }

    /// What the inquiry `id` came to.
    pub fn charge(id: PaymentId) -> Self {
        Self { of: Aggregate::Charges, name: id.to_string() }
    }

    /// What was counted at `place`.
    pub fn concordance(place: &Place) -> Self {
        let Place { provider, elements, channel, bank } = place;
        let channel = channel.as_ref().map_or("", ChannelName::as_str);
        let bank = bank.as_ref().map_or("", Bank::as_str);
        let name = format!("{provider}\n{elements}\n{channel}\n{bank}");
        Self { of: Aggregate::Concordance, name }
    }

    /// The claim on `order`.
    pub fn order(order: &OrderKey) -> Self {
        Self { of: Aggregate::Orders, name: order.name() }
    }
}

/// What most records of payments take as JSON, with what was reported of them.
const RECORD_BYTES: usize = 1_536;

/// How a record ends as it is put first.
const UNTOLD: &str = r#","outcome":null,"mismatch":null,"not_sent":false}"#;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is found by.
    pub key: RowKey,
    /// Until when it is kept; for ever where there is no end.
    pub until: Option<Timestamp>,
    /// Its value, as JSON. No element is in it, only fingerprints.
    pub value: String,
}

impl Row {
    /// A row of `value`; nothing where it has no JSON form, which none of ours lacks.
    pub fn new<T: Serialize>(key: RowKey, until: Option<Timestamp>, value: &T) -> Option<Self> {
        Self::sized(key, until, value, 128)
    }

    /// As [`Self::new`], of a value that takes about so many bytes.
    fn sized<T: Serialize>(
        key: RowKey,
        until: Option<Timestamp>,
        value: &T,
        bytes: usize,
    ) -> Option<Self> {
        let mut json = Vec::with_capacity(bytes);
        if let Err(error) = serde_json::to_writer(&mut json, value) {
            tracing::error!(of = key.of.as_str(), %error, "a value has no JSON form");
            return None;
        }
        // JSON is UTF-8.
        Some(Self { key, until, value: String::from_utf8(json).ok()? })
    }

    /// What its kind, key, end and value come to: a CRC-32, which tells what changed by accident, or a tag, which tells what others
    /// wrote. The keys, by which the tags are known, have no tag: they are wrapped, or prove themselves.
    pub fn checksum(&self, tagger: Option<&Tagger>) -> i64 {
        match tagger {
            Some(tagger) if self.key.of != Aggregate::Keys => {
                tagger.tag(|hasher| self.feed(|part| hasher.write(part))).cast_signed()
            }
            Some(_) | None => {
                let mut hasher = crc32fast::Hasher::new();
                self.feed(|part| hasher.update(part));
                hasher.finalize().into()
            }
        }
    }

    fn feed(&self, mut take: impl FnMut(&[u8])) {
        for part in [self.key.of.as_str(), &self.key.name, &self.value] {
            take(part.as_bytes());
            // In none of them.
            take(&[0]);
        }
        take(&self.until.map_or([0xff; 8], |until| until.as_millis().to_le_bytes()));
    }

    /// The row, if it is as it was written. One that was written without a checksum is taken as it is where there are no tags.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn checked(self, checksum: Option<i64>, tagger: Option<&Tagger>) -> Result<Self, Damaged> {
        let intact = match checksum {
            Some(checksum) => checksum == self.checksum(tagger),
            None => tagger.is_none(),
        };
        if intact { Ok(self) } else { Err(Damaged(self.key)) }
    }

    /// The row of a record.
    pub fn payment(record: &Record) -> Option<Self> {
        let (key, until) = (RowKey::payment(record.payment), record.at.plus(PAYMENTS_KEPT));
        let Some(judged) = &record.judged.0 else {
            return Self::sized(key, Some(until), record, RECORD_BYTES);
        };
        let became = Self::new(key, Some(until), &record.became)?;
        let end = became.value.strip_prefix('{')?;
        Some(Self { value: [&**judged, ",", end].concat(), ..became })
    }

    /// What was judged of `payment`, as it is put: everything before [`UNTOLD`] in the row of its record.
    pub(super) fn judged(mut self, payment: PaymentId) -> Judged {
        let judged = self.value.strip_suffix(UNTOLD).map(str::len);
        let judged = judged.filter(|_| self.key == RowKey::payment(payment));
        Judged(judged.map(|judged| {
            self.value.truncate(judged);
            self.value.into_boxed_str()
        }))
    }

    /// The row of a hold.
    pub fn hold(hold: &Hold) -> Option<Self> {
        Self::new(RowKey::hold(&hold.key), Some(hold.until), hold)
    }

    /// The row of what `record` is owed.
    pub fn expectation(record: &Record) -> Option<Self> {
        let until = record.at.plus(PAYMENTS_KEPT);
        let value = (&record.channel, record.payment);
        Self::new(RowKey::expectation(record.payment), Some(until), &value)
    }

    /// The row of what `record` is owed again, since later.
    pub fn owed_again(record: &Record, since: Timestamp) -> Option<Self> {
        let until = record.at.plus(PAYMENTS_KEPT);
        let (channel, payment) = (record.channel.clone(), record.payment);
        let owed = Owed { channel, payment, since: Some(since) };
        Self::new(RowKey::expectation(payment), Some(until), &owed)
    }

    /// The row by which `payment` claims its order at `at`.
    pub fn order(order: &OrderKey, payment: PaymentId, at: Timestamp) -> Option<Self> {
        Self::new(RowKey::order(order), Some(at.plus(PAYMENTS_KEPT)), &payment)
    }

    /// The row that tells that `payment` left with its order before that was opened again.
    pub fn left_before(order: &OrderKey, payment: PaymentId) -> Option<Self> {
        Self::new(order.before(), Some(payment.at().plus(PAYMENTS_KEPT)), &payment)
    }
}

/// A row is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the row {:?} of `{}` is damaged: restore a backup, or remove the row", .0.shown(), .0.of.as_str())]
pub struct Damaged(pub RowKey);

/// So many digits in a row, and more, are shown to nobody: cores make numbers of orders of phone numbers.
const DIGITS_MAX: usize = 6;

impl RowKey {
    /// As it is shown: where cores and channels name it, as a pattern of SQL with `%` in the place of long numbers.
    fn shown(&self) -> String {
        if !matches!(self.of, Aggregate::Orders | Aggregate::Waiting | Aggregate::Agreements) {
            return self.name.clone();
        }
        let is_digit = |sign: &u8| sign.is_ascii_digit();
        let parts = self.name.as_bytes().chunk_by(|one, next| is_digit(one) == is_digit(next));
        let parts = parts.map(|part| {
            let is_long = part.len() > DIGITS_MAX && part.first().is_some_and(is_digit);
            if is_long { b"%" } else { part }
        });
        // Digits are whole characters.
        String::from_utf8_lossy(&parts.collect::<Vec<_>>().concat()).into_owned()
    }
}

/// A row that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Which.
    pub key: RowKey,
    /// Only while it has this value, where one is given.
    pub only: Option<String>,
}

impl From<&Row> for Removal {
    /// The row goes, while it is as it was put.
    fn from(row: &Row) -> Self {
        Self { key: row.key.clone(), only: Some(row.value.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Became;

    /// Whatever a record may have, as it is kept.
    const KEPT: &str = r#"{"payment":"01M8EVRA000000000000000004","at":1795795200000,"channel":"acme","scenario":"debit",
        "order":"777|\"1\"|\n张","amount":100,"carried":"name id_number pan phone cvv2 expiry","mode":"enforce","effect":"permit",
        "reasons":["holdout"],"verified":{"answer":{"no_match":"phone"},"elements":"name id_number pan phone",
        "witness":{"provider":"first"},"road":null,"at":1795795200000,"until":1803571200000},"asked_now":true,
        "routed":{"expected":[["first",0.1]],"explored":true,"propensity":50000},"held_out":20000,
        "judged_in":{"secs":0,"nanos":37656},"row_of":["01M8EVRA000000000000000003",1],
        "stakes":{"merchant":"777","claim":["777|1",false],"tuple":["1:TUPLE","name id_number pan phone"],"asserted":"phone",
        "told":"1:TUPLE","anyone":"1:TUPLE","others":[{"tuple":"65535:TUPLE","told":"10:TUPLE"}],"card":"1:TUPLE",
        "other_cards":["2:TUPLE"],"person":"1:TUPLE","phone":"1:TUPLE","bank":"620000","agreement":"a","checks":"name pan",
        "proves":"","account":"main","rules":{"set":"067b7e79320f","told":["rule-1","why"],"hits":["rule-1"],"by":"5531329d",
        "held":true,"inputs":[2,null,-3],"kind":"debit","concordance":900,"accounts":{"this":3}}},"outcome":[{"declined":"otp"},"00","sync"],
        "heard":{"outcome":{"no_match":{"one_of":"pan phone"}},"code":null,"belief":"claimed"},
        "mismatch":{"kind":"missing_outcome","elements":""},"not_sent":false,
        "timeline":[{"at":1795795200000,"outcome":"accepted","arrival":"notify"}],"stated":true,
        "undoing":[["01M8EVRA000000000000000005",false]]}"#;

    /// An order's number was logged as it is, once a second.
    #[test]
    fn no_long_number_is_shown_of_a_damaged_row() {
        let check = |of, name: &str, expected: &str| {
            let key = RowKey { of, name: name.to_owned() };
            let told = Damaged(key).to_string();
            assert!(told.starts_with(&format!("the row {expected:?} of ")), "{told}");
        };
        check(Aggregate::Orders, "a\n7\n张13800000000-1", "a\n7\n张%-1");
        check(Aggregate::Agreements, "a\n1234567x123456", "a\n%x123456");
        check(Aggregate::Waiting, "a\n", "a\n");
        check(Aggregate::Payments, "01M8EVRA000000000000000004", "01M8EVRA000000000000000004");
    }

    fn kept() -> String {
        let tuple = "974be5e998420b1f708bc37de9de9d50a7baf8def0090fa347bbfe912e958046";
        KEPT.replace("TUPLE", tuple).lines().map(str::trim_start).collect()
    }

    #[test]
    fn a_record_is_kept_as_ever() {
        let record: Record = serde_json::from_str(&kept()).unwrap();
        assert_eq!(Row::payment(&record).unwrap().value, kept());
        // In whichever order an older Hefu wrote it.
        let fields: serde_json::Value = serde_json::from_str(&kept()).unwrap();
        let record: Record = serde_json::from_str(&fields.to_string()).unwrap();
        assert_eq!(Row::payment(&record).unwrap().value, kept());
    }

    #[test]
    fn what_was_judged_is_kept_as_it_was_put() {
        let told: Record = serde_json::from_str(&kept()).unwrap();
        let mut record = Record { became: Became::default(), ..told.clone() };
        record.judged = Row::payment(&record).unwrap().judged(record.payment);
        assert!(record.judged.0.is_some());
        record.became = told.became.clone();
        assert_eq!(Row::payment(&record), Row::payment(&told));
        // What was told of it is no part of what was judged; nor is another payment's.
        assert_eq!(Row::payment(&told).unwrap().judged(told.payment).0, None);
        record = Record { became: Became::default(), ..told };
        assert_eq!(Row::payment(&record).unwrap().judged(record.payment.row(1)).0, None);
    }
}
