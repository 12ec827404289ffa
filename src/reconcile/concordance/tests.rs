//! What is counted, where, and how surely it is known.

use super::*;
use crate::domain::element::Element;
use crate::domain::outcome::{Decline, Suspects};
use crate::reconcile::Verified;
use proptest::prelude::*;

const DAY: Duration = Duration::from_hours(24);

fn set(words: &str) -> ElementSet {
    words.split_whitespace().map(|word| Element::from_word(word).unwrap()).collect()
}

const FOUR: &str = "name id_number pan phone";

fn check_shows(
    (answer, asserted): (Answer, &str),
    (checks, outcome): (&str, Outcome),
    expected: Option<(Said, bool)>,
) {
    let verified = Some(Verified { answer, elements: set(FOUR) });
    let shown = shows(&Expected { verified, checks: set(checks) }, set(asserted), outcome);
    assert_eq!(shown, expected, "{answer:?} [{asserted}] [{checks}] {outcome:?}");
}

#[test]
fn only_what_says_something_of_the_elements_is_a_sample() {
    let matched = (Answer::Match, "");
    let phone = Outcome::NoMatch(Suspects::Named(set("phone")));
    let some = Outcome::NoMatch(Suspects::OneOf(set("name phone")));
    let poor = Outcome::Declined(Decline::InsufficientFunds);
    check_shows(matched, (FOUR, Outcome::Succeeded), Some((Said::Match, true)));
    check_shows((Answer::CloseMatch, ""), (FOUR, poor), Some((Said::Match, true)));
    check_shows(matched, (FOUR, phone), Some((Said::Match, false)));
    check_shows(matched, ("", some), Some((Said::Match, false)));
    // The channel does not check elements first, or at all.
    check_shows(matched, ("", poor), None);
    check_shows(matched, ("", Outcome::Succeeded), None);
    for outcome in [
        Outcome::Accepted,
        Outcome::Unknown,
        Outcome::Unmapped,
        Outcome::Reversed,
        Outcome::Declined(Decline::CardState),
        Outcome::NoMatch(Suspects::Named(set("cvv2"))),
    ] {
        check_shows(matched, (FOUR, outcome), None);
    }
    // The channel may have read another phone than was told.
    check_shows((Answer::Match, "phone"), (FOUR, phone), None);
    check_shows((Answer::Match, "phone"), (FOUR, some), None);
    check_shows((Answer::Match, "cvv2"), (FOUR, phone), Some((Said::Match, false)));
    let refused = (Answer::NoMatch(ElementSet::EMPTY), "");
    check_shows(refused, (FOUR, Outcome::Succeeded), Some((Said::NoMatch, false)));
    check_shows(refused, (FOUR, phone), Some((Said::NoMatch, true)));
    check_shows((Answer::NoRecord, ""), (FOUR, phone), None);
    assert_eq!(shows(&Expected { verified: None, checks: set(FOUR) }, set(""), phone), None);
}

#[test]
fn ages_are_days_weeks_months_and_a_quarter() {
    let check = |hours, expected| assert_eq!(Age::of(Duration::from_hours(hours)), expected);
    check(23, Age::Day);
    check(24, Age::Week);
    check(7 * 24, Age::Month);
    check(30 * 24, Age::Quarter);
    check(90 * 24, Age::Older);
}

fn place(channel: &str, bank: &str) -> Place {
    Place {
        provider: ProviderName::new("p"),
        elements: set(FOUR),
        channel: (!channel.is_empty()).then(|| ChannelName::new(channel)),
        bank: (!bank.is_empty()).then(|| Bank::new(bank)),
    }
}

fn sample((channel, bank): (&str, &str), age: Age, agreed: bool, at: Timestamp) -> Sample {
    Sample { place: place(channel, bank), said: Said::Match, age, agreed, at }
}

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A book with so many that agreed and differed at each place.
fn book(counted: &[((&str, &str), Age, usize, usize)]) -> Book {
    let mut book = Book::default();
    for (at, age, agreed, differed) in counted {
        let samples =
            std::iter::repeat_n(true, *agreed).chain(std::iter::repeat_n(false, *differed));
        for agreed in samples {
            book.add(&sample(*at, *age, agreed, NOW), usize::MAX);
        }
    }
    book
}

fn check_rate(
    book: &Book,
    at: (&str, &str),
    age: Option<Age>,
    expected: (Level, Option<Age>, f64),
) {
    let rate = book.rate(place(at.0, at.1), Said::Match, age, NOW);
    assert_eq!((rate.level, rate.age, rate.count.all()), expected, "{at:?} {age:?}");
}

#[test]
fn the_narrowest_place_with_enough_samples_speaks() {
    let book = book(&[
        (("c", "b"), Age::Day, 25, 10),
        (("c", "few"), Age::Day, 5, 0),
        (("c", "few"), Age::Month, 29, 1),
        (("rare", "b"), Age::Day, 1, 0),
    ]);
    check_rate(&book, ("c", "b"), None, (Level::Bank, None, 35.0));
    check_rate(&book, ("c", "b"), Some(Age::Day), (Level::Bank, Some(Age::Day), 35.0));
    check_rate(&book, ("c", "few"), Some(Age::Day), (Level::Bank, None, 35.0));
    check_rate(&book, ("c", "few"), Some(Age::Month), (Level::Bank, Some(Age::Month), 30.0));
    check_rate(&book, ("c", "unknown"), Some(Age::Day), (Level::Channel, Some(Age::Day), 40.0));
    check_rate(&book, ("c", ""), None, (Level::Channel, None, 70.0));
    check_rate(&book, ("rare", "b"), None, (Level::Provider, None, 71.0));
    check_rate(&book, ("never", ""), None, (Level::Provider, None, 71.0));
    let said = Said::NoMatch;
    assert_eq!(book.rate(place("c", "b"), said, None, NOW).level, Level::Nowhere);
}

#[test]
fn where_no_place_has_enough_the_widest_speaks() {
    let book = book(&[(("c", "b"), Age::Day, 3, 0), (("d", "b"), Age::Day, 0, 1)]);
    check_rate(&book, ("c", "b"), Some(Age::Day), (Level::Provider, None, 4.0));
    check_rate(&Book::default(), ("c", "b"), None, (Level::Nowhere, None, 0.0));
}

#[test]
fn beyond_the_limit_only_what_is_known_is_counted() {
    let mut book = Book::default();
    for bank in ["1", "2", "3", "1"] {
        book.add(&sample(("c", bank), Age::Day, true, NOW), 4);
    }
    let banks = book.places().filter_map(|(place, _)| place.bank.as_ref().map(Bank::as_str));
    assert_eq!(banks.collect::<Vec<_>>(), ["1", "2"], "there is room for no other");
    assert_eq!(book.places().count(), 4, "their channel and provider count");
    check_rate(&book, ("c", ""), None, (Level::Provider, None, 4.0));
}

#[test]
fn what_is_long_ago_weighs_less() {
    let mut tally = Tally::default();
    tally.add(&sample(("c", "b"), Age::Day, true, NOW));
    let later = NOW.plus(HALF_LIFE);
    let count = |tally: &Tally, at| tally.count(Said::Match, None, at);
    assert!((count(&tally, later).agreed - 0.5).abs() < 1e-9);
    tally.add(&sample(("c", "b"), Age::Week, false, later));
    let both = count(&tally, later);
    assert!((both.agreed - 0.5).abs() < 1e-9 && (both.differed - 1.0).abs() < 1e-9);
}

fn check_interval(agreed: f64, differed: f64, expected: (f64, f64)) {
    let (low, high) = Count { agreed, differed }.interval();
    let near = |a: f64, b: f64| (a - b).abs() < 5e-4;
    assert!(near(low, expected.0) && near(high, expected.1), "{agreed} {differed}: {low} {high}");
}

/// Checked by integrating the density of Beta(agreed + ½, differed + ½) numerically.
#[test]
fn intervals_are_those_of_the_beta_distribution() {
    check_interval(0.0, 0.0, (0.0015, 0.9985));
    check_interval(10.0, 0.0, (0.7828, 0.9999));
    check_interval(0.0, 10.0, (0.0000, 0.2172));
    check_interval(95.0, 5.0, (0.8938, 0.9811));
    check_interval(480.0, 20.0, (0.9400, 0.9748));
}

proptest! {
    /// In whatever order samples come, by whichever clock, the same is counted.
    #[test]
    fn the_order_of_samples_does_not_matter(
        samples in prop::collection::vec((0_u32..200, any::<bool>()), 1..20),
    ) {
        let tally = |samples: &[(u32, bool)]| {
            let mut tally = Tally::default();
            for (day, agreed) in samples {
                tally.add(&sample(("c", "b"), Age::Day, *agreed, NOW.plus(DAY * *day)));
            }
            tally.count(Said::Match, None, NOW.plus(DAY * 200))
        };
        let backwards: Vec<_> = samples.iter().rev().copied().collect();
        let (one, other) = (tally(&samples), tally(&backwards));
        prop_assert!((one.agreed - other.agreed).abs() < 1e-9);
        prop_assert!((one.differed - other.differed).abs() < 1e-9);
    }

    /// What is expected lies within its interval, and an interval is one.
    #[test]
    fn an_interval_holds_what_is_expected(agreed in 0_u32..100_000, differed in 0_u32..100_000) {
        let count = Count { agreed: agreed.into(), differed: differed.into() };
        let (low, high) = count.interval();
        prop_assert!(0.0 <= low && low <= high && high <= 1.0);
        // With one side at nothing the mean may lie beyond a tail.
        if agreed > 1 && differed > 1 {
            prop_assert!(low < count.expected() && count.expected() < high, "{low} {high}");
        }
        prop_assert!((beta_reg(count.agreed + PRIOR, count.differed + PRIOR, low) - TAIL).abs() < 1e-6);
    }
}
