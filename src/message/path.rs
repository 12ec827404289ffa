//! Paths to fields: keys joined by `/`, such as `customerInfo/certifId`; a number picks from a list.

use std::fmt;

/// The most keys in one path.
const DEPTH_MAX: usize = 12;

/// Where a field stands in a message.
///
/// INVARIANT: one to `DEPTH_MAX` keys, none of them empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Box<[Box<str>]>);

/// The text is not a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a path is one to {DEPTH_MAX} keys joined by `/`, none of them empty")]
pub struct InvalidPath;

impl Path {
    /// Reads `key/key/…`.
    ///
    /// # Errors
    /// [`InvalidPath`] where a key is empty or there are too many.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        let keys: Box<[Box<str>]> = text.split('/').map(Box::from).collect();
        if keys.len() > DEPTH_MAX || keys.iter().any(|key| key.is_empty()) {
            return Err(InvalidPath);
        }
        Ok(Self(keys))
    }

    /// The keys, from the outside in.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}
