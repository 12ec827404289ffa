//! Annotations towards the core: Structured Fields (RFC 9651). Nothing here ever goes to a channel.

use crate::domain::id::PaymentId;
use crate::domain::mismatch::Mismatch;
use crate::domain::outcome::{Arrival, Outcome};
use crate::domain::payment::Mode;
use crate::message::outcome::Reading;
use crate::policy::Effect;
use crate::service::balance::Funded;
use crate::service::judge::Pending;
use crate::service::refusal::Refusal;
use crate::service::settle::{Settled, blamed};
use crate::store::{Evidence, Record};
use sfv::{ItemSerializer, KeyRef, ParameterSerializer, RefBareItem, StringRef, TokenRef};

/// Header names and values.
pub type Annotations = Vec<(&'static str, String)>;

/// What is told of a message whose outcome was not read.
pub(crate) fn judged(pending: &Pending) -> Annotations {
    let record = &pending.record;
    let mut decision = Field::token(record.effect.as_str());
    for reason in record.reasons.iter().take(1) {
        decision = decision.with("reason", token(reason.as_str()));
    }
    decision = decision.with("mode", token(record.mode.as_str()));
    let told = record.stakes.rules.as_ref().and_then(|ruled| ruled.told.as_ref());
    if let Some((rule, _)) = told {
        decision = decision.with("rule", string(rule));
    }
    let mut annotations = vec![
        ("hefu-payment", quoted(&record.payment.to_string())),
        ("hefu-decision", decision.finish()),
    ];
    if let Some(evidence) = &record.verified {
        let both = std::iter::once(evidence).chain(evidence.beside.as_deref());
        let both: Vec<_> = both.map(|evidence| verification(evidence, pending)).collect();
        annotations.push(("hefu-verification", both.join(", ")));
    }
    annotations.extend(pending.funded.as_deref().map(funded));
    annotations
}

/// What is told of the account whose balance funds a payment.
fn funded(of: &Funded) -> (&'static str, String) {
    let mut field = Field(ItemSerializer::new().bare_item(text(of.account.as_str())));
    field = field.with("class", of.class.and_then(|class| token(class.as_str())));
    if let Some((left, limit)) = of.left {
        field = field.with("left", Some(integer(left.get()))).with("limit", token(limit.as_str()));
    }
    ("hefu-account", field.with("over", of.over.and_then(|over| token(over.as_str()))).finish())
}

/// What is told beside a refusal.
pub fn refused(refusal: &Refusal) -> Annotations {
    let mut decision = Field::token(Effect::Refuse.as_str());
    for reason in refusal.reasons.iter().take(1) {
        decision = decision.with("reason", token(reason.as_str()));
    }
    decision = decision.with("mode", token(Mode::Enforce.as_str()));
    if let Some(rule) = &refusal.rule {
        decision = decision.with("rule", string(rule.id.as_str()));
    }
    let mut annotations = vec![
        ("hefu-payment", quoted(&refusal.payment.to_string())),
        ("hefu-decision", decision.finish()),
    ];
    annotations.extend(refusal.funded.as_ref().map(funded));
    let rows: Vec<String> = refusal
        .rows
        .iter()
        .take(ROWS_NAMED_MAX)
        .map(|row| {
            let field = Field::integer(row.number).with("decision", token(Effect::Refuse.as_str()));
            let reason = row.reasons.first().and_then(|reason| token(reason.as_str()));
            field.with("reason", reason).finish()
        })
        .collect();
    if !rows.is_empty() {
        annotations.push(("hefu-rows", rows.join(", ")));
    }
    annotations
}

/// What is told of a settled message.
pub(crate) fn settled(pending: &Pending, settled: &Settled) -> Annotations {
    let mut annotations = judged(pending);
    let told = outcome(&settled.reading, Arrival::Sync);
    annotations.push(("hefu-outcome", told.finish()));
    annotations.extend(settled.mismatch.map(|differs| mismatch(&pending.record, differs)));
    annotations
}

/// What is told beside the answer to a query: of the payment that it asks about.
pub(crate) fn queried(pending: &Pending, of: &Record, settled: Option<&Settled>) -> Annotations {
    let mut annotations = judged(pending);
    let payment = of.payment.to_string();
    if of.left() {
        let told = settled.map(|settled| outcome(&settled.reading, Arrival::Query));
        let told = told.map(|told| told.with("payment", string(&payment)).finish());
        annotations.extend(told.map(|told| ("hefu-outcome", told)));
        let differs = settled.and_then(|settled| settled.mismatch);
        annotations.extend(differs.map(|differs| mismatch(of, differs)));
    } else if of.effect == Effect::Refuse {
        // It was never sent; whatever the channel says of it, that is why.
        let reason = of.reasons.first().and_then(|reason| token(reason.as_str()));
        let refused = Field::token(Effect::Refuse.as_str()).with("reason", reason);
        let refused = refused.with("payment", string(&payment)).finish();
        annotations.push(("hefu-queried", refused));
    }
    annotations
}

fn outcome(reading: &Reading, arrival: Arrival) -> Field {
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
    outcome.with("arrival", token(arrival.as_str()))
}

fn mismatch(of: &Record, mismatch: Mismatch) -> (&'static str, String) {
    let mut field = Field::token(mismatch.kind.as_str());
    if let Some(provider) = blamed(of, mismatch) {
        field = field.with("provider", string(provider));
    }
    let field = field.with("suspects", string(&mismatch.elements.to_string()));
    ("hefu-mismatch", field.finish())
}

/// One row of a batch, judged and perhaps settled.
#[derive(Clone, Copy)]
pub(crate) struct RowNote<'a> {
    pub(crate) number: usize,
    pub(crate) record: &'a Record,
    pub(crate) settled: Option<&'a Settled>,
}

impl RowNote<'_> {
    /// Whether there is more to say than that it passed.
    fn is_remarkable(&self) -> bool {
        self.record.effect != Effect::Permit || self.differs().is_some()
    }

    fn differs(&self) -> Option<Mismatch> {
        self.settled.and_then(|settled| settled.mismatch)
    }
}

/// How many rows `Hefu-Rows` names at most: cores refuse long heads.
const ROWS_NAMED_MAX: usize = 64;

/// What is told of a batch: the whole, and each row of which there is more to say than that it passed.
pub(crate) fn batch(id: PaymentId, notes: &[RowNote<'_>]) -> Annotations {
    let worst = notes.iter().map(|note| note.record.effect).max().unwrap_or(Effect::Permit);
    let mode = notes.first().map_or(Mode::Observe, |note| note.record.mode);
    let mut decision = Field::token(worst.as_str()).with("mode", token(mode.as_str()));
    let remarkable = notes.iter().filter(|note| note.is_remarkable()).count();
    let left_out = remarkable.saturating_sub(ROWS_NAMED_MAX);
    if left_out > 0 {
        decision = decision.with("rows_left_out", Some(integer(left_out)));
    }
    let mut annotations =
        vec![("hefu-payment", quoted(&id.to_string())), ("hefu-decision", decision.finish())];
    annotations.extend(rows(notes.iter().filter(|note| note.is_remarkable())));
    annotations
}

/// What is told beside the answer to a query about a batch: of its rows that differ, by their numbers in the batch.
pub(crate) fn queried_rows(pending: &Pending, mut notes: Vec<RowNote<'_>>) -> Annotations {
    notes.sort_by_key(|note| note.number);
    let mut annotations = judged(pending);
    annotations.extend(rows(notes.iter().filter(|note| note.differs().is_some())));
    annotations
}

fn rows<'a>(notes: impl Iterator<Item = &'a RowNote<'a>>) -> Option<(&'static str, String)> {
    let rows: Vec<String> = notes
        .take(ROWS_NAMED_MAX)
        .map(|RowNote { number, record, settled }| {
            let mut field = Field::integer(*number).with("decision", token(record.effect.as_str()));
            if let Some(reason) = record.reasons.first() {
                field = field.with("reason", token(reason.as_str()));
            }
            if let Some(Settled { reading, mismatch, .. }) = settled {
                field = field.with("outcome", token(reading.outcome.as_str()));
                if let Some(mismatch) = mismatch {
                    field = field.with("mismatch", token(mismatch.kind.as_str()));
                    field = field.with("suspects", string(&mismatch.elements.to_string()));
                }
            }
            field.finish()
        })
        .collect();
    (!rows.is_empty()).then(|| ("hefu-rows", rows.join(", ")))
}

fn verification(evidence: &Evidence, pending: &Pending) -> String {
    let age = pending.record.at.since(evidence.at).as_secs();
    let mut field =
        Field::token(evidence.answer.as_str()).with("provider", string(evidence.witness.as_str()));
    if let Some(road) = &evidence.road {
        field = field.with("road", string(road.as_str()));
    }
    field = field.with("elements", string(&evidence.elements.to_string()));
    field = field.with("age", Some(integer(age)));
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

    fn integer(number: usize) -> Self {
        Self(ItemSerializer::new().bare_item(integer(number)))
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

fn integer<'a>(number: impl TryInto<i64>) -> RefBareItem<'a> {
    let number = sfv::Integer::try_from(number.try_into().unwrap_or(i64::MAX));
    RefBareItem::Integer(number.unwrap_or(sfv::Integer::MAX))
}

fn token(word: &str) -> Option<RefBareItem<'_>> {
    TokenRef::from_str(word).ok().map(RefBareItem::Token)
}

fn string(text: &str) -> Option<RefBareItem<'_>> {
    StringRef::from_str(text).ok().map(RefBareItem::String)
}

/// A text; an account's name is one always.
fn text(text: &str) -> RefBareItem<'_> {
    string(text).unwrap_or(RefBareItem::Boolean(false))
}

fn quoted(text: &str) -> String {
    string(text).map_or_else(String::new, |item| ItemSerializer::new().bare_item(item).finish())
}
