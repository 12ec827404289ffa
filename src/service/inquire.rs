//! A provider, asked by hand: charged and counted as any other question, and kept as nobody's evidence.

use crate::domain::element::{Elements, InvalidElement};
use crate::domain::identity::{IdNumber, IdType};
use crate::domain::pan::{AccountKind, Pan};
use crate::domain::payment::Scenario;
use crate::domain::person::{Mobile, Name};
use crate::provider::{Inquiry, Reply};
use crate::service::Service;
use crate::service::verify::{Asked, Put, Whose};
use std::time::Duration;
use tokio::time::Instant;

/// Who is asked about, as somebody types it; kept nowhere.
#[derive(Clone, Default)]
pub struct Typed {
    /// The holder's name.
    pub name: Option<String>,
    /// The resident identity number.
    pub id_number: Option<String>,
    /// The card number.
    pub pan: Option<String>,
    /// The mobile phone.
    pub phone: Option<String>,
}

impl std::fmt::Debug for Typed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Typed(…)")
    }
}

impl Typed {
    fn elements(self) -> Result<Elements, InvalidElement> {
        let Self { name, id_number, pan, phone } = self;
        let number = |text: String| IdNumber::parse(&text, IdType::ResidentId);
        Ok(Elements {
            name: name.map(|text| Name::parse(&text)).transpose()?,
            id_number: id_number.map(number).transpose()?,
            pan: pan.map(|text| Pan::parse(&text, AccountKind::Debit)).transpose()?,
            phone: phone.map(|text| Mobile::parse(&text)).transpose()?,
            ..Elements::default()
        })
    }
}

/// What came of it.
#[derive(Debug)]
pub enum Inquired {
    /// It answered, within so long.
    Answered(Reply, Duration),
    /// It was not asked.
    Withheld(&'static str),
}

/// Why nobody is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InquireError {
    /// There is none of this name that is in use.
    #[error("no such provider is configured and on")]
    Unknown,
    /// An element is not valid.
    #[error(transparent)]
    Element(#[from] InvalidElement),
    /// It does not take such a question.
    #[error("it takes no question about these elements")]
    Set,
    /// The store.
    #[error("the store cannot be written now")]
    Lost,
}

impl Service {
    /// Asks the provider called `name`.
    ///
    /// # Errors
    /// [`InquireError`]: it was not asked.
    pub async fn inquire(&self, name: &str, typed: Typed) -> Result<Inquired, InquireError> {
        let entry = self.providers.iter().find(|entry| entry.provider.name().as_str() == name);
        let entry = entry.ok_or(InquireError::Unknown)?;
        let elements = typed.elements()?;
        let set = elements.set();
        if !entry.candidate.sets.contains(&set) {
            return Err(InquireError::Set);
        }
        let inquiry = Inquiry { id: self.new_id(self.now()), elements, set };
        let whose = Whose {
            of: self.asked_about(&inquiry.elements),
            merchant: None,
            client: None,
            scenario: Scenario::Verify,
            observed: false,
        };
        let turn = match self.turn(entry, false) {
            Ok(turn) => turn,
            Err(why) => return Ok(Inquired::Withheld(why.as_str())),
        };
        let begun = Instant::now();
        match self.put(entry, turn, &inquiry, &whose).await {
            Put::Asked(Asked { reply, .. }) => Ok(Inquired::Answered(reply, begun.elapsed())),
            Put::Short(_) => Ok(Inquired::Withheld("attempts or spend")),
            Put::Lost => Err(InquireError::Lost),
        }
    }
}
