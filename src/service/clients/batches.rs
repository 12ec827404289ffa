//! Batches: their lines are in the memory of who works at them and nowhere else. What a crash cut off says so, and the client posts
//! the lines again to go on.

use super::room::Room;
use super::telling::Told;
use super::{AskError, Page, Terms, unread};
use crate::domain::client::TOGETHER;
use crate::domain::element::Elements;
use crate::domain::id::{ClientName, PaymentId};
use crate::domain::kind::Kind;
use crate::service::Service;
use crate::store::batch::{Batch, Work};
use crate::store::journal::StoreLost;
use crate::store::row::Row;
use crate::store::shelf::{PAGE_MAX, Range, Swap};
use crate::store::verification::Verification;
use futures::stream::{self, StreamExt as _};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// For how long who works at a batch says so.
pub const LEASE: Duration = Duration::from_secs(30);
/// How often.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Lines that a client wants to be verified.
#[derive(Clone)]
pub struct Lines {
    /// The client's name for this request.
    pub key: String,
    /// What is asked about each.
    pub kind: Kind,
    /// The elements of each; no more than there are numbers for.
    pub lines: Vec<Elements>,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lines({})", self.lines.len())
    }
}

impl Service {
    /// Has every line verified, one by one and beside whoever asks; a batch that was left goes on with the lines that nobody
    /// began. `room` has a place for each verification that may go on at once, and `held` is held until it is over. Once no more is
    /// begun there, what was not is for whoever posts it again.
    ///
    /// # Errors
    /// [`AskError`]: nothing was asked.
    pub async fn batch_for(
        self: &Arc<Self>,
        terms: &Arc<Terms>,
        lines: Lines,
        room: Room,
        held: impl Send + 'static,
    ) -> Result<Batch, AskError> {
        let (service, terms) = (self.clone(), terms.clone());
        let begun = tokio::spawn(async move {
            let (batch, mine) = service.batch_once(&terms, &lines).await?;
            if mine {
                let batch = batch.clone();
                tokio::spawn(async move {
                    service.work(&terms, batch, lines.lines, &room).await;
                    drop(held);
                });
            }
            Ok(batch)
        });
        // Only a panic ends it before its time.
        begun.await.unwrap_or(Err(AskError::Store(StoreLost)))
    }

    /// The batch under the client's key, and whether it is this process's to work at.
    async fn batch_once(
        self: &Arc<Self>,
        terms: &Arc<Terms>,
        lines: &Lines,
    ) -> Result<(Batch, bool), AskError> {
        let (now, mut known) = (self.now(), self.named_before(terms, lines).await?);
        let work = Work::By { whom: self.new_id(now), until: now.plus(LEASE) };
        if known.is_none() {
            let count = u32::try_from(lines.lines.len()).map_err(|_| AskError::Set)?;
            self.count_for(terms, count.into()).await?;
            let (id, client) = (self.new_id(now), terms.name.clone());
            let kind = lines.kind;
            let new = Batch { id, client, at: now, kind, lines: count, work };
            let row = new.row().ok_or(StoreLost)?;
            if self.claim_key(terms, lines, id, row).await? {
                return Ok((new, true));
            }
            // Another came first.
            known = self.named_before(terms, lines).await?;
        }
        let batch = self.batch_of(&terms.name, known.ok_or(StoreLost)?).await?.ok_or(StoreLost)?;
        if !batch.is_left(self.now()) {
            return Ok((batch, false));
        }
        let mine = Batch { work, ..batch.clone() };
        let taken = self.swap_batch(&batch, &mine).await?;
        Ok(if taken { (mine, true) } else { (batch, false) })
    }

    /// Works at a batch until every line was begun, or another does.
    async fn work(
        self: &Arc<Self>,
        terms: &Arc<Terms>,
        batch: Batch,
        lines: Vec<Elements>,
        room: &Room,
    ) {
        let (stopped, mut last) = (AtomicBool::new(false), batch.clone());
        let asking =
            stream::iter((1..).zip(lines)).for_each_concurrent(TOGETHER, |(line, elements)| {
                let (batch, stopped) = (&batch, &stopped);
                async move {
                    // What is not begun is `not_asked` once nobody works at it any more.
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let Some(_place) = room.next().await else {
                        stopped.store(true, Ordering::Relaxed);
                        return;
                    };
                    if self.ask_line(terms, batch, (line, &elements)).await.is_err() {
                        stopped.store(true, Ordering::Relaxed);
                    }
                }
            });
        let mut asking = std::pin::pin!(asking);
        loop {
            if tokio::time::timeout(SAID_EVERY, asking.as_mut()).await.is_ok() {
                break;
            }
            let Work::By { whom, .. } = last.work else { return };
            let until = self.now().plus(LEASE);
            let next = Batch { work: Work::By { whom, until }, ..last.clone() };
            match self.swap_batch(&last, &next).await {
                Ok(true) => last = next,
                // Another works at it, or nobody knows: each line is begun once all the same.
                Ok(false) | Err(StoreLost) => stopped.store(true, Ordering::Relaxed),
            }
        }
        self.leave(terms, last, stopped.load(Ordering::Relaxed)).await;
    }

    /// Says that nobody works at a batch any more: every line was begun, unless it `is_left`.
    async fn leave(&self, terms: &Terms, last: Batch, is_left: bool) {
        let Work::By { whom, until } = last.work else { return };
        let left = Work::By { whom, until: self.now() };
        let over = Batch { work: if is_left { left } else { Work::Ended }, ..last.clone() };
        let (Some(was), Some(row)) = (last.row(), over.row()) else { return };
        let told = if is_left { None } else { self.telling_client(terms, over.id, Told::Batch) };
        let beside = told.into_iter().collect();
        // Where that cannot be said, it is left once it was not said for long enough.
        let said = self.swap_until(Swap { beside, ..Swap::replace(was.value, row) }, until).await;
        if is_left || said != Ok(true) {
            tracing::warn!(batch = %over.id, "a batch of a client was left: its lines can be posted again");
        }
    }

    /// Asks about one line, unless that was begun before.
    async fn ask_line(
        self: &Arc<Self>,
        terms: &Terms,
        batch: &Batch,
        (line, elements): (u32, &Elements),
    ) -> Result<(), StoreLost> {
        let new = Verification {
            line: Some((batch.id, line)),
            ..self.new_verification(terms, (batch.kind, elements.set()))
        };
        let claim = Row::new(batch.line_key(line), batch.row().and_then(|row| row.until), &new.id);
        let beside = vec![new.row().ok_or(StoreLost)?];
        if !self.store.swap(Swap { beside, ..Swap::claim(claim.ok_or(StoreLost)?) }).await? {
            return Ok(());
        }
        self.conclude_for(terms, elements, new).await.map(drop)
    }

    async fn swap_batch(&self, was: &Batch, new: &Batch) -> Result<bool, StoreLost> {
        let (was, new) = (was.row().ok_or(StoreLost)?, new.row().ok_or(StoreLost)?);
        self.store.swap(Swap::replace(was.value, new)).await
    }

    /// The last of a client's batches, the newest first.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn batches_of(
        &self,
        client: &ClientName,
        before: Option<PaymentId>,
        most: usize,
    ) -> Result<Page<Batch>, StoreLost> {
        let rows = self.store.range(Batch::last(client, before, most)).await?;
        Ok(Page::of(&rows, most, Batch::read))
    }

    /// A client's own batch.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn batch_of(
        &self,
        client: &ClientName,
        id: PaymentId,
    ) -> Result<Option<Batch>, StoreLost> {
        let rows = self.store.range(Range::one(&Batch::key(client, id))).await?;
        rows.first().map(|row| Batch::read(row).map_err(|error| unread(&error))).transpose()
    }

    /// The lines of a batch that were begun, by their numbers.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn lines_of(&self, batch: &Batch) -> Result<BTreeMap<u32, Verification>, StoreLost> {
        let (mut lines, mut after) = (BTreeMap::new(), None);
        loop {
            let begun = self.store.range(batch.begun(after.as_ref())).await?;
            let id = |row: &Row| serde_json::from_str::<PaymentId>(&row.value);
            let ids = begun.iter().map(id).collect::<Result<Vec<_>, _>>();
            let ids = ids.map_err(|error| unread(&error))?;
            let keys = ids.into_iter().map(|id| Verification::key(&batch.client, id)).collect();
            for row in self.store.rows_at(keys).await? {
                let verification = Verification::read(&row).map_err(|error| unread(&error))?;
                if let Some((_, line)) = verification.line {
                    lines.insert(line, verification);
                }
            }
            match begun.into_iter().nth(PAGE_MAX.saturating_sub(1)) {
                Some(last) => after = Some(last.key),
                None => return Ok(lines),
            }
        }
    }
}
