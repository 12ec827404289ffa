//! Every route, once: what it is, who may call it, what it asks and tells. The router and the description are made of this table.

use super::access::guard;
use super::body::{
    BatchBody, BatchesBody, LinesBody, VerificationBody, VerificationsBody, WantedBody,
};
use super::onboardings::{self, MerchantBody, OnboardingBody, OnboardingsBody};
use super::statements::{self, StatementBody};
use super::verifications::{self, ListQuery};
use super::{Live, batches};
use crate::api::table::{self, Header, Need, changes, shows};
use crate::domain::client::Scope;
use axum::routing::{get, post};
use axum::{Router, middleware};

/// One route.
type Served = table::Served<Live, Scope>;

impl Need for Scope {
    fn word(self) -> &'static str {
        self.as_str()
    }
}

const KEY: Header = Header {
    name: "Idempotency-Key",
    about: "1 to 64 visible ASCII characters that name this request: sent again with the same content it is told what it came to, and nothing is asked or charged twice",
    required: true,
    pattern: Some("^[!-~]{1,64}$"),
};

const IF_NONE_MATCH: Header = Header {
    name: "If-None-Match",
    about: "The `ETag` of what is known: `304` where it is still so",
    required: false,
    pattern: None,
};

const STILL_SO: [(u16, &str); 1] = [(304, "It is still so")];

/// The routes.
pub(super) fn all() -> Vec<Served> {
    [questions(), others()].into_iter().flatten().collect()
}

/// What is asked about, one by one and many at once.
fn questions() -> Vec<Served> {
    vec![
        changes(
            "/v1/verifications",
            Scope::Verify,
            "Have elements verified",
            post(verifications::ask),
        )
        .headers(&[KEY])
        .asks::<WantedBody>()
        .status(201)
        .or(&[(200, "It was asked before, and came to this"), (202, "It is being asked")])
        .tells::<VerificationBody>(),
        shows(
            "/v1/verifications",
            Scope::Read,
            "Your verifications, the newest first",
            get(verifications::list),
        )
        .query::<ListQuery>()
        .tells::<VerificationsBody>(),
        shows("/v1/verifications/{id}", Scope::Read, "A verification", get(verifications::show))
            .headers(&[IF_NONE_MATCH])
            .or(&STILL_SO)
            .tells::<VerificationBody>(),
        changes(
            "/v1/batches",
            Scope::Batch,
            "Have many verified, one by one and beside you",
            post(batches::post),
        )
        .headers(&[KEY])
        .asks::<LinesBody>()
        .status(202)
        .tells::<BatchBody>(),
        shows("/v1/batches", Scope::Read, "Your batches, the newest first", get(batches::list))
            .query::<ListQuery>()
            .tells::<BatchesBody>(),
        shows("/v1/batches/{id}", Scope::Read, "How far a batch is", get(batches::show))
            .headers(&[IF_NONE_MATCH])
            .or(&STILL_SO)
            .tells::<BatchBody>(),
        shows(
            "/v1/batches/{id}/result",
            Scope::Read,
            "What became of each of its lines, as CSV",
            get(batches::result),
        )
        .tells_text("text/csv"),
    ]
}

/// Merchants, and what a month comes to.
fn others() -> Vec<Served> {
    vec![
        changes(
            "/v1/onboardings",
            Scope::Verify,
            "Take a merchant on: its registration, who stands for it, and their card, as far as it can succeed",
            post(onboardings::post),
        )
        .headers(&[KEY])
        .asks::<MerchantBody>()
        .or(&[(202, "It is being asked")])
        .tells::<OnboardingBody>(),
        shows(
            "/v1/onboardings",
            Scope::Read,
            "Your onboardings, the newest first",
            get(onboardings::list),
        )
        .query::<ListQuery>()
        .tells::<OnboardingsBody>(),
        shows("/v1/onboardings/{id}", Scope::Read, "How it stands with one", get(onboardings::show))
            .headers(&[IF_NONE_MATCH])
            .or(&STILL_SO)
            .tells::<OnboardingBody>(),
        shows(
            "/v1/statements/{month}",
            Scope::Statements,
            "What a month comes to, by China's calendar: 2026-11",
            get(statements::show),
        )
        .tells::<StatementBody>(),
    ]
}

/// What serves them.
pub(super) fn router(live: &Live) -> Router<Live> {
    all().into_iter().fold(Router::new(), |router, served| {
        let Served { path, right, handler, .. } = served;
        let handler = match right {
            Some(scope) => {
                handler.route_layer(middleware::from_fn_with_state((live.clone(), scope), guard))
            }
            None => handler,
        };
        router.route(path, handler)
    })
}
