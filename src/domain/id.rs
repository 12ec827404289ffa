//! Names and identifiers: of channels, providers, payments, orders, agreements.

use crate::domain::clock::Timestamp;
use crate::domain::text::Short;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Defines a cheap-to-clone name that configuration fixes.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $type(Arc<str>);

        impl $type {
            /// `name` as it stands in configuration.
            pub fn new(name: &str) -> Self {
                Self(name.into())
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "`{}`", self.0)
            }
        }
    };
}

name! {
    /// Who moves the money.
    ChannelName
}
name! {
    /// Who answers verification inquiries.
    ProviderName
}
name! {
    /// Who calls the verification service.
    ClientName
}
name! {
    /// The house through which an answer or a payment came.
    Road
}
name! {
    /// An issuing bank, by the digits that begin its card numbers.
    Bank
}

/// What a bind yields and later debits quote, as the channel writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AgreementId(pub Arc<str>);

/// The fields that name one order at its channel, joined by `|` in the profile's order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderId(pub Arc<str>);

/// The core's merchant at the channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MerchantId(pub Arc<str>);

/// The id of one payment in Hefu: a ULID (48 bits of milliseconds, 80 random bits), written in Crockford's base 32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct PaymentId(u128);

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl PaymentId {
    /// An id for `now` from `random` bits, of which the low 80 are used.
    pub fn new(now: Timestamp, random: u128) -> Self {
        let time = u128::from(now.as_millis()) & ((1 << 48) - 1);
        Self(time << 80 | random & ((1 << 80) - 1))
    }

    /// The id of the row of this number, from 1, of the batch whose id this is: whoever knows one of them finds all.
    #[must_use]
    pub fn row(self, number: usize) -> Self {
        let random = (1 << 80) - 1;
        let number = u128::try_from(number).unwrap_or_default();
        Self(self.0 & !random | self.0.wrapping_add(number) & random)
    }

    /// When it was made.
    pub fn at(self) -> Timestamp {
        Timestamp::from_millis(u64::try_from(self.0 >> 80).unwrap_or(u64::MAX))
    }

    /// Reads the written form of 26 characters.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 26 || text.as_bytes().first()? > &b'7' {
            return None;
        }
        text.bytes()
            .try_fold(0_u128, |id, byte| {
                let digit = CROCKFORD.iter().position(|c| *c == byte.to_ascii_uppercase())?;
                Some(id << 5 | u128::try_from(digit).ok()?)
            })
            .map(Self)
    }

    fn written(self) -> Short<26> {
        let mut digits = [b'0'; 26];
        let mut rest = self.0;
        for slot in digits.iter_mut().rev() {
            let digit = usize::try_from(rest & 31).unwrap_or_default();
            *slot = CROCKFORD.get(digit).copied().unwrap_or(b'0');
            rest >>= 5;
        }
        let mut text = Short::new();
        text.push(&digits);
        text
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.written().as_str())
    }
}

impl fmt::Debug for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which fingerprint key made a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u16);

/// A keyed fingerprint (HMAC-SHA-256) of a tuple of elements: the only form in which elements are remembered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Fingerprint {
    /// The key it was made with.
    pub key: KeyId,
    /// The digest.
    pub digest: [u8; 32],
}

impl Hash for Fingerprint {
    /// Digests are keyed and as good as random: some of one tells it from others.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let some = self.digest.first_chunk().copied().unwrap_or_default();
        state.write_u64(u64::from_le_bytes(some));
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.written().as_str())
    }
}

impl Fingerprint {
    /// In one piece: every row is found by one, and a record has several.
    pub(crate) fn written(&self) -> Short<70> {
        // Without a table, so that many digits are made at once.
        let digit = |nibble: u8| nibble + if nibble > 9 { b'a' - 10 } else { b'0' };
        let mut hex = [[0; 2]; 32];
        for (pair, byte) in hex.iter_mut().zip(self.digest) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        let mut text = Short::new();
        for unit in [10_000, 1_000, 100, 10, 1] {
            if unit <= self.key.0 || unit == 1 {
                text.push(&[digit(u8::try_from(self.key.0 / unit % 10).unwrap_or_default())]);
            }
        }
        text.push(b":");
        text.push(hex.as_flattened());
        text
    }

    /// Reads the written form `key:hex`.
    pub fn parse(text: &str) -> Option<Self> {
        let (key, hex) = text.split_once(':')?;
        let mut digest = [0; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        for (slot, pair) in digest.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *slot = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self { key: KeyId(key.parse().ok()?), digest })
    }
}

/// Not the written form of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the written form of an id")]
pub struct InvalidId;

/// Types that are kept as they are written.
macro_rules! written {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.written().as_str())
            }
        }

        impl TryFrom<String> for $type {
            type Error = $crate::domain::id::InvalidId;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text).ok_or($crate::domain::id::InvalidId)
            }
        }
    };
}
pub(crate) use written;

written!(PaymentId);
written!(Fingerprint);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn payment_ids_read_back_and_sort_by_time(ms in 0_u64..1 << 48, random: u128) {
            let id = PaymentId::new(Timestamp::from_millis(ms), random);
            prop_assert_eq!(PaymentId::parse(&id.to_string()), Some(id));
            let later = PaymentId::new(Timestamp::from_millis(ms + 1), 0);
            prop_assert!(ms + 1 == 1 << 48 || id < later);
        }

        #[test]
        fn rows_are_of_the_instant_of_their_batch(ms in 0_u64..1 << 48, random: u128, number in 1_usize..2_000) {
            for random in [random, u128::MAX] {
                let id = PaymentId::new(Timestamp::from_millis(ms), random);
                prop_assert_eq!(id.row(number).at(), id.at());
                prop_assert_ne!(id.row(number), id);
                prop_assert_ne!(id.row(number), id.row(number + 1));
            }
        }

        #[test]
        fn fingerprints_read_back(key: u16, digest: [u8; 32]) {
            let fingerprint = Fingerprint { key: KeyId(key), digest };
            let text = fingerprint.to_string();
            prop_assert_eq!(&text, &format!("{key}:{}", hex::encode(digest)));
            prop_assert_eq!(Fingerprint::parse(&text), Some(fingerprint));
        }
    }

    #[test]
    fn what_is_no_payment_id_is_refused() {
        for text in [
            "",
            "01J9Z",
            "81J9ZZZZZZZZZZZZZZZZZZZZZZ",
            "01J9ZUZZZZZZZZZZZZZZZZZZZZ",
            "張張張張張張張張張",
        ] {
            assert_eq!(PaymentId::parse(text), None, "`{text}`");
        }
    }
}
