//! What is given to rules: one value for each attribute, and what had to be looked up, fetched before anything is judged.

use super::attribute::{Attribute, JUDGED};
use crate::domain::clock::Timestamp;
use crate::domain::payment::Scenario;
use std::fmt;
use std::time::Duration;

/// The value of an attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Value<'a> {
    /// The payment lacks it.
    #[default]
    Absent,
    /// Nobody knows any more whether the payment had it.
    Unknown,
    /// It is there, and is not shown.
    Present,
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// Text.
    Text(&'a str),
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("-"),
            Self::Unknown => f.write_str("?"),
            Self::Present => f.write_str("…"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// What is given to rules of one payment.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    values: [Value<'a>; Attribute::COUNT],
    /// When it is judged.
    pub at: Timestamp,
    /// What the set's inputs came to, in their order; `None` where one could not be had.
    pub inputs: &'a [Option<i64>],
}

impl<'a> Given<'a> {
    /// Nothing but the time.
    pub fn new(at: Timestamp) -> Self {
        let mut given = Self { values: [Value::Absent; Attribute::COUNT], at, inputs: &[] };
        let local = at.as_secs().saturating_add(CHINA_AHEAD);
        let minute = local / 60 % (24 * 60);
        // 1970-01-01 was a Thursday.
        let weekday = (local / 86_400).saturating_add(3) % 7;
        let number = |value: u64| Value::Number(i64::try_from(value).unwrap_or(i64::MAX));
        given.set(Attribute::Minute, number(minute));
        given.set(Attribute::Hour, number(minute / 60));
        given.set(Attribute::Weekday, number(weekday.saturating_add(1)));
        for flag in [Attribute::Asserted, Attribute::Held, Attribute::Batch, Attribute::Combined] {
            given.set(flag, Value::Flag(false));
        }
        given
    }

    /// The same with what was looked up.
    #[must_use]
    pub fn with<'b>(self, inputs: &'b [Option<i64>]) -> Given<'b>
    where
        'a: 'b,
    {
        Given { inputs, ..self }
    }

    /// The value of `attribute`.
    pub fn get(&self, attribute: Attribute) -> Value<'a> {
        self.values.get(attribute.slot()).copied().unwrap_or_default()
    }

    /// Gives `attribute` a value.
    pub fn set(&mut self, attribute: Attribute, value: Value<'a>) {
        if let Some(slot) = self.values.get_mut(attribute.slot()) {
            *slot = value;
        }
    }
}

/// Seconds that China is ahead of UTC: one offset all year, since 1991.
const CHINA_AHEAD: u64 = 8 * 3600;

/// Whose events are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The same card.
    Card,
    /// The same person.
    Person,
    /// The same phone number.
    Phone,
    /// The same merchant.
    Merchant,
    /// The same agreement.
    Agreement,
}

impl Key {
    /// Every key.
    pub const ALL: [Self; 5] =
        [Self::Card, Self::Person, Self::Phone, Self::Merchant, Self::Agreement];

    /// The word used in rules.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Person => "person",
            Self::Phone => "phone",
            Self::Merchant => "merchant",
            Self::Agreement => "agreement",
        }
    }

    /// Reads the word used in rules.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.as_str() == word)
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// Payments judged before this one; of one scenario, or of any that policy judges.
    Payments(Option<Scenario>),
    /// Mismatches that were found.
    Mismatches,
    /// Different persons.
    Persons,
}

/// Something to be looked up before a set of rules is evaluated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// Whether an attribute stands in a list: 1 or 0.
    InList {
        /// Which attribute.
        attribute: Attribute,
        /// The list's name.
        list: Box<str>,
    },
    /// How many there were within a sliding window that ends now.
    Count {
        /// What.
        what: Counted,
        /// Whose.
        key: Key,
        /// How long the window is.
        window: Duration,
    },
}

/// As it is written in rules, in examples and in what is recorded.
impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InList { attribute, list } => write!(f, "{attribute} in list(\"{list}\")"),
            Self::Count { what, key, window } => {
                let (key, window) = (key.as_str(), span(*window));
                match what {
                    Counted::Payments(scenario) => {
                        let scenario = scenario.map_or("any", Scenario::as_str);
                        write!(f, "velocity(\"{key}\", \"{scenario}\", \"{window}\")")
                    }
                    Counted::Mismatches => write!(f, "mismatches(\"{key}\", \"{window}\")"),
                    Counted::Persons => write!(f, "persons(\"{key}\", \"{window}\")"),
                }
            }
        }
    }
}

/// The longest and the shortest window.
pub(super) const WINDOWS: std::ops::RangeInclusive<Duration> =
    Duration::from_mins(1)..=Duration::from_hours(30 * 24);

/// Reads a window: `90s`, `5m`, `1h`, `7d`.
pub(super) fn window(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let digits = text.get(..text.len().checked_sub(1)?)?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let count: u64 = digits.parse().ok().filter(|_| plain)?;
    Some(Duration::from_secs(count.checked_mul(unit)?))
}

/// Writes a window in the largest unit that fits.
fn span(window: Duration) -> String {
    let seconds = window.as_secs();
    let units = [(86_400, 'd'), (3600, 'h'), (60, 'm')];
    let fits = units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    let (unit, letter) = fits.unwrap_or((1, 's'));
    format!("{}{letter}", seconds / unit)
}

/// The payments of the scenario that a rule names, or of any of those that policy judges.
pub(super) fn counted_payments(word: &str) -> Option<Counted> {
    if word == "any" {
        return Some(Counted::Payments(None));
    }
    let named = JUDGED.into_iter().find(|scenario| scenario.as_str() == word);
    named.map(|scenario| Counted::Payments(Some(scenario)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_china() {
        let check = |ms, expected: [i64; 3]| {
            let given = Given::new(Timestamp::from_millis(ms));
            let of = |attribute| {
                let value = given.get(attribute);
                let Value::Number(number) = value else { panic!("{value:?}") };
                number
            };
            let found = [Attribute::Weekday, Attribute::Hour, Attribute::Minute].map(of);
            assert_eq!(found, expected, "{ms}");
        };
        // 2026-11-27T15:59:59Z was a Friday in Beijing for one second more.
        check(1_795_795_199_000, [5, 23, 1439]);
        check(1_795_795_200_000, [6, 0, 0]);
    }

    #[test]
    fn windows_read_back() {
        for (text, written) in [("1h", "1h"), ("60m", "1h"), ("90s", "90s"), ("7d", "7d")] {
            assert_eq!(window(text).map(span).as_deref(), Some(written), "{text}");
        }
        for text in ["", "h", "1", "+1h", "1w", "1.5h", "-1h", "99999999999999999999d"] {
            assert_eq!(window(text), None, "{text}");
        }
    }
}
