//! Annotations towards the core: Structured Fields (RFC 9651). Nothing here ever goes to a channel.

mod field;

use crate::domain::account::Class;
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
use crate::tier::ledger::Over;
use field::Field;

/// Header names and values.
pub type Annotations = Vec<(&'static str, String)>;

/// How many fields the answer to a payment has, mostly: its id, decision, verification and outcome.
const FIELDS: usize = 4;

/// What is told of a message whose outcome was not read.
pub(crate) fn judged(pending: &Pending) -> Annotations {
    let record = &pending.record;
    let mut decision = Field::token(record.effect.as_str())
        .word("reason", record.reasons.first().map(|reason| reason.as_str()))
        .word("mode", record.mode.as_str());
    let told = record.stakes.rules.as_ref().and_then(|ruled| ruled.told.as_ref());
    if let Some((rule, _)) = told {
        decision = decision.text("rule", rule);
    }
    let mut annotations = Vec::with_capacity(FIELDS);
    annotations.push(("hefu-payment", Field::payment(record.payment).finish()));
    annotations.push(("hefu-decision", decision.finish()));
    if let Some(evidence) = &record.verified {
        let both = std::iter::once(evidence).chain(evidence.beside.as_deref());
        let told = both.fold(Field::new(), |field, of| verification(field, of, pending));
        annotations.push(("hefu-verification", told.finish()));
    }
    annotations.extend(pending.funded.as_deref().map(funded));
    annotations
}

/// What is told of the account whose balance funds a payment.
fn funded(of: &Funded) -> (&'static str, String) {
    let mut field = Field::account(&of.account).word("class", of.class.map(Class::as_str));
    if let Some((left, limit)) = of.left {
        field = field.number("left", left.get()).word("limit", limit.as_str());
    }
    ("hefu-account", field.word("over", of.over.map(Over::as_str)).finish())
}

/// What is told beside a refusal.
pub fn refused(refusal: &Refusal) -> Annotations {
    let mut decision = Field::token(Effect::Refuse.as_str())
        .word("reason", refusal.reasons.first().map(|reason| reason.as_str()))
        .word("mode", Mode::Enforce.as_str());
    if let Some(rule) = &refusal.rule {
        decision = decision.text("rule", rule.id.as_str());
    }
    let mut annotations = vec![
        ("hefu-payment", Field::payment(refusal.payment).finish()),
        ("hefu-decision", decision.finish()),
    ];
    annotations.extend(refusal.funded.as_ref().map(funded));
    if !refusal.rows.is_empty() {
        let rows = refusal.rows.iter().take(ROWS_NAMED_MAX).fold(Field::new(), |field, row| {
            let reason = row.reasons.first().map(|reason| reason.as_str());
            let field = field.and_number(row.number).word("decision", Effect::Refuse.as_str());
            field.word("reason", reason)
        });
        annotations.push(("hefu-rows", rows.finish()));
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
    if of.left() {
        let told = settled.map(|settled| outcome(&settled.reading, Arrival::Query));
        let told = told.map(|told| told.of_payment("payment", of.payment).finish());
        annotations.extend(told.map(|told| ("hefu-outcome", told)));
        let differs = settled.and_then(|settled| settled.mismatch);
        annotations.extend(differs.map(|differs| mismatch(of, differs)));
    } else if of.effect == Effect::Refuse {
        // It was never sent; whatever the channel says of it, that is why.
        let reason = of.reasons.first().map(|reason| reason.as_str());
        let refused = Field::token(Effect::Refuse.as_str()).word("reason", reason);
        annotations.push(("hefu-queried", refused.of_payment("payment", of.payment).finish()));
    }
    annotations
}

fn outcome(reading: &Reading, arrival: Arrival) -> Field {
    let mut outcome = Field::token(reading.outcome.as_str());
    match reading.outcome {
        Outcome::NoMatch(suspects) => {
            outcome = outcome.elements("suspects", suspects.set());
        }
        Outcome::Declined(decline) => outcome = outcome.word("reason", decline.as_str()),
        Outcome::Accepted
        | Outcome::Succeeded
        | Outcome::Unknown
        | Outcome::Reversed
        | Outcome::Unmapped => (),
    }
    if let Some(code) = &reading.code {
        outcome = outcome.text("code", code);
    }
    outcome.word("arrival", arrival.as_str())
}

fn mismatch(of: &Record, mismatch: Mismatch) -> (&'static str, String) {
    let mut field = Field::token(mismatch.kind.as_str());
    if let Some(provider) = blamed(of, mismatch) {
        field = field.text("provider", provider);
    }
    ("hefu-mismatch", field.elements("suspects", mismatch.elements).finish())
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
    let mut decision = Field::token(worst.as_str()).word("mode", mode.as_str());
    let remarkable = notes.iter().filter(|note| note.is_remarkable()).count();
    let left_out = remarkable.saturating_sub(ROWS_NAMED_MAX);
    if left_out > 0 {
        decision = decision.number("rows_left_out", left_out);
    }
    let mut annotations =
        vec![("hefu-payment", Field::payment(id).finish()), ("hefu-decision", decision.finish())];
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
    let rows = notes.take(ROWS_NAMED_MAX).fold(None, |rows: Option<Field>, note| {
        let RowNote { number, record, settled } = note;
        let mut field = rows.unwrap_or_else(Field::new).and_number(*number);
        field = field
            .word("decision", record.effect.as_str())
            .word("reason", record.reasons.first().map(|reason| reason.as_str()));
        if let Some(Settled { reading, mismatch, .. }) = settled {
            field = field.word("outcome", reading.outcome.as_str());
            if let Some(mismatch) = mismatch {
                field = field.word("mismatch", mismatch.kind.as_str());
                field = field.elements("suspects", mismatch.elements);
            }
        }
        Some(field)
    });
    rows.map(|rows| ("hefu-rows", rows.finish()))
}

fn verification(field: Field, evidence: &Evidence, pending: &Pending) -> Field {
    let age = pending.record.at.since(evidence.at).as_secs();
    let mut field =
        field.and_token(evidence.answer.as_str()).text("provider", evidence.witness.as_str());
    if let Some(road) = &evidence.road {
        field = field.text("road", road.as_str());
    }
    field = field.elements("elements", evidence.elements).number("age", age);
    if pending.asserted { field.flag("asserted") } else { field }
}
