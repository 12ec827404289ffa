//! The keys of fingerprints: one that is written with, and others under which there may be something still, or already.

use crate::crypto::fingerprint::Fingerprinter;
use crate::domain::clock::Timestamp;
use crate::domain::id::KeyId;

/// A key that nothing is written with: the one before, or the one to come.
#[derive(Clone, Debug)]
pub struct Other {
    /// Its number.
    pub id: KeyId,
    /// The key; absent where it is given up, and with it the hope to find anything under it.
    pub key: Option<Fingerprinter>,
    /// Until when what is looked up is looked up under it too; for ever where absent.
    pub until: Option<Timestamp>,
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Keys {
    /// What is written carries its number.
    pub current: Fingerprinter,
    /// The others, no two with one number.
    pub others: Vec<Other>,
}

impl From<Fingerprinter> for Keys {
    fn from(current: Fingerprinter) -> Self {
        Self { current, others: Vec::new() }
    }
}

impl Keys {
    /// The other keys under which is looked up at `now`.
    pub fn read_at(&self, now: Timestamp) -> impl Iterator<Item = &Fingerprinter> {
        let open = move |other: &&Other| other.until.is_none_or(|until| now < until);
        self.others.iter().filter(open).filter_map(|other| other.key.as_ref())
    }

    /// Every key that is there.
    pub fn all(&self) -> impl Iterator<Item = &Fingerprinter> {
        std::iter::once(&self.current).chain(self.others.iter().filter_map(|it| it.key.as_ref()))
    }

    /// Whether `id` is the number of one of them, be it given up.
    pub fn knows(&self, id: KeyId) -> bool {
        self.current.id() == id || self.others.iter().any(|other| other.id == id)
    }

    /// Whether `other` are the same, and read as long.
    pub fn is_same(&self, other: &Self) -> bool {
        let same = |(a, b): (&Other, &Other)| {
            let keys = match (&a.key, &b.key) {
                (Some(a), Some(b)) => a.check() == b.check(),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            keys && (a.id, a.until) == (b.id, b.until)
        };
        self.current.check() == other.current.check()
            && self.others.len() == other.others.len()
            && self.others.iter().zip(&other.others).all(same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_until_its_time_and_known_for_ever() {
        let at = Timestamp::from_millis;
        let key = |id| Fingerprinter::new(KeyId(id), &[u8::try_from(id).unwrap(); 32]).unwrap();
        let other = |id, until: Option<u64>| Other {
            id: KeyId(id),
            key: Some(key(id)),
            until: until.map(at),
        };
        let given_up = Other { key: None, ..other(4, None) };
        let keys =
            Keys { current: key(1), others: vec![other(2, Some(5)), other(3, None), given_up] };
        let read = |now| keys.read_at(at(now)).map(|key| key.id().0).collect::<Vec<_>>();
        assert_eq!((read(4), read(5)), (vec![2, 3], vec![3]));
        assert_eq!(keys.all().map(|key| key.id().0).collect::<Vec<_>>(), [1, 2, 3]);
        assert!((1..=4).all(|id| keys.knows(KeyId(id))) && !keys.knows(KeyId(5)));
        let longer = Keys { others: vec![other(2, Some(6))], ..keys.clone() };
        let shorter = Keys { others: vec![other(2, Some(5))], ..keys.clone() };
        assert!(keys.is_same(&keys.clone()) && shorter.is_same(&shorter.clone()));
        assert!(!shorter.is_same(&longer) && !keys.is_same(&shorter));
        assert!(!Keys::from(key(1)).is_same(&Keys::from(key(2))));
    }
}
