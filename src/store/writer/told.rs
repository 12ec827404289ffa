//! What those who wait are told, and what is to be tried again for those who cannot be.

use super::Waiting;
use super::batch::Told;
use crate::route::attempts::Heard;
use crate::store::journal::{Admitted, StoreLost};
use crate::store::memory::amend::Amend;
use crate::store::reserve::{Reservation, Reserved};
use crate::store::row::{Removal, RowKey};
use tokio::sync::oneshot;

/// Refuses one who waits for what came before, and says whether it was one.
pub(super) fn refuse_flush(waiting: &mut Waiting) -> bool {
    let Waiting::Flush(sender) = waiting else { return false };
    // In its place, what nobody waits for.
    let sender = std::mem::replace(sender, oneshot::channel().0);
    let _ = sender.send(Err(StoreLost));
    true
}

/// Everything in the batch is durable. Who does not listen any more need not be told; but what was claimed for a message that
/// nobody forwards now is given back.
pub(super) fn tell(batch: Vec<Waiting>, told: Told) -> Vec<Waiting> {
    let Told { verdicts, reserved, rows, swapped, noted, mut counted, .. } = told;
    let (mut verdicts, mut rows) = (verdicts.into_iter(), rows.into_iter());
    let (mut reserved, mut swapped) = (reserved.into_iter(), swapped.into_iter());
    let mut again = Vec::new();
    for waiting in batch {
        match waiting {
            Waiting::Put(_)
            | Waiting::Remove(_)
            | Waiting::PutWith(..)
            | Waiting::Amend(_)
            | Waiting::Purge(..) => (),
            Waiting::Count(counting) => counting.learn(std::mem::take(&mut counted)),
            Waiting::Admit(request, sender) => {
                let verdict = verdicts.next().map(|verdict| (verdict, request));
                if let Err(Ok((Admitted::Yes, request))) = sender.send(verdict.ok_or(StoreLost)) {
                    again.extend(request.undone().map(Waiting::Remove));
                }
            }
            Waiting::Reserve(reservation, sender) => {
                let told = sender.send(reserved.next().unwrap_or(Err(StoreLost)));
                if let Err(Ok(Reserved::Yes(_))) = told {
                    // Nobody puts it.
                    let settling =
                        reservation.settling(Heard::NotSent, false, reservation.inquiry.at);
                    let settling = settling.into_iter().map(|one| Amend::Settle(Box::new(one)));
                    again.extend(settling.map(Waiting::Amend));
                    again.push(forgotten(&reservation));
                }
            }
            Waiting::Read(_, sender) => {
                let _ = sender.send(rows.next().ok_or(StoreLost));
            }
            Waiting::Swap(_, sender) => {
                let _ = sender.send(swapped.next().ok_or(StoreLost));
            }
            Waiting::Note(_, sender) => {
                let _ = sender.map(|sender| sender.send(noted));
            }
            Waiting::Flush(sender) => {
                let _ = sender.send(Ok(()));
            }
        }
    }
    again
}

/// A question that is not put is not open.
fn forgotten(reservation: &Reservation) -> Waiting {
    Waiting::Remove(Removal { key: RowKey::inquiry(reservation.inquiry.id), only: None })
}

/// Nothing in the batch is known to be durable: what must be tried again. A commit that failed may have happened all the
/// same, so what it claimed is given back, if it is ours.
pub(super) fn refuse(batch: Vec<Waiting>) -> Vec<Waiting> {
    let mut again = Vec::new();
    for waiting in batch {
        match waiting {
            Waiting::Amend(amend) if amend.is_once() => (),
            Waiting::Put(_)
            | Waiting::Remove(_)
            | Waiting::PutWith(..)
            | Waiting::Amend(_)
            | Waiting::Count(_) => again.push(waiting),
            Waiting::Purge(..) => (),
            Waiting::Admit(request, sender) => {
                again.extend(request.undone().map(Waiting::Remove));
                let _ = sender.send(Err(StoreLost));
            }
            Waiting::Reserve(reservation, sender) => {
                // What it may have taken stays counted: nothing of another's may be given back.
                again.push(forgotten(&reservation));
                let _ = sender.send(Err(StoreLost));
            }
            Waiting::Read(_, sender) => {
                let _ = sender.send(Err(StoreLost));
            }
            Waiting::Swap(_, sender) => {
                let _ = sender.send(Err(StoreLost));
            }
            Waiting::Note(note, sender) => {
                let _ = sender.map(|sender| sender.send(Err(StoreLost)));
                again.push(Waiting::Note(note, None));
            }
            Waiting::Flush(sender) => {
                let _ = sender.send(Err(StoreLost));
            }
        }
    }
    again
}
