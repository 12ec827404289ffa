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

/// For which share of questions chance decides among those of whom it is in doubt who is best.
const IN_DOUBT: Share = Share::percent(30);

/// What is weighed against what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// What a mismatch costs: a complaint, a hold, a debit that must be tried again.
    pub mismatch: Fen,
    /// What a second of waiting costs.
    pub second: Fen,
    /// For which share of questions chance decides among all who is asked first.
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
///
/// Then chance: for a few questions anybody may be first, and as long as several may be the best, for more of them one of those.
pub fn rank(mut plan: Plan, known: impl Fn(usize) -> Known, costs: Costs, draw: u64) -> Ranked {
    let of: Vec<_> = plan.order.iter().map(|at| (*at, known(*at))).collect();
    let told: Vec<f64> = of.iter().filter_map(|(_, known)| known.mismatch).collect();
    let mean = told.iter().sum::<f64>() / f64::from(u32::try_from(told.len()).unwrap_or(1).max(1));
    let mut weighed: Vec<_> = of.iter().map(|of| weigh(of, mean, costs)).collect();
    if !told.is_empty() {
        weighed.sort_by(|one, other| one.expected.cost.total_cmp(&other.expected.cost));
    }
    let best = weighed.iter().map(|it| it.most).fold(f64::INFINITY, f64::min);
    let doubted: Vec<usize> =
        weighed.iter().enumerate().filter(|(_, it)| it.least <= best).map(|(at, _)| at).collect();
    let Chosen { at, explored, propensity } = choose(weighed.len(), &doubted, costs.explore, draw);
    let mut expected: Vec<_> = weighed.into_iter().map(|it| it.expected).collect();
    if at < expected.len() {
        let first = expected.remove(at);
        expected.insert(0, first);
    }
    plan.order = expected.iter().map(|expected| expected.at).collect();
    Ranked { plan, expected, explored, propensity }
}

/// What one is expected to cost, and between what that may well lie.
struct Weighed {
    expected: Expected,
    least: f64,
    most: f64,
}

fn weigh((at, known): &(usize, Known), mean: f64, costs: Costs) -> Weighed {
    let risk = known.mismatch.unwrap_or(mean);
    let sure = known.price + fen(costs.second) * known.latency.as_secs_f64();
    // The standard deviation of what was seen at this channel so often.
    let doubt = (risk * (1.0 - risk) / (known.tried + 1.0)).sqrt();
    let cost = |risk: f64| sure + fen(costs.mismatch) * risk;
    let expected = Expected { at: *at, cost: cost(risk) };
    Weighed { expected, least: cost(risk - doubt), most: cost(risk + doubt) }
}

/// Who is first, by place in the order of expected costs.
struct Chosen {
    at: usize,
    explored: bool,
    propensity: Share,
}

/// Lets chance decide: among all of `many`, or among those of whom it is in doubt who is best, the first of all being one.
fn choose(many: usize, doubted: &[usize], explore: Share, draw: u64) -> Chosen {
    let million = u64::from(Share::ALL.get());
    let (first, draw) = (draw % million, draw / million);
    let (second, draw) = (draw % million, draw / million);
    let one_of = |of: usize| {
        let chosen = draw.checked_rem(u64::try_from(of).unwrap_or(u64::MAX)).unwrap_or_default();
        usize::try_from(chosen).unwrap_or_default()
    };
    let in_doubt = if doubted.len() > 1 { IN_DOUBT } else { Share::NONE };
    let (at, explored) = if many > 1 && explore.takes(first) {
        (one_of(many), true)
    } else if in_doubt.takes(second) {
        (doubted.get(one_of(doubted.len())).copied().unwrap_or_default(), true)
    } else {
        (0, false)
    };
    let each = |of: usize| 1.0 / f64::from(u32::try_from(of).unwrap_or(u32::MAX).max(1));
    let mut chance =
        in_doubt.ratio() * if doubted.contains(&at) { each(doubted.len()) } else { 0.0 };
    if at == 0 {
        chance += 1.0 - in_doubt.ratio();
    }
    let chance = explore.ratio() * each(many) + (1.0 - explore.ratio()) * chance;
    let propensity = (chance * f64::from(Share::ALL.get())).round().to_u32().unwrap_or_default();
    Chosen { at, explored, propensity: Share::of_million(propensity) }
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
    use std::collections::BTreeSet;

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
        // By this draw chance decides nothing.
        let ranked = rank(plan(known.len()), of, COSTS, 900_000_000_000);
        assert_eq!(ranked.plan.order, expected, "{known:?}");
        assert!(!ranked.explored);
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
    fn chance_decides_among_those_who_may_be_the_best() {
        let check = |known: &[(f64, f64)], expected: &[usize]| {
            let of = |at: usize| Known {
                mismatch: Some(known[at].0),
                tried: known[at].1,
                ..Known::default()
            };
            let firsts = (0..10_000_u64).map(|draw| {
                let draw = draw % 100 * 10_000_000_000 + draw / 100 * 1_000_000_000_000;
                rank(plan(known.len()), of, COSTS, draw).plan.order[0]
            });
            let firsts: BTreeSet<_> = firsts.collect();
            assert_eq!(firsts.into_iter().collect::<Vec<_>>(), expected, "{known:?}");
        };
        check(&[(0.05, 10.0), (0.02, 10.0), (0.5, 10.0)], &[0, 1]);
        check(&[(0.05, 10_000.0), (0.02, 10_000.0), (0.5, 0.0)], &[1, 2]);
        check(&[(0.05, 10_000.0), (0.02, 10_000.0), (0.5, 1_000.0)], &[1]);
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
        fn propensities_are_true(many in 1_usize..5, doubted in 1_usize..5, tenths in 0_u32..=10) {
            let doubted: Vec<usize> = (0..doubted.min(many)).collect();
            let explore = Share::percent(10 * tenths);
            let (mut first, mut told) = (vec![0_u32; many], vec![Share::NONE; many]);
            for draw in 0..1_200_u64 {
                let (one, other, rest) = (draw % 10, draw / 10 % 10, draw / 100);
                let draw = (one + other * 1_000_000) * 100_000 + rest * 1_000_000_000_000;
                let chosen = choose(many, &doubted, explore, draw);
                first[chosen.at] += 1;
                told[chosen.at] = chosen.propensity;
            }
            for (first, told) in first.into_iter().zip(told) {
                prop_assert!((told.ratio() - f64::from(first) / 1_200.0).abs() < 1e-5);
            }
        }
    }
}
