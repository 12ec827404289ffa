//! Payment accounts: opened, closed, shown, and paid from. Whose they are decides: limits are of the person, over all their accounts.

mod error;
mod tiers;

use crate::crypto::fingerprint::Fingerprinter;
use crate::domain::account::{AccountId, Class, Purpose, Strength};
use crate::domain::clock::Timestamp;
use crate::domain::element::Elements;
use crate::domain::id::Fingerprint;
use crate::domain::keep::PAYMENTS_KEPT;
use crate::domain::money::Fen;
use crate::policy::Effect;
use crate::service::Service;
use crate::service::managed::read;
use crate::store::account::{
    Account, Flag, Holder, Phone, account_key, holder_key, phone_key, usage_key,
};
use crate::store::journal::StoreLost;
use crate::store::row::{Row, RowKey};
use crate::store::shelf::{Range, Swap};
use crate::tier::class::Classed;
use crate::tier::ledger::{Over, Payment};
use crate::tier::rules::Edition;
use crate::tier::usage::{Act, Refused, Step, Usage, step};
pub use error::AccountError;
use serde::Serialize;
use serde::de::DeserializeOwned;
pub use tiers::Tiers;

/// How often a change is tried that other replicas overtake; this one's own wait for each other.
const TRIES: usize = 100;

/// The longest name of a use of balance.
const USAGE_NAME_MAX: usize = 64;

/// The most open accounts of one person, whatever policy lets pass.
const ACCOUNTS_MAX: usize = 100;

/// The most persons that are noted for one phone number.
const PERSONS_MAX: usize = 1_000;

/// An account as it is at some time.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The account.
    pub account: Account,
    /// Whose it is.
    pub holder: Holder,
    /// The rules by which it is told.
    pub edition: Edition,
    /// What its sources come to.
    pub classed: Classed,
    /// When.
    pub at: Timestamp,
}

impl Shown {
    /// What may still be paid for such a purpose.
    ///
    /// # Errors
    /// Why nothing may be.
    pub fn left(&self, purpose: Purpose, strength: Strength) -> Result<Option<(Fen, Over)>, Over> {
        self.holder.ledger.left(&self.edition, self.classed.class, (purpose, strength), self.at)
    }

    /// As [`Self::left`]; nothing is left where nothing may be paid so.
    pub(super) fn least(&self, purpose: Purpose, strength: Strength) -> Option<(Fen, Over)> {
        self.left(purpose, strength).unwrap_or_else(|over| Some((Fen::default(), over)))
    }
}

impl Service {
    /// Opens an account of whoever has the `id_number`. It has no class until sources bear one.
    ///
    /// # Errors
    /// [`AccountError`]: it is not open.
    pub async fn open_account(
        &self,
        id: &AccountId,
        elements: &Elements,
        met: bool,
    ) -> Result<Shown, AccountError> {
        let at = self.now();
        let edition = self.tiers.book.at(at).ok_or(AccountError::NoRules)?;
        let person = self.holder_of(elements).await?;
        let phone = elements.phone.as_ref().map(|phone| self.keys.current.phone(phone));
        let account = Account {
            person,
            phone,
            met: met.then_some(at),
            meant: Vec::new(),
            opened: at,
            closed: None,
            flags: [].into(),
            stands: None,
            noticed: None,
        };
        // The name is taken first, so that no two persons have it.
        let claim = row(account_key(id), &account)?;
        let claimed = self.store.swap(Swap::claim(claim.clone())).await?;
        if !claimed {
            let Some((known, _)) = self.row_of::<Account>(&account_key(id)).await? else {
                return Err(StoreLost.into());
            };
            if known.person != person {
                return Err(AccountError::Another);
            }
            if known.closed.is_some() {
                return Err(AccountError::Closed);
            }
        }
        let opened = self.enter(id, (person, account.phone), edition).await;
        // Where it is not known whether it was entered, it stays claimed: said again, it goes on.
        if claimed && matches!(opened, Err(AccountError::Flagged(_))) {
            let was = Some(claim.value);
            self.store.swap(Swap { key: claim.key, was, new: None, beside: Vec::new() }).await?;
            self.leave_phone(id, (person, account.phone)).await?;
        }
        opened?;
        self.account(id, None).await
    }

    /// Enters an account with whose it is, and with their phone, if the rules allow it.
    async fn enter(
        &self,
        id: &AccountId,
        (person, phone): (Fingerprint, Option<Fingerprint>),
        edition: &Edition,
    ) -> Result<(), AccountError> {
        let mut shared = None;
        if let Some(phone) = phone {
            let most = usize::try_from(edition.persons_a_phone).unwrap_or(usize::MAX);
            let entering = self.change_row(phone_key(&phone), |known: &mut Phone| {
                let others = known.persons.keys().filter(|known| **known != person).count();
                let flag = (others >= most).then_some(Flag::SharedPhone);
                self.allowed(flag)?;
                if others < PERSONS_MAX {
                    known.persons.entry(person).or_default().insert(id.clone());
                }
                Ok(flag)
            });
            shared = entering.await?;
        }
        let most = usize::try_from(edition.accounts).unwrap_or(usize::MAX);
        self.change_account(id, |holder, account| {
            if holder.accounts.contains_key(id) {
                return Ok(());
            }
            let flag = (holder.accounts.len() >= most).then_some(Flag::SecondAccount);
            self.allowed(flag)?;
            if holder.accounts.len() >= ACCOUNTS_MAX {
                return Err(AccountError::Flagged(Flag::SecondAccount));
            }
            account.flags.extend(flag.into_iter().chain(shared));
            holder.accounts.insert(id.clone(), account.meant(self.now()));
            Ok(())
        })
        .await
    }

    /// A phone number is not told for an account any more.
    async fn leave_phone(
        &self,
        id: &AccountId,
        (person, phone): (Fingerprint, Option<Fingerprint>),
    ) -> Result<(), AccountError> {
        let Some(phone) = phone else { return Ok(()) };
        self.change_row(phone_key(&phone), |known: &mut Phone| {
            if let Some(accounts) = known.persons.get_mut(&person) {
                accounts.remove(id);
            }
            known.persons.retain(|_, accounts| !accounts.is_empty());
            Ok(())
        })
        .await
    }

    /// Whether policy lets pass what the rules have something against.
    pub(super) fn allowed(&self, flag: Option<Flag>) -> Result<(), AccountError> {
        match flag.map(|flag| (flag, self.tiers.flagged.get(&flag).unwrap_or(&Effect::Refuse))) {
            Some((flag, Effect::Refuse)) => Err(AccountError::Flagged(flag)),
            Some((_, Effect::Annotate | Effect::Permit)) | None => Ok(()),
        }
    }

    /// Closes an account. What was paid from it still counts for whose it was.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn close_account(&self, id: &AccountId) -> Result<(), AccountError> {
        let now = self.now();
        let whose = self.change_account(id, |holder, account| {
            holder.accounts.remove(id);
            account.closed.get_or_insert(now);
            Ok((account.person, account.phone))
        });
        self.leave_phone(id, whose.await?).await
    }

    /// An account as it is now, or as it was at `on` by the rules of that day; what was paid is told as of now.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn account(
        &self,
        id: &AccountId,
        on: Option<Timestamp>,
    ) -> Result<Shown, AccountError> {
        let now = self.now();
        let at = on.unwrap_or(now);
        if at > now {
            return Err(AccountError::Later);
        }
        let account = self.account_row(id).await?;
        let holder = self.row_of::<Holder>(&holder_key(&account.person)).await?;
        let edition = self.tiers.book.at(at).ok_or(AccountError::NoRules)?.clone();
        let holder = holder.map(|(holder, _)| holder).unwrap_or_default();
        let classed = classed(&edition, &account, &holder, at);
        Ok(Shown { account, holder, edition, classed, at })
    }

    /// Takes what the core says of a use of balance, once however often it is said, and yields the use and the account after it.
    ///
    /// # Errors
    /// [`AccountError`]: nothing changed, but for [`StoreLost`], after which it may have.
    pub async fn use_balance(
        &self,
        id: &AccountId,
        name: &str,
        act: Act,
    ) -> Result<(Usage, Shown), AccountError> {
        if !is_usage_name(name) {
            return Err(AccountError::Usage);
        }
        self.change_usage(id, name, |known| step(known, act), &[]).await
    }

    /// Changes a use of balance and what is counted for whose it is, in one commit with what is kept `beside`.
    pub(super) async fn change_usage(
        &self,
        id: &AccountId,
        name: &str,
        change: impl Fn(Option<Usage>) -> Result<Step, Refused> + Send + Sync,
        beside: &[Row],
    ) -> Result<(Usage, Shown), AccountError> {
        let person = self.account_row(id).await?.person;
        let key = usage_key(id, name);
        let lane = match self.tiers.lane(&person) {
            Some(lane) => Some(lane.lock().await),
            None => None,
        };
        for _ in 0..TRIES {
            // Whose it is first: whatever changed since makes the swap fail.
            let (mut holder, was) = self.holder(&person).await?;
            let account = self.account_row(id).await?;
            let known = self.row_of::<Usage>(&key).await?.map(|(usage, _)| usage);
            let at = self.now();
            let edition = self.tiers.book.at(at).ok_or(AccountError::NoRules)?;
            let classed = classed(edition, &account, &holder, at);
            let usage = match change(known)? {
                Step::Same(usage) => {
                    let edition = edition.clone();
                    return Ok((usage, Shown { account, holder, edition, classed, at }));
                }
                Step::Take(_) if !holder.accounts.contains_key(id) => {
                    return Err(AccountError::Closed);
                }
                Step::Take(usage) => {
                    let payment = usage.payment(usage.amount);
                    let taken = holder.ledger.take(edition, classed.class, payment);
                    taken.map_err(|over| over_by(over, &holder, (edition, &classed), payment))?;
                    usage
                }
                Step::Count(usage) => {
                    holder.ledger.count(usage.payment(usage.amount));
                    usage
                }
                Step::Keep(usage) => usage,
                Step::GiveBack(usage, fen) => {
                    holder.ledger.give_back(usage.payment(fen));
                    usage
                }
            };
            let mut used = row(key.clone(), &usage)?;
            used.until = Some(usage.at.plus(PAYMENTS_KEPT));
            let beside = std::iter::once(used).chain(beside.iter().cloned()).collect();
            if self.put_holder(&person, &mut holder, was, beside).await? {
                drop(lane);
                let edition = edition.clone();
                return Ok((usage, Shown { account, holder, edition, classed, at }));
            }
        }
        Err(StoreLost.into())
    }

    /// By what is found what is kept of whoever has the identity number: under whichever key it is.
    pub(super) async fn holder_of(&self, elements: &Elements) -> Result<Fingerprint, AccountError> {
        let persons = self.persons(elements);
        let current = *persons.first().ok_or(AccountError::Nobody)?;
        for person in persons {
            if self.row_of::<Holder>(&holder_key(&person)).await?.is_some() {
                return Ok(person);
            }
        }
        Ok(current)
    }

    /// By what whoever has the identity number is known, under every key, the current one first; nobody where there is none.
    pub(super) fn persons(&self, elements: &Elements) -> Vec<Fingerprint> {
        let of =
            |key: &Fingerprinter| elements.id_number.as_ref().and_then(|_| key.person(elements));
        let others = self.keys.read_at(self.now()).filter_map(of);
        of(&self.keys.current).into_iter().chain(others).collect()
    }

    pub(super) async fn holder(
        &self,
        person: &Fingerprint,
    ) -> Result<(Holder, Option<String>), StoreLost> {
        let kept = self.row_of::<Holder>(&holder_key(person)).await?;
        Ok(kept.map_or_else(Default::default, |(holder, was)| (holder, Some(was))))
    }

    /// Puts a holder in the place of what was, with what is kept beside; says whether it was as is told.
    pub(super) async fn put_holder(
        &self,
        person: &Fingerprint,
        holder: &mut Holder,
        was: Option<String>,
        beside: Vec<Row>,
    ) -> Result<bool, StoreLost> {
        holder.changes = holder.changes.wrapping_add(1);
        let new = row(holder_key(person), holder)?;
        self.store.swap(Swap { key: new.key.clone(), was, new: Some(new), beside }).await
    }

    /// An account, if there is one.
    pub(super) async fn account_row(&self, id: &AccountId) -> Result<Account, AccountError> {
        let kept = self.row_of::<Account>(&account_key(id)).await?;
        kept.map(|(account, _)| account).ok_or(AccountError::Unknown)
    }

    /// Changes a holder, whoever else does.
    pub(super) async fn change_holder(
        &self,
        person: &Fingerprint,
        mut change: impl FnMut(&mut Holder),
    ) -> Result<(), AccountError> {
        for _ in 0..TRIES {
            let (mut holder, was) = self.holder(person).await?;
            change(&mut holder);
            if self.put_holder(person, &mut holder, was, Vec::new()).await? {
                return Ok(());
            }
        }
        Err(StoreLost.into())
    }

    /// Changes an account and whose it is, in one commit, whoever else does.
    pub(super) async fn change_account<R>(
        &self,
        id: &AccountId,
        mut change: impl FnMut(&mut Holder, &mut Account) -> Result<R, AccountError>,
    ) -> Result<R, AccountError> {
        let person = self.account_row(id).await?.person;
        for _ in 0..TRIES {
            // Whose it is first: whatever changed since makes the swap fail.
            let (mut holder, was) = self.holder(&person).await?;
            let mut account = self.account_row(id).await?;
            let came_to = change(&mut holder, &mut account)?;
            let beside = vec![row(account_key(id), &account)?];
            if self.put_holder(&person, &mut holder, was, beside).await? {
                return Ok(came_to);
            }
        }
        Err(StoreLost.into())
    }

    async fn change_row<T, R>(
        &self,
        key: RowKey,
        change: impl FnMut(&mut T) -> Result<R, AccountError>,
    ) -> Result<R, AccountError>
    where
        T: Serialize + DeserializeOwned + Default,
    {
        let changed = crate::service::managed::change(&*self.store, key, change).await;
        changed.map(|(_, came_to)| came_to)
    }

    /// What is kept under `key`, and its row's value.
    pub(super) async fn row_of<T: DeserializeOwned>(
        &self,
        key: &RowKey,
    ) -> Result<Option<(T, String)>, StoreLost> {
        let rows = self.store.range(Range::one(key)).await?;
        rows.into_iter().next().map(|row| Ok((read(&row)?, row.value))).transpose()
    }
}

/// What sources come to for `account` at `at`; nothing where no class is meant.
pub(super) fn classed(
    edition: &Edition,
    account: &Account,
    holder: &Holder,
    at: Timestamp,
) -> Classed {
    let met = account.met(at);
    match account.meant(at) {
        Some(meant) => edition.classed(&holder.findings, met, meant, at),
        None => Classed {
            class: None,
            lapses: None,
            ..edition.classed(&holder.findings, met, Class::I, at)
        },
    }
}

pub(super) fn row<T: Serialize>(key: RowKey, value: &T) -> Result<Row, StoreLost> {
    Row::new(key, None, value).ok_or(StoreLost)
}

fn over_by(
    over: Over,
    holder: &Holder,
    (edition, classed): (&Edition, &Classed),
    payment: Payment,
) -> AccountError {
    let of = (payment.purpose, payment.strength);
    let left = holder.ledger.left(edition, classed.class, of, payment.at).ok().flatten();
    AccountError::Over(over, left.map(|(left, _)| left))
}

fn is_usage_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (1..=USAGE_NAME_MAX).contains(&name.len()) && name.bytes().all(plain)
}
