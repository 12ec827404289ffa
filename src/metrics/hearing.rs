//! What notifications come to, in words.

/// What a notification came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// It was believed, and said something new.
    Settled,
    /// It said what is known, or less than that.
    Known,
    /// It is kept until it is confirmed, and nothing rests on it.
    Noted,
    /// A pinned key says that it is not the channel's.
    Forged,
    /// Nothing is known of such an order.
    UnknownOrder,
    /// The order was never sent.
    NeverSent,
    /// It tells another amount than the order's.
    AmountDiffers,
    /// It is of something else than a payment.
    Passing,
    /// It is sealed: the core's query will tell.
    Sealed,
    /// The profile does not list it.
    Unlisted,
    /// It cannot be read, or could be in two ways.
    Unreadable,
    /// The core did not answer it.
    NotDelivered,
}

impl Hearing {
    /// The word used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Known => "known",
            Self::Noted => "noted",
            Self::Forged => "forged",
            Self::UnknownOrder => "unknown_order",
            Self::NeverSent => "never_sent",
            Self::AmountDiffers => "amount_differs",
            Self::Passing => "passing",
            Self::Sealed => "sealed",
            Self::Unlisted => "unlisted",
            Self::Unreadable => "unreadable",
            Self::NotDelivered => "not_delivered",
        }
    }
}
