//! Keys of a message, and which of them some reader takes for another.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// A key as it is written, and a number by which nearly all others are told from it.
///
/// INVARIANT: the marks of a key and of its twin are the same, or one of them is `ANY`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<'a> {
    text: Cow<'a, str>,
    mark: u64,
}

/// The mark of a key that may be another's twin whatever the mark of that one.
const ANY: u64 = 0;

/// An odd number without a pattern (the golden ratio).
const MIX: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

impl Key<'_> {
    /// Whether it may be `key` or its twin, as nearly none may that is neither: to be asked first.
    pub fn may_be(&self, key: &Key<'_>) -> bool {
        self.mark == key.mark || self.mark == ANY || key.mark == ANY
    }

    /// Whether some reader takes it for `key`: letters as `fold` has them, spaces around it (PHP, Java), an index in
    /// brackets (PHP, qs), or a control character behind it, where readers in C end.
    pub fn is_twin(&self, key: &Key<'_>) -> bool {
        // Where the marks do not tell, the first letters or digits that differ mostly do.
        for (one, other) in self.bytes().zip(key.bytes()) {
            if !one.is_ascii_alphanumeric() || !other.is_ascii_alphanumeric() {
                break;
            }
            if !one.eq_ignore_ascii_case(&other) {
                return false;
            }
        }
        let is_space = |c: char| c.is_whitespace() || c.is_control();
        let mut rest = self.trim_start_matches(is_space).chars();
        key.chars().all(|c| rest.next().is_some_and(|other| fold(other) == fold(c)))
            && match rest.next() {
                None | Some('[') => true,
                Some(c) => c.is_control() || c.is_whitespace() && rest.all(is_space),
            }
    }

    /// The same key, owning its text.
    pub fn into_owned<'b>(self) -> Key<'b> {
        Key { text: Cow::Owned(self.text.into_owned()), mark: self.mark }
    }
}

impl<'a> From<Cow<'a, str>> for Key<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self { mark: mark(&text), text }
    }
}

impl Deref for Key<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl PartialEq<str> for Key<'_> {
    fn eq(&self, other: &str) -> bool {
        self.text == other
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A hash of the key in lower case; [`ANY`] where it holds what some reader trims, cuts off or takes for another sign.
fn mark(text: &str) -> u64 {
    let mut hash = 0_u128;
    let (whole, rest) = text.as_bytes().as_chunks::<16>();
    let last = (!rest.is_empty()).then(|| filled(rest));
    for block in whole.iter().copied().chain(last) {
        let block = u128::from_le_bytes(block);
        if is_odd(block) {
            return ANY;
        }
        // This takes some other signs for one another too, and a key for one that is filled up to it: their texts tell.
        let lower = block | u128::from_le_bytes([b' '; 16]);
        hash = (hash ^ lower).wrapping_mul(MIX);
    }
    u64::try_from(hash >> 64).unwrap_or_default().max(1)
}

/// Whether one of the bytes is no sign that can be seen, or `.` or `[`. All are looked at together, since this is done to each key of
/// each message: a byte's highest bit tells of it (S. E. Anderson, Bit Twiddling Hacks, "Determine if a word has a zero byte", "less than n").
const fn is_odd(block: u128) -> bool {
    const fn all(byte: u8) -> u128 {
        u128::from_le_bytes([byte; 16])
    }
    const fn has(block: u128, byte: u8) -> u128 {
        let zero = block ^ all(byte);
        zero.wrapping_sub(all(1)) & !zero
    }
    let below = block.wrapping_sub(all(b'!')) & !block;
    (block | below | has(block, 0x7f) | has(block, b'.') | has(block, b'[')) & all(0x80) != 0
}

/// Less than a block, filled up without a loop: with its own end, or with signs that keys may have.
fn filled(rest: &[u8]) -> [u8; 16] {
    let mut block = [b'_'; 16];
    let (first, last) = block.split_at_mut(8);
    if let (Some(begin), Some(end)) = (rest.first_chunk::<8>(), rest.last_chunk::<8>()) {
        first.copy_from_slice(begin);
        last.copy_from_slice(end);
    } else if let (Some(begin), Some(end)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        let (begun, ended) = first.split_at_mut(4);
        begun.copy_from_slice(begin);
        ended.copy_from_slice(end);
    } else {
        first.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    }
    block
}

/// One letter for all that some reader takes for it: `_` (PHP), either case (Go's JSON, which knows `ſ` and the Kelvin sign).
fn fold(c: char) -> char {
    match c {
        '.' | ' ' | '[' => '_',
        _ if c.is_ascii() => c.to_ascii_lowercase(),
        _ => c.to_uppercase().flat_map(char::to_lowercase).next().unwrap_or(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> Key<'_> {
        Cow::Borrowed(text).into()
    }

    proptest! {
        #[test]
        fn no_mark_hides_a_twin(written in "[ \t\0]{0,2}(abc|abcdefg|abcdefghijklmno)?[aAbB._ſſK\\[-]{0,3}[ \u{3000}\0\\[a]{0,2}", looked_for in "[ ]?(abc|abcdefg|abcdefghijklmno)?[aAbB._ſsKk\\[-]{0,3}[ ]?") {
            let (one, other) = (key(&written), key(&looked_for));
            prop_assert!(one.may_be(&other) || one != other && !one.is_twin(&other));
        }
    }

    #[test]
    fn each_byte_of_a_block_is_looked_at() {
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'.' | b'[');
        for byte in 0..=u8::MAX {
            for (at, beside) in
                (0..16).flat_map(|at| [(at, b'!'), (at, b'~'), (at, b'/'), (at, b'Z')])
            {
                let mut block = [beside; 16];
                block[at] = byte;
                assert_eq!(is_odd(u128::from_le_bytes(block)), !plain(byte), "{byte} at {at}");
            }
        }
    }

    #[test]
    fn keys_are_told_apart_by_their_marks() {
        let keys = ["txnType", "txnTime", "txnAmt", "accNo", "accType", "a_b", "a-b", "", "a", "b"]
            .map(key);
        for (at, one) in keys.iter().enumerate() {
            assert!(keys.iter().skip(at + 1).all(|other| one.mark != other.mark), "{one}");
        }
        assert_eq!(key("A_b").mark, key("a_B").mark);
        assert_eq!([" a", "a[0]", "a\0", "张", "a b", "a.b"].map(|text| key(text).mark), [ANY; 6]);
    }
}
