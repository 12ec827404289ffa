//! Classes that lapse since what bears them grows too old: somebody is told before, and when it is so, once each, whichever replica finds
//! it.
//!
//! When an account is looked at next stands in the name of a row, so that a sweep reads those only whose time has come. Whether something
//! was told stands on the account, which is swapped together with what tells it.

use crate::domain::account::{AccountId, Class};
use crate::domain::clock::Timestamp;
use crate::service::Service;
use crate::service::accounts::{AccountError, classed, row};
use crate::service::webhook::{ClassNews, Event};
use crate::store::account::{Account, LAPSES, account_key, lapse_key, lapses_before};
use crate::store::journal::StoreLost;
use crate::store::row::{Aggregate, Row};
use crate::store::shelf::{PAGE_MAX, Range};
use crate::tier::class::Classed;
use crate::tier::rules::Edition;
use std::time::Duration;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// How often an account is looked at at least, since the rules may have changed.
const LOOKED_AT_EVERY: Duration = Duration::from_hours(30 * 24);

/// How often a change is tried that other replicas overtake.
const TRIES: usize = 100;

/// How many pages of accounts one sweep looks at.
const PAGES_MAX: usize = 10;

/// What is to be done about an account.
#[derive(Debug, PartialEq, Eq)]
struct Look {
    /// The account afterwards.
    account: Account,
    /// What is told.
    news: Option<News>,
    /// When it is looked at next; never, where nothing of it lapses.
    next: Option<Timestamp>,
}

/// What is told of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// It will lapse.
    Lapses(Class, Timestamp),
    /// It has lapsed, and this is left.
    Lapsed(Class, Option<Class>),
}

/// What is to be done about `account`, whose sources come to this at `now`; it is looked at again by `latest`.
fn look(
    mut account: Account,
    classed: &Classed,
    edition: &Edition,
    (now, latest): (Timestamp, Timestamp),
) -> Option<Look> {
    if account.closed.is_some() {
        return None;
    }
    let (before, class) = (account.stands, classed.class);
    account.stands = class;
    let lapses = class.zip(classed.lapses);
    let news = match (before, lapses) {
        (Some(before), _) if class < Some(before) => Some(News::Lapsed(before, class)),
        (_, Some((class, at)))
            if at.minus(edition.notice) <= now && account.noticed != Some(at) =>
        {
            account.noticed = Some(at);
            Some(News::Lapses(class, at))
        }
        (_, _) => None,
    };
    let next = class.map(|_| {
        // Both may be due: one is told at a time.
        let due = lapses.map(|(_, at)| match account.noticed {
            Some(noticed) if noticed == at => at,
            Some(_) | None => at.minus(edition.notice).max(now),
        });
        due.unwrap_or(latest).min(latest)
    });
    Some(Look { account, news, next })
}

impl Service {
    /// Looks at an account whose class or sources changed, and when to look again.
    ///
    /// # Errors
    /// [`AccountError`].
    pub(super) async fn look_at_class(&self, id: &AccountId) -> Result<bool, AccountError> {
        let person = self.account_row(id).await?.person;
        for _ in 0..TRIES {
            // Whose it is first: whatever changed since makes the swap fail.
            let (mut holder, was) = self.holder(&person).await?;
            let account = self.account_row(id).await?;
            let now = self.now();
            let edition = self.tiers.book.at(now).ok_or(AccountError::NoRules)?;
            let classed = classed(edition, &account, &holder, now);
            let others = self.tiers.book.editions().map(|edition| edition.from);
            let latest = others.filter(|from| *from > now).min();
            // On a whole day, so that two who look come to one row.
            let whole =
                now.plus(LOOKED_AT_EVERY).as_millis().div_ceil(DAY_MS).saturating_mul(DAY_MS);
            let every = Timestamp::from_millis(whole);
            let latest = latest.unwrap_or(every).min(every);
            let looked = look(account.clone(), &classed, edition, (now, latest));
            let Some(Look { account: after, news, next }) = looked else { return Ok(false) };
            let next = next.map(|next| row(lapse_key(next, id), id)).transpose()?;
            if after == account {
                if let Some(next) = next {
                    self.store.shelve(next);
                }
                return Ok(false);
            }
            let mut beside = vec![row(account_key(id), &after)?];
            beside.extend(next);
            if let Some(news) = news {
                beside.extend(self.telling(Event::Class(&news.of(id, &after))));
            }
            if self.put_holder(&person, &mut holder, was, beside).await? {
                if let Some(News::Lapsed(..)) = news {
                    tracing::warn!(account = id.as_str(), "the class of an account has lapsed");
                }
                return Ok(news.is_some());
            }
        }
        Err(StoreLost.into())
    }

    /// Looks at the accounts whose time has come. How many were told of.
    ///
    /// # Errors
    /// [`StoreLost`]: the rest is found the next time.
    pub async fn sweep_classes(&self) -> Result<usize, StoreLost> {
        let (mut told, mut lost) = (0_usize, None);
        if self.tiers.book.at(self.now()).is_none() {
            return Ok(0);
        }
        for _ in 0..PAGES_MAX {
            let due = self.due_classes().await?;
            for row in &due {
                let id = row.key.name.rsplit('\n').next().map(AccountId::parse);
                let looked = match id {
                    Some(Ok(id)) => self.look_at_class(&id).await,
                    Some(Err(_)) | None => Ok(false),
                };
                // One that cannot be read is in no other's way.
                if let Err(AccountError::Store(error)) = looked {
                    lost = Some(error);
                    continue;
                }
                // Of what cannot be looked at nothing will ever be told.
                told = told.saturating_add(usize::from(looked.is_ok_and(|is_told| is_told)));
                self.store.unshelve(row.key.clone());
            }
            if due.len() < PAGE_MAX || lost.is_some() {
                break;
            }
            // What was looked at is gone before it would be seen again.
            self.store.flush().await?;
        }
        lost.map_or(Ok(told), Err)
    }

    async fn due_classes(&self) -> Result<Vec<Row>, StoreLost> {
        let (of, from) = (Aggregate::Accounts, LAPSES.to_owned());
        let before = lapses_before(self.now());
        self.store
            .range(Range { of, from, before, most: PAGE_MAX, last: false, whole: false })
            .await
    }
}

impl News {
    fn of<'a>(self, account: &'a AccountId, known: &Account) -> ClassNews<'a> {
        let (event, class, was, lapses) = match self {
            Self::Lapses(class, at) => ("class_lapses", Some(class), None, Some(at)),
            Self::Lapsed(was, class) => ("class_lapsed", class, Some(was), None),
        };
        ClassNews { event, account, opened: known.opened, class, was, lapses }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Fingerprint;
    use std::collections::{BTreeMap, BTreeSet};

    const DAY: Duration = Duration::from_hours(24);

    fn day(number: u32) -> Timestamp {
        Timestamp::from_millis(0).plus(DAY * number)
    }

    /// An account that stood so and of which so much was told, with a class until some day, is looked at on another: notice is ten days.
    fn check(
        (stands, noticed): (Option<Class>, Option<u32>),
        (class, lapses): (Option<Class>, Option<u32>),
        now: u32,
        expected: (Option<News>, Option<u32>),
    ) {
        let account = Account {
            person: Fingerprint { key: crate::domain::id::KeyId(1), digest: [0; 32] },
            phone: None,
            met: None,
            meant: vec![(day(0), Class::III)],
            opened: day(0),
            closed: None,
            flags: BTreeSet::new(),
            stands,
            noticed: noticed.map(day),
        };
        let classed = Classed {
            class,
            counted: BTreeMap::new(),
            left_out: Vec::new(),
            lapses: lapses.map(day),
        };
        let edition = Edition {
            from: day(0),
            basis: "".into(),
            sources: BTreeMap::new(),
            classes: BTreeMap::new(),
            daily: BTreeMap::new(),
            daily_excludes: BTreeSet::new(),
            accounts: 1,
            class_three: 1,
            persons_a_phone: 1,
            notice: DAY * 10,
        };
        let Look { account: after, news, next } =
            look(account.clone(), &classed, &edition, (day(now), day(now + 30))).unwrap();
        assert_eq!((news, next), (expected.0, expected.1.map(day)), "on day {now}");
        assert_eq!(after.stands, class);
        // Looked at again at once, by whoever it may be, nothing is told twice.
        let again = look(after, &classed, &edition, (day(now), day(now + 30))).unwrap();
        let is_other =
            matches!((news, again.news), (Some(News::Lapsed(..)), Some(News::Lapses(..))));
        assert!(again.news.is_none() || is_other, "{:?}", again.news);
        let closed = Account { closed: Some(day(1)), ..account };
        assert_eq!(look(closed, &classed, &edition, (day(now), day(now + 30))), None);
    }

    #[test]
    fn a_class_that_lapses_is_told_before_and_then() {
        let (two, three) = (Some(Class::II), Some(Class::III));
        // New; far from its end; ten days before it; told of; over.
        check((None, None), (three, Some(25)), 0, (None, Some(15)));
        check((three, None), (three, Some(99)), 0, (None, Some(30)));
        check((three, None), (three, Some(25)), 14, (None, Some(15)));
        let lapses = News::Lapses(Class::III, day(25));
        check((three, None), (three, Some(25)), 15, (Some(lapses), Some(25)));
        check((three, Some(25)), (three, Some(25)), 16, (None, Some(25)));
        check(
            (three, Some(25)),
            (two, Some(60)),
            25,
            (Some(News::Lapsed(Class::III, two)), Some(50)),
        );
        // What is left ends soon, too: that is told next.
        check(
            (three, Some(25)),
            (two, Some(26)),
            25,
            (Some(News::Lapsed(Class::III, two)), Some(25)),
        );
        check(
            (two, Some(25)),
            (two, Some(26)),
            25,
            (Some(News::Lapses(Class::II, day(26))), Some(26)),
        );
        check((three, Some(25)), (None, None), 25, (Some(News::Lapsed(Class::III, None)), None));
        // It was verified again, and ends later; it is borne for good.
        check((three, Some(25)), (three, Some(90)), 20, (None, Some(50)));
        check((two, None), (three, None), 20, (None, Some(50)));
        check((None, None), (None, None), 20, (None, None));
    }
}
