//! Which providers to ask, and in which order. Pure.
#![deny(clippy::wildcard_enum_match_arm)]

use crate::domain::element::ElementSet;
use crate::domain::pan::AccountKind;

/// What the plan needs to know of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The element sets that it answers.
    pub sets: Vec<ElementSet>,
    /// The kinds of account that it answers for; any where empty.
    pub account_kinds: Vec<AccountKind>,
    /// Lower is asked first.
    pub priority: u32,
}

/// The positions of those in `candidates` that can answer `set` for `kind`, in the order in which to ask them.
///
/// Without a card in the set, the kind of account does not matter.
pub fn plan<'a>(
    candidates: impl IntoIterator<Item = &'a Candidate>,
    set: ElementSet,
    kind: Option<AccountKind>,
) -> Vec<usize> {
    let able = |candidate: &Candidate| {
        candidate.sets.contains(&set)
            && kind.is_none_or(|kind| {
                candidate.account_kinds.is_empty() || candidate.account_kinds.contains(&kind)
            })
    };
    let mut order: Vec<(u32, usize)> = candidates
        .into_iter()
        .enumerate()
        .filter(|(_, candidate)| able(candidate))
        .map(|(at, candidate)| (candidate.priority, at))
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, at)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::element::Element;

    #[test]
    fn those_who_can_answer_in_order_of_priority() {
        let four: ElementSet =
            [Element::Name, Element::IdNumber, Element::Pan, Element::Phone].into_iter().collect();
        let three = four.difference(ElementSet::EMPTY.with(Element::Phone));
        let candidate = |sets: &[ElementSet], kinds: &[AccountKind], priority| Candidate {
            sets: sets.to_vec(),
            account_kinds: kinds.to_vec(),
            priority,
        };
        let candidates = [
            candidate(&[four], &[], 20),
            candidate(&[four, three], &[AccountKind::Debit], 10),
            candidate(&[three], &[], 20),
        ];
        let check =
            |set, kind, expected: &[usize]| assert_eq!(plan(&candidates, set, kind), expected);
        check(four, Some(AccountKind::Debit), &[1, 0]);
        check(four, Some(AccountKind::Credit), &[0]);
        check(three, Some(AccountKind::Debit), &[1, 2]);
        check(three, None, &[1, 2]);
        check(ElementSet::EMPTY, None, &[]);
    }
}
