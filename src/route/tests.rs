//! Plans, one line each.

use super::*;
use crate::domain::element::Element;
use proptest::prelude::*;

fn four() -> ElementSet {
    [Element::Name, Element::IdNumber, Element::Pan, Element::Phone].into_iter().collect()
}

fn three() -> ElementSet {
    four().difference(ElementSet::EMPTY.with(Element::Phone))
}

fn candidate(road: &str, priority: u32, weight: u32) -> Candidate {
    Candidate {
        road: Road::new(road),
        source: "bank".into(),
        asks: Kind::Elements,
        sets: vec![four()],
        account_kinds: Vec::new(),
        id_types: Vec::new(),
        bins: Vec::new(),
        scenarios: Vec::new(),
        priority,
        weight: NonZeroU32::new(weight).unwrap(),
    }
}

const WANTED: Wanted<'_> = Wanted {
    side: None,
    asks: Kind::Elements,
    set: ElementSet::EMPTY,
    kind: Some(AccountKind::Debit),
    id_type: Some(IdType::ResidentId),
    bin: Some("620000"),
    scenario: Scenario::Debit,
    road: None,
    draw: 0,
};

#[test]
fn those_who_can_answer_are_asked() {
    let check = |change: fn(&mut Candidate), expected: Option<LeftOut>| {
        let mut candidate = candidate("a", 1, 1);
        change(&mut candidate);
        let plan = plan([&candidate], &Wanted { set: four(), ..WANTED });
        let left_out = plan.left_out.first().map(|(_, why)| *why);
        assert_eq!((plan.order.len(), left_out), (usize::from(expected.is_none()), expected));
    };
    check(|_| (), None);
    check(|it| it.asks = Kind::Face, Some(LeftOut::Kind));
    check(|it| it.sets = vec![three()], Some(LeftOut::Set));
    check(|it| it.sets = vec![three(), four()], None);
    check(|it| it.account_kinds = vec![AccountKind::Credit], Some(LeftOut::AccountKind));
    check(|it| it.account_kinds = vec![AccountKind::Credit, AccountKind::Debit], None);
    check(|it| it.id_types = vec![IdType::Passport], Some(LeftOut::IdType));
    check(|it| it.bins = vec!["4".into(), "6217".into()], Some(LeftOut::Bank));
    check(|it| it.bins = vec!["4".into(), "6200".into()], None);
    check(|it| it.scenarios = vec![Scenario::Bind], Some(LeftOut::Scenario));
    check(|it| it.scenarios = vec![Scenario::Bind, Scenario::Debit], None);
}

#[test]
fn the_channels_own_road_then_priority_then_weight() {
    let check = |candidates: &[(&str, u32, u32)], road: Option<&str>, draw, expected: &[usize]| {
        let candidates = candidates.iter();
        let candidates =
            candidates.map(|(road, priority, weight)| candidate(road, *priority, *weight));
        let candidates: Vec<_> = candidates.collect();
        let road = road.map(Road::new);
        let wanted = Wanted { set: four(), road: road.as_ref(), draw, ..WANTED };
        assert_eq!(plan(&candidates, &wanted).order, expected);
    };
    check(&[("a", 2, 1), ("b", 1, 1)], None, 0, &[1, 0]);
    check(&[("a", 1, 1), ("b", 2, 1)], Some("b"), 0, &[1, 0]);
    check(&[("a", 1, 1), ("b", 3, 1), ("b", 2, 1)], Some("b"), 0, &[2, 1, 0]);
    check(&[("a", 1, 1), ("b", 2, 1)], Some("c"), 0, &[0, 1]);
    // Of 4: the first has 1, the second 3.
    check(&[("a", 1, 1), ("a", 1, 3)], None, 0, &[0, 1]);
    check(&[("a", 1, 1), ("a", 1, 3)], None, 1, &[1, 0]);
    check(&[("a", 1, 1), ("a", 1, 3)], None, 3, &[1, 0]);
    check(&[("a", 1, 1), ("a", 1, 3)], None, 4, &[0, 1]);
    check(&[], None, 7, &[]);
}

proptest! {
    /// Everybody is asked or left out, once, and the order is that of roads and priorities whatever is drawn.
    #[test]
    fn a_plan_has_everybody_once(
        candidates in prop::collection::vec((0..3_u8, 0..3_u32, 1..9_u32, any::<bool>()), 0..9),
        draw: u64,
    ) {
        let candidates: Vec<Candidate> = candidates.iter().map(|(road, priority, weight, able)| {
            let mut candidate = candidate(&road.to_string(), *priority, *weight);
            if !able {
                candidate.sets = vec![three()];
            }
            candidate
        }).collect();
        let road = Road::new("1");
        let plan = plan(&candidates, &Wanted { set: four(), road: Some(&road), draw, ..WANTED });
        let mut all: Vec<usize> = plan.order.clone();
        all.extend(plan.left_out.iter().map(|(at, _)| *at));
        all.sort_unstable();
        prop_assert_eq!(all, (0..candidates.len()).collect::<Vec<_>>());
        let ranks: Vec<_> = plan.order.iter().filter_map(|at| candidates.get(*at))
            .map(|candidate| (candidate.road != road, candidate.priority)).collect();
        prop_assert!(ranks.is_sorted());
    }

    /// Over all draws each comes first as often as it weighs.
    #[test]
    fn weights_are_shares(weights in prop::collection::vec(1..6_u32, 1..5)) {
        let candidates: Vec<_> = weights.iter().map(|weight| candidate("a", 1, *weight)).collect();
        let all: u32 = weights.iter().sum();
        let mut first = vec![0; weights.len()];
        for draw in 0..all {
            let plan = plan(&candidates, &Wanted { set: four(), draw: draw.into(), ..WANTED });
            if let Some(count) = plan.order.first().and_then(|at| first.get_mut(*at)) {
                *count += 1;
            }
        }
        prop_assert_eq!(first, weights);
    }
}
