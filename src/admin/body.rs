//! What the admin API shows: bodies of their own, so that the domain needs no serialization.

pub use crate::api::Problem;

use crate::admin::concordance::{RateBody, RoutingBody};
use crate::domain::chance::Share;
use crate::reconcile::concordance::Rate;
use crate::reconcile::hold::Hold;
use crate::service::agreements::Told;
use crate::service::explain::Story;
use crate::store::{OpenInquiry, Record, Unmapped};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One payment, explained.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PaymentBody {
    payment: String,
    at_ms: u64,
    channel: String,
    scenario: &'static str,
    order: Option<String>,
    amount_fen: Option<u64>,
    carried: String,
    mode: &'static str,
    decision: &'static str,
    reasons: Vec<&'static str>,
    verification: Option<VerificationBody>,
    judged_in_us: u64,
    outcome: Option<OutcomeBody>,
    /// Everything that was reported of it and came to something.
    timeline: Vec<MomentBody>,
    /// What was said of it and is not believed.
    heard: Option<HeardBody>,
    mismatch: Option<MismatchBody>,
    /// How often the channel bears out what verification rested on.
    concordance: Option<RateBody>,
    /// How it came about who was asked, where not by priority alone.
    routing: Option<RoutingBody>,
    /// The share of such refusals that leaves all the same, where it is one that did.
    holdout: Option<f64>,
    rules: Option<RulesBody>,
    batch: Option<String>,
    row: Option<usize>,
    en: String,
    zh: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct VerificationBody {
    answer: &'static str,
    provider: String,
    road: Option<String>,
    elements: String,
    at_ms: u64,
    until_ms: u64,
    asked_now: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    combined_with: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct OutcomeBody {
    outcome: &'static str,
    code: Option<String>,
    arrival: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
struct MomentBody {
    at_ms: u64,
    outcome: &'static str,
    code: Option<String>,
    arrival: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
struct HeardBody {
    outcome: &'static str,
    code: Option<String>,
    belief: &'static str,
}

/// What rules said of it.
#[derive(Debug, Serialize, JsonSchema)]
struct RulesBody {
    /// The set by which it was judged, whole.
    set: String,
    /// The rule behind the decision, and its reason.
    rule: Option<String>,
    reason: Option<String>,
    hits: Vec<String>,
    shadows: Vec<String>,
    errors: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct MismatchBody {
    kind: &'static str,
    elements: String,
}

impl PaymentBody {
    /// The same, with how often the channel bears out such evidence.
    #[must_use]
    pub fn beside(self, rate: Option<Rate>) -> Self {
        Self { concordance: rate.map(RateBody::from), ..self }
    }

    /// What is shown of `record`.
    pub fn new(record: &Record, story: Story) -> Self {
        Self {
            payment: record.payment.to_string(),
            at_ms: record.at.as_millis(),
            channel: record.channel.to_string(),
            scenario: record.scenario.as_str(),
            order: record.order.as_ref().map(|order| order.0.to_string()),
            amount_fen: record.amount.map(crate::domain::money::Fen::get),
            carried: record.carried.to_string(),
            mode: record.mode.as_str(),
            decision: record.effect.as_str(),
            reasons: record.reasons.iter().map(|reason| reason.as_str()).collect(),
            verification: record.verified.as_ref().map(|evidence| VerificationBody {
                answer: evidence.answer.as_str(),
                provider: evidence.witness.as_str().to_owned(),
                road: evidence.road.as_ref().map(ToString::to_string),
                elements: evidence.elements.to_string(),
                at_ms: evidence.at.as_millis(),
                until_ms: evidence.until.as_millis(),
                asked_now: record.asked_now,
                combined_with: evidence
                    .beside
                    .as_ref()
                    .map(|beside| beside.witness.as_str().to_owned()),
            }),
            judged_in_us: u64::try_from(record.judged_in.as_micros()).unwrap_or(u64::MAX),
            outcome: record.outcome.as_ref().map(|(outcome, code, arrival)| OutcomeBody {
                outcome: outcome.as_str(),
                code: code.clone(),
                arrival: arrival.as_str(),
            }),
            timeline: record
                .timeline
                .iter()
                .map(|it| MomentBody {
                    at_ms: it.at.as_millis(),
                    outcome: it.outcome.as_str(),
                    code: it.code.clone(),
                    arrival: it.arrival.as_str(),
                })
                .collect(),
            heard: record.heard.as_ref().map(|heard| HeardBody {
                outcome: heard.outcome.as_str(),
                code: heard.code.clone(),
                belief: heard.belief.as_str(),
            }),
            mismatch: record.mismatch.map(|mismatch| MismatchBody {
                kind: mismatch.kind.as_str(),
                elements: mismatch.elements.to_string(),
            }),
            concordance: None,
            routing: record.routed.as_deref().map(RoutingBody::from),
            holdout: record.held_out.map(Share::ratio),
            rules: record.stakes.rules.as_deref().map(|ruled| RulesBody {
                set: ruled.set.to_string(),
                rule: ruled.told.as_ref().map(|(rule, _)| rule.clone()),
                reason: ruled.told.as_ref().map(|(_, reason)| reason.clone()),
                hits: ruled.hits.clone(),
                shadows: ruled.shadows.clone(),
                errors: ruled.faults.clone(),
            }),
            batch: record.row_of.map(|(batch, _)| batch.to_string()),
            row: record.row_of.map(|(_, number)| number),
            en: story.en,
            zh: story.zh,
        }
    }
}

/// What is kept under an id: a payment, or the rows of a batch.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum KeptBody {
    /// A payment.
    Payment(Box<PaymentBody>),
    /// A batch.
    Batch {
        /// The batch's id.
        batch: String,
        /// Its rows that are kept.
        rows: Vec<PaymentBody>,
    },
}

/// An inquiry whose answer is not known: on its way, or, where it is old, cut off by a crash and perhaps billed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InquiryBody {
    inquiry: String,
    provider: String,
    set: String,
    at_ms: u64,
}

impl From<&OpenInquiry> for InquiryBody {
    fn from(inquiry: &OpenInquiry) -> Self {
        Self {
            inquiry: inquiry.id.to_string(),
            provider: inquiry.provider.to_string(),
            set: inquiry.set.to_string(),
            at_ms: inquiry.at.as_millis(),
        }
    }
}

/// A code that no map knows.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UnmappedBody {
    channel: String,
    map: String,
    code: String,
    count: u64,
    last_ms: u64,
    payment: String,
}

impl From<&Unmapped> for UnmappedBody {
    fn from(unmapped: &Unmapped) -> Self {
        Self {
            channel: unmapped.channel.to_string(),
            map: unmapped.map.clone(),
            code: unmapped.code.clone(),
            count: unmapped.count,
            last_ms: unmapped.last.as_millis(),
            payment: unmapped.payment.to_string(),
        }
    }
}

/// A hold.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HoldBody {
    key: String,
    channel: String,
    payment: String,
    since_ms: u64,
    until_ms: u64,
}

impl From<&Hold> for HoldBody {
    fn from(hold: &Hold) -> Self {
        Self {
            key: hold.key.to_string(),
            channel: hold.channel.to_string(),
            payment: hold.payment.to_string(),
            since_ms: hold.since.as_millis(),
            until_ms: hold.until.as_millis(),
        }
    }
}

/// Which holds to release, and why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseBody {
    /// Keys as `GET /v1/holds` shows them.
    #[serde(default)]
    pub keys: Vec<String>,
    /// All of this channel's.
    #[serde(default)]
    pub channel: Option<String>,
    /// Why; goes into the log and the audit.
    pub note: String,
}

/// How many were released.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReleasedBody {
    /// The count.
    pub released: usize,
}

/// An agreement's standing.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AgreementBody {
    /// The channel.
    pub channel: String,
    /// The agreement's id.
    pub agreement: String,
    /// How it stands.
    pub standing: &'static str,
    /// Since when it is known, in milliseconds since the epoch.
    pub at_ms: u64,
}

/// A line of an import.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreementLine {
    agreement: String,
    merchant: Option<String>,
    name: Option<String>,
    id_number: Option<String>,
    pan: Option<String>,
    phone: Option<String>,
}

impl std::fmt::Debug for AgreementLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AgreementLine(…)")
    }
}

impl From<AgreementLine> for Told {
    fn from(line: AgreementLine) -> Self {
        Self {
            agreement: line.agreement,
            merchant: line.merchant,
            name: line.name,
            id_number: line.id_number,
            pan: line.pan,
            phone: line.phone,
        }
    }
}

/// What came of an import.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ImportBody {
    /// How many lines were imported.
    pub imported: usize,
    /// Which were not.
    pub refused: Vec<RefusedLine>,
}

/// A line that was not imported.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RefusedLine {
    /// Its number, from 1.
    pub line: usize,
    /// Why; never a value.
    pub error: String,
}
