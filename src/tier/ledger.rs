//! What a person paid from balance, and what may still be paid.

use crate::domain::account::{Class, Purpose, Strength};
use crate::domain::clock::Timestamp;
use crate::domain::money::Fen;
use crate::tier::rules::{Edition, Terms};
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// China has had no summer time since 1991.
const CHINA: Offset = Offset::constant(8);

/// How many days of China's calendar are kept: today, and those around it for clocks that differ.
const DAYS_KEPT: u64 = 2;

/// Sums of what was paid from all accounts of a person, by purpose, so that what a limit counts can be told by any edition of the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Since the first account was opened.
    total: BTreeMap<Purpose, Fen>,
    /// By year.
    years: BTreeMap<i16, BTreeMap<Purpose, Fen>>,
    /// By day, and how whoever paid was authenticated.
    days: BTreeMap<u64, BTreeMap<Strength, BTreeMap<Purpose, Fen>>>,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Over {
    /// The account has no class.
    #[serde(rename = "no_class")]
    NoClass,
    /// Balance of the class may not be used for that.
    #[serde(rename = "purpose")]
    Purpose,
    /// That of the time since the first account was opened.
    #[serde(rename = "lifetime_limit")]
    Lifetime,
    /// That of the year.
    #[serde(rename = "yearly_limit")]
    Yearly,
    /// That of the day.
    #[serde(rename = "daily_limit")]
    Daily,
}

impl Over {
    /// Every limit.
    pub const ALL: [Self; 5] =
        [Self::NoClass, Self::Purpose, Self::Lifetime, Self::Yearly, Self::Daily];

    /// The word in reasons and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoClass => "no_class",
            Self::Purpose => "purpose",
            Self::Lifetime => "lifetime_limit",
            Self::Yearly => "yearly_limit",
            Self::Daily => "daily_limit",
        }
    }
}

/// A payment from balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// How much.
    pub amount: Fen,
    /// What for.
    pub purpose: Purpose,
    /// How whoever pays was authenticated.
    pub strength: Strength,
    /// When.
    pub at: Timestamp,
}

impl Ledger {
    /// What may still be paid for such a purpose at `at`, by which limit; nothing where nothing bounds it. The first limit of the least.
    pub fn left(
        &self,
        edition: &Edition,
        class: Option<Class>,
        (purpose, strength): (Purpose, Strength),
        at: Timestamp,
    ) -> Result<Option<(Fen, Over)>, Over> {
        let terms = class.and_then(|class| edition.classes.get(&class)).ok_or(Over::NoClass)?;
        if !terms.purposes.contains(&purpose) {
            return Err(Over::Purpose);
        }
        let bounds = [
            self.left_ever(terms, purpose),
            self.left_of_year(terms, purpose, at),
            self.left_of_day(edition, (purpose, strength), at),
        ];
        Ok(bounds.into_iter().flatten().min_by_key(|(left, _)| *left))
    }

    fn left_ever(&self, terms: &Terms, purpose: Purpose) -> Option<(Fen, Over)> {
        let most = terms.lifetime.filter(|_| !terms.excludes.contains(&purpose))?;
        Some((less(most, sum(Some(&self.total), &terms.excludes)), Over::Lifetime))
    }

    fn left_of_year(&self, terms: &Terms, purpose: Purpose, at: Timestamp) -> Option<(Fen, Over)> {
        let most = terms.yearly.filter(|_| !terms.excludes.contains(&purpose))?;
        Some((less(most, sum(self.years.get(&year_of(at)), &terms.excludes)), Over::Yearly))
    }

    fn left_of_day(
        &self,
        edition: &Edition,
        (purpose, strength): (Purpose, Strength),
        at: Timestamp,
    ) -> Option<(Fen, Over)> {
        let most = edition.daily.get(&strength)?;
        if edition.daily_excludes.contains(&purpose) {
            return None;
        }
        let day = self.days.get(&at.china_day()).and_then(|day| day.get(&strength));
        Some((less(*most, sum(day, &edition.daily_excludes)), Over::Daily))
    }

    /// Takes `payment`, if no limit is in its way.
    ///
    /// # Errors
    /// The limit that is; nothing is taken.
    pub fn take(
        &mut self,
        edition: &Edition,
        class: Option<Class>,
        payment: Payment,
    ) -> Result<(), Over> {
        let Payment { amount, purpose, strength, at } = payment;
        if let Some((left, over)) = self.left(edition, class, (purpose, strength), at)?
            && left < amount
        {
            return Err(over);
        }
        self.count(payment);
        Ok(())
    }

    /// Counts `payment`, whatever limit is in its way: it is paid.
    pub fn count(&mut self, payment: Payment) {
        let Payment { amount, purpose, strength, at } = payment;
        let year = self.years.entry(year_of(at)).or_default();
        let day = self.days.entry(at.china_day()).or_default().entry(strength).or_default();
        for sums in [&mut self.total, year, day] {
            let sum = sums.entry(purpose).or_default();
            *sum = Fen::new(sum.get().saturating_add(amount.get()));
        }
        self.forget_before(at);
    }

    /// Gives back what `payment` took, where that still bounds anything.
    pub fn give_back(&mut self, payment: Payment) {
        let Payment { amount, purpose, strength, at } = payment;
        let year = self.years.get_mut(&year_of(at));
        let day = self.days.get_mut(&at.china_day()).and_then(|day| day.get_mut(&strength));
        for sums in [Some(&mut self.total), year, day].into_iter().flatten() {
            if let Some(sum) = sums.get_mut(&purpose) {
                *sum = less(*sum, amount);
            }
        }
    }

    /// Drops days and years that bound nothing any more.
    fn forget_before(&mut self, at: Timestamp) {
        let (year, day) = (year_of(at), at.china_day());
        self.years.retain(|kept, _| kept.saturating_add(1) >= year);
        self.days.retain(|kept, _| kept.saturating_add(DAYS_KEPT) >= day);
    }
}

/// What is paid of those purposes that are counted.
fn sum(sums: Option<&BTreeMap<Purpose, Fen>>, excludes: &BTreeSet<Purpose>) -> Fen {
    let counted = sums.into_iter().flatten().filter(|(purpose, _)| !excludes.contains(purpose));
    Fen::new(counted.fold(0, |all, (_, fen)| all.saturating_add(fen.get())))
}

/// The year of China's calendar; the last that it knows where that is far off.
fn year_of(at: Timestamp) -> i16 {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    CHINA.to_datetime(at).year()
}

const fn less(most: Fen, paid: Fen) -> Fen {
    Fen::new(most.get().saturating_sub(paid.get()))
}
