//! A route, once: what it is, who may call it, what it asks and tells. Router and description are made of a table of these.

use axum::routing::MethodRouter;
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// A schema, made where it is needed.
pub type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What somebody must be allowed to do.
pub trait Need: Copy {
    /// The word in the description.
    fn word(self) -> &'static str;
}

/// What a body is.
#[derive(Clone, Copy, Debug)]
pub enum Content {
    /// JSON of this schema.
    Json(MakeSchema),
    /// Text of this media type.
    Text(&'static str),
}

/// A header of a request.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub about: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What it matches, where that is said.
    pub pattern: Option<&'static str>,
}

/// One route of an API with the state `S`.
#[derive(Debug)]
pub struct Served<S, N> {
    /// In lower case.
    pub method: &'static str,
    /// As the router writes it.
    pub path: &'static str,
    /// What one must be allowed; nothing, where nobody says who they are.
    pub right: Option<N>,
    /// What it does, in a line.
    pub about: &'static str,
    /// What it reads from the query.
    pub query: Option<MakeSchema>,
    /// What it reads from headers.
    pub headers: &'static [Header],
    /// The body that it takes.
    pub asks: Option<Content>,
    /// The status of success.
    pub status: u16,
    /// Other statuses of success, with the same body.
    pub or: &'static [(u16, &'static str)],
    /// The body of its answer.
    pub tells: Option<Content>,
    /// Who serves it.
    pub handler: MethodRouter<S>,
}

impl<S, N> Served<S, N> {
    /// With fields of the query.
    #[must_use]
    pub fn query<T: JsonSchema>(self) -> Self {
        Self { query: Some(schema::<T>), ..self }
    }

    /// With headers.
    #[must_use]
    pub fn headers(self, headers: &'static [Header]) -> Self {
        Self { headers, ..self }
    }

    /// With a body of JSON.
    #[must_use]
    pub fn asks<T: JsonSchema>(self) -> Self {
        Self { asks: Some(Content::Json(schema::<T>)), ..self }
    }

    /// With a body of text.
    #[must_use]
    pub fn asks_text(self, media: &'static str) -> Self {
        Self { asks: Some(Content::Text(media)), ..self }
    }

    /// With an answer of JSON.
    #[must_use]
    pub fn tells<T: JsonSchema>(self) -> Self {
        Self { tells: Some(Content::Json(schema::<T>)), ..self }
    }

    /// With an answer of text.
    #[must_use]
    pub fn tells_text(self, media: &'static str) -> Self {
        Self { tells: Some(Content::Text(media)), ..self }
    }

    /// With another status of success.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// With more of them.
    #[must_use]
    pub fn or(self, or: &'static [(u16, &'static str)]) -> Self {
        Self { or, ..self }
    }
}

/// A route that changes nothing.
pub fn shows<S, N>(
    path: &'static str,
    right: N,
    about: &'static str,
    handler: MethodRouter<S>,
) -> Served<S, N> {
    let (query, asks, tells) = (None, None, None);
    Served {
        method: "get",
        path,
        right: Some(right),
        about,
        query,
        headers: &[],
        asks,
        status: 200,
        or: &[],
        tells,
        handler,
    }
}

/// A route that changes something, or asks what must not stand in a log of paths.
pub fn changes<S, N>(
    path: &'static str,
    right: N,
    about: &'static str,
    handler: MethodRouter<S>,
) -> Served<S, N> {
    Served { method: "post", ..shows(path, right, about, handler) }
}
