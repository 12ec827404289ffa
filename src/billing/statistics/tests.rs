//! What is counted, what it costs and how long it took, one line each.

use super::*;
use crate::billing::Asked;
use crate::billing::price::{Price, Step};
use crate::billing::statement;
use crate::domain::element::Element;
use crate::domain::id::PaymentId;
use proptest::prelude::*;
use rust_decimal::Decimal;

fn at(millis: u64) -> Timestamp {
    // 2026-11-28, 01:20 in China.
    Timestamp::from_millis(1_795_800_000_000 + millis)
}

fn four() -> ElementSet {
    [Element::Name, Element::IdNumber, Element::Pan, Element::Phone].into_iter().collect()
}

fn first() -> ProviderName {
    ProviderName::new("first")
}

fn wanted(by: &str, since: u64, until: u64) -> Wanted {
    Wanted { by: by.parse().unwrap(), since: at(since), until: at(until) }
}

const fn came(answer: Answer, billable: Billable) -> Came {
    Came { answer, trouble: None, billable, took_ms: Some(7) }
}

fn inquiry(at: Timestamp, came: Option<Came>) -> Inquiry {
    let (scenario, kind) = (Some(Scenario::Debit), Some(Kind::Elements));
    let bank = Some("HARBOUR".into());
    Inquiry { scenario, kind, set: four(), provider: first(), bank, at, came }
}

fn lines(tally: Tally) -> Vec<Line> {
    let prices = Prices::flat(30);
    tally.lines(&[(first(), prices)].into()).unwrap()
}

#[test]
fn what_to_count_by_is_read() {
    let check = |text: &str, expected: Option<&[&str]>| {
        let read = text.parse::<By>().ok();
        let words = read.map(|by| by.dimensions().map(Dimension::as_str).collect::<Vec<_>>());
        assert_eq!(words.as_deref(), expected, "{text}");
    };
    check("scenario,kind,provider", Some(&["scenario", "kind", "provider"]));
    check("bank, provider,bank", Some(&["provider", "bank"]));
    check("elements", Some(&["elements"]));
    check("", None);
    check("bank,", None);
    check("banks", None);
    assert_eq!("provider,kind,scenario".parse(), Ok(By::default()));
}

#[test]
fn every_answer_is_counted_once_and_by_why() {
    let check = |answer: Option<Answer>, trouble: Option<&str>, count: &str, why: Option<&str>| {
        let mut tally = Tally::new(wanted("bank", 0, 10));
        let came = answer.map(|answer| Came {
            answer,
            trouble: trouble.map(Into::into),
            billable: Billable::No,
            took_ms: None,
        });
        tally.asked(inquiry(at(0), came));
        let lines = lines(tally);
        assert_eq!(lines.len(), 1);
        let Line { of, counts, .. } = &lines[0];
        assert_eq!(of, &Of { bank: Some("HARBOUR".into()), ..Of::default() });
        let a = counts.answers;
        let all = [
            ("match", a.matched),
            ("close_match", a.close_match),
            ("no_match", a.no_match),
            ("no_record", a.no_record),
            ("not_possible", a.not_possible),
            ("limited", a.limited),
            ("invalid", a.invalid),
            ("unavailable", a.unavailable),
            ("open", a.open),
        ];
        assert_eq!(all.iter().filter(|(_, of)| *of > 0).collect::<Vec<_>>(), [&(count, 1)]);
        let reasons: Vec<_> = counts.reasons.iter().map(|(why, count)| (&**why, *count)).collect();
        assert_eq!(reasons, why.map(|why| (why, 1)).into_iter().collect::<Vec<_>>());
        // Of what is open nobody knows whether it is billed.
        assert_eq!((counts.asked, counts.uncertain), (1, u64::from(answer.is_none())));
    };
    let phone = ElementSet::EMPTY.with(Element::Phone);
    check(Some(Answer::Match), None, "match", None);
    check(Some(Answer::CloseMatch), None, "close_match", Some("close_match"));
    check(Some(Answer::NoMatch(ElementSet::EMPTY)), None, "no_match", Some("no_match"));
    check(Some(Answer::NoMatch(phone)), None, "no_match", Some("no_match: phone"));
    check(Some(Answer::NoRecord), None, "no_record", Some("no_record"));
    check(Some(Answer::NotPossible), None, "not_possible", Some("not_possible"));
    check(
        Some(Answer::NotPossible),
        Some("not_asked"),
        "not_possible",
        Some("not_possible: not_asked"),
    );
    check(Some(Answer::Limited), None, "limited", Some("limited"));
    check(Some(Answer::Invalid), None, "invalid", Some("invalid"));
    check(Some(Answer::Unavailable), None, "unavailable", Some("unavailable"));
    check(Some(Answer::Unavailable), Some("silence"), "unavailable", Some("unavailable: silence"));
    check(None, None, "open", Some("open"));
}

#[test]
fn groups_are_by_what_is_told_apart() {
    let fill = |by: &str| {
        let mut tally = Tally::new(wanted(by, 0, 10));
        let matched = || Some(came(Answer::Match, Billable::Yes));
        tally.asked(inquiry(at(0), matched()));
        tally.asked(Inquiry { bank: None, ..inquiry(at(1), matched()) });
        tally.asked(Inquiry { scenario: None, kind: None, ..inquiry(at(2), matched()) });
        tally.asked(Inquiry { kind: Some(Kind::Face), bank: None, ..inquiry(at(9), None) });
        // Before and after.
        tally.asked(inquiry(Timestamp::from_millis(0), matched()));
        tally.asked(inquiry(at(10), matched()));
        let bank = || Some("DELTA".into());
        tally.reused(Of { provider: Some(first()), bank: bank(), ..Of::default() }, at(3));
        tally.reused(Of { provider: Some(first()), bank: bank(), ..Of::default() }, at(10));
        tally.untold(Of { bank: bank(), ..Of::default() }, "spend_capped", at(4));
        lines(tally)
    };
    let check = |by: &str, expected: &[(&[&str], [u64; 4])]| {
        let shown: Vec<_> = fill(by)
            .iter()
            .map(|line| {
                let dimensions = by.parse::<By>().unwrap();
                let words = dimensions.dimensions().map(|it| line.of.word(it));
                let words: Vec<_> = words.map(|it| it.unwrap_or_else(|| "-".into())).collect();
                let Counts { asked, billed, reused, ref untold, .. } = line.counts;
                (words, [asked, billed, reused, untold.values().sum()])
            })
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(words, counts)| (words.iter().map(ToString::to_string).collect(), *counts))
            .collect::<Vec<(Vec<String>, _)>>();
        assert_eq!(shown, expected, "{by}");
    };
    check("provider", &[(&["-"], [0, 0, 0, 1]), (&["first"], [4, 3, 1, 0])]);
    check(
        "bank",
        &[(&["-"], [2, 1, 0, 0]), (&["DELTA"], [0, 0, 1, 1]), (&["HARBOUR"], [2, 2, 0, 0])],
    );
    check(
        "kind",
        &[(&["-"], [1, 1, 1, 1]), (&["elements"], [2, 2, 0, 0]), (&["face"], [1, 0, 0, 0])],
    );
    check("scenario", &[(&["-"], [1, 1, 1, 1]), (&["debit"], [3, 2, 0, 0])]);
    let set = four().to_string();
    check("elements", &[(&["-"], [0, 0, 1, 1]), (&[&*set], [4, 3, 0, 0])]);
    check(
        "kind,bank",
        &[
            (&["-", "DELTA"], [0, 0, 1, 1]),
            (&["-", "HARBOUR"], [1, 1, 0, 0]),
            (&["elements", "-"], [1, 1, 0, 0]),
            (&["elements", "HARBOUR"], [1, 1, 0, 0]),
            (&["face", "-"], [1, 0, 0, 0]),
        ],
    );
}

#[test]
fn a_share_is_rounded_down() {
    let check = |matched, asked, expected| {
        let answers = Answers { matched, ..Answers::default() };
        let counts = Counts { asked, answers, ..Counts::default() };
        assert_eq!(counts.match_permille(), expected, "{matched} of {asked}");
    };
    check(0, 0, None);
    check(0, 3, Some(0));
    check(3, 3, Some(1000));
    check(1, 3, Some(333));
    check(2, 3, Some(666));
    check(1, 1000, Some(1));
    check(1, 1001, Some(0));
    check(1_999_999, 2_000_000, Some(999));
}

#[test]
fn a_percentile_is_what_so_many_did_not_exceed() {
    let check = |took: &[u32], expected: [Option<u32>; 3]| {
        let mut latency = Latency::default();
        for ms in took {
            latency.add(*ms);
        }
        assert_eq!([50, 90, 99].map(|it| latency.percentile(it)), expected, "{took:?}");
        assert_eq!(latency.known(), u64::try_from(took.len()).unwrap());
    };
    check(&[], [None; 3]);
    check(&[0], [Some(0); 3]);
    check(&[999], [Some(999); 3]);
    // Three digits.
    check(&[1_009], [Some(1_000); 3]);
    check(&[12_399], [Some(12_300); 3]);
    check(&[u32::MAX], [Some(4_290_000_000); 3]);
    check(&[3, 1, 2], [Some(2), Some(3), Some(3)]);
    check(&[4, 3, 1, 2], [Some(2), Some(4), Some(4)]);
    let hundred: Vec<u32> = (1..=100).rev().collect();
    check(&hundred, [Some(50), Some(90), Some(99)]);
    let most: Vec<u32> = std::iter::repeat_n(5, 98).chain([60_000, 60_000]).collect();
    check(&most, [Some(5), Some(5), Some(60_000)]);
}

/// Ten for 30.5 fen, up to fifty for 28, then an eighth of a fen.
fn steps() -> Prices {
    let step = |up_to, fen: &str| Step { up_to, fen: fen.parse::<Decimal>().unwrap() };
    let steps = vec![step(Some(10), "30.5"), step(Some(50), "28"), step(None, "0.125")];
    Prices::new(vec![Price { set: None, steps }])
}

#[test]
fn a_part_of_a_month_has_its_share_of_the_month() {
    let check = |billed: u64, within: u64, expected: u64| {
        let mut tally = Tally::new(wanted("bank", 100, 200));
        for number in 0..billed {
            let at = at(if number < within { 150 } else { 50 });
            tally.asked(inquiry(at, Some(came(Answer::Match, Billable::Yes))));
        }
        let lines = tally.lines(&[(first(), steps())].into()).unwrap();
        assert_eq!(
            lines.first().map_or(0, |line| line.cost.get()),
            expected,
            "{within} of {billed}"
        );
    };
    check(2, 0, 0);
    check(2, 2, 61);
    // Half of 333 fen, which eleven cost: the other half has the rest.
    check(11, 5, 152);
    check(11, 6, 182);
    check(50, 25, 713);
}

#[test]
fn whole_months_are_read_and_none_after() {
    let check = |since: &str, until: &str, expected: [&str; 2]| {
        let at = |text: &str| {
            let at = text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
            Timestamp::from_millis(u64::try_from(at).unwrap())
        };
        let wanted = Wanted { by: By::default(), since: at(since), until: at(until) };
        assert_eq!(<[Timestamp; 2]>::from(wanted.months()), expected.map(at), "{since}..{until}");
    };
    // China's months begin eight hours before those of Greenwich.
    let [october, november, december] =
        ["2026-09-30T16:00:00Z", "2026-10-31T16:00:00Z", "2026-11-30T16:00:00Z"];
    check(october, november, [october, november]);
    check(october, "2026-10-31T16:00:00.001Z", [october, december]);
    check("2026-10-31T15:59:59.999Z", november, [october, november]);
    check("2026-11-03T00:00:00Z", "2026-11-04T00:00:00Z", [november, december]);
    check("2026-10-03T00:00:00Z", "2026-11-04T00:00:00Z", [october, december]);
    check(november, november, [november, november]);
}

#[test]
fn there_are_only_so_many_groups() {
    let fill = |banks: usize| {
        let mut tally = Tally::new(wanted("bank", 0, 10));
        for bank in (0..banks).chain(0..1) {
            let bank = Some(bank.to_string().into());
            tally.asked(Inquiry { bank, ..inquiry(at(0), None) });
        }
        tally.lines(&BTreeMap::new()).map(|lines| lines.len())
    };
    assert_eq!(fill(GROUPS_MAX), Ok(GROUPS_MAX));
    assert_eq!(fill(GROUPS_MAX + 1), Err(TooMany));
}

proptest! {
    /// Whatever it is counted by, all groups of a month cost together what its statement says, to the fen.
    #[test]
    fn groups_of_a_month_are_its_statement(
        asked in proptest::collection::vec((0_u64..4, 0_u8..3, 0_u8..4, 0_u8..3), 0..200),
        by in proptest::sample::select(vec!["bank", "kind,bank", "scenario,provider", "elements"]),
    ) {
        let month = Month::of(at(0)).unwrap();
        let mut tally = Tally::new(Wanted {
            by: by.parse().unwrap(), since: month.from(), until: month.until(),
        });
        let mut statement = statement::Tally::new(month);
        for (number, (days, billable, bank, provider)) in asked.iter().enumerate() {
            let billable = [Billable::Yes, Billable::No, Billable::Uncertain][usize::from(*billable)];
            let provider = ProviderName::new(["first", "second", "third"][usize::from(*provider)]);
            let at = Timestamp::from_millis(at(0).as_millis() + days * 86_400_000);
            let set = if *bank == 0 { ElementSet::EMPTY.with(Element::Pan) } else { four() };
            tally.asked(Inquiry {
                kind: Kind::ALL.get(usize::from(*bank)).copied(),
                bank: Some(bank.to_string().into()),
                provider: provider.clone(), set,
                ..inquiry(at, Some(came(Answer::NoRecord, billable)))
            });
            let id = PaymentId::new(at, u128::try_from(number).unwrap());
            statement.asked(&Asked { id, provider, set, at, billable });
        }
        let prices = [(first(), steps()), (ProviderName::new("second"), Prices::flat(7))].into();
        let lines = tally.lines(&prices).unwrap();
        let ours: (u64, u64) = lines.iter().fold((0, 0), |(cost, more), line| {
            (cost + line.cost.get(), more + line.uncertain_cost.get())
        });
        let theirs = statement.lines(&prices);
        let theirs: (u64, u64) = theirs.iter().fold((0, 0), |(cost, more), line| {
            (cost + line.cost.get(), more + line.uncertain.get())
        });
        prop_assert_eq!(ours, theirs);
    }
}
