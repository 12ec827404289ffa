//! An API's description in `OpenAPI` 3.1, made of its table of routes.

use super::table::{Content, Header, MakeSchema, Need, Served};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// What is said of an API as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    /// What it is called.
    pub title: &'static str,
    /// What everybody should know who calls it.
    pub about: &'static str,
    /// Where it is, for instance.
    pub server: &'static str,
}

/// The description of every route.
pub fn describe<S, N: Need>(api: Api, routes: &[Served<S, N>]) -> Value {
    // References lead to where OpenAPI has its schemas.
    let settings = SchemaSettings::draft2020_12()
        .with(|it| it.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for served in routes {
        let described = operation(served, &mut generator);
        let path = paths.entry(served.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(served.method.to_owned(), described);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": api.title,
            "version": "1",
            "description": api.about,
            "license": { "name": "Apache-2.0" },
        },
        "servers": [{ "url": api.server }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "responses": { "Problem": {
                "description": "What is wrong (RFC 9457), or the text of what could not be read",
                "content": {
                    "application/problem+json": { "schema": {
                        "type": "object",
                        "required": ["type", "title", "status", "detail"],
                        "properties": {
                            "type": { "type": "string" }, "title": { "type": "string" },
                            "status": { "type": "integer" }, "detail": { "type": "string" },
                            "field": { "type": "string" }, "lines": { "type": "array" },
                        },
                    } },
                    "text/plain": { "schema": { "type": "string" } },
                },
            } },
        },
    })
}

fn operation<S, N: Need>(served: &Served<S, N>, generator: &mut SchemaGenerator) -> Value {
    let mut operation = Map::new();
    operation.insert("summary".into(), json!(served.about));
    let words = served.path.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    operation.insert("operationId".into(), json!(format!("{}_{}", served.method, words.join("_"))));
    let mut parameters = in_path(served.path);
    parameters.extend(served.query.into_iter().flat_map(|query| in_query(query, generator)));
    parameters.extend(served.headers.iter().map(in_header));
    if !parameters.is_empty() {
        operation.insert("parameters".into(), json!(parameters));
    }
    if let Some(asks) = served.asks {
        let body = json!({ "required": true, "content": content(asks, generator) });
        operation.insert("requestBody".into(), body);
    }
    let mut responses = Map::new();
    for (status, about) in std::iter::once(&(served.status, "It is so")).chain(served.or) {
        let mut answer = json!({ "description": about });
        let tells = served.tells.filter(|_| *status != 304);
        if let (Some(tells), Some(answer)) = (tells, answer.as_object_mut()) {
            answer.insert("content".into(), content(tells, generator));
        }
        responses.insert(status.to_string(), answer);
    }
    responses.insert("default".into(), json!({ "$ref": "#/components/responses/Problem" }));
    operation.insert("responses".into(), Value::Object(responses));
    if let Some(right) = served.right {
        operation.insert("security".into(), json!([{ "token": [] }]));
        operation.insert("x-right".into(), json!(right.word()));
    }
    Value::Object(operation)
}

fn content(of: Content, generator: &mut SchemaGenerator) -> Value {
    match of {
        Content::Json(schema) => json!({ "application/json": { "schema": schema(generator) } }),
        Content::Text(media) => json!({ media: { "schema": { "type": "string" } } }),
    }
}

fn in_path(path: &str) -> Vec<Value> {
    let names = path.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
    let parameter = |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    names.map(parameter).collect()
}

fn in_header(header: &Header) -> Value {
    let Header { name, about, required, pattern } = header;
    let schema = without_nothing(json!({ "type": "string", "pattern": pattern }));
    json!({ "name": name, "in": "header", "required": required, "description": about, "schema": schema })
}

/// The fields of what is read from a query, each a parameter.
fn in_query(query: MakeSchema, generator: &mut SchemaGenerator) -> Vec<Value> {
    let reference = query(generator);
    let named = reference.get("$ref").and_then(Value::as_str);
    let name = named.and_then(|path| path.rsplit('/').next()).unwrap_or_default().to_owned();
    let Some(schema) = generator.definitions_mut().remove(&name) else { return Vec::new() };
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let fields = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let parameter = |(name, mut schema): (String, Value)| {
        let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let required = required.contains(&json!(name));
        json!({ "name": name, "in": "query", "required": required, "description": about, "schema": schema })
    };
    let parameters = fields.into_iter().map(parameter).map(without_nothing);
    parameters.collect()
}

fn without_nothing(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    value
}
