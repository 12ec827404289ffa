//! The API's description in `OpenAPI` 3.1, made of the table of routes.

use super::routes::all;
use crate::api::description::{Api, describe};
use serde_json::Value;

const API: Api = Api {
    title: "Hefu's admin API",
    about: "On `[listen] admin`. What changes something is a POST and is audited. Each operation needs the right `x-right`; docs/api.md says which role has which. No body shows an element; times are milliseconds since 1970.",
    server: "http://127.0.0.1:7070",
};

/// The description of every route.
pub fn openapi() -> Value {
    describe(API, &all())
}
