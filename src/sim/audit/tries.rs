//! What the banks saw of tries: a card on which too many in a row are wrong is locked, whoever made them.

use std::collections::HashMap;

use super::{AtCore, AtProvider, MATCHED};

/// After how many wrong tries in a row a bank locks a card.
pub(in crate::sim) const LOCKED_AFTER: u32 = 5;

/// What is true of tries and combinations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// Cards that are locked by what Hefu asked.
    pub locked: u64,
    /// The most wrong tries in a row on any card.
    pub most_wrong: u64,
    /// Messages of a merchant who tries strangers' cards, and how many of them reached a channel.
    pub hostile: (u64, u64),
    /// Messages that would have been refused and left by combination.
    pub combined: u64,
    /// Those of them that the channel then contradicted.
    pub combined_wrongly: u64,
    /// Messages that bind, those that were refused since their elements do not match, and those that left by combination.
    pub binds: (u64, u64, u64),
}

/// Reads the books of providers and core.
pub(super) fn tries(providers: &[AtProvider], core: &[AtCore]) -> Tries {
    let mut runs: HashMap<&str, (u32, u32)> = HashMap::new();
    let tried = providers.iter().filter_map(|at| Some((at.tuple.pan.as_deref()?, at.tried?)));
    for (pan, right) in tried {
        let (run, most) = runs.entry(pan).or_default();
        *run = if right { 0 } else { *run + 1 };
        *most = (*most).max(*run);
    }
    let hostile: Vec<_> = core.iter().filter(|at| at.order.starts_with(HOSTILE)).collect();
    let says = |at: &AtCore, header: &str, word: &str| {
        at.headers.iter().any(|(name, value)| name == header && value.contains(word))
    };
    let combined: Vec<_> =
        core.iter().filter(|at| says(at, "hefu-decision", "reason=combined")).collect();
    let wrongly = combined.iter().filter(|at| says(at, "hefu-mismatch", MATCHED)).count();
    let binds: Vec<_> = core.iter().filter(|at| at.scenario == "bind").collect();
    let unmatched =
        |at: &&&AtCore| at.problem.as_ref().is_some_and(|problem| problem.contains("\"no_match\""));
    let saved = |at: &&&AtCore| says(at, "hefu-decision", "reason=combined");
    let count = |all: usize| u64::try_from(all).unwrap_or(u64::MAX);
    Tries {
        locked: count(runs.values().filter(|(_, most)| *most >= LOCKED_AFTER).count()),
        most_wrong: runs.values().map(|(_, most)| u64::from(*most)).max().unwrap_or_default(),
        hostile: (
            count(hostile.len()),
            count(hostile.iter().filter(|at| at.received.is_some()).count()),
        ),
        combined: count(combined.len()),
        combined_wrongly: count(wrongly),
        binds: (
            count(binds.len()),
            count(binds.iter().filter(unmatched).count()),
            count(binds.iter().filter(saved).count()),
        ),
    }
}

/// What the orders of the merchant begin with who tries strangers' cards.
const HOSTILE: &str = "999000000000001|";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::world::Tuple;

    #[test]
    fn a_run_of_wrong_tries_locks_a_card() {
        let check = |story: &str, locked, most_wrong| {
            let tries: Vec<_> = story
                .bytes()
                .map(|what| AtProvider {
                    provider: "p",
                    authentic: true,
                    tuple: Tuple { pan: Some("62".into()), ..Tuple::default() },
                    matched: what == b'+',
                    tried: (what != b'?').then_some(what == b'+'),
                    billable: true,
                    ..AtProvider::default()
                })
                .collect();
            let found = super::tries(&tries, &[]);
            assert_eq!((found.locked, found.most_wrong), (locked, most_wrong), "{story}");
        };
        check("", 0, 0);
        check("----", 0, 4);
        check("-----", 1, 5);
        check("---+---", 0, 3);
        check("--?--?-", 1, 5);
        check("-----+", 1, 5);
    }
}
