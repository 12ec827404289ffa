//! Forgetting a person. Elements come in the body, leave in no answer, and are in no log.

use super::Admin;
use super::access::Operator;
use super::body::Problem;
use crate::service::forget::{ForgetError, Told};
use crate::store::audit::Action;
use crate::store::person::Forgotten;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Whom to forget, and why.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ForgetBody {
    #[serde(default)]
    id_number: Option<String>,
    #[serde(default)]
    id_type: Option<String>,
    #[serde(default)]
    pans: Vec<String>,
    reference: String,
}

impl From<ForgetBody> for Told {
    fn from(body: ForgetBody) -> Self {
        let ForgetBody { id_number, id_type, pans, reference } = body;
        Self { id_number, id_type, pans, reference }
    }
}

/// What was removed, and what is kept and why.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ForgottenBody {
    removed: RemovedBody,
    kept: [KeptBody; 3],
}

#[derive(Debug, Serialize, JsonSchema)]
struct RemovedBody {
    evidence: usize,
    agreements: usize,
    waiting_binds: usize,
    holds: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
struct KeptBody {
    what: &'static str,
    why: &'static str,
}

const KEPT: [KeptBody; 3] = [
    KeptBody {
        what: "payments, orders, expectations",
        why: "no element is in them, only keyed fingerprints; law, late outcomes and disputes need them, for as long as `[store.keep] payments` says",
    },
    KeptBody {
        what: "inquiries and charges",
        why: "they name nobody; the provider's bill is checked against them, for as long as `[store.keep] charges` says",
    },
    KeptBody {
        what: "backups, and agreements that were imported with no element",
        why: "Hefu cannot find a person there: forget again after a restore; such an agreement names nobody but to its channel",
    },
];

impl From<Forgotten> for ForgottenBody {
    fn from(forgotten: Forgotten) -> Self {
        let Forgotten { evidence, agreements, waiting_binds, holds } = forgotten;
        let removed = RemovedBody { evidence, agreements, waiting_binds, holds };
        Self { removed, kept: KEPT }
    }
}

/// Forgets whom the body tells.
pub(super) async fn forget(
    State(admin): State<Arc<Admin>>,
    who: Operator,
    body: String,
) -> Result<Json<ForgottenBody>, Problem> {
    // The parser's own words may quote a value.
    let body = serde_json::from_str::<ForgetBody>(&body).map_err(|_| {
        let detail = "not a JSON object with a `reference` and `id_number`, `id_type` or `pans`";
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })?;
    let told = Told::from(body);
    let forgotten = admin.service.forget(&told).await.map_err(|error| {
        let status = match error {
            ForgetError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            ForgetError::Nobody
            | ForgetError::Document
            | ForgetError::Cards
            | ForgetError::Reference
            | ForgetError::Element(_) => StatusCode::BAD_REQUEST,
        };
        Problem::told(status, &error)
    })?;
    let reference = told.reference.trim().to_owned();
    admin.audit(who, Action::ForgetPerson { reference, forgotten }).await?;
    Ok(Json(forgotten.into()))
}
