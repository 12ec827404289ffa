//! Batches: one message, many payments. Judged row by row, one permit for the whole, settled row by row.

use crate::domain::element::ElementSet;
use crate::domain::id::{OrderId, PaymentId};
use crate::domain::payment::Scenario;
use crate::message::extract::Part;
use crate::message::outcome::{Reading, Told};
use crate::policy::{self, BatchDecision, Effect, Permit, Reason};
use crate::service::admission::Withheld;
use crate::service::annotate::{self, Annotations, RowNote};
use crate::service::judge::{Draft, Judged, Judging, Pending};
use crate::service::refusal::{Refusal, RefusedRow};
use crate::service::settle::{Reported, Settled, told};
use crate::service::{Channel, Service};
use crate::store::journal::OrderKey;
use futures::future::join_all;
use futures::{StreamExt as _, stream};
use std::iter;
use std::sync::Arc;
use std::time::Duration;

/// How many rows of one batch are asked about at once.
const ROWS_AT_ONCE: usize = 8;

/// What is known of a batch between its permit and its answer.
#[derive(Debug)]
pub struct Batch {
    pub(crate) channel: Arc<Channel>,
    pub(crate) id: PaymentId,
    pub(crate) rows: Vec<Pending>,
    pub(crate) waited: Duration,
}

impl Service {
    /// Judges each row, and then the whole.
    pub(crate) async fn judge_batch(
        self: &Arc<Self>,
        judging: Judging<'_>,
        order: Option<OrderId>,
        rows: Vec<Part>,
    ) -> Result<(Permit, Judged), Withheld<Box<Refusal>>> {
        let Judging { channel, message, mode, begun, last, .. } = judging;
        let judging = Judging { deadline: begun + self.settings.batch_deadline, ..judging };
        let id = self.new_id(self.now());
        let drafts: Vec<Draft> = stream::iter((1..).zip(rows))
            .map(async |(number, part)| {
                let judging = Judging { row_of: Some((id, number)), ..judging };
                *self.appraise(&judging, Box::new(part)).await
            })
            .buffered(ROWS_AT_ONCE)
            .collect()
            .await;
        let waited = begun.elapsed();
        let decisions = drafts.iter().map(|draft| self.decide(draft)).collect();
        let decided = policy::decide_batch(&self.policy, decisions);
        tracing::debug!(batch = %id, rows = drafts.len(), order = order.is_some(), "a batch was judged");
        let BatchDecision { permit, mut rows } = decided;
        let admitted = match permit {
            Some(permit) => {
                let orders = orders(channel, order, &drafts);
                let leaving =
                    drafts.iter().zip(&rows).zip(orders).map(|((draft, row), order)| {
                        Self::leaving(channel, draft, row.clone(), order)
                    });
                let (leaving, records): (_, Vec<_>) = leaving.unzip();
                let admitted = self.admit(permit, (mode, message.scenario), leaving, last).await;
                admitted.map(|admitted| (admitted, records))
            }
            None => Err(Withheld::Refused(Vec::new())),
        };
        match admitted {
            Ok(((permit, remark), mut records)) => {
                for (draft, record) in drafts.iter().zip(&mut records) {
                    self.left(channel, draft, record, remark);
                }
                let rows = drafts.into_iter().zip(records);
                let rows =
                    rows.map(|(draft, record)| *Self::pending(channel, Box::new(draft), record));
                let rows = rows.collect();
                let batch = Batch { channel: channel.clone(), id, rows, waited };
                Ok((permit, Judged::Batch(Box::new(batch))))
            }
            Err(Withheld::Overtaken(keys)) => Err(Withheld::Overtaken(keys)),
            Err(Withheld::Refused(withdrawn)) => {
                for (draft, row) in drafts.iter().zip(&mut rows) {
                    row.0 = Effect::Refuse;
                    row.1.splice(0..0, withdrawn.iter().copied());
                    self.record(channel, draft, row.clone());
                }
                Err(Withheld::Refused(Box::new(self.batch_refusal(id, &drafts, rows).await)))
            }
        }
    }

    /// Settles each row with what the answer says of it; a row that the answer does not tell stays open.
    pub(crate) async fn settle_batch(
        &self,
        batch: Batch,
        reported: Reported<'_>,
    ) -> (Annotations, bool) {
        let message = batch.rows.first().and_then(|row| row.message);
        let message = message.and_then(|at| batch.channel.profile.messages.get(at));
        let told = told(&batch.channel.profile, message, reported);
        let settling = batch.rows.iter().map(|row| {
            let reading = told.as_ref().map(|told| match (told, &row.row) {
                (Told::Whole(reading), _) => reading.clone(),
                (Told::Rows(rows), Some(name)) => {
                    rows.get(name).cloned().unwrap_or(Reading::UNKNOWN)
                }
                (Told::Rows(_), None) => Reading::UNKNOWN,
            });
            async move {
                if row.record.scenario == Scenario::Query {
                    self.settle_queried(row, reading).await
                } else {
                    self.settle_one(row, reading).await
                }
            }
        });
        // Those that differ wait for one commit.
        let settled = join_all(settling).await;
        let weighs = settled.iter().flatten().any(Settled::weighs);
        let notes = (1..).zip(batch.rows.iter().zip(&settled));
        let notes = notes.map(|(number, (row, settled))| RowNote {
            number,
            record: &row.record,
            settled: settled.as_ref(),
        });
        (annotate::batch(batch.id, &notes.collect::<Vec<_>>()), weighs)
    }

    /// The refusal of a whole batch, which names the rows that are refused for themselves.
    async fn batch_refusal(
        &self,
        id: PaymentId,
        drafts: &[Draft],
        decided: Vec<(Effect, Vec<Reason>)>,
    ) -> Refusal {
        let mut rows = Vec::new();
        for (number, (draft, (_, reasons))) in (1..).zip(drafts.iter().zip(decided)) {
            if !reasons.contains(&Reason::BatchRefused) {
                let elements = draft.at_fault();
                let attempts_left = self.attempts_left(&draft.known, &reasons).await;
                rows.push(RefusedRow { number, reasons, elements, attempts_left });
            }
        }
        let mut reasons: Vec<_> = rows.iter().flat_map(|row| row.reasons.iter().copied()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        // What may pass later may pass later only where nothing is refused for good.
        let first = rows.iter().filter_map(|row| row.reasons.first());
        Refusal {
            payment: id,
            status: first.map(|reason| reason.status()).min().unwrap_or(403),
            reasons,
            elements: rows.iter().fold(ElementSet::EMPTY, |all, row| all.union(row.elements)),
            // Each row has a card of its own.
            attempts_left: None,
            earlier: None,
            detail: None,
            rows,
            rule: drafts.iter().find_map(|draft| draft.rules.as_ref()?.refusing()),
            funded: None,
        }
    }
}

/// What the rows of a batch are claimed by: the first by the batch's own name, where it has one, else each by its own.
fn orders(channel: &Channel, own: Option<OrderId>, rows: &[Draft]) -> Vec<Option<OrderKey>> {
    let mut orders = rows.iter().map(|row| row.order_key(channel));
    match own {
        None => orders.collect(),
        Some(order) => {
            let key = orders.by_ref().flatten().next().map(|row| OrderKey { order, ..row });
            iter::once(key).chain(iter::repeat(None)).take(rows.len()).collect()
        }
    }
}
