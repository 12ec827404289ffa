//! A provider's own bill beside what we charged: every line that differs.

use crate::billing::Asked;
use crate::billing::price::Prices;
use crate::domain::answer::Billable;
use crate::domain::id::PaymentId;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};

/// A line of the provider's bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Billed {
    /// Its number in the file, from 1.
    pub line: u64,
    /// The inquiry, by our id.
    pub id: PaymentId,
    /// What it costs, in fen, where the bill says so.
    pub fen: Option<Decimal>,
}

/// Where the bill and ours differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It bills what we never asked within the month.
    NeverAsked {
        /// The line of the bill.
        line: u64,
    },
    /// It bills an inquiry that it billed before.
    Twice {
        /// The line of the bill.
        line: u64,
    },
    /// It bills what is free by its own answer.
    Free {
        /// The line of the bill.
        line: u64,
        /// The inquiry.
        id: PaymentId,
    },
    /// It bills at a rate that is not on the price list.
    Rate {
        /// The line of the bill.
        line: u64,
        /// The inquiry.
        id: PaymentId,
    },
    /// It does not bill what it answered as billable.
    NotBilled {
        /// The inquiry.
        id: PaymentId,
    },
    /// It bills what was uncertain here, which settles that.
    Uncertain {
        /// The line of the bill.
        line: u64,
        /// The inquiry.
        id: PaymentId,
    },
}

impl Difference {
    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NeverAsked { .. } => "never_asked",
            Self::Twice { .. } => "billed_twice",
            Self::Free { .. } => "billed_though_free",
            Self::Rate { .. } => "other_rate",
            Self::NotBilled { .. } => "not_billed",
            Self::Uncertain { .. } => "uncertain_and_billed",
        }
    }

    /// The line of the bill, and the inquiry, as far as there is one.
    pub const fn place(&self) -> (Option<u64>, Option<PaymentId>) {
        match self {
            Self::NeverAsked { line } | Self::Twice { line } => (Some(*line), None),
            Self::Free { line, id } | Self::Rate { line, id } | Self::Uncertain { line, id } => {
                (Some(*line), Some(*id))
            }
            Self::NotBilled { id } => (None, Some(*id)),
        }
    }
}

/// Every difference, in the order of the bill; then what it does not bill, by id. `asked` is what one provider was asked within the
/// month.
pub fn compare(
    asked: &BTreeMap<PaymentId, Asked>,
    bill: impl IntoIterator<Item = Billed>,
    prices: &Prices,
) -> Vec<Difference> {
    let (mut differences, mut seen) = (Vec::new(), BTreeSet::new());
    for Billed { line, id, fen } in bill {
        let Some(known) = asked.get(&id) else {
            differences.push(Difference::NeverAsked { line });
            continue;
        };
        if !seen.insert(id) {
            differences.push(Difference::Twice { line });
            continue;
        }
        match known.billable {
            Billable::No => {
                differences.push(Difference::Free { line, id });
                continue;
            }
            Billable::Uncertain => differences.push(Difference::Uncertain { line, id }),
            Billable::Yes => (),
        }
        if fen.is_some_and(|fen| prices.rates(known.set).all(|rate| rate != fen)) {
            differences.push(Difference::Rate { line, id });
        }
    }
    let billable = asked.values().filter(|asked| asked.billable == Billable::Yes);
    let not_billed = billable.filter(|asked| !seen.contains(&asked.id));
    differences.extend(not_billed.map(|asked| Difference::NotBilled { id: asked.id }));
    differences
}
