//! What was asked for a client while it did not wait, it is told: by a webhook, as operations is told of payments.

use super::Terms;
use crate::domain::id::PaymentId;
use crate::service::Service;
use crate::store::hook::{Hook, Shelf};
use crate::store::onboarding::Stand;
use crate::store::row::Row;
use crate::store::verification::{State, Verification};
use serde::Serialize;

/// What a client is told of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told<'v> {
    /// A verification is done.
    Verification(&'v Verification),
    /// Every line of a batch was asked about.
    Batch,
    /// An onboarding is over, and stands so.
    Onboarding(Stand),
}

/// What is told, as the client reads it. No element is in it.
#[derive(Serialize)]
struct Body<'b> {
    id: String,
    event: &'static str,
    at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    onboarding: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

impl Service {
    /// The row by which a client is told, where it says where: it is kept with what it is told of.
    pub(super) fn telling_client(
        &self,
        terms: &Terms,
        about: PaymentId,
        told: Told<'_>,
    ) -> Option<Row> {
        if !terms.is_told {
            return None;
        }
        let at = self.now();
        let (id, of) = (self.new_id(at), about.to_string());
        let body = Body {
            id: id.to_string(),
            event: "verification_done",
            at_ms: at.as_millis(),
            verification: None,
            answer: None,
            batch: None,
            onboarding: None,
            status: None,
        };
        let body = match told {
            Told::Verification(verification) => {
                let answer = match verification.state {
                    State::Asking { .. } => None,
                    State::Done(came) => Some(came.answer.as_str()),
                };
                Body { verification: Some(&of), answer, ..body }
            }
            Told::Batch => Body { event: "batch_done", batch: Some(&of), ..body },
            Told::Onboarding(stand) => {
                let (onboarding, status) = (Some(of.as_str()), Some(stand.as_str()));
                Body { event: "onboarding_done", onboarding, status, ..body }
            }
        };
        let body = serde_json::to_string(&body).ok()?;
        let to = Some(terms.name.clone());
        Hook { id, at, about, to, body, attempts: 0, next: at, failed: None }.row(Shelf::Waiting)
    }
}
