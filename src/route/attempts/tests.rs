//! Attempts, one story a line.

use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    card: Most { per_day: 5, wrong: 3 },
    person: Most { per_day: 20, wrong: 6 },
    left_to_others: 1,
    wrong_for: Duration::from_hours(24),
    limited_for: Duration::from_hours(2),
};

/// A merchant's, or with `@` that of a client in its own name.
fn asking(source: &str, merchant: &str, at: Timestamp) -> Asking {
    let client = merchant.strip_prefix('@').map(ClientName::new);
    Asking { source: source.into(), merchant: Some(MerchantId(merchant.into())), client, at }
}

/// 2026-11-28T15:00:00Z, an hour before midnight in China.
const EVENING: Timestamp = Timestamp::from_millis(1_795_878_000_000);

fn heard(word: &str) -> Heard {
    match word {
        "right" => Heard::Right,
        "wrong" => Heard::Wrong,
        "neither" => Heard::Neither,
        "limited" => Heard::Limited,
        _ => Heard::NotSent,
    }
}

/// `story` is `merchant source answer` by step, `open` where none came, `+HOURS` where time passes; what A may do at bank then.
fn check(story: &[&str], expected: Result<u32, &str>) {
    let (mut tally, mut now) = (Tally::default(), EVENING);
    for (number, step) in (0..).zip(story) {
        let id = PaymentId::new(now, number);
        now = now.plus(Duration::from_secs(1));
        if let Some(hours) = step.strip_prefix('+') {
            now = now.plus(Duration::from_hours(hours.parse().unwrap()));
            continue;
        }
        let words: Vec<&str> = step.split(' ').collect();
        let by = asking(words[1], words[0], now);
        tally.reserve(&by, id, &LIMITS);
        if words[2] != "open" {
            tally.settle(&by, (id, heard(words[2])), &LIMITS, now);
            // Told again, it is no news.
            tally.settle(&by, (id, Heard::Wrong), &LIMITS, now);
        }
    }
    let found = left(Subject::Card, [&tally], &asking("bank", "A", now), &LIMITS);
    assert_eq!(found.map_err(Denied::as_str), expected, "{story:?}");
}

#[test]
fn so_many_attempts_are_left() {
    check(&[], Ok(2));
    check(&["A bank wrong"], Ok(1));
    // One merchant leaves one wrong try to the others, who have it.
    check(&["A bank wrong", "A bank wrong"], Err("card_merchant"));
    check(&["B bank wrong", "B bank wrong"], Ok(1));
    check(&["B bank wrong", "B bank wrong", "A bank wrong"], Err("card_wrong"));
    // Another source counts for itself.
    check(&["A police wrong", "A police wrong"], Ok(2));
    // A match ends the count, whoever gets it; what nobody knows may be a wrong one.
    check(&["A bank wrong", "B bank right"], Ok(2));
    check(&["A bank open"], Ok(1));
    check(&["A bank open", "A bank open"], Err("card_merchant"));
    check(&["A bank open", "B bank right"], Ok(1));
    check(&["A bank neither", "A bank neither"], Ok(2));
    check(&["A bank neither", "A bank neither", "A bank right"], Ok(1));
    check(
        &["A bank neither", "A bank right", "A bank right", "A bank right"],
        Err("card_merchant"),
    );
    check(&["B bank right", "B bank right", "B bank right", "B bank right"], Ok(1));
    let five = ["B bank right", "B bank right", "B bank right", "B bank right", "A bank right"];
    check(&five, Err("card_day"));
    check(&["A bank unsent", "A bank unsent", "A bank unsent"], Ok(2));
}

/// However many clients there are, they leave one wrong try to payments; and payments leave theirs to clients.
#[test]
fn clients_together_are_one_merchant() {
    check(&["@x bank wrong"], Ok(2));
    check(&["@x bank wrong", "@y bank wrong"], Ok(1));
    check(&["@x bank wrong", "@y bank wrong", "A bank wrong"], Err("card_wrong"));
    let most = ["@x bank right", "@y bank right", "@x bank right", "@y bank right"];
    check(&most, Ok(1));
    check(&["A bank wrong", "A bank wrong"], Err("card_merchant"));
    let left_to = |who: &str, story: &[(&str, Heard)]| {
        let mut tally = Tally::default();
        for (number, (by, heard)) in (0..).zip(story) {
            let (by, id) = (asking("bank", by, EVENING), PaymentId::new(EVENING, number));
            tally.reserve(&by, id, &LIMITS);
            tally.settle(&by, (id, *heard), &LIMITS, EVENING);
        }
        left(Subject::Card, [&tally], &asking("bank", who, EVENING), &LIMITS)
    };
    let denied = Err(Denied::Merchant(Subject::Card));
    assert_eq!(left_to("@x", &[("@y", Heard::Wrong)]), Ok(1));
    assert_eq!(left_to("@x", &[("@y", Heard::Wrong), ("@z", Heard::Wrong)]), denied);
    assert_eq!(left_to("@x", &[("A", Heard::Wrong), ("A", Heard::Wrong)]), Ok(1));
}

#[test]
fn attempts_come_back() {
    let spent = ["A bank right", "A bank right", "A bank right", "A bank right"];
    check(&spent, Err("card_merchant"));
    // China's midnight is not that of Greenwich.
    check(&[&spent[..], &["+1"]].concat(), Ok(2));
    check(&["A bank wrong", "A bank wrong", "+23"], Err("card_merchant"));
    check(&["A bank wrong", "A bank wrong", "+24"], Ok(2));
    check(&["A bank open", "A bank open", "+24"], Ok(2));
    check(&["A bank wrong", "+23", "A bank wrong", "+23"], Err("card_merchant"));
    check(&["B bank limited", "+1"], Err("card_limited"));
    check(&["B bank limited", "+2"], Ok(2));
    check(&["A police limited"], Ok(2));
}

proptest! {
    /// However many merchants try, and whatever nobody hears: the bank sees no more wrong tries in a row than the limit.
    #[test]
    fn a_bank_never_sees_more_wrong_tries_than_may_be(
        steps in proptest::collection::vec((0..3_usize, 0..4_usize, 0..4_u64), 1..80),
    ) {
        let merchants = ["A", "B", "C"];
        let (mut tally, mut now, mut at_bank) = (Tally::default(), EVENING, Vec::new());
        for (number, (merchant, what, hours)) in (0..).zip(steps) {
            let id = PaymentId::new(EVENING, number);
            now = now.plus(Duration::from_hours(hours)).plus(Duration::from_secs(1));
            let by = &asking("bank", merchants[merchant], now);
            if left(Subject::Card, [&tally], by, &LIMITS).is_err() {
                continue;
            }
            tally.reserve(by, id, &LIMITS);
            // The last is one that nobody heard of, and wrong.
            match what {
                0 => { at_bank.clear(); tally.settle(by, (id, Heard::Right), &LIMITS, now); }
                1 => { at_bank.push((now, merchant)); tally.settle(by, (id, Heard::Wrong), &LIMITS, now); }
                2 => { tally.settle(by, (id, Heard::Neither), &LIMITS, now); }
                _ => at_bank.push((now, merchant)),
            }
            at_bank.retain(|(at, _)| now < at.plus(LIMITS.wrong_for));
            prop_assert!(at_bank.len() <= 3, "{at_bank:?}");
        }
    }

    /// Whatever one merchant did, another has a try.
    #[test]
    fn a_stranger_leaves_a_try_to_others(
        steps in proptest::collection::vec((0..5_usize, 0..4_u64), 1..80),
    ) {
        let (mut tally, mut now) = (Tally::default(), EVENING);
        for (number, (what, hours)) in (0..).zip(steps) {
            let id = PaymentId::new(EVENING, number);
            now = now.plus(Duration::from_hours(hours)).plus(Duration::from_secs(1));
            let by = asking("bank", "A", now);
            if left(Subject::Card, [&tally], &by, &LIMITS).is_ok() {
                tally.reserve(&by, id, &LIMITS);
                let heard = [Heard::Right, Heard::Wrong, Heard::Neither, Heard::NotSent];
                if let Some(heard) = heard.get(what) {
                    tally.settle(&by, (id, *heard), &LIMITS, now);
                }
            }
            let others = left(Subject::Card, [&tally], &asking("bank", "B", now), &LIMITS);
            prop_assert!(others.is_ok(), "{others:?}");
        }
    }

    #[test]
    fn a_tally_does_not_grow(steps in proptest::collection::vec((0..200_usize, 0..5_usize), 1..400)) {
        let mut tally = Tally::default();
        for (number, (merchant, what)) in (0..).zip(steps) {
            let id = PaymentId::new(EVENING, number);
            let by = asking("bank", &merchant.to_string(), EVENING);
            if left(Subject::Card, [&tally], &by, &LIMITS).is_ok() {
                tally.reserve(&by, id, &LIMITS);
                let heard = [Heard::Right, Heard::Wrong, Heard::Neither, Heard::NotSent, Heard::Limited][what];
                tally.settle(&by, (id, heard), &LIMITS, EVENING);
            }
        }
        prop_assert!(tally.0.len() <= 5);
    }
}
