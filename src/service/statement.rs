//! A channel's statement: the last word on how payments stand, and on what the channel never had.

use crate::domain::clock::Timestamp;
use crate::domain::id::{ChannelName, PaymentId};
use crate::domain::keep::PAYMENTS_KEPT;
use crate::domain::outcome::{Arrival, Decline, Outcome};
use crate::message::outcome::Reading;
use crate::message::statement::Line;
use crate::reconcile::arrival::Step;
use crate::service::query::{Named, rests_on};
use crate::service::{Channel, Service};
use crate::store::Record;
use crate::store::journal::StoreLost;
use crate::store::row::{Aggregate, Row, RowKey};
use crate::store::shelf::{PAGE_MAX, Range};
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};

/// China has had no summer time since 1991.
const CHINA: Offset = Offset::constant(8);

/// How many payments that a statement lacks are named.
const NAMED_MAX: usize = 1_000;

/// What a line came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// It settled the payment, or settled it better.
    Settled,
    /// It is known already.
    Known,
    /// It is not as is known.
    Differs(Difference),
}

/// How a statement and what is known differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// No such order is known.
    UnknownOrder,
    /// The order was refused, or could not be sent.
    NeverSent,
    /// Of another amount.
    AmountDiffers,
    /// What had failed succeeded, or the other way round.
    OutcomeFlipped,
    /// What had succeeded was undone.
    Reversed,
    /// Its code is in no map.
    Unmapped,
}

impl Difference {
    /// The word used by the API and the command.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownOrder => "unknown_order",
            Self::NeverSent => "never_sent",
            Self::AmountDiffers => "amount_differs",
            Self::OutcomeFlipped => "outcome_flipped",
            Self::Reversed => "reversed_after_success",
            Self::Unmapped => "unmapped",
        }
    }
}

/// A day of which a statement was read as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Day {
    #[serde(rename = "day")]
    date: String,
    lines: u64,
    at: Timestamp,
}

/// What closing a day came to.
#[derive(Clone, Debug, Default)]
pub struct Closed {
    /// The days that are settled now: their statement and the next day's were read.
    pub settled: Vec<Date>,
    /// How many payments of theirs no statement names, and which did not fail before.
    pub absent: u64,
    /// Some of them.
    pub named: Vec<Record>,
}

impl Service {
    /// Takes a statement's lines for what they say, in their order. What each came to, and of which payment.
    ///
    /// # Errors
    /// [`StoreLost`]: it must be read again, which does no harm.
    pub async fn state(
        &self,
        channel: &Channel,
        lines: &[Line],
    ) -> Result<Vec<(Came, Option<PaymentId>)>, StoreLost> {
        let name = channel.name();
        let named = lines.iter().map(|line| Named {
            channel: name,
            merchant: line.merchant.as_ref(),
            order: &line.order,
            scenarios: &line.scenarios,
        });
        let named: Vec<Named<'_>> = named.collect();
        self.look_up(&named).await?;
        let mut came = Vec::new();
        for (line, by) in lines.iter().zip(&named) {
            let of = self.known(by);
            let payment = of.as_ref().map(|of| of.payment);
            let what = match of {
                None => Came::Differs(Difference::UnknownOrder),
                Some(of) if !of.left() => Came::Differs(Difference::NeverSent),
                Some(of) => self.state_one(channel, &of, line).await?,
            };
            came.push((what, payment));
        }
        self.store.flush().await?;
        Ok(came)
    }

    /// Brings into memory what is kept of orders, of their payments, and of what their outcomes bear upon: a few looks for all.
    async fn look_up(&self, named: &[Named<'_>]) -> Result<(), StoreLost> {
        let claims = named.iter().filter(|by| self.known(by).is_none_or(|of| !of.left()));
        let claims: Vec<RowKey> = claims.flat_map(Named::claims).collect();
        if !claims.is_empty() {
            self.fetch_all(claims).await?;
        }
        // Another process may know more of them.
        let payments = named.iter().flat_map(|by| self.store.by_order(by.channel, by.order));
        let payments: Vec<RowKey> = payments.map(RowKey::payment).collect();
        if !payments.is_empty() {
            self.fetch_all(payments).await?;
        }
        let rest: Vec<RowKey> = named
            .iter()
            .filter_map(|by| self.known(by))
            .filter(|of| of.outcome.as_ref().is_none_or(|(.., by)| *by != Arrival::Statement))
            .flat_map(|of| rests_on(&of))
            .collect();
        if rest.is_empty() { Ok(()) } else { self.fetch_all(rest).await }
    }

    async fn state_one(
        &self,
        channel: &Channel,
        of: &Record,
        line: &Line,
    ) -> Result<Came, StoreLost> {
        self.store.stated(of);
        let reported = (line.outcome, line.code.clone(), Arrival::Statement);
        if of.amount.zip(line.amount).is_some_and(|(known, told)| known != told) {
            self.amounts_differ(of, reported).await?;
            return Ok(Came::Differs(Difference::AmountDiffers));
        }
        if of.outcome.as_ref() == Some(&reported) {
            return Ok(Came::Known);
        }
        let reading = Reading {
            outcome: line.outcome,
            code: line.code.clone(),
            unmapped_in: line.unmapped_in.clone(),
            ..Reading::UNKNOWN
        };
        let settled = self.arrived(channel, of, reading, Arrival::Statement);
        Ok(match settled.step {
            Step::Flipped => Came::Differs(Difference::OutcomeFlipped),
            Step::Reversed => Came::Differs(Difference::Reversed),
            Step::Noted | Step::Nothing if line.outcome == Outcome::Unmapped => {
                Came::Differs(Difference::Unmapped)
            }
            Step::Nothing => Came::Known,
            Step::Noted | Step::Ended | Step::Confirmed | Step::Refined => Came::Settled,
        })
    }

    /// The statement of `day` was read as a whole. Where that of the day after or before was too, whatever left on the earlier
    /// of both and is in none of them failed.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn close_day(
        &self,
        channel: &Channel,
        day: Date,
        lines: u64,
    ) -> Result<Closed, StoreLost> {
        let now = self.now();
        let value = Day { date: day.to_string(), lines, at: now };
        let key = day_key(channel.name(), day);
        let row = Row::new(key, Some(now.plus(PAYMENTS_KEPT)), &value).ok_or(StoreLost)?;
        self.store.shelve(row);
        let mut closed = Closed::default();
        for (first, other) in [(day.yesterday(), day.yesterday()), (Ok(day), day.tomorrow())] {
            let (Ok(first), Ok(other)) = (first, other) else { continue };
            let read = self.store.range(Range::one(&day_key(channel.name(), other))).await?;
            if !read.is_empty() {
                self.settle_absent(channel, first, &mut closed).await?;
            }
        }
        self.store.flush().await?;
        Ok(closed)
    }

    /// Whatever left on `day` and is in no statement was never processed.
    async fn settle_absent(
        &self,
        channel: &Channel,
        day: Date,
        closed: &mut Closed,
    ) -> Result<(), StoreLost> {
        let edge = |date: Date| {
            let zoned = date.to_zoned(TimeZone::fixed(CHINA)).ok()?;
            let millis = u64::try_from(zoned.timestamp().as_millisecond()).ok()?;
            Some(PaymentId::new(Timestamp::from_millis(millis), 0).to_string())
        };
        let (Some(mut from), Some(before)) = (edge(day), day.tomorrow().ok().and_then(edge)) else {
            return Ok(());
        };
        loop {
            let range = Range {
                of: Aggregate::Payments,
                from: from.clone(),
                before: before.clone(),
                most: PAGE_MAX,
                last: false,
            };
            let rows = self.store.range(range).await?;
            let more = rows.len() >= PAGE_MAX;
            if let Some(last) = rows.last() {
                from = format!("{}\u{1}", last.key.name);
            }
            for row in &rows {
                let record: Record = serde_json::from_str(&row.value).map_err(|error| {
                    tracing::error!(%error, "a payment cannot be read: was it written by another Hefu?");
                    StoreLost
                })?;
                // What memory knows is as new, or newer.
                let record = self.store.record(record.payment).unwrap_or(record);
                if is_covered(channel, &record) && !record.stated && may_have_succeeded(&record) {
                    self.was_absent(channel, &record, closed);
                }
            }
            if !more {
                break;
            }
        }
        closed.settled.push(day);
        Ok(())
    }

    fn was_absent(&self, channel: &Channel, record: &Record, closed: &mut Closed) {
        let outcome = Outcome::Declined(Decline::NotProcessed);
        self.arrived(channel, record, Reading { outcome, ..Reading::UNKNOWN }, Arrival::Statement);
        closed.absent = closed.absent.saturating_add(1);
        if closed.named.len() < NAMED_MAX {
            closed.named.push(record.clone());
        }
    }
}

fn day_key(channel: &ChannelName, day: Date) -> RowKey {
    RowKey { of: Aggregate::Statements, name: format!("{channel}\n{day}") }
}

/// Whether a payment left of which the channel's statement tells.
fn is_covered(channel: &Channel, record: &Record) -> bool {
    let lines = channel.profile.statements.iter().flat_map(|statement| &statement.lines);
    let telling = lines.filter(|line| line.tells());
    let told = telling
        .filter(|line| line.scenarios.is_empty() || line.scenarios.contains(&record.scenario));
    record.channel == *channel.name()
        && record.scenario.moves_money()
        && record.left()
        && told.count() > 0
}

fn may_have_succeeded(record: &Record) -> bool {
    record.outcome.as_ref().is_none_or(|(outcome, ..)| match outcome {
        Outcome::Accepted | Outcome::Unknown | Outcome::Unmapped | Outcome::Succeeded => true,
        Outcome::NoMatch(_) | Outcome::Declined(_) | Outcome::Reversed => false,
    })
}
