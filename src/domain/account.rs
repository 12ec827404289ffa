//! Payment accounts: their class, what their balance is used for, and the sources that stand behind a person's identity.

use crate::domain::identity::{IdNumber, IdType};
use crate::domain::person::Mobile;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The class of a person's payment account (PBOC Announcement 2015 No. 43, Article 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Class {
    /// The first that can be had, for little money.
    I,
    /// Consumption and transfers.
    II,
    /// Investment as well.
    III,
}

impl Class {
    /// Every class, the lowest first.
    pub const ALL: [Self; 3] = [Self::I, Self::II, Self::III];

    /// The word used in configuration and headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::I => "I",
            Self::II => "II",
            Self::III => "III",
        }
    }

    /// Reads the configuration word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What balance is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Goods and services.
    Consumption,
    /// To somebody else, or to an account of another name.
    Transfer,
    /// To a bank account of the same name: a withdrawal.
    OwnBankAccount,
    /// Investment products.
    Investment,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 4] =
        [Self::Consumption, Self::Transfer, Self::OwnBankAccount, Self::Investment];

    /// The word used in configuration, headers and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consumption => "consumption",
            Self::Transfer => "transfer",
            Self::OwnBankAccount => "own_bank_account",
            Self::Investment => "investment",
        }
    }

    /// Reads the configuration word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == word)
    }
}

/// How strongly whoever pays was authenticated (Announcement 2015 No. 43, Article 24).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// By fewer than two factors.
    Weak,
    /// By two factors or more, none of which is a digital certificate or an electronic signature.
    TwoFactors,
    /// By two factors or more, and one of them is.
    Certificate,
}

impl Strength {
    /// Every strength, the weakest first.
    pub const ALL: [Self; 3] = [Self::Weak, Self::TwoFactors, Self::Certificate];

    /// The word used in configuration, headers and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Weak => "weak",
            Self::TwoFactors => "two_factors",
            Self::Certificate => "certificate",
        }
    }

    /// Reads the configuration word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strength| strength.as_str() == word)
    }
}

/// The registry behind an answer: a family, `police`, or one of its members, `operator:cmcc` or `bank:ICBC`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Source(Arc<str>);

impl Source {
    /// `name` as a provider or the configuration has it.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The member `member` of `family`.
    pub fn member_of(family: &str, member: &str) -> Self {
        Self(format!("{family}:{member}").into())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The family.
    pub fn family(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(family, _)| family)
    }

    /// Which of the family, where that is said.
    pub fn member(&self) -> Option<&str> {
        self.0.split_once(':').map(|(_, member)| member).filter(|member| !member.is_empty())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// The core's name of a payment account: 1 to 64 ASCII letters, digits and `-_.`; never a phone or identity number, since it is kept.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AccountId(Arc<str>);

/// Not the name of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an account's id is 1 to 64 letters, digits and `-_.`, and no phone or identity number: it is kept"
)]
pub struct InvalidAccountId;

impl AccountId {
    /// Reads an account's name.
    ///
    /// # Errors
    /// [`InvalidAccountId`].
    pub fn parse(text: &str) -> Result<Self, InvalidAccountId> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_element =
            Mobile::parse(text).is_ok() || IdNumber::parse(text, IdType::ResidentId).is_ok();
        if (1..=64).contains(&text.len()) && text.bytes().all(plain) && !is_element {
            Ok(Self(text.into()))
        } else {
            Err(InvalidAccountId)
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl From<AccountId> for String {
    fn from(id: AccountId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl TryFrom<String> for AccountId {
    type Error = InvalidAccountId;

    fn try_from(text: String) -> Result<Self, InvalidAccountId> {
        Self::parse(&text)
    }
}
