//! Texts with a meaning: words, durations, sizes, paths, addresses. Each is checked where it is read.

use super::problem::suggest;
use crate::crypto::signature::Hash;
use crate::domain::account::Purpose;
use crate::domain::clock::Timestamp;
use crate::domain::element::Element;
use crate::domain::identity::IdType;
use crate::domain::kind::Kind;
use crate::domain::money::Unit;
use crate::domain::outcome::{Arrival, Decline};
use crate::domain::pan::AccountKind;
use crate::domain::payment::Scenario;
use crate::message::charset;
use crate::message::path::Path;
use crate::message::profile::{Format, Place, Signed};
use crate::policy::Effect;
use crate::tier::rules::{AccountNeeded, Counts};
use encoding_rs::Encoding;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo};
use regex::{Regex, RegexBuilder};
use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The most memory that one compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// What can be read from a text in a file.
pub(super) trait Meaning: Sized {
    /// What it is, with its article: `a duration`.
    const WHAT: &'static str;

    /// The words, where only some are allowed.
    fn words() -> Vec<&'static str> {
        Vec::new()
    }

    /// Reads it; else a hint.
    fn read(text: &str) -> Result<Self, String>;
}

/// A text that was read as `T`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text<T>(pub(super) T);

impl<'de, T: Meaning> Deserialize<'de> for Text<T> {
    /// As a newtype, because its deserializer then says where the text stands if we refuse it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T>(PhantomData<T>);
        impl<'de, T: Meaning> Visitor<'de> for Read<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::WHAT)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Self::Value, D::Error> {
                read(&String::deserialize(deserializer)?)
            }

            /// Keys are no newtypes, and say their place themselves.
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                read(text)
            }
        }
        deserializer.deserialize_newtype_struct("Text", Read(PhantomData))
    }
}

/// Reads `text`; the hint stands on the error's second line.
fn read<T: Meaning, E: serde::de::Error>(text: &str) -> Result<Text<T>, E> {
    let refused = |hint| E::custom(format!("`{text}` is not {}\n{hint}", T::WHAT));
    T::read(text).map(Text).map_err(refused)
}

impl<T: Meaning> JsonSchema for Text<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::WHAT.into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        let words = T::words();
        if words.is_empty() {
            json_schema!({ "type": "string", "description": T::WHAT })
        } else {
            json_schema!({ "type": "string", "description": T::WHAT, "enum": words })
        }
    }
}

/// Words that the domain knows.
macro_rules! words {
    ($type:ty, $what:literal, $all:expr, $word:expr) => {
        impl Meaning for $type {
            const WHAT: &'static str = $what;

            fn words() -> Vec<&'static str> {
                $all.into_iter().map($word).collect()
            }

            fn read(text: &str) -> Result<Self, String> {
                $all.into_iter()
                    .find(|known| $word(*known) == text)
                    .ok_or_else(|| suggest(text, Self::words()))
            }
        }
    };
}

words!(Scenario, "a scenario", Scenario::ALL, Scenario::as_str);
words!(Arrival, "a way in which outcomes arrive", Arrival::ALL, Arrival::as_str);
words!(Element, "an element", Element::ALL, Element::as_str);
words!(Kind, "a kind of verification", Kind::ALL, Kind::as_str);
words!(Decline, "a reason to decline", Decline::ALL, Decline::as_str);
words!(AccountKind, "a kind of account", AccountKind::ALL, AccountKind::as_str);
words!(IdType, "a kind of document", IdType::ALL, IdType::as_str);
words!(Purpose, "a use of balance", Purpose::ALL, Purpose::as_str);
words!(Counts, "a way to count", Counts::ALL, Counts::as_str);
words!(AccountNeeded, "a bank account that is needed", AccountNeeded::ALL, AccountNeeded::as_str);
words!(Effect, "an effect", [Effect::Permit, Effect::Annotate, Effect::Refuse], Effect::as_str);
words!(Hash, "a kind of signature", Hash::ALL, Hash::rsa);
words!(Signed, "a way to sign", Signed::ALL, Signed::as_str);
words!(Unit, "a unit of money", [Unit::Fen, Unit::Yuan, Unit::Cny], unit_word);
words!(
    Format,
    "a format",
    [Format::Form, Format::Pairs, Format::Json, Format::Xml, Format::Text],
    format_word
);
words!(
    InDoubt,
    "a way to end what is in doubt",
    [InDoubt::Close, InDoubt::Problem],
    InDoubt::as_str
);

/// A way to find who is asked first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum StrategyWord {
    /// By priority.
    #[default]
    Priority,
    /// By expected cost.
    Concordance,
}

impl StrategyWord {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Priority => "priority",
            Self::Concordance => "concordance",
        }
    }
}

words!(
    StrategyWord,
    "a way to find who is asked first",
    [StrategyWord::Priority, StrategyWord::Concordance],
    StrategyWord::as_str
);

/// A price in fen.
#[derive(Debug)]
pub(super) struct Rate(pub(super) Decimal);

impl Meaning for Rate {
    const WHAT: &'static str = "a price in fen";

    fn read(text: &str) -> Result<Self, String> {
        let rate = Decimal::from_str_exact(text).ok();
        let fits = |rate: &Decimal| {
            !rate.is_sign_negative() && rate.scale() <= 4 && *rate <= Decimal::from(1_000_000)
        };
        let hint = "from `0` to `1000000`, with at most four decimals: `28.5`";
        rate.filter(fits).map(Self).ok_or_else(|| hint.to_owned())
    }
}

const fn unit_word(unit: Unit) -> &'static str {
    match unit {
        Unit::Fen => "fen",
        Unit::Yuan => "yuan",
        Unit::Cny => "cny",
    }
}

/// The word for a format.
pub(super) const fn format_word(format: Format) -> &'static str {
    match format {
        Format::Form => "form",
        Format::Pairs => "pairs",
        Format::Json => "json",
        Format::Xml => "xml",
        Format::Text => "text",
    }
}

/// What the core gets where a message may have reached the channel and no answer came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InDoubt {
    /// A closed connection, as from the channel itself.
    #[default]
    Close,
    /// `504` with a problem document that says `forwarded: true`.
    Problem,
}

impl InDoubt {
    /// The word used in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Problem => "problem",
        }
    }
}

impl Meaning for Path {
    const WHAT: &'static str = "a path to a field";

    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }
}

impl Meaning for Place {
    const WHAT: &'static str = "a path to a field, or `*`";

    fn read(text: &str) -> Result<Self, String> {
        if text == "*" { Ok(Self::Every) } else { <Path as Meaning>::read(text).map(Self::Field) }
    }
}

impl Meaning for Duration {
    const WHAT: &'static str = "a duration";

    fn read(text: &str) -> Result<Self, String> {
        let hint = || "write a duration as `500ms`, `3s`, `15m`, `12h` or `7d`".to_owned();
        let span: Span = text.parse().map_err(|_| hint())?;
        let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| hint())?;
        Self::try_from(duration).map_err(|_| "a duration is not negative".to_owned())
    }
}

impl Meaning for Timestamp {
    const WHAT: &'static str = "a date";

    fn read(text: &str) -> Result<Self, String> {
        let date = text.parse::<Date>().and_then(|date| date.to_zoned(TimeZone::UTC));
        let at = text.parse::<jiff::Timestamp>().or(date.map(|date| date.timestamp()));
        let ms = at.ok().and_then(|at| u64::try_from(at.as_millisecond()).ok());
        let hint =
            "write a date as `2027-03-01` (its beginning, UTC) or `2027-03-01T08:00:00+08:00`";
        ms.map(Self::from_millis).ok_or_else(|| hint.to_owned())
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub(super) usize);

impl Meaning for Size {
    const WHAT: &'static str = "a size";

    fn read(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let unit = match text.get(digits..).map(str::trim) {
            Some("B") => Some(1),
            Some("KiB") => Some(1 << 10),
            Some("MiB") => Some(1 << 20),
            _ => None,
        };
        let number = text.get(..digits).and_then(|number| number.parse::<usize>().ok());
        number
            .zip(unit)
            .and_then(|(number, unit)| number.checked_mul(unit))
            .map(Self)
            .ok_or_else(|| "write a size as `512B`, `16KiB` or `1MiB`".to_owned())
    }
}

impl Meaning for Regex {
    const WHAT: &'static str = "a regular expression";

    fn read(text: &str) -> Result<Self, String> {
        RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build().map_err(|error| match error {
            regex::Error::Syntax(text) => {
                let reason = text.lines().last().unwrap_or_default();
                format!(
                    "{} (the syntax is that of Rust's `regex`)",
                    reason.trim_start_matches("error: ")
                )
            }
            _ => "a pattern must compile to less than 1 MiB".to_owned(),
        })
    }
}

/// A name: of a channel, a provider, a road.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(pub(super) String);

impl Meaning for Name {
    const WHAT: &'static str = "a name";

    fn read(text: &str) -> Result<Self, String> {
        let valid =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if (1..=32).contains(&text.len()) && text.chars().all(valid) {
            Ok(Self(text.to_owned()))
        } else {
            Err("a name has 1 to 32 of `a` to `z`, `0` to `9`, `-` and `_`".to_owned())
        }
    }
}

/// A charset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(pub(super) &'static Encoding);

impl Meaning for Label {
    const WHAT: &'static str = "a supported charset";

    fn read(text: &str) -> Result<Self, String> {
        charset::by_label(text)
            .map(Self)
            .ok_or_else(|| suggest(text, ["UTF-8", "GBK", "GB2312", "GB18030"]))
    }
}

/// A media type, in lower case and without parameters.
#[derive(Clone, Debug)]
pub(super) struct MediaType(pub(super) String);

impl Meaning for MediaType {
    const WHAT: &'static str = "a media type";

    fn read(text: &str) -> Result<Self, String> {
        let valid = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
        };
        match text.split_once('/') {
            Some((kind, subtype)) if valid(kind) && valid(subtype) => {
                Ok(Self(text.to_ascii_lowercase()))
            }
            _ => {
                Err("write a media type without parameters, such as `application/json`".to_owned())
            }
        }
    }
}

/// What a request's canonical path is or begins with, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RoutePath(pub(super) String);

impl Meaning for RoutePath {
    const WHAT: &'static str = "a canonical path";

    fn read(text: &str) -> Result<Self, String> {
        let odd = |c: char| !c.is_ascii_graphic() || matches!(c, '%' | '?' | '#' | '\\' | ';');
        if !text.starts_with('/') {
            Err("a path begins with `/`".to_owned())
        } else if text.contains("//")
            || text.split('/').any(|segment| matches!(segment, "." | ".."))
        {
            Err("paths are compared after `//`, `.` and `..` are resolved: write the plain path"
                .to_owned())
        } else if text.contains(odd) {
            Err("a path has no query, escapes or spaces: write the decoded path".to_owned())
        } else {
            Ok(Self(text.to_ascii_lowercase()))
        }
    }
}

/// The name of a host, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Host(pub(super) String);

impl Meaning for Host {
    const WHAT: &'static str = "a host name";

    fn read(text: &str) -> Result<Self, String> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        if (1..=253).contains(&text.len()) && text.bytes().all(valid) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err("write a host name without scheme and port, such as `gateway.example`".to_owned())
        }
    }
}

impl Meaning for SocketAddr {
    const WHAT: &'static str = "an address to listen on";

    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| "write an address with a port, such as `127.0.0.1:7000`".to_owned())
    }
}

/// Where the admin listener stands: nowhere that another machine can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// A loopback address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Meaning for AdminAddress {
    const WHAT: &'static str = "an address for the admin listener";

    fn read(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| path.starts_with('/')) {
            return Ok(Self::Unix(path.into()));
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(Self::Tcp(address)),
            _ => Err(
                "write a loopback address such as `127.0.0.1:7070`, or `unix:/run/hefu/admin.sock`"
                    .to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Meaning>(text: &str, shown: impl Fn(T) -> String, expected: Option<&str>) {
        assert_eq!(T::read(text).ok().map(shown).as_deref(), expected, "`{text}`");
    }

    #[test]
    fn durations_are_written_as_people_write_them() {
        let check = |text, expected| {
            check(text, |duration: Duration| duration.as_millis().to_string(), expected);
        };
        check("3s", Some("3000"));
        check("500ms", Some("500"));
        check("15m", Some("900000"));
        check("7d", Some("604800000"));
        check("90d", Some("7776000000"));
        check("1h 30m", Some("5400000"));
        check("PT3S", Some("3000"));
        for wrong in ["", "3", "3 apples", "-3s", "3s ago", "1mo", "1y", "three seconds"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_date_is_a_day_or_an_instant() {
        let check =
            |text, expected| check(text, |at: Timestamp| at.as_millis().to_string(), expected);
        check("2027-03-01", Some("1803859200000"));
        check("2027-03-01T08:00:00+08:00", Some("1803859200000"));
        for wrong in ["", "soon", "1.3.2027", "2027-02-30", "1969-12-31"] {
            check(wrong, None);
        }
    }

    #[test]
    fn sizes_have_a_unit() {
        let check = |text, expected| check(text, |size: Size| size.0.to_string(), expected);
        check("512B", Some("512"));
        check("16KiB", Some("16384"));
        check("1 MiB", Some("1048576"));
        for wrong in [
            "",
            "1",
            "1MB",
            "1.5MiB",
            "-1B",
            "MiB",
            "99999999999999999999B",
            "18446744073709551615MiB",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn words_are_those_of_the_domain() {
        check("debit", |scenario: Scenario| scenario.as_str().to_owned(), Some("debit"));
        check("Debit", |scenario: Scenario| scenario.as_str().to_owned(), None);
        check("id_number", |element: Element| element.as_str().to_owned(), Some("id_number"));
        check("annotate", |effect: Effect| effect.as_str().to_owned(), Some("annotate"));
        check("pairs", |format: Format| format_word(format).to_owned(), Some("pairs"));
        assert!(Scenario::read("debti").unwrap_err().starts_with("did you mean `debit`? "));
    }

    #[test]
    fn paths_of_requests_are_canonical() {
        let check = |text, expected| check(text, |path: RoutePath| path.0, expected);
        check("/gateway/API/", Some("/gateway/api/"));
        check("/", Some("/"));
        for wrong in [
            "", "gateway", "//x", "/a//b", "/a/../b", "/a/.", "/a%2F", "/a?b", "/a b", "/é", "/a;b",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn the_admin_listener_stays_on_this_machine() {
        let check =
            |text, expected| check(text, |address: AdminAddress| format!("{address:?}"), expected);
        check("127.0.0.1:7070", Some("Tcp(127.0.0.1:7070)"));
        check("[::1]:7070", Some("Tcp([::1]:7070)"));
        check("unix:/run/hefu/admin.sock", Some("Unix(\"/run/hefu/admin.sock\")"));
        for wrong in ["0.0.0.0:7070", "10.0.0.1:7070", "unix:admin.sock", "localhost:7070", ""] {
            check(wrong, None);
        }
    }

    #[test]
    fn patterns_are_bounded() {
        let check = |text, expected| check(text, |pattern: Regex| pattern.to_string(), expected);
        check("手机号.*不符", Some("手机号.*不符"));
        for wrong in ["(", "a{1000}{1000}{1000}", "(?=a)"] {
            check(wrong, None);
        }
    }
}
