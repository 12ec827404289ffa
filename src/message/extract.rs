//! Extraction: a request on an inspected route to the payment that it asks for.

use crate::domain::element::{Element, ElementSet, Elements, InvalidElement};
use crate::domain::id::{AgreementId, MerchantId, OrderId};
use crate::domain::identity::IdType;
use crate::domain::money::Fen;
use crate::domain::pan::AccountKind;
use crate::domain::payment::Payment;
use crate::message::key::Key;
use crate::message::node::{Entries, Found, Node, ReadError, Scope};
use crate::message::path::Path;
use crate::message::profile::{Coded, Message, Profile, watched};
use crate::message::{told, unwrap};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, LazyLock};

/// The field from which PHP and Rails frameworks take the method of a `POST`; the edge refuses it in queries.
static METHOD_FIELD: LazyLock<Key<'static>> = LazyLock::new(|| Cow::Borrowed("_method").into());

/// What of a request matters for reading it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The canonical path, in lower case.
    pub path: &'a str,
    /// The query, where it is not empty.
    pub query: Option<&'a str>,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// The headers that are read ([`watched`]), names in lower case, repeated ones and all.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// `Hefu-Elements`.
    pub told: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// Query, headers and body hold elements.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// What a message yielded.
#[derive(Debug)]
pub struct Extracted<'p> {
    /// The profile's entry for the message.
    pub message: &'p Message,
    /// The order; of a batch, the batch.
    pub order: Option<OrderId>,
    /// What it asks for.
    pub payments: Payments,
}

/// The payments of a message.
#[derive(Debug)]
pub enum Payments {
    /// One, also where rows are sealed and nobody knows how many; boxed, since it is moved about.
    One(Box<Part>),
    /// One for each row of a batch, in the order written; never empty.
    Rows(Vec<Part>),
}

impl Payments {
    /// The first: the only one, or the first row's.
    pub fn first(&self) -> Option<&Part> {
        match self {
            Self::One(part) => Some(part),
            Self::Rows(rows) => rows.first(),
        }
    }
}

/// One payment of a message.
#[derive(Debug)]
pub struct Part {
    /// What names the row within its batch; absent where the message is no batch.
    pub row: Option<String>,
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
    /// The order that it undoes.
    pub undoes: Option<OrderId>,
}

impl<'a> Request<'a> {
    /// A `POST` of `body` to `path`, in lower case.
    pub const fn post(path: &'a str, content_type: &'a str, body: &'a [u8]) -> Self {
        let content_type = Some(content_type);
        Self { method: "POST", path, query: None, content_type, headers: &[], told: None, body }
    }
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
    let node = read(profile, request)?;
    check_same(profile, &node)?;
    let message = classify(profile, request, &node)?.ok_or(ExtractError::Unlisted)?;
    let whole = Scope::whole(&node);
    let order = named(whole, message)?;
    // Read once, however many rows there are.
    let merchant = merchant(whole, message)?;
    let reader =
        Reader { scope: whole, message, order: order.as_ref(), merchant: merchant.as_ref() };
    let order = order.clone().filter(|_| !is_named_by_merchant(message));
    let payments = match &message.rows {
        None => {
            let mut part = reader.part(None)?;
            if let Some(header) = request.told {
                reader.merge(&mut part, header)?;
            }
            Payments::One(Box::new(part))
        }
        Some(_) if request.told.is_some() => {
            return Err(ReadError::unreadable("Hefu-Elements", "told beside a batch").into());
        }
        Some(rows) if node.is_sealed(&rows.at) => {
            let mut part = Reader { scope: whole.row(&Node::Sealed), ..reader }.part(None)?;
            part.payment.order.clone_from(&order);
            Payments::One(Box::new(part))
        }
        Some(rows) => {
            let (mut names, mut parts) = (BTreeSet::new(), Vec::new());
            for row in node.rows(&rows.at)? {
                let scope = whole.row(row);
                let name = scope.joined(&rows.name)?;
                let name =
                    name.ok_or_else(|| ReadError::unreadable(&rows.at, "a row without a name"))?;
                if !names.insert(name.clone()) {
                    return Err(ReadError::ambiguous(&rows.at, "two rows of one name").into());
                }
                parts.push(Reader { scope, ..reader }.part(Some(name))?);
            }
            if parts.is_empty() {
                return Err(ReadError::unreadable(&rows.at, "no rows").into());
            }
            Payments::Rows(parts)
        }
    };
    Ok(Extracted { message, order, payments })
}

/// The order's name, which the rows of a batch begin theirs with; money that moves must have one, unless it is sealed.
fn named(whole: Scope<'_, '_>, message: &Message) -> Result<Option<OrderId>, ReadError> {
    let order = whole.joined(&message.order)?;
    let needed = order.is_none() && message.scenario.moves_money();
    for path in message.order.iter().filter(|_| needed) {
        if matches!(whole.find(path)?, Found::Absent | Found::Text("")) {
            return Err(ReadError::unreadable(path, "no order"));
        }
    }
    Ok(order.map(|order| OrderId(order.into())))
}

/// Whether it is a batch of which the merchant is all that names it: that is no order.
fn is_named_by_merchant(message: &Message) -> bool {
    message.rows.is_some() && message.order.as_slice() == message.merchant.as_slice()
}

/// The merchant, in so far as it is read in `scope`.
fn merchant(scope: Scope<'_, '_>, message: &Message) -> Result<Option<MerchantId>, ReadError> {
    Ok(one(scope, message.merchant.as_ref())?.map(MerchantId))
}

fn one(scope: Scope<'_, '_>, path: Option<&Path>) -> Result<Option<Arc<str>>, ReadError> {
    let Some(path) = path else { return Ok(None) };
    Ok(scope.name(path)?.map(Arc::from))
}

/// The message as a tree: from the query of a `GET`, from the body of all others.
fn read<'a>(profile: &Profile, request: &Request<'a>) -> Result<Node<'a>, ExtractError> {
    let query = request.query.filter(|query| !query.is_empty());
    let layout = &profile.request;
    let mut node = if request.method == "GET" {
        if !request.body.is_empty() {
            return Err(ReadError::ambiguous("body", "fields outside the query").into());
        }
        unwrap::read_query(layout, query.unwrap_or_default())?
    } else {
        check_media_type(&layout.content_types, request.content_type)?;
        if query.is_some() {
            return Err(ReadError::ambiguous("query", "fields outside the body").into());
        }
        unwrap::read(layout, request.content_type, request.body)?
    };
    if request.method == "POST"
        && let Node::Map(entries) = &node
        && entries.iter().any(|(key, _)| key.may_be(&METHOD_FIELD) && key.is_twin(&METHOD_FIELD))
    {
        return Err(ReadError::ambiguous("body", "a field that overrides the method").into());
    }
    if let Node::Map(entries) = &mut node
        && !profile.headers.is_empty()
    {
        put_headers(entries, &profile.headers, request.headers)?;
    }
    Ok(node)
}

/// A copy that says something else is what some reader goes by; one in sealed content is the channel's to compare.
fn check_same(profile: &Profile, node: &Node<'_>) -> Result<(), ReadError> {
    for (field, copy) in &profile.same {
        match node.find(copy)? {
            Found::Absent | Found::Sealed => (),
            found @ Found::Text(_) if node.find(field)? == found => (),
            Found::Text(_) => return Err(ReadError::ambiguous(copy, "a copy that differs")),
        }
    }
    Ok(())
}

/// Adds the headers that are read to the fields of the body, none of which may look like one.
pub(crate) fn put_headers<'a>(
    entries: &mut Entries<'a>,
    read: &[String],
    headers: &[(&str, &'a [u8])],
) -> Result<(), ReadError> {
    if entries.iter().any(|(key, _)| key.trim_start().starts_with('@')) {
        return Err(ReadError::ambiguous("body", "a field that would be a header"));
    }
    for (name, value) in headers {
        let Some(watched) = watched(read, name) else { continue };
        let value = match std::str::from_utf8(value) {
            Ok(text) if watched == *name => Node::Text(Cow::Borrowed(text)),
            Ok(_) => Node::Unclear("a header that some readers take for another"),
            Err(_) => Node::Unclear("a header that is not UTF-8"),
        };
        entries.push((Cow::Owned(format!("@{watched}")), value));
    }
    Ok(())
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
    request: &Request<'_>,
    node: &Node<'_>,
) -> Result<Option<&'p Message>, ReadError> {
    for message in &profile.messages {
        let mut fits = message.method == request.method
            && message.path.as_deref().is_none_or(|expected| expected == request.path);
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

#[derive(Clone, Copy)]
struct Reader<'n, 'p> {
    scope: Scope<'n, 'n>,
    message: &'p Message,
    /// The order; of a batch, the batch.
    order: Option<&'n OrderId>,
    /// The merchant, where no row has its own.
    merchant: Option<&'n MerchantId>,
}

impl Reader<'_, '_> {
    fn part(&self, row: Option<String>) -> Result<Part, ReadError> {
        let message = self.message;
        let mut elements = Elements::default();
        let mut invalid = Vec::new();
        let mut sealed = ElementSet::EMPTY;
        let kinds = self.kinds()?;
        for (present, set) in &message.sealed {
            if self.scope.find(present)?.text().is_some() {
                sealed = sealed.union(*set);
            }
        }
        for (element, path) in &message.elements {
            // Any text may be a name, sealed ones too. All else that reads as what it is was not sealed, whatever stands beside it.
            if sealed.contains(*element) && *element == Element::Name {
                continue;
            }
            match self.scope.find(path)? {
                Found::Text("") | Found::Absent => (),
                Found::Text(text) => match told::put(&mut elements, *element, text, kinds) {
                    Ok(()) => sealed = sealed.difference(ElementSet::EMPTY.with(*element)),
                    Err(_) if sealed.contains(*element) => (),
                    Err(error) => invalid.push(error),
                },
                Found::Sealed => sealed = sealed.with(*element),
            }
        }
        let amount = match &message.amount {
            None => None,
            Some((path, unit)) => match self.scope.find(path)? {
                Found::Text(text) => {
                    let parsed = Fen::parse(text, *unit);
                    Some(parsed.map_err(|_| {
                        ReadError::ambiguous(path, "not an amount in the declared unit")
                    })?)
                }
                Found::Absent if message.scenario.moves_money() && !message.amount_optional => {
                    return Err(ReadError::unreadable(path, "no amount"));
                }
                Found::Absent | Found::Sealed => None,
            },
        };
        let checks = message.checks.intersection(elements.set());
        let payment = Payment {
            scenario: message.scenario,
            order: self.order(row.as_deref()),
            merchant: match &message.merchant {
                Some(path) if path.in_row() => merchant(self.scope, message)?,
                Some(_) | None => self.merchant.cloned(),
            },
            amount,
            elements,
            asserted: ElementSet::EMPTY,
            agreement: one(self.scope, message.agreement.as_ref())?.map(AgreementId),
            checks,
        };
        Ok(Part {
            row,
            payment,
            invalid,
            sealed,
            remember: self.scope.joined(&message.remember)?,
            recall: self.scope.joined(&message.recall)?,
            undoes: self.scope.joined(&message.undoes)?.map(|order| OrderId(order.into())),
        })
    }

    /// The order's name, and the row's after it.
    fn order(&self, row: Option<&str>) -> Option<OrderId> {
        let order = self.order?;
        Some(row.map_or_else(|| order.clone(), |row| OrderId(format!("{}|{row}", order.0).into())))
    }

    /// Adds what the core told: sealed elements as asserted; readable ones must agree.
    fn merge(&self, part: &mut Part, header: &str) -> Result<(), ReadError> {
        let kinds = self.kinds()?;
        let mut beside = Elements::default();
        for (element, text) in told::parse(header)? {
            if let Err(error) = told::put(&mut beside, element, &text, kinds) {
                part.invalid.push(error);
            }
        }
        let read = &mut part.payment.elements;
        let both = read.set().intersection(beside.set());
        if read.restricted(both) != beside.restricted(both) {
            return Err(ReadError::ambiguous("Hefu-Elements", "contradicts the message"));
        }
        part.payment.asserted = beside.set().difference(both);
        part.sealed = part.sealed.difference(beside.set());
        *read = Elements {
            name: read.name.take().or(beside.name),
            id_number: read.id_number.take().or(beside.id_number),
            pan: read.pan.take().or(beside.pan),
            phone: read.phone.take().or(beside.phone),
            cvv2: read.cvv2.take().or(beside.cvv2),
            expiry: read.expiry.take().or(beside.expiry),
            account_level: read.account_level.or(beside.account_level),
            // Nothing else is read from a payment's message.
            ..Elements::default()
        };
        part.payment.checks = self.message.checks.intersection(part.payment.elements.set());
        Ok(())
    }

    fn kinds(&self) -> Result<(IdType, AccountKind), ReadError> {
        let id_type = self.coded(self.message.id_type.as_ref())?.unwrap_or_default();
        Ok((id_type, self.coded(self.message.account_kind.as_ref())?.unwrap_or_default()))
    }

    fn coded<T: Copy>(&self, coded: Option<&Coded<T>>) -> Result<Option<T>, ReadError> {
        let Some(Coded { at, values }) = coded else { return Ok(None) };
        let Some(code) = self.scope.find(at)?.text() else { return Ok(None) };
        by_code(values, code)
            .map(Some)
            .ok_or_else(|| ReadError::unreadable(at, "a code that the profile does not list"))
    }
}

fn by_code<T: Copy>(values: &BTreeMap<String, T>, code: &str) -> Option<T> {
    values.get(code).copied()
}

/// Which elements a profile's message may carry at all; for `hefu check` and documents.
pub fn may_carry(message: &Message) -> ElementSet {
    message.elements.iter().map(|(element, _): &(Element, Path)| *element).collect()
}
