//! Price lists: what one billable inquiry costs, by element set and by how many there were within the month.

use crate::domain::element::ElementSet;
use crate::domain::money::Fen;
use rust_decimal::{Decimal, RoundingStrategy};
use std::fmt;

/// A rate, and up to which inquiry of the month it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The last inquiry at this rate, counted from 1 at the beginning of the month; the last step has no end.
    pub up_to: Option<u64>,
    /// What each costs, in fen.
    pub fen: Decimal,
}

/// The steps for one element set, or for every other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// The set; any that no other price is for where absent.
    pub set: Option<ElementSet>,
    /// By where they end. The inquiries of each set are counted apart.
    pub steps: Vec<Step>,
}

/// A provider's price list; where it says nothing of a set, that is free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices(Vec<Price>);

impl Prices {
    /// A list of prices, of which no two are for the same set.
    pub const fn new(prices: Vec<Price>) -> Self {
        Self(prices)
    }

    /// One price for everything.
    pub fn flat(fen: u64) -> Self {
        Self(vec![Price { set: None, steps: vec![Step { up_to: None, fen: fen.into() }] }])
    }

    /// What `count` billable inquiries for `set` within one month cost, rounded once, half up.
    pub fn cost(&self, set: ElementSet, count: u64) -> Fen {
        let (mut sum, mut from) = (Decimal::ZERO, 0_u64);
        for step in self.steps(set) {
            let until = step.up_to.unwrap_or(count).min(count);
            let at_this = Decimal::from(until.saturating_sub(from));
            sum = sum.saturating_add(step.fen.saturating_mul(at_this));
            from = from.max(until);
        }
        whole(sum)
    }

    /// What `more` would have cost, had they come after `count`.
    pub fn more(&self, set: ElementSet, count: u64, more: u64) -> Fen {
        let all = self.cost(set, count.saturating_add(more));
        Fen::new(all.get().saturating_sub(self.cost(set, count).get()))
    }

    /// The rates at which an inquiry for `set` may be billed.
    pub fn rates(&self, set: ElementSet) -> impl Iterator<Item = Decimal> {
        self.steps(set).iter().map(|step| step.fen)
    }

    /// What the first of a month costs.
    pub fn first(&self, set: ElementSet) -> Decimal {
        self.rates(set).next().unwrap_or_default()
    }

    fn steps(&self, set: ElementSet) -> &[Step] {
        let of = |wanted| self.0.iter().find(move |price| price.set == wanted);
        of(Some(set)).or_else(|| of(None)).map_or(&[], |price| &price.steps)
    }
}

impl fmt::Display for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps =
            self.0.iter().flat_map(|price| price.steps.iter().map(move |step| (price, step)));
        for (at, (price, step)) in steps.enumerate() {
            f.write_str(if at == 0 { "" } else { "; " })?;
            match price.set {
                Some(set) => write!(f, "{{{set}}}")?,
                None => f.write_str("any")?,
            }
            write!(f, " {} fen", step.fen)?;
            if let Some(up_to) = step.up_to {
                write!(f, " up to {up_to}")?;
            }
        }
        Ok(())
    }
}

fn whole(fen: Decimal) -> Fen {
    let rounded = fen.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
    Fen::new(u64::try_from(rounded).unwrap_or(u64::MAX))
}
