//! Changes of rows that memory does not know, made where they are kept.

use super::Kept;
use super::kept::value;
use crate::domain::id::{AgreementId, ChannelName, Fingerprint, MerchantId};
use crate::store::reserve::Settling;
use crate::store::row::{Row, RowKey};
use crate::store::{Agreement, Contradiction};

/// What changes in a row that may be there; nothing where it is not.
#[derive(Clone, Debug)]
pub(in crate::store) enum Amend {
    /// Evidence is contradicted.
    Contradict(Fingerprint, Contradiction),
    /// An agreement is closed.
    Close(ChannelName, AgreementId),
    /// A question came to something: an attempt is settled, or money given back.
    Settle(Box<Settling>),
    /// Agreements of the same card are closed, but for the one that closes them.
    CloseCard {
        channel: ChannelName,
        merchant: Option<MerchantId>,
        /// The card, under every key that is read.
        cards: Vec<Fingerprint>,
        but: AgreementId,
        /// Whether memory had room for all that this process learned, and so closed what it knew.
        all_known: bool,
    },
}

impl Amend {
    /// The row, where it is one.
    pub(in crate::store) fn key(&self) -> Option<RowKey> {
        match self {
            Self::Contradict(tuple, _) => Some(RowKey::evidence(tuple)),
            Self::Close(channel, id) => Some(RowKey::agreement(channel, id)),
            Self::Settle(settling) => Some(settling.key.clone()),
            Self::CloseCard { .. } => None,
        }
    }

    /// Whether it must not be made again where nobody knows whether it was.
    pub(in crate::store) fn is_once(&self) -> bool {
        match self {
            Self::Settle(settling) => settling.is_once(),
            Self::Contradict(..) | Self::Close(..) | Self::CloseCard { .. } => false,
        }
    }

    /// The row as it is then, if it changes. What cannot be read is not changed.
    pub(in crate::store) fn apply(&self, row: &Row) -> Option<Row> {
        match self {
            Self::Contradict(tuple, by) => {
                let (_, mut kept): (Fingerprint, Kept) = value(row).ok()?;
                kept.contradict(by.clone());
                Row::new(row.key.clone(), row.until, &(tuple, kept))
            }
            Self::Settle(settling) => settling.apply(row),
            Self::Close(..) => closed(row, |_, _, _| true),
            Self::CloseCard { channel, merchant, cards, but, .. } => {
                closed(row, |of, id, agreement| {
                    let card = agreement.card.is_some_and(|card| cards.contains(&card));
                    of == channel && agreement.merchant == *merchant && id != but && card
                })
            }
        }
    }
}

/// An agreement that is closed now, if `closes` says so.
fn closed(
    row: &Row,
    closes: impl Fn(&ChannelName, &AgreementId, &Agreement) -> bool,
) -> Option<Row> {
    let (channel, id, agreement): (ChannelName, AgreementId, Agreement) = value(row).ok()?;
    let closes = !agreement.closed && closes(&channel, &id, &agreement);
    let agreement = Agreement { closed: true, ..agreement };
    closes.then(|| Row::new(row.key.clone(), row.until, &(channel, id, agreement))).flatten()
}
