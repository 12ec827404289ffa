//! Lists: what a rule looks for an attribute in. Cards, persons and phone numbers stand in them as fingerprints only.

use super::attribute::Holds;
use crate::domain::clock::Timestamp;
use crate::domain::id::Fingerprint;
use std::collections::HashMap;

/// The most entries of one list.
pub const ENTRIES_MAX: usize = 1_000_000;
/// The longest text of an entry, in bytes.
const TEXT_MAX: usize = 128;

/// What stands in a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Member {
    /// A BIN, a merchant, an agreement.
    Text(Box<str>),
    /// A card, a person, a phone number.
    Print(Fingerprint),
}

/// Why a text is no member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMember {
    /// It is empty or too long.
    #[error("a value has 1 to {TEXT_MAX} bytes")]
    Length,
    /// It is no BIN.
    #[error("a BIN is the first six digits of a card number")]
    Bin,
    /// It is no fingerprint; perhaps it is what a fingerprint is made of.
    #[error(
        "not a fingerprint: `hefu rules list import` takes plain values and writes fingerprints"
    )]
    Plain,
}

impl Member {
    /// Reads an entry of a list of `holds` as it is kept.
    ///
    /// # Errors
    /// [`NoMember`], which does not repeat the text.
    pub fn read(holds: Holds, text: &str) -> Result<Self, NoMember> {
        if text.is_empty() || text.len() > TEXT_MAX {
            return Err(NoMember::Length);
        }
        match holds {
            Holds::Cards | Holds::Persons | Holds::Phones => {
                Fingerprint::parse(text).map(Self::Print).ok_or(NoMember::Plain)
            }
            Holds::Bins if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Err(NoMember::Bin)
            }
            Holds::Bins | Holds::Merchants | Holds::Agreements => Ok(Self::Text(text.into())),
        }
    }
}

/// A list: its members, and until when each stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// What it holds.
    pub holds: Holds,
    texts: HashMap<Box<str>, Option<Timestamp>>,
    prints: HashMap<Fingerprint, Option<Timestamp>>,
}

impl List {
    /// An empty list.
    pub fn new(holds: Holds) -> Self {
        Self { holds, texts: HashMap::new(), prints: HashMap::new() }
    }

    /// Adds a member that stands in it until `expires`; says whether it is new.
    pub fn add(&mut self, member: Member, expires: Option<Timestamp>) -> bool {
        match member {
            Member::Text(text) => self.texts.insert(text, expires).is_none(),
            Member::Print(print) => self.prints.insert(print, expires).is_none(),
        }
    }

    /// How many members it has, those that are over included.
    pub fn len(&self) -> usize {
        self.texts.len().saturating_add(self.prints.len())
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `text` stands in it at `now`.
    pub fn has_text(&self, text: &str, now: Timestamp) -> bool {
        self.texts.get(text).is_some_and(|expires| stands(*expires, now))
    }

    /// Whether `print` stands in it at `now`.
    pub fn has_print(&self, print: &Fingerprint, now: Timestamp) -> bool {
        self.prints.get(print).is_some_and(|expires| stands(*expires, now))
    }
}

fn stands(expires: Option<Timestamp>, now: Timestamp) -> bool {
    expires.is_none_or(|expires| now < expires)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::KeyId;

    #[test]
    fn what_stands_in_a_list_is_of_its_kind_and_not_for_ever() {
        let print = Fingerprint { key: KeyId(1), digest: [7; 32] };
        let check = |holds, text: &str, expected| {
            assert_eq!(Member::read(holds, text), expected, "{text}");
        };
        check(Holds::Bins, "622848", Ok(Member::Text("622848".into())));
        check(Holds::Bins, "62284", Err(NoMember::Bin));
        check(Holds::Cards, &print.to_string(), Ok(Member::Print(print)));
        check(Holds::Cards, "6200000000000005", Err(NoMember::Plain));
        check(Holds::Merchants, "", Err(NoMember::Length));
        let at = Timestamp::from_millis;
        let mut list = List::new(Holds::Cards);
        assert!(list.add(Member::Print(print), Some(at(5))));
        assert!(!list.add(Member::Print(print), Some(at(5))));
        assert!(list.has_print(&print, at(4)) && !list.has_print(&print, at(5)));
    }
}
