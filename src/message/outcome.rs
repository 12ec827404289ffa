//! Reading an answer: the right layer, by a code map, and words where codes say too little.

use crate::domain::id::AgreementId;
use crate::domain::outcome::{Decline, Outcome};
use crate::message::node::{Node, ReadError};
use crate::message::profile::{Layer, Message, Profile};
use crate::message::unwrap;

/// The longest code that is kept.
const CODE_CHARS_MAX: usize = 32;

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The outcome; [`Outcome::Unknown`] where nothing can be read.
    pub outcome: Outcome,
    /// The channel's own code: ASCII, bounded.
    pub code: Option<String>,
    /// The agreement that a bind yielded.
    pub agreement: Option<AgreementId>,
}

impl Reading {
    /// Nothing can be read: neither success nor failure.
    pub const UNKNOWN: Self = Self { outcome: Outcome::Unknown, code: None, agreement: None };
}

/// Reads the answer to `message`. Whatever cannot be read is unknown, never a failure.
pub fn read(
    profile: &Profile,
    message: &Message,
    content_type: Option<&str>,
    body: &[u8],
) -> Reading {
    let Ok(node) = unwrap::read(&profile.answer, content_type, body) else {
        return Reading::UNKNOWN;
    };
    reading(profile, message, &node).unwrap_or(Reading::UNKNOWN)
}

fn reading(profile: &Profile, message: &Message, node: &Node<'_>) -> Result<Reading, ReadError> {
    let Some(rule) = &message.outcome else { return Ok(Reading::UNKNOWN) };
    if let Some(outer) = &rule.outer {
        let read = layer(profile, outer, node)?;
        if !matches!(read.outcome, Outcome::Succeeded | Outcome::Accepted) {
            return Ok(read);
        }
    }
    let mut read = layer(profile, &rule.layer, node)?;
    if let Some(yields) = &message.yields
        && matches!(read.outcome, Outcome::Succeeded | Outcome::Accepted)
    {
        read.agreement = node.find(&yields.agreement)?.text().map(|text| AgreementId(text.into()));
    }
    Ok(read)
}

fn layer(profile: &Profile, layer: &Layer, node: &Node<'_>) -> Result<Reading, ReadError> {
    let (Some(code), Some(map)) = (node.find(&layer.code)?.text(), profile.codes.get(&layer.map))
    else {
        return Ok(Reading::UNKNOWN);
    };
    let mut outcome = map.codes.get(code).copied().unwrap_or(Outcome::Unmapped);
    if matches!(outcome, Outcome::Unmapped | Outcome::Declined(Decline::Other)) {
        for rule in &map.texts {
            if node.find(&rule.field)?.text().is_some_and(|text| rule.matches.is_match(text)) {
                outcome = rule.outcome;
                break;
            }
        }
    }
    let code: String = code.chars().filter(char::is_ascii_graphic).take(CODE_CHARS_MAX).collect();
    Ok(Reading { outcome, code: Some(code), agreement: None })
}
