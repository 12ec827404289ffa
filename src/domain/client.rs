//! What a client of the verification service may do there.

/// How many lines of one batch are asked about at once.
pub const TOGETHER: usize = 8;

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Have elements verified: each is charged.
    Verify,
    /// Read what its own verifications came to.
    Read,
    /// Have many verified at once: each is charged.
    Batch,
    /// Read what a month comes to.
    Statements,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Verify, Self::Read, Self::Batch, Self::Statements];

    /// The word in configuration and in the API's description.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Read => "read",
            Self::Batch => "batch",
            Self::Statements => "statements",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}
