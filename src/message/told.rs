//! `Hefu-Elements`: what the core tells beside a message whose elements are sealed to the channel.
//!
//! A Dictionary of Byte Sequences in UTF-8 (RFC 9651 sections 3.2 and 3.3.5): `name=:5byg5LiJ:, pan=:…:`.

use crate::domain::element::{CardSecret, Element, Elements, InvalidElement};
use crate::domain::identity::{IdNumber, IdType};
use crate::domain::pan::{AccountKind, Pan};
use crate::domain::person::{Mobile, Name};
use crate::message::node::ReadError;
use sfv::{BareItem, Dictionary, ListEntry, Parser};

/// Parses `value` into the text of `element`, with the document and account kinds that the message states.
///
/// # Errors
/// [`InvalidElement`] where the text is not such an element.
pub fn put(
    elements: &mut Elements,
    element: Element,
    text: &str,
    kinds: (IdType, AccountKind),
) -> Result<(), InvalidElement> {
    match element {
        Element::Name => elements.name = Some(Name::parse(text)?),
        Element::IdNumber => elements.id_number = Some(IdNumber::parse(text, kinds.0)?),
        Element::Pan => elements.pan = Some(Pan::parse(text, kinds.1)?),
        Element::Phone => elements.phone = Some(Mobile::parse(text)?),
        Element::Cvv2 => elements.cvv2 = Some(CardSecret::cvv2(text)?),
        Element::Expiry => elements.expiry = Some(CardSecret::expiry(text)?),
        Element::AccountLevel
        | Element::FaceImage
        | Element::IdCardImage
        | Element::BusinessName
        | Element::CreditCode
        | Element::CertificateNumber => (),
    }
    Ok(())
}

/// Reads the header's value into texts by element.
///
/// # Errors
/// [`ReadError`] where it is no such dictionary, or names something that is no element.
pub fn parse(header: &str) -> Result<Vec<(Element, String)>, ReadError> {
    let fault = |what| ReadError::unreadable("Hefu-Elements", what);
    let dictionary: Dictionary =
        Parser::new(header).parse().map_err(|_| fault("not a dictionary (RFC 9651)"))?;
    let told = dictionary.into_iter().map(|(key, entry)| {
        let element =
            Element::from_word(key.as_str()).ok_or_else(|| fault("an unknown element"))?;
        match entry {
            ListEntry::Item(item) => match item.bare_item {
                BareItem::ByteSequence(bytes) => {
                    let text =
                        String::from_utf8(bytes).map_err(|_| fault("text that is not UTF-8"))?;
                    Ok((element, text))
                }
                _ => Err(fault("a value that is not a byte sequence")),
            },
            ListEntry::InnerList(_) => Err(fault("a value that is not a byte sequence")),
        }
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_told_as_byte_sequences() {
        let told = parse("name=:5byg5LiJ:, pan=:NjIwMDAwMDAwMDAwMDAwNQ==:").unwrap();
        assert_eq!(
            told,
            [(Element::Name, "张三".to_owned()), (Element::Pan, "6200000000000005".to_owned())]
        );
        for header in [
            "name=\"x\"",
            "nobody=:5byg5LiJ:",
            "name=(:5byg5LiJ:)",
            "name=:1dU=:",
            "name",
            "=",
            "name=:?:",
        ] {
            assert!(parse(header).is_err(), "{header}");
        }
    }
}
