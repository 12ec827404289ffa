//! Asking for a client: what is known of exactly these elements first, then providers, as for a payment.

use super::keys::Named as _;
use super::telling::Told;
use super::{AskError, Asked, Terms, Verified, Wanted};
use crate::crypto::fingerprint::Fingerprinter;
use crate::domain::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::domain::element::{ElementSet, Elements};
use crate::domain::id::PaymentId;
use crate::domain::kind::Kind;
use crate::route::attempts::Asking;
use crate::service::verify::{About, Gathered, Question};
use crate::service::{Entry, Service};
use crate::store::journal::StoreLost;
use crate::store::reserve::Attempts;
use crate::store::row::Row;
use crate::store::shelf::Swap;
use crate::store::verification::{Came, State, Verification};
use crate::store::{Evidence, Witness};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long after the last that may be answered may be written what it came to.
const WRITTEN_WITHIN: Duration = Duration::from_secs(30);

impl Service {
    /// As [`Self::verify_whole`]; and what stands under the key.
    ///
    /// # Errors
    /// [`AskError`]: nothing was asked.
    pub async fn verify_for(
        self: &Arc<Self>,
        terms: &Arc<Terms>,
        wanted: Wanted,
        held: impl Send + 'static,
    ) -> Result<Asked, AskError> {
        let verified = self.verify_whole(terms, wanted, held).await?;
        Ok((verified.verification, verified.before))
    }

    /// Has `wanted` verified for the client on `terms`, unless it did so before under the same key. It goes on if nobody waits any
    /// more, and `held` for as long: what is paid for is kept.
    ///
    /// # Errors
    /// [`AskError`]: nothing was asked.
    pub async fn verify_whole(
        self: &Arc<Self>,
        terms: &Arc<Terms>,
        wanted: Wanted,
        held: impl Send + 'static,
    ) -> Result<Verified, AskError> {
        if !terms.take(&wanted) {
            return Err(AskError::Set);
        }
        let (service, terms) = (self.clone(), terms.clone());
        let asking = tokio::spawn(async move {
            let (new, before) = service.begin(&terms, &wanted).await?;
            if before {
                return Ok(service.told_before(&terms, new).await?);
            }
            let (begun, later) = (new.clone(), wanted.later);
            let done = tokio::spawn(async move {
                let done = service.conclude_wanted(&terms, &wanted, new).await;
                drop(held);
                done
            });
            if later {
                return Ok(Verified { verification: begun, before: false, read: None, then: None });
            }
            Ok(done.await.unwrap_or(Err(StoreLost))?)
        });
        // Only a panic ends it before its time.
        asking.await.unwrap_or(Err(AskError::Store(StoreLost)))
    }

    /// Keeps that it is going to be asked, durably; or finds what the key stands for already.
    async fn begin(
        self: &Arc<Self>,
        terms: &Arc<Terms>,
        wanted: &Wanted,
    ) -> Result<Asked, AskError> {
        let mut known = self.named_before(terms, wanted).await?;
        if known.is_none() {
            self.count_for(terms, wanted.count()).await?;
            let new = self.new_verification(terms, (wanted.kind, wanted.elements.set()));
            let new = Verification { later: wanted.later, ..new };
            let row = new.row().ok_or(StoreLost)?;
            if self.claim_key(terms, wanted, new.id, row).await? {
                return Ok((new, false));
            }
            // Another came first.
            known = self.named_before(terms, wanted).await?;
        }
        let id = known.ok_or(StoreLost)?;
        Ok((self.found_again(terms, id, wanted.later).await?, true))
    }

    /// What stands under a key already. Who does not wait while it is being asked is told by whoever asks.
    async fn found_again(
        &self,
        terms: &Terms,
        id: PaymentId,
        later: bool,
    ) -> Result<Verification, StoreLost> {
        let found = self.verification_of(&terms.name, id).await?.ok_or(StoreLost)?;
        let is_told = match found.state {
            State::Asking { .. } => found.later || self.is_uncertain(&found),
            State::Done(_) => true,
        };
        if !later || is_told {
            return Ok(found);
        }
        let wished = Verification { later, ..found.clone() };
        let (was, new) = (found.row().ok_or(StoreLost)?.value, wished.row().ok_or(StoreLost)?);
        if self.store.swap(Swap::replace(was, new)).await? {
            return Ok(wished);
        }
        // It is done by now, or another wished the same.
        self.verification_of(&terms.name, id).await?.ok_or(StoreLost)
    }

    /// One that is going to be asked now.
    pub(super) fn new_verification(
        &self,
        terms: &Terms,
        (kind, set): (Kind, ElementSet),
    ) -> Verification {
        let (at, state) = (self.now(), State::Asking { until: self.concluded_by(terms, kind) });
        let (id, client) = (self.new_id(at), terms.name.clone());
        Verification { id, client, at, kind, set, state, line: None, later: false }
    }

    /// When is written what something comes to that is asked now: after that nobody is there any more who asks.
    pub(super) fn concluded_by(&self, terms: &Terms, kind: Kind) -> Timestamp {
        let answered = self.now().plus(self.answered_within(terms.scenario, kind));
        answered.plus(WRITTEN_WITHIN)
    }

    /// Asks, and keeps what it came to, durably: the client is told the same whenever it looks. Where the store is lost, that is tried
    /// for as long as somebody may be asking; then it is uncertain what it came to, and nobody pays for it.
    pub(super) async fn conclude_for(
        self: &Arc<Self>,
        terms: &Terms,
        elements: &Elements,
        asked: Verification,
    ) -> Result<Verification, StoreLost> {
        let (came, _) = self.ask_for(terms, elements, (asked.kind, asked.set)).await;
        self.keep_done(terms, asked, came, None).await
    }

    /// Keeps what it came to, with `beside` and by what the client is told in the same commit.
    pub(super) async fn keep_done(
        &self,
        terms: &Terms,
        asked: Verification,
        came: Came,
        beside: Option<&Row>,
    ) -> Result<Verification, StoreLost> {
        let State::Asking { until } = asked.state else { return Ok(asked) };
        // Who came again meanwhile may not wait: nothing else changes the row.
        let wished = Verification { later: true, ..asked.clone() };
        for asked in [asked, wished] {
            let was = asked.row().ok_or(StoreLost)?.value;
            let done = Verification { state: State::Done(came), ..asked };
            let told = Told::Verification(&done);
            let told = done.later.then(|| self.telling_client(terms, done.id, told)).flatten();
            let beside = beside.into_iter().cloned().chain(told).collect();
            let swap = Swap { beside, ..Swap::replace(was, done.row().ok_or(StoreLost)?) };
            if self.swap_until(swap, until).await? {
                self.metrics.on_client_verified(&terms.name, came.answer, came.asked < done.at);
                return Ok(done);
            }
        }
        Err(StoreLost)
    }

    /// What it came to, and what was read.
    pub(super) async fn ask_for(
        self: &Arc<Self>,
        terms: &Terms,
        elements: &Elements,
        (kind, set): (Kind, ElementSet),
    ) -> (Came, Option<Box<Elements>>) {
        let nothing = |answer, told, asked| {
            let read = ElementSet::EMPTY;
            Came { answer, asked, told, attempts_left: None, band: None, read, then: None }
        };
        let unknown = |answer, attempts_left| {
            (Came { attempts_left, ..nothing(answer, false, self.now()) }, None)
        };
        let Some(about) = self.about(terms, elements, (kind, set)) else {
            return unknown(Answer::NotPossible, None);
        };
        let question = Question {
            channel: None,
            scenario: terms.scenario,
            merchant: Some(&terms.merchant),
            client: Some(&terms.name),
            kind,
            elements,
            set,
            about,
            side: None,
            may_ask: true,
            observed: false,
            deadline: Instant::now() + self.waits_for(terms.scenario),
        };
        let gathered = self.find_out(&question).await;
        let is_limit = match &gathered {
            Ok((evidence, _)) => evidence.answer == Answer::Limited,
            Err(Gathered::AttemptsSpent) => true,
            Err(
                Gathered::NoAnswer
                | Gathered::SpendCapped
                | Gathered::NobodyCan
                | Gathered::NotAsked
                | Gathered::Evidence { .. },
            ) => false,
        };
        // What others tried is theirs, whoever says so.
        if is_limit && !self.may_know_of_limit(terms, elements, kind).await {
            return unknown(Answer::Unavailable, None);
        }
        match gathered {
            Ok((evidence, more)) => {
                let came = Came {
                    attempts_left: self.attempts_of(terms, elements, &evidence).await,
                    band: more.band,
                    read: more.read.as_ref().map(|read| read.set()).unwrap_or_default(),
                    ..nothing(evidence.answer, true, evidence.at)
                };
                (came, more.read)
            }
            // Who may not spend more, and why, is nobody's business outside.
            Err(
                Gathered::NoAnswer
                | Gathered::SpendCapped
                | Gathered::NotAsked
                | Gathered::Evidence { .. },
            ) => unknown(Answer::Unavailable, None),
            Err(Gathered::AttemptsSpent) => unknown(Answer::Limited, Some(0)),
            Err(Gathered::NobodyCan) => unknown(Answer::NotPossible, None),
        }
    }

    /// What evidence for a client is about. What is its own is in nobody's way: no hold is on it, and it ends none.
    fn about(
        &self,
        terms: &Terms,
        elements: &Elements,
        (kind, set): (Kind, ElementSet),
    ) -> Option<About> {
        let own = Terms::own(&terms.name);
        let scope =
            if terms.shares { self.sharing.scope(Some(&terms.merchant)) } else { Some(&own) };
        let (key, others) = (&self.keys.current, self.keys.read_at(self.now()).collect::<Vec<_>>());
        let all = std::iter::once(key).chain(others.iter().copied());
        let asked = |key: &Fingerprinter, tuple: Option<_>| Some(key.asked(kind, tuple?));
        let anyone = all
            .filter(|_| terms.shares)
            .filter_map(|key| asked(key, scope.and(key.tuple(elements, set))));
        let tuple = |key: &Fingerprinter| asked(key, key.tuple_of(scope, elements, set));
        Some(About {
            tuple: tuple(key)?,
            others: others.iter().filter_map(|key| tuple(key)).collect(),
            anyone: anyone.collect(),
            person: key.person(elements),
        })
    }

    /// How many more wrong tries there are after one.
    async fn attempts_of(
        &self,
        terms: &Terms,
        elements: &Elements,
        evidence: &Evidence,
    ) -> Option<u32> {
        let (Answer::NoMatch(_), Witness::Provider(name)) = (evidence.answer, &evidence.witness)
        else {
            return None;
        };
        let entry = self.providers.iter().find(|entry| entry.provider.name() == name)?;
        let attempts = self.tries_of(terms, elements, entry);
        // A question about nobody by name takes nobody's tries.
        if attempts.of.is_empty() {
            return None;
        }
        Some(self.store.attempts_left(&attempts).await.ok()?.unwrap_or(0))
    }

    /// Whether a client may be told that a card or a person was asked about too often: it shares what it knows, or did so itself.
    async fn may_know_of_limit(&self, terms: &Terms, elements: &Elements, kind: Kind) -> bool {
        if terms.shares {
            return true;
        }
        let set = elements.set();
        let asked =
            |entry: &&Entry| entry.candidate.asks == kind && entry.candidate.sets.contains(&set);
        for entry in self.providers.iter().filter(asked) {
            let attempts = self.tries_of(terms, elements, entry);
            if matches!(self.store.attempts_left(&attempts).await, Ok(Err(_))) {
                return true;
            }
        }
        false
    }

    /// The attempts of a client at a provider. Who shares nothing is told of its own only: those of others are theirs.
    fn tries_of(&self, terms: &Terms, elements: &Elements, entry: &Entry) -> Attempts {
        let merchant = Some(self.sharing.owner(&terms.merchant).clone());
        let (source, client) = (entry.candidate.source.clone(), Some(terms.name.clone()));
        Attempts {
            of: self.asked_about(elements),
            asking: Asking { source, merchant, client, at: self.now() },
            limits: self.attempts,
            alone: !terms.shares,
        }
    }
}
