//! What clients send and are told. Their elements are read here, and shown nowhere.

use crate::api::Problem;
use crate::domain::answer::Answer;
use crate::domain::business::CreditCode;
use crate::domain::element::{Element, ElementSet, Elements, InvalidElement};
use crate::domain::identity::{CertificateNumber, IdNumber, IdType};
use crate::domain::image::Image;
use crate::domain::kind::{Band, Kind};
use crate::domain::pan::{AccountKind, Pan};
use crate::domain::person::{Mobile, Name};
use crate::store::verification::{State, Verification};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The most lines of a batch.
pub(super) const LINES_MAX: usize = 10_000;

/// What is told where the store is lost.
pub(super) const LOST: Problem =
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "nothing can be read or kept now: try again");

/// What is to be verified.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedBody {
    /// What is asked: `elements` where absent, whether they belong together; or as your contract says `face`, whether `face_image`
    /// is of the person whom the others name; `liveness`, whether it is of a living person who is there; `id_card`, what stands on
    /// `id_card_image`; `business`, whether it is registered so; `education`, `railway`, whether those know the person.
    kind: Option<String>,
    /// What is verified together with what is read, of the kind `elements` and as such a verification of its own: `{}` where that
    /// is what is read alone. Nothing is where it is absent.
    then: Option<ElementsBody>,
    /// The elements.
    pub(super) elements: ElementsBody,
    /// `sync` where absent: the answer says what it came to. `async`: it says that it is being asked, and you are told by your webhook.
    #[serde(default)]
    pub(super) mode: Mode,
}

impl WantedBody {
    /// What is asked.
    pub(super) fn kind(&self) -> Result<Kind, Unfit> {
        read_kind(self.kind.as_deref())
    }

    /// The elements, and those that are verified together with what is read.
    pub(super) fn read(self, kind: Kind) -> Result<(Elements, Option<Elements>), Unfit> {
        let unfit = |field, why| Unfit { field, why };
        let reads = kind.reads();
        if !reads.is_empty() && self.mode == Mode::Async {
            return Err(unfit("mode", "what is read is in the answer, which so must wait"));
        }
        let then = self.then.map(ElementsBody::any).transpose()?;
        if then.is_some() && reads.is_empty() {
            return Err(unfit("then", "nothing is read by this kind"));
        }
        if then.as_ref().is_some_and(|then| then.set().meets(reads)) {
            return Err(unfit("then", "the name and the ID number are read from the picture"));
        }
        Ok((self.elements.read()?, then))
    }
}

/// What is asked, by its word.
fn read_kind(word: Option<&str>) -> Result<Kind, Unfit> {
    let unfit = Unfit { field: "kind", why: "not a kind of verification" };
    word.map_or(Ok(Kind::Elements), |word| Kind::from_word(word).ok_or(unfit))
}

/// Whether the answer waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// It does.
    #[default]
    Sync,
    /// It does not.
    Async,
}

/// Lines to be verified.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LinesBody {
    /// What is asked about each line: `elements` where absent, or as your contract says `business`, `education`, `railway`.
    kind: Option<String>,
    /// The elements of each line: 1 to 10000 of them.
    #[serde(deserialize_with = "few")]
    #[schemars(with = "Vec<ElementsBody>", length(min = 1, max = 10000))]
    pub(super) lines: Vec<ElementsBody>,
}

impl LinesBody {
    /// What is asked: nothing that takes a picture.
    pub(super) fn kind(&self) -> Result<Kind, Unfit> {
        let unfit = Unfit { field: "kind", why: "a batch takes no picture" };
        let kind = read_kind(self.kind.as_deref())?;
        if kind.needs().meets(ElementSet::PICTURES) { Err(unfit) } else { Ok(kind) }
    }
}

/// Lines, of which no more are read than may be: an empty one takes two bytes to write and a hundred to keep.
fn few<'de, D: Deserializer<'de>>(lines: D) -> Result<Vec<ElementsBody>, D::Error> {
    struct Lines;
    impl<'de> Visitor<'de> for Lines {
        type Value = Vec<ElementsBody>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("lines")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
            let mut lines = Vec::new();
            while let Some(line) = all.next_element()? {
                lines.push(line);
                // One too many is kept, so that it is seen that there are.
                if lines.len() > LINES_MAX {
                    while all.next_element::<IgnoredAny>()?.is_some() {}
                }
            }
            Ok(lines)
        }
    }
    lines.deserialize_seq(Lines)
}

/// Elements; which of them together, your contract says.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ElementsBody {
    /// The holder's name.
    name: Option<String>,
    /// The number of their document.
    id_number: Option<String>,
    /// Which document that is: `resident_id` where absent, `passport`, `hong_kong_macao_permit`, `taiwan_permit`, `foreigner_permit`.
    id_type: Option<String>,
    /// The number of the card or account.
    pan: Option<String>,
    /// What kind of account it is: `debit` where absent, `credit`, `passbook`, `corporate`.
    account_kind: Option<String>,
    /// The mobile phone of mainland China.
    phone: Option<String>,
    /// A picture of the face: the base64 of a JPEG or PNG (RFC 4648, section 4), without line ends, of at most 1 MiB where your
    /// contract says nothing else.
    face_image: Option<String>,
    /// A picture of the side of an identity card that has the name, as `face_image` is written.
    id_card_image: Option<String>,
    /// The registered name of a business; `name` is then who stands for it by law.
    business_name: Option<String>,
    /// Its unified social credit code.
    credit_code: Option<String>,
    /// The number of a certificate of education.
    certificate_number: Option<String>,
}

/// An element is not what it must be: which, and why; never its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) field: &'static str,
    pub(super) why: &'static str,
}

impl From<InvalidElement> for Unfit {
    fn from(error: InvalidElement) -> Self {
        let why = match error {
            InvalidElement::Pan => "not a card or account number",
            InvalidElement::IdNumber => "not a number of the stated identity document",
            InvalidElement::Phone => "not a mobile number",
            InvalidElement::Name => "not a name",
            InvalidElement::Cvv2 => "not a card verification value",
            InvalidElement::Expiry => "not a card expiry",
            InvalidElement::FaceImage | InvalidElement::IdCardImage => {
                "not the base64 of a JPEG or a PNG"
            }
            InvalidElement::BusinessName => "not the name of a business",
            InvalidElement::CreditCode => "not a unified social credit code",
            InvalidElement::CertificateNumber => "not the number of a certificate",
        };
        Self { field: error.element().as_str(), why }
    }
}

impl ElementsBody {
    /// The elements, of which there is one at least.
    pub(super) fn read(self) -> Result<Elements, Unfit> {
        let elements = self.any()?;
        let none = Unfit { field: "elements", why: "there are none" };
        if elements.set().is_empty() { Err(none) } else { Ok(elements) }
    }

    /// The elements.
    fn any(self) -> Result<Elements, Unfit> {
        let Self { name, id_number, id_type, pan, account_kind, phone, .. } = self;
        let picture = |text: Option<String>, no| text.map(|text| Image::parse(&text, no));
        let face_image = picture(self.face_image, InvalidElement::FaceImage).transpose()?;
        let id_card_image = picture(self.id_card_image, InvalidElement::IdCardImage).transpose()?;
        let business = self.business_name.map(|text| Name::parse(&text)).transpose();
        let business_name = business.map_err(|_| InvalidElement::BusinessName)?;
        let unfit = |field, why| Unfit { field, why };
        let id_type = match (&id_number, id_type) {
            (None, Some(_)) => return Err(unfit("id_type", "there is no `id_number`")),
            (_, None) => IdType::ResidentId,
            (Some(_), Some(word)) => {
                IdType::from_word(&word).ok_or(unfit("id_type", "not a kind of document"))?
            }
        };
        let kind = match (&pan, account_kind) {
            (None, Some(_)) => return Err(unfit("account_kind", "there is no `pan`")),
            (_, None) => AccountKind::Debit,
            (Some(_), Some(word)) => AccountKind::from_word(&word)
                .ok_or(unfit("account_kind", "not a kind of account"))?,
        };
        let elements = Elements {
            name: name.map(|text| Name::parse(&text)).transpose()?,
            id_number: id_number.map(|text| IdNumber::parse(&text, id_type)).transpose()?,
            pan: pan.map(|text| Pan::parse(&text, kind)).transpose()?,
            phone: phone.map(|text| Mobile::parse(&text)).transpose()?,
            face_image,
            id_card_image,
            business_name,
            credit_code: self.credit_code.map(|text| CreditCode::parse(&text)).transpose()?,
            certificate_number: self
                .certificate_number
                .map(|text| CertificateNumber::parse(&text))
                .transpose()?,
            ..Elements::default()
        };
        Ok(elements)
    }
}

/// What is being asked.
const ASKING: &str = "asking";

/// What a verification came to.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct VerificationBody {
    /// Its id.
    id: String,
    /// `done`; `asking`; or `uncertain`, where it may have been asked and nobody knows what it came to: ask again under another key.
    status: &'static str,
    at_ms: u64,
    /// The elements, and what is known of each: `match`, `close_match`, `no_match`, or `unknown`.
    elements: BTreeMap<&'static str, &'static str>,
    /// `match`, `close_match`, `no_match`, `no_record`, `not_possible`, `limited`, `invalid` or `unavailable`; none before it is done.
    answer: Option<&'static str>,
    /// When the source was asked: earlier than `at_ms`, where it is known by earlier evidence.
    asked_at_ms: Option<u64>,
    /// How many more wrong tries there are before the card or the person is not asked about for a while.
    attempts_left: Option<u32>,
    /// Of which batch it is a line, and which.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    /// What was asked.
    kind: &'static str,
    /// How alike things are, where a source scores that: `high` and `middle` are enough for a match, `low` is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    band: Option<&'static str>,
    /// What was read from the document: told in the answer to the first request, and kept by nobody. Who asks again is told which
    /// elements they were, in `read_before`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    read: BTreeMap<&'static str, String>,
    /// Which elements were read and told to who asked first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    read_before: Vec<&'static str>,
    /// The verification of what was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    then: Option<Box<VerificationBody>>,
}

impl VerificationBody {
    pub(super) fn new(verification: &Verification, uncertain: bool) -> Self {
        let Verification { id, at, kind, set, state, line, .. } = verification;
        let came = match state {
            State::Asking { .. } => None,
            State::Done(came) => Some(came),
        };
        let status = match came {
            Some(_) => "done",
            None if uncertain => "uncertain",
            None => ASKING,
        };
        let answer = came.map(|came| came.answer);
        Self {
            id: id.to_string(),
            status,
            at_ms: at.as_millis(),
            elements: set
                .iter()
                .map(|it| (it.as_str(), known(answer, ElementSet::EMPTY.with(it))))
                .collect(),
            answer: answer.map(Answer::as_str),
            asked_at_ms: came.filter(|came| came.told).map(|came| came.asked.as_millis()),
            attempts_left: came.and_then(|came| came.attempts_left),
            batch: line.map(|(batch, _)| batch.to_string()),
            line: line.map(|(_, line)| line),
            kind: kind.as_str(),
            band: came.and_then(|came| came.band).map(Band::as_str),
            read: BTreeMap::new(),
            read_before: came
                .map(|came| came.read)
                .unwrap_or_default()
                .iter()
                .map(Element::as_str)
                .collect(),
            then: None,
        }
    }

    /// With what was read, where it is told now.
    pub(super) fn with_read(mut self, read: Option<&Elements>) -> Self {
        let Some(read) = read else { return self };
        let name = read.name.as_ref().map(|name| (Element::Name, name.expose()));
        let number = read.id_number.as_ref().map(|number| (Element::IdNumber, number.expose()));
        let values = name.into_iter().chain(number);
        self.read = values.map(|(element, value)| (element.as_str(), value.to_owned())).collect();
        self.read_before = Vec::new();
        self
    }

    /// With what followed.
    pub(super) fn with_then(self, then: Option<Self>) -> Self {
        Self { then: then.map(Box::new), ..self }
    }

    /// As a line of a result: its id, how it stands, what was answered, what is known of each of `columns`, and the tries left.
    pub(super) fn written(&self, columns: &[&str]) -> String {
        let known = columns.iter().map(|it| self.elements.get(it).copied().unwrap_or_default());
        let known = known.collect::<Vec<_>>().join(",");
        let left = self.attempts_left.map(|left| left.to_string()).unwrap_or_default();
        let answer = self.answer.unwrap_or_default();
        format!("{},{},{answer},{known},{left}", self.id, self.status)
    }

    /// How it stands.
    pub(super) const fn status(&self) -> &'static str {
        self.status
    }
}

impl VerificationBody {
    /// Whether there is more to come.
    pub(super) fn is_asking(&self) -> bool {
        self.status == ASKING
    }
}

/// The elements of which the result of a batch tells, in its order: what its lines may have.
pub(super) fn columns(kind: Kind) -> Vec<&'static str> {
    let never = ElementSet::SECRET.union(ElementSet::PICTURES).with(Element::AccountLevel);
    kind.takes().difference(never).iter().map(Element::as_str).collect()
}

/// What an answer tells of one element.
const fn known(answer: Option<Answer>, element: ElementSet) -> &'static str {
    match answer {
        Some(Answer::Match) => "match",
        Some(Answer::CloseMatch) => "close_match",
        // That one is at fault says nothing of the others.
        Some(Answer::NoMatch(at_fault)) if at_fault.meets(element) => "no_match",
        Some(
            Answer::NoMatch(_)
            | Answer::NoRecord
            | Answer::NotPossible
            | Answer::Limited
            | Answer::Invalid
            | Answer::Unavailable,
        )
        | None => "unknown",
    }
}

/// Some verifications.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct VerificationsBody {
    pub(super) verifications: Vec<VerificationBody>,
    /// What `before` is for the next page; none where there is none.
    pub(super) next: Option<String>,
}

/// How far a batch is.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct BatchBody {
    pub(super) id: String,
    /// `working`; `ended`, where every line was asked about; or `left`, where nobody works at it any more: post the same lines under
    /// the same key, and it goes on with those that are `not_asked`.
    pub(super) status: &'static str,
    pub(super) at_ms: u64,
    /// What is asked about each line.
    pub(super) kind: &'static str,
    /// How many lines it has.
    pub(super) lines: u32,
    /// How many of them are `done`, `asking`, `uncertain`, `waiting` to be asked, or `not_asked`; a list says that of none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) counts: BTreeMap<&'static str, u32>,
}

/// Some batches.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct BatchesBody {
    pub(super) batches: Vec<BatchBody>,
    /// What `before` is for the next page; none where there is none.
    pub(super) next: Option<String>,
}
