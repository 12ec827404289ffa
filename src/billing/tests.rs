//! Prices, months, statements and bills, one line each.

use super::invoice::{Billed, compare};
use super::month::Month;
use super::price::{Price, Prices, Step};
use super::statement::Tally;
use super::*;
use crate::domain::element::Element;
use proptest::prelude::*;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

fn three() -> ElementSet {
    [Element::Name, Element::IdNumber, Element::Pan].into_iter().collect()
}

fn four() -> ElementSet {
    three().with(Element::Phone)
}

/// Four elements by steps, anything else for 20.
fn prices() -> Prices {
    let step = |up_to, fen: &str| Step { up_to, fen: fen.parse().unwrap() };
    Prices::new(vec![
        Price {
            set: Some(four()),
            steps: vec![step(Some(10), "30.5"), step(Some(100), "28"), step(None, "0.125")],
        },
        Price { set: None, steps: vec![step(None, "20")] },
    ])
}

#[test]
fn a_count_costs_so_many_fen() {
    let check = |set, count, fen| assert_eq!(prices().cost(set, count).get(), fen, "{count}");
    check(four(), 0, 0);
    // 30.5 is rounded half up, and once.
    check(four(), 1, 31);
    check(four(), 2, 61);
    check(four(), 10, 305);
    check(four(), 11, 333);
    check(four(), 100, 2_825);
    check(four(), 104, 2_826);
    check(four(), 108, 2_826);
    check(three(), 7, 140);
    assert_eq!(Prices::default().cost(four(), 1_000).get(), 0);
    assert_eq!(Prices::flat(60).cost(three(), 2).get(), 120);
    assert_eq!(prices().more(four(), 9, 2).get(), 333 - 275);
}

#[test]
fn a_month_is_chinas() {
    let check = |month: &str, at: &str, expected| {
        let at = at.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let at = Timestamp::from_millis(u64::try_from(at).unwrap());
        let read = month.parse::<Month>().unwrap();
        assert_eq!(read.contains(at), expected, "{month} {at:?}");
        assert_eq!(Month::of(at) == Some(read), expected, "{month} {at:?}");
    };
    check("2026-11", "2026-10-31T15:59:59.999Z", false);
    check("2026-11", "2026-10-31T16:00:00Z", true);
    check("2026-11", "2026-11-30T15:59:59.999Z", true);
    check("2026-11", "2026-11-30T16:00:00Z", false);
    check("2024-02", "2024-02-29T12:00:00Z", true);
    for wrong in ["", "2026", "2026-13", "2026-00", "26-11", "2026-1", "2026-+1", "2026-11-01"] {
        assert!(wrong.parse::<Month>().is_err(), "{wrong}");
    }
    assert_eq!("2026-11".parse::<Month>().unwrap().to_string(), "2026-11");
}

/// In November 2026.
const AT: Timestamp = Timestamp::from_millis(1_794_800_000_000);

fn asked(number: u128, set: ElementSet, billable: Billable) -> Asked {
    let provider = ProviderName::new("first");
    Asked { id: PaymentId::new(AT, number), provider, set, at: AT, billable }
}

#[test]
fn a_months_lines() {
    let mut tally = Tally::new("2026-11".parse().unwrap());
    for (number, billable) in
        [Billable::Yes, Billable::Yes, Billable::No, Billable::Uncertain].into_iter().enumerate()
    {
        assert!(tally.asked(&asked(u128::try_from(number).unwrap(), four(), billable)));
    }
    tally.asked(&asked(9, three(), Billable::Yes));
    let earlier = Timestamp::from_millis(1_700_000_000_000);
    assert!(!tally.asked(&Asked { at: earlier, ..asked(10, four(), Billable::Yes) }));
    tally.reused(&ProviderName::new("first"), four(), AT);
    tally.reused(&ProviderName::new("first"), four(), earlier);
    let lines = tally.lines(&BTreeMap::from([(ProviderName::new("first"), prices())]));
    let shown: Vec<_> = lines
        .iter()
        .map(|line| {
            let c = line.counts;
            let counts = [c.billed, c.free, c.uncertain, c.reused];
            (line.set, counts, [line.cost.get(), line.uncertain.get(), line.saved.get()])
        })
        .collect();
    assert_eq!(shown, [(three(), [1, 0, 0, 0], [20, 0, 0]), (four(), [2, 1, 1, 1], [61, 31, 31])]);
}

#[test]
fn a_bill_beside_ours() {
    let ours = [
        asked(1, four(), Billable::Yes),
        asked(2, four(), Billable::No),
        asked(3, four(), Billable::Uncertain),
        asked(4, four(), Billable::Yes),
    ];
    let ours: BTreeMap<_, _> = ours.into_iter().map(|asked| (asked.id, asked)).collect();
    let check = |bill: &[(u128, Option<&str>)], expected: &[&str]| {
        let bill = bill.iter().zip(1..).map(|((number, fen), line)| Billed {
            line,
            id: PaymentId::new(AT, *number),
            fen: fen.map(|fen| fen.parse::<Decimal>().unwrap()),
        });
        let differences = compare(&ours, bill, &prices());
        let words: Vec<_> = differences
            .iter()
            .map(|difference| match difference.place().0 {
                Some(line) => format!("{line} {}", difference.as_str()),
                None => difference.as_str().to_owned(),
            })
            .collect();
        assert_eq!(words, expected);
    };
    check(&[(1, None), (4, None)], &[]);
    check(&[(1, Some("30.50")), (4, Some("28"))], &[]);
    check(&[(1, Some("30"))], &["1 other_rate", "not_billed"]);
    check(&[(4, None), (1, None), (1, None)], &["3 billed_twice"]);
    check(&[(1, None), (2, None), (4, None)], &["2 billed_though_free"]);
    check(&[(3, None), (1, None), (4, None)], &["1 uncertain_and_billed"]);
    check(&[(9, None), (1, None), (4, None)], &["1 never_asked"]);
    check(&[], &["not_billed", "not_billed"]);
}

proptest! {
    /// More never costs less, and a month in two parts costs what it costs in one, to a fen.
    #[test]
    fn costs_add_up(one in 0..500_u64, other in 0..500_u64) {
        let prices = prices();
        let (of_one, of_both) = (prices.cost(four(), one), prices.cost(four(), one + other));
        prop_assert!(of_one <= of_both);
        prop_assert_eq!(prices.more(four(), one, other).get(), of_both.get() - of_one.get());
    }

    /// A bill of exactly what is billable has no difference, in whatever order.
    #[test]
    fn our_own_bill_is_right(kinds in prop::collection::vec(0..3_u8, 0..30), seed: u64) {
        let kind = |kind| match kind { 0 => Billable::Yes, 1 => Billable::No, _ => Billable::Uncertain };
        let ours: BTreeMap<_, _> = kinds.iter().zip(0..).map(|(one, number)| {
            let asked = asked(number, four(), kind(*one));
            (asked.id, asked)
        }).collect();
        let mut bill: Vec<_> = ours.values().filter(|asked| asked.billable == Billable::Yes)
            .map(|asked| asked.id).collect();
        let turn = usize::try_from(seed % 31).unwrap().min(bill.len());
        bill.rotate_left(turn);
        let bill = bill.into_iter().zip(1..).map(|(id, line)| Billed { line, id, fen: None });
        prop_assert_eq!(compare(&ours, bill, &prices()), []);
    }
}
