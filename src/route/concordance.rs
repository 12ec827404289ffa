//! Routing by concordance: whoever is expected to cost least is asked first, a mismatch being one of the costs; and now and then
//! another one, so that what is known of each stays true.

use crate::domain::chance::Share;
use crate::domain::money::Fen;
use crate::route::Plan;
use rust_decimal::prelude::ToPrimitive as _;
use std::time::Duration;

/// How the order of providers is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// By affinity, priority, weight and draw.
    #[default]
    Priority,
    /// By expected cost.
    Concordance(Costs),
}

/// How often each is to be tried at a channel before costs decide; from then on chance decides ever less often, down to what is set.
const TRIALS: f64 = 10.0;

/// What is weighed against what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// What a mismatch costs: a complaint, a hold, a debit that must be tried again.
    pub mismatch: Fen,
    /// What a second of waiting costs.
    pub second: Fen,
    /// For which share of questions chance decides who is asked first, once each was tried a little.
    pub explore: Share,
}

impl Default for Costs {
    /// Twenty yuan a mismatch, a fen a second; one of fifty at random.
    fn default() -> Self {
        Self { mismatch: Fen::new(2_000), second: Fen::new(1), explore: Share::percent(2) }
    }
}

/// What is known of a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Known {
    /// What an inquiry costs, in fen and parts of one.
    pub price: f64,
    /// How long its answer takes.
    pub latency: Duration,
    /// How likely what it says and what the channel says differ, where that is known.
    pub mismatch: Option<f64>,
    /// How often that was seen at this channel.
    pub tried: f64,
}

/// Where chances stand of one that was to be expected to cost this much, in fen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// Its position among the candidates.
    pub at: usize,
    /// What asking it is expected to cost.
    pub cost: f64,
}

/// A plan, and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Whom to ask.
    pub plan: Plan,
    /// What each of them is expected to cost, in the order of the plan.
    pub expected: Vec<Expected>,
    /// Whether chance decided who is first.
    pub explored: bool,
    /// How likely that one was first.
    pub propensity: Share,
}

/// Orders `plan` by what each is expected to cost. Of whom nothing is known, as much is expected as of the others together; where
/// nothing is known of anybody, prices and waiting are no reason either, and the plan stays. What is expected alike stays in the
/// plan's order, so that affinity and priority decide.
pub fn rank(mut plan: Plan, known: impl Fn(usize) -> Known, costs: Costs, draw: u64) -> Ranked {
    let of: Vec<_> = plan.order.iter().map(|at| (*at, known(*at))).collect();
    let told: Vec<f64> = of.iter().filter_map(|(_, known)| known.mismatch).collect();
    let mean = told.iter().sum::<f64>() / f64::from(u32::try_from(told.len()).unwrap_or(1).max(1));
    let expect = |(at, known): &(usize, Known)| Expected {
        at: *at,
        cost: known.price
            + fen(costs.second) * known.latency.as_secs_f64()
            + fen(costs.mismatch) * known.mismatch.unwrap_or(mean),
    };
    let mut expected: Vec<_> = of.iter().map(expect).collect();
    if !told.is_empty() {
        expected.sort_by(|one, other| one.cost.total_cmp(&other.cost));
    }
    let many = u32::try_from(expected.len()).unwrap_or(u32::MAX);
    let explore = explore(costs.explore, &of);
    let explored = many > 1 && explore.takes(draw);
    let spare = draw / u64::from(Share::ALL.get());
    let chosen = if explored { spare.checked_rem(many.into()).unwrap_or_default() } else { 0 };
    let chosen = usize::try_from(chosen).unwrap_or_default();
    if chosen < expected.len() {
        let first = expected.remove(chosen);
        expected.insert(0, first);
    }
    plan.order = expected.iter().map(|expected| expected.at).collect();
    let by_chance = explore.get().checked_div(many).unwrap_or_default();
    let propensity = match (many, chosen) {
        (0 | 1, _) => Share::ALL,
        (_, 0) => Share::of_million(Share::ALL.get() - explore.get() + by_chance),
        (..) => Share::of_million(by_chance),
    };
    Ranked { plan, expected, explored, propensity }
}

/// For which share chance decides: for all until each was tried [`TRIALS`] times on average, and then for so many fewer as more is
/// known, at least for `least`. Whoever never says anything does not keep the others from being told apart.
fn explore(least: Share, of: &[(usize, Known)]) -> Share {
    let tried: f64 = of.iter().map(|(_, known)| known.tried).sum();
    let wanted = TRIALS * f64::from(u32::try_from(of.len()).unwrap_or(u32::MAX));
    let ratio = if tried > wanted { wanted / tried } else { 1.0 };
    let millionths = (ratio * f64::from(Share::ALL.get())).to_u32().unwrap_or_default();
    Share::of_million(millionths).max(least)
}

/// Puts those last whose word `is_low` says is borne out too seldom, in the order in which they stood; and says who they are.
pub fn lower(plan: &mut Plan, is_low: impl Fn(usize) -> bool) -> Vec<usize> {
    let (low, high): (Vec<_>, Vec<_>) = plan.order.iter().copied().partition(|at| is_low(*at));
    plan.order = high.iter().chain(&low).copied().collect();
    low
}

fn fen(fen: Fen) -> f64 {
    // Beyond four billion fen nothing costs more.
    u32::try_from(fen.get()).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COSTS: Costs =
        Costs { mismatch: Fen::new(2_000), second: Fen::new(10), explore: Share::NONE };

    fn plan(many: usize) -> Plan {
        Plan { order: (0..many).collect(), ..Plan::default() }
    }

    fn check(known: &[(u32, u64, Option<f64>)], expected: &[usize]) {
        let of = |at: usize| {
            let (price, millis, mismatch) = known[at];
            let latency = Duration::from_millis(millis);
            Known { price: price.into(), latency, mismatch, tried: 1e9 }
        };
        let ranked = rank(plan(known.len()), of, COSTS, 0);
        assert_eq!(ranked.plan.order, expected, "{known:?}");
        assert_eq!((ranked.explored, ranked.propensity), (false, Share::ALL));
    }

    #[test]
    fn whoever_is_expected_to_cost_least_is_first() {
        check(&[], &[]);
        check(&[(30, 100, Some(0.05)), (30, 100, Some(0.01))], &[1, 0]);
        // A mismatch at 20 yuan outweighs a jiao at half a percent; not at a tenth of it.
        check(&[(20, 100, Some(0.010)), (30, 100, Some(0.004))], &[1, 0]);
        check(&[(20, 100, Some(0.010)), (30, 100, Some(0.006))], &[0, 1]);
        check(&[(30, 2_000, Some(0.01)), (30, 100, Some(0.01))], &[1, 0]);
        // Alike: as planned.
        check(&[(30, 100, Some(0.01)), (30, 100, Some(0.01))], &[0, 1]);
        // Of whom nothing is known as much is expected as of the others together.
        check(&[(30, 100, None), (30, 100, Some(0.02)), (30, 100, Some(0.04))], &[1, 0, 2]);
        check(&[(40, 100, None), (30, 100, None)], &[0, 1]);
    }

    #[test]
    fn chance_decides_until_each_was_tried() {
        let check = |tried: &[f64], least, expected| {
            let known = |tried: &f64| (0, Known { tried: *tried, ..Known::default() });
            let of: Vec<_> = tried.iter().map(known).collect();
            assert_eq!(explore(Share::percent(least), &of), Share::percent(expected), "{tried:?}");
        };
        check(&[0.0, 0.0], 5, 100);
        check(&[20.0, 0.0], 5, 100);
        check(&[40.0, 0.0], 5, 50);
        check(&[30.0, 70.0, 0.0], 5, 30);
        check(&[1_000.0, 1_000.0], 5, 5);
    }

    #[test]
    fn who_is_low_comes_last() {
        let check = |low: &[usize], order: &[usize]| {
            let mut plan = plan(4);
            assert_eq!(lower(&mut plan, |at| low.contains(&at)), low);
            assert_eq!(plan.order, order);
        };
        check(&[], &[0, 1, 2, 3]);
        check(&[0, 2], &[1, 3, 0, 2]);
        check(&[0, 1, 2, 3], &[0, 1, 2, 3]);
    }

    proptest! {
        /// Who is first is so as often as is told: over draws that are as likely as each other.
        #[test]
        fn propensities_are_true(many in 1_u32..6, explore in 0_u32..=100) {
            let costs = Costs { explore: Share::percent(explore), ..COSTS };
            let mismatch = |at: usize| Some(if at == 0 { 0.0 } else { 0.5 });
            let of = |at: usize| Known { mismatch: mismatch(at), tried: 1e9, ..Known::default() };
            let all = usize::try_from(many).unwrap();
            let mut first = vec![0_u32; all];
            let mut told = vec![Share::NONE; all];
            for draw in 0..100 * many {
                let (hundredth, one) = (u64::from(draw % 100), u64::from(draw / 100));
                let ranked = rank(plan(all), of, costs, one * 1_000_000 + hundredth * 10_000);
                let at = ranked.plan.order[0];
                first[at] += 1;
                told[at] = ranked.propensity;
                prop_assert_eq!(ranked.plan.order.len(), all);
            }
            for (first, told) in first.into_iter().zip(told) {
                let seen = f64::from(first) / f64::from(100 * many);
                prop_assert!((told.ratio() - seen).abs() < 1e-5, "{:?} {}", told, seen);
            }
        }
    }
}
