//! Attempts: how often one card, or one person, may be asked about at one source. Wrong tries lock cards, whoever makes them.

use crate::domain::clock::Timestamp;
use crate::domain::id::{ClientName, MerchantId, PaymentId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What an attempt is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The card, which its bank locks after so many wrong tries.
    Card,
    /// The person, by the number of the document.
    Person,
}

impl Subject {
    /// The word used in keys and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Person => "person",
        }
    }
}

/// How often one subject may be asked about at one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// Within one day of China's calendar.
    pub per_day: u32,
    /// With a wrong answer, one after the other.
    pub wrong: u32,
}

/// How often may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// About one card.
    pub card: Most,
    /// About one person.
    pub person: Most,
    /// How many attempts of each one merchant leaves to the others, so that nobody locks a card of whom it knows the number. All
    /// clients together are one.
    pub left_to_others: u32,
    /// How long a wrong answer counts where no match ends the count.
    pub wrong_for: Duration,
    /// How long nobody is asked at a source that said that it was asked too often.
    pub limited_for: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            card: Most { per_day: 10, wrong: 3 },
            person: Most { per_day: 20, wrong: 6 },
            left_to_others: 1,
            wrong_for: Duration::from_hours(24),
            limited_for: Duration::from_hours(24),
        }
    }
}

impl Limits {
    const fn of(&self, subject: Subject) -> Most {
        match subject {
            Subject::Card => self.card,
            Subject::Person => self.person,
        }
    }
}

/// Who asks, where, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// The registry that would answer: providers that share it share its attempts.
    pub source: Box<str>,
    /// For which merchant; those without a name are one.
    pub merchant: Option<MerchantId>,
    /// For which client of the verification service; for a payment where absent.
    pub client: Option<ClientName>,
    /// When.
    pub at: Timestamp,
}

/// Why nobody is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    /// The source said that it was asked too often.
    Limited(Subject),
    /// There were as many wrong answers as there may be.
    Wrong(Subject),
    /// It was asked as often as may be within a day.
    Day(Subject),
    /// What is left is left to other merchants.
    Merchant(Subject),
}

impl Denied {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Limited(Subject::Card),
        Self::Limited(Subject::Person),
        Self::Wrong(Subject::Card),
        Self::Wrong(Subject::Person),
        Self::Day(Subject::Card),
        Self::Day(Subject::Person),
        Self::Merchant(Subject::Card),
        Self::Merchant(Subject::Person),
    ];

    /// The word used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limited(Subject::Card) => "card_limited",
            Self::Limited(Subject::Person) => "person_limited",
            Self::Wrong(Subject::Card) => "card_wrong",
            Self::Wrong(Subject::Person) => "person_wrong",
            Self::Day(Subject::Card) => "card_day",
            Self::Day(Subject::Person) => "person_day",
            Self::Merchant(Subject::Card) => "card_merchant",
            Self::Merchant(Subject::Person) => "person_merchant",
        }
    }
}

/// What an attempt came to, as far as it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A match, which ends the count of wrong ones.
    Right,
    /// A wrong one; also where nobody knows, since the source may.
    Wrong,
    /// Neither: no record, nothing that can be compared, a failure that the provider owns up to.
    Neither,
    /// Asked too often.
    Limited,
    /// It did not leave, so it was none.
    NotSent,
}

/// The attempts of one merchant, or of one client in its name, at one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    source: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    merchant: Option<MerchantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<ClientName>,
    /// The day of which `asked` is.
    day: u64,
    asked: u32,
    /// The inquiries of which nobody knows what they came to: each may have been a wrong one.
    open: Vec<PaymentId>,
    /// When the wrong ones were heard of.
    wrong: Vec<Timestamp>,
    /// The same of a client, also where somebody else's match ended the count since: it is told of no match but its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tried: Vec<Timestamp>,
    /// When the last one was made that is open or wrong.
    last: Timestamp,
    /// Until when the source is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limited: Option<Timestamp>,
}

impl Count {
    fn asked(&self, now: Timestamp) -> u32 {
        if self.day == now.china_day() { self.asked } else { 0 }
    }

    fn wrong(&self, limits: &Limits, now: Timestamp) -> u32 {
        let stands = now < self.last.plus(limits.wrong_for);
        let both = self.open.len().saturating_add(self.wrong.len());
        if stands { u32::try_from(both).unwrap_or(u32::MAX) } else { 0 }
    }

    fn is_limited(&self, now: Timestamp) -> bool {
        self.limited.is_some_and(|until| now < until)
    }

    /// Whether it still says something.
    fn matters(&self, limits: &Limits, now: Timestamp) -> bool {
        let tried = !self.tried.is_empty() && now < self.last.plus(limits.wrong_for);
        self.asked(now) > 0 || self.wrong(limits, now) > 0 || tried || self.is_limited(now)
    }

    /// One more of a client's own wrong ones; more than may be tell nothing.
    fn try_again(&mut self, limits: &Limits, now: Timestamp) {
        self.tried.push(now);
        let most = usize::try_from(limits.card.wrong.max(limits.person.wrong));
        let over = self.tried.len().saturating_sub(most.unwrap_or(usize::MAX));
        self.tried.drain(..over);
    }

    /// Whether it takes of what whoever asks may have. All clients together are one merchant, so that no number of them locks a card
    /// for payments; one in the name of a merchant has no more than that merchant leaves it, and takes none of its payments' tries.
    fn is_shared_with(&self, asking: &Asking) -> bool {
        let of_merchant = self.merchant == asking.merchant;
        if asking.client.is_some() {
            of_merchant || self.client.is_some()
        } else {
            of_merchant && self.client.is_none()
        }
    }

    /// Whether it is of whoever asks.
    fn is_of(&self, asking: &Asking) -> bool {
        self.source == asking.source
            && self.merchant == asking.merchant
            && self.client == asking.client
    }
}

/// The attempts of one subject, by source and merchant. What a day and its limits allow bounds how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally(Vec<Count>);

/// The sums over what is counted at a source, by everybody and by one merchant, as which all clients together count.
#[derive(Default)]
struct Sums {
    asked: (u32, u32),
    wrong: (u32, u32),
    limited: bool,
}

impl Tally {
    /// Counts one more attempt. Until it is told what it came to, it counts as a wrong one too.
    pub fn reserve(&mut self, asking: &Asking, inquiry: PaymentId, limits: &Limits) {
        let now = asking.at;
        self.0.retain(|count| count.matters(limits, now));
        let count = self.count(asking);
        if now >= count.last.plus(limits.wrong_for) {
            (count.wrong, count.tried, count.open) = (Vec::new(), Vec::new(), Vec::new());
        }
        count.asked = count.asked(now).saturating_add(1);
        count.day = now.china_day();
        count.open.push(inquiry);
        count.last = count.last.max(now);
    }

    /// An attempt came to something at `now`. Told twice it counts once.
    pub fn settle(
        &mut self,
        asking: &Asking,
        (inquiry, heard): (PaymentId, Heard),
        limits: &Limits,
        now: Timestamp,
    ) {
        let count = self.count(asking);
        let Some(at) = count.open.iter().position(|open| *open == inquiry) else { return };
        count.open.swap_remove(at);
        match heard {
            Heard::Right => {
                count.tried.retain(|heard| *heard >= asking.at);
                let here = self.0.iter_mut().filter(|count| count.source == asking.source);
                // Those that were heard of before it was asked came before it at the source, too; of others nobody knows.
                here.for_each(|count| count.wrong.retain(|heard| *heard >= asking.at));
            }
            Heard::Wrong => {
                count.wrong.push(now);
                if asking.client.is_some() {
                    count.try_again(limits, now);
                }
            }
            Heard::Limited => count.limited = Some(now.plus(limits.limited_for)),
            Heard::NotSent if count.day == asking.at.china_day() => {
                count.asked = count.asked.saturating_sub(1);
            }
            Heard::NotSent | Heard::Neither => (),
        }
        self.0.retain(|count| count.matters(limits, now));
    }

    /// Forgets whatever is not by the tries of the client that asks: those of others, that others' matches ended the count of its own,
    /// and that the source was asked too often, by whomever.
    pub fn keep_own(&mut self, asking: &Asking) {
        self.0.retain(|count| count.merchant == asking.merchant && count.client == asking.client);
        for count in &mut self.0 {
            count.wrong = std::mem::take(&mut count.tried);
            count.limited = None;
        }
    }

    fn count(&mut self, asking: &Asking) -> &mut Count {
        let at = self.0.iter().position(|count| count.is_of(asking)).unwrap_or_else(|| {
            let Asking { source, merchant, client, at: _ } = asking.clone();
            self.0.push(Count { source, merchant, client, ..Count::default() });
            self.0.len().saturating_sub(1)
        });
        #[expect(clippy::indexing_slicing, reason = "it was found there, or pushed")]
        &mut self.0[at]
    }

    fn sums(&self, asking: &Asking, limits: &Limits, sums: &mut Sums) {
        let now = asking.at;
        for count in self.0.iter().filter(|count| count.source == asking.source) {
            let own = count.is_shared_with(asking);
            let (asked, wrong) = (count.asked(now), count.wrong(limits, now));
            for (sums, one) in [(&mut sums.asked, asked), (&mut sums.wrong, wrong)] {
                sums.0 = sums.0.saturating_add(one);
                sums.1 = sums.1.saturating_add(if own { one } else { 0 });
            }
            sums.limited |= count.is_limited(now);
        }
    }
}

/// How many more attempts may be made on a subject, of which these are the tallies under every key that is read.
///
/// # Errors
/// [`Denied`] where there are none.
pub fn left<'t>(
    subject: Subject,
    tallies: impl IntoIterator<Item = &'t Tally>,
    asking: &Asking,
    limits: &Limits,
) -> Result<u32, Denied> {
    let mut sums = Sums::default();
    for tally in tallies {
        tally.sums(asking, limits, &mut sums);
    }
    let most = limits.of(subject);
    let own = |most: u32| most.saturating_sub(limits.left_to_others);
    let wrong = most.wrong.saturating_sub(sums.wrong.0);
    let day = most.per_day.saturating_sub(sums.asked.0);
    let merchants = [(most.wrong, sums.wrong.1), (most.per_day, sums.asked.1)];
    let merchants = merchants.map(|(most, used)| own(most).saturating_sub(used));
    if sums.limited {
        Err(Denied::Limited(subject))
    } else if wrong == 0 {
        Err(Denied::Wrong(subject))
    } else if day == 0 {
        Err(Denied::Day(subject))
    } else {
        let left = merchants.into_iter().fold(wrong.min(day), u32::min);
        if left == 0 { Err(Denied::Merchant(subject)) } else { Ok(left) }
    }
}

#[cfg(test)]
mod tests;
