//! Concordance: how often a channel bore out what a provider had said, by provider, channel, bank and element set.
//!
//! One sample for each piece of evidence and channel: the first outcome that says anything of the elements. What was learned long
//! ago weighs less, by half each [`HALF_LIFE`].

use crate::domain::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{Bank, ChannelName, ProviderName};
use crate::domain::mismatch::MismatchKind;
use crate::domain::outcome::Outcome;
use crate::reconcile::{Expected, Finding, compare};
use serde::{Deserialize, Serialize};
use statrs::function::beta::{beta_reg, inv_beta_reg};
use std::collections::BTreeMap;
use std::time::Duration;

/// After how long a sample weighs half: providers and banks change, and a good month must not hide a bad week for ever.
pub const HALF_LIFE: Duration = Duration::from_hours(60 * 24);

/// How many samples, as they weigh now, a place must have to speak for itself; with fewer, the wider one speaks.
pub const ENOUGH: f64 = 30.0;

/// What the prior counts for each side (Jeffreys'): its intervals hold the truth about as often as they say.
const PRIOR: f64 = 0.5;

/// What each tail of an interval leaves out.
const TAIL: f64 = 0.025;

/// What a provider said of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// That they belong together.
    Match,
    /// That they do not. Where such payments are refused only a holdout shows whether that was right.
    NoMatch,
}

impl Said {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Match, Self::NoMatch];

    /// The word used in metrics and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::NoMatch => "no_match",
        }
    }

    /// What `answer` says; most say nothing.
    pub const fn of(answer: Answer) -> Option<Self> {
        match answer {
            Answer::Match | Answer::CloseMatch => Some(Self::Match),
            Answer::NoMatch(_) => Some(Self::NoMatch),
            Answer::NoRecord
            | Answer::NotPossible
            | Answer::Limited
            | Answer::Invalid
            | Answer::Unavailable => None,
        }
    }
}

/// How old evidence was when a payment rested on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Age {
    /// Less than a day.
    Day,
    /// Less than seven days.
    Week,
    /// Less than thirty days.
    Month,
    /// Less than ninety days.
    Quarter,
    /// Older: an agreement rests on what was verified at its bind.
    Older,
}

impl Age {
    /// Every age, youngest first.
    pub const ALL: [Self; 5] = [Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Older];

    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Older => "older",
        }
    }

    /// The age of what is `old`.
    pub const fn of(old: Duration) -> Self {
        match old.as_secs() / 86_400 {
            0 => Self::Day,
            1..7 => Self::Week,
            7..30 => Self::Month,
            30..90 => Self::Quarter,
            _ => Self::Older,
        }
    }
}

/// Where samples are counted: at one bank through one channel, at a channel whatever the bank, or wherever a provider was asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Whose word it was.
    pub provider: ProviderName,
    /// Of which elements; all that were asked about, whichever of them the channel checks.
    pub elements: ElementSet,
    /// At which channel; at any where absent.
    pub channel: Option<ChannelName>,
    /// At which bank; at any where absent. Never without a channel.
    pub bank: Option<Bank>,
}

impl Place {
    /// This place and the wider ones around it, the narrowest first.
    pub fn widening(self) -> impl Iterator<Item = Self> {
        let channel = self.bank.is_some().then(|| Self { bank: None, ..self.clone() });
        let all =
            self.channel.is_some().then(|| Self { channel: None, bank: None, ..self.clone() });
        std::iter::once(self).chain(channel).chain(all)
    }

    /// How wide it is.
    pub const fn level(&self) -> Level {
        match (&self.channel, &self.bank) {
            (Some(_), Some(_)) => Level::Bank,
            (Some(_), None) => Level::Channel,
            (None, Some(_) | None) => Level::Provider,
        }
    }
}

/// How wide a place is whose samples speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// One bank through one channel.
    Bank,
    /// One channel, all banks.
    Channel,
    /// All channels.
    Provider,
    /// Nothing is known of the provider.
    Nowhere,
}

impl Level {
    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bank => "bank",
            Self::Channel => "channel",
            Self::Provider => "provider",
            Self::Nowhere => "nowhere",
        }
    }
}

/// What an outcome shows of what a provider said: whether the channel bore it out. Nothing where it does not say, where other
/// elements were checked than were verified, or where the channel may have read others than the core told (`asserted`).
pub fn shows(expected: &Expected, asserted: ElementSet, outcome: Outcome) -> Option<(Said, bool)> {
    let said = Said::of(expected.verified?.answer)?;
    if let Outcome::NoMatch(suspects) = outcome
        && suspects.set().meets(asserted)
    {
        return None;
    }
    match compare(expected, outcome) {
        Finding::Agree => Some((said, true)),
        Finding::Differ(mismatch) => match mismatch.kind {
            MismatchKind::MatchThenNoMatch | MismatchKind::NoMatchThenSuccess => {
                Some((said, false))
            }
            MismatchKind::UnverifiedThenNoMatch
            | MismatchKind::MissingOutcome
            | MismatchKind::ReversedAfterSuccess
            | MismatchKind::AmountDiffers
            | MismatchKind::OutcomeFlipped => None,
        },
        Finding::Silent => None,
    }
}

/// What one piece of evidence came to at one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Where: as narrow as is known.
    pub place: Place,
    /// What the provider had said.
    pub said: Said,
    /// How old that was.
    pub age: Age,
    /// Whether the channel bore it out.
    pub agreed: bool,
    /// When that became known.
    pub at: Timestamp,
}

/// How often the halves agreed, and differed, as it weighs at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// How often they agreed.
    pub agreed: f64,
    /// How often they differed.
    pub differed: f64,
}

impl Count {
    /// All samples.
    pub fn all(self) -> f64 {
        self.agreed + self.differed
    }

    fn weighing(self, weight: f64) -> Self {
        Self { agreed: self.agreed * weight, differed: self.differed * weight }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { agreed: self.agreed + other.agreed, differed: self.differed + other.differed }
    }

    /// The share of agreement that is to be expected.
    pub fn expected(self) -> f64 {
        (self.agreed + PRIOR) / (self.all() + 2.0 * PRIOR)
    }

    /// Between what the share lies with a probability of 95 % (equal tails of the Beta posterior).
    pub fn interval(self) -> (f64, f64) {
        let (a, b) = (self.agreed + PRIOR, self.differed + PRIOR);
        (quantile(a, b, TAIL), quantile(a, b, 1.0 - TAIL))
    }
}

/// The quantile of a Beta distribution. Where the library's search ends beside it, halving finds it.
fn quantile(a: f64, b: f64, p: f64) -> f64 {
    let found = inv_beta_reg(a, b, p);
    if (0.0..=1.0).contains(&found) && (beta_reg(a, b, found) - p).abs() < 1e-6 {
        return found;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if beta_reg(a, b, middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// What was counted at one place until a time; by what was said, and how old that was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    at: Timestamp,
    counts: Vec<(Said, Age, Count)>,
}

impl Tally {
    /// When something was counted last.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Counts a sample. One that comes late weighs what it would have come to by now.
    pub fn add(&mut self, sample: &Sample) {
        let passed = weight(sample.at.since(self.at));
        for (.., count) in &mut self.counts {
            *count = count.weighing(passed);
        }
        let one = if sample.agreed {
            Count { agreed: 1.0, differed: 0.0 }
        } else {
            Count { agreed: 0.0, differed: 1.0 }
        };
        let one = one.weighing(weight(self.at.since(sample.at)));
        self.at = self.at.max(sample.at);
        let of = (sample.said, sample.age);
        match self.counts.iter_mut().find(|(said, age, _)| (*said, *age) == of) {
            Some((.., count)) => *count = count.plus(one),
            None => self.counts.push((of.0, of.1, one)),
        }
    }

    /// What was counted of what was `said`, at one age or at all, as it weighs at `now`.
    pub fn count(&self, said: Said, age: Option<Age>, now: Timestamp) -> Count {
        let counted = self
            .counts
            .iter()
            .filter(|(of, old, _)| *of == said && age.is_none_or(|age| age == *old));
        let count = counted.fold(Count::default(), |all, (.., count)| all.plus(*count));
        count.weighing(weight(now.since(self.at)))
    }
}

/// What is left of a sample's weight after `passed`.
fn weight(passed: Duration) -> f64 {
    (-passed.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2()
}

/// What may be expected, and on how wide a place it rests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Whose samples speak.
    pub level: Level,
    /// The age of evidence that they are of; any where absent.
    pub age: Option<Age>,
    /// The samples.
    pub count: Count,
    /// How many there are at the channel that was asked about, of any bank and age.
    pub tried: f64,
}

/// All that was counted. The widest places are always kept; of banks as many as there is room for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    places: BTreeMap<Place, Tally>,
}

impl Book {
    /// Where a sample is counted: at its place and the wider ones, at a bank that is new only where there are fewer places than
    /// `most`.
    pub fn counts_at(&self, sample: &Sample, most: usize) -> Vec<Place> {
        let has_room = |place: &Place| match place.level() {
            Level::Bank => self.places.len() < most || self.places.contains_key(place),
            Level::Channel | Level::Provider | Level::Nowhere => true,
        };
        sample.place.clone().widening().filter(has_room).collect()
    }

    /// Counts a sample.
    pub fn add(&mut self, sample: &Sample, most: usize) {
        for place in self.counts_at(sample, most) {
            self.places.entry(place).or_default().add(sample);
        }
    }

    /// Puts what was counted at a place before, or elsewhere, in the place of what is known.
    pub fn put(&mut self, place: Place, tally: Tally) {
        self.places.insert(place, tally);
    }

    /// What was counted at `place`.
    pub fn tally(&self, place: &Place) -> Option<&Tally> {
        self.places.get(place)
    }

    /// Every place where something was counted.
    pub fn places(&self) -> impl Iterator<Item = (&Place, &Tally)> {
        self.places.iter()
    }

    /// What may be expected of what was `said` at `place`: the narrowest place with [`ENOUGH`] samples speaks, of evidence of that
    /// `age` before evidence of any; where none has enough, the widest.
    pub fn rate(&self, place: Place, said: Said, age: Option<Age>, now: Timestamp) -> Rate {
        let channel = Place { bank: None, ..place.clone() };
        let tried = self.places.get(&channel).map_or(0.0, |it| it.count(said, None, now).all());
        let mut last = Rate { level: Level::Nowhere, age: None, count: Count::default(), tried };
        for place in place.widening() {
            let Some(tally) = self.places.get(&place) else { continue };
            for age in age.map(Some).into_iter().chain([None]) {
                let count = tally.count(said, age, now);
                let rate = Rate { level: place.level(), age, count, tried };
                if count.all() >= ENOUGH {
                    return rate;
                }
                if count.all() > 0.0 {
                    last = rate;
                }
            }
        }
        last
    }
}

#[cfg(test)]
mod tests;
