//! Reasons: a public contract. Cores map them, customer service reads them.

use crate::domain::answer::Answer;

/// Why a message was annotated or refused, in order of precedence.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The tuple or agreement waits until a contradiction is settled.
    Held,
    /// Verification would refuse it, and chance let it leave, so that it is seen whether that would have been right.
    Holdout,
    /// The message can be read in two ways.
    Ambiguous,
    /// The message cannot be read.
    Unreadable,
    /// The profile does not list the message.
    Unlisted,
    /// A rule of the risk team.
    Rule,
    /// A rule asks for a `match`, and there is none.
    VerificationRequired,
    /// The elements are sealed to the channel and were not told.
    Sealed,
    /// Elements that policy requires are missing.
    ElementsMissing,
    /// Verification says that the elements do not belong together.
    NoMatch,
    /// Verification says that they nearly match.
    CloseMatch,
    /// The source has no record.
    NoRecord,
    /// The provider cannot answer for this card or bank.
    NotPossible,
    /// Asked too often.
    Limited,
    /// The card or the person was asked about as often as may be, lest it be locked.
    AttemptsSpent,
    /// The provider refused an element's format.
    Invalid,
    /// No provider answered in time.
    Unavailable,
    /// What may be spent on inquiries today is spent.
    SpendCapped,
    /// Nobody was asked.
    NotAsked,
    /// No provider is configured for these elements.
    NobodyCan,
    /// The agreement was never seen.
    AgreementUnknown,
    /// The agreement's elements were contradicted.
    AgreementContradicted,
    /// The agreement is closed.
    AgreementClosed,
    /// The first step of the bind was not seen.
    FirstStepUnseen,
    /// It is not confirmed by SMS in a later step, which policy requires.
    Unconfirmed,
    /// The bank vouches for the card and the operator for the phone, though together they do not match.
    Combined,
    /// The elements were told beside the message.
    Asserted,
    /// A rule lifts what policy would refuse it for.
    Lifted,
    /// Another row of the same batch is refused, and policy refuses such a batch whole.
    BatchRefused,
    /// The account whose balance is to pay is not open, or it cannot be told what it is to pay.
    AccountUnknown,
    /// The account's balance may not pay so much, or not for that.
    AccountLimit,
    /// A money message of the order may have left before.
    AlreadySent,
    /// The store cannot be written, so that nothing would be known of the payment after a crash.
    StoreLost,
}

/// What the refused may do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// A stable code.
    pub code: &'static str,
    /// In English.
    pub en: &'static str,
    /// In Chinese.
    pub zh: &'static str,
}

impl Reason {
    /// Every reason, in order of precedence.
    pub const ALL: [Self; 33] = [
        Self::Held,
        Self::Holdout,
        Self::Ambiguous,
        Self::Unreadable,
        Self::Unlisted,
        Self::Rule,
        Self::VerificationRequired,
        Self::Sealed,
        Self::ElementsMissing,
        Self::NoMatch,
        Self::CloseMatch,
        Self::NoRecord,
        Self::NotPossible,
        Self::Limited,
        Self::AttemptsSpent,
        Self::Invalid,
        Self::Unavailable,
        Self::SpendCapped,
        Self::NotAsked,
        Self::NobodyCan,
        Self::AgreementUnknown,
        Self::AgreementContradicted,
        Self::AgreementClosed,
        Self::FirstStepUnseen,
        Self::Unconfirmed,
        Self::Combined,
        Self::Asserted,
        Self::Lifted,
        Self::BatchRefused,
        Self::AccountUnknown,
        Self::AccountLimit,
        Self::AlreadySent,
        Self::StoreLost,
    ];

    /// The reason that an answer other than a match gives.
    pub const fn from_answer(answer: Answer) -> Self {
        match answer {
            Answer::Match | Answer::CloseMatch => Self::CloseMatch,
            Answer::NoMatch(_) => Self::NoMatch,
            Answer::NoRecord => Self::NoRecord,
            Answer::NotPossible => Self::NotPossible,
            Answer::Limited => Self::Limited,
            Answer::Invalid => Self::Invalid,
            Answer::Unavailable => Self::Unavailable,
        }
    }

    /// The word used in headers, refusals and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Holdout => "holdout",
            Self::Ambiguous => "ambiguous",
            Self::Unreadable => "unreadable",
            Self::Unlisted => "unlisted",
            Self::Rule => "rule",
            Self::VerificationRequired => "verification_required",
            Self::Sealed => "sealed",
            Self::ElementsMissing => "elements_missing",
            Self::NoMatch => "no_match",
            Self::CloseMatch => "close_match",
            Self::NoRecord => "no_record",
            Self::NotPossible => "not_possible",
            Self::Limited => "limited",
            Self::AttemptsSpent => "attempts_spent",
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
            Self::SpendCapped => "spend_capped",
            Self::NotAsked => "not_asked",
            Self::NobodyCan => "nobody_can",
            Self::AgreementUnknown => "agreement_unknown",
            Self::AgreementContradicted => "agreement_contradicted",
            Self::AgreementClosed => "agreement_closed",
            Self::FirstStepUnseen => "first_step_unseen",
            Self::Unconfirmed => "unconfirmed",
            Self::Combined => "combined",
            Self::Asserted => "asserted",
            Self::Lifted => "lifted",
            Self::BatchRefused => "batch_refused",
            Self::AccountUnknown => "account_unknown",
            Self::AccountLimit => "account_limit",
            Self::AlreadySent => "already_sent",
            Self::StoreLost => "store_lost",
        }
    }

    /// The HTTP status of a refusal for this reason: `403`, `409` for what may have left before, `422` for what
    /// cannot be read, `503` for what may pass later.
    pub const fn status(self) -> u16 {
        match self {
            Self::Ambiguous | Self::Unreadable => 422,
            Self::AlreadySent => 409,
            Self::Unavailable
            | Self::SpendCapped
            | Self::NotAsked
            | Self::Limited
            | Self::StoreLost => 503,
            Self::Held
            | Self::Holdout
            | Self::Unlisted
            | Self::Rule
            | Self::VerificationRequired
            | Self::Sealed
            | Self::ElementsMissing
            | Self::NoMatch
            | Self::CloseMatch
            | Self::NoRecord
            | Self::NotPossible
            | Self::AttemptsSpent
            | Self::Invalid
            | Self::NobodyCan
            | Self::AgreementUnknown
            | Self::AgreementContradicted
            | Self::AgreementClosed
            | Self::FirstStepUnseen
            | Self::Unconfirmed
            | Self::Combined
            | Self::Asserted
            | Self::Lifted
            | Self::BatchRefused
            | Self::AccountUnknown
            | Self::AccountLimit => 403,
        }
    }

    /// The title of a refusal for this reason.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Held => "Held until a contradiction is settled",
            Self::Holdout => "Verification does not match, and it leaves as one of a sample",
            Self::Ambiguous => "The message can be read in two ways",
            Self::Unreadable => "The message cannot be read",
            Self::Unlisted => "The message is not listed in the channel's profile",
            Self::Sealed => "The elements are sealed and were not told",
            Self::ElementsMissing => "Elements are missing",
            Self::NoMatch => "Verification does not match",
            Self::CloseMatch => "Verification matches only nearly",
            Self::NoRecord => "The source has no such record",
            Self::NotPossible => "The card cannot be verified",
            Self::Limited => "Verified too often",
            Self::Invalid => "An element has a wrong format",
            Self::AttemptsSpent => "No attempts are left",
            Self::Unavailable | Self::NotAsked => "Cannot be verified now",
            Self::SpendCapped => "Today's spend cap is reached",
            Self::NobodyCan => "No provider verifies these elements",
            Self::AgreementUnknown => "The agreement is unknown",
            Self::AgreementContradicted => "The agreement's elements were contradicted",
            Self::AgreementClosed => "The agreement is closed",
            Self::FirstStepUnseen => "The first step of the bind was not seen",
            Self::Unconfirmed => "The bind is not confirmed by SMS",
            Self::Combined => "The phone is vouched for by its operator",
            Self::Asserted => "The elements were told beside the message",
            Self::Rule => "A rule of the risk team",
            Self::VerificationRequired => "A rule asks for a verification that matches",
            Self::Lifted => "A rule lifts what policy would refuse it for",
            Self::BatchRefused => "Another row of the batch is refused",
            Self::AccountUnknown => "The account whose balance is to pay is not open",
            Self::AccountLimit => "The account's balance may not pay that",
            Self::AlreadySent => "The order may have been sent before: query it",
            Self::StoreLost => "The store cannot be written",
        }
    }

    /// The ways out of a refusal for this reason: words that a core can act on.
    pub const fn ways_out(self) -> &'static [&'static str] {
        match self {
            Self::Held | Self::AgreementContradicted => &["rebind", "verify", "release"],
            Self::NoMatch
            | Self::CloseMatch
            | Self::NoRecord
            | Self::Combined
            | Self::Holdout
            | Self::VerificationRequired => &["rebind", "verify"],
            Self::AgreementClosed
            | Self::AgreementUnknown
            | Self::FirstStepUnseen
            | Self::Unconfirmed => &["rebind"],
            Self::Limited
            | Self::Unavailable
            | Self::SpendCapped
            | Self::NotAsked
            | Self::StoreLost => &["retry"],
            Self::AttemptsSpent => &["retry_tomorrow"],
            Self::Rule | Self::Lifted => &["review"],
            Self::AlreadySent => &["query"],
            Self::Sealed | Self::Asserted => &["tell_elements"],
            Self::BatchRefused => &["send_without_refused_rows"],
            Self::AccountLimit => &["upgrade", "lower_amount"],
            Self::Ambiguous
            | Self::Unreadable
            | Self::Unlisted
            | Self::ElementsMissing
            | Self::NotPossible
            | Self::Invalid
            | Self::AccountUnknown
            | Self::NobodyCan => &["correct"],
        }
    }

    /// What to tell whoever was refused.
    pub const fn hint(self) -> Hint {
        let (code, en, zh) = match self {
            Self::NoMatch
            | Self::CloseMatch
            | Self::Combined
            | Self::Held
            | Self::Holdout
            | Self::AgreementContradicted => (
                "use_bank_reserved_phone",
                "Use the phone number reserved with the bank, or bind the card again.",
                "请使用银行预留手机号，或重新绑卡。",
            ),
            Self::Rule | Self::Lifted => {
                ("contact_service", "Contact customer service.", "请联系客服。")
            }
            Self::NoRecord | Self::NotPossible | Self::NobodyCan => {
                ("use_another_card", "Use another card.", "请更换银行卡。")
            }
            Self::Limited | Self::AttemptsSpent => (
                "try_tomorrow",
                "Too many attempts; try again tomorrow.",
                "验证次数过多，请明日再试。",
            ),
            Self::Unavailable | Self::SpendCapped | Self::NotAsked | Self::StoreLost => {
                ("try_later", "Try again later.", "请稍后再试。")
            }
            Self::AlreadySent => (
                "query_first",
                "The payment may be under way already; its result must be queried.",
                "该笔交易可能已提交，请先查询结果。",
            ),
            Self::AgreementUnknown
            | Self::AgreementClosed
            | Self::FirstStepUnseen
            | Self::Unconfirmed
            | Self::VerificationRequired => ("bind_again", "Bind the card again.", "请重新绑卡。"),
            Self::ElementsMissing | Self::Invalid => {
                ("complete_elements", "Complete or correct the details.", "请补充或更正信息。")
            }
            Self::Sealed | Self::Asserted => (
                "tell_elements",
                "The core must tell the elements in `Hefu-Elements`.",
                "请由支付核心在 Hefu-Elements 中提供要素。",
            ),
            Self::BatchRefused => (
                "send_without_refused_rows",
                "Send the batch again without the refused rows.",
                "请剔除被拒绝的明细后重新提交批次。",
            ),
            Self::AccountLimit => (
                "upgrade_account",
                "The account's limit is reached; verify more to raise its class.",
                "账户余额付款已达限额，请完善身份信息提升账户类别。",
            ),
            Self::Ambiguous | Self::Unreadable | Self::Unlisted | Self::AccountUnknown => {
                ("correct_message", "The core must correct the message.", "请支付核心更正报文。")
            }
        };
        Hint { code, en, zh }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_distinct_and_in_order() {
        let mut words: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert!(Reason::ALL.is_sorted());
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
    }
}
