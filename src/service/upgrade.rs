//! An account comes to a higher class: the sources that it wants are asked, the cheapest first, until the class is reached or cannot be.
//!
//! Elements live in memory for as long as it runs. What was asked and what it cost is kept before and after each question, so that whoever
//! tells the elements again goes on where it stopped, on any replica.

mod known;

use crate::crypto::fingerprint::Fingerprinter;
use crate::domain::account::{AccountId, Class, Source};
use crate::domain::answer::Billable;
use crate::domain::clock::Timestamp;
use crate::domain::element::{Element, ElementSet, Elements};
use crate::domain::id::{Fingerprint, PaymentId};
use crate::domain::money::Fen;
use crate::domain::pan::{AccountKind, AccountLevel, Pan};
use crate::domain::payment::Scenario;
use crate::provider::Inquiry;
use crate::route::{self, Wanted};
use crate::service::accounts::{AccountError, row};
use crate::service::verify::{About, Put, Whose};
use crate::service::{Entry, Service};
use crate::store::account::{
    Account, Asked, Flag, Holder, Planned, Progress, Upgrade, holder_key, upgrade_key,
};
use crate::store::journal::StoreLost;
use crate::store::shelf::Swap;
use crate::tier::class::{Checked, Finding};
use crate::tier::plan::{Plan, Way, plan};
use rust_decimal::prelude::ToPrimitive as _;
use std::sync::Arc;
use std::time::Duration;

/// For how long whoever runs an upgrade has it to themselves after each question; another may go on with it after that.
const LEASE: Duration = Duration::from_mins(2);

/// The most cards of one upgrade.
pub const CARDS_MAX: usize = 10;

/// The most questions of one upgrade; it is over then.
const STEPS_MAX: usize = 50;

/// The most findings on one person: each counts for years, and none is taken away.
const FINDINGS_MAX: usize = 1_000;

/// Without a source that says who somebody is by name and document, nobody is verified.
const WHO: ElementSet = ElementSet::EMPTY.with(Element::Name).with(Element::IdNumber);

/// Whose account it is, in memory only.
#[derive(Clone, Debug, Default)]
pub struct Person {
    /// Name, document and phone.
    pub elements: Elements,
    /// Their cards.
    pub cards: Vec<Pan>,
}

/// A question that could be put, by whom and with what.
struct Question<'a> {
    entry: &'a Entry,
    inquiry: Inquiry,
    about: About,
}

/// Why an upgrade does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// The account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// As many run as may.
    #[error("as many upgrades run as may: say it again in a while")]
    Busy,
    /// It is under way.
    #[error("an upgrade of the account is under way: `GET` of this address tells how far it is")]
    Running,
    /// There is none.
    #[error("no upgrade of the account was begun")]
    None,
}

impl From<StoreLost> for UpgradeError {
    fn from(lost: StoreLost) -> Self {
        Self::Account(lost.into())
    }
}

impl Service {
    /// The account's upgrade, as far as it is.
    ///
    /// # Errors
    /// [`UpgradeError`].
    pub async fn upgrade_of(&self, id: &AccountId) -> Result<Upgrade, UpgradeError> {
        let kept = self.row_of::<Upgrade>(&upgrade_key(id)).await?;
        kept.map(|(upgrade, _)| upgrade).ok_or(UpgradeError::None)
    }

    /// Brings the account to `target` if sources bear it, and yields what came of it; `met` where the person was met by now. Whoever hangs
    /// up meanwhile loses nothing: it goes on.
    ///
    /// # Errors
    /// [`UpgradeError`]: nobody was asked.
    pub async fn upgrade(
        self: &Arc<Self>,
        id: &AccountId,
        target: Class,
        person: Person,
        met: bool,
    ) -> Result<Upgrade, UpgradeError> {
        let at = self.now();
        self.tiers.book.at(at).ok_or(AccountError::NoRules)?;
        let account = self.account_row(id).await?;
        if account.closed.is_some() {
            return Err(AccountError::Closed.into());
        }
        if self.holder_of(&person.elements).await? != account.person {
            return Err(AccountError::Another.into());
        }
        let seat = self.tiers.running.clone().try_acquire_owned();
        let seat = seat.map_err(|_full| UpgradeError::Busy)?;
        self.allowed(self.second_class_three(id, &account, target).await?)?;
        if met && account.met.is_none() {
            let noting = |_: &mut Holder, account: &mut Account| {
                account.met.get_or_insert(at);
                Ok(())
            };
            self.change_account(id, noting).await?;
        }
        let known = self.row_of::<Upgrade>(&upgrade_key(id)).await?;
        if known.as_ref().is_some_and(|(known, _)| known.is_run(at)) {
            return Err(UpgradeError::Running);
        }
        // What lapsed since is asked anew, also of whoever said so before.
        let is_over = |known: &Upgrade| known.progress == Progress::Reached;
        let lapsed = match &known {
            Some((known, _)) if is_over(known) => {
                self.account(id, None).await?.classed.class < Some(target)
            }
            Some(_) | None => false,
        };
        let (mut upgrade, was) = match known {
            Some((known, was)) if known.target == target && !lapsed => (known, Some(was)),
            // What was asked for another class is over; what it found is the person's.
            known => {
                let (steps, planned) = (Vec::new(), Vec::new());
                let progress = Progress::Running;
                let asking = false;
                let begun = Upgrade { target, progress, steps, asking, planned, at, lease: at };
                (begun, known.map(|(_, was)| was))
            }
        };
        (upgrade.progress, upgrade.asking) = (Progress::Running, false);
        let (service, id) = (self.clone(), id.clone());
        let run = tokio::spawn(async move {
            let mut run = Run { service: &service, id: &id, of: account.person, upgrade, was };
            if let Err(error) = run.through(&person).await {
                run.give_up().await;
                return Err(error);
            }
            service.look_at_class(&id).await?;
            drop(seat);
            Ok(run.upgrade)
        });
        run.await.unwrap_or(Err(StoreLost.into()))
    }

    /// What the rules have against it that the account be of class III.
    async fn second_class_three(
        &self,
        id: &AccountId,
        account: &Account,
        target: Class,
    ) -> Result<Option<Flag>, UpgradeError> {
        let holder = self.row_of::<Holder>(&holder_key(&account.person)).await?;
        Ok(holder.and_then(|(holder, _)| self.flagged(id, &holder, target)))
    }

    fn flagged(&self, id: &AccountId, holder: &Holder, target: Class) -> Option<Flag> {
        let edition = self.tiers.book.at(self.now())?;
        let others = holder.accounts.iter().filter(|(other, _)| *other != id);
        let threes = others.filter(|(_, class)| **class == Some(Class::III)).count();
        let most = usize::try_from(edition.class_three).unwrap_or(usize::MAX);
        (target == Class::III && threes >= most).then_some(Flag::SecondClassThree)
    }

    /// The account is meant to have `target` from now on, if the rules allow it.
    async fn reach(&self, id: &AccountId, target: Class) -> Result<(), UpgradeError> {
        let at = self.now();
        let meaning = |holder: &mut Holder, account: &mut Account| {
            let meant = holder.accounts.get(id).ok_or(AccountError::Closed)?;
            // What lapsed comes back by itself: nothing is lowered here.
            if meant.is_some_and(|meant| meant >= target) {
                return Ok(());
            }
            let flag = self.flagged(id, holder, target);
            self.allowed(flag)?;
            account.flags.extend(flag);
            account.meant.push((at, target));
            holder.accounts.insert(id.clone(), Some(target));
            Ok(())
        };
        Ok(self.change_account(id, meaning).await?)
    }

    /// Everything that could be asked of `person`: each provider, each set that it answers, each card.
    fn questions<'a>(&'a self, person: &Person) -> Vec<Question<'a>> {
        let mut questions = Vec::new();
        let without = std::iter::once(None);
        for card in without.chain(person.cards.iter().map(Some)) {
            let elements = Elements {
                pan: card.cloned(),
                account_level: card.map(|_| AccountLevel::One),
                ..person.elements.clone()
            };
            for entry in self.providers.iter().filter(|entry| entry.candidate.asks.says_who()) {
                for set in &entry.candidate.sets {
                    let uses_card = set.contains(Element::Pan);
                    if !set.is_superset(WHO) || uses_card != card.is_some() {
                        continue;
                    }
                    let elements = elements.restricted(*set);
                    if elements.set() != *set || !takes(entry, *set, &elements) {
                        continue;
                    }
                    questions.extend(self.question(entry, *set, elements));
                }
            }
        }
        questions
    }

    fn question<'a>(
        &self,
        entry: &'a Entry,
        set: ElementSet,
        elements: Elements,
    ) -> Option<Question<'a>> {
        let asked =
            |key: &Fingerprinter| Some(key.asked(entry.candidate.asks, key.tuple(&elements, set)?));
        let about = About {
            tuple: asked(&self.keys.current)?,
            others: self.keys.read_at(self.now()).filter_map(asked).collect(),
            anyone: Vec::new(),
            person: self.keys.current.person(&elements),
        };
        let id = PaymentId::new(self.now(), 0);
        Some(Question { entry, inquiry: Inquiry { id, elements, set }, about })
    }

    /// What a question would find, and what that is expected to cost.
    fn way(&self, question: &Question<'_>, at: Timestamp) -> Way {
        let Question { entry, inquiry, .. } = question;
        Way {
            finds: Finding {
                source: self.source(entry, inquiry, None),
                provider: entry.provider.name().clone(),
                inquiry: inquiry.id,
                elements: inquiry.set,
                account: checked(inquiry),
                at,
            },
            price: fen(entry, inquiry.set),
            latency: entry.watch.latency(),
            confirmed: self.tiers.confirmed(entry.provider.name()),
        }
    }

    /// What is kept of a question before its turn.
    fn planned(&self, Question { entry, inquiry, .. }: &Question<'_>) -> Planned {
        let (provider, cost) = (entry.provider.name().clone(), fen(entry, inquiry.set));
        Planned { provider, source: self.source(entry, inquiry, None), cost }
    }

    /// The source behind an answer: of a bank the card's issuer, else what the answer says, else what the provider's file does.
    fn source(&self, entry: &Entry, inquiry: &Inquiry, said: Option<&str>) -> Source {
        let source = Source::new(said.unwrap_or(&entry.candidate.source));
        let issuer = inquiry.elements.pan.as_ref().and_then(|pan| self.tiers.banks.get(pan.bin()));
        match (source.member(), issuer) {
            (None, Some(bank)) => Source::member_of(source.family(), bank),
            (Some(_), _) | (None, None) => source,
        }
    }
}

/// An upgrade under way.
struct Run<'a> {
    service: &'a Service,
    id: &'a AccountId,
    /// Whose account it is.
    of: Fingerprint,
    upgrade: Upgrade,
    /// What is kept of it.
    was: Option<String>,
}

impl Run<'_> {
    /// From beginning to end.
    async fn through(&mut self, person: &Person) -> Result<(), UpgradeError> {
        self.keep(LEASE).await?;
        self.on(person).await?;
        self.upgrade.planned.clear();
        self.keep(LEASE).await
    }

    /// Keeps how far it is, and has it for another while.
    async fn keep(&mut self, lease: Duration) -> Result<(), UpgradeError> {
        self.upgrade.lease = self.service.now().plus(lease);
        let row = row(upgrade_key(self.id), &self.upgrade)?;
        let (key, was, now) = (row.key.clone(), self.was.clone(), Some(row.value.clone()));
        let swap = Swap { key, was, new: Some(row), beside: Vec::new() };
        // Else another process took it over.
        if !self.service.store.swap(swap).await? {
            return Err(UpgradeError::Running);
        }
        self.was = now;
        Ok(())
    }

    /// Nobody runs it any more, as far as that can be kept now; else it is known once the lease is over.
    async fn give_up(&mut self) {
        self.upgrade.asking = false;
        if let Err(error @ UpgradeError::Account(_)) = self.keep(Duration::ZERO).await {
            tracing::warn!(%error, account = %self.id, "an upgrade ended, and that is not kept");
        }
    }

    /// Asks until the class is reached or cannot be.
    async fn on(&mut self, person: &Person) -> Result<(), UpgradeError> {
        let service = self.service;
        let questions = service.questions(person);
        service.adopt(&self.of, &questions).await?;
        // Who could not be asked now, or did not answer, is not asked again in this run.
        let mut withheld: Vec<usize> = Vec::new();
        let target = self.upgrade.target;
        loop {
            let at = service.now();
            let account = service.account_row(self.id).await?;
            let edition = service.tiers.book.at(at).ok_or(AccountError::NoRules)?;
            let holder = service.row_of::<Holder>(&holder_key(&self.of)).await?;
            let holder = holder.map(|(holder, _)| holder).unwrap_or_default();
            let met = account.met(at);
            let have = edition.classed(&holder.findings, met, target, at);
            let ways: Vec<(usize, Way)> = (0..)
                .zip(&questions)
                .filter(|(_, question)| !self.is_over(question))
                .map(|(place, question)| (place, service.way(question, at)))
                .collect();
            let planned = |withheld: &[usize]| {
                let open = ways.iter().filter(|(place, _)| !withheld.contains(place));
                let (places, ways): (Vec<usize>, Vec<Way>) = open.cloned().unzip();
                let second = service.tiers.second;
                (places, plan(edition, (&have, met), target, (&ways, second), at))
            };
            let missing = match planned(&withheld) {
                (_, Plan::Reached) => {
                    service.reach(self.id, target).await?;
                    self.upgrade.progress = Progress::Reached;
                    return Ok(());
                }
                (places, Plan::Ask(order))
                    if self.upgrade.steps.len() < STEPS_MAX
                        && holder.findings.len() < FINDINGS_MAX =>
                {
                    let mut plan = order.into_iter().filter_map(|at| {
                        let place = *places.get(at)?;
                        Some((place, questions.get(place)?))
                    });
                    let Some((place, question)) = plan.next() else { return Err(StoreLost.into()) };
                    self.upgrade.planned =
                        plan.map(|(_, question)| service.planned(question)).collect();
                    if !self.ask(question).await? {
                        withheld.push(place);
                    }
                    continue;
                }
                (_, Plan::Ask(order)) => u32::try_from(order.len()).unwrap_or(u32::MAX),
                (_, Plan::OutOfReach(missing)) => missing,
            };
            // Whether those that are withheld could tell.
            self.upgrade.progress = match planned(&[]).1 {
                Plan::Reached | Plan::Ask(_) => Progress::Stalled { missing },
                Plan::OutOfReach(missing) => Progress::OutOfReach { missing },
            };
            return Ok(());
        }
    }

    /// Whether this question was put and came to something that asking again would not change.
    fn is_over(&self, question: &Question<'_>) -> bool {
        self.upgrade.steps.iter().any(|step| {
            step.provider == *question.entry.provider.name()
                && step.tuple == question.about.tuple
                && step.answer.is_some_and(|answer| route::next(answer) != route::Next::Anybody)
        })
    }

    /// Puts one question: kept before, and after with what it came to. Says whether anything was learned.
    async fn ask(&mut self, question: &Question<'_>) -> Result<bool, UpgradeError> {
        let Question { entry, inquiry, about } = question;
        let service = self.service;
        let Ok(turn) = service.turn(entry, false) else { return Ok(false) };
        let place = self.upgrade.steps.len();
        self.upgrade.steps.push(Asked {
            provider: entry.provider.name().clone(),
            source: service.source(entry, inquiry, None),
            tuple: about.tuple,
            inquiry: None,
            answer: None,
            // It may be billed as soon as it may have been put.
            cost: fen(entry, inquiry.set),
            uncertain: true,
            at: service.now(),
        });
        self.upgrade.asking = true;
        self.keep(LEASE).await?;
        let whose = Whose {
            of: service.asked_about(&inquiry.elements),
            merchant: None,
            client: None,
            scenario: Scenario::Verify,
            observed: false,
        };
        let put = service.put(entry, turn, inquiry, &whose).await;
        self.upgrade.asking = false;
        let asked = match put {
            Put::Asked(asked) => asked,
            Put::Short(_) => {
                self.upgrade.steps.truncate(place);
                self.keep(LEASE).await?;
                return Ok(false);
            }
            Put::Lost => {
                self.upgrade.steps.truncate(place);
                return Err(StoreLost.into());
            }
        };
        let answer = asked.reply.answer;
        let learned = route::next(answer) != route::Next::Anybody;
        // Before the step says so: what is lost of it is asked again.
        if learned {
            service.found(&self.of, question, &asked).await?;
        }
        if let Some(step) = self.upgrade.steps.get_mut(place) {
            step.inquiry = Some(asked.id);
            step.answer = Some(answer);
            step.source = service.source(entry, inquiry, asked.reply.source.as_deref());
            step.cost = match asked.reply.billable {
                Billable::Yes | Billable::Uncertain => fen(entry, inquiry.set),
                Billable::No => Fen::default(),
            };
            step.uncertain = asked.reply.billable == Billable::Uncertain;
        }
        self.keep(LEASE).await?;
        Ok(learned)
    }
}

/// Whether a provider takes such a question.
fn takes(entry: &Entry, set: ElementSet, elements: &Elements) -> bool {
    let wanted = Wanted {
        asks: entry.candidate.asks,
        set,
        kind: elements.pan.as_ref().map(Pan::kind),
        id_type: elements.id_number.as_ref().map(crate::domain::identity::IdNumber::kind),
        bin: elements.pan.as_ref().map(Pan::bin),
        scenario: Scenario::Verify,
        side: None,
        road: None,
        draw: 0,
    };
    !route::plan(std::iter::once(&entry.candidate), &wanted).order.is_empty()
}

/// What bank account a question checks.
fn checked(inquiry: &Inquiry) -> Option<Checked> {
    let pan = inquiry.elements.pan.as_ref()?;
    let asks_level = inquiry.set.contains(Element::AccountLevel)
        && inquiry.elements.account_level == Some(AccountLevel::One);
    Some(match pan.kind() {
        AccountKind::Credit => Checked::Credit,
        AccountKind::Debit if asks_level => Checked::ClassOne,
        AccountKind::Debit | AccountKind::Passbook | AccountKind::Corporate => Checked::Other,
    })
}

/// What a question costs, in whole fen, rounded up.
fn fen(entry: &Entry, set: ElementSet) -> Fen {
    Fen::new(entry.prices.first(set).ceil().to_u64().unwrap_or(u64::MAX))
}
