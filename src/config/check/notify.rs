//! From `[notify]` to how a channel's notifications are read, and what proves them.

use super::channel::{Maps, paths, read_body};
use super::message::{check_told, read_amount};
use crate::config::file::channel::{Field, NotificationFile, NotifyFile, SignatureFile};
use crate::config::read::{At, Sheet};
use crate::config::text::Text;
use crate::crypto::seal::OpeningKey;
use crate::domain::payment::Scenario;
use crate::message::path::Path;
use crate::message::profile::{
    Body, Format, Notification, Notify, Place, Profile, Proof, Signature, Signed, Step,
};
use crate::proxy::head::stays_here;
use std::collections::{BTreeMap, BTreeSet};

/// Keys by name, how requests are written, and which fields have copies.
type Beside<'a> = (&'a BTreeMap<String, OpeningKey>, Option<&'a Body>, &'a [(Path, Path)]);

/// Checks a channel's notifications.
pub(crate) fn check(
    sheet: &mut Sheet,
    at: &At<NotifyFile>,
    maps: &Maps<'_>,
    (keys, request, same): Beside<'_>,
) -> Option<Notify> {
    let (span, file) = (&at.span, &at.value);
    let hint = "say what the path of notifications begins with";
    let path = sheet.need(file.path.as_ref(), span, "path", hint);
    let body = match &file.body {
        Some(body) => read_body(sheet, body, keys),
        None => request.cloned(),
    };
    if file.message.is_empty() {
        let hint = "say what they tell in `[[notify.message]]`";
        sheet.problem(span, "notifications that tell nothing", hint);
    }
    let messages: Vec<Notification> =
        file.message.iter().map(|message| read_message(sheet, message, maps)).collect();
    if let Some(empty) = file.acknowledged.as_ref().filter(|body| body.value.is_empty()) {
        let hint = "leave it out where any answer of the core acknowledges";
        sheet.problem(&empty.span, "an empty body is not distinctive", hint);
    }
    if let (Some(_), Some(opened)) = (&file.signature, &file.opened) {
        let hint = "one of them proves a notification";
        sheet.problem(&opened.span, "both `signature` and `opened`", hint);
    }
    let body = body?;
    let signature =
        file.signature.as_ref().and_then(|file| read_signature(sheet, file, &body, keys));
    let opened =
        file.opened.as_ref().map(|opened| read_opened(sheet, opened, (&body, same), &file.message));
    let proof = signature.map(Proof::Signature).or(opened.map(Proof::Opened));
    let headers = headers(&messages, proof.as_ref());
    if let Some(name) = headers.iter().find(|name| stays_here(name)) {
        let hint = "read what reaches the core: a field of one connection, or of ours, does not";
        sheet.problem(span, format!("`@{name}` is never forwarded"), hint);
    }
    let path = path?.value.0.0.clone();
    let acknowledged = file.acknowledged.as_ref().map(|body| body.value.clone());
    Some(Notify { path, body, messages, headers, acknowledged, proof })
}

/// Checks where the core takes a channel's notifications: they must be described, and come from somewhere.
pub(crate) fn check_core(
    sheet: &mut Sheet,
    core: Option<&At<String>>,
    profile: &Profile,
    listens: bool,
) {
    let Some(core) = core else { return };
    if profile.notify.is_none() {
        let hint = "describe its notifications in `[notify]` of its profile";
        sheet.problem(&core.span, format!("channel {} notifies nobody", profile.channel), hint);
    }
    if !listens {
        let hint = "say where they come in `notify` of `[listen]`";
        sheet.problem(&core.span, "`notify_core` without a `notify` listener", hint);
    }
}

fn read_message(sheet: &mut Sheet, at: &At<NotificationFile>, maps: &Maps<'_>) -> Notification {
    let file = &at.value;
    for scenario in &file.scenario {
        let tells = scenario.value.0.moves_money() || file.answer.is_none();
        if !tells {
            let hint = "leave `answer` out: only what moves money is settled by a notification";
            let message = format!("the outcome of a `{}` is not read", scenario.value.0.as_str());
            sheet.problem(&scenario.span, message, hint);
        }
    }
    if file.answer.is_some() && file.order.is_empty() {
        let hint = "name the fields that name the order, as its message does";
        sheet.problem(&at.span, "a notification without an order", hint);
    }
    check_told(sheet, file.answer.as_ref(), false);
    let outcome = file.answer.as_ref().and_then(|answer| maps.outcome(sheet, answer));
    let message = Notification {
        scenarios: file.scenario.iter().map(|scenario| scenario.value.0).collect::<Vec<Scenario>>(),
        when: file.when.iter().map(|(field, values)| (field.0.clone(), values.values())).collect(),
        order: paths(&file.order),
        merchant: file.merchant.as_ref().map(|field| field.0.clone()),
        amount: file.amount.as_ref().and_then(|amount| read_amount(sheet, amount)),
        outcome,
    };
    let rows = message.outcome.as_ref().is_some_and(|outcome| outcome.rows.is_some());
    if rows || read(&message).any(Path::in_row) {
        let hint = "write paths from the root: a notification tells of one payment";
        sheet.problem(&at.span, "a notification with rows", hint);
    }
    message
}

/// Every path that is read in it.
fn read(message: &Notification) -> impl Iterator<Item = &Path> {
    let Notification { when, order, merchant, amount, outcome, .. } = message;
    let layers = outcome.iter().flat_map(|rule| rule.outer.iter().chain([&rule.layer]));
    when.iter()
        .map(|(path, _)| path)
        .chain(order)
        .chain(merchant)
        .chain(amount.iter().map(|(path, _)| path))
        .chain(layers.map(|layer| &layer.code))
}

fn headers(messages: &[Notification], proof: Option<&Proof>) -> Vec<String> {
    let proof = proof.map(|proof| match proof {
        Proof::Signature(signature) => &signature.at,
        Proof::Opened(path) => path,
    });
    let names: BTreeSet<&str> =
        messages.iter().flat_map(read).chain(proof).filter_map(Path::header).collect();
    names.into_iter().map(str::to_owned).collect()
}

fn read_signature(
    sheet: &mut Sheet,
    at: &At<SignatureFile>,
    body: &Body,
    keys: &BTreeMap<String, OpeningKey>,
) -> Option<Signature> {
    let (span, file) = (&at.span, &at.value);
    let hint = "one of rsa_sha256, rsa_sha1, rsa_md5";
    let hash = sheet.need(file.kind.as_ref(), span, "kind", hint);
    let hint = "say what is signed, such as `over = \"body\"`";
    let over = sheet.need(file.over.as_ref(), span, "over", hint);
    let hint = "name the field or `@header` that holds the signature";
    let place = sheet.need(file.at.as_ref(), span, "at", hint);
    let hint = "name the key, such as `key = \"notify\"`; `hefu.toml` names its file";
    let key = sheet.need(file.key.as_ref(), span, "key", hint);
    let over = over?.0;
    let pairs = matches!(over, Signed::SortedPairs | Signed::SortedPairsSha256Hex);
    if pairs && body.format != Format::Form {
        let hint = "only a body of format `form` has them";
        sheet.problem(span, "sorted pairs of a body that is no form", hint);
    }
    let keys = key?.as_slice().iter().filter_map(|name| keys.get(name).cloned());
    Some(Signature { at: place?.0.clone(), hash: hash?.0, over, keys: keys.collect() })
}

/// What is opened with a pinned key proves what lies in it, and nothing beside it.
fn read_opened(
    sheet: &mut Sheet,
    at: &At<Field>,
    (body, same): (&Body, &[(Path, Path)]),
    messages: &[At<NotificationFile>],
) -> Path {
    let path = &at.value.0;
    let opens = body.unwrap.iter().any(|unwrap| {
        let seals = unwrap.steps.iter().any(|step| matches!(step, Step::OpenBlocks(_)));
        seals && unwrap.at == Place::Field(path.clone())
    });
    if !opens {
        let hint = "unwrap it in `[notify.body]` with an `open_blocks` step";
        sheet.problem(&at.span, format!("`{path}` is not opened with a key"), hint);
    }
    let within = |field: &Field| path.leads_to(&field.0);
    let copied =
        |field: &Field| same.iter().any(|(known, copy)| *known == field.0 && path.leads_to(copy));
    for message in messages {
        let file = &message.value;
        let code = file.answer.as_ref().and_then(|answer| answer.value.code.as_ref());
        let amount = file.amount.as_ref().and_then(|amount| amount.value.field.as_ref());
        let all = code.into_iter().chain(amount).all(within);
        let order = file.order.is_empty() || file.order.iter().any(within);
        if !(all && order) {
            let hint = "what lies beside the sealed content may be anybody's";
            let told = "its order, amount and code are not all in what is opened";
            sheet.problem(&message.span, told, hint);
        }
        let mut names = file.when.keys().chain(&file.order).chain(&file.merchant);
        let beside = names.find(|field| !within(field) && !copied(field));
        if let Some(Text(field)) = beside.filter(|_| all && order && file.answer.is_some()) {
            let hint = "name the copy that the sealed content has of it in `same`: where there is none, nobody is believed";
            sheet.problem(&message.span, format!("`{field}` lies beside what is opened"), hint);
        }
    }
    path.clone()
}
