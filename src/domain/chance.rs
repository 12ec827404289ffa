//! What chance had a part in, and how large: without that nobody can tell later what would have been otherwise.

use crate::domain::id::ProviderName;
use serde::{Deserialize, Serialize};

/// Of a million.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Share(u32);

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// All.
    pub const ALL: Self = Self(1_000_000);

    /// So many of a million, at most all.
    pub const fn of_million(many: u32) -> Self {
        if many > Self::ALL.0 { Self::ALL } else { Self(many) }
    }

    /// So many of a hundred, at most all.
    pub const fn percent(many: u32) -> Self {
        Self::of_million(many.saturating_mul(10_000))
    }

    /// How many of a million.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The same, from 0 to 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ALL.0)
    }

    /// Whether a draw falls into it; draws that are spread evenly do as often as it says.
    pub fn takes(self, draw: u64) -> bool {
        draw % u64::from(Self::ALL.0) < u64::from(self.0)
    }
}

/// Why providers were asked in an order other than by priority.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Routed {
    /// What asking each was expected to cost, in fen, in the order in which they were to be asked; where costs decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<(ProviderName, f64)>,
    /// Whether chance decided who was first.
    pub explored: bool,
    /// How likely that one was first.
    pub propensity: Share,
    /// Whose word is borne out too seldom at the channel, so that they came last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lowered: Vec<ProviderName>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_takes_as_many_draws_as_it_says() {
        let taken = |share: Share| (0..1_000_000).filter(|draw| share.takes(*draw)).count();
        assert_eq!(taken(Share::NONE), 0);
        assert_eq!(taken(Share::percent(5)), 50_000);
        assert_eq!(taken(Share::percent(250)), 1_000_000);
    }
}
