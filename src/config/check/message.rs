//! From `[[message]]` to a profile's messages.

use super::channel::{Maps, paths};
use crate::config::file::channel::{
    AmountFile, Field, MessageFile, OutcomeFile, WaitFile, YieldsFile,
};
use crate::config::problem::suggest;
use crate::config::read::{At, Sheet};
use crate::domain::element::{Element, ElementSet};
use crate::domain::money::Unit;
use crate::domain::payment::Scenario;
use crate::message::path::Path;
use crate::message::profile::{Coded, Message, Rows, Yields};
use std::ops::Range;

/// The elements that messages carry.
const READ: [Element; 6] = [
    Element::Name,
    Element::IdNumber,
    Element::Pan,
    Element::Phone,
    Element::Cvv2,
    Element::Expiry,
];

/// Checks the messages one by one, and then against each other.
pub(crate) fn check_all(
    sheet: &mut Sheet,
    files: &[At<MessageFile>],
    maps: &Maps<'_>,
) -> Vec<Message> {
    let read: Vec<(&At<MessageFile>, Option<Message>)> =
        files.iter().map(|file| (file, check(sheet, file, maps))).collect();
    for (at, (file, message)) in read.iter().enumerate() {
        let Some(message) = message else { continue };
        let earlier = read.iter().take(at).filter_map(|(_, earlier)| earlier.as_ref());
        if earlier.into_iter().any(|earlier| covers(earlier, message)) {
            let hint = "the first message that matches counts: move this one up, or ask for more in its `when`";
            sheet.problem(&file.span, "an earlier message matches whatever this one would", hint);
        }
    }
    let remembered: Vec<&Vec<Path>> = read
        .iter()
        .filter_map(|(_, message)| message.as_ref().map(|message| &message.remember))
        .collect();
    for (file, message) in &read {
        let (Some(recall), Some(message)) = (&file.value.recall, message) else { continue };
        if !message.recall.is_empty() && !remembered.contains(&&message.recall) {
            let hint = "the first step needs a `remember` with the same fields in the same order";
            sheet.problem(&recall.span, "nothing is remembered under this key", hint);
        }
    }
    read.into_iter().filter_map(|(_, message)| message).collect()
}

/// Whether every message that `later` matches is already matched by `earlier`.
fn covers(earlier: &Message, later: &Message) -> bool {
    let path = earlier.path.is_none() || earlier.path == later.path;
    let method = earlier.method == later.method;
    method
        && path
        && earlier.when.iter().all(|(field, values)| {
            let asked = later.when.iter().find(|(other, _)| other == field);
            asked.is_some_and(|(_, asked)| asked.iter().all(|value| values.contains(value)))
        })
}

fn check(sheet: &mut Sheet, at: &At<MessageFile>, maps: &Maps<'_>) -> Option<Message> {
    let file = &at.value;
    let scenario =
        sheet.need(file.scenario.as_ref(), &at.span, "scenario", "say what the message is for");
    let outcome = file.answer.as_ref().and_then(|answer| maps.outcome(sheet, answer));
    let amount = file.amount.as_ref().and_then(|amount| read_amount(sheet, amount));
    if let Some(scenario) = scenario {
        check_scenario(sheet, at, scenario.0);
    }
    let elements = read_elements(sheet, file);
    let values =
        file.id_type.as_ref().map(|coded| (&coded.value.field, &coded.value.values, &coded.span));
    let id_type =
        values.and_then(|(field, values, span)| coded(sheet, field.as_ref(), values, span));
    let values = file
        .account_kind
        .as_ref()
        .map(|coded| (&coded.value.field, &coded.value.values, &coded.span));
    let account_kind =
        values.and_then(|(field, values, span)| coded(sheet, field.as_ref(), values, span));
    let message = Message {
        scenario: scenario?.0,
        method: method(sheet, file.method.as_ref()),
        path: file.path.as_ref().map(|path| path.0.0.clone()),
        when: file.when.iter().map(|(field, values)| (field.0.clone(), values.values())).collect(),
        rows: rows(sheet, &at.span, file.rows.as_ref(), &file.row),
        order: paths(&file.order),
        merchant: file.merchant.as_ref().map(|field| field.0.clone()),
        amount,
        amount_optional: file.amount.as_ref().is_some_and(|amount| amount.value.optional),
        elements,
        id_type,
        account_kind,
        sealed: read_sealed(sheet, file),
        agreement: file.agreement.as_ref().map(|field| field.0.clone()),
        checks: file.checks.iter().map(|element| element.value.0).collect(),
        remember: wait_key(sheet, file.remember.as_ref()),
        recall: wait_key(sheet, file.recall.as_ref()),
        undoes: paths(&file.undoes),
        of: file.of.iter().map(|scenario| scenario.value.0).collect(),
        yields: file.yields.as_ref().and_then(|yields| read_yields(sheet, yields)),
        closes_agreement: file.closes_agreement.as_ref().is_some_and(|closes| closes.value),
        outcome,
    };
    check_rows(sheet, &at.span, &message);
    Some(message)
}

/// An amount and its unit.
pub(crate) fn read_amount(sheet: &mut Sheet, file: &At<AmountFile>) -> Option<(Path, Unit)> {
    let hint = "write `amount = { field = \"amount\", unit = \"fen\" }`";
    let field = sheet.need(file.value.field.as_ref(), &file.span, "field", hint);
    let unit = sheet.need(file.value.unit.as_ref(), &file.span, "unit", hint);
    Some((field?.0.clone(), unit?.0))
}

fn method(sheet: &mut Sheet, method: Option<&At<String>>) -> String {
    const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
    match method {
        None => "POST".to_owned(),
        Some(method) => {
            if !METHODS.contains(&method.value.as_str()) {
                let hint = suggest(&method.value, METHODS);
                sheet.problem(&method.span, format!("no method `{}`", method.value), hint);
            }
            method.value.clone()
        }
    }
}

/// The rows of a batch: where they are and what names one.
pub(crate) fn rows(
    sheet: &mut Sheet,
    span: &Range<usize>,
    rows: Option<&Field>,
    row: &[Field],
) -> Option<Rows> {
    let name = paths(row);
    let Some(rows) = rows else {
        if !name.is_empty() {
            let hint = "say where the rows are, such as `rows = \"details/detail\"`";
            sheet.problem(span, "`row` without `rows`", hint);
        }
        return None;
    };
    if name.is_empty() || name.iter().any(|path| !path.in_row()) {
        let hint = "name the fields of a row that name it, such as `row = [\"./serial\"]`";
        sheet.problem(span, "nothing names a row within its batch", hint);
    }
    Some(Rows { at: rows.0.clone(), name })
}

/// Every path that is read in requests of this message.
pub(crate) fn request_paths(message: &Message) -> impl Iterator<Item = &Path> {
    let Message { when, order, merchant, amount, elements, agreement, sealed, .. } = message;
    when.iter()
        .map(|(path, _)| path)
        .chain(order)
        .chain(merchant)
        .chain(amount.iter().map(|(path, _)| path))
        .chain(elements.iter().map(|(_, path)| path))
        .chain(agreement)
        .chain(sealed.iter().map(|(path, _)| path))
        .chain(message.id_type.iter().map(|coded| &coded.at))
        .chain(message.account_kind.iter().map(|coded| &coded.at))
        .chain(&message.remember)
        .chain(&message.recall)
        .chain(&message.undoes)
}

/// What is read in rows stands in a message that has them, and nothing of a batch waits or is known before its rows.
fn check_rows(sheet: &mut Sheet, span: &Range<usize>, message: &Message) {
    let batch = message.rows.is_some();
    if let Some(path) = request_paths(message).find(|path| path.in_row() && !batch) {
        let hint = "say where the rows are in `rows`, and what names one in `row`";
        sheet.problem(span, format!("`{path}` is read in rows, and there are none"), hint);
    }
    let before = message.when.iter().map(|(path, _)| path).chain(&message.order);
    if let Some(path) =
        before.chain(message.rows.iter().map(|rows| &rows.at)).find(|path| path.in_row())
    {
        let hint = "these are known before there are rows: write a path from the root";
        sheet.problem(span, format!("`{path}` of the batch itself is read in a row"), hint);
    }
    if batch && !(message.remember.is_empty() && message.recall.is_empty()) {
        let hint = "only single messages are steps of a bind";
        sheet.problem(span, "a batch with `remember` or `recall`", hint);
    }
    let Some(outcome) = &message.outcome else { return };
    let yields = message.yields.as_ref().map(|yields| &yields.agreement);
    let inner = [&outcome.layer.code].into_iter().chain(yields);
    if let Some(path) = inner.into_iter().find(|path| path.in_row() && outcome.rows.is_none()) {
        let hint =
            "say where the answer's rows are in `answer.rows`, and what names one in `answer.row`";
        sheet.problem(span, format!("`{path}` is read in rows, and the answer has none"), hint);
    }
    if outcome.rows.is_some() && !batch && message.scenario != Scenario::Query {
        let hint = "an answer has rows where its message has them, or a query asks about a batch";
        sheet.problem(span, "an answer with rows to a message without", hint);
    }
}

/// What a scenario needs, and what only makes sense together.
fn check_scenario(sheet: &mut Sheet, at: &At<MessageFile>, scenario: Scenario) {
    let file = &at.value;
    if scenario == Scenario::Notify {
        let hint = "notifications come from the channel: describe them in `[notify]`";
        sheet.problem(&at.span, "a request cannot be a `notify`", hint);
    }
    if scenario.moves_money() {
        if file.order.is_empty() {
            let hint =
                "name the fields that name the order, such as `order = [\"merchant\", \"order\"]`";
            sheet.problem(&at.span, format!("a `{}` needs its `order`", scenario.as_str()), hint);
        }
        let hint = "say where the amount is and in which unit";
        sheet.need(file.amount.as_ref(), &at.span, "amount", hint);
    }
    if !file.undoes.is_empty() && !matches!(scenario, Scenario::Refund | Scenario::Void) {
        let message = format!("a `{}` undoes nothing", scenario.as_str());
        sheet.problem(&at.span, message, "only a `refund` or a `void` has `undoes`");
    }
    for of in file.of.iter().filter(|of| scenario != Scenario::Query || !of.value.0.moves_money()) {
        let message = format!("a `{}` asks about no `{}`", scenario.as_str(), of.value.0.as_str());
        let hint = "only a `query` has `of`: `debit`, `pay`, `withdraw` or `payout`";
        sheet.problem(&of.span, message, hint);
    }
    check_told(sheet, file.answer.as_ref(), scenario == Scenario::Query);
    if let Some(closes) = file.closes_agreement.as_ref().filter(|_| file.agreement.is_none()) {
        let hint = "say which agreement in `agreement`";
        sheet.problem(&closes.span, "`closes_agreement` without an `agreement`", hint);
    }
    for checked in &file.checks {
        let carried = file.elements.keys().any(|element| element.value == checked.value);
        if !carried && file.recall.is_none() {
            let hint =
                "list the field in `elements`: a success proves only what the message carries";
            let message = format!("`{}` is checked but never read", checked.value.0);
            sheet.problem(&checked.span, message, hint);
        }
    }
}

/// What an answer tells of another payment is told by the answer to a query, and nowhere else.
pub(super) fn check_told(sheet: &mut Sheet, answer: Option<&At<OutcomeFile>>, of_a_query: bool) {
    let Some(answer) = answer else { return };
    let OutcomeFile { order, rows, .. } = &answer.value;
    if !order.is_empty() && (!of_a_query || rows.is_some()) {
        let hint = "leave it out: only the answer to a `query` about one payment names an order that counts";
        sheet.problem(&answer.span, "an `order` in an answer that tells of no other payment", hint);
    }
    if let Some(path) = order.iter().map(|field| &field.0).find(|path| path.in_row()) {
        let hint = "write a path from the root";
        sheet.problem(&answer.span, format!("`{path}` is read in rows, and there are none"), hint);
    }
    let Some(amount) = &answer.value.amount else { return };
    if !of_a_query {
        let hint =
            "leave it out: only the answer to a `query` is held against the payment's own amount";
        sheet.problem(
            &amount.span,
            "an `amount` in an answer that tells of no other payment",
            hint,
        );
    }
    if amount.value.field.as_ref().is_some_and(|field| field.0.in_row()) {
        let hint = "write a path from the root: of a batch that is queried no amount is read";
        sheet.problem(&amount.span, "an `amount` that is read in rows", hint);
    }
}

fn read_elements(sheet: &mut Sheet, file: &MessageFile) -> Vec<(Element, Path)> {
    for element in file.elements.keys().filter(|element| !READ.contains(&element.value.0)) {
        let hint = format!("messages carry {}", READ.map(Element::as_str).join(", "));
        sheet.problem(
            &element.span,
            format!("`{}` is not read from messages", element.value.0),
            hint,
        );
    }
    file.elements.iter().map(|(element, field)| (element.value.0, field.0.clone())).collect()
}

fn read_sealed(sheet: &mut Sheet, file: &MessageFile) -> Vec<(Path, ElementSet)> {
    let mut sealed = Vec::new();
    for at in &file.sealed {
        let hint = "name the field whose presence says that elements are sealed";
        let when = sheet.need(at.value.when.as_ref(), &at.span, "when", hint);
        let elements: ElementSet = at.value.elements.iter().map(|element| element.0).collect();
        sealed.extend(when.map(|when| (when.0.clone(), elements)));
    }
    sealed
}

fn read_yields(sheet: &mut Sheet, at: &At<YieldsFile>) -> Option<Yields> {
    let hint = "name the field of the answer that tells the agreement, such as `agreement = \"agreement\"`";
    let agreement = sheet.need(at.value.agreement.as_ref(), &at.span, "agreement", hint)?;
    Some(Yields { agreement: agreement.0.clone(), closes_same_card: at.value.closes.is_some() })
}

fn wait_key(sheet: &mut Sheet, at: Option<&At<WaitFile>>) -> Vec<Path> {
    let Some(at) = at else { return Vec::new() };
    if at.value.key.is_empty() {
        let hint =
            "name the fields that both steps carry, such as `key = [\"merchant\", \"order\"]`";
        sheet.problem(&at.span, "`key` is missing", hint);
    }
    paths(&at.value.key)
}

fn coded<T: Copy>(
    sheet: &mut Sheet,
    field: Option<&Field>,
    values: &std::collections::BTreeMap<String, crate::config::text::Text<T>>,
    span: &Range<usize>,
) -> Option<Coded<T>> {
    let field = sheet.need(field, span, "field", "name the field with the code")?;
    if values.is_empty() {
        let hint = "say what each code means, such as `values = { \"01\" = \"resident_id\" }`";
        sheet.problem(span, "`values` is missing", hint);
    }
    let values = values.iter().map(|(code, value)| (code.clone(), value.0)).collect();
    Some(Coded { at: field.0.clone(), values })
}
