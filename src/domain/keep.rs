//! How long is kept what has no end of its own.

use std::time::Duration;

/// How long payments, their orders and expectations, and charges are kept unless [`Keep`] says otherwise: past every channel's
/// statement, every provider's bill, and the period in which a debit can be disputed.
pub const PAYMENTS_KEPT: Duration = Duration::from_hours(400 * 24);

/// How long is kept what has no end of its own. Evidence, waiting binds and holds have: they go a day after it, evidence since what it was good for stands in the payments that rested on it. Agreements stay until they are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Records of payments, their orders and expectations: an order that comes again after that may leave again.
    pub payments: Duration,
    /// Inquiries and what they came to.
    pub charges: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Self { payments: PAYMENTS_KEPT, charges: PAYMENTS_KEPT }
    }
}
