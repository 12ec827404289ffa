//! Onboarding of a merchant: its registration, then who stands for it, then their card; no further than it can still succeed.

use super::keys::{Named, line};
use super::statement::is_charged;
use super::telling::Told;
use super::{AskError, Page, Terms, unread};
use crate::crypto::fingerprint::Fingerprinter;
use crate::domain::element::{Element, ElementSet, Elements};
use crate::domain::id::{ClientName, Fingerprint, PaymentId};
use crate::domain::kind::Kind;
use crate::domain::money::Fen;
use crate::service::Service;
use crate::store::batch::Work;
use crate::store::journal::StoreLost;
use crate::store::onboarding::{Onboarding, Step, Worth};
use crate::store::row::Row;
use crate::store::shelf::{Range, Swap};
use crate::store::verification::State;
use std::fmt;
use std::sync::Arc;

/// The registration: `name` is who stands for the business by law.
const BUSINESS: ElementSet =
    ElementSet::EMPTY.with(Element::BusinessName).with(Element::CreditCode).with(Element::Name);
const IDENTITY: ElementSet = ElementSet::EMPTY.with(Element::Name).with(Element::IdNumber);
const CARD: ElementSet = IDENTITY.with(Element::Pan);
/// What a merchant is asked for.
pub const NEEDED: ElementSet = BUSINESS.union(CARD);

/// A merchant that a client wants to take on.
#[derive(Clone)]
pub struct Merchant {
    /// The client's name for this request.
    pub key: String,
    /// The elements: [`NEEDED`], and the phone where the card is verified with it.
    pub elements: Elements,
    /// Whether the client is told later how it ended, and does not wait.
    pub later: bool,
}

impl fmt::Debug for Merchant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Merchant({:?})", self.elements.set())
    }
}

impl Merchant {
    /// What is asked, in order: what most often stands against it costs nothing more after that.
    fn steps(&self) -> Vec<Step> {
        let phone = self.elements.set().intersection(ElementSet::EMPTY.with(Element::Phone));
        [
            (Kind::Business, BUSINESS),
            (Kind::Elements, IDENTITY),
            (Kind::Elements, CARD.union(phone)),
        ]
        .map(|(kind, set)| Step {
            kind,
            set,
            verification: None,
            answer: None,
            cost: Fen::default(),
        })
        .into()
    }
}

impl Named for Merchant {
    fn key(&self) -> &str {
        &self.key
    }

    fn content(&self, key: &Fingerprinter) -> Option<Fingerprint> {
        Some(key.text("a client's merchant", &line(key, &self.elements)?))
    }

    fn count(&self) -> u64 {
        u64::try_from(self.steps().len()).unwrap_or(u64::MAX)
    }
}

impl Service {
    /// Asks about a merchant step by step, as far as it can still succeed; it goes on if nobody waits any more, and `held` for as
    /// long. One that was left goes on with the step that nobody began.
    ///
    /// # Errors
    /// [`AskError`]: nothing was asked.
    pub async fn onboard_for(
        self: &Arc<Self>,
        terms: &Arc<Terms>,
        merchant: Merchant,
        held: impl Send + 'static,
    ) -> Result<Onboarding, AskError> {
        let steps = merchant.steps();
        if !steps.iter().all(|step| terms.takes(step.kind, step.set)) {
            return Err(AskError::Set);
        }
        let (service, terms) = (self.clone(), terms.clone());
        let working = tokio::spawn(async move {
            let (onboarding, mine) = service.onboarding_once(&terms, &merchant, steps).await?;
            if !mine {
                return Ok(onboarding);
            }
            let (begun, later) = (onboarding.clone(), merchant.later);
            let walking = tokio::spawn(async move {
                let done = service.walk(&terms, &merchant, onboarding).await;
                drop(held);
                done
            });
            if later {
                return Ok(begun);
            }
            Ok(walking.await.unwrap_or(Err(StoreLost))?)
        });
        // Only a panic ends it before its time.
        working.await.unwrap_or(Err(AskError::Store(StoreLost)))
    }

    /// What stands under the client's key, and whether it is this process's to work at.
    async fn onboarding_once(
        self: &Arc<Self>,
        terms: &Arc<Terms>,
        merchant: &Merchant,
        steps: Vec<Step>,
    ) -> Result<(Onboarding, bool), AskError> {
        let (now, mut known) = (self.now(), self.named_before(terms, merchant).await?);
        let work = self.lease(terms);
        if known.is_none() {
            self.count_for(terms, merchant.count()).await?;
            let (id, client) = (self.new_id(now), terms.name.clone());
            let later = merchant.later;
            let new = Onboarding { id, client, at: now, steps, work, later };
            let row = new.row().ok_or(StoreLost)?;
            if self.claim_key(terms, merchant, id, row).await? {
                return Ok((new, true));
            }
            // Another came first.
            known = self.named_before(terms, merchant).await?;
        }
        let id = known.ok_or(StoreLost)?;
        loop {
            let was = self.onboarding_of(&terms.name, id).await?.ok_or(StoreLost)?;
            // Who does not wait is told, whoever works at it.
            let wished = Onboarding { later: was.later || merchant.later, ..was.clone() };
            let (next, mine) = match was.work {
                Work::By { until, .. } if until <= now => (Onboarding { work, ..wished }, true),
                Work::By { .. } => (wished, false),
                Work::Ended => return Ok((was, false)),
            };
            if next == was || self.swap_onboarding(&was, &next, Vec::new()).await? {
                return Ok((next, mine));
            }
            // It went on meanwhile.
        }
    }

    /// Has it to itself for as long as a step takes.
    fn lease(&self, terms: &Terms) -> Work {
        Work::By { whom: self.new_id(self.now()), until: self.concluded_by(terms, Kind::Elements) }
    }

    /// Goes from step to step until one is not confirmed.
    async fn walk(
        self: &Arc<Self>,
        terms: &Terms,
        merchant: &Merchant,
        mut onboarding: Onboarding,
    ) -> Result<Onboarding, StoreLost> {
        for place in 0..onboarding.steps.len() {
            let Some(step) = onboarding.steps.get(place).cloned() else { break };
            let done = match (step.answer, step.verification) {
                (Some(answer), _) if Worth::of(answer) == Worth::Confirmed => continue,
                (Some(_), _) => break,
                // Begun by who left it: what it came to is known, or it may have been asked.
                (None, Some(id)) => {
                    self.verification_of(&terms.name, id).await?.ok_or(StoreLost)?
                }
                (None, None) => {
                    let new = self.new_verification(terms, (step.kind, step.set));
                    let begun = with(
                        &onboarding,
                        place,
                        Step { verification: Some(new.id), ..step.clone() },
                    );
                    let begun = Onboarding { work: self.lease(terms), ..begun };
                    let beside = new.row().ok_or(StoreLost)?;
                    onboarding = self.go_on(terms, &onboarding, begun, Some(&beside)).await?;
                    let elements = merchant.elements.restricted(step.set);
                    self.conclude_for(terms, &elements, new).await?
                }
            };
            let State::Done(came) = done.state else { break };
            let is_charged = came.told && is_charged(came.answer);
            let cost = terms.prices_of(step.kind).cost(step.set, u64::from(is_charged));
            let step =
                Step { verification: Some(done.id), answer: Some(came.answer), cost, ..step };
            let known = with(&onboarding, place, step);
            onboarding = self.go_on(terms, &onboarding, known, None).await?;
            if Worth::of(came.answer) != Worth::Confirmed {
                break;
            }
        }
        let ended = Onboarding { work: Work::Ended, ..onboarding.clone() };
        self.go_on(terms, &onboarding, ended, None).await
    }

    /// Goes from `was` to `new`; with the end is kept by what the client is told of it.
    async fn go_on(
        &self,
        terms: &Terms,
        was: &Onboarding,
        new: Onboarding,
        beside: Option<&Row>,
    ) -> Result<Onboarding, StoreLost> {
        // Who came again meanwhile may not wait: nothing else changes what is worked at.
        let wished = |it: &Onboarding| Onboarding { later: true, ..it.clone() };
        let then = (wished(was), wished(&new));
        for (was, new) in [(was.clone(), new), then] {
            let told = Told::Onboarding(new.stand(self.now()));
            let is_told = new.later && new.work == Work::Ended;
            let told = is_told.then(|| self.telling_client(terms, new.id, told)).flatten();
            let beside = beside.into_iter().cloned().chain(told).collect();
            if self.swap_onboarding(&was, &new, beside).await? {
                return Ok(new);
            }
        }
        Err(StoreLost)
    }

    async fn swap_onboarding(
        &self,
        was: &Onboarding,
        new: &Onboarding,
        beside: Vec<Row>,
    ) -> Result<bool, StoreLost> {
        let until = match (new.work, was.work) {
            (Work::By { until, .. }, _) | (Work::Ended, Work::By { until, .. }) => until,
            (Work::Ended, Work::Ended) => self.now(),
        };
        let (was, new) = (was.row().ok_or(StoreLost)?, new.row().ok_or(StoreLost)?);
        let swap = Swap { beside, ..Swap::replace(was.value, new) };
        self.swap_until(swap, until).await
    }

    /// The last of a client's onboardings, the newest first.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn onboardings_of(
        &self,
        client: &ClientName,
        before: Option<PaymentId>,
        most: usize,
    ) -> Result<Page<Onboarding>, StoreLost> {
        let rows = self.store.range(Onboarding::last(client, before, most)).await?;
        Ok(Page::of(&rows, most, Onboarding::read))
    }

    /// A client's own onboarding.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn onboarding_of(
        &self,
        client: &ClientName,
        id: PaymentId,
    ) -> Result<Option<Onboarding>, StoreLost> {
        let rows = self.store.range(Range::one(&Onboarding::key(client, id))).await?;
        rows.first().map(|row| Onboarding::read(row).map_err(|error| unread(&error))).transpose()
    }
}

/// The same with another step in a place.
fn with(onboarding: &Onboarding, place: usize, step: Step) -> Onboarding {
    let mut other = onboarding.clone();
    if let Some(old) = other.steps.get_mut(place) {
        *old = step;
    }
    other
}
