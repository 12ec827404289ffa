//! Paths to fields: keys joined by `/`, such as `customerInfo/certifId`; a number picks from a list.
//!
//! `./amount` is read in each row of a batch, and `@msgtp` is a field of the HTTP head.

use crate::message::key::Key;
use std::borrow::Cow;
use std::fmt;

/// The most keys in one path.
const DEPTH_MAX: usize = 12;

/// Where a field stands in a message.
///
/// INVARIANT: one to `DEPTH_MAX` keys, none of them empty; a key that begins with `@` stands alone and in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    in_row: bool,
    keys: Box<[Key<'static>]>,
}

/// The text is not a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a path is one to {DEPTH_MAX} keys joined by `/`, none of them empty; or `@` and a header's name in lower case"
)]
pub struct InvalidPath;

impl Path {
    /// Reads `key/key/…`, `./key/…` or `@header`.
    ///
    /// # Errors
    /// [`InvalidPath`] where a key is empty, there are too many, or a header's name is none.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        let row = text.strip_prefix("./");
        let keys = row.unwrap_or(text).split('/').map(|key| Key::from(Cow::Owned(key.to_owned())));
        let keys: Box<[Key<'static>]> = keys.collect();
        let header = |key: &str| {
            let name = key.strip_prefix('@')?;
            Some(
                !name.is_empty()
                    && name
                        .bytes()
                        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')),
            )
        };
        let wrong = keys.iter().any(|key| {
            key.is_empty()
                || header(key).is_some_and(|valid| !valid || keys.len() > 1 || row.is_some())
        });
        if wrong || keys.len() > DEPTH_MAX {
            return Err(InvalidPath);
        }
        Ok(Self { in_row: row.is_some(), keys })
    }

    /// The keys, from the outside in.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| &**key)
    }

    /// The same, as they are looked up.
    pub(crate) fn steps(&self) -> &[Key<'static>] {
        &self.keys
    }

    /// Whether it is read in each row of a batch.
    pub const fn in_row(&self) -> bool {
        self.in_row
    }

    /// Whether `other` stands there, or below it.
    pub fn leads_to(&self, other: &Self) -> bool {
        self.in_row == other.in_row && other.keys.starts_with(&self.keys)
    }

    /// The HTTP header that it names, in lower case.
    pub fn header(&self) -> Option<&str> {
        self.keys().next().and_then(|key| key.strip_prefix('@'))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.in_row {
            f.write_str("./")?;
        }
        for (at, key) in self.keys().enumerate() {
            if at > 0 {
                f.write_str("/")?;
            }
            f.write_str(key)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_back_or_is_refused() {
        let check = |text: &str, expected: Option<(bool, Option<&str>)>| {
            let path = Path::parse(text).ok();
            let shown = path.as_ref().map(|path| (path.in_row(), path.header()));
            assert_eq!(shown, expected, "{text}");
            assert!(path.is_none_or(|path| path.to_string() == text), "{text}");
        };
        check("a", Some((false, None)));
        check("a/0/b", Some((false, None)));
        check("./a/b", Some((true, None)));
        check("@msg-tp", Some((false, Some("msg-tp"))));
        for text in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "./",
            "@",
            "@MsgTp",
            "@a/b",
            "./@a",
            "a/@b",
            "1/2/3/4/5/6/7/8/9/10/11/12/13",
        ] {
            check(text, None);
        }
    }
}
