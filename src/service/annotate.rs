//! Annotations towards the core: Structured Fields (RFC 9651). Nothing here ever goes to a channel.

use crate::domain::mismatch::Mismatch;
use crate::domain::outcome::{Arrival, Outcome};
use crate::domain::payment::Mode;
use crate::message::outcome::Reading;
use crate::policy::Effect;
use crate::service::judge::Pending;
use crate::service::refusal::Refusal;
use crate::store::Evidence;
use sfv::{ItemSerializer, KeyRef, ParameterSerializer, RefBareItem, StringRef, TokenRef};

/// Header names and values.
pub type Annotations = Vec<(&'static str, String)>;

/// What is told of a message whose outcome was not read.
pub(crate) fn judged(pending: &Pending) -> Annotations {
    let mut decision = Field::token(pending.effect.as_str());
    for reason in pending.reasons.iter().take(1) {
        decision = decision.with("reason", token(reason.as_str()));
    }
    let decision = decision.with("mode", token(pending.mode.as_str())).finish();
    let mut annotations =
        vec![("hefu-payment", quoted(&pending.payment.to_string())), ("hefu-decision", decision)];
    if let Some(evidence) = &pending.known.verified {
        annotations.push(("hefu-verification", verification(evidence, pending)));
    }
    annotations
}

/// What is told beside a refusal.
pub fn refused(refusal: &Refusal) -> Annotations {
    let mut decision = Field::token(Effect::Refuse.as_str());
    for reason in refusal.reasons.iter().take(1) {
        decision = decision.with("reason", token(reason.as_str()));
    }
    let decision = decision.with("mode", token(Mode::Enforce.as_str())).finish();
    vec![("hefu-payment", quoted(&refusal.payment.to_string())), ("hefu-decision", decision)]
}

/// What is told of a settled message.
pub(crate) fn settled(
    pending: &Pending,
    reading: &Reading,
    mismatch: Option<Mismatch>,
) -> Annotations {
    let mut annotations = judged(pending);
    let mut outcome = Field::token(reading.outcome.as_str());
    match reading.outcome {
        Outcome::NoMatch(suspects) => {
            outcome = outcome.with("suspects", string(&suspects.set().to_string()));
        }
        Outcome::Declined(decline) => outcome = outcome.with("reason", token(decline.as_str())),
        Outcome::Accepted
        | Outcome::Succeeded
        | Outcome::Unknown
        | Outcome::Reversed
        | Outcome::Unmapped => (),
    }
    if let Some(code) = &reading.code {
        outcome = outcome.with("code", string(code));
    }
    annotations
        .push(("hefu-outcome", outcome.with("arrival", token(Arrival::Sync.as_str())).finish()));
    if let Some(mismatch) = mismatch {
        let mut field = Field::token(mismatch.kind.as_str());
        if let Some(evidence) = &pending.known.verified {
            field = field.with("provider", string(evidence.witness.as_str()));
        }
        annotations.push((
            "hefu-mismatch",
            field.with("suspects", string(&mismatch.elements.to_string())).finish(),
        ));
    }
    annotations
}

fn verification(evidence: &Evidence, pending: &Pending) -> String {
    let age = i64::try_from(pending.at.since(evidence.at).as_secs()).unwrap_or(i64::MAX);
    let age = sfv::Integer::try_from(age).unwrap_or(sfv::Integer::MAX);
    let mut field =
        Field::token(evidence.answer.as_str()).with("provider", string(evidence.witness.as_str()));
    if let Some(road) = &evidence.road {
        field = field.with("road", string(road.as_str()));
    }
    field = field.with("elements", string(&evidence.elements.to_string()));
    field = field.with("age", Some(RefBareItem::Integer(age)));
    if pending.asserted {
        field = field.with("asserted", Some(RefBareItem::Boolean(true)));
    }
    field.finish()
}

/// An item with parameters; a value that its type cannot hold is left out.
struct Field(ParameterSerializer<String>);

impl Field {
    fn token(word: &str) -> Self {
        let item = token(word).unwrap_or(RefBareItem::Boolean(false));
        Self(ItemSerializer::new().bare_item(item))
    }

    fn with(self, name: &str, value: Option<RefBareItem<'_>>) -> Self {
        match (KeyRef::from_str(name), value) {
            (Ok(name), Some(value)) => Self(self.0.parameter(name, value)),
            (Ok(_) | Err(_), _) => self,
        }
    }

    fn finish(self) -> String {
        self.0.finish()
    }
}

fn token(word: &str) -> Option<RefBareItem<'_>> {
    TokenRef::from_str(word).ok().map(RefBareItem::Token)
}

fn string(text: &str) -> Option<RefBareItem<'_>> {
    StringRef::from_str(text).ok().map(RefBareItem::String)
}

fn quoted(text: &str) -> String {
    string(text).map_or_else(String::new, |item| ItemSerializer::new().bare_item(item).finish())
}
