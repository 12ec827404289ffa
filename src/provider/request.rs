//! The request: what is sent, before it is signed.

use crate::provider::file::{self, At, Charset, Node, RequestFile};
use crate::provider::form::{self, Pairs};
use crate::provider::problem::Problems;
use crate::provider::template::{Templates, Text, Unwritable};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use minijinja::Value;
use std::collections::BTreeMap;

/// A checked request definition.
#[derive(Debug)]
pub(crate) struct Request {
    method: http::Method,
    path: Box<str>,
    query: Vec<(String, Text)>,
    headers: Vec<(HeaderName, Text)>,
    body: Body,
    charset: Charset,
}

#[derive(Debug)]
enum Body {
    Nothing,
    Form(Vec<(String, Text)>),
    Json(Tree),
    Xml(Text),
}

#[derive(Debug)]
enum Tree {
    Text(Text),
    Number(i64),
    Flag(bool),
    List(Vec<Tree>),
    Table(Vec<(String, Tree)>),
}

/// A request with its values, still to be signed.
pub(crate) struct Draft {
    pub(crate) method: http::Method,
    pub(crate) path: Box<str>,
    /// Percent-encoded and sorted by name, so that what is signed is what is sent.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
}

/// The body of a draft.
pub(crate) enum Content {
    Bytes(Vec<u8>),
    Form(Pairs),
}

impl Content {
    /// The body as it goes over the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Form(pairs) => form::write(pairs).into_bytes(),
        }
    }
}

impl Request {
    pub(crate) fn compile(
        file: &RequestFile,
        charset: Charset,
        templates: &mut Templates,
        problems: &mut Problems,
    ) -> Self {
        let path = file.path.get();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
        if !path.starts_with('/') || !path.chars().all(plain) {
            let hint = "write it from its first `/`, without query or escapes";
            problems.file(file.path.span(), format!("`{path}` is no plain path"), hint);
        }
        let method = match file.method {
            file::Method::Get => http::Method::GET,
            file::Method::Post => http::Method::POST,
        };
        Self {
            method,
            path: path.as_str().into(),
            query: fields(&file.query, templates, problems),
            headers: headers(&file.headers, templates, problems),
            body: body(file, charset, templates, problems),
            charset,
        }
    }

    /// Whether the body is a form.
    pub(crate) const fn is_form(&self) -> bool {
        matches!(self.body, Body::Form(_))
    }

    /// Renders an XML body for a made-up question; what is no document would be none for everyone.
    pub(crate) fn try_xml(
        &self,
        templates: &Templates,
        context: &Value,
    ) -> Result<(), roxmltree::Error> {
        let Body::Xml(text) = &self.body else { return Ok(()) };
        // What does not parse or render has been reported.
        let xml = templates.render(text, context).unwrap_or_default();
        if xml.is_empty() {
            return Ok(());
        }
        roxmltree::Document::parse(&xml).map(drop)
    }

    /// Whether a header is sent, by its name in lower case.
    pub(crate) fn sends(&self, header: &str) -> bool {
        let body_type = !matches!(self.body, Body::Nothing) && header == CONTENT_TYPE.as_str();
        body_type || self.headers.iter().any(|(name, _)| name.as_str() == header)
    }

    /// Writes one question.
    pub(crate) fn write(
        &self,
        templates: &Templates,
        context: &Value,
    ) -> Result<Draft, Unwritable> {
        let mut query = self.pairs(&self.query, templates, context)?;
        query.sort();
        let (payload, media_type) = match &self.body {
            Body::Nothing => (Content::Bytes(Vec::new()), None),
            Body::Form(fields) => {
                let pairs = self.pairs(fields, templates, context)?;
                (Content::Form(pairs), Some("application/x-www-form-urlencoded"))
            }
            Body::Json(tree) => {
                let json = tree.write(templates, context)?.unwrap_or(serde_json::json!({}));
                let json = serde_json::to_vec(&json).map_err(|_| Unwritable)?;
                (Content::Bytes(json), Some("application/json; charset=utf-8"))
            }
            Body::Xml(text) => {
                let xml = templates.render(text, context)?;
                let xml = self.charset.encode(&xml).ok_or(Unwritable)?;
                (Content::Bytes(xml), Some(self.charset.xml_type()))
            }
        };
        let mut headers = HeaderMap::new();
        if let Some(media_type) = media_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        for (name, text) in &self.headers {
            let value = templates.render(text, context)?;
            if !value.is_empty() {
                let value = HeaderValue::from_str(&value).map_err(|_| Unwritable)?;
                headers.insert(name.clone(), value);
            }
        }
        let (method, path) = (self.method.clone(), self.path.clone());
        Ok(Draft { method, path, query: form::write(&query), headers, content: payload })
    }

    fn pairs(
        &self,
        fields: &[(String, Text)],
        templates: &Templates,
        context: &Value,
    ) -> Result<Pairs, Unwritable> {
        let mut pairs = Pairs::with_capacity(fields.len());
        for (name, text) in fields {
            let value = templates.render(text, context)?;
            if !value.is_empty() {
                let value = self.charset.encode(&value).ok_or(Unwritable)?;
                pairs.push((name.clone().into_bytes(), value));
            }
        }
        Ok(pairs)
    }
}

fn fields(
    file: &BTreeMap<String, At<String>>,
    templates: &mut Templates,
    problems: &mut Problems,
) -> Vec<(String, Text)> {
    file.iter().map(|(name, text)| (name.clone(), templates.add_at(text, problems))).collect()
}

/// Headers that the connection sets itself.
const OURS: [&str; 4] = ["host", "content-length", "transfer-encoding", "connection"];

fn headers(
    file: &BTreeMap<At<String>, At<String>>,
    templates: &mut Templates,
    problems: &mut Problems,
) -> Vec<(HeaderName, Text)> {
    let mut headers: Vec<(HeaderName, Text)> = Vec::with_capacity(file.len());
    for (name, text) in file {
        let text = templates.add_at(text, problems);
        match HeaderName::from_bytes(name.get().as_bytes()) {
            Ok(header) if OURS.contains(&header.as_str()) => {
                let hint = "leave it out; the connection sets it";
                problems.file(name.span(), format!("`{header}` is not for a definition"), hint);
            }
            Ok(header) if headers.iter().any(|(seen, _)| *seen == header) => {
                problems.file(name.span(), format!("`{header}` is there twice"), "");
            }
            Ok(header) => headers.push((header, text)),
            Err(_) => {
                problems.file(name.span(), format!("`{}` is no header name", name.get()), "");
            }
        }
    }
    headers
}

fn body(
    file: &RequestFile,
    charset: Charset,
    templates: &mut Templates,
    problems: &mut Problems,
) -> Body {
    let spans = [
        file.form.as_ref().map(At::span),
        file.json.as_ref().map(At::span),
        file.xml.as_ref().map(At::span),
    ];
    for span in spans.into_iter().flatten().skip(1) {
        let hint = "keep `form`, `json` or `xml`";
        problems.file(span, "a request has one body", hint);
    }
    match (&file.form, &file.json, &file.xml) {
        (None, None, None) => Body::Nothing,
        (Some(form), _, _) => Body::Form(fields(form.get(), templates, problems)),
        (None, None, Some(xml)) => Body::Xml(templates.add_xml(xml.get(), xml.span(), problems)),
        (None, Some(json), _) => {
            if charset != Charset::Utf8 {
                let hint = "leave out `charset`";
                problems.file(json.span(), "JSON is UTF-8 (RFC 8259)", hint);
            }
            Body::Json(tree(json, templates, problems))
        }
    }
}

fn tree(node: &At<Node>, templates: &mut Templates, problems: &mut Problems) -> Tree {
    match node.get() {
        Node::Text(text) => Tree::Text(templates.add(text, node.span(), problems)),
        Node::Number(number) => Tree::Number(*number),
        Node::Flag(flag) => Tree::Flag(*flag),
        Node::List(items) => {
            Tree::List(items.iter().map(|item| tree(item, templates, problems)).collect())
        }
        Node::Table(entries) => Tree::Table(
            entries
                .iter()
                .map(|(key, value)| (key.clone(), tree(value, templates, problems)))
                .collect(),
        ),
    }
}

impl Tree {
    /// The JSON of one question; nothing for a text that renders empty.
    fn write(
        &self,
        templates: &Templates,
        context: &Value,
    ) -> Result<Option<serde_json::Value>, Unwritable> {
        Ok(Some(match self {
            Self::Text(text) => {
                let text = templates.render(text, context)?;
                return Ok(Some(text).filter(|text| !text.is_empty()).map(Into::into));
            }
            Self::Number(number) => (*number).into(),
            Self::Flag(flag) => (*flag).into(),
            Self::List(items) => {
                let items =
                    items.iter().filter_map(|item| item.write(templates, context).transpose());
                serde_json::Value::Array(items.collect::<Result<_, _>>()?)
            }
            Self::Table(entries) => {
                let entries = entries.iter().filter_map(|(key, tree)| {
                    let value = tree.write(templates, context).transpose()?;
                    Some(value.map(|value| (key.clone(), value)))
                });
                serde_json::Value::Object(entries.collect::<Result<_, _>>()?)
            }
        }))
    }
}
