//! Unwrapping: from the bytes of a body to the tree that a profile describes.

use crate::message::charset;
use crate::message::form;
use crate::message::json;
use crate::message::node::{Entries, Node, ReadError};
use crate::message::profile::{Body, Format, Place, Step, Unwrap};
use crate::message::xml;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use encoding_rs::{Encoding, UTF_8};
use std::borrow::Cow;

/// Reads a body as `layout` says; `content_type` is the header's value, where there is one.
///
/// # Errors
/// [`ReadError`] where the body is not so written, or could be read in two ways.
pub fn read<'a>(
    layout: &Body,
    content_type: Option<&str>,
    body: &'a [u8],
) -> Result<Node<'a>, ReadError> {
    let encoding = declared(layout, content_type, body)?;
    let mut node = match layout.format {
        Format::Form => form::parse(body, encoding)?,
        Format::Pairs => match decode(encoding, body)? {
            Cow::Borrowed(text) => form::parse_pairs(text)?,
            Cow::Owned(text) => owned(form::parse_pairs(&text)?),
        },
        Format::Json => match decode(encoding, body)? {
            Cow::Borrowed(text) => json::parse(text)?,
            Cow::Owned(text) => owned(json::parse(&text)?),
        },
        Format::Xml => {
            let rule = layout.xml.as_ref();
            let rule =
                rule.ok_or_else(|| ReadError::unreadable("xml", "no root in the profile"))?;
            xml::parse(&decode(encoding, body)?, rule)?
        }
        Format::Text => Node::Text(decode(encoding, body)?),
    };
    if let (Format::Form | Format::Pairs, Some(field)) = (layout.format, &layout.charset.field) {
        // It was only peeked at: it must stand there once, without a twin.
        node.find(field)?;
    }
    let charsets = Charsets {
        text: encoding,
        json: if layout.charset.field.is_some() { encoding } else { layout.charset.default },
    };
    for wrapped in &layout.unwrap {
        open(&mut node, wrapped, charsets)?;
    }
    Ok(node)
}

/// Reads the query of a `GET` as a form in the layout's default charset, and unwraps its fields as those of a body.
///
/// # Errors
/// As [`read`].
pub fn read_query<'a>(layout: &Body, query: &'a str) -> Result<Node<'a>, ReadError> {
    let encoding = layout.charset.default;
    let mut node = form::parse(query.as_bytes(), encoding)?;
    let charsets = Charsets { text: encoding, json: encoding };
    for wrapped in layout.unwrap.iter().filter(|wrapped| wrapped.at != Place::Body) {
        open(&mut node, wrapped, charsets)?;
    }
    Ok(node)
}

/// In which charsets wrapped content is written.
#[derive(Clone, Copy)]
struct Charsets {
    /// Texts: in the body's.
    text: &'static Encoding,
    /// JSON: in UTF-8 (RFC 8259 section 8.1) or as the profile says, whatever label the body around it has.
    json: &'static Encoding,
}

fn decode<'a>(encoding: &'static Encoding, body: &'a [u8]) -> Result<Cow<'a, str>, ReadError> {
    charset::decode(encoding, body)
        .ok_or_else(|| ReadError::unreadable("body", "text outside the declared charset"))
}

/// The charset of a body: what its header and its own field or declaration say, which must agree; else the default. For JSON there is no
/// such label (RFC 8259 section 11): most readers do not look at it, so that it says UTF-8 or what the profile says.
///
/// # Errors
/// [`ReadError`] where they differ, repeat, or name what is not supported.
pub fn declared(
    layout: &Body,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<&'static Encoding, ReadError> {
    let (charset, format) = (&layout.charset, layout.format);
    let known = |label: &str| {
        charset::by_label(label)
            .ok_or_else(|| ReadError::unreadable("charset", "an unsupported charset"))
    };
    let mut labels = content_type
        .into_iter()
        .flat_map(|value| value.split(';').skip(1))
        .filter_map(|parameter| {
            let (name, label) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then_some(label)
        });
    let header = labels.next().map(known).transpose()?;
    if labels.next().is_some() {
        return Err(ReadError::ambiguous("charset", "a repeated charset"));
    }
    let field = charset.field.as_ref().and_then(|path| path.keys().next());
    let field = match (format, field) {
        (Format::Form | Format::Pairs, Some(name)) => {
            form::peek(body, name).as_deref().map(known).transpose()?
        }
        (Format::Xml, _) => xml::encoding(body)?,
        (Format::Form | Format::Pairs | Format::Json | Format::Text, _) => None,
    };
    match (header, field) {
        (Some(header), Some(field)) if header != field => {
            Err(ReadError::ambiguous("charset", "contradictory charsets"))
        }
        (Some(label), _)
            if format == Format::Json && ![UTF_8, charset.default].contains(&label) =>
        {
            Err(ReadError::ambiguous("charset", "contradictory charsets"))
        }
        (header, field) => Ok(field.or(header).unwrap_or(charset.default)),
    }
}

fn open(node: &mut Node<'_>, wrapped: &Unwrap, charsets: Charsets) -> Result<(), ReadError> {
    match (&wrapped.at, node) {
        (Place::Body, node) => open_one(node, &"body", &wrapped.steps, charsets),
        (Place::Field(path), node) => match node.slot(path)? {
            Some(slot) => open_one(slot, path, &wrapped.steps, charsets),
            None => Ok(()),
        },
        (Place::Every, Node::Map(entries)) => entries
            .nodes_mut()
            .filter(|node| matches!(node, Node::Text(_)))
            // The key is the message's own: whatever it holds must not be in an error.
            .try_for_each(|node| open_one(node, &"*", &wrapped.steps, charsets)),
        (Place::Every, _) => Ok(()),
    }
}

fn open_one(
    slot: &mut Node<'_>,
    name: &dyn std::fmt::Display,
    steps: &[Step],
    charsets: Charsets,
) -> Result<(), ReadError> {
    let text = match slot {
        Node::Text(text) if !text.is_empty() => text,
        Node::Text(_) | Node::Null | Node::Sealed => return Ok(()),
        Node::Unclear(what) => return Err(ReadError::ambiguous(name, what)),
        Node::Map(_) | Node::List(_) => {
            return Err(ReadError::unreadable(name, "content where a text was expected"));
        }
    };
    let mut bytes = Cow::Borrowed(text.as_bytes());
    let mut in_wire_charset = false;
    for step in steps {
        let fault = |what| ReadError::unreadable(name, what);
        match step {
            Step::Base64 => {
                bytes = STANDARD.decode(&bytes).map_err(|_| fault("not base64"))?.into();
                in_wire_charset = true;
            }
            Step::Hex => {
                bytes = hex::decode(&bytes).map_err(|_| fault("not hexadecimal"))?.into();
                in_wire_charset = true;
            }
            Step::Percent => {
                if bytes.contains(&b'+') {
                    return Err(ReadError::ambiguous(
                        name,
                        "a `+` in a value that is encoded twice",
                    ));
                }
                bytes = form::percent_decode_bytes(&bytes)?.into();
            }
            Step::OpenBlocks(None) => {
                *slot = Node::Sealed;
                return Ok(());
            }
            Step::OpenBlocks(Some(key)) => {
                let opened = key.open_blocks(&bytes);
                bytes = opened.map_err(|_| fault("does not open under the configured key"))?.into();
            }
            Step::BraceForm | Step::Json => {
                let is_json = matches!(step, Step::Json);
                let own = if is_json { charsets.json } else { charsets.text };
                let charset = if in_wire_charset { own } else { UTF_8 };
                let text = charset::decode(charset, &bytes)
                    .ok_or_else(|| fault("text outside the declared charset"))?;
                let parsed = if is_json { json::parse(&text)? } else { brace_form(&text, name)? };
                *slot = owned(parsed);
                return Ok(());
            }
        }
    }
    let charset = if in_wire_charset { charsets.text } else { UTF_8 };
    let text = charset::decode_owned(charset, bytes.into_owned())
        .ok_or_else(|| ReadError::unreadable(name, "text outside the declared charset"))?;
    *slot = Node::Text(Cow::Owned(text));
    Ok(())
}

/// `{k=v&k=v}`; some readers split at every `&`, also where another brace is open.
fn brace_form<'t>(text: &'t str, name: &dyn std::fmt::Display) -> Result<Node<'t>, ReadError> {
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let inner = inner.ok_or_else(|| ReadError::unreadable(name, "not `{k=v&k=v}`"))?;
    if memchr::memchr2(b'{', b'}', inner.as_bytes()).is_some() {
        return Err(ReadError::ambiguous(name, "a brace within braces"));
    }
    form::parse_pairs(inner)
}

/// The same tree, owning its texts.
fn owned<'b>(node: Node<'_>) -> Node<'b> {
    match node {
        Node::Text(text) => Node::Text(Cow::Owned(text.into_owned())),
        Node::Null => Node::Null,
        Node::Sealed => Node::Sealed,
        Node::Unclear(what) => Node::Unclear(what),
        Node::List(members) => Node::List(members.into_iter().map(owned).collect()),
        Node::Map(entries) => Node::Map(Entries::of(
            entries.into_iter().map(|(key, node)| (key.into_owned(), owned(node))),
        )),
    }
}
