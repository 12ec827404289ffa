//! What stands for a key that others choose.

use siphasher::sip128::{Hasher128 as _, SipHasher13};
use std::hash::Hash;

/// What a key is known by in memory: 128 bits of a hash under a key of this process, so that nobody can make two alike. The key itself
/// would be one more place to look at, which of a hundred thousand of them is a long way off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mark(u128);

/// Makes marks.
#[derive(Debug)]
pub(super) struct Marks(SipHasher13);

impl Default for Marks {
    fn default() -> Self {
        Self(SipHasher13::new_with_keys(rand::random(), rand::random()))
    }
}

impl Marks {
    pub(super) fn of(&self, key: impl Hash) -> Mark {
        let mut hasher = self.0;
        key.hash(&mut hasher);
        Mark(hasher.finish128().into())
    }
}
