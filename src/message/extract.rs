//! Extraction: a request on an inspected route to the payment that it asks for.

use crate::domain::element::{Element, ElementSet, Elements, InvalidElement};
use crate::domain::id::{AgreementId, MerchantId, OrderId};
use crate::domain::identity::IdType;
use crate::domain::money::Fen;
use crate::domain::pan::AccountKind;
use crate::domain::payment::Payment;
use crate::message::node::{Found, Node, ReadError};
use crate::message::path::Path;
use crate::message::profile::{Coded, Message, Profile};
use crate::message::{told, unwrap};
use std::collections::BTreeMap;

/// What of a request matters for reading it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The canonical path, in lower case.
    pub path: &'a str,
    /// The query, where it is not empty.
    pub query: Option<&'a str>,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `Hefu-Elements`.
    pub told: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// What a message yielded.
#[derive(Debug)]
pub struct Extracted<'p> {
    /// The profile's entry for the message.
    pub message: &'p Message,
    /// The payment.
    pub payment: Payment,
    /// Elements that are not valid as such: no provider needs to be asked about those.
    pub invalid: Vec<InvalidElement>,
    /// Elements that are sealed to the channel and were not told.
    pub sealed: ElementSet,
    /// Under which key the tuple waits for a later step.
    pub remember: Option<String>,
    /// Under which key an earlier step left its tuple.
    pub recall: Option<String>,
}

/// Why a request yields no payment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    /// The profile lists no such message.
    #[error("the profile lists no such message")]
    Unlisted,
    /// The media type is not one that the profile lists.
    #[error("the media type is not one that the profile lists")]
    MediaType,
    /// The message cannot be judged as one thing.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Reads a request.
///
/// # Errors
/// [`ExtractError`] where it is not listed, cannot be read, or could be read in two ways.
pub fn extract<'p>(
    profile: &'p Profile,
    request: &Request<'_>,
) -> Result<Extracted<'p>, ExtractError> {
    check_media_type(&profile.request.content_types, request.content_type)?;
    if request.query.is_some_and(|query| !query.is_empty()) {
        return Err(ReadError::ambiguous("query", "fields outside the body").into());
    }
    let node = unwrap::read(&profile.request, request.content_type, request.body)?;
    let message = classify(profile, request.path, &node)?.ok_or(ExtractError::Unlisted)?;
    let reader = Reader { node: &node, message };
    let mut extracted = reader.payment()?;
    if let Some(header) = request.told {
        reader.merge(&mut extracted, header)?;
    }
    let carried = extracted.payment.elements.set();
    extracted.payment.checks = message.checks.intersection(carried);
    Ok(extracted)
}

fn check_media_type(listed: &[String], content_type: Option<&str>) -> Result<(), ExtractError> {
    let media_type = content_type.map(|value| value.split(';').next().unwrap_or(value).trim());
    let known =
        |media_type: &str| listed.iter().any(|listed| listed.eq_ignore_ascii_case(media_type));
    if listed.is_empty() || media_type.is_some_and(known) {
        Ok(())
    } else {
        Err(ExtractError::MediaType)
    }
}

/// The first message whose path and fields fit.
fn classify<'p>(
    profile: &'p Profile,
    path: &str,
    node: &Node<'_>,
) -> Result<Option<&'p Message>, ReadError> {
    for message in &profile.messages {
        let mut fits = message.path.as_deref().is_none_or(|expected| expected == path);
        for (field, values) in &message.when {
            fits = fits
                && node
                    .find(field)?
                    .text()
                    .is_some_and(|text| values.iter().any(|value| value == text));
        }
        if fits {
            return Ok(Some(message));
        }
    }
    Ok(None)
}

struct Reader<'n, 'p> {
    node: &'n Node<'n>,
    message: &'p Message,
}

impl<'p> Reader<'_, 'p> {
    fn payment(&self) -> Result<Extracted<'p>, ReadError> {
        let message = self.message;
        let mut elements = Elements::default();
        let mut invalid = Vec::new();
        let mut sealed = ElementSet::EMPTY;
        let kinds = self.kinds()?;
        for (present, set) in &message.sealed {
            if self.node.find(present)?.text().is_some() {
                sealed = sealed.union(*set);
            }
        }
        for (element, path) in &message.elements {
            if sealed.contains(*element) {
                continue;
            }
            match self.node.find(path)? {
                Found::Text("") | Found::Absent => (),
                Found::Text(text) => {
                    if let Err(error) = told::put(&mut elements, *element, text, kinds) {
                        invalid.push(error);
                    }
                }
                Found::Sealed => sealed = sealed.with(*element),
            }
        }
        let amount = match &message.amount {
            None => None,
            Some((path, unit)) => match self.node.find(path)? {
                Found::Text(text) => {
                    let parsed = Fen::parse(text, *unit);
                    Some(parsed.map_err(|_| {
                        ReadError::ambiguous(path, "not an amount in the declared unit")
                    })?)
                }
                Found::Absent => return Err(ReadError::unreadable(path, "no amount")),
                Found::Sealed => None,
            },
        };
        let payment = Payment {
            scenario: message.scenario,
            order: self.joined(&message.order)?.map(|order| OrderId(order.into())),
            merchant: self.one(message.merchant.as_ref())?.map(|text| MerchantId(text.into())),
            amount,
            elements,
            asserted: ElementSet::EMPTY,
            agreement: self.one(message.agreement.as_ref())?.map(|text| AgreementId(text.into())),
            checks: ElementSet::EMPTY,
        };
        Ok(Extracted {
            message,
            payment,
            invalid,
            sealed,
            remember: self.joined(&message.remember)?,
            recall: self.joined(&message.recall)?,
        })
    }

    /// Adds what the core told: sealed elements as asserted; readable ones must agree.
    fn merge(&self, extracted: &mut Extracted<'p>, header: &str) -> Result<(), ReadError> {
        let kinds = self.kinds()?;
        let mut beside = Elements::default();
        for (element, text) in told::parse(header)? {
            if let Err(error) = told::put(&mut beside, element, &text, kinds) {
                extracted.invalid.push(error);
            }
        }
        let read = &mut extracted.payment.elements;
        let both = read.set().intersection(beside.set());
        if read.restricted(both) != beside.restricted(both) {
            return Err(ReadError::ambiguous("Hefu-Elements", "contradicts the message"));
        }
        extracted.payment.asserted = beside.set().difference(both);
        extracted.sealed = extracted.sealed.difference(beside.set());
        *read = Elements {
            name: read.name.take().or(beside.name),
            id_number: read.id_number.take().or(beside.id_number),
            pan: read.pan.take().or(beside.pan),
            phone: read.phone.take().or(beside.phone),
            cvv2: read.cvv2.take().or(beside.cvv2),
            expiry: read.expiry.take().or(beside.expiry),
        };
        Ok(())
    }

    fn kinds(&self) -> Result<(IdType, AccountKind), ReadError> {
        let id_type = self.coded(self.message.id_type.as_ref())?.unwrap_or_default();
        Ok((id_type, self.coded(self.message.account_kind.as_ref())?.unwrap_or_default()))
    }

    fn coded<T: Copy>(&self, coded: Option<&Coded<T>>) -> Result<Option<T>, ReadError> {
        let Some(Coded { at, values }) = coded else { return Ok(None) };
        let Some(code) = self.node.find(at)?.text() else { return Ok(None) };
        by_code(values, code)
            .map(Some)
            .ok_or_else(|| ReadError::unreadable(at, "a code that the profile does not list"))
    }

    fn one(&self, path: Option<&Path>) -> Result<Option<String>, ReadError> {
        let Some(path) = path else { return Ok(None) };
        Ok(self.node.find(path)?.text().map(str::to_owned))
    }

    /// The texts at `paths`, joined by `|`; `None` where one is absent or sealed.
    fn joined(&self, paths: &[Path]) -> Result<Option<String>, ReadError> {
        let mut joined = String::with_capacity(64);
        for (at, path) in paths.iter().enumerate() {
            let Some(text) = self.node.find(path)?.text() else { return Ok(None) };
            if at > 0 {
                joined.push('|');
            }
            joined.push_str(text);
        }
        Ok((!joined.is_empty()).then_some(joined))
    }
}

fn by_code<T: Copy>(values: &BTreeMap<String, T>, code: &str) -> Option<T> {
    values.get(code).copied()
}

/// Which elements a profile's message may carry at all; for `hefu check` and documents.
pub fn may_carry(message: &Message) -> ElementSet {
    message.elements.iter().map(|(element, _): &(Element, Path)| *element).collect()
}
