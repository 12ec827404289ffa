//! What an outcome comes to that arrives after, before or instead of another one: one exhaustive match.

use crate::domain::outcome::{Arrival, Decline, Outcome, Precedence};

/// What an arrival comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing new, or nothing that outweighs what is known.
    Nothing,
    /// It is known since then, and more is still to come.
    Noted,
    /// It is the outcome: the payment is not owed one any more.
    Ended,
    /// The same again, by a weightier arrival; or that it failed, where it is known why.
    Confirmed,
    /// It failed, and now it is said better why.
    Refined,
    /// It had succeeded, and was undone.
    Reversed,
    /// It succeeded before it was undone, and that it was undone was told first: it stays so.
    Overtaken,
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

/// What `new` comes to where `known` is known. Of two arrivals of one kind the later one counts; an undoing comes after what it
/// undoes, however each was told. `succeeded` says whether a success was told before.
pub fn arrive(
    known: Option<(Outcome, Arrival)>,
    succeeded: bool,
    new: (Outcome, Arrival),
    precedence: Precedence,
) -> Step {
    let Some(known) = known else {
        return if end(new.0) == End::Open { Step::Noted } else { Step::Ended };
    };
    let (old, this) = (precedence.weight_of(known), precedence.weight_of(new));
    let (more, as_much) = (this > old, this >= old);
    let says_why = says_why(new.0) || old == 0;
    match (end(known.0), end(new.0)) {
        (End::Open, End::Open) if says_more(known.0, new.0) => Step::Noted,
        (End::Open, End::Success | End::Failure | End::Undone) => Step::Ended,
        (End::Success, End::Success) | (End::Undone, End::Undone) if more => Step::Confirmed,
        // What was merely told is confirmed by whom is asked, whoever weighs more.
        (End::Undone, End::Undone) if new.1.is_asked() && !known.1.is_asked() => Step::Confirmed,
        // It was undone because it failed, says whom is asked.
        (End::Undone, End::Failure) if new.1.is_asked() && !known.1.is_asked() && this > 0 => {
            Step::Confirmed
        }
        (End::Failure, End::Undone) if old == 0 => Step::Ended,
        // That it failed says no better why than what said so.
        (End::Failure, End::Failure) if more && (known.0 == new.0 || !says_why) => Step::Confirmed,
        (End::Failure, End::Failure) if as_much && known.0 != new.0 && says_why => Step::Refined,
        (End::Success, End::Undone) => Step::Reversed,
        (End::Undone, End::Success) if !succeeded => Step::Overtaken,
        (End::Success, End::Failure) | (End::Failure, End::Success) if as_much => Step::Flipped,
        (
            End::Open | End::Success | End::Failure | End::Undone,
            End::Open | End::Success | End::Failure | End::Undone,
        ) => Step::Nothing,
    }
}

/// Whether a failure says why.
const fn says_why(outcome: Outcome) -> bool {
    !matches!(outcome, Outcome::Declined(Decline::Other))
}

/// Of two that leave it open: that it was taken is more than that nothing is known.
const fn says_more(known: Outcome, new: Outcome) -> bool {
    matches!(new, Outcome::Accepted) && !matches!(known, Outcome::Accepted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::element::ElementSet;
    use crate::domain::outcome::Suspects;
    use proptest::prelude::*;

    const NO_MATCH: Outcome = Outcome::NoMatch(Suspects::Named(ElementSet::EMPTY));
    const POOR: Outcome = Outcome::Declined(Decline::InsufficientFunds);
    const NOTHING: Outcome = Outcome::Declined(Decline::NotProcessed);

    fn check(known: (Outcome, Arrival), new: (Outcome, Arrival), expected: Step) {
        let step = arrive(Some(known), known.0 != Outcome::Reversed, new, Precedence::default());
        assert_eq!(step, expected, "{known:?} {new:?}");
    }

    #[test]
    fn the_weightier_arrival_prevails_and_an_end_stays_one() {
        use Arrival::{Notify, Query, Statement, Sync};
        use Outcome::{Accepted, Reversed, Succeeded, Unknown, Unmapped};
        let first = |new| arrive(None, false, new, Precedence::default());
        assert_eq!(first((Unknown, Sync)), Step::Noted);
        assert_eq!(first((NO_MATCH, Sync)), Step::Ended);
        assert_eq!(first((Reversed, Notify)), Step::Ended);
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
        let failed = Outcome::Declined(Decline::Other);
        check((NO_MATCH, Sync), (failed, Query), Step::Confirmed);
        check((NO_MATCH, Query), (failed, Query), Step::Nothing);
        check((failed, Sync), (NO_MATCH, Query), Step::Refined);
        let nothing = NOTHING;
        check((nothing, Query), (Succeeded, Sync), Step::Flipped);
        check((nothing, Statement), (Succeeded, Notify), Step::Nothing);
        check((nothing, Query), (NO_MATCH, Notify), Step::Refined);
        check((nothing, Query), (failed, Sync), Step::Refined);
        check((Accepted, Statement), (nothing, Query), Step::Ended);
        check((Succeeded, Sync), (nothing, Query), Step::Nothing);
        check((NO_MATCH, Sync), (nothing, Query), Step::Nothing);
        check((NO_MATCH, Sync), (Succeeded, Statement), Step::Flipped);
        check((Succeeded, Query), (NO_MATCH, Query), Step::Flipped);
        check((Succeeded, Statement), (NO_MATCH, Query), Step::Nothing);
        check((Succeeded, Statement), (Reversed, Notify), Step::Reversed);
        check((Reversed, Notify), (Succeeded, Statement), Step::Overtaken);
        check((Reversed, Statement), (Succeeded, Sync), Step::Overtaken);
        check((Reversed, Notify), (NO_MATCH, Statement), Step::Confirmed);
        check((Reversed, Query), (NO_MATCH, Statement), Step::Nothing);
        check((Reversed, Notify), (NO_MATCH, Sync), Step::Nothing);
        check((Reversed, Notify), (nothing, Query), Step::Nothing);
        check((nothing, Query), (Reversed, Notify), Step::Ended);
        let known = Some((Reversed, Notify));
        let again = arrive(known, true, (Succeeded, Statement), Precedence::default());
        assert_eq!(again, Step::Nothing);
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
            NOTHING,
        ])
    }

    fn arrival() -> impl Strategy<Value = Arrival> {
        prop::sample::select(Arrival::ALL.to_vec())
    }

    fn precedence() -> impl Strategy<Value = Precedence> {
        Just(Arrival::ALL).prop_shuffle().prop_map(|order| Precedence::new(order).unwrap())
    }

    type Told = (Outcome, Arrival);

    /// Every step, and what is known in the end.
    fn settle(arrivals: &[Told], precedence: Precedence) -> (Vec<Step>, Option<Told>) {
        let (mut steps, mut known, mut succeeded) = (Vec::new(), None, false);
        for new in arrivals {
            let step = arrive(known, succeeded, *new, precedence);
            steps.push(step);
            succeeded |= step != Step::Nothing && new.0 == Outcome::Succeeded;
            match step {
                Step::Nothing | Step::Overtaken => (),
                // That it failed confirms that it was undone.
                Step::Confirmed if known.is_some_and(|it| end(it.0) != end(new.0)) => {
                    known = known.map(|(outcome, _)| (outcome, new.1));
                }
                Step::Noted
                | Step::Ended
                | Step::Confirmed
                | Step::Refined
                | Step::Reversed
                | Step::Flipped => known = Some(*new),
            }
        }
        (steps, known)
    }

    /// What must be known in the end, by another way of thinking: no state, and all arrivals at once. Only for those of which none
    /// undoes: an undoing counts by when it is told.
    fn in_the_end(arrivals: &[Told], precedence: Precedence) -> Option<Told> {
        let was_known = |told: &&Told| **told != (NOTHING, Arrival::Query);
        let ends = arrivals.iter().filter(|(outcome, _)| end(*outcome) != End::Open);
        let weights = ends.clone().filter(was_known).map(|(_, by)| precedence.weight(*by));
        let heaviest = weights.max();
        let is_heaviest = |told: &&Told| {
            heaviest.is_none_or(|it| was_known(told) && precedence.weight(told.1) == it)
        };
        ends.rev().find(is_heaviest).copied()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// Whatever comes again changes nothing.
        #[test]
        fn a_second_time_is_nothing(known in (outcome(), arrival()), precedence in precedence()) {
            let succeeded = known.0 == Outcome::Succeeded;
            prop_assert_eq!(arrive(Some(known), succeeded, known, precedence), Step::Nothing);
        }

        /// Whichever arrivals come, in whatever order and however often: the weightiest end is the end, of one weight the last.
        #[test]
        fn the_weightiest_end_is_the_end(
            told in prop::collection::vec((outcome(), arrival()), 0..10),
            precedence in precedence(),
        ) {
            let told: Vec<Told> = told.into_iter().filter(|(it, _)| end(*it) != End::Undone).collect();
            let (_, known) = settle(&told, precedence);
            let ended = known.filter(|(outcome, _)| end(*outcome) != End::Open);
            prop_assert_eq!(ended, in_the_end(&told, precedence));
        }

        /// One arrival of each kind: the order in which they come does not matter.
        #[test]
        fn the_order_of_arrivals_does_not_matter(
            told in prop::collection::vec(outcome(), 4),
            order in Just(Arrival::ALL).prop_shuffle(),
            precedence in precedence(),
        ) {
            let all: Vec<Told> = told.into_iter().zip(order).filter(|(it, _)| end(*it) != End::Undone).collect();
            let (_, one) = settle(&all, precedence);
            let mut other = all.clone();
            other.sort_by_key(|(_, arrival)| arrival.as_str());
            let (_, other) = settle(&other, precedence);
            let ended = |known: Option<Told>| known.filter(|(outcome, _)| end(*outcome) != End::Open);
            prop_assert_eq!(ended(one), ended(other));
        }

        /// All of it told once more, in the same order, is no news but where what was told last weighs as much as what it
        /// contradicts: two words of one arrival.
        #[test]
        fn told_once_more_it_changes_nothing(
            told in prop::collection::vec(outcome(), 4),
            order in Just(Arrival::ALL).prop_shuffle(),
            precedence in precedence(),
        ) {
            let all: Vec<Told> = told.into_iter().zip(order).collect();
            let twice = [all.clone(), all.clone()].concat();
            let ((_, once), (steps, known)) = (settle(&all, precedence), settle(&twice, precedence));
            let news = steps.iter().skip(all.len()).filter(|step| **step == Step::Flipped).count();
            prop_assert_eq!(news, 0);
            let undone = |it: Option<Told>| it.is_some_and(|(outcome, _)| end(outcome) == End::Undone);
            prop_assert!(known == once || undone(known), "{:?} {:?}", once, known);
        }

        /// What was undone after success is undone, in whatever order that is heard after it.
        #[test]
        fn what_was_undone_stays_undone(
            later in prop::collection::vec((outcome(), arrival()), 0..6),
            precedence in precedence(),
        ) {
            let undone = [(Outcome::Succeeded, Arrival::Sync), (Outcome::Reversed, Arrival::Notify)];
            let all = [undone.as_slice(), &later].concat();
            prop_assert_eq!(settle(&all, precedence).1.map(|(outcome, _)| outcome), Some(Outcome::Reversed));
        }

        /// A success and its undoing: whichever is told first, it is undone, and that is told once.
        #[test]
        fn an_undoing_is_one_whichever_is_told_first(
            told in prop::collection::vec((prop::sample::select(vec![Outcome::Accepted, Outcome::Unknown,
                Outcome::Succeeded, Outcome::Reversed]), arrival()), 0..8),
            precedence in precedence(),
        ) {
            let (steps, known) = settle(&told, precedence);
            let both = [Outcome::Succeeded, Outcome::Reversed].map(|it| told.iter().any(|(outcome, _)| *outcome == it));
            let news = steps.iter().filter(|step| matches!(step, Step::Reversed | Step::Overtaken)).count();
            prop_assert_eq!(news, usize::from(both == [true, true]));
            prop_assert_eq!(both[1], known.is_some_and(|(outcome, _)| outcome == Outcome::Reversed));
        }

        /// A flip is one: failure before and success after, or the other way round, and by what weighs no less.
        #[test]
        fn a_flip_turns_one_end_into_the_other(
            told in prop::collection::vec((outcome(), arrival()), 0..10),
            precedence in precedence(),
        ) {
            let mut known: Option<Told> = None;
            for new in told {
                let step = arrive(known, true, new, precedence);
                if let (Step::Flipped, Some(known)) = (step, known) {
                    let ends = (end(known.0), end(new.0));
                    prop_assert!(matches!(ends, (End::Success, End::Failure) | (End::Failure, End::Success)));
                    prop_assert!(precedence.weight_of(new) >= precedence.weight_of(known));
                }
                if step != Step::Nothing {
                    known = Some(new);
                }
            }
        }
    }

    #[test]
    fn an_order_of_weights_names_each_arrival_once() {
        use Arrival::{Notify, Query, Statement, Sync};
        assert_eq!(Precedence::new([Sync, Sync, Query, Statement]), None);
        let own = Precedence::new([Sync, Notify, Query, Statement]).unwrap();
        assert_eq!(own.weight(Sync), 3);
        let told = [(Outcome::Succeeded, Sync), (NO_MATCH, Statement)];
        assert_eq!(settle(&told, own).1, Some(told[0]));
        assert_eq!(settle(&told, Precedence::default()).1, Some(told[1]));
    }
}
