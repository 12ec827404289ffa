//! Reading an answer: the right layer, by a code map, and words where codes say too little.

use crate::domain::id::{AgreementId, OrderId};
use crate::domain::money::{Fen, Unit};
use crate::domain::outcome::{Decline, Outcome};
use crate::message::node::{Node, ReadError, Scope};
use crate::message::path::Path;
use crate::message::profile::{Layer, Message, OutcomeRule, Profile};
use crate::message::unwrap;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

/// The longest code that is kept.
const CODE_CHARS_MAX: usize = 32;

/// As many digits as this may be a phone's, a card's or a document's number.
const ELEMENT_DIGITS_MIN: usize = 11;

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The outcome; [`Outcome::Unknown`] where nothing can be read.
    pub outcome: Outcome,
    /// The channel's own code: ASCII, bounded.
    pub code: Option<String>,
    /// The agreement that a bind yielded.
    pub agreement: Option<AgreementId>,
    /// The code map that does not know the code, where none does.
    pub unmapped_in: Option<String>,
    /// Whether an outer layer said it, of the message itself and not of what it asks about.
    pub outer: bool,
    /// Where it is "not processed": how old the payment must be before that is believed.
    pub believed_after: Option<Duration>,
    /// The amount of the payment that is told of, in the answer to a query.
    pub amount: Option<Fen>,
    /// The order of the payment that is told of, where the answer to a query names it by itself.
    pub order: Option<OrderId>,
}

impl Reading {
    /// Nothing can be read: neither success nor failure.
    pub const UNKNOWN: Self = Self {
        outcome: Outcome::Unknown,
        code: None,
        agreement: None,
        unmapped_in: None,
        outer: false,
        believed_after: None,
        amount: None,
        order: None,
    };
}

/// What the answer to a message says: one thing, or one of each row of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Of the whole message: of the payment, or of all rows of a batch alike.
    Whole(Reading),
    /// By the name of the row. A row that is not here is not told; one that is told twice is unknown. Of a query that asks about a
    /// whole batch the rows are the batch's.
    Rows(BTreeMap<String, Reading>),
}

impl Told {
    /// What it says of a message without rows.
    pub fn whole(self) -> Reading {
        match self {
            Self::Whole(reading) => reading,
            Self::Rows(_) => Reading::UNKNOWN,
        }
    }
}

/// Reads the answer to `message`. Whatever cannot be read is unknown, never a failure.
pub fn read(profile: &Profile, message: &Message, content_type: Option<&str>, body: &[u8]) -> Told {
    try_read(profile, message, content_type, body).unwrap_or(Told::Whole(Reading::UNKNOWN))
}

/// As [`read`], for whoever wants to know why nothing can be read.
///
/// # Errors
/// [`ReadError`] where the answer is not so written, or could be read in two ways.
pub fn try_read(
    profile: &Profile,
    message: &Message,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Told, ReadError> {
    told(profile, message, &unwrap::read(&profile.answer, content_type, body)?)
}

fn told(profile: &Profile, message: &Message, root: &Node<'_>) -> Result<Told, ReadError> {
    let Some(rule) = &message.outcome else { return Ok(Told::Whole(Reading::UNKNOWN)) };
    let whole = Scope::whole(root);
    if let Some(outer) = refused(profile, rule, whole)? {
        return Ok(Told::Whole(outer));
    }
    let Some(rows) = &rule.rows else {
        return reading(profile, message, rule, whole).map(Told::Whole);
    };
    let mut told = BTreeMap::new();
    for row in root.rows(&rows.at)? {
        let scope = whole.row(row);
        let name = match scope.joined(&rows.name)? {
            Some(name) => name,
            // One payment that is asked about may have rows without names.
            None if message.rows.is_none() => String::new(),
            None => continue,
        };
        let read = reading(profile, message, rule, scope).unwrap_or(Reading::UNKNOWN);
        match told.entry(name) {
            Entry::Vacant(place) => drop(place.insert(read)),
            Entry::Occupied(mut place) => drop(place.insert(Reading::UNKNOWN)),
        }
    }
    Ok(Told::Rows(told))
}

/// What a message without rows says by `rule`.
///
/// # Errors
/// As [`try_read`].
pub(crate) fn by_rule(
    profile: &Profile,
    rule: &OutcomeRule,
    root: &Node<'_>,
) -> Result<Reading, ReadError> {
    let whole = Scope::whole(root);
    match refused(profile, rule, whole)? {
        Some(outer) => Ok(outer),
        None => layer(profile, &rule.layer, whole),
    }
}

/// What an outer layer says, where it is not success.
fn refused(
    profile: &Profile,
    rule: &OutcomeRule,
    whole: Scope<'_, '_>,
) -> Result<Option<Reading>, ReadError> {
    for outer in &rule.outer {
        let read = layer(profile, outer, whole)?;
        if !matches!(read.outcome, Outcome::Succeeded | Outcome::Accepted) {
            // What came back was paid: that is never said of the message itself.
            let outer = read.outcome != Outcome::Reversed;
            return Ok(Some(Reading { outer, ..read }));
        }
    }
    Ok(None)
}

fn reading(
    profile: &Profile,
    message: &Message,
    rule: &OutcomeRule,
    scope: Scope<'_, '_>,
) -> Result<Reading, ReadError> {
    let mut read = layer(profile, &rule.layer, scope)?;
    if let Some((path, unit)) = &rule.amount
        && let Some(text) = scope.find(path)?.text()
    {
        read.amount = amount(path, (text, *unit), read.outcome)?;
    }
    if !rule.order.is_empty() {
        read.order = scope.joined(&rule.order)?.map(|order| OrderId(order.into()));
    }
    if let Some(yields) = &message.yields
        && matches!(read.outcome, Outcome::Succeeded | Outcome::Accepted)
    {
        read.agreement = match scope.name(&yields.agreement) {
            Ok(name) => name.map(|name| AgreementId(name.into())),
            // No name that a debit could quote; what came of the payment is known all the same.
            Err(ReadError::Unreadable { .. }) => None,
            Err(ambiguous @ ReadError::Ambiguous { .. }) => return Err(ambiguous),
        };
    }
    Ok(read)
}

/// The amount of a payment that is told of: what failed may say that nothing came.
///
/// # Errors
/// [`ReadError::Ambiguous`] where it is none in the declared unit.
pub(super) fn amount(
    path: &Path,
    (text, unit): (&str, Unit),
    outcome: Outcome,
) -> Result<Option<Fen>, ReadError> {
    let what = "not an amount in the declared unit";
    let amount = Fen::parse(text, unit).map_err(|_| ReadError::ambiguous(path, what))?;
    Ok(moving(amount, outcome))
}

/// An amount, unless it says that nothing came of what failed.
pub(super) fn moving(amount: Fen, outcome: Outcome) -> Option<Fen> {
    (moved(outcome) || amount.get() > 0).then_some(amount)
}

/// Whether money moved, if it is so.
pub(super) const fn moved(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Succeeded | Outcome::Reversed)
}

fn layer(profile: &Profile, layer: &Layer, scope: Scope<'_, '_>) -> Result<Reading, ReadError> {
    let (Some(code), Some(map)) = (scope.find(&layer.code)?.text(), profile.codes.get(&layer.map))
    else {
        return Ok(Reading::UNKNOWN);
    };
    let mut outcome = map.outcome(code);
    if matches!(outcome, Outcome::Unmapped | Outcome::Declined(Decline::Other)) {
        for rule in &map.texts {
            if scope.find(&rule.field)?.text().is_some_and(|text| rule.matches.is_match(text)) {
                outcome = rule.outcome;
                break;
            }
        }
    }
    let code = shown(code);
    Ok(Reading {
        outcome,
        code: Some(code),
        agreement: None,
        unmapped_in: (outcome == Outcome::Unmapped).then(|| layer.map.clone()),
        outer: false,
        amount: None,
        order: None,
        believed_after: match outcome {
            Outcome::Declined(Decline::NotProcessed) => map.not_processed_after,
            Outcome::Declined(_)
            | Outcome::Accepted
            | Outcome::Succeeded
            | Outcome::NoMatch(_)
            | Outcome::Unknown
            | Outcome::Reversed
            | Outcome::Unmapped => None,
        },
    })
}

/// A code as it may be shown and kept: bounded ASCII, and never with the digits of an element, whatever parts them.
pub(super) fn shown(code: &str) -> String {
    let shown: String = code.chars().filter(char::is_ascii_graphic).take(CODE_CHARS_MAX).collect();
    let digits = shown.bytes().filter(u8::is_ascii_digit).count();
    if digits >= ELEMENT_DIGITS_MIN { "too-many-digits".to_owned() } else { shown }
}
