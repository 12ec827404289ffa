//! What the simulation found, one by one: two processes over one database, neither of which fails.

use super::book::{HOUR, Held};
use super::process::{agreement, at, channel, evidence, hold_key, tuple};
use super::{START, millis, start};
use crate::domain::id::PaymentId;
use crate::domain::keep::Keep;
use crate::reconcile::hold::{Braking, Hold, Holding};
use crate::store::journal::Journal as _;
use crate::store::memory::MemoryStore;
use crate::store::writer::model::{Database, Disk};
use crate::store::{EvidenceStore as _, HoldStore as _};
use std::sync::{Arc, Mutex};

struct Two {
    database: Database,
    here: Arc<MemoryStore>,
    there: Arc<MemoryStore>,
}

impl Two {
    fn new() -> Self {
        let disk = Arc::new(Mutex::new(Disk { faults: 0, ..Disk::new(1) }));
        let mut database = Database::on(&disk);
        let [here, there] = [start(&mut database), start(&mut database)];
        Self { database, here, there }
    }

    fn commit(&mut self) {
        for store in [&self.here, &self.there] {
            assert!(store.journal.as_ref().unwrap().commit(&mut self.database));
        }
    }

    fn is_usable(&mut self, now: u64) -> bool {
        let third = start(&mut self.database);
        third.evidence(&tuple(1), &channel(0), None, at(now)).is_some()
    }
}

/// What was asked here came before the contradiction there, and is told after it.
#[test]
fn an_answer_asked_for_before_does_not_undo_what_another_process_learned_since() {
    let mut two = Two::new();
    two.there.put_evidence(tuple(1), None, evidence(START));
    two.there.contradict(&tuple(1), &channel(0), None, at(START + 2));
    two.commit();
    two.here.put_evidence(tuple(1), None, evidence(START + 1));
    two.commit();
    assert!(!two.is_usable(START + 3));
    two.here.put_evidence(tuple(1), None, evidence(START + 3));
    two.commit();
    assert!(two.is_usable(START + 3), "asked for since");
}

#[test]
fn what_contradicts_unknown_evidence_removes_nothing() {
    let mut two = Two::new();
    two.there.put_evidence(tuple(1), None, evidence(START));
    two.commit();
    two.here.contradict(&tuple(1), &channel(1), None, at(START + 1));
    two.commit();
    assert!(two.is_usable(START + 2));
}

#[test]
fn a_clock_that_is_ahead_ends_no_hold() {
    let mut two = Two::new();
    let key = hold_key(Held::Agreement(1));
    assert_eq!(key.to_string(), format!("agreement:acme:{}", agreement(1).0));
    let hold = Hold {
        key: key.clone(),
        channel: channel(0),
        payment: PaymentId::new(at(START), 1),
        since: at(START),
        until: at(START + HOUR),
        person: None,
    };
    let braking = Braking { bank: None, matched: true, per_hour: 9 };
    assert_eq!(two.there.make_hold(hold.clone(), braking), Holding::Made);
    two.commit();
    two.here.purge(at(START + 11 * HOUR), Keep::default());
    two.commit();
    assert_eq!(start(&mut two.database).hold(&key, at(START + 1)), Some(hold));
    two.here.purge(at(START).plus(millis(26 * HOUR)), Keep::default());
    two.commit();
    assert_eq!(start(&mut two.database).hold(&key, at(START + 1)), None, "it is over");
}
