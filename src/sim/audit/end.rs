//! What is true when everything came that comes: notifications that the core took tell of an order what an answer would.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Count, MATCHED, UNVERIFIED, compare, payments, truth};
use crate::sim::{
    notices::Notified,
    record::{AtChannel, Channel, Log, Verdict},
    statement::State,
};

/// Money was told to have gone out, and to have come back.
const REVERSED: &str = "reversed_after_success";

/// Every kind that was `said` of an order of `channel`, by order and kind, beside what is true.
pub(in crate::sim) fn in_the_end(
    log: &Log,
    notified: &[Notified],
    channel: Channel,
    said: &BTreeSet<(String, String)>,
) -> BTreeMap<String, Count> {
    let all = all(log, notified, channel);
    let differing = truth_of(log, &all, channel);
    let returned = returned(&all, channel);
    let said: HashSet<(&str, &str)> =
        said.iter().map(|(order, kind)| (order.as_str(), kind.as_str())).collect();
    let kinds: BTreeSet<&str> =
        said.iter().map(|(_, kind)| *kind).chain([MATCHED, UNVERIFIED, REVERSED]).collect();
    let compared = |kind: &str| {
        let truth = if kind == REVERSED { &returned } else { &differing };
        compare(truth, &said, kind)
    };
    kinds.into_iter().map(|kind| (kind.to_owned(), compared(kind))).collect()
}

/// The orders of `channel` whose halves truly differ.
pub(in crate::sim) fn differing(
    log: &Log,
    notified: &[Notified],
    channel: Channel,
) -> BTreeSet<String> {
    let all = all(log, notified, channel);
    truth_of(log, &all, channel).into_keys().map(str::to_owned).collect()
}

/// What came to the channels, and what it told by itself in words that can be read, as if it had answered.
fn all(log: &Log, notified: &[Notified], channel: Channel) -> Vec<AtChannel> {
    let mut all: Vec<AtChannel> = log.channels().iter().flat_map(payments).collect();
    let known: HashMap<&str, &AtChannel> =
        all.iter().filter(|e| e.channel == channel).map(|e| (e.order.as_str(), e)).collect();
    let taken = notified.iter().filter(|it| it.channel == channel && it.acknowledged);
    let heard: Vec<AtChannel> = taken
        .filter(|it| !it.is_forged && it.is_readable)
        .filter_map(|it| {
            let verdict = Verdict { said: it.named.clone(), ..Verdict::default() };
            Some(AtChannel { verdict, ..(*known.get(it.order.as_str())?).clone() })
        })
        .collect();
    all.extend(heard);
    all
}

fn truth_of<'a>(
    log: &Log,
    all: &'a [AtChannel],
    channel: Channel,
) -> HashMap<&'a str, &'static str> {
    let hidden = log.core().iter().filter(|e| e.hidden).map(|e| e.sent).collect();
    truth(all, &log.providers(), &hidden, channel)
}

/// The orders of which queries were told first that they succeeded, and then that the money came back.
fn returned(all: &[AtChannel], channel: Channel) -> HashMap<&str, &'static str> {
    let mut told: Vec<_> = all.iter().filter(|e| e.channel == channel && e.signed).collect();
    told.sort_by_key(|entry| entry.seq);
    let (mut succeeded, mut returned) = (HashSet::new(), HashMap::new());
    for entry in told {
        match entry.verdict.tells {
            Some(State::Succeeded) => drop(succeeded.insert(entry.order.as_str())),
            Some(State::Returned) if succeeded.contains(entry.order.as_str()) => {
                returned.insert(entry.order.as_str(), REVERSED);
            }
            Some(State::Returned | State::Failed) | None => {}
        }
    }
    returned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{
        record::{AtProvider, Part},
        world::{Element, Tuple},
    };

    /// What is true of one debit whose answer was "accepted", after a notification that names the phone.
    fn check(
        (is_forged, acknowledged, is_readable): (bool, bool, bool),
        said: &str,
        expected: &[(&str, u64, u64, u64)],
    ) {
        let tuple = Tuple { pan: Some("62".into()), phone: Some("1".into()), ..Tuple::default() };
        let log = Log::default();
        log.at_provider(AtProvider {
            seq: 1,
            tuple: tuple.clone(),
            matched: true,
            authentic: true,
            ..AtProvider::default()
        });
        log.at_channel(AtChannel {
            seq: 2,
            channel: "unionpay",
            order: "o".into(),
            part: Part::Own,
            signed: true,
            tuple,
            ..AtChannel::default()
        });
        let told = Notified {
            channel: "unionpay",
            order: "o".into(),
            is_payment: true,
            is_readable,
            told: State::Failed,
            truth: State::Failed,
            named: vec![Element::Phone],
            is_forged,
            acknowledged,
        };
        let said = BTreeSet::from([("o".to_owned(), said.to_owned())]);
        let counts = in_the_end(&log, std::slice::from_ref(&told), "unionpay", &said);
        let counts: Vec<_> = counts
            .iter()
            .map(|(kind, it)| (kind.as_str(), it.truly, it.found, it.falsely))
            .collect();
        assert_eq!(counts, expected, "{said:?}");
        let differing = differing(&log, &[told], "unionpay");
        assert_eq!(differing.contains("o"), counts[0].1 == 1, "{said:?}");
    }

    #[test]
    fn notifications_tell_what_is_true() {
        let (unverified, reversed) = ((UNVERIFIED, 0, 0, 0), (REVERSED, 0, 0, 0));
        let genuine = (false, true, true);
        check(genuine, MATCHED, &[(MATCHED, 1, 1, 0), reversed, unverified]);
        check(genuine, UNVERIFIED, &[(MATCHED, 1, 0, 0), reversed, (UNVERIFIED, 0, 0, 1)]);
        for of_no_use in [(true, true, true), (false, false, true), (false, true, false)] {
            check(of_no_use, MATCHED, &[(MATCHED, 0, 0, 1), reversed, unverified]);
        }
        let flipped = ("outcome_flipped", 0, 0, 1);
        check(
            (true, true, true),
            "outcome_flipped",
            &[(MATCHED, 0, 0, 0), flipped, reversed, unverified],
        );
        check(genuine, REVERSED, &[(MATCHED, 1, 0, 0), (REVERSED, 0, 0, 1), unverified]);
    }

    #[test]
    fn money_comes_back_after_it_was_told_to_have_gone() {
        let check = |told: &[State], truly: bool| {
            let entry = |(seq, told): (usize, &State)| AtChannel {
                seq: u64::try_from(seq).unwrap(),
                channel: "c",
                order: "o".into(),
                part: Part::Query,
                signed: true,
                verdict: Verdict { tells: Some(*told), ..Verdict::default() },
                ..AtChannel::default()
            };
            let all: Vec<_> = told.iter().enumerate().map(entry).collect();
            assert_eq!(returned(&all, "c").contains_key("o"), truly, "{told:?}");
        };
        check(&[State::Succeeded], false);
        check(&[State::Returned], false);
        check(&[State::Succeeded, State::Returned], true);
        check(&[State::Failed, State::Returned], false);
    }
}
