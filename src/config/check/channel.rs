//! From a channel's file to its profile.

use super::codes::Codes;
use super::{message, notify, statement};
use crate::config::file::channel::{
    BodyFile, ChannelFile, Field, LayerFile, OneOrMany, OutcomeFile, StepFile, UnwrapFile,
};
use crate::config::problem::suggest;
use crate::config::read::{At, Opened, Sheet};
use crate::crypto::seal::OpeningKey;
use crate::domain::id::{ChannelName, Road};
use crate::message::charset::Charset;
use crate::message::path::Path;
use crate::message::profile::{
    Body, Format, Layer, Message, OutcomeRule, Place, Profile, RouteRule, Step, Unwrap, XmlRule,
};
use crate::proxy::head::stays_here;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What a channel's file is checked against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around<'a> {
    /// All code maps, by file.
    pub(crate) codes: &'a BTreeMap<String, Codes>,
    /// The channel's keys, where it is in use.
    pub(crate) keys: &'a BTreeMap<String, OpeningKey>,
}

/// The names of the keys that a channel's file asks for.
pub(crate) fn key_names(file: &ChannelFile) -> BTreeSet<&str> {
    let notify = file.notify.as_ref().map(|notify| &notify.value);
    let body = notify.and_then(|notify| notify.body.as_ref());
    let signature = notify.and_then(|notify| notify.signature.as_ref());
    let pinned = signature.and_then(|signature| signature.value.key.as_ref());
    [file.request.as_ref(), file.answer.as_ref(), body]
        .into_iter()
        .flatten()
        .flat_map(|body| &body.value.unwrap)
        .flat_map(|unwrap| &unwrap.value.steps)
        .filter_map(|step| match &step.value {
            StepFile::OpenBlocks(name) => Some(name.as_str()),
            StepFile::Base64
            | StepFile::Hex
            | StepFile::Percent
            | StepFile::BraceForm
            | StepFile::Json
            | StepFile::Sealed => None,
        })
        .chain(pinned.map(OneOrMany::as_slice).unwrap_or_default().iter().map(String::as_str))
        .collect()
}

/// Checks a channel's file. `None` where a part without which there is no profile is wrong.
pub(crate) fn check(opened: &mut Opened<ChannelFile>, around: Around<'_>) -> Option<Profile> {
    let Opened { sheet, file, .. } = opened;
    let top = 0..0;
    let name =
        sheet.need(file.name.as_ref(), &top, "name", "name the channel, such as `name = \"acme\"`");
    let codes = find_codes(sheet, file, around.codes);
    let maps = Maps { known: codes };
    let request = sheet.need(
        file.request.as_ref(),
        &top,
        "request",
        "say how requests are written in `[request]`",
    );
    let request = request.and_then(|body| read_body(sheet, body, around.keys));
    let answer = sheet.need(
        file.answer.as_ref(),
        &top,
        "answer",
        "say how answers are written in `[answer]`",
    );
    let answer = answer.and_then(|body| read_body(sheet, body, around.keys));
    if file.route.is_empty() {
        let hint = "say which requests are its messages in `[[route]]`";
        sheet.problem(&top, "the channel has no route", hint);
    }
    let mut routes = Vec::new();
    for route in &file.route {
        let host = route.value.host.as_ref().map(|host| host.0.0.clone());
        let hint = "say what the path begins with; `/` is every path";
        let path = sheet.need(route.value.path.as_ref(), &route.span, "path", hint);
        routes.extend(path.map(|path| RouteRule { host, path: path.value.0.0.clone() }));
    }
    let same = read_same(sheet, file);
    let messages = message::check_all(sheet, &file.message, &maps);
    let headers = headers(&messages, &same);
    if let Some(name) = headers.iter().find(|name| stays_here(name)) {
        let hint = "read what reaches the channel: a field of one connection, or of ours, does not";
        sheet.problem(&top, format!("`@{name}` is never forwarded"), hint);
    }
    let notify = match &file.notify {
        Some(file) => {
            Some(notify::check(sheet, file, &maps, (around.keys, request.as_ref(), &same))?)
        }
        None => None,
    };
    let statements = statement::check(sheet, file, &maps);
    let precedence = statement::precedence(sheet, file);
    let profile = Profile {
        channel: ChannelName::new(&name?.value.0.0),
        road: file.road.as_ref().map(|road| Road::new(&road.0.0)),
        routes,
        request: request?,
        answer: answer?,
        headers,
        same,
        messages,
        codes: codes.map(|codes| codes.maps.clone()).unwrap_or_default(),
        notify,
        statements,
        precedence,
    };
    Some(profile)
}

/// Fields and their copies, in the message itself.
fn read_same(sheet: &mut Sheet, file: &ChannelFile) -> Vec<(Path, Path)> {
    let mut same = Vec::new();
    let hint = "name the field and its copy, such as `[\"kind\", \"sealed/kind\"]`";
    for At { span, value } in &file.same {
        let [field, copy] = value.as_slice() else {
            sheet.problem(span, "not a field and its copy", hint);
            continue;
        };
        if field == copy {
            sheet.problem(span, format!("`{}` is no copy of itself", field.0), hint);
        }
        if let Some(path) = [&field.0, &copy.0].into_iter().find(|path| path.in_row()) {
            let hint = "copies are compared before there are rows: write a path from the root";
            sheet.problem(span, format!("`{path}` is read in rows, and there are none"), hint);
        }
        same.push((field.0.clone(), copy.0.clone()));
    }
    same
}

/// The HTTP headers that messages are read from.
fn headers(messages: &[Message], same: &[(Path, Path)]) -> Vec<String> {
    let same = same.iter().flat_map(|(field, copy)| [field, copy]);
    let paths = messages.iter().flat_map(message::request_paths).chain(same);
    let names: BTreeSet<&str> = paths.filter_map(Path::header).collect();
    names.into_iter().map(str::to_owned).collect()
}

fn find_codes<'a>(
    sheet: &mut Sheet,
    file: &ChannelFile,
    codes: &'a BTreeMap<String, Codes>,
) -> Option<&'a Codes> {
    let named = file.codes.as_ref()?;
    let found = codes.get(&named.value);
    if found.is_none() {
        let hint = if codes.is_empty() {
            "write the channel's code maps into that file".to_owned()
        } else {
            suggest(&named.value, codes.keys().map(String::as_str))
        };
        sheet.problem(&named.span, format!("there is no `codes/{}.toml`", named.value), hint);
    }
    found
}

/// The code maps that a channel may name.
#[derive(Debug)]
pub(crate) struct Maps<'a> {
    known: Option<&'a Codes>,
}

impl Maps<'_> {
    /// The rule for reading an outcome; its maps must be known.
    pub(crate) fn outcome(&self, sheet: &mut Sheet, file: &At<OutcomeFile>) -> Option<OutcomeRule> {
        let OutcomeFile { code, map, outer, rows, row, order, amount } = &file.value;
        let mut outer_layers = Vec::new();
        if let Some(outer) = outer {
            for LayerFile { code, map } in outer.value.layers() {
                outer_layers.push(self.layer(sheet, &outer.span, code.as_ref(), map.as_ref()));
            }
        }
        let layer = self.layer(sheet, &file.span, code.as_ref(), map.as_ref());
        let rows = message::rows(sheet, &file.span, rows.as_ref(), row);
        Some(OutcomeRule {
            outer: outer_layers.into_iter().collect::<Option<_>>()?,
            rows,
            layer: layer?,
            order: order.iter().map(|field| field.0.clone()).collect(),
            amount: amount.as_ref().and_then(|amount| message::read_amount(sheet, amount)),
        })
    }

    fn layer(
        &self,
        sheet: &mut Sheet,
        span: &Range<usize>,
        code: Option<&Field>,
        map: Option<&At<String>>,
    ) -> Option<Layer> {
        let code = sheet.need(code, span, "code", "name the field with the result code");
        let map = sheet.need(map, span, "map", "name the code map that reads it")?;
        let map = self.name(sheet, map);
        Some(Layer { code: code?.0.clone(), map })
    }

    /// The name of a code map, which must be known.
    pub(super) fn name(&self, sheet: &mut Sheet, map: &At<String>) -> String {
        let maps = self.known.map(|codes| &codes.maps);
        if let Some(maps) = maps.filter(|maps| !maps.contains_key(&map.value)) {
            let hint = suggest(&map.value, maps.keys().map(String::as_str));
            sheet.problem(&map.span, format!("no code map `{}`", map.value), hint);
        } else if maps.is_none() {
            let hint = "name the file of code maps at the top, such as `codes = \"acme\"`";
            sheet.problem(&map.span, format!("no code map `{}`", map.value), hint);
        }
        map.value.clone()
    }
}

/// How a body is written.
pub(super) fn read_body(
    sheet: &mut Sheet,
    file: &At<BodyFile>,
    keys: &BTreeMap<String, OpeningKey>,
) -> Option<Body> {
    let span = &file.span;
    let file = &file.value;
    let format =
        sheet.need(file.format.as_ref(), span, "format", "one of form, pairs, json, xml, text");
    if let Some(field) =
        file.charset.field.as_ref().filter(|field| field.value.0.keys().count() > 1)
    {
        let hint = "the charset must be known before anything is unwrapped";
        sheet.problem(&field.span, "the field that names the charset is not outermost", hint);
    }
    let default = file.charset.default.as_ref().map_or(encoding_rs::UTF_8, |label| label.0.0);
    let format = format?.0;
    let unwrap =
        file.unwrap.iter().map(|unwrap| read_unwrap(sheet, unwrap, format, keys)).collect();
    Some(Body {
        format,
        xml: read_xml(sheet, span, file, format),
        charset: Charset {
            field: file.charset.field.as_ref().map(|field| field.value.0.clone()),
            default,
        },
        content_types: file.content_types.iter().map(|kind| kind.0.0.clone()).collect(),
        unwrap,
    })
}

fn read_xml(
    sheet: &mut Sheet,
    span: &Range<usize>,
    file: &BodyFile,
    format: Format,
) -> Option<XmlRule> {
    let tail_span = file.tail.as_ref().map(|tail| &tail.span);
    let texts = [file.root.as_ref(), file.namespace.as_ref()];
    let spans = texts.into_iter().flatten().map(|text| &text.span).chain(tail_span);
    if format != Format::Xml {
        for span in spans {
            let hint = "only a body of format `xml` has a root, a namespace and a tail";
            sheet.problem(span, "this body is not XML", hint);
        }
        return None;
    }
    let hint = "name the root element, such as `root = \"message\"`; paths begin below it";
    let root = sheet.need(file.root.as_ref(), span, "root", hint)?;
    Some(XmlRule {
        root: root.value.clone(),
        namespace: file.namespace.as_ref().map(|namespace| namespace.value.clone()),
        tail: file.tail.as_ref().map(|tail| tail.value.0.clone()),
    })
}

fn read_unwrap(
    sheet: &mut Sheet,
    unwrap: &At<UnwrapFile>,
    format: Format,
    keys: &BTreeMap<String, OpeningKey>,
) -> Unwrap {
    let file = &unwrap.value;
    match (&file.at, format) {
        (None, Format::Form | Format::Pairs | Format::Json | Format::Xml) => {
            let hint = "name the field in `at`, or unwrap a whole body of format `text`";
            sheet.problem(&unwrap.span, "nothing says what is unwrapped", hint);
        }
        (Some(_), Format::Text) => {
            let hint = "leave `at` out: the whole body is unwrapped";
            sheet.problem(&unwrap.span, "a body of format `text` has no fields", hint);
        }
        (None, Format::Text)
        | (Some(_), Format::Form | Format::Pairs | Format::Json | Format::Xml) => (),
    }
    let mut steps = Vec::new();
    for step in &file.steps {
        if matches!(steps.last(), Some(Step::BraceForm | Step::Json)) {
            let hint =
                "fields are the end of unwrapping; name an inner field in an `unwrap` of its own";
            sheet.problem(&step.span, "a step after the fields are open", hint);
        }
        steps.push(match &step.value {
            StepFile::Base64 => Step::Base64,
            StepFile::Hex => Step::Hex,
            StepFile::Percent => Step::Percent,
            StepFile::BraceForm => Step::BraceForm,
            StepFile::Json => Step::Json,
            StepFile::Sealed => Step::OpenBlocks(None),
            StepFile::OpenBlocks(name) => Step::OpenBlocks(keys.get(name).cloned()),
        });
    }
    if steps.is_empty() {
        let hint = "write the steps in order, such as `steps = [\"base64\", \"brace_form\"]`";
        sheet.problem(&unwrap.span, "an `unwrap` without steps", hint);
    }
    Unwrap { at: file.at.as_ref().map_or(Place::Body, |at| at.0.clone()), steps }
}

/// The paths of fields.
pub(crate) fn paths(fields: &[Field]) -> Vec<Path> {
    fields.iter().map(|field| field.0.clone()).collect()
}
