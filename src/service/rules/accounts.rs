//! What rules see of payment accounts: of the one whose balance is to fund a payment, and how many whoever it is of has open. Looked up only
//! where a rule asks, and kept with the record.

use super::{Kept, Rulebook, Seen};
use crate::domain::account::Class;
use crate::domain::element::{Element, Elements};
use crate::domain::money::Fen;
use crate::policy::rules::{Attribute, Given, Value};
use crate::policy::{Effect, Reason};
use crate::service::Service;
use crate::service::judge::Draft;
use crate::store::account::{Flag, Funder, Holder, holder_key};
use crate::store::journal::StoreLost;
use crate::store::{Found, Record};
use tokio::time::{Instant, timeout_at};

/// What is read of the account that funds a payment.
const FUNDER: [Attribute; 6] = [
    Attribute::AccountClass,
    Attribute::AccountLeft,
    Attribute::AccountLimit,
    Attribute::SecondAccount,
    Attribute::SecondClassThree,
    Attribute::SharedPhone,
];

impl Rulebook {
    fn asks_for_funder(&self) -> bool {
        FUNDER.into_iter().any(|attribute| self.book.rules.reads(attribute))
    }

    fn asks_for_person(&self) -> bool {
        self.book.rules.reads(Attribute::PersonAccounts)
    }

    /// Whether a rule reads anything of accounts.
    pub(crate) fn asks_for_accounts(&self) -> bool {
        self.asks_for_funder() || self.asks_for_person()
    }

    /// What is kept of what rules saw of the account that funds a payment.
    pub(super) fn keep_funder(&self, seen: &Seen<'_>) -> Option<Found<Box<Funder>>> {
        let kept = seen.funder.kept()?;
        self.asks_for_funder().then(|| match kept {
            Found::Nothing => Found::Nothing,
            Found::This(funder) => Found::This(Box::new(funder.clone())),
        })
    }

    /// What is kept of how many accounts rules saw.
    pub(super) fn keep_accounts(&self, seen: &Seen<'_>) -> Option<Found<u32>> {
        seen.accounts.kept().filter(|_| self.asks_for_person())
    }
}

impl<T> Kept<T> {
    /// As it is kept; nothing where it is not known.
    fn kept(self) -> Option<Found<T>> {
        match self {
            Self::Known(None) => Some(Found::Nothing),
            Self::Known(Some(known)) => Some(Found::This(known)),
            Self::Forgotten => None,
        }
    }
}

impl<T> Kept<Box<T>> {
    /// The same, borrowed.
    pub(crate) fn as_deref(&self) -> Kept<&T> {
        match self {
            Self::Known(known) => Kept::Known(known.as_deref()),
            Self::Forgotten => Kept::Forgotten,
        }
    }
}

impl Service {
    /// Looks up what rules ask for of accounts; what is not there by `deadline` is not known.
    pub(crate) async fn see_accounts(
        &self,
        book: &Rulebook,
        draft: &mut Draft,
        (elements, deadline): (&Elements, Instant),
    ) {
        let funded = draft.scenario.moves_money() && book.asks_for_funder();
        if let Some(balance) = draft.balance.as_deref_mut().filter(|_| funded) {
            let seen = timeout_at(deadline, self.funder(balance, draft.scenario)).await;
            balance.seen = seen.unwrap_or(Kept::Forgotten);
        }
        if book.asks_for_person() {
            let accounts = timeout_at(deadline, self.accounts_open(elements)).await;
            draft.known.accounts =
                accounts.unwrap_or(Err(StoreLost)).map_or(Kept::Forgotten, Kept::Known);
        }
    }

    /// How many accounts whoever has the identity number has open; nothing where there is none.
    async fn accounts_open(&self, elements: &Elements) -> Result<Option<u32>, StoreLost> {
        let persons = self.persons(elements);
        for person in &persons {
            if let Some((holder, _)) = self.row_of::<Holder>(&holder_key(person)).await? {
                return Ok(Some(u32::try_from(holder.accounts.len()).unwrap_or(u32::MAX)));
            }
        }
        Ok(persons.first().map(|_| 0))
    }
}

impl Seen<'_> {
    /// Gives rules what is seen of accounts; what is not there is absent by itself.
    pub(super) fn give_accounts(&self, given: &mut Given<'_>) {
        match self.funder {
            Kept::Known(None) => (),
            Kept::Known(Some(Funder { class, left, flags })) => {
                let fen = |fen: Fen| i64::try_from(fen.get()).unwrap_or(i64::MAX);
                let flag = |flag| Value::Flag(flags.contains(&flag));
                for (attribute, value) in [
                    (Attribute::AccountClass, class.map(|class| Value::Text(Class::as_str(class)))),
                    (Attribute::AccountLeft, left.map(|(left, _)| Value::Number(fen(left)))),
                    (Attribute::AccountLimit, left.map(|(_, over)| Value::Text(over.as_str()))),
                    (Attribute::SecondAccount, Some(flag(Flag::SecondAccount))),
                    (Attribute::SecondClassThree, Some(flag(Flag::SecondClassThree))),
                    (Attribute::SharedPhone, Some(flag(Flag::SharedPhone))),
                ] {
                    given.set(attribute, value.unwrap_or_default());
                }
            }
            Kept::Forgotten => {
                for attribute in FUNDER {
                    given.set(attribute, Value::Unknown);
                }
            }
        }
        match self.accounts {
            Kept::Known(None) => (),
            Kept::Known(Some(open)) => {
                given.set(Attribute::PersonAccounts, Value::Number(open.into()));
            }
            Kept::Forgotten => given.set(Attribute::PersonAccounts, Value::Unknown),
        }
    }
}

/// What a record knows of the account that was to fund its payment.
pub(super) fn funder(record: &Record) -> Kept<&Funder> {
    let ruled = record.stakes.rules.as_deref();
    match ruled.and_then(|ruled| ruled.funder.as_ref()) {
        Some(Found::This(funder)) => Kept::Known(Some(funder)),
        // Nobody asked for it then.
        None if may_be_marked(record) => Kept::Forgotten,
        Some(Found::Nothing) | None => Kept::Known(None),
    }
}

/// Whether it may be that balance was to fund a payment: what was, and left, is counted, or there is a reason why not.
fn may_be_marked(record: &Record) -> bool {
    const WHY_NOT: [Reason; 3] = [Reason::AccountUnknown, Reason::AccountLimit, Reason::StoreLost];
    let counted = record.stakes.account.is_some();
    let withheld = record.effect == Effect::Refuse
        || WHY_NOT.into_iter().any(|reason| record.reasons.contains(&reason));
    record.scenario.moves_money() && record.row_of.is_none() && (counted || withheld)
}

/// What a record knows of how many accounts the person had open.
pub(super) fn of_person(record: &Record) -> Kept<u32> {
    let ruled = record.stakes.rules.as_deref();
    match ruled.and_then(|ruled| ruled.accounts) {
        Some(Found::This(open)) => Kept::Known(Some(open)),
        None if record.carried.contains(Element::IdNumber) => Kept::Forgotten,
        Some(Found::Nothing) | None => Kept::Known(None),
    }
}
