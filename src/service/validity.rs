//! How long answers may be reused, by what they say and by who said it; and by whose messages.

use crate::domain::answer::Answer;
use crate::domain::id::MerchantId;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long each kind of answer may be reused, where that is set for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// `match`
    pub matched: Option<Duration>,
    /// `close_match`
    pub close_match: Option<Duration>,
    /// `no_match`
    pub no_match: Option<Duration>,
    /// `no_record`
    pub no_record: Option<Duration>,
    /// `not_possible`
    pub not_possible: Option<Duration>,
    /// `limited`
    pub limited: Option<Duration>,
    /// `invalid`
    pub invalid: Option<Duration>,
}

impl Kinds {
    /// How long `answer` may be reused, where that is set for it.
    pub(super) const fn of(&self, answer: Answer) -> Option<Duration> {
        match answer {
            Answer::Match => self.matched,
            Answer::CloseMatch => self.close_match,
            Answer::NoMatch(_) => self.no_match,
            Answer::NoRecord => self.no_record,
            Answer::NotPossible => self.not_possible,
            Answer::Limited => self.limited,
            Answer::Invalid => self.invalid,
            // It says nothing, and is no evidence.
            Answer::Unavailable => None,
        }
    }
}

/// What differs from what holds of every answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// Whoever said it.
    pub kinds: Kinds,
    /// By source: `police`, or `operator` for `operator:cmcc` too.
    pub sources: BTreeMap<Box<str>, Kinds>,
}

impl Validity {
    /// How long `answer` of `source` may be reused, where that is set: the closer name of the source first.
    pub fn of(&self, answer: Answer, source: &str) -> Option<Duration> {
        let family = source.split(':').next().unwrap_or_default();
        let named = [source, family].into_iter().filter_map(|name| self.sources.get(name));
        named.chain([&self.kinds]).find_map(|kinds| kinds.of(answer))
    }
}

/// By whose messages evidence may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// By all merchants' alike.
    pub all: bool,
    /// Numbers of one and the same merchant, each with the first of them.
    pub same: BTreeMap<MerchantId, MerchantId>,
}

impl Sharing {
    /// The merchant behind a number: it may have one at every channel.
    pub fn owner<'a>(&'a self, merchant: &'a MerchantId) -> &'a MerchantId {
        self.same.get(merchant).unwrap_or(merchant)
    }

    /// Whose evidence it is that a message of `merchant` may use; nobody's in particular where it is shared.
    pub fn scope<'a>(&'a self, merchant: Option<&'a MerchantId>) -> Option<&'a MerchantId> {
        merchant.filter(|_| !self.all).map(|merchant| self.owner(merchant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::element::ElementSet;

    #[test]
    fn the_closest_setting_counts() {
        let day = |days: u64| Some(Duration::from_hours(24 * days));
        let validity = Validity {
            kinds: Kinds { no_record: day(3), ..Kinds::default() },
            sources: BTreeMap::from([
                (
                    "operator".into(),
                    Kinds { matched: day(30), no_record: day(1), ..Kinds::default() },
                ),
                ("operator:cmcc".into(), Kinds { matched: day(7), ..Kinds::default() }),
            ]),
        };
        let check = |answer, source: &str, expected: Option<Duration>| {
            assert_eq!(validity.of(answer, source), expected, "{answer:?} {source}");
        };
        check(Answer::Match, "bank", None);
        check(Answer::NoRecord, "bank", day(3));
        check(Answer::Match, "operator", day(30));
        check(Answer::Match, "operator:cucc", day(30));
        check(Answer::Match, "operator:cmcc", day(7));
        check(Answer::NoRecord, "operator:cmcc", day(1));
        check(Answer::NoMatch(ElementSet::EMPTY), "operator:cmcc", None);
        check(Answer::Unavailable, "bank", None);
    }

    #[test]
    fn a_merchant_may_have_several_numbers() {
        let id = |text: &str| MerchantId(text.into());
        let same = BTreeMap::from([(id("b"), id("a"))]);
        let check = |all, merchant: Option<&str>, expected: Option<&str>| {
            let sharing = Sharing { all, same: same.clone() };
            let merchant = merchant.map(id);
            let scope = sharing.scope(merchant.as_ref());
            assert_eq!(scope.map(|scope| &*scope.0), expected, "{all} {merchant:?}");
        };
        check(false, Some("a"), Some("a"));
        check(false, Some("b"), Some("a"));
        check(false, Some("c"), Some("c"));
        check(false, None, None);
        check(true, Some("b"), None);
    }
}
