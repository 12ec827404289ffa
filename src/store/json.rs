//! The JSON of rows: what `serde_json` writes, in some two thirds of its time. It looks at each byte by itself for what must be escaped,
//! in names of fields too; here names are known to have nothing of the kind, and of a text many bytes are looked at at once.

use serde::Serialize;
use serde::ser::{self, Error as _, Impossible, Serializer};
use serde_json::Error;
use std::fmt::Write as _;

/// The JSON of `value`, which takes about so many `bytes`.
///
/// # Errors
/// It has none.
pub(super) fn to_string<T: Serialize>(value: &T, bytes: usize) -> Result<String, Error> {
    let mut text = String::with_capacity(bytes);
    match value.serialize(Json(&mut text)) {
        Ok(()) => Ok(text),
        // There is something in it that few rows have.
        Err(_) => serde_json::to_string(value),
    }
}

/// Writes one value to the end of a text.
struct Json<'a>(&'a mut String);

/// Writes the parts of one, and then what ends it.
struct Parts<'a> {
    text: &'a mut String,
    begun: bool,
    end: &'static str,
}

impl<'a> Json<'a> {
    fn parts(self, begin: &str, end: &'static str) -> Parts<'a> {
        self.0.push_str(begin);
        Parts { text: self.0, begun: false, end }
    }

    fn variant(self, name: &str, [begin, end]: [&'static str; 2]) -> Parts<'a> {
        self.0.push_str("{\"");
        self.0.push_str(name);
        self.0.push_str("\":");
        self.parts(begin, end)
    }

    fn rare<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.0.push_str(&serde_json::to_string(value)?);
        Ok(())
    }
}

impl Parts<'_> {
    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if std::mem::replace(&mut self.begun, true) {
            self.text.push(',');
        }
        value.serialize(Json(self.text))
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        let begun = std::mem::replace(&mut self.begun, true);
        self.text.push_str(if begun { ",\"" } else { "\"" });
        self.text.push_str(name);
        self.text.push_str("\":");
        value.serialize(Json(self.text))
    }

    fn ended(self) {
        self.text.push_str(self.end);
    }
}

/// Whether nothing in a text must be escaped. It is looked at to its end, so that it can be many bytes at once.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & !matches!(byte, 0..b' ' | b'"' | b'\\'))
}

fn unknown<T>(what: &str) -> Result<T, Error> {
    Err(Error::custom(what))
}

macro_rules! whole {
    ($($name:ident: $type:ty),*) => {
        $(fn $name(self, value: $type) -> Result<(), Error> {
            write!(self.0, "{value}").map_err(Error::custom)
        })*
    };
}

macro_rules! rare {
    ($($name:ident: $type:ty),*) => {
        $(fn $name(self, value: $type) -> Result<(), Error> {
            self.rare(&value)
        })*
    };
}

impl<'a> Serializer for Json<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = Parts<'a>;
    type SerializeMap = Impossible<(), Error>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    whole!(serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64);
    whole!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64);
    whole!(serialize_bool: bool);
    rare!(serialize_f32: f32, serialize_f64: f64, serialize_char: char);

    fn serialize_str(self, text: &str) -> Result<(), Error> {
        if !is_plain(text) {
            return self.rare(text);
        }
        self.0.push('"');
        self.0.push_str(text);
        self.0.push('"');
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Error> {
        unknown("bytes")
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.0.push_str("null");
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.0.push_str("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.0.push_str("null");
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
    ) -> Result<(), Error> {
        self.0.push('"');
        self.0.push_str(name);
        self.0.push('"');
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let mut one = self.variant(name, ["", "}"]);
        one.part(value)?;
        one.ended();
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'a>, Error> {
        Ok(self.parts("[", "]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'a>, Error> {
        Ok(self.parts("[", "]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Error> {
        Ok(self.parts("[", "]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Error> {
        Ok(self.variant(name, ["[", "]}"]))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Error> {
        // Its keys are written as text whatever they are.
        unknown("a map")
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Parts<'a>, Error> {
        if name.starts_with("$serde_json::") {
            return unknown("what is JSON already");
        }
        Ok(self.parts("{", "}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Error> {
        Ok(self.variant(name, ["{", "}}"]))
    }
}

macro_rules! parts {
    ($($trait:ident: $name:ident),*) => {
        $(impl ser::$trait for Parts<'_> {
            type Ok = ();
            type Error = Error;

            fn $name<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.part(value)
            }

            fn end(self) -> Result<(), Error> {
                self.ended();
                Ok(())
            }
        })*
    };
}

macro_rules! fields {
    ($($trait:ident),*) => {
        $(impl ser::$trait for Parts<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Error> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), Error> {
                self.ended();
                Ok(())
            }
        })*
    };
}

parts!(SerializeSeq: serialize_element, SerializeTuple: serialize_element);
parts!(SerializeTupleStruct: serialize_field, SerializeTupleVariant: serialize_field);
fields!(SerializeStruct, SerializeStructVariant);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    struct New(Option<String>);

    #[derive(Serialize)]
    struct Pair(u8, i64);

    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Any {
        OfNothing,
        OfOne(New),
        OfTwo(Pair, char),
        OfFields {
            flag: bool,
            ratio: f64,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            rest: Vec<Any>,
        },
        Empty {},
        Unit(Unit, ()),
    }

    fn check<T: Serialize>(value: &T) {
        let ours = to_string(value, 0).unwrap();
        assert_eq!(ours, serde_json::to_string(value).unwrap());
    }

    #[test]
    fn whatever_has_a_json_form_is_written_as_elsewhere() {
        let text = |text: &str| Any::OfOne(New(Some(text.to_owned())));
        let mut all = vec![
            Any::OfNothing,
            Any::OfOne(New(None)),
            Any::OfTwo(Pair(255, i64::MIN), '"'),
            Any::OfTwo(Pair(0, i64::MAX), '张'),
            Any::OfFields { flag: true, ratio: 0.1, rest: Vec::new() },
            Any::OfFields { flag: false, ratio: f64::NAN, rest: vec![Any::OfNothing, text("")] },
            Any::Empty {},
            Any::Unit(Unit, ()),
        ];
        all.extend((0..=u8::MAX).map(|byte| text(&format!("before {} after", char::from(byte)))));
        for one in &all {
            check(one);
        }
        check(&all);
        check(&(u64::MAX, -1_i8, 0.5_f32, [1_u16; 3], Some(&all)));
    }

    #[test]
    fn what_few_rows_have_is_left_to_serde_json() {
        let map = BTreeMap::from([(7, "a"), (8, "\n")]);
        check(&map);
        check(&("before", serde_json::value::to_raw_value(&map).unwrap()));
        check(&("before", &map, u128::MAX));
    }

    proptest! {
        #[test]
        fn texts_are_escaped_as_elsewhere(texts: Vec<String>) {
            check(&texts);
        }
    }
}
