//! Payments that the core marks as funded by balance: each counts against what its account may pay, from before it leaves until it
//! certainly failed or came back. What is not known counts.
//!
//! It is counted before it is admitted, under the payment's id, and what is counted is found by a row of its own. So a crash in between
//! leaves something that counts and never left, which a sweep gives back; it never leaves a payment that left and does not count.

use crate::domain::account::{AccountId, Class, Purpose};
use crate::domain::element::Elements;
use crate::domain::id::{Fingerprint, PaymentId};
use crate::domain::keep::PAYMENTS_KEPT;
use crate::domain::money::Fen;
use crate::domain::outcome::{Decline, Outcome};
use crate::domain::payment::{Mode, Scenario};
use crate::message::marked::Marked;
use crate::policy::{self, Effect, Permit, Reason};
use crate::service::Service;
use crate::service::accounts::{AccountError, Shown, row};
use crate::service::judge::Draft;
use crate::service::managed::read;
use crate::service::rules::Kept;
use crate::store::Record;
use crate::store::account::{FUNDING, Funder, Funding, funding_key};
use crate::store::journal::StoreLost;
use crate::store::row::{Aggregate, Row, RowKey};
use crate::store::shelf::{PAGE_MAX, Range};
use crate::tier::ledger::{Over, Payment};
use crate::tier::usage::{Act, Became, Refused, Step, follow, step};
use std::time::Duration;

/// A payment that was counted so long ago has been admitted by now, or never will be: longer than any store is waited for.
const ADMITTED_WITHIN: Duration = Duration::from_hours(1);

/// What is told of the account that funds a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Funded {
    /// Which.
    pub account: AccountId,
    /// Its class.
    pub class: Option<Class>,
    /// What may still be paid for the like, and which limit that is; no limit bounds it where absent.
    pub left: Option<(Fen, Over)>,
    /// The limit that is in the way of this one.
    pub over: Option<Over>,
}

impl Funded {
    fn of(account: &AccountId, shown: &Shown, payment: Payment, over: Option<Over>) -> Self {
        let left = shown.least(payment.purpose, payment.strength);
        Self { account: account.clone(), class: shown.classed.class, left, over }
    }
}

/// What is known of the balance that is to fund a message.
#[derive(Debug)]
pub(crate) struct Balance {
    marked: Marked,
    /// Whose bank account it goes to, under every key; nobody where it does not say.
    payees: Vec<Fingerprint>,
    /// What rules may see of it, where they ask.
    pub(crate) seen: Kept<Box<Funder>>,
    /// What is told of it.
    pub(crate) told: Option<Funded>,
    /// Why it might have been withheld.
    pub(crate) remark: Option<Reason>,
    /// Whether it is counted.
    is_counted: bool,
}

impl Balance {
    /// What it is for, where the account is `holder`'s.
    fn purpose(&self, scenario: Scenario, holder: &Fingerprint) -> Purpose {
        let is_other = !self.payees.is_empty() && !self.payees.contains(holder);
        self.marked.purpose(scenario, is_other)
    }

    /// The account, where the payment is counted.
    pub(crate) fn counted(&self) -> Option<&AccountId> {
        Some(&self.marked.account).filter(|_| self.is_counted)
    }
}

/// Why balance does not fund a payment, and what is told of it.
type Unfunded = (Reason, Option<Funded>);

impl Service {
    /// What is to fund a payment with these elements.
    pub(crate) fn balance(&self, marked: &Marked, elements: &Elements) -> Balance {
        let (marked, payees) = (marked.clone(), self.persons(elements));
        let seen = Kept::Known(None);
        Balance { marked, payees, seen, told: None, remark: None, is_counted: false }
    }

    /// What rules may see of the account that is to fund a message: nothing where no such account is open.
    pub(crate) async fn funder(&self, balance: &Balance, scenario: Scenario) -> Kept<Box<Funder>> {
        let shown = match self.account(&balance.marked.account, None).await {
            Ok(shown) if shown.account.closed.is_none() => shown,
            Ok(_) | Err(AccountError::Unknown | AccountError::Closed) => return Kept::Known(None),
            // Whether there is one is not known.
            Err(
                AccountError::Id(_)
                | AccountError::Element(_)
                | AccountError::Nobody
                | AccountError::Another
                | AccountError::Later
                | AccountError::NoRules
                | AccountError::Flagged(_)
                | AccountError::Usage
                | AccountError::Refused(_)
                | AccountError::Over(..)
                | AccountError::Store(_),
            ) => return Kept::Forgotten,
        };
        let purpose = balance.purpose(scenario, &shown.account.person);
        let left = shown.least(purpose, balance.marked.strength);
        let (class, flags) = (shown.classed.class, shown.account.flags);
        Kept::Known(Some(Box::new(Funder { class, left, flags })))
    }

    /// Counts a message that may leave against what its account may pay, where balance is to fund it.
    ///
    /// # Errors
    /// The reason for which the permit is withdrawn; nothing is counted.
    pub(crate) async fn fund(&self, permit: Permit, draft: &mut Draft) -> Result<Permit, Reason> {
        let moves_money = draft.scenario.moves_money();
        let Some(balance) = draft.balance.as_deref().filter(|_| moves_money) else {
            return Ok(permit);
        };
        let counted = self.count_balance(balance, draft).await;
        let (mode, effect) = (draft.mode, self.tiers.over_limit);
        let Some(balance) = draft.balance.as_deref_mut() else { return Ok(permit) };
        match counted {
            Ok((told, remark)) => {
                (balance.told, balance.remark, balance.is_counted) = (Some(told), remark, true);
                Ok(permit)
            }
            Err((reason, told)) => {
                balance.told = told;
                let (permit, remark) = policy::fund(permit, mode, reason, effect)?;
                balance.remark = Some(remark);
                Ok(permit)
            }
        }
    }

    async fn count_balance(
        &self,
        balance: &Balance,
        draft: &Draft,
    ) -> Result<(Funded, Option<Reason>), Unfunded> {
        let unknown = |_: AccountError| (Reason::AccountUnknown, None);
        let account = &balance.marked.account;
        let amount = draft.amount.ok_or((Reason::AccountUnknown, None))?;
        let holder = self.account_row(account).await.map_err(unfunded)?.person;
        let payment = Payment {
            amount,
            purpose: balance.purpose(draft.scenario, &holder),
            strength: balance.marked.strength,
            at: draft.at,
        };
        let name = draft.payment.to_string();
        // In observe it leaves though its admission be lost, and then it is not known whether it was paid.
        let admitted = draft.mode == Mode::Observe;
        let beside =
            [funding(draft.payment, account, admitted).map_err(|lost| unfunded(lost.into()))?];
        let reserve = |known| step(known, Act::Reserve(payment));
        let told = |shown: &Shown, over| Funded::of(account, shown, payment, over);
        let (over, reason) = match self.change_usage(account, &name, reserve, &beside).await {
            Ok((_, shown)) => return Ok((told(&shown, None), None)),
            Err(AccountError::Over(over, _)) => (Some(over), Reason::AccountLimit),
            Err(AccountError::Closed) => (None, Reason::AccountUnknown),
            Err(error) => return Err(unfunded(error)),
        };
        // What leaves all the same is paid all the same.
        if draft.mode == Mode::Observe || self.tiers.over_limit != Effect::Refuse {
            let anyway = |known| reserve(known).map(whatever_the_limits_say);
            let counted = self.change_usage(account, &name, anyway, &beside).await;
            let (_, shown) = counted.map_err(unfunded)?;
            return Ok((told(&shown, over), Some(reason)));
        }
        if over.is_none() {
            return Err((reason, None));
        }
        let shown = self.account(account, None).await.map_err(unknown)?;
        Err((reason, Some(told(&shown, over))))
    }

    /// The payment is admitted: what is counted is a payment that may have left.
    pub(crate) fn funded_leaves(&self, draft: &Draft) {
        let counted = draft.balance.as_deref().and_then(Balance::counted);
        if let Some(row) = counted.and_then(|account| funding(draft.payment, account, true).ok()) {
            self.store.shelve(row);
        }
    }

    /// The payment is not admitted: it is counted no more. Where the store is lost, the sweep finds it.
    pub(crate) async fn unfund(&self, draft: &mut Draft) {
        let Some(balance) = draft.balance.as_deref_mut().filter(|it| it.is_counted) else { return };
        (balance.is_counted, balance.told) = (false, None);
        let (account, payment) = (&balance.marked.account, draft.payment);
        if self.funded_became(account, payment, Became::NotPaid).await.is_ok() {
            self.store.unshelve(funding_key(payment));
        }
    }

    /// Something is heard of a payment: what is counted for it follows.
    pub(crate) async fn follow_funded(&self, record: &Record) {
        let Some(account) = &record.stakes.account else { return };
        let known = self.store.record(record.payment);
        let Some(became) = became(known.as_ref().unwrap_or(record)) else { return };
        // Another replica may count by another word at once, or this be lost: the sweep looks once more, at what all of them heard.
        if let Ok(row) = funding(record.payment, account, true) {
            self.store.shelve(row);
        }
        if let Err(error) = self.funded_became(account, record.payment, became).await {
            tracing::error!(%error, payment.id = %record.payment, "what balance funded is not counted as it ended: it is tried again");
        }
    }

    async fn funded_became(
        &self,
        account: &AccountId,
        payment: PaymentId,
        became: Became,
    ) -> Result<(), AccountError> {
        let change =
            |known: Option<_>| known.map(|known| follow(known, became)).ok_or(Refused::NotReserved);
        match self.change_usage(account, &payment.to_string(), change, &[]).await {
            // It is not known any more, and what it took stays counted.
            Ok(_) | Err(AccountError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Looks how some of the payments ended that balance funds, from after `from`, the oldest first; from the start where it has been
    /// through. Finds what a crash left: what was counted and never left, and ends that were heard and not counted.
    ///
    /// # Errors
    /// [`StoreLost`]: the rest is found the next time.
    pub async fn sweep_funded(&self, from: &mut String) -> Result<usize, StoreLost> {
        let before = PaymentId::new(self.now().minus(ADMITTED_WITHIN), 0);
        let rows = self.fundings(from, before).await?;
        *from = match rows.last() {
            Some(last) if rows.len() >= PAGE_MAX => format!("{}\u{1}", last.key.name),
            Some(_) | None => String::new(),
        };
        let payments: Vec<(PaymentId, Funding)> = rows
            .iter()
            .filter_map(|row| Some((payment_of(&row.key)?, read::<Funding>(row).ok()?)))
            .collect();
        if !payments.is_empty() {
            let keys = payments.iter().map(|(payment, _)| RowKey::payment(*payment)).collect();
            self.store.fetch_intact(keys).await?;
        }
        let mut found = 0_usize;
        for (payment, Funding { account, admitted }) in payments {
            let came = || match self.store.record(payment) {
                // One that was refused after it was counted is kept as such.
                Some(record) if !record.left() => Some(Became::NotPaid),
                Some(record) => became(&record),
                None => Some(Became::NotPaid).filter(|_| !admitted),
            };
            if let Some(became) = came()
                && self.funded_became(&account, payment, became).await.is_ok()
                // What was heard meanwhile is looked at the next time.
                && came() == Some(became)
            {
                self.store.unshelve(funding_key(payment));
                found = found.saturating_add(1);
            }
        }
        Ok(found)
    }

    async fn fundings(&self, from: &str, before: PaymentId) -> Result<Vec<Row>, StoreLost> {
        let from = if from.is_empty() { FUNDING } else { from };
        let before = format!("{FUNDING}{before}");
        if *from >= *before {
            return Ok(Vec::new());
        }
        let (of, from) = (Aggregate::Accounts, from.to_owned());
        self.store
            .range(Range { of, from, before, most: PAGE_MAX, last: false, whole: false })
            .await
    }
}

fn funding(payment: PaymentId, account: &AccountId, admitted: bool) -> Result<Row, StoreLost> {
    let funding = Funding { account: account.clone(), admitted };
    let mut row = row(funding_key(payment), &funding)?;
    row.until = Some(payment.at().plus(PAYMENTS_KEPT));
    Ok(row)
}

fn payment_of(key: &RowKey) -> Option<PaymentId> {
    PaymentId::parse(key.name.strip_prefix(FUNDING)?)
}

fn unfunded(error: AccountError) -> Unfunded {
    let reason = match error {
        AccountError::Store(_) => Reason::StoreLost,
        AccountError::Over(..) => Reason::AccountLimit,
        AccountError::Id(_)
        | AccountError::Element(_)
        | AccountError::Nobody
        | AccountError::Unknown
        | AccountError::Closed
        | AccountError::Another
        | AccountError::Later
        | AccountError::NoRules
        | AccountError::Flagged(_)
        | AccountError::Usage
        | AccountError::Refused(_) => Reason::AccountUnknown,
    };
    (reason, None)
}

const fn whatever_the_limits_say(step: Step) -> Step {
    match step {
        Step::Take(usage) => Step::Count(usage),
        Step::Same(_) | Step::Count(_) | Step::Keep(_) | Step::GiveBack(..) => step,
    }
}

/// What became of a payment for its account; nothing that is certain where absent.
fn became(record: &Record) -> Option<Became> {
    if record.not_sent {
        return Some(Became::NotPaid);
    }
    match record.outcome.as_ref().map(|(outcome, ..)| *outcome)? {
        Outcome::Succeeded => Some(Became::Paid),
        // Of an order that the channel has seen before nobody knows how that ended.
        Outcome::Declined(Decline::Duplicate)
        | Outcome::Accepted
        | Outcome::Unknown
        | Outcome::Unmapped => None,
        // How much of it the core had undone, the core tells.
        Outcome::Reversed if record.is_undone() => None,
        Outcome::NoMatch(_) | Outcome::Declined(_) | Outcome::Reversed => Some(Became::NotPaid),
    }
}
