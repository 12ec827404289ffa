//! A structured field as it is written: a List of items with parameters.

use crate::domain::account::AccountId;
use crate::domain::element::ElementSet;
use crate::domain::id::PaymentId;
use sfv::{ItemSerializer, StringRef};
use std::fmt::Write as _;

/// As long as nearly every field is.
const LENGTH: usize = 96;

/// A field in the making. Its words are the program's own, which are tokens and keys as they are; what is written by others is
/// serialised, and left out where its type cannot hold it.
pub(super) struct Field(String);

impl Field {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(String::with_capacity(LENGTH))
    }

    /// One that begins with a token.
    pub(super) fn token(word: &'static str) -> Self {
        Self::new().and_token(word)
    }

    /// A payment's id.
    pub(super) fn payment(id: PaymentId) -> Self {
        let mut field = Self::new();
        field.quote(id);
        field
    }

    /// The name of an account, which has nothing that a text must escape.
    pub(super) fn account(id: &AccountId) -> Self {
        let mut field = Self::new();
        field.quote(id);
        field
    }

    /// Another token.
    pub(super) fn and_token(mut self, word: &'static str) -> Self {
        self.separate();
        self.0.push_str(word);
        self
    }

    /// Another number.
    pub(super) fn and_number(mut self, number: usize) -> Self {
        self.separate();
        self.put(integer(number));
        self
    }

    /// A parameter that is a token, where there is one.
    pub(super) fn word(
        mut self,
        name: &'static str,
        word: impl Into<Option<&'static str>>,
    ) -> Self {
        if let Some(word) = word.into() {
            self.key(name);
            self.0.push_str(word);
        }
        self
    }

    /// A parameter that is a number.
    pub(super) fn number(mut self, name: &'static str, number: impl TryInto<i64>) -> Self {
        self.key(name);
        self.put(integer(number));
        self
    }

    /// A parameter that only has to be there.
    pub(super) fn flag(mut self, name: &'static str) -> Self {
        self.0.push(';');
        self.0.push_str(name);
        self
    }

    /// A parameter that names elements.
    pub(super) fn elements(mut self, name: &'static str, elements: ElementSet) -> Self {
        self.key(name);
        self.quote(elements);
        self
    }

    /// A parameter that is a payment's id.
    pub(super) fn of_payment(mut self, name: &'static str, id: PaymentId) -> Self {
        self.key(name);
        self.quote(id);
        self
    }

    /// A parameter that is a text of others.
    pub(super) fn text(mut self, name: &'static str, text: &str) -> Self {
        if let Ok(text) = StringRef::from_str(text) {
            self.key(name);
            let _ = ItemSerializer::with_buffer(&mut self.0).bare_item(text).finish();
        }
        self
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn separate(&mut self) {
        if !self.0.is_empty() {
            self.0.push_str(", ");
        }
    }

    fn key(&mut self, name: &'static str) {
        self.0.push(';');
        self.0.push_str(name);
        self.0.push('=');
    }

    fn quote(&mut self, text: impl std::fmt::Display) {
        self.0.push('"');
        self.put(text);
        self.0.push('"');
    }

    fn put(&mut self, what: impl std::fmt::Display) {
        // A text takes whatever is written.
        let _ = write!(self.0, "{what}");
    }
}

/// A number, or the largest that a field holds.
fn integer(number: impl TryInto<i64>) -> sfv::Integer {
    let number = sfv::Integer::try_from(number.try_into().unwrap_or(i64::MAX));
    number.unwrap_or(sfv::Integer::MAX)
}

#[cfg(test)]
mod tests {
    use super::Field;
    use crate::domain::element::{Element, ElementSet};

    #[test]
    fn what_is_written_by_others_is_serialised() {
        let elements = ElementSet::EMPTY.with(Element::Name).with(Element::Pan);
        let field = Field::token("match")
            .word("reason", None::<&str>)
            .word("mode", "enforce")
            .text("code", "a\"b\\c")
            .text("provider", "张三")
            .elements("elements", elements)
            .number("age", u64::MAX)
            .flag("asserted")
            .and_number(7)
            .elements("suspects", ElementSet::EMPTY);
        let expected = r#"match;mode=enforce;code="a\"b\\c";elements="name pan";age=999999999999999;asserted, 7;suspects="""#;
        assert_eq!(field.finish(), expected);
    }
}
