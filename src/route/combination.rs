//! Combination (组合认证): a phone that the bank does not know may be settled by the operator, where the channel does not check it.

use crate::domain::element::{Element, ElementSet};

/// Who vouches for a part of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The bank that issued the card, through whatever house.
    Bank,
    /// The operator of the phone.
    Operator,
}

const WHO: ElementSet = ElementSet::EMPTY.with(Element::Name).with(Element::IdNumber);
const CARD: ElementSet = WHO.with(Element::Pan);
const PHONE: ElementSet = WHO.with(Element::Phone);

/// Which part each side vouches for.
pub const PARTS: [(Side, ElementSet); 2] = [(Side::Bank, CARD), (Side::Operator, PHONE)];

impl Side {
    /// Whether a registry is on this side: `bank`, `bank:0102`, `operator`, `operator:cmcc`.
    pub fn takes(self, source: &str) -> bool {
        let side = match self {
            Self::Bank => "bank",
            Self::Operator => "operator",
        };
        source.split(':').next() == Some(side)
    }
}

/// Whether a message may be settled by combination: all four elements did not match, and that may be for the phone, which the
/// channel's message does not check itself. Else it would buy a sure refusal.
pub const fn may_settle(set: ElementSet, at_fault: ElementSet, checks: ElementSet) -> bool {
    let four = set.is_superset(CARD.with(Element::Phone));
    let phone = at_fault.is_empty() || (at_fault.contains(Element::Phone) && !at_fault.meets(CARD));
    four && phone && !checks.contains(Element::Phone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &str) -> ElementSet {
        ElementSet::try_from(words.to_owned()).unwrap()
    }

    #[test]
    fn a_phone_that_the_channel_does_not_check_may_be_settled() {
        const FOUR: &str = "name id_number pan phone";
        let check = |carried, at_fault, checks, expected| {
            let may = may_settle(set(carried), set(at_fault), set(checks));
            assert_eq!(may, expected, "{carried}: {at_fault} at fault, {checks} checked");
        };
        check(FOUR, "phone", "name id_number pan", true);
        check(FOUR, "", "name id_number pan", true);
        check(FOUR, "phone", "", true);
        check(FOUR, "phone", FOUR, false);
        check(FOUR, "phone", "phone", false);
        // What is wrong besides stays wrong.
        check(FOUR, "name", "", false);
        check(FOUR, "name phone", "", false);
        check("name id_number pan", "", "", false);
        check("name pan phone", "phone", "", false);
    }

    #[test]
    fn a_registry_is_on_one_side() {
        let check = |source: &str, expected: [bool; 2]| {
            assert_eq!([Side::Bank, Side::Operator].map(|side| side.takes(source)), expected);
        };
        check("bank", [true, false]);
        check("bank:0102", [true, false]);
        check("operator:cmcc", [false, true]);
        check("police", [false, false]);
        check("banker", [false, false]);
    }
}
