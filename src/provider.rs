//! Asking verification providers: what an inquiry and a reply are, and the adapter that speaks HTTP from data.
//!
//! A provider is a file ([`Definition`]) and a [`Deployment`]; compiled together they are an [`HttpProvider`].
//! Nothing here reads a file or a clock, and no error or `Debug` shows an element.

mod auth;
mod deployment;
mod facts;
pub mod file;
mod form;
mod http;
mod problem;
mod rate;
mod readout;
mod request;
mod response;
mod score;
mod secret;
mod server;
mod template;
pub mod trace;

pub use deployment::{ClientCertificate, Deployment};
pub use file::Definition;
pub use http::HttpProvider;
pub use problem::{Place, Problem};
pub use secret::Secret;

pub use crate::domain::answer::Billable;

use crate::domain::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::domain::element::{ElementSet, Elements};
use crate::domain::id::{PaymentId, ProviderName, Road};
use crate::domain::identity::IdType;
use crate::domain::kind::{Band, Kind};
use crate::domain::pan::AccountKind;
use async_trait::async_trait;
use std::fmt;
use std::time::Duration;

/// Who answers verification inquiries.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync {
    /// Its configured name.
    fn name(&self) -> &ProviderName;

    /// What it can answer, and where its answers come from.
    fn capability(&self) -> &Capability;

    /// The house through which its answers come.
    fn road(&self) -> &Road {
        &self.capability().road
    }

    /// The longest that one question takes.
    fn timeout(&self) -> Duration;

    /// Asks once. A failure is a reply too; the inquiry must be durable before this is called, since it may be billed.
    async fn ask(&self, inquiry: &Inquiry, now: Timestamp) -> Reply;
}

/// What a provider can answer, and where its answers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// The house it comes through.
    pub road: Road,
    /// The registry behind its answers, as configured: `bank`, `operator:cmcc`, `police`.
    pub source: Box<str>,
    /// What it is asked.
    pub kind: Kind,
    /// The element sets that it answers.
    pub sets: Vec<ElementSet>,
    /// The kinds of account that it answers for.
    pub account_kinds: Vec<AccountKind>,
    /// The identity documents that it answers for.
    pub id_types: Vec<IdType>,
}

impl Capability {
    /// Whether it answers `set` for the card and document among `elements`, all of which must be there.
    pub fn can_answer(&self, set: ElementSet, elements: &Elements) -> bool {
        let elements = elements.restricted(set);
        self.sets.contains(&set)
            && elements.set() == set
            && elements.pan.is_none_or(|pan| self.account_kinds.contains(&pan.kind()))
            && elements.id_number.is_none_or(|id| self.id_types.contains(&id.kind()))
    }
}

/// One question to one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// Its id, unique per question put; nonces and the provider's order numbers are made of it.
    pub id: PaymentId,
    /// The elements, restricted to `set`.
    pub elements: Elements,
    /// Which elements are asked about.
    pub set: ElementSet,
}

/// What is kept in the place of a code that no map knows, where that may not be kept.
pub const WITHHELD: &str = "withheld";

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What was said, normalised; [`Answer::Unavailable`] for every technical failure.
    pub answer: Answer,
    /// The provider's own code: at most 32 graphic ASCII characters; one that no map knows may be [`WITHHELD`].
    pub code: Option<Box<str>>,
    /// Whether the provider charges for it.
    pub billable: Billable,
    /// The registry that the answer names; else it is the capability's.
    pub source: Option<Box<str>>,
    /// Why nothing was learned, where that is not the provider's own word.
    pub trouble: Option<Trouble>,
    /// What it says beyond that, by the kind of question.
    pub more: More,
}

/// What an answer says beyond whether things belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct More {
    /// How alike they are, where the provider scores that.
    pub band: Option<Band>,
    /// The elements that were read, for whoever asked and for nobody else.
    pub read: Option<Box<Elements>>,
}

impl More {
    /// Nothing.
    pub const NOTHING: Self = Self { band: None, read: None };
}

/// Why a question stayed without an answer, for logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The provider does not answer this set, account kind or document: it was not asked.
    NotAsked,
    /// An element cannot be written as the provider's protocol needs it: it was not asked.
    Unwritable,
    /// Our own rate limit for this provider was reached: it was not asked.
    Rate,
    /// No connection came about: it was not asked.
    Connect,
    /// It did not answer in time, or the connection broke.
    Silence,
    /// The answer has an HTTP status that is not mapped.
    Status,
    /// The answer is longer than the limit.
    TooLarge,
    /// The answer is not in the declared format, or has no code where one belongs.
    Unreadable,
    /// The answer's signature is missing or wrong.
    Signature,
    /// The answer's code is not in the code map.
    Unmapped,
}

impl Trouble {
    /// The word used in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAsked => "not_asked",
            Self::Unwritable => "unwritable",
            Self::Rate => "rate",
            Self::Connect => "connect",
            Self::Silence => "silence",
            Self::Status => "status",
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
            Self::Signature => "signature",
            Self::Unmapped => "unmapped",
        }
    }
}

impl Reply {
    /// Nothing was sent.
    const fn not_sent(answer: Answer, trouble: Trouble) -> Self {
        let (billable, trouble) = (Billable::No, Some(trouble));
        Self { answer, code: None, billable, source: None, trouble, more: More::NOTHING }
    }

    /// Something may have been sent, and nothing was learned.
    const fn unavailable(trouble: Trouble) -> Self {
        Self {
            answer: Answer::Unavailable,
            code: None,
            billable: Billable::Uncertain,
            source: None,
            trouble: Some(trouble),
            more: More::NOTHING,
        }
    }

    /// The same reply with the provider's own code, cleaned: one of a map is a word of that file; one of no map is kept where
    /// [`may_be_kept`], and is [`WITHHELD`] else.
    fn with_code(mut self, code: &str, elements: &Elements) -> Self {
        const CODE_CHARS_MAX: usize = 32;
        let is_kept = self.trouble != Some(Trouble::Unmapped) || may_be_kept(code, elements);
        let code = if is_kept { code } else { WITHHELD };
        let clean: String =
            code.chars().filter(char::is_ascii_graphic).take(CODE_CHARS_MAX).collect();
        self.code = Some(clean.into_boxed_str()).filter(|clean| !clean.is_empty());
        self
    }
}

/// Whether a code of no map has nothing but ASCII letters, digits, `.`, `_`, `-` and the `/` between its parts, at most six digits in
/// all, and no four letters and digits in a row, without regard to case and to what is between them, that an element of the question
/// has too. Pictures are not looked at.
fn may_be_kept(code: &str, elements: &Elements) -> bool {
    // Of a card as many may be shown.
    const DIGITS_MAX: usize = 6;
    const RUN: usize = 4;
    let plain = |text: &str| {
        let kept = text.bytes().filter(u8::is_ascii_alphanumeric);
        kept.map(|byte| byte.to_ascii_uppercase()).collect::<Vec<u8>>()
    };
    let is_of_codes = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    let digits = code.bytes().filter(u8::is_ascii_digit).count();
    if !code.bytes().all(is_of_codes) || digits > DIGITS_MAX {
        return false;
    }
    let shown = plain(code);
    let mut values = facts::values(elements)
        .into_iter()
        .filter(|(element, _)| !ElementSet::PICTURES.contains(*element))
        .map(|(_, value)| plain(value));
    !values.any(|value| value.windows(RUN).any(|run| shown.windows(RUN).any(|it| it == run)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::element::InvalidElement;
    use crate::domain::identity::IdNumber;
    use crate::domain::image::Image;
    use crate::domain::pan::Pan;
    use crate::domain::person::Name;
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    /// A code of no map is kept only with ASCII letters, digits, `.`, `_`, `-`, `/`, at most six digits in all, and no four letters and
    /// digits in a row that stand in an element; else a fixed word is. Pictures are not looked at, and one of a map is kept as it is.
    #[test]
    fn a_code_of_no_map_is_kept_by_its_characters_or_not_at_all() {
        let picture = BASE64_STANDARD.encode(b"\xff\xd8\xff\xe0 and so on");
        let elements = Elements {
            name: Name::parse("John Smith").ok(),
            id_number: IdNumber::parse("11010519491231002X", IdType::ResidentId).ok(),
            pan: Pan::parse("6222021234567894", AccountKind::Debit).ok(),
            face_image: Image::parse(&picture, InvalidElement::FaceImage).ok(),
            ..Elements::default()
        };
        assert_eq!(elements.set().iter().count(), 4);
        let kept = |code: &str, trouble: Option<Trouble>| {
            let reply = Reply { trouble, ..Reply::unavailable(Trouble::Unmapped) };
            reply.with_code(code, &elements).code
        };
        let check = |code: &str, expected: bool| {
            let expected = if expected { code } else { WITHHELD };
            assert_eq!(kept(code, Some(Trouble::Unmapped)).as_deref(), Some(expected), "{code}");
            assert_eq!(kept(code, None).as_deref(), Some(code), "{code}");
        };
        check("-99", true);
        check("2/299", true);
        check("Brand_New.Code", true);
        check("E987301", true);
        check("E987-3017", false);
        check("E123456", false);
        check("DOB19491231", false);
        check("dob=1949-12-31", false);
        check("born-19.49", false);
        check("born-494", true);
        check("002x", false);
        check("E6222021234", false);
        check("E.62/22", false);
        check("E622", true);
        check("NAME-%E5%BC%A0", false);
        check("E:9", false);
        check("Nobody.smi-th", false);
        check("johns", false);
        check("Joh", true);
        // As the picture begins.
        assert!(picture.starts_with("/9j/4C"));
        check("/9j/4C", true);
    }
}
