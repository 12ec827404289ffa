//! What an outcome comes to that arrives after, before or instead of another one: one exhaustive match.

use crate::domain::outcome::{Arrival, Outcome};

/// What an arrival comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing new, or nothing that outweighs what is known.
    Nothing,
    /// It is known since then, and more is still to come.
    Noted,
    /// It is the outcome: the payment is not owed one any more.
    Ended,
    /// The same again, by a weightier arrival.
    Confirmed,
    /// It failed, and now it is said better why.
    Refined,
    /// It had succeeded, and was undone.
    Reversed,
    /// What was told before is not so: failure is success, or success failure.
    Flipped,
}

/// What an outcome says in the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Success,
    Failure,
    Undone,
}

const fn end(outcome: Outcome) -> End {
    match outcome {
        Outcome::Accepted | Outcome::Unknown | Outcome::Unmapped => End::Open,
        Outcome::Succeeded => End::Success,
        Outcome::NoMatch(_) | Outcome::Declined(_) => End::Failure,
        Outcome::Reversed => End::Undone,
    }
}

/// How much an arrival weighs against others.
const fn weight(arrival: Arrival) -> u8 {
    match arrival {
        Arrival::Sync => 0,
        Arrival::Notify => 1,
        Arrival::Query => 2,
        Arrival::Statement => 3,
    }
}

/// What `new` comes to where `known` is known. Of two arrivals of one kind the later one counts; an undoing comes after what it
/// undoes, however each was told.
pub fn arrive(known: Option<(Outcome, Arrival)>, new: (Outcome, Arrival)) -> Step {
    let Some(known) = known else {
        return if end(new.0) == End::Open { Step::Noted } else { Step::Ended };
    };
    let (more, as_much) = (weight(new.1) > weight(known.1), weight(new.1) >= weight(known.1));
    match (end(known.0), end(new.0)) {
        (End::Open, End::Open) if says_more(known.0, new.0) => Step::Noted,
        (End::Open, End::Success | End::Failure | End::Undone) => Step::Ended,
        (End::Success, End::Success) | (End::Undone, End::Undone) if more => Step::Confirmed,
        (End::Failure, End::Failure) if more && known.0 == new.0 => Step::Confirmed,
        (End::Failure, End::Failure) if as_much && known.0 != new.0 => Step::Refined,
        (End::Success, End::Undone) => Step::Reversed,
        (End::Success, End::Failure) | (End::Failure, End::Success) if as_much => Step::Flipped,
        (
            End::Open | End::Success | End::Failure | End::Undone,
            End::Open | End::Success | End::Failure | End::Undone,
        ) => Step::Nothing,
    }
}

/// Of two that leave it open: that it was taken is more than that nothing is known.
const fn says_more(known: Outcome, new: Outcome) -> bool {
    matches!(new, Outcome::Accepted) && !matches!(known, Outcome::Accepted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::element::ElementSet;
    use crate::domain::outcome::{Decline, Suspects};
    use proptest::prelude::*;

    const NO_MATCH: Outcome = Outcome::NoMatch(Suspects::Named(ElementSet::EMPTY));
    const POOR: Outcome = Outcome::Declined(Decline::InsufficientFunds);

    fn check(known: (Outcome, Arrival), new: (Outcome, Arrival), expected: Step) {
        assert_eq!(arrive(Some(known), new), expected, "{known:?} {new:?}");
    }

    #[test]
    fn the_weightier_arrival_prevails_and_an_end_stays_one() {
        use Arrival::{Notify, Query, Statement, Sync};
        use Outcome::{Accepted, Reversed, Succeeded, Unknown, Unmapped};
        assert_eq!(arrive(None, (Unknown, Sync)), Step::Noted);
        assert_eq!(arrive(None, (NO_MATCH, Sync)), Step::Ended);
        check((Unknown, Sync), (Accepted, Query), Step::Noted);
        check((Accepted, Sync), (Unmapped, Query), Step::Nothing);
        check((Accepted, Sync), (Succeeded, Notify), Step::Ended);
        check((Accepted, Query), (NO_MATCH, Notify), Step::Ended);
        check((Succeeded, Query), (Unknown, Statement), Step::Nothing);
        check((Succeeded, Sync), (Succeeded, Query), Step::Confirmed);
        check((Succeeded, Query), (Succeeded, Sync), Step::Nothing);
        check((NO_MATCH, Sync), (NO_MATCH, Statement), Step::Confirmed);
        check((POOR, Sync), (NO_MATCH, Query), Step::Refined);
        check((NO_MATCH, Query), (POOR, Sync), Step::Nothing);
        check((NO_MATCH, Sync), (Succeeded, Statement), Step::Flipped);
        check((Succeeded, Query), (NO_MATCH, Query), Step::Flipped);
        check((Succeeded, Statement), (NO_MATCH, Query), Step::Nothing);
        check((Succeeded, Statement), (Reversed, Notify), Step::Reversed);
        check((Reversed, Notify), (Succeeded, Statement), Step::Nothing);
        check((NO_MATCH, Sync), (Reversed, Query), Step::Nothing);
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop::sample::select(vec![
            Outcome::Accepted,
            Outcome::Unknown,
            Outcome::Unmapped,
            Outcome::Succeeded,
            Outcome::Reversed,
            NO_MATCH,
            POOR,
        ])
    }

    fn arrival() -> impl Strategy<Value = Arrival> {
        let all = [Arrival::Sync, Arrival::Notify, Arrival::Query, Arrival::Statement];
        prop::sample::select(all.to_vec())
    }

    fn settle(arrivals: &[(Outcome, Arrival)]) -> Option<(Outcome, Arrival)> {
        arrivals.iter().fold(None, |known, new| match arrive(known, *new) {
            Step::Nothing => known,
            Step::Noted
            | Step::Ended
            | Step::Confirmed
            | Step::Refined
            | Step::Reversed
            | Step::Flipped => Some(*new),
        })
    }

    proptest! {
        /// Whatever comes again changes nothing.
        #[test]
        fn a_second_time_is_nothing(known in (outcome(), arrival())) {
            prop_assert_eq!(arrive(Some(known), known), Step::Nothing);
        }

        /// One arrival of each kind, of which none undoes: the weightiest that ends it is the end, in whatever order they come.
        #[test]
        fn the_order_of_arrivals_does_not_matter(
            told in prop::collection::vec(outcome(), 4),
            order in Just([Arrival::Sync, Arrival::Notify, Arrival::Query, Arrival::Statement].to_vec()).prop_shuffle(),
        ) {
            let of = |arrival| told[usize::from(weight(arrival))];
            let told: Vec<_> = order.iter().map(|arrival| (of(*arrival), *arrival)).collect();
            let heaviest = told.iter().filter(|(outcome, _)| end(*outcome) != End::Open);
            let heaviest = heaviest.max_by_key(|(_, arrival)| weight(*arrival)).copied();
            if told.iter().all(|(outcome, _)| end(*outcome) != End::Undone) {
                let ended = settle(&told).filter(|(outcome, _)| end(*outcome) != End::Open);
                prop_assert_eq!(ended, heaviest);
            }
        }

        /// What was undone after success is undone, in whatever order that is heard after it.
        #[test]
        fn what_was_undone_stays_undone(later in prop::collection::vec((outcome(), arrival()), 0..6)) {
            let undone = [(Outcome::Succeeded, Arrival::Sync), (Outcome::Reversed, Arrival::Notify)];
            let all = [undone.as_slice(), &later].concat();
            prop_assert_eq!(settle(&all).map(|(outcome, _)| outcome), Some(Outcome::Reversed));
        }
    }
}
