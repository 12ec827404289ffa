//! Short texts that are put together in place: a payment's record has many fingerprints and ids.

/// A text of at most `N` bytes. What does not fit is left out: `N` is the longest that is ever written.
#[derive(Debug)]
pub(crate) struct Short<const N: usize> {
    bytes: [u8; N],
    end: usize,
}

impl<const N: usize> Short<N> {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; N], end: 0 }
    }

    /// Goes on with `part`.
    pub(crate) fn push(&mut self, part: &[u8]) {
        let end = self.end.saturating_add(part.len());
        if let Some(room) = self.bytes.get_mut(self.end..end) {
            room.copy_from_slice(part);
            self.end = end;
        }
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        let text = self.bytes.get(..self.end).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }
}
