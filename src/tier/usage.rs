//! One use of balance, from its reservation to its end, as the core tells it: each word may come twice, and counts once.

use crate::domain::account::{Purpose, Strength};
use crate::domain::clock::Timestamp;
use crate::domain::money::Fen;
use crate::tier::ledger::Payment;
use serde::{Deserialize, Serialize};

/// A use of balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// How much was reserved.
    pub amount: Fen,
    /// How much of it was given back.
    pub given_back: Fen,
    /// What for.
    pub purpose: Purpose,
    /// How whoever paid was authenticated.
    pub strength: Strength,
    /// When it was reserved: it counts for that day and year.
    pub at: Timestamp,
    /// How far it is.
    pub state: State,
    /// Whether it was given back since the payment that it funds failed, or came back; by the core's own word else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}

/// How far a use of balance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It may be paid, and counts.
    Reserved,
    /// It was paid.
    Committed,
    /// It was given back, all of it.
    Released,
}

impl State {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Committed => "committed",
            Self::Released => "released",
        }
    }
}

/// What the core says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is about to be paid.
    Reserve(Payment),
    /// It was paid.
    Commit,
    /// It was not paid, or it came back: so much of it in all, or everything.
    Release(Option<Fen>),
}

/// What an act comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was said before.
    Same(Usage),
    /// It becomes this, if the limits allow it.
    Take(Usage),
    /// It becomes this, whatever the limits say.
    Count(Usage),
    /// It becomes this.
    Keep(Usage),
    /// It becomes this, and so much counts no more.
    GiveBack(Usage, Fen),
}

/// Why an act comes to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing was reserved.
    #[error("nothing is reserved under this name: reserve it first")]
    NotReserved,
    /// The same name with other content.
    #[error("this name was reserved with another amount, purpose or strength: use a new name")]
    Other,
    /// It was given back before it was committed.
    #[error("it was released: reserve it again under a new name")]
    Released,
    /// Less came back than is known to have come back, or more than there is.
    #[error(
        "`amount_fen` of a release is what came back in all: not less than was told before, and not more than was reserved"
    )]
    Amount,
    /// Nothing is no amount.
    #[error("`amount_fen` is at least 1")]
    Nothing,
}

impl Usage {
    /// So much of it, as it was counted.
    pub const fn payment(&self, amount: Fen) -> Payment {
        Payment { amount, purpose: self.purpose, strength: self.strength, at: self.at }
    }
}

/// What `act` makes of what is `known` of a use of balance.
///
/// # Errors
/// [`Refused`].
pub fn step(known: Option<Usage>, act: Act) -> Result<Step, Refused> {
    match (known, act) {
        (_, Act::Reserve(Payment { amount, .. })) if amount == Fen::default() => {
            Err(Refused::Nothing)
        }
        (None, Act::Reserve(Payment { amount, purpose, strength, at })) => {
            let (given_back, state, failed) = (Fen::default(), State::Reserved, false);
            Ok(Step::Take(Usage { amount, given_back, purpose, strength, at, state, failed }))
        }
        (None, Act::Commit | Act::Release(_)) => Err(Refused::NotReserved),
        (Some(usage), Act::Reserve(Payment { amount, purpose, strength, at: _ })) => {
            let same = (amount, purpose, strength) == (usage.amount, usage.purpose, usage.strength);
            if same { Ok(Step::Same(usage)) } else { Err(Refused::Other) }
        }
        (Some(usage), Act::Commit) => match usage.state {
            State::Reserved => Ok(Step::Keep(Usage { state: State::Committed, ..usage })),
            State::Committed => Ok(Step::Same(usage)),
            State::Released => Err(Refused::Released),
        },
        (Some(usage), Act::Release(so_far)) => {
            let so_far = so_far.unwrap_or(usage.amount);
            if so_far > usage.amount || so_far < usage.given_back {
                return Err(Refused::Amount);
            }
            let more = Fen::new(so_far.get().saturating_sub(usage.given_back.get()));
            if more == Fen::default() {
                return Ok(Step::Same(usage));
            }
            let state = if so_far == usage.amount { State::Released } else { usage.state };
            Ok(Step::GiveBack(Usage { given_back: so_far, state, ..usage }, more))
        }
    }
}

/// What became of the payment that a use of balance funds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It was paid.
    Paid,
    /// It certainly was not, or came back.
    NotPaid,
}

/// What becomes of a use of balance when it is heard what became of its payment: the last word counts, as often as it changes. What the
/// core itself gave back stays given back.
pub fn follow(known: Usage, became: Became) -> Step {
    match (became, known.state) {
        (Became::Paid, State::Reserved) => Step::Keep(Usage { state: State::Committed, ..known }),
        (Became::Paid, State::Released) if known.failed => {
            let (given_back, state) = (Fen::default(), State::Committed);
            Step::Count(Usage { given_back, state, failed: false, ..known })
        }
        (Became::Paid, State::Committed | State::Released) | (Became::NotPaid, State::Released) => {
            Step::Same(known)
        }
        (Became::NotPaid, State::Reserved | State::Committed) => {
            let more = Fen::new(known.amount.get().saturating_sub(known.given_back.get()));
            let (given_back, state) = (known.amount, State::Released);
            Step::GiveBack(Usage { given_back, state, failed: true, ..known }, more)
        }
    }
}
