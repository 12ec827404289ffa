//! Statistics of what is kept: the same count, whoever reads the rows.

use crate::billing::price::Prices;
pub use crate::billing::statistics::{
    By, Came, Counts, Dimension, Inquiry, InvalidBy, Latency, Line, Of, Tally, TooMany, Wanted,
};
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{Bank, PaymentId, ProviderName};
use crate::domain::kind::Kind;
use crate::domain::payment::Scenario;
use crate::policy::Reason;
use crate::service::Service;
use crate::service::trial::Pages;
use crate::store::journal::StoreLost;
use crate::store::row::{Aggregate, Row, RowKey};
use crate::store::{Charge, OpenInquiry, Store, Witness};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the store is payments' own between two pages.
const PAUSE: Duration = Duration::from_millis(5);

/// Why nobody told anything of a payment that was to be verified.
const UNTOLD: [Reason; 5] = [
    Reason::AttemptsSpent,
    Reason::Unavailable,
    Reason::SpendCapped,
    Reason::NotAsked,
    Reason::NobodyCan,
];

/// What rows do not say, and configuration does.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Each provider's price list, whether it is asked now or not.
    pub prices: BTreeMap<ProviderName, Prices>,
    /// The banks' names, by what their cards begin with.
    pub banks: BTreeMap<Box<str>, Box<str>>,
}

/// Why there are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatisticsError {
    /// Too many.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// What an inquiry came to, which may be money. Its key is no element, and of its value nothing is told.
    #[error(
        "the row {:?} of `{}` cannot be read: restore a backup, or use the Hefu that wrote it",
        .0.name,
        .0.of.as_str()
    )]
    Unreadable(RowKey),
    /// The store.
    #[error("the store cannot be read now")]
    Lost,
}

impl From<StoreLost> for StatisticsError {
    fn from(_: StoreLost) -> Self {
        Self::Lost
    }
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// By what was wanted.
    pub lines: Vec<Line>,
    /// Payments that cannot be read, and are in none of them.
    pub unreadable: u64,
}

/// What is counted of a payment's record, whichever version wrote it.
#[derive(Debug, Deserialize)]
struct Payment {
    at: Timestamp,
    scenario: Word<Scenario>,
    reasons: Vec<Word<Reason>>,
    verified: Option<Rested>,
    asked_now: bool,
    #[serde(default)]
    stakes: Issued,
}

/// What it rested on.
#[derive(Debug, Deserialize)]
struct Rested {
    elements: Word<ElementSet>,
    witness: Word<Witness>,
}

#[derive(Debug, Default, Deserialize)]
struct Issued {
    #[serde(default)]
    bank: Option<Bank>,
}

/// What may be said in a word that only another version has.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Word<T> {
    Known(T),
    Other(IgnoredAny),
}

impl<T> Word<T> {
    fn known(self) -> Option<T> {
        match self {
            Self::Known(word) => Some(word),
            Self::Other(_) => None,
        }
    }
}

/// Rows, as they are counted: open inquiries first, since one that is charged meanwhile is then found in either.
#[derive(Debug)]
pub struct Counting<'t> {
    tables: &'t Tables,
    tally: Tally,
    open: BTreeMap<PaymentId, OpenInquiry>,
    unreadable: u64,
    /// An inquiry that cannot be read.
    wrong: Option<RowKey>,
}

impl<'t> Counting<'t> {
    /// Nothing yet.
    pub const fn new(tables: &'t Tables, wanted: Wanted) -> Self {
        let tally = Tally::new(wanted);
        Self { tables, tally, open: BTreeMap::new(), unreadable: 0, wrong: None }
    }

    /// An inquiry whose answer is not known.
    pub fn open(&mut self, row: &Row) {
        if let Some(inquiry) = self.whole::<OpenInquiry>(row) {
            self.open.insert(inquiry.id, inquiry);
        }
    }

    /// What an inquiry came to.
    pub fn charged(&mut self, row: &Row) {
        let Some(charge) = self.whole(row) else { return };
        let Charge { inquiry, answer, code: _, trouble, took_ms, billable } = charge;
        self.open.remove(&inquiry.id);
        let trouble = trouble.map(|word| word.into_owned().into());
        self.asked(inquiry, Some(Came { answer, trouble, billable, took_ms }));
    }

    /// What became of a message.
    pub fn payment(&mut self, row: &Row) {
        let Ok(payment) = serde_json::from_str(&row.value) else {
            self.unreadable = self.unreadable.saturating_add(1);
            return;
        };
        let Payment { at, scenario, reasons, verified, asked_now, stakes } = payment;
        let (scenario, kind) = (scenario.known(), Some(Kind::Elements));
        let bank = self.issuer(stakes.bank.as_ref());
        let of = Of { scenario, kind, bank, ..Of::default() };
        // Who quotes an agreement to end it, say, would have had nobody asked.
        let passes = scenario.is_some_and(|scenario| !scenario.is_verified());
        match verified {
            Some(_) if asked_now || passes => (),
            Some(Rested { elements, witness }) => {
                let provider = match witness.known() {
                    Some(Witness::Provider(provider)) => Some(provider),
                    Some(Witness::Channel(_)) | None => None,
                };
                self.tally.reused(Of { elements: elements.known(), provider, ..of }, at);
            }
            None => {
                let mut reasons = reasons.into_iter().filter_map(Word::known);
                if let Some(why) = reasons.find(|why| UNTOLD.contains(why)) {
                    self.tally.untold(of, why.as_str(), at);
                }
            }
        }
    }

    /// What it all comes to.
    ///
    /// # Errors
    /// [`StatisticsError`]: too much, or an inquiry that cannot be read.
    pub fn counted(mut self) -> Result<Counted, StatisticsError> {
        if let Some(key) = self.wrong {
            return Err(StatisticsError::Unreadable(key));
        }
        for inquiry in std::mem::take(&mut self.open).into_values() {
            self.asked(inquiry, None);
        }
        let lines = self.tally.lines(&self.tables.prices)?;
        Ok(Counted { lines, unreadable: self.unreadable })
    }

    /// What must not be left out of a count of money.
    fn whole<T: DeserializeOwned>(&mut self, row: &Row) -> Option<T> {
        let value = serde_json::from_str(&row.value).ok();
        if value.is_none() {
            self.wrong.get_or_insert_with(|| row.key.clone());
        }
        value
    }

    fn asked(&mut self, inquiry: OpenInquiry, came: Option<Came>) {
        let OpenInquiry { id: _, provider, set, scenario, kind, bank, at } = inquiry;
        let bank = self.issuer(bank.as_ref());
        self.tally.asked(Inquiry { scenario, kind, set, provider, bank, at, came });
    }

    /// What the operator calls a bank; nothing where that is not said, so that there are as many as are configured.
    fn issuer(&self, bank: Option<&Bank>) -> Option<Box<str>> {
        bank.and_then(|bank| self.tables.banks.get(bank.as_str())).cloned()
    }
}

impl Service {
    /// Statistics of what is kept, read page after page within the commits of payments, which take turns with it.
    ///
    /// # Errors
    /// [`StatisticsError`].
    pub async fn statistics(
        &self,
        tables: &Tables,
        wanted: &Wanted,
    ) -> Result<Counted, StatisticsError> {
        let mut counting = Counting::new(tables, wanted.clone());
        let (store, months) = (&*self.store, wanted.months());
        let window = (wanted.since, wanted.until);
        each(store, Aggregate::Inquiries, months, |row| counting.open(row)).await?;
        each(store, Aggregate::Charges, months, |row| counting.charged(row)).await?;
        each(store, Aggregate::Payments, window, |row| counting.payment(row)).await?;
        counting.counted()
    }
}

/// Hands over rows, those that are damaged without their value, and leaves the store alone after each page.
async fn each(
    store: &dyn Store,
    of: Aggregate,
    (since, before): (Timestamp, Timestamp),
    mut each: impl FnMut(&Row),
) -> Result<(), StoreLost> {
    let mut pages = Pages::new(of, (since, Some(before)), true);
    loop {
        let rows = pages.next(store).await?;
        if rows.is_empty() {
            return Ok(());
        }
        rows.iter().for_each(&mut each);
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::{Limits, MemoryStore};
    use crate::store::shelf::{PAGE_MAX, ShelfStore as _};

    const AT: u64 = 1_795_800_000_000;

    /// Rows as they stand in a store: of a Hefu that did not know kinds yet, of this one, and of one that knows more.
    #[test]
    fn rows_of_older_and_newer_versions_are_counted() {
        let check = |more: &str, charge: &str, expected: [Option<&str>; 3], reason: &str| {
            let row = format!(
                r#"{{"inquiry":{{"id":"01KB3T9P00000000000000000A","provider":"first","set":"name pan"{more},"at":{AT}}},
                "answer":{{"no_match":""}},"code":"02"{charge},"billable":"yes"}}"#
            );
            let charge: Charge = serde_json::from_str(&row).unwrap();
            let open = &charge.inquiry;
            let open = Row::new(RowKey::inquiry(open.id), None, open).unwrap();
            let charge = Row { key: RowKey::charge(charge.inquiry.id), until: None, value: row };
            let banks = [("629901".into(), "HARBOUR".into())].into();
            let tables = Tables { banks, ..Tables::default() };
            let by = "scenario,kind,bank".parse::<By>().unwrap();
            let (since, until) = (Timestamp::from_millis(AT), Timestamp::from_millis(AT + 1));
            let wanted = Wanted { by: by.clone(), since, until };
            let mut counting = Counting::new(&tables, wanted);
            // One that is charged and still open is one.
            counting.open(&open);
            counting.charged(&charge);
            let lines = counting.counted().unwrap().lines;
            assert_eq!(lines.len(), 1);
            let line = &lines[0];
            let words: Vec<_> = by.dimensions().map(|it| line.of.word(it)).collect();
            assert_eq!(words.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
            assert_eq!(line.counts.reasons.keys().collect::<Vec<_>>(), [reason]);
            assert_eq!(line.counts.took.percentile(50), reason.contains(':').then_some(12));
        };
        check("", "", [None; 3], "no_match");
        let old = r#","scenario":"debit""#;
        check(old, "", [Some("debit"), None, None], "no_match");
        let now = r#","scenario":"debit","kind":"face","bank":"629901""#;
        let charge = r#","trouble":"unmapped","took_ms":12"#;
        check(now, charge, [Some("debit"), Some("face"), Some("HARBOUR")], "no_match: unmapped");
        let newer = r#","kind":"palm","bank":"629999","road":"sea""#;
        let charge = r#","trouble":"a word of then","took_ms":12,"currency":"CNY""#;
        check(newer, charge, [None; 3], "no_match: a word of then");
    }

    fn row(of: Aggregate, value: &str) -> Row {
        let key = RowKey { of, name: "01KB3T9P00000000000000000A".to_owned() };
        Row { key, until: None, value: value.to_owned() }
    }

    fn wanted(by: &str) -> Wanted {
        let (since, until) = (Timestamp::from_millis(AT), Timestamp::from_millis(AT + 1));
        Wanted { by: by.parse().unwrap(), since, until }
    }

    /// What is used of payments' rows, and what it comes to: scenario, elements, provider, how many were reused, and why nobody told.
    #[test]
    fn payments_of_other_versions_are_counted_and_what_cannot_be_read_is_told() {
        type Told<'t> = ([Option<&'t str>; 3], u64, Option<&'t str>);
        let check = |value: &str, expected: Result<Option<Told<'_>>, u64>| {
            let tables = Tables::default();
            let mut counting = Counting::new(&tables, wanted("scenario,elements,provider"));
            counting.payment(&row(Aggregate::Payments, value));
            let Counted { lines, unreadable } = counting.counted().unwrap();
            let told: Vec<_> = lines
                .iter()
                .map(|Line { of, counts, .. }| {
                    let words = [Dimension::Scenario, Dimension::Elements, Dimension::Provider];
                    (words.map(|it| of.word(it)), counts.reused, counts.untold.keys().next())
                })
                .collect();
            let told: Vec<_> = told
                .iter()
                .map(|(words, reused, why)| {
                    let words = words.each_ref().map(Option::as_deref);
                    (words, *reused, why.copied())
                })
                .collect();
            let expected_lines: Vec<_> = expected.ok().flatten().into_iter().collect();
            assert_eq!(
                (told, unreadable),
                (expected_lines, expected.err().unwrap_or(0)),
                "{value}"
            );
        };
        let record = |scenario: &str, reasons: &str, verified: &str, asked_now: bool| {
            format!(
                r#"{{"at":{AT},"scenario":{scenario},"reasons":{reasons},"verified":{verified},"asked_now":{asked_now}}}"#
            )
        };
        let known = |witness: &str| format!(r#"{{"elements":"name pan","witness":{witness}}}"#);
        let provider = known(r#"{"provider":"first"}"#);
        let debit = r#""debit""#;
        let reused =
            |scenario, elements, provider| Ok(Some(([scenario, elements, provider], 1, None)));
        check(
            &record(debit, "[]", &provider, false),
            reused(Some("debit"), Some("name pan"), Some("first")),
        );
        // A channel told it, in answer to what binds: nobody was asked for this one.
        let channel = known(r#"{"channel":"yeepay"}"#);
        check(&record(debit, "[]", &channel, false), reused(Some("debit"), Some("name pan"), None));
        check(&record(debit, "[]", &provider, true), Ok(None));
        check(&record(r#""unbind""#, "[]", &provider, false), Ok(None));
        let untold = |scenario| Ok(Some(([scenario, None, None], 0, Some("nobody_can"))));
        check(&record(debit, r#"["asserted","nobody_can"]"#, "null", false), untold(Some("debit")));
        check(&record(debit, r#"["asserted"]"#, "null", false), Ok(None));
        // Words of other versions.
        check(&record(r#""preorder""#, r#"["tired","nobody_can"]"#, "null", false), untold(None));
        let newer = r#"{"elements":"name iris","witness":{"crowd":"many"},"weight":3}"#;
        check(&record(debit, "[]", newer, false), reused(Some("debit"), None, None));
        // What is damaged has no value.
        let wrong = record(debit, "[]", "3", false);
        for value in ["", "{}", "null", "7", &*wrong] {
            check(value, Err(1));
        }
    }

    #[test]
    fn an_inquiry_that_cannot_be_read_is_named_and_nothing_is_counted() {
        let check = |of: Aggregate, value: &str| {
            let tables = Tables::default();
            let mut counting = Counting::new(&tables, wanted("provider"));
            let row = row(of, value);
            if of == Aggregate::Charges {
                counting.charged(&row);
            } else {
                counting.open(&row);
            }
            let error = counting.counted().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "the row \"01KB3T9P00000000000000000A\" of `{}` cannot be read: restore a backup, or use the Hefu that wrote it",
                    of.as_str()
                )
            );
        };
        check(Aggregate::Charges, r#"{"answer":"secret"}"#);
        check(Aggregate::Charges, "");
        check(Aggregate::Inquiries, r#"{"id":"secret"}"#);
    }

    #[tokio::test(start_paused = true)]
    async fn payments_have_the_store_to_themselves_between_pages() {
        let store = MemoryStore::new(Limits::default());
        let at = Timestamp::from_millis(AT);
        let check = async |expected: u32| {
            let (mut seen, began) = (0, tokio::time::Instant::now());
            let window = (at, at.plus(PAUSE));
            each(&store, Aggregate::Webhooks, window, |_| seen += 1).await.unwrap();
            // A timer is exact to a millisecond.
            let (paused, late) = (PAUSE * expected, Duration::from_millis(expected.into()));
            assert!((paused..=paused + late).contains(&began.elapsed()));
            seen
        };
        assert_eq!(check(0).await, 0);
        for number in 0..=PAGE_MAX {
            let name = PaymentId::new(at, number.try_into().unwrap()).to_string();
            store.shelve(Row {
                key: RowKey { of: Aggregate::Webhooks, name },
                ..row(Aggregate::Webhooks, "{}")
            });
        }
        assert_eq!(check(2).await, PAGE_MAX + 1);
    }

    #[test]
    fn what_is_not_known_of_a_row_is_not_written() {
        let at = Timestamp::from_millis(AT);
        let inquiry = OpenInquiry {
            id: PaymentId::new(at, 1),
            provider: ProviderName::new("first"),
            set: ElementSet::EMPTY,
            scenario: None,
            kind: None,
            bank: None,
            at,
        };
        let row = serde_json::to_string(&inquiry).unwrap();
        assert!(!row.contains("kind") && !row.contains("bank"), "{row}");
        assert_eq!(serde_json::from_str::<OpenInquiry>(&row).unwrap(), inquiry);
    }
}
