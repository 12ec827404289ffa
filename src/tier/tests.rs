//! Classes, ledgers and plans, as tables and properties. The readings of the regulation itself are held against the file that ships, in
//! `tests/config`.

use super::class::{Checked, Finding};
use super::ledger::{Ledger, Over, Payment};
use super::plan::{Plan, Way, plan};
use super::rules::{AccountNeeded, Book, Counts, Edition, Family, Terms};
use super::usage::{Act, Became, Refused, State, Step, Usage, follow, step};
use crate::domain::account::Purpose::{Consumption, Investment, OwnBankAccount, Transfer};
use crate::domain::account::Strength::{Certificate, TwoFactors, Weak};
use crate::domain::account::{Class, Purpose, Source, Strength};
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{PaymentId, ProviderName};
use crate::domain::money::Fen;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

fn day(days: u32) -> Timestamp {
    Timestamp::default().plus(DAY * 20_000).plus(DAY * days)
}

fn edition() -> Edition {
    let family = |counts, valid_for, account| Family { counts, valid_for, account };
    let any = AccountNeeded::Any;
    let usual = [Purpose::Consumption, Purpose::Transfer, Purpose::OwnBankAccount];
    let terms = |sources, yuan: u64, lifetime: bool| Terms {
        sources,
        face_to_face: sources > 1,
        purposes: usual.into_iter().chain((sources == 5).then_some(Purpose::Investment)).collect(),
        lifetime: lifetime.then_some(Fen::new(yuan * 100)),
        yearly: (!lifetime).then_some(Fen::new(yuan * 100)),
        excludes: (!lifetime).then_some(Purpose::OwnBankAccount).into_iter().collect(),
    };
    Edition {
        from: day(0),
        basis: "a test".into(),
        sources: BTreeMap::from([
            ("police".into(), family(Counts::Once, None, any)),
            ("operator".into(), family(Counts::Once, Some(DAY * 30), any)),
            ("bank".into(), family(Counts::Each, Some(DAY * 60), AccountNeeded::ClassOneOrCredit)),
            ("railway".into(), family(Counts::Once, Some(DAY * 90), any)),
            ("hearsay".into(), family(Counts::Never, None, any)),
        ]),
        classes: BTreeMap::from([
            (Class::I, terms(1, 1_000, true)),
            (Class::II, terms(3, 100_000, false)),
            (Class::III, terms(5, 200_000, false)),
        ]),
        daily: BTreeMap::from([
            (Strength::Weak, Fen::new(100_000)),
            (Strength::TwoFactors, Fen::new(500_000)),
        ]),
        daily_excludes: BTreeSet::from([Purpose::OwnBankAccount]),
        accounts: 1,
        class_three: 1,
        persons_a_phone: 1,
        notice: DAY * 7,
    }
}

/// Findings of day 1, each a source; `+` behind a bank means that the account qualifies, `@9` another day.
fn findings(text: &str) -> Vec<Finding> {
    let mut all = Vec::new();
    for (position, word) in (0_u128..).zip(text.split_whitespace()) {
        let (word, at) = word.split_once('@').unwrap_or((word, "1"));
        let (source, qualifies) = match word.strip_suffix('+') {
            Some(source) => (source, true),
            None => (word, false),
        };
        let bank = source.starts_with("bank");
        let checked = if qualifies { Checked::ClassOne } else { Checked::Other };
        all.push(Finding {
            source: Source::new(source),
            provider: ProviderName::new("upv"),
            inquiry: PaymentId::new(day(1), position),
            elements: ElementSet::EMPTY,
            account: bank.then_some(checked),
            at: day(at.parse().unwrap()),
        });
    }
    all
}

/// The class, until which day it is borne, and what does not count.
fn check(text: &str, on: u32, expected: &str) {
    let all = findings(text);
    let classed = edition().classed(&all, false, Class::III, day(on));
    let class = classed.class.map_or("none", Class::as_str);
    let lapses = classed.lapses.map_or_else(
        || "-".to_owned(),
        |at| (at.since(day(0)).as_secs() / DAY.as_secs()).to_string(),
    );
    let left_out = classed.left_out.iter().map(|(at, why)| format!(" {at}:{}", why.as_str()));
    assert_eq!(format!("{class} {lapses}{}", left_out.collect::<String>()), expected, "{text}");
}

#[test]
fn sources_bear_a_class() {
    check("", 1, "none -");
    check("police", 1, "I -");
    check("police operator:cmcc bank:ICBC+", 1, "II 31");
    check("police operator:cmcc bank:ICBC+ bank:ABC+ bank:CCB+", 1, "III 31");
    check("police operator:cmcc bank:ICBC+ bank:ABC+ bank:CCB+ railway", 1, "III 61");
}

#[test]
fn the_same_back_end_counts_once() {
    check("police police police", 1, "I - 1:source_counted_already 2:source_counted_already");
    check("operator:cmcc operator:cucc", 1, "I 31 1:source_counted_already");
    check("bank:ICBC+ bank:ICBC+", 1, "I 61 1:source_counted_already");
    check("bank:ICBC+@1 bank:ICBC+@9", 9, "I 69 0:source_counted_already");
}

#[test]
fn what_does_not_count_says_why() {
    check("hearsay", 1, "none - 0:not_a_source");
    check("neighbour", 1, "none - 0:not_a_source");
    check("bank:ICBC", 1, "none - 0:account_does_not_qualify");
    check("bank+", 1, "none - 0:no_member");
    check("bank:+", 1, "none - 0:no_member");
    check("police@2", 1, "none - 0:later");
    // One that does not qualify is not in the way of one that does.
    check("bank:ICBC bank:ICBC+", 1, "I 61 0:account_does_not_qualify");
}

#[test]
fn a_class_lapses_with_its_sources() {
    check("operator:cmcc", 30, "I 31");
    check("operator:cmcc", 31, "none - 0:lapsed");
    check("police operator:cmcc railway", 31, "I - 1:lapsed");
    // Four sources bear class II until the second of them is gone.
    check("police operator:cmcc railway bank:ICBC+", 1, "II 61");
}

#[test]
fn whoever_was_met_needs_no_source() {
    for (most, expected) in [(Class::I, Some(Class::I)), (Class::III, Some(Class::III))] {
        let classed = edition().classed(&findings("police"), true, most, day(1));
        assert_eq!((classed.class, classed.lapses), (expected, None));
    }
    assert_eq!(edition().classed(&[], true, Class::I, day(1)).class, None, "class I is not met");
}

#[test]
fn an_edition_holds_until_the_next() {
    let next = Edition { from: day(10), basis: "the next".into(), ..edition() };
    let book = Book::new(vec![next, edition()]);
    let basis = |on| book.at(on).map(|edition| &*edition.basis);
    assert_eq!(basis(Timestamp::default()), None);
    assert_eq!(basis(day(9)), Some("a test"));
    assert_eq!(basis(day(10)), Some("the next"));
}

fn payment(yuan: u64, purpose: Purpose, strength: Strength, on: u32) -> Payment {
    Payment { amount: Fen::new(yuan * 100), purpose, strength, at: day(on) }
}

/// Takes payments of a class one after the other and says what became of each.
fn check_limits(class: Option<Class>, payments: &[Payment], expected: &[Result<(), Over>]) {
    let mut ledger = Ledger::default();
    let came_to: Vec<_> =
        payments.iter().map(|payment| ledger.take(&edition(), class, *payment)).collect();
    assert_eq!(came_to, expected);
}

#[test]
fn limits_are_of_the_class() {
    check_limits(None, &[payment(1, Consumption, Certificate, 1)], &[Err(Over::NoClass)]);
    // Class I: a thousand in all, withdrawals included, whenever.
    check_limits(
        Some(Class::I),
        &[
            payment(600, Consumption, TwoFactors, 1),
            payment(400, OwnBankAccount, TwoFactors, 400),
            payment(1, Transfer, Certificate, 900),
            payment(1, Investment, Certificate, 900),
        ],
        &[Ok(()), Ok(()), Err(Over::Lifetime), Err(Over::Purpose)],
    );
    // Class II: a hundred thousand a year, withdrawals not counted. Day 20,089 is 2025-01-01.
    check_limits(
        Some(Class::II),
        &[
            payment(100_000, Consumption, Certificate, 88),
            payment(500_000, OwnBankAccount, Certificate, 88),
            payment(1, Consumption, Certificate, 88),
            payment(100_000, Consumption, Certificate, 89),
            payment(1, Investment, Certificate, 89),
        ],
        &[Ok(()), Ok(()), Err(Over::Yearly), Ok(()), Err(Over::Purpose)],
    );
    // By the day: each strength has its own.
    check_limits(
        Some(Class::III),
        &[
            payment(1_000, Consumption, Weak, 1),
            payment(1, Transfer, Weak, 1),
            payment(5_000, Investment, TwoFactors, 1),
            payment(1, Consumption, TwoFactors, 1),
            payment(9_000, OwnBankAccount, Weak, 1),
            payment(100_000, Consumption, Certificate, 1),
            payment(1_000, Consumption, Weak, 2),
        ],
        &[Ok(()), Err(Over::Daily), Ok(()), Err(Over::Daily), Ok(()), Ok(()), Ok(())],
    );
}

#[test]
fn what_is_given_back_may_be_paid_again() {
    let mut ledger = Ledger::default();
    let all = payment(1_000, Purpose::Transfer, Strength::TwoFactors, 1);
    assert_eq!(ledger.take(&edition(), Some(Class::I), all), Ok(()));
    assert_eq!(ledger.take(&edition(), Some(Class::I), all), Err(Over::Lifetime));
    ledger.give_back(all);
    assert_eq!(ledger.take(&edition(), Some(Class::I), all), Ok(()));
    // Days and years that bound nothing any more are not kept, and what comes back late does not bring them back.
    let late = payment(500, Purpose::Transfer, Strength::TwoFactors, 900);
    assert_eq!(ledger.take(&edition(), Some(Class::II), late), Ok(()));
    ledger.give_back(all);
    let mut expected = Ledger::default();
    assert_eq!(expected.take(&edition(), Some(Class::II), late), Ok(()));
    assert_eq!(ledger, expected);
}

proptest! {
    #[test]
    fn no_limit_is_ever_exceeded(
        payments in prop::collection::vec((1_u64..2_000, 0_usize..4, 0_usize..3, 0_u32..800, any::<bool>()), 1..60),
        class in 0_usize..3,
    ) {
        let (edition, class) = (edition(), Class::ALL.get(class).copied());
        let (mut ledger, mut taken) = (Ledger::default(), Vec::new());
        let mut on = 0;
        for (yuan, purpose, strength, later, back) in payments {
            on += later / 40;
            let payment = payment(yuan, Purpose::ALL[purpose], Strength::ALL[strength], on);
            if back && !taken.is_empty() {
                ledger.give_back(taken.swap_remove(0));
            } else if ledger.take(&edition, class, payment).is_ok() {
                taken.push(payment);
            }
            let terms = &edition.classes[&class.unwrap()];
            let counted: Vec<&Payment> = taken.iter().filter(|it| !terms.excludes.contains(&it.purpose)).collect();
            let sum = |of: &mut dyn Iterator<Item = &&Payment>| of.map(|it| it.amount.get()).sum::<u64>();
            if let Some(most) = terms.lifetime {
                prop_assert!(sum(&mut counted.iter()) <= most.get());
            }
            for (strength, most) in &edition.daily {
                let mut of_day = taken.iter().filter(|it| {
                    it.at == payment.at && it.strength == *strength && !edition.daily_excludes.contains(&it.purpose)
                }).collect::<Vec<_>>().into_iter();
                prop_assert!(of_day.by_ref().map(|it| it.amount.get()).sum::<u64>() <= most.get());
            }
        }
    }

    #[test]
    fn no_other_set_is_cheaper(
        ways in prop::collection::vec((0_usize..7, 0_u64..500, 0_u64..3_000, 1_u16..=1000), 0..9),
        have in "(police )?(bank:ABC\\+ )?",
        target in 0_usize..3,
    ) {
        const SOURCES: [&str; 7] =
            ["police", "operator:cmcc", "operator:cucc", "bank:ABC+", "bank:ICBC+", "bank:CCB", "railway"];
        let (edition, target) = (edition(), Class::ALL[target]);
        let ways: Vec<Way> = ways.into_iter().map(|(source, price, millis, confirmed)| Way {
            finds: findings(SOURCES[source]).remove(0),
            price: Fen::new(price),
            latency: Duration::from_millis(millis),
            confirmed,
        }).collect();
        let known = findings(&have);
        let classed = edition.classed(&known, false, Class::III, day(1));
        let seconds = Fen::new(3);
        let reaches = |set: &[usize]| {
            let mut all = known.clone();
            all.extend(set.iter().map(|at| ways[*at].finds.clone()));
            edition.classed(&all, false, Class::III, day(1)).class >= Some(target)
        };
        let cost = |set: &[usize]| set.iter().map(|at| ways[*at].expected_cost(seconds)).sum::<u64>();
        let sets = (0..1_usize << ways.len())
            .map(|bits| (0..ways.len()).filter(|at| bits >> at & 1 == 1).collect::<Vec<_>>());
        let best = sets.filter(|set| reaches(set)).map(|set| cost(&set)).min();
        match plan(&edition, (&classed, false), target, (&ways, seconds), day(1)) {
            Plan::Reached => prop_assert!(reaches(&[])),
            Plan::Ask(set) => {
                prop_assert!(!reaches(&[]) && reaches(&set));
                prop_assert_eq!(Some(cost(&set)), best);
            }
            Plan::OutOfReach(missing) => prop_assert!(missing > 0 && best.is_none()),
        }
    }

    #[test]
    fn what_is_added_takes_no_class_away(
        first in prop::collection::vec(0_usize..7, 0..5),
        more in prop::collection::vec(0_usize..7, 0..5),
    ) {
        const SOURCES: [&str; 7] =
            ["police", "operator:cmcc@9", "operator:cucc", "bank:ABC+", "bank:ABC@9", "hearsay", "railway@3"];
        let class = |sources: &[usize]| {
            let text: Vec<&str> = sources.iter().map(|at| SOURCES[*at]).collect();
            edition().classed(&findings(&text.join(" ")), false, Class::III, day(9)).class
        };
        let all: Vec<usize> = first.iter().chain(&more).copied().collect();
        prop_assert!(class(&all) >= class(&first));
    }
}

/// What acts make of a use of balance, one after the other: how far it is, and how much is given back.
fn check_usage(acts: &[Act], expected: Result<(State, u64), Refused>) {
    let mut known = None;
    let mut came_to = Ok(());
    for act in acts {
        came_to = match step(known, *act) {
            Ok(
                Step::Same(usage)
                | Step::Take(usage)
                | Step::Count(usage)
                | Step::Keep(usage)
                | Step::GiveBack(usage, _),
            ) => {
                known = Some(usage);
                Ok(())
            }
            Err(refused) => Err(refused),
        };
    }
    let now = |()| known.map(|Usage { state, given_back, .. }| (state, given_back.get())).unwrap();
    assert_eq!(came_to.map(now), expected, "{acts:?}");
}

#[test]
fn each_word_counts_once() {
    let reserve = |yuan| Act::Reserve(payment(yuan, Purpose::Transfer, Strength::Weak, 1));
    let later = Act::Reserve(payment(1, Purpose::Transfer, Strength::Weak, 2));
    let release = |fen| Act::Release(Some(Fen::new(fen)));
    let all = Act::Release(None);
    check_usage(&[reserve(1)], Ok((State::Reserved, 0)));
    check_usage(&[reserve(1), reserve(1)], Ok((State::Reserved, 0)));
    check_usage(&[reserve(1), later], Ok((State::Reserved, 0)));
    check_usage(&[reserve(1), reserve(2)], Err(Refused::Other));
    check_usage(&[reserve(0)], Err(Refused::Nothing));
    check_usage(&[reserve(1), Act::Commit, Act::Commit], Ok((State::Committed, 0)));
    check_usage(&[Act::Commit], Err(Refused::NotReserved));
    check_usage(&[all], Err(Refused::NotReserved));
    check_usage(&[reserve(1), all, all], Ok((State::Released, 100)));
    check_usage(&[reserve(1), all, Act::Commit], Err(Refused::Released));
    check_usage(&[reserve(1), all, reserve(1)], Ok((State::Released, 100)));
    check_usage(&[reserve(1), Act::Commit, release(40), release(40)], Ok((State::Committed, 40)));
    check_usage(&[reserve(1), Act::Commit, release(40), release(30)], Err(Refused::Amount));
    check_usage(&[reserve(1), Act::Commit, release(40), all], Ok((State::Released, 100)));
    check_usage(&[reserve(1), release(101)], Err(Refused::Amount));
}

/// What words on a payment make of the use of balance that funds it: how far it is, how much is given back, and what counts.
fn check_following(words: &str, expected: (State, u64, i64)) {
    let reserved = payment(1, Purpose::Transfer, Strength::Weak, 1);
    let Ok(Step::Take(mut known)) = step(None, Act::Reserve(reserved)) else { panic!() };
    let mut counts = 100_i64;
    for word in words.chars() {
        let step = match word {
            'p' => follow(known, Became::Paid),
            'n' => follow(known, Became::NotPaid),
            _ => step(Some(known), Act::Release(None)).unwrap(),
        };
        known = match step {
            Step::Same(usage) | Step::Keep(usage) => usage,
            Step::Count(usage) => {
                counts += i64::try_from(usage.amount.get()).unwrap();
                usage
            }
            Step::GiveBack(usage, more) => {
                counts -= i64::try_from(more.get()).unwrap();
                usage
            }
            Step::Take(_) => panic!("{words}"),
        };
    }
    assert_eq!((known.state, known.given_back.get(), counts), expected, "{words}");
}

#[test]
fn a_use_of_balance_follows_its_payment() {
    check_following("", (State::Reserved, 0, 100));
    check_following("p", (State::Committed, 0, 100));
    check_following("pp", (State::Committed, 0, 100));
    check_following("n", (State::Released, 100, 0));
    check_following("nn", (State::Released, 100, 0));
    // Reversed after it was paid; failed, and paid all the same.
    check_following("pn", (State::Released, 100, 0));
    check_following("np", (State::Committed, 0, 100));
    check_following("npn", (State::Released, 100, 0));
    // What the core gave back, for a refund, is not paid once more because somebody says again that it was.
    check_following("prp", (State::Released, 100, 0));
    check_following("prn", (State::Released, 100, 0));
}
