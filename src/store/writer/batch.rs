//! One commit: first every change, then what is read, then every admission, so that each is decided on all that came before.

use super::look::look_up;
use super::{Backend, By, Change, PURGED_TOGETHER, Waiting, transact};
use crate::domain::clock::Timestamp;
use crate::domain::payment::Mode;
use crate::store::audit::{self, Head, Note};
use crate::store::concordance::{self, Counting, Tallies};
use crate::store::journal::{Admission, Admitted, Leaving, Need, StoreLost};
use crate::store::keep::until;
use crate::store::memory::{self, amend::Amend};
use crate::store::reserve::{Reservation, Reserved};
use crate::store::row::{Aggregate, Removal, Row, RowKey};
use crate::store::shelf::Swap;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// An admission, as rows; made by who waits for it.
pub(super) struct Request {
    mode: Mode,
    now: Timestamp,
    needs: Vec<Need>,
    claims: Vec<Row>,
    pub(super) payments: Vec<Row>,
    expectations: Vec<Row>,
}

impl Request {
    pub(super) fn new(admission: &Admission) -> Self {
        let Admission { payments, mode, now } = admission;
        let needs = payments.iter().flat_map(|payment| &payment.needs);
        let owed = payments.iter().filter(|payment| payment.expects);
        Self {
            mode: *mode,
            now: *now,
            needs: needs.cloned().collect(),
            claims: payments.iter().filter_map(Leaving::claim).collect(),
            payments: payments.iter().filter_map(|leaving| Row::payment(&leaving.record)).collect(),
            expectations: owed.filter_map(|leaving| Row::expectation(&leaving.record)).collect(),
        }
    }

    /// What takes back that it left. In `observe` it did, whatever became of its admission.
    pub(super) fn undone(&self) -> impl Iterator<Item = Removal> {
        let left = match self.mode {
            Mode::Enforce => false,
            Mode::Observe => true,
        };
        self.claims.iter().chain(&self.expectations).filter(move |_| !left).map(Removal::from)
    }

    /// The first need that is not met.
    fn unmet(&self, rows: &HashMap<RowKey, Row>) -> Option<Admitted> {
        let unmet =
            |need: &&Need| rows.get(&need.key()).is_some_and(|row| !need.is_met_by(row, self.now));
        self.needs.iter().find(unmet).map(Admitted::from)
    }
}

/// What those who wait are told, in the order in which they came.
pub(super) struct Told {
    pub(super) verdicts: Vec<Admitted>,
    pub(super) reserved: Vec<Result<Reserved, StoreLost>>,
    pub(super) rows: Vec<Vec<Row>>,
    pub(super) swapped: Vec<bool>,
    pub(super) noted: Result<(), StoreLost>,
    pub(super) counted: Tallies,
    /// What was stepped over, as it is said.
    pub(super) damaged: Vec<String>,
}

/// What changes, of each row the last that is to become of it.
#[derive(Default)]
struct Changes<'a> {
    puts: BTreeMap<&'a RowKey, &'a Row>,
    removals: BTreeMap<&'a RowKey, Vec<&'a Removal>>,
    amends: Vec<&'a Amend>,
    /// What was to be removed before what is put.
    gone: Vec<&'a Removal>,
}

impl<'a> Changes<'a> {
    // Of two changes of one row the later one counts.
    fn put(&mut self, row: &'a Row) {
        self.gone.extend(self.removals.remove(&row.key).into_iter().flatten());
        self.amends.retain(|amend| !is_closed(amend, &row.key));
        self.puts.insert(&row.key, row);
    }

    fn remove(&mut self, removal: &'a Removal) {
        if removal.only.is_none() {
            self.puts.remove(&removal.key);
        }
        self.removals.entry(&removal.key).or_default().push(removal);
    }
}

/// Commits a batch.
pub(super) fn commit<B: Backend>(backend: &mut B, batch: &[Waiting]) -> Result<Told, B::Error> {
    let mut changes = Changes::default();
    let (mut admissions, mut reads, mut purges) = (Vec::new(), Vec::new(), Vec::new());
    let mut notes = Vec::new();
    let mut reservations = Vec::new();
    let mut swaps = Vec::new();
    let mut counts = Vec::new();
    for waiting in batch {
        match waiting {
            Waiting::Put(row) => changes.put(row),
            Waiting::Remove(removal) => changes.remove(removal),
            Waiting::PutWith(row, beside) => {
                changes.put(row);
                match beside {
                    Change::Put(row) => changes.put(row),
                    Change::Remove(removal) => changes.remove(removal),
                }
            }
            Waiting::Amend(amend) => changes.amends.push(amend),
            Waiting::Count(counting) => counts.push(&**counting),
            Waiting::Admit(request, sender) => admissions.push((&**request, sender.is_closed())),
            Waiting::Reserve(reservation, _) => reservations.push(&**reservation),
            Waiting::Read(look, _) => reads.push(look),
            Waiting::Swap(swap, _) => swaps.push(swap),
            Waiting::Purge(now, keep) => purges.push((*now, *keep)),
            Waiting::Note(note, _) => notes.push(note),
            Waiting::Flush(_) => (),
        }
    }
    let Changes { mut puts, removals, amends, gone } = changes;
    // Who gave an admission up went on without it.
    let given_up = admissions.iter().filter(|(_, is_given_up)| *is_given_up);
    let rows =
        given_up.flat_map(|(request, _)| request.payments.iter().chain(&request.expectations));
    let changes = |key: &&RowKey| puts.contains_key(key) || removals.contains_key(key);
    let later: HashSet<&RowKey> = rows.map(|row| &row.key).filter(changes).collect();
    backend.begin()?;
    let beside = beside(backend, &puts, &gone)?;
    puts.extend(beside.iter().map(|row| (&row.key, row)));
    let amended = amend(backend, &puts, &amends)?;
    puts.extend(amended.iter());
    backend.put(&puts.into_values().collect::<Vec<_>>())?;
    backend.remove(&removals.into_values().flatten().collect::<Vec<_>>())?;
    let mut damaged = Vec::new();
    let swapped = swap(backend, &swaps, &mut damaged)?;
    let counted = count(backend, &counts)?;
    let kept = append(backend, &notes)?;
    let looked = reads.into_iter().map(|look| look_up(backend, look, &mut damaged));
    let rows = looked.collect::<Result<_, _>>()?;
    let reserved = reserve(backend, &reservations)?;
    let verdicts = admit(backend, &admissions, &later)?;
    for (now, keep) in purges {
        for of in Aggregate::ALL {
            let stays = backend.purge(of, until(keep, of, now), PURGED_TOGETHER)?;
            damaged.extend(stays.map(|row| row.to_string()));
        }
    }
    backend.commit()?;
    Ok(Told { verdicts, reserved, rows, swapped, noted: kept, counted, damaged })
}

/// Changes rows that are as is told, one after the other: nobody else writes within the transaction. One that is damaged is there, and
/// as nobody told.
fn swap<B: Backend>(
    backend: &mut B,
    swaps: &[&Swap],
    damaged: &mut Vec<String>,
) -> Result<Vec<bool>, B::Error> {
    let mut swapped = Vec::new();
    for swap in swaps {
        let fits = match backend.read(&[&swap.key]) {
            Ok(known) => swap.fits(known.first()),
            Err(error) if B::is_damage(&error) => {
                damaged.push(error.to_string());
                false
            }
            Err(error) => return Err(error),
        };
        match &swap.new {
            Some(row) if fits => {
                backend.put(&swap.beside.iter().chain([row]).collect::<Vec<_>>())?;
            }
            None if fits => backend.remove(&[&Removal { key: swap.key.clone(), only: None }])?,
            Some(_) | None => (),
        }
        swapped.push(fits);
    }
    Ok(swapped)
}

/// Counts samples of evidence that was not counted at its channel, by any process; should this commit fail and have happened, the
/// next finds that they were. Yields what is counted now where anything was.
fn count<B: Backend>(backend: &mut B, counts: &[&Counting]) -> Result<Tallies, B::Error> {
    if counts.is_empty() {
        return Ok(Tallies::new());
    }
    let mut first = BTreeMap::new();
    for counting in counts {
        first.entry(&counting.mark.key).or_insert(*counting);
    }
    let marks: Vec<_> = first.values().map(|counting| &counting.mark).collect();
    let claimed = backend.claim(&marks)?;
    let keys: BTreeSet<_> = first.values().flat_map(|counting| counting.keys()).collect();
    let mut tallies = concordance::tallies(&backend.read(&keys.iter().collect::<Vec<_>>())?);
    for (counting, _) in first.values().zip(claimed).filter(|(_, new)| *new) {
        counting.count(&mut tallies);
    }
    backend.put(&concordance::rows(&tallies).iter().collect::<Vec<_>>())?;
    Ok(tallies)
}

/// Appends what was done to the chain where it ends now, which no other process moves within the transaction.
fn append<B: Backend>(backend: &mut B, notes: &[&Note]) -> Result<Result<(), StoreLost>, B::Error> {
    if notes.is_empty() {
        return Ok(Ok(()));
    }
    let head = if let Some(row) = backend.read(&[&audit::head_key()])?.first() {
        Head::of(row)
    } else {
        let mut last = None;
        backend.load(Aggregate::Audit, 1, &mut |row| last = Some(row))?;
        last.as_ref().map_or_else(|| Some(Head::default()), Head::of_last)
    };
    let Some(rows) = head.and_then(|head| audit::rows(head, notes)) else {
        tracing::error!(?notes, "not audited: the end of the audit cannot be read");
        return Ok(Err(StoreLost));
    };
    backend.put(&rows.iter().collect::<Vec<_>>())?;
    Ok(Ok(()))
}

/// Notes what was done, durably, for who has the store's place and no writer; [`StoreLost`] where the end of the audit cannot be read.
pub fn note<B: Backend>(backend: &mut B, note: &Note) -> Result<Result<(), StoreLost>, B::Error> {
    transact(backend, |backend| append(backend, &[note]))
}

/// Of evidence, holds and payments that are put, what is put in their place where another process keeps something under their keys. What
/// was to be removed before is not kept.
fn beside<B: Backend>(
    backend: &mut B,
    puts: &BTreeMap<&RowKey, &Row>,
    gone: &[&Removal],
) -> Result<Vec<Row>, B::Error> {
    let joins = |key: &&&RowKey| {
        matches!(key.of, Aggregate::Evidence | Aggregate::Holds | Aggregate::Payments)
    };
    let joined = puts.keys().filter(joins);
    let keys: Vec<&RowKey> = joined.copied().collect();
    if keys.is_empty() || backend.alone() {
        return Ok(Vec::new());
    }
    let mut known = backend.read(&keys)?;
    let goes = |row: &Row, gone: &Removal| {
        gone.key == row.key && gone.only.as_ref().is_none_or(|only| *only == row.value)
    };
    known.retain(|row| !gone.iter().any(|gone| goes(row, gone)));
    Ok(known.iter().filter_map(|known| memory::beside(puts.get(&known.key)?, known)).collect())
}

/// Whether an agreement is closed that is put after that: it was bound again.
fn is_closed(amend: &Amend, key: &RowKey) -> bool {
    matches!(amend, Amend::Close(..)) && amend.key().as_ref() == Some(key)
}

/// What rows come to that memory does not know, and that change where they are kept.
fn amend<B: Backend>(
    backend: &mut B,
    puts: &BTreeMap<&RowKey, &Row>,
    amends: &[&Amend],
) -> Result<BTreeMap<RowKey, Row>, B::Error> {
    let mut amended = BTreeMap::new();
    for amend in amends {
        let rows = match amend {
            Amend::Contradict(..) | Amend::Close(..) | Amend::Settle(_) => {
                let key = amend.key();
                let latest =
                    key.as_ref().and_then(|key| amended.get(key).or(puts.get(key).copied()));
                match latest {
                    Some(row) => vec![row.clone()],
                    None => backend.read(&key.iter().collect::<Vec<_>>())?,
                }
            }
            // Memory knew all of them, and closed them.
            Amend::CloseCard { all_known: true, .. } if backend.alone() => Vec::new(),
            Amend::CloseCard { cards, .. } => {
                let cards: Vec<_> = cards.iter().map(ToString::to_string).collect();
                let mut rows = backend.find(Aggregate::Agreements, By::Card, &cards)?;
                // What is put here, memory knows.
                rows.retain(|row| !puts.contains_key(&row.key));
                rows
            }
        };
        let changed = rows.iter().filter_map(|row| amend.apply(row));
        amended.extend(changed.map(|row| (row.key.clone(), row)));
    }
    Ok(amended)
}

/// Decides on questions, one after the other, and puts what those take that may be put.
fn reserve<B: Backend>(
    backend: &mut B,
    reservations: &[&Reservation],
) -> Result<Vec<Result<Reserved, StoreLost>>, B::Error> {
    let keys: BTreeSet<RowKey> = reservations.iter().flat_map(|one| one.rows()).collect();
    if reservations.is_empty() {
        return Ok(Vec::new());
    }
    let rows = backend.read(&keys.iter().collect::<Vec<_>>())?;
    let mut rows = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
    let mut changed = BTreeSet::new();
    let reserved = reservations.iter().map(|one| one.decide(&mut rows, &mut changed)).collect();
    backend.put(&changed.iter().filter_map(|key| rows.get(key)).collect::<Vec<_>>())?;
    Ok(reserved)
}

/// Decides admissions, and puts what leaves. One that was given up claims nothing in `enforce`, since it did not leave; in `observe` it did, and
/// what `later` came of it stands beside it in the batch.
fn admit<B: Backend>(
    backend: &mut B,
    admissions: &[(&Request, bool)],
    later: &HashSet<&RowKey>,
) -> Result<Vec<Admitted>, B::Error> {
    let requests: Vec<&Request> = admissions.iter().map(|(request, _)| *request).collect();
    let mut verdicts: Vec<Option<Admitted>> = if backend.alone() {
        // Who waits looked in memory, which nobody knows better.
        vec![None; requests.len()]
    } else {
        let needs = requests.iter().flat_map(|request| &request.needs);
        let keys: HashSet<RowKey> = needs.map(Need::key).collect();
        let rows = backend.read(&keys.iter().collect::<Vec<_>>())?;
        let rows = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
        requests.iter().map(|request| request.unmet(&rows)).collect()
    };
    for ((request, is_given_up), verdict) in admissions.iter().zip(&mut verdicts) {
        if *is_given_up && request.mode == Mode::Enforce {
            *verdict = Some(Admitted::Overtaken);
        }
    }
    while verdicts.contains(&None) {
        claim(backend, &requests, &mut verdicts)?;
    }
    let verdicts: Vec<Admitted> = verdicts.into_iter().flatten().collect();
    let left = requests.iter().zip(&verdicts);
    let left = left
        .filter(|(request, verdict)| **verdict == Admitted::Yes || request.mode == Mode::Observe);
    let (payments, expectations): (Vec<_>, Vec<_>) =
        left.map(|(request, _)| (&request.payments, &request.expectations)).unzip();
    let is_latest = |row: &&Row| !later.contains(&row.key);
    backend.put(&payments.into_iter().flatten().filter(is_latest).collect::<Vec<_>>())?;
    // Of a payment that did not leave before nothing is owed.
    backend.put_first(&expectations.into_iter().flatten().filter(is_latest).collect::<Vec<_>>())?;
    Ok(verdicts)
}

/// Claims the orders of those that are not decided, each all of its own or none. Who wants what an earlier one claims here
/// waits for the next round, since that one may yet come to nothing.
fn claim<B: Backend>(
    backend: &mut B,
    requests: &[&Request],
    verdicts: &mut [Option<Admitted>],
) -> Result<(), B::Error> {
    let mut claimed = HashSet::new();
    let mut claims = Vec::new();
    let mut round = Vec::new();
    for (request, verdict) in requests.iter().zip(verdicts) {
        if verdict.is_some() || request.claims.iter().any(|row| claimed.contains(&row.key)) {
            continue;
        }
        if !request.claims.iter().all(|row| claimed.insert(&row.key)) {
            // Two rows of one batch may not be one order either.
            *verdict = Some(Admitted::AlreadySent);
            continue;
        }
        claims.extend(&request.claims);
        round.push((request, verdict));
    }
    let mut put = backend.claim(&claims)?.into_iter();
    let mut given_back = Vec::new();
    for (request, verdict) in round {
        let put: Vec<bool> = put.by_ref().take(request.claims.len()).collect();
        if put.iter().all(|put| *put) {
            *verdict = Some(Admitted::Yes);
        } else {
            let own = request.claims.iter().zip(put).filter(|(_, put)| *put);
            given_back.extend(own.map(|(row, _)| Removal::from(row)));
            *verdict = Some(Admitted::AlreadySent);
        }
    }
    backend.remove(&given_back.iter().collect::<Vec<_>>())
}
