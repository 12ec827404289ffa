//! What callers were told, and what follows from it: plain sets, which share nothing with the store.

use crate::domain::id::PaymentId;
use std::collections::{BTreeMap, BTreeSet};

/// For how long payments are kept.
pub(super) const KEPT: u64 = 4 * 24 * HOUR;

/// How far the clock of one process is off at most.
pub(super) const SKEW_MAX: u64 = 11 * HOUR;

pub(super) const HOUR: u64 = 3_600_000;

/// What is held: a tuple, or an agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Held {
    Tuple(u8),
    Agreement(u16),
}

/// What a payment rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    Agreement(u16),
    Evidence { tuple: u8, since: u64 },
}

/// What was written, once it is told to be durable.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fact {
    /// The hold with this number.
    Hold(usize),
    Bound(u16),
    Closed(u16),
    Contradicted {
        tuple: u8,
        channel: u8,
        at: u64,
    },
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    on: Held,
    by: PaymentId,
    until: u64,
    begun: usize,
    process: usize,
    /// Since when it certainly is not written any more.
    done: Option<usize>,
    durable: bool,
    released: bool,
    /// Whether it was released while it may still be written once more.
    returns: bool,
}

/// A payment that left, as its outcome finds it.
#[derive(Clone, Debug)]
pub(super) struct Left {
    pub(super) payment: PaymentId,
    pub(super) order: u64,
    pub(super) channel: u8,
    pub(super) basis: Basis,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    /// The time that no clock tells.
    pub(super) truly: u64,
    pub(super) step: usize,
    /// By order the payment that left.
    left: BTreeMap<u64, (PaymentId, u64)>,
    owed: BTreeMap<PaymentId, u64>,
    /// Whatever left lately.
    pub(super) recent: Vec<Left>,
    holds: Vec<Hold>,
    bound: BTreeSet<u16>,
    closed: BTreeSet<u16>,
    contradicted: Vec<(u8, u8, u64)>,
    /// When answers about tuples were asked for.
    pub(super) asked: Vec<(u8, u64)>,
    /// What is told to be durable, and counts from the next commit.
    fresh: Vec<Fact>,
    /// Of each process: orders that it may have claimed, or not given back yet.
    loose: [BTreeSet<u64>; 2],
    /// Orders of which something was lost in a crash: they may stay claimed.
    tainted: BTreeSet<u64>,
    counts: BTreeMap<&'static str, usize>,
}

impl Book {
    pub(super) fn new(truly: u64) -> Self {
        Self { truly, ..Self::default() }
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(super) fn counted(&self, what: &str) -> usize {
        self.counts.get(what).copied().unwrap_or_default()
    }

    pub(super) fn counts(self) -> BTreeMap<&'static str, usize> {
        self.counts
    }

    /// Whether what was written that long ago is certainly still kept, whatever the clocks say.
    fn is_kept(&self, since: u64) -> bool {
        self.truly - since < KEPT - 2 * SKEW_MAX
    }

    /// A message of these orders is about to be admitted at a process, or one of them to be given back.
    pub(super) fn touches(&mut self, process: usize, orders: impl IntoIterator<Item = u64>) {
        self.loose[process].extend(orders);
    }

    /// Everything that a process wrote is durable.
    pub(super) fn all_durable(&mut self, process: usize) {
        self.loose[process].clear();
    }

    pub(super) fn crashed(&mut self, process: usize) {
        self.count("crash");
        let loose = std::mem::take(&mut self.loose[process]);
        self.tainted.extend(loose);
        let under_way = |hold: &&mut Hold| hold.process == process && hold.done.is_none();
        self.holds.iter_mut().filter(under_way).for_each(|hold| hold.done = Some(self.step));
    }

    /// A message was told that it may leave, at `now` by its clock.
    pub(super) fn leaves(&mut self, payments: Vec<Left>, held: &[Held], now: u64) {
        self.count("left");
        for on in held {
            assert!(!self.must_hold(*on, now), "{on:?} is held, and {payments:?} leaves");
        }
        for left in payments {
            match left.basis {
                Basis::Agreement(id) => {
                    assert!(!self.closed.contains(&id), "{id} is closed, and {left:?} leaves");
                }
                Basis::Evidence { tuple, since } => {
                    let against = self.against(tuple, left.channel, since);
                    assert_eq!(against, None, "contradicted, and {left:?} leaves");
                }
            }
            let before = self.left.insert(left.order, (left.payment, self.truly));
            if let Some((_, since)) = before {
                assert!(!self.is_kept(since), "order {} leaves twice", left.order);
                self.count("left again after its time");
            }
            self.owed.insert(left.payment, self.truly);
            self.recent.push(left);
        }
    }

    /// What contradicts evidence that was asked for at `since`, unless something newer is known of its tuple.
    fn against(&self, tuple: u8, channel: u8, since: u64) -> Option<u64> {
        // The first two channels are on one road.
        let same = |by: u8| by == channel || (by < 2 && channel < 2);
        let newer = |at: u64| self.asked.iter().any(|(of, asked)| *of == tuple && *asked > at);
        let against = self
            .contradicted
            .iter()
            .find(|(of, by, at)| *of == tuple && same(*by) && *at >= since && !newer(*at));
        against.map(|(.., at)| *at)
    }

    /// Whether a hold stands at `now` for certain: whichever of those that may be kept is.
    fn must_hold(&self, on: Held, now: u64) -> bool {
        let of =
            || self.holds.iter().filter(|hold| hold.on == on && (!hold.released || hold.returns));
        of().any(|hold| hold.durable) && of().all(|hold| hold.until > now && !hold.returns)
    }

    /// A hold is being made, or made once more; yields its number.
    pub(super) fn holds(&mut self, process: usize, on: Held, by: PaymentId, until: u64) -> usize {
        // The very same was released, which may come to pass only now.
        let same = |hold: &&Hold| hold.by == by && hold.until == until;
        let released = self.holds.iter().filter(same).any(|hold| hold.released);
        self.holds.push(Hold {
            on,
            by,
            until,
            begun: self.step,
            process,
            done: None,
            durable: false,
            released,
            returns: released,
        });
        self.holds.len() - 1
    }

    /// Somebody releases the hold until then that `by` made, and with it those in whose place it may be.
    pub(super) fn releases(&mut self, on: Held, by: PaymentId, until: u64) {
        let same = |hold: &&Hold| hold.on == on && hold.by == by && hold.until == until;
        let done = |hold: &Hold| hold.done.unwrap_or(self.step);
        let done = self.holds.iter().filter(same).map(done).max().unwrap_or(self.step);
        let before = |hold: &&mut Hold| hold.on == on && hold.begun <= done;
        self.holds.iter_mut().filter(before).for_each(|hold| {
            hold.released = true;
            hold.returns |= hold.done.is_none();
        });
    }

    /// Somebody gives the order back that `payment` claimed.
    pub(super) fn reopens(&mut self, order: u64, payment: PaymentId) {
        if self.left.get(&order).is_some_and(|(left, _)| *left == payment) {
            self.left.remove(&order);
        }
    }

    /// An outcome that ends it is being noted.
    pub(super) fn ends(&mut self, payment: PaymentId) {
        self.owed.remove(&payment);
    }

    pub(super) fn durable(&mut self, facts: impl IntoIterator<Item = Fact>) {
        self.fresh.extend(facts);
    }

    /// What was told since the last commit counts from now on.
    pub(super) fn note(&mut self) {
        for fact in std::mem::take(&mut self.fresh) {
            match fact {
                Fact::Bound(id) => drop(self.bound.insert(id)),
                Fact::Closed(id) => drop(self.closed.insert(id)),
                Fact::Contradicted { tuple, channel, at } => {
                    self.contradicted.push((tuple, channel, at));
                }
                Fact::Hold(number) => {
                    self.holds[number].done = Some(self.step);
                    self.holds[number].durable = true;
                    // What was durable before it began is in its place no more.
                    let Hold { on, begun, .. } = self.holds[number];
                    for other in &mut self.holds {
                        if other.on == on && other.done.is_some_and(|done| done < begun) {
                            other.on = Held::Tuple(u8::MAX);
                        }
                    }
                }
            }
        }
    }

    pub(super) fn is_bound(&self, id: u16) -> bool {
        self.bound.contains(&id)
    }

    /// Of the payments whose outcome is owed, and whose rows certainly are kept, one that `is_kept` does not know.
    pub(super) fn forgotten(&self, is_kept: impl Fn(PaymentId) -> bool) -> Option<PaymentId> {
        let owed = self.owed.iter().filter(|(_, since)| self.is_kept(**since));
        owed.map(|(payment, _)| *payment).find(|payment| !is_kept(*payment))
    }

    /// Whether an order may be sent: for certain, certainly not, or nobody knows.
    pub(super) fn may_leave(&self, order: u64) -> Option<bool> {
        match self.left.get(&order) {
            Some((_, since)) => self.is_kept(*since).then_some(false),
            None => (!self.tainted.contains(&order)).then_some(true),
        }
    }
}
