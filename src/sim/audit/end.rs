//! What is true when everything came that comes: notifications that the core took tell of an order what an answer would.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Count, MATCHED, UNVERIFIED, compare, payments, truth};
use crate::sim::{
    notices::Notified,
    record::{AtChannel, Channel, Log, Verdict},
};

/// Every kind that was `said` of an order of `channel`, by order and kind, beside what is true.
pub(in crate::sim) fn in_the_end(
    log: &Log,
    notified: &[Notified],
    channel: Channel,
    said: &BTreeSet<(String, String)>,
) -> BTreeMap<String, Count> {
    let mut all: Vec<AtChannel> = log.channels().iter().flat_map(payments).collect();
    let known: HashMap<&str, &AtChannel> =
        all.iter().filter(|e| e.channel == channel).map(|e| (e.order.as_str(), e)).collect();
    let heard: Vec<AtChannel> = notified
        .iter()
        .filter(|it| it.channel == channel && it.acknowledged && !it.is_forged)
        .filter_map(|it| {
            let verdict = Verdict { said: it.named.clone(), ..Verdict::default() };
            Some(AtChannel { verdict, ..(*known.get(it.order.as_str())?).clone() })
        })
        .collect();
    all.extend(heard);
    let hidden = log.core().iter().filter(|e| e.hidden).map(|e| e.sent).collect();
    let truth = truth(&all, &log.providers(), &hidden, channel);
    let said: HashSet<(&str, &str)> =
        said.iter().map(|(order, kind)| (order.as_str(), kind.as_str())).collect();
    let kinds: BTreeSet<&str> =
        said.iter().map(|(_, kind)| *kind).chain([MATCHED, UNVERIFIED]).collect();
    kinds.into_iter().map(|kind| (kind.to_owned(), compare(&truth, &said, kind))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{
        record::{AtProvider, Part},
        world::{Element, Tuple},
    };

    /// What is true of one debit whose answer was "accepted", after a notification that names the phone.
    fn check(is_forged: bool, acknowledged: bool, said: &str, expected: &[(&str, u64, u64, u64)]) {
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
            told: "66".into(),
            truth: "66".into(),
            named: vec![Element::Phone],
            is_forged,
            acknowledged,
        };
        let said = BTreeSet::from([("o".to_owned(), said.to_owned())]);
        let counts = in_the_end(&log, &[told], "unionpay", &said);
        let counts: Vec<_> = counts
            .iter()
            .map(|(kind, it)| (kind.as_str(), it.truly, it.found, it.falsely))
            .collect();
        assert_eq!(counts, expected, "{said:?}");
    }

    #[test]
    fn notifications_tell_what_is_true() {
        let unverified = (UNVERIFIED, 0, 0, 0);
        check(false, true, MATCHED, &[(MATCHED, 1, 1, 0), unverified]);
        check(false, true, UNVERIFIED, &[(MATCHED, 1, 0, 0), (UNVERIFIED, 0, 0, 1)]);
        check(true, true, MATCHED, &[(MATCHED, 0, 0, 1), unverified]);
        check(false, false, MATCHED, &[(MATCHED, 0, 0, 1), unverified]);
        let flipped = ("outcome_flipped", 0, 0, 1);
        check(true, true, "outcome_flipped", &[(MATCHED, 0, 0, 0), flipped, unverified]);
    }
}
