//! Counts over sliding windows, for rules: how often a card, a person, a phone, a merchant or an agreement was seen.
//!
//! A window is counted in sixty slices, so that a count is never too low and may hold what is up to a sixtieth of the window
//! older. Memory is bounded: where there is no room, what was not seen for longest in its shard makes some.

use crate::domain::clock::Timestamp;
use crate::domain::id::{Fingerprint, PaymentId};
use crate::policy::rules::given::{Counted, Key};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many slices a window has.
const SLICES: u64 = 60;
/// How many locks there are.
const SHARDS: usize = 16;
/// How many keys one shard holds; in all 262,144, of some 100 bytes where little was seen.
const KEYS_MAX: usize = 1 << 14;
/// How many payments with a mismatch are remembered: beyond it those that others find are not counted.
const MET_MAX: usize = 1 << 18;
/// How many persons are told apart for one phone or card: a count of so many means that or more.
pub const PERSONS_MAX: usize = 64;

/// One window over the events of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    /// What is counted.
    pub what: Counted,
    /// By what.
    pub key: Key,
    /// Over which window.
    pub window: Duration,
}

/// What was seen, by stream and the number of the key.
type Slots = HashMap<(Stream, u64), Seen, foldhash::quality::RandomState>;

/// What was seen of one key.
#[derive(Debug, Default)]
struct Seen {
    /// When each slice began, in seconds, and how much it holds; oldest first.
    slices: Vec<(u64, u32)>,
    /// Who was seen, and when last.
    persons: Vec<(u64, u64)>,
    /// When the newest of it leaves the window.
    until: u64,
}

/// The counts of all streams.
#[derive(Debug)]
pub struct Counts {
    shards: [Mutex<Slots>; SHARDS],
    /// What this process is called where it is recorded who counted a payment.
    tag: Arc<str>,
    /// The payments whose mismatch was counted.
    met: Mutex<HashSet<PaymentId>>,
}

impl Default for Counts {
    fn default() -> Self {
        // Different in every process: keys of hashers are drawn.
        let tag = format!("{:016x}", RandomState::new().hash_one(())).into();
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, tag, met: Mutex::default() }
    }
}

/// A number for what is counted by: equal texts, equal numbers.
pub fn hashed(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// A number for a fingerprint, which is as good as drawn: no more has to be mixed.
pub(crate) fn folded(print: &Fingerprint) -> u64 {
    let (words, _) = print.digest.as_chunks();
    let fold = |all: u64, word: &[u8; 8]| all.wrapping_mul(31) ^ u64::from_le_bytes(*word);
    words.iter().fold(0, fold)
}

impl Stream {
    fn seconds(&self) -> u64 {
        self.window.as_secs().max(1)
    }

    fn slice(&self) -> u64 {
        self.seconds().div_ceil(SLICES).max(1)
    }
}

impl Counts {
    /// What this process is called.
    pub const fn tag(&self) -> &Arc<str> {
        &self.tag
    }

    /// Notes that the mismatch of a payment is counted; says whether it is new. Where there is no room it is, and is counted.
    pub(crate) fn meet(&self, payment: PaymentId) -> bool {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if met.len() >= MET_MAX {
            return !met.contains(&payment);
        }
        met.insert(payment)
    }

    /// Whether it is; also where there is no room to know.
    pub(crate) fn has_met(&self, payment: PaymentId) -> bool {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.len() >= MET_MAX || met.contains(&payment)
    }

    fn shard(&self, key: u64) -> Option<MutexGuard<'_, Slots>> {
        let at = usize::try_from(key % 16).unwrap_or_default();
        // What a panic left half done is a count.
        self.shards.get(at).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts an event of `key` at `at`; where persons are told apart, by `person`.
    pub fn add(&self, stream: &Stream, key: u64, person: Option<u64>, at: Timestamp) {
        let Some(mut shard) = self.shard(key) else { return };
        let (now, id) = (at.as_secs(), (*stream, key));
        if shard.len() >= KEYS_MAX && !shard.contains_key(&id) {
            make_room(&mut shard, now);
        }
        let seen = shard.entry(id).or_default();
        seen.until = seen.until.max(now.saturating_add(stream.seconds()));
        if stream.what == Counted::Persons {
            if let Some(person) = person {
                seen.meet(person, now, stream.seconds());
            }
            return;
        }
        let slice = now.saturating_sub(now % stream.slice());
        let oldest = now.saturating_sub(stream.seconds()).saturating_sub(stream.slice());
        seen.slices.retain(|(began, _)| *began > oldest);
        match seen.slices.iter_mut().find(|(began, _)| *began == slice) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => seen.slices.push((slice, 1)),
        }
    }

    /// How many there were within the window that ends at `now`.
    pub fn count(&self, stream: &Stream, key: u64, now: Timestamp) -> i64 {
        let Some(shard) = self.shard(key) else { return 0 };
        let Some(seen) = shard.get(&(*stream, key)) else { return 0 };
        let begins = now.as_secs().saturating_sub(stream.seconds());
        if stream.what == Counted::Persons {
            let known = seen.persons.iter().filter(|(_, last)| *last >= begins).count();
            return i64::try_from(known).unwrap_or(i64::MAX);
        }
        let within = |(began, _): &&(u64, u32)| began.saturating_add(stream.slice()) > begins;
        seen.slices.iter().filter(within).map(|(_, count)| i64::from(*count)).sum()
    }
}

impl Seen {
    fn meet(&mut self, person: u64, now: u64, window: u64) {
        self.persons.retain(|(_, last)| last.saturating_add(window) >= now);
        let room = self.persons.len() < PERSONS_MAX;
        match self.persons.iter_mut().find(|(known, _)| *known == person) {
            Some((_, last)) => *last = now.max(*last),
            None if room => self.persons.push((person, now)),
            None => (),
        }
    }
}

/// Drops what is over; where nothing is, what was not seen for longest.
fn make_room(shard: &mut Slots, now: u64) {
    shard.retain(|_, seen| seen.until >= now);
    if shard.len() >= KEYS_MAX {
        let last = |stream: &Stream, seen: &Seen| seen.until.saturating_sub(stream.seconds());
        let mut seen_at: Vec<_> =
            shard.iter().map(|((stream, _), seen)| last(stream, seen)).collect();
        // One pass makes room for many.
        let goes = seen_at.len() / 16;
        let (older, &mut bound, _) = seen_at.select_nth_unstable(goes);
        let mut as_old = older.iter().filter(|time| **time == bound).count();
        shard.retain(|(stream, _), seen| {
            let time = last(stream, seen);
            let goes = time == bound && as_old > 0;
            as_old = as_old.saturating_sub(usize::from(goes));
            time >= bound && !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(what: Counted, window: u64) -> Stream {
        Stream { what, key: Key::Card, window: Duration::from_secs(window) }
    }

    proptest! {
        /// Against a list of all events: never fewer, and no more than within a window that is a sixtieth longer.
        #[test]
        fn a_count_is_off_by_a_sixtieth_of_its_window(
            window in prop::sample::select(vec![60_u64, 3600, 86_400, 2_592_000]),
            gaps in prop::collection::vec(0_u64..5000, 1..200),
            rest in 0_u64..100_000,
        ) {
            let (counts, stream) = (Counts::default(), stream(Counted::Payments(None), window));
            let (mut now, mut events) = (1_700_000_000_u64, Vec::new());
            for gap in gaps {
                now += gap * window / 10_000;
                counts.add(&stream, 7, None, Timestamp::from_millis(now * 1000));
                events.push(now);
            }
            now += rest * window / 50_000;
            let within = |span: u64| {
                i64::try_from(events.iter().filter(|at| **at + span > now).count()).unwrap()
            };
            let count = counts.count(&stream, 7, Timestamp::from_millis(now * 1000));
            prop_assert!(count >= within(window), "{count} of {}", within(window));
            prop_assert!(count <= within(window + window.div_ceil(60)), "{count}");
            prop_assert_eq!(counts.count(&stream, 8, Timestamp::from_millis(now * 1000)), 0);
        }
    }

    #[test]
    fn persons_are_told_apart_and_forgotten() {
        let (counts, stream) = (Counts::default(), stream(Counted::Persons, 100));
        let at = |secs: u64| Timestamp::from_millis(secs * 1000);
        for (person, when) in [(1, 1000), (2, 1010), (1, 1020), (3, 1090)] {
            counts.add(&stream, 7, Some(person), at(when));
        }
        assert_eq!(counts.count(&stream, 7, at(1100)), 3);
        assert_eq!(counts.count(&stream, 7, at(1115)), 2);
        for person in 0..1000 {
            counts.add(&stream, 7, Some(person), at(1200));
        }
        assert_eq!(counts.count(&stream, 7, at(1200)), i64::try_from(PERSONS_MAX).unwrap());
    }

    #[test]
    fn memory_is_bounded_and_what_is_seen_stays() {
        let (counts, stream) = (Counts::default(), stream(Counted::Payments(None), 3600));
        let at = |ms: u64| Timestamp::from_millis(1_700_000_000_000 + ms);
        for key in 0..400_000_u64 {
            counts.add(&stream, key, None, at(key));
        }
        let kept: usize = counts.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(kept <= KEYS_MAX * SHARDS, "{kept}");
        assert_eq!(counts.count(&stream, 399_999, at(400_000)), 1);
    }

    /// What went was drawn by lot.
    #[test]
    fn what_was_not_seen_for_longest_makes_room() {
        let (counts, long) = (Counts::default(), stream(Counted::Payments(None), 2_592_000));
        let short = stream(Counted::Payments(None), 60);
        let at = |second: u64| Timestamp::from_millis((1_700_000_000 + second) * 1000);
        let goes = u64::try_from(KEYS_MAX / 16).unwrap();
        let last = u64::try_from(KEYS_MAX).unwrap() - 1;
        // All in one shard; the first is seen again and again, and the last one's window is soon over.
        for second in 0..last {
            counts.add(&long, second * 16, None, at(second));
            counts.add(&long, 0, None, at(second));
        }
        counts.add(&short, last * 16, None, at(last));
        counts.add(&long, 16 * last, None, at(last));
        let count = |key: u64| counts.count(&long, key * 16, at(last));
        assert!(count(0) >= i64::try_from(last).unwrap());
        assert!((1..=goes).all(|key| count(key) == 0));
        assert!((goes + 1..=last).all(|key| count(key) == 1));
        assert_eq!(counts.count(&short, last * 16, at(last)), 1);
    }
}
