//! A day of a channel's statement was read as a whole: what left on it for the merchants whose files these are, and is in none, failed.

use crate::domain::clock::Timestamp;
use crate::domain::id::{ChannelName, PaymentId};
use crate::domain::keep::PAYMENTS_KEPT;
use crate::domain::outcome::{Arrival, Decline, Outcome};
use crate::message::outcome::Reading;
use crate::message::statement::LineRule;
use crate::service::{Channel, Service};
use crate::store::Record;
use crate::store::journal::StoreLost;
use crate::store::row::{Aggregate, Row, RowKey};
use crate::store::shelf::{PAGE_MAX, Range};
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// China has had no summer time since 1991.
const CHINA: Offset = Offset::constant(8);

/// How many payments that a statement lacks are named by one call.
const NAMED_MAX: usize = 1_000;

/// Fewer known successes than this may always turn out to have failed.
const MANY: u64 = 10;

/// Of so many known successes one may turn out to have failed.
const ONE_IN: u64 = 20;

/// Of so many that the channel took, one of which nobody told more may turn out to have failed: most do succeed.
const TAKEN_ONE_IN: u64 = 2;

/// The key of payments that name no merchant.
const NOBODY: &str = "";

/// A day of which everything was read.
#[derive(Clone, Debug)]
pub struct Closing {
    /// The day, by China's calendar.
    pub day: Date,
    /// How many lines it has.
    pub lines: u64,
    /// Whose files these are. Payments that name no merchant are closed, too, where the channel's lines name none.
    pub merchants: BTreeSet<String>,
    /// Whether more known successes may turn into failures than happens.
    pub even_if_most_fail: bool,
    /// How many pages of payments one call looks at.
    pub pages: usize,
}

/// How far the closing of a day is; who asks for the rest hands it back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Whether everything was counted, and what is absent is failing.
    failing: bool,
    /// From which payment on.
    from: String,
    /// For whom the day before and the day itself are settled, as was found at the first call: what was not counted must not fail.
    whose: Option<[BTreeSet<String>; 2]>,
    /// By day and merchant.
    counted: BTreeMap<String, BTreeMap<String, Count>>,
}

/// Known successes, and what the channel took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Count {
    succeeded: u64,
    /// How many of them no statement names.
    absent: u64,
    taken: u64,
    /// How many of those no statement names.
    taken_absent: u64,
}

/// What closing a day came to, in one call.
#[derive(Clone, Debug, Default)]
pub struct Closed {
    /// The days that are settled: their statement and the next day's were read.
    pub settled: Vec<Date>,
    /// How many payments of theirs no statement names, and which did not fail before.
    pub absent: u64,
    /// Some of them.
    pub named: Vec<Record>,
    /// How many others no statement names, and were left as they are: whose files were read, they are not.
    pub left: u64,
    /// What is to be handed back for the rest.
    pub next: Option<Progress>,
}

/// Why a day is not closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotClosed {
    /// The store cannot be read or written.
    #[error(transparent)]
    Lost(#[from] StoreLost),
    /// Nobody is named.
    #[error(
        "no line of the day names a merchant: say whose files are complete (`--merchant` of the command, `merchants` of the API)"
    )]
    NobodyNamed,
    /// Most likely it is the file that is wrong.
    #[error(
        "{absent} of {succeeded} known successes of {whose} are in no statement and would fail: is a file of that day or of the next one cut short, empty or missing? Nothing failed, and the day is not taken for complete. Settle the whole files of both days again, or close it with `--even-if-most-fail` (`even_if_most_fail`)"
    )]
    MostFail {
        /// Of which merchant, on which day.
        whose: String,
        /// How many would fail.
        absent: u64,
        /// Of how many.
        succeeded: u64,
    },
    /// So many that the channel took are in no statement that a file is more likely to be wrong.
    #[error(
        "{absent} of {taken} payments of {whose} that the channel took are in no statement and would fail: is a file of that day or of the next one cut short, empty or missing? Nothing failed, and the day is not taken for complete. Settle the whole files of both days again, or close it with `--even-if-most-fail` (`even_if_most_fail`)"
    )]
    MostTakenFail {
        /// Of which merchant, on which day.
        whose: String,
        /// How many would fail.
        absent: u64,
        /// Of how many.
        taken: u64,
    },
}

/// A day of which a merchant's statement was read as a whole, as it is kept.
#[derive(Serialize)]
struct Day {
    #[serde(rename = "day")]
    date: String,
    lines: u64,
    at: Timestamp,
}

/// A day that is settled: its statement and the next day's were read, of these merchants.
struct Due {
    day: Date,
    /// The ids that payments of that day have.
    ids: std::ops::Range<String>,
    merchants: BTreeSet<String>,
}

/// Some of the payments of days that are settled.
struct Page {
    /// With the day's place and its own name.
    records: Vec<(usize, Record)>,
    more: bool,
}

impl Service {
    /// The statement of a day was read as a whole. Where that of the day after or before was too, whatever left on the earlier
    /// of both for the same merchants and is in none of them failed. It is counted first, and then it fails; one call does
    /// some of it, and says what to hand back for the rest.
    ///
    /// # Errors
    /// [`NotClosed`].
    pub async fn close_day(
        &self,
        channel: &Channel,
        closing: &Closing,
        progress: Progress,
    ) -> Result<Closed, NotClosed> {
        let mut merchants = closing.merchants.clone();
        if telling(channel).any(|rule| rule.merchant.is_none()) {
            merchants.insert(NOBODY.to_owned());
        }
        if merchants.is_empty() {
            return Err(NotClosed::NobodyNamed);
        }
        let mut at = progress;
        let whose = match at.whose.take() {
            Some(whose) => whose,
            None => [
                self.read_of(channel.name(), closing.day.yesterday(), &merchants).await?,
                self.read_of(channel.name(), closing.day.tomorrow(), &merchants).await?,
            ],
        };
        let days = due(closing.day, &whose);
        let settled = days.iter().map(|due| due.day).collect();
        let mut closed = Closed { settled, ..Closed::default() };
        for _ in 0..closing.pages {
            let page = self.page(channel, &days, &mut at.from).await?;
            for (nth, record) in &page.records {
                let Some(due) = days.get(*nth) else { continue };
                if at.failing {
                    self.fail_absent(channel, due, record, &mut closed).await;
                } else {
                    at.count(due, record);
                }
            }
            self.store.flush().await?;
            if page.more {
                continue;
            }
            if at.failing {
                return Ok(closed);
            }
            if !closing.even_if_most_fail {
                at.judge()?;
            }
            self.shelve_day(channel, closing, &merchants)?;
            at = Progress { failing: true, ..Progress::default() };
        }
        at.whose = Some(whose);
        Ok(Closed { next: Some(at), ..closed })
    }

    fn shelve_day(
        &self,
        channel: &Channel,
        closing: &Closing,
        merchants: &BTreeSet<String>,
    ) -> Result<(), StoreLost> {
        let now = self.now();
        let value = Day { date: closing.day.to_string(), lines: closing.lines, at: now };
        for merchant in merchants {
            let name = format!("{}{merchant}", day_prefix(channel.name(), closing.day));
            let key = RowKey { of: Aggregate::Statements, name };
            let row = Row::new(key, Some(now.plus(PAYMENTS_KEPT)), &value).ok_or(StoreLost)?;
            self.store.shelve(row);
        }
        Ok(())
    }

    /// Of which of `merchants` the statement of `day` was read.
    async fn read_of(
        &self,
        channel: &ChannelName,
        day: Result<Date, jiff::Error>,
        merchants: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, StoreLost> {
        let mut read = BTreeSet::new();
        let Ok(day) = day else { return Ok(read) };
        let prefix = day_prefix(channel, day);
        let (mut from, before) = (prefix.clone(), format!("{channel}\n{day}\u{b}"));
        loop {
            let rows = self.rows(Aggregate::Statements, &from, &before).await?;
            let names = rows.iter().filter_map(|row| row.key.name.strip_prefix(&prefix));
            read.extend(names.filter(|name| merchants.contains(*name)).map(str::to_owned));
            match rows.last().filter(|_| rows.len() >= PAGE_MAX) {
                Some(last) => from = format!("{}\u{1}", last.key.name),
                None => return Ok(read),
            }
        }
    }

    async fn rows(&self, of: Aggregate, from: &str, before: &str) -> Result<Vec<Row>, StoreLost> {
        let (from, before) = (from.to_owned(), before.to_owned());
        self.store
            .range(Range { of, from, before, most: PAGE_MAX, last: false, whole: false })
            .await
    }

    /// The next page of payments of `days` that left and of which the channel's statement tells.
    async fn page(
        &self,
        channel: &Channel,
        days: &[Due],
        from: &mut String,
    ) -> Result<Page, StoreLost> {
        let mut records = Vec::new();
        let (Some(first), Some(last)) = (days.first(), days.last()) else {
            return Ok(Page { records, more: false });
        };
        let begin = from.as_str().max(&first.ids.start);
        let rows = self.rows(Aggregate::Payments, begin, &last.ids.end).await?;
        // Of what memory knows another process may have heard more.
        let is_known = |row: &&Row| {
            let payment = PaymentId::parse(&row.key.name);
            payment.is_some_and(|payment| self.store.record(payment).is_some())
        };
        let known: Vec<RowKey> = rows.iter().filter(is_known).map(|row| row.key.clone()).collect();
        if !known.is_empty() {
            self.fetch_all(known).await?;
        }
        for row in &rows {
            let Some(nth) = days.iter().position(|due| due.ids.contains(&row.key.name)) else {
                continue;
            };
            let record: Record = serde_json::from_str(&row.value).map_err(|error| {
                tracing::error!(%error, "a payment cannot be read: was it written by another Hefu?");
                StoreLost
            })?;
            // Then what memory knows is as new, or newer.
            let record = self.store.record(record.payment).unwrap_or(record);
            if is_covered(channel, &record) {
                records.push((nth, record));
            }
        }
        if let Some(last) = rows.last() {
            *from = format!("{}\u{1}", last.key.name);
        }
        Ok(Page { records, more: rows.len() >= PAGE_MAX })
    }

    async fn fail_absent(
        &self,
        channel: &Channel,
        due: &Due,
        record: &Record,
        closed: &mut Closed,
    ) {
        if !is_absent(record) {
            return;
        }
        if !due.merchants.contains(merchant(record)) {
            closed.left = closed.left.saturating_add(1);
            return;
        }
        let outcome = Outcome::Declined(Decline::NotProcessed);
        let reading = Reading { outcome, ..Reading::UNKNOWN };
        self.arrived(channel, record, reading, Arrival::Statement).await;
        closed.absent = closed.absent.saturating_add(1);
        if closed.named.len() < NAMED_MAX {
            closed.named.push(record.clone());
        }
    }
}

impl Progress {
    fn count(&mut self, due: &Due, record: &Record) {
        let merchant = merchant(record);
        let absent = u64::from(is_absent(record));
        let one = match &record.outcome {
            Some((Outcome::Succeeded, ..)) => Count { succeeded: 1, absent, ..Count::default() },
            Some((Outcome::Accepted, ..)) => {
                Count { taken: 1, taken_absent: absent, ..Count::default() }
            }
            Some((
                Outcome::NoMatch(_)
                | Outcome::Declined(_)
                | Outcome::Unknown
                | Outcome::Reversed
                | Outcome::Unmapped,
                ..,
            ))
            | None => return,
        };
        if !due.merchants.contains(merchant) {
            return;
        }
        let of_day = self.counted.entry(due.day.to_string()).or_default();
        of_day.entry(merchant.to_owned()).or_default().add(one);
    }

    /// Whether what fails is so much that the file is more likely to be wrong: of one merchant's, or of all.
    fn judge(&self) -> Result<(), NotClosed> {
        let mut all = Count::default();
        for (day, of_day) in &self.counted {
            for (merchant, count) in of_day {
                all.add(*count);
                count.judge(|| match merchant.as_str() {
                    NOBODY => format!("no merchant in particular on {day}"),
                    merchant => format!("merchant `{merchant}` on {day}"),
                })?;
            }
        }
        all.judge(|| "all merchants together".to_owned())
    }
}

impl Count {
    const fn add(&mut self, other: Self) {
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        self.absent = self.absent.saturating_add(other.absent);
        self.taken = self.taken.saturating_add(other.taken);
        self.taken_absent = self.taken_absent.saturating_add(other.taken_absent);
    }

    fn judge(self, whose: impl FnOnce() -> String) -> Result<(), NotClosed> {
        let Self { succeeded, absent, taken, taken_absent } = self;
        if absent >= MANY && absent.saturating_mul(ONE_IN) > succeeded {
            return Err(NotClosed::MostFail { whose: whose(), absent, succeeded });
        }
        // Those that a statement named have succeeded since.
        let taken = taken.saturating_add(succeeded);
        if taken_absent >= MANY && taken_absent.saturating_mul(TAKEN_ONE_IN) > taken {
            return Err(NotClosed::MostTakenFail { whose: whose(), absent: taken_absent, taken });
        }
        Ok(())
    }
}

/// Which days are settled once `day` is complete: the one before and itself, for `whose`.
fn due(day: Date, whose: &[BTreeSet<String>; 2]) -> Vec<Due> {
    let days = [day.yesterday(), Ok(day)].into_iter().zip(whose);
    let due = days.filter_map(|(day, merchants)| {
        let day = day.ok()?;
        let ids = first_id(day)?..first_id(day.tomorrow().ok()?)?;
        Some(Due { day, ids, merchants: merchants.clone() })
    });
    due.filter(|due| !due.merchants.is_empty()).collect()
}

/// The id before all payments of `day`.
fn first_id(day: Date) -> Option<String> {
    let zoned = day.to_zoned(TimeZone::fixed(CHINA)).ok()?;
    let millis = u64::try_from(zoned.timestamp().as_millisecond()).ok()?;
    Some(PaymentId::new(Timestamp::from_millis(millis), 0).to_string())
}

/// Behind it stands the merchant; what an earlier Hefu closed for the whole channel has no such name, and counts no more.
fn day_prefix(channel: &ChannelName, day: Date) -> String {
    format!("{channel}\n{day}\n")
}

fn merchant(record: &Record) -> &str {
    record.stakes.merchant.as_ref().map_or(NOBODY, |merchant| &merchant.0)
}

/// What the channel's lines tell of payments.
fn telling(channel: &Channel) -> impl Iterator<Item = &LineRule> {
    let lines = channel.profile.statements.iter().flat_map(|statement| &statement.lines);
    lines.filter(|line| line.tells())
}

/// Whether a payment left of which the channel's statement tells.
fn is_covered(channel: &Channel, record: &Record) -> bool {
    record.channel == *channel.name()
        && record.scenario.moves_money()
        && record.left()
        && telling(channel)
            .any(|line| line.scenarios.is_empty() || line.scenarios.contains(&record.scenario))
}

/// Whether no statement names a payment that did not fail.
fn is_absent(record: &Record) -> bool {
    let may_have_succeeded = record.outcome.as_ref().is_none_or(|(outcome, ..)| match outcome {
        Outcome::Accepted | Outcome::Unknown | Outcome::Unmapped | Outcome::Succeeded => true,
        Outcome::NoMatch(_) | Outcome::Declined(_) | Outcome::Reversed => false,
    });
    may_have_succeeded && !record.stated
}
