//! The report: what is read, masked, in words that profiles and code maps use.

use super::captured::{Captured, NotCaptured};
use crate::domain::outcome::{Outcome, Suspects};
use crate::message::extract::{self, ExtractError, Extracted, Part, Payments, Request};
use crate::message::node::ReadError;
use crate::message::notification::{self, Notified, Unheard, Vouched};
use crate::message::outcome::{self, Reading, Told};
use crate::message::profile::{Notify, Profile, RouteRule, watched};
use std::fmt::{self, Write as _};

/// What a captured message and the answers to it yield.
#[derive(Debug)]
pub struct Report {
    /// In lines.
    pub text: String,
    /// Whether the message yields a payment.
    pub is_payment: bool,
}

/// Reads a captured message by `profile`, and each answer, by its name, as the answer to it.
///
/// # Errors
/// [`NotCaptured`] where the message or an answer is no capture.
pub fn report(
    profile: &Profile,
    message: &[u8],
    answers: &[(String, Vec<u8>)],
) -> Result<Report, NotCaptured> {
    let captured = Captured::request(message)?;
    let mut text = String::new();
    if let Some(notify) = notify(profile, &captured) {
        let told = with_request(&captured, &notify.headers, |request| {
            notification::read(profile, notify, request)
        });
        let is_payment = told.is_ok();
        let _ = show_notification(&mut text, &told);
        return Ok(Report { text, is_payment });
    }
    let is_payment = match read(profile, &captured) {
        Ok(extracted) => {
            // Writing to a text does not fail.
            let _ = show(&mut text, &extracted);
            for (name, bytes) in answers {
                let answer = Captured::response(bytes)?;
                let _ = writeln!(text, "\nanswer     {name}");
                let _ = show_answer(&mut text, profile, &extracted, &answer);
            }
            true
        }
        Err(error) => {
            let _ = show_error(&mut text, &error);
            false
        }
    };
    Ok(Report { text, is_payment })
}

/// How a captured notification of the channel is read.
fn notify<'p>(profile: &'p Profile, captured: &Captured<'_>) -> Option<&'p Notify> {
    let path = captured.start.split(' ').nth(1)?.split('?').next()?.to_lowercase();
    let takes =
        |notify: &&Notify| RouteRule { host: None, path: notify.path.clone() }.takes("", &path);
    profile.notify.as_ref().filter(takes)
}

fn show_notification(out: &mut String, told: &Result<Notified, Unheard>) -> fmt::Result {
    writeln!(out, "scenario   notify")?;
    let told = match told {
        Ok(told) => told,
        Err(Unheard::Read(error)) => return writeln!(out, "no outcome: {}", why(error)),
        Err(unheard) => return writeln!(out, "no outcome: {unheard}"),
    };
    let of: Vec<_> = told.scenarios.iter().map(|scenario| scenario.as_str()).collect();
    writeln!(out, "of         {}", if of.is_empty() { "any".to_owned() } else { of.join(", ") })?;
    writeln!(out, "order      {}", told.order.0)?;
    if let Some(merchant) = &told.merchant {
        writeln!(out, "merchant   {}", merchant.0)?;
    }
    if let Some(amount) = told.amount {
        writeln!(out, "amount     {amount} fen")?;
    }
    writeln!(out, "outcome    {}", describe(&told.reading))?;
    let proof = match told.vouched {
        Vouched::Yes => "a pinned key vouches for it",
        Vouched::No => "no pinned key vouches for it",
        Vouched::Unknown => "nothing proves it",
    };
    writeln!(out, "proof      {proof}")
}

/// Reads a captured request as Hefu would.
///
/// # Errors
/// As [`extract::extract`].
pub fn read<'p>(
    profile: &'p Profile,
    captured: &Captured<'_>,
) -> Result<Extracted<'p>, ExtractError> {
    with_request(captured, &profile.headers, |request| extract::extract(profile, request))
}

/// What is made of a captured request, of which these headers are read.
fn with_request<T>(
    captured: &Captured<'_>,
    headers: &[String],
    read: impl FnOnce(&Request<'_>) -> T,
) -> T {
    let mut words = captured.start.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unzip();
    let known = |(name, _): &&(String, &[u8])| watched(headers, name).is_some();
    let headers: Vec<_> =
        captured.fields.iter().filter(known).map(|(name, value)| (name.as_str(), *value)).collect();
    read(&Request {
        method,
        path: &path.unwrap_or(target).to_lowercase(),
        query,
        content_type: captured.field("content-type"),
        headers: &headers,
        told: captured.field("hefu-elements"),
        body: captured.body,
    })
}

fn show_error(out: &mut String, error: &ExtractError) -> fmt::Result {
    match error {
        ExtractError::Read(error) => writeln!(out, "no payment: {}", why(error)),
        ExtractError::MediaType => writeln!(out, "no payment: {error}"),
        ExtractError::Unlisted => {
            writeln!(out, "no payment: {error}")?;
            writeln!(out, "hint: add a [[message]] for its method, path and fields")
        }
    }
}

fn why(error: &ReadError) -> String {
    let kind = match error {
        ReadError::Ambiguous { .. } => "ambiguous",
        ReadError::Unreadable { .. } => "unreadable",
    };
    format!("{kind}: {error}")
}

fn show(out: &mut String, extracted: &Extracted<'_>) -> fmt::Result {
    match &extracted.payments {
        Payments::One(part) => show_part(out, part),
        Payments::Rows(rows) => {
            writeln!(out, "batch      {}", extracted.order.as_ref().map_or("-", |order| &order.0))?;
            for (at, part) in rows.iter().enumerate() {
                writeln!(out, "\nrow {}", at.saturating_add(1))?;
                show_part(out, part)?;
            }
            Ok(())
        }
    }
}

fn show_part(out: &mut String, part: &Part) -> fmt::Result {
    let payment = &part.payment;
    writeln!(out, "scenario   {}", payment.scenario.as_str())?;
    writeln!(out, "order      {}", payment.order.as_ref().map_or("-", |order| &order.0))?;
    if let Some(merchant) = &payment.merchant {
        writeln!(out, "merchant   {}", merchant.0)?;
    }
    if let Some(amount) = payment.amount {
        writeln!(out, "amount     {amount} fen")?;
    }
    if let Some(agreement) = &payment.agreement {
        writeln!(out, "agreement  {}", agreement.0)?;
    }
    let elements = &payment.elements;
    writeln!(out, "elements   {}", or_dash(&elements.set()))?;
    if let Some(pan) = &elements.pan {
        writeln!(out, "  pan      {} ({})", pan.masked(), pan.kind().as_str())?;
    }
    if let Some(id) = &elements.id_number {
        writeln!(out, "  id       {}", id.kind().as_str())?;
    }
    if !payment.asserted.is_empty() {
        writeln!(out, "told       {} (in `Hefu-Elements`)", payment.asserted)?;
    }
    writeln!(out, "checks     {}", or_dash(&payment.checks))?;
    for invalid in &part.invalid {
        writeln!(out, "invalid    {}: {invalid}", invalid.element())?;
    }
    if !part.sealed.is_empty() {
        writeln!(out, "sealed     {} (to be told in `Hefu-Elements`)", part.sealed)?;
    }
    if let Some(key) = &part.remember {
        writeln!(out, "remember   {key}")?;
    }
    if let Some(key) = &part.recall {
        writeln!(out, "recall     {key}")?;
    }
    if let Some(order) = &part.undoes {
        writeln!(out, "undoes     {}", order.0)?;
    }
    Ok(())
}

fn or_dash(shown: &impl ToString) -> String {
    let shown = shown.to_string();
    if shown.is_empty() { "-".to_owned() } else { shown }
}

fn show_answer(
    out: &mut String,
    profile: &Profile,
    extracted: &Extracted<'_>,
    answer: &Captured<'_>,
) -> fmt::Result {
    let content_type = answer.field("content-type");
    let told = outcome::try_read(profile, extracted.message, content_type, answer.body);
    match (told, &extracted.payments) {
        (Err(error), _) => writeln!(out, "outcome    unknown: {}", why(&error)),
        (Ok(Told::Whole(reading)), _) => writeln!(out, "outcome    {}", describe(&reading)),
        // Of the batch that is asked about.
        (Ok(Told::Rows(told)), Payments::One(_)) => told
            .iter()
            .try_for_each(|(name, reading)| writeln!(out, "row {name:<6} {}", describe(reading))),
        (Ok(Told::Rows(told)), Payments::Rows(rows)) => {
            for (at, part) in rows.iter().enumerate() {
                let reading = part.row.as_ref().and_then(|row| told.get(row));
                let described = reading.map_or("not told".to_owned(), describe);
                writeln!(out, "row {:<6} {described}", at.saturating_add(1))?;
            }
            Ok(())
        }
    }
}

fn describe(reading: &Reading) -> String {
    let mut words = reading.outcome.as_str().to_owned();
    match reading.outcome {
        Outcome::NoMatch(Suspects::Named(set)) => words = format!("{words}: {set}"),
        Outcome::NoMatch(Suspects::OneOf(set)) => words = format!("{words}: one of {set}"),
        Outcome::Declined(decline) => words = format!("{words}: {}", decline.as_str()),
        Outcome::Accepted
        | Outcome::Succeeded
        | Outcome::Unknown
        | Outcome::Reversed
        | Outcome::Unmapped => (),
    }
    if let Some(map) = &reading.unmapped_in {
        words = format!("{words} in `{map}`");
    }
    match &reading.code {
        Some(code) => words = format!("{words}, code {code}"),
        None => words.push_str(", no code"),
    }
    if let Some(order) = &reading.order {
        words = format!("{words}, of order {}", order.0);
    }
    if let Some(amount) = reading.amount {
        words = format!("{words}, of {amount} fen");
    }
    if let Some(agreement) = &reading.agreement {
        words = format!("{words}, yields {}", agreement.0);
    }
    words
}
