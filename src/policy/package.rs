//! Scenario packages: which elements a scenario requires of which merchant and amount, as data.

use crate::domain::element::ElementSet;
use crate::domain::id::MerchantId;
use crate::domain::money::Fen;
use crate::domain::payment::Scenario;

/// What is required of some payments of a scenario, in place of what the scenario requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The scenario.
    pub scenario: Scenario,
    /// For these merchants; for any where empty.
    pub merchants: Vec<MerchantId>,
    /// From this amount on; of whatever amount, also where none is told, where absent.
    pub from: Option<Fen>,
    /// The elements without which it cannot be verified.
    pub required: ElementSet,
}

/// What decides which package a payment is in.
#[derive(Clone, Copy, Debug)]
pub struct Wants<'a> {
    /// What it does.
    pub scenario: Scenario,
    /// For whom.
    pub merchant: Option<&'a MerchantId>,
    /// How much, where told.
    pub amount: Option<Fen>,
}

impl Package {
    /// Whether a payment is in it.
    pub fn takes(&self, wants: Wants<'_>) -> bool {
        let own = self.merchants.is_empty()
            || wants.merchant.is_some_and(|merchant| self.merchants.contains(merchant));
        // An amount that is not told may be any.
        let enough = self.from.is_none_or(|from| wants.amount.is_none_or(|amount| amount >= from));
        self.scenario == wants.scenario && own && enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_is_in_the_packages_that_take_it() {
        let check = |merchants: &[&str],
                     from: Option<u64>,
                     merchant: Option<&str>,
                     amount: Option<u64>,
                     expected| {
            let id = |text: &str| MerchantId(text.into());
            let package = Package {
                scenario: Scenario::Debit,
                merchants: merchants.iter().map(|merchant| id(merchant)).collect(),
                from: from.map(Fen::new),
                required: ElementSet::EMPTY,
            };
            let merchant = merchant.map(id);
            let wants = Wants {
                scenario: Scenario::Debit,
                merchant: merchant.as_ref(),
                amount: amount.map(Fen::new),
            };
            assert_eq!(package.takes(wants), expected, "{merchants:?} {from:?} {wants:?}");
            assert!(!package.takes(Wants { scenario: Scenario::Bind, ..wants }));
        };
        check(&[], None, None, None, true);
        check(&["a"], None, Some("a"), None, true);
        check(&["a"], None, Some("b"), None, false);
        check(&["a"], None, None, None, false);
        check(&[], Some(100), None, Some(99), false);
        check(&[], Some(100), None, Some(100), true);
        check(&[], Some(100), None, None, true);
    }
}
