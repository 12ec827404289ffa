//! Credentials: never shown, and wiped when dropped.

use std::fmt;
use zeroize::Zeroizing;

/// The bytes of a credential file.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over the bytes as they stand in the file.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// All bytes; every use is a place to review.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The text without white space around it, which editors add; `None` where there is none.
    pub(crate) fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok().map(str::trim).filter(|text| !text.is_empty())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}
