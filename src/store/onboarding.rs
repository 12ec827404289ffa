//! Onboardings of merchants, as they are kept: which questions, and what each came to; never of whom.

use crate::domain::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{ClientName, PaymentId};
use crate::domain::keep::PAYMENTS_KEPT;
use crate::domain::kind::Kind;
use crate::domain::money::Fen;
use crate::store::batch::Work;
use crate::store::row::{Aggregate, Row, RowKey};
use crate::store::shelf::Range;
use serde::{Deserialize, Serialize};

/// One of its questions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is asked.
    pub kind: Kind,
    /// About which elements.
    pub set: ElementSet,
    /// The verification, once it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<PaymentId>,
    /// What it came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// What it cost the client.
    #[serde(default)]
    pub cost: Fen,
}

/// What a step does to the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It is confirmed: the next one is asked.
    Confirmed,
    /// It cannot succeed with these elements any more.
    Refused,
    /// Nobody could say.
    Stalled,
}

impl Worth {
    /// What an answer is worth.
    pub const fn of(answer: Answer) -> Self {
        match answer {
            Answer::Match | Answer::CloseMatch => Self::Confirmed,
            Answer::NoMatch(_) | Answer::NoRecord | Answer::Invalid => Self::Refused,
            Answer::NotPossible | Answer::Limited | Answer::Unavailable => Self::Stalled,
        }
    }
}

/// How it stands with an onboarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// A question is being asked.
    Working,
    /// Nobody works at it any more.
    Left,
    /// All was confirmed.
    Approved,
    /// A question came to what cannot succeed any more.
    Refused,
    /// Nobody could say.
    Stalled,
}

impl Stand {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Left => "left",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Stalled => "stalled",
        }
    }
}

/// An onboarding. No element is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Onboarding {
    /// Its id.
    pub id: PaymentId,
    /// Whose it is.
    pub client: ClientName,
    /// When it came.
    pub at: Timestamp,
    /// Its questions, in the order in which they are asked.
    pub steps: Vec<Step>,
    /// Whether somebody works at it.
    pub work: Work,
    /// Whether the client is told how it ends: it does not wait, or came again and does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub later: bool,
}

impl Onboarding {
    /// Under which it is kept.
    pub fn key(client: &ClientName, id: PaymentId) -> RowKey {
        RowKey { of: Aggregate::ClientUse, name: format!("onboarding\n{client}\n{id}") }
    }

    /// The last `most` of a client, before one of them.
    pub fn last(client: &ClientName, before: Option<PaymentId>, most: usize) -> Range {
        let all = format!("onboarding\n{client}");
        let before = before.map_or_else(|| format!("{all}\u{b}"), |id| Self::key(client, id).name);
        let (of, from) = (Aggregate::ClientUse, format!("{all}\n"));
        Range { of, from, before, most, last: true, whole: false }
    }

    /// As it is kept.
    pub fn row(&self) -> Option<Row> {
        let key = Self::key(&self.client, self.id);
        Row::new(key, Some(self.at.plus(PAYMENTS_KEPT)), self)
    }

    /// Reads what is kept.
    ///
    /// # Errors
    /// Where another Hefu wrote it.
    pub fn read(row: &Row) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&row.value)
    }

    /// How it stands.
    pub fn stand(&self, now: Timestamp) -> Stand {
        match self.work {
            Work::By { until, .. } if until <= now => return Stand::Left,
            Work::By { .. } => return Stand::Working,
            Work::Ended => (),
        }
        for step in &self.steps {
            match step.answer.map(Worth::of) {
                Some(Worth::Confirmed) => (),
                Some(Worth::Refused) => return Stand::Refused,
                // One that was begun and has no answer may have been asked.
                Some(Worth::Stalled) | None => return Stand::Stalled,
            }
        }
        Stand::Approved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_as_its_first_unconfirmed_step_does() {
        let now = Timestamp::from_millis(1_000_000);
        let check = |answers: &[Option<Answer>], expected: Stand| {
            let step = |answer: &Option<Answer>| Step {
                kind: Kind::Elements,
                set: ElementSet::EMPTY,
                verification: None,
                answer: *answer,
                cost: Fen::default(),
            };
            let onboarding = Onboarding {
                id: PaymentId::new(now, 1),
                client: ClientName::new("lender"),
                at: now,
                steps: answers.iter().map(step).collect(),
                work: Work::Ended,
                later: false,
            };
            assert_eq!(onboarding.stand(now), expected, "{answers:?}");
        };
        let (yes, no) = (Some(Answer::Match), Some(Answer::NoMatch(ElementSet::EMPTY)));
        check(&[yes, yes, yes], Stand::Approved);
        check(&[yes, Some(Answer::CloseMatch), yes], Stand::Approved);
        check(&[no, None, None], Stand::Refused);
        check(&[yes, Some(Answer::NoRecord), None], Stand::Refused);
        check(&[yes, yes, Some(Answer::Unavailable)], Stand::Stalled);
        check(&[yes, None, None], Stand::Stalled);
    }
}
