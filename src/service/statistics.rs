//! Statistics of what is kept: the same count, whoever reads the rows.

use crate::billing::price::Prices;
pub use crate::billing::statistics::{
    By, Came, Counts, Dimension, Inquiry, InvalidBy, Latency, Line, Of, Tally, TooMany, Wanted,
};
use crate::domain::id::{Bank, PaymentId, ProviderName};
use crate::domain::kind::Kind;
use crate::policy::Reason;
use crate::service::Service;
use crate::store::journal::StoreLost;
use crate::store::row::Aggregate;
use crate::store::{Charge, OpenInquiry, Record, Witness};
use std::collections::BTreeMap;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatisticsError {
    /// Too many.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// The store.
    #[error("the store cannot be read now")]
    Lost,
}

impl From<StoreLost> for StatisticsError {
    fn from(_: StoreLost) -> Self {
        Self::Lost
    }
}

/// Rows, as they are counted: open inquiries first, since one that is charged meanwhile is then found in either.
#[derive(Debug)]
pub struct Counting<'t> {
    tables: &'t Tables,
    tally: Tally,
    open: BTreeMap<PaymentId, OpenInquiry>,
}

impl<'t> Counting<'t> {
    /// Nothing yet.
    pub const fn new(tables: &'t Tables, wanted: Wanted) -> Self {
        Self { tables, tally: Tally::new(wanted), open: BTreeMap::new() }
    }

    /// An inquiry whose answer is not known.
    pub fn open(&mut self, inquiry: OpenInquiry) {
        self.open.insert(inquiry.id, inquiry);
    }

    /// What an inquiry came to.
    pub fn charged(&mut self, charge: Charge) {
        let Charge { inquiry, answer, code: _, trouble, took_ms, billable } = charge;
        self.open.remove(&inquiry.id);
        let trouble = trouble.map(|word| word.into_owned().into());
        self.asked(inquiry, Some(Came { answer, trouble, billable, took_ms }));
    }

    /// What became of a message.
    pub fn payment(&mut self, record: &Record) {
        let of = Of {
            scenario: Some(record.scenario),
            kind: Some(Kind::Elements),
            bank: self.issuer(record.stakes.bank.as_ref()),
            ..Of::default()
        };
        match &record.verified {
            Some(evidence) if !record.asked_now => {
                if let Witness::Provider(provider) = &evidence.witness {
                    let (elements, provider) = (Some(evidence.elements), Some(provider.clone()));
                    self.tally.reused(Of { elements, provider, ..of }, record.at);
                }
            }
            Some(_) => (),
            None => {
                if let Some(why) = record.reasons.iter().find(|why| UNTOLD.contains(why)) {
                    self.tally.untold(of, why.as_str(), record.at);
                }
            }
        }
    }

    /// What it all comes to.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn lines(mut self) -> Result<Vec<Line>, TooMany> {
        for inquiry in std::mem::take(&mut self.open).into_values() {
            self.asked(inquiry, None);
        }
        self.tally.lines(&self.tables.prices)
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
    /// Statistics of what is kept, read page after page, so that payments wait for none of it.
    ///
    /// # Errors
    /// [`StatisticsError`].
    pub async fn statistics(
        &self,
        tables: &Tables,
        wanted: &Wanted,
    ) -> Result<Vec<Line>, StatisticsError> {
        let mut counting = Counting::new(tables, wanted.clone());
        let (from, before) = wanted.months();
        let (months, window) = ((from, Some(before)), (wanted.since, Some(wanted.until)));
        self.each_row(Aggregate::Inquiries, months, true, |row| counting.open(row)).await?;
        self.each_row(Aggregate::Charges, months, true, |row| counting.charged(row)).await?;
        self.each_row(Aggregate::Payments, window, true, |row| counting.payment(&row)).await?;
        Ok(counting.lines()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::Timestamp;
    use crate::domain::element::ElementSet;

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
            let banks = [("629901".into(), "HARBOUR".into())].into();
            let tables = Tables { banks, ..Tables::default() };
            let by = "scenario,kind,bank".parse::<By>().unwrap();
            let (since, until) = (Timestamp::from_millis(AT), Timestamp::from_millis(AT + 1));
            let wanted = Wanted { by: by.clone(), since, until };
            let mut counting = Counting::new(&tables, wanted);
            // One that is charged and still open is one.
            counting.open(charge.inquiry.clone());
            counting.charged(charge);
            let lines = counting.lines().unwrap();
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
