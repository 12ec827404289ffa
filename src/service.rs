//! Use cases: judge a message before it is forwarded, settle it with what the channel said. Sees traits, not adapters.

pub mod accounts;
mod admission;
pub mod afterwards;
pub mod agreements;
pub mod annotate;
pub mod attempts;
pub mod audit;
pub mod backtest;
pub mod balance;
pub mod batch;
pub mod clients;
pub mod closing;
mod combination;
pub mod concordance;
mod contradict;
pub mod counts;
pub mod earlier;
pub mod explain;
mod facts;
pub mod forget;
pub mod health;
pub mod hindsight;
pub mod inquire;
pub mod judge;
mod lapse;
pub mod lists;
pub mod managed;
pub mod mismatch;
pub mod neighbours;
pub mod notify;
pub mod overdue;
mod query;
pub mod refusal;
pub mod routing;
pub mod rules;
pub mod search;
pub mod settle;
mod shadow;
pub mod statement;
pub mod statistics;
mod traced;
pub mod trial;
pub mod upgrade;
pub mod validity;
pub mod verify;
pub mod webhook;

use crate::billing::price::Prices;
use crate::crypto::keys::Keys;
use crate::domain::chance::Share;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::id::{AgreementId, ChannelName, PaymentId};
use crate::domain::money::Fen;
use crate::domain::payment::Standing;
use crate::message::profile::Profile;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::provider::Provider;
use crate::reconcile::concordance::Said;
use crate::reconcile::hold::{Hold, HoldKey};
use crate::route::Candidate;
use crate::route::attempts::Limits;
use crate::route::budget::Budget;
use crate::store::Store;
use crate::store::journal::StoreLost;
use crate::store::row::RowKey;
use accounts::Tiers;
use afterwards::Sample;
use attempts::Purse;
use health::Watch;
use routing::Routing;
use rules::Rulebook;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use validity::{Sharing, Validity};
use verify::Flights;

/// How far a channel's decisions bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Nobody is asked and nothing is refused.
    Observe,
    /// Decisions bind for this percentage of orders (0 to 100), chosen by order so that retries fare alike.
    Enforce(u8),
}

/// A channel, as the service sees it.
#[derive(Debug)]
pub struct Channel {
    /// Its profile.
    pub profile: Profile,
    /// How far its decisions bind.
    pub binding: Binding,
}

impl Channel {
    /// Its name.
    pub const fn name(&self) -> &ChannelName {
        &self.profile.channel
    }
}

/// How long things are kept and waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a match may be reused.
    pub match_valid_for: Duration,
    /// How long any other answer may be reused: short, so that nobody is locked out by an old mistake.
    pub other_valid_for: Duration,
    /// How long all providers together may take for one payment.
    pub inquiry_deadline: Duration,
    /// How long they may take for all rows of one batch.
    pub batch_deadline: Duration,
    /// How long a hold stands at most.
    pub hold_for: Duration,
    /// How many holds one channel and bank may make in any hour.
    pub holds_per_hour: usize,
    /// How long the first step of a bind waits for the next.
    pub bind_waits_for: Duration,
    /// Whether anybody listens to what is told by webhook.
    pub tells: bool,
    /// In which order providers are asked.
    pub routing: Routing,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            match_valid_for: Duration::from_hours(90 * 24),
            other_valid_for: Duration::from_mins(10),
            inquiry_deadline: Duration::from_secs(3),
            batch_deadline: Duration::from_secs(30),
            hold_for: Duration::from_hours(7 * 24),
            holds_per_hour: 100,
            bind_waits_for: Duration::from_mins(30),
            tells: false,
            routing: Routing::default(),
        }
    }
}

/// A provider and what the plan knows of it.
#[derive(Clone)]
pub struct Entry {
    /// Who is asked.
    pub provider: Arc<dyn Provider>,
    /// What it can answer.
    pub candidate: Candidate,
    /// How it is.
    pub watch: Arc<Watch>,
    /// What it costs.
    pub prices: Prices,
    /// What it may cost within a day; without bounds where absent.
    pub cap: Option<Fen>,
    /// Which share of the questions that others are asked it is asked as well.
    pub shadow: Share,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({})", self.provider.name())
    }
}

/// What the service is composed of.
pub struct Service {
    /// The risk team's settings.
    pub policy: Policy,
    /// Times and counts.
    pub settings: Settings,
    /// Who can be asked.
    pub providers: Vec<Entry>,
    /// Make the only form in which elements are remembered.
    pub keys: Keys,
    /// What is remembered.
    pub store: Arc<dyn Store>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bits for ids.
    pub entropy: fn() -> u128,
    /// Questions that are being asked now.
    pub flights: Flights,
    /// How often another provider may be asked because one failed.
    pub retries: Budget,
    /// How often may be asked about one card and one person.
    pub attempts: Limits,
    /// What may be spent.
    pub purse: Purse,
    /// How long answers may be reused, where that differs.
    pub validity: Validity,
    /// By whose messages.
    pub sharing: Sharing,
    /// Of what is asked afterwards.
    pub observe: Sample,
    /// The risk team's rules; nothing is looked up or kept for them where there are none.
    pub rules: Option<Rulebook>,
    /// What accounts are judged by.
    pub tiers: Tiers,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("providers", &self.providers).finish_non_exhaustive()
    }
}

impl Service {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Brings the gauges of `channels` up to date; they are counted when somebody looks.
    pub fn refresh_gauges(&self, channels: &[ChannelName]) {
        let holds = self.standing_holds();
        for channel in channels {
            let held = holds.iter().filter(|hold| hold.channel == *channel).count();
            self.metrics.set_holds_open(channel, held);
            self.metrics.set_expectations_open(channel, self.store.expectations(channel));
        }
        let now = self.now();
        for (place, tally) in self.store.places(false) {
            for said in Said::ALL {
                self.metrics.set_concordance(&place, said, tally.count(said, None, now));
            }
        }
        let asked =
            |name: &str| self.providers.iter().find(|it| it.provider.name().as_str() == name);
        let is_capped = |name: &str| asked(name).is_some_and(|entry| entry.cap.is_some());
        self.metrics.keep_providers(|name| asked(name).is_some(), is_capped);
        for entry in &self.providers {
            let stands = entry.watch.stands(self.now());
            self.metrics.set_breaker(entry.provider.name(), stands);
            if let Some(cap) = entry.cap {
                let name = entry.provider.name();
                self.metrics.set_spend_ratio(name, self.purse.ratio(name, cap, self.now()));
            }
        }
    }

    /// The holds that stand now, oldest first: those that this process knows.
    pub fn standing_holds(&self) -> Vec<Hold> {
        self.store.holds(self.now())
    }

    /// The same, whoever made them.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn kept_holds(&self) -> Result<Vec<Hold>, StoreLost> {
        self.store.kept_holds(self.now()).await
    }

    /// Releases holds and yields those that stood; `note` goes into the log.
    pub async fn release_holds(&self, keys: &[HoldKey], note: &str) -> Vec<Hold> {
        let mut released = Vec::new();
        for key in keys {
            // Another process may know another one.
            self.fetch(RowKey::hold(key)).await;
            released.extend(self.end_hold(key));
        }
        tracing::info!(released = released.len(), note, "holds released by hand");
        released
    }

    /// How an agreement stands, and since when it is known; `None` where it was never seen.
    pub fn agreement_standing(
        &self,
        channel: &ChannelName,
        id: &str,
    ) -> Option<(Standing, Timestamp)> {
        let (standing, agreement) = self.standing(channel, &AgreementId(id.into()));
        agreement.map(|agreement| (standing, agreement.at))
    }

    /// What chance decides.
    fn draw(&self) -> u64 {
        let [half @ .., _, _, _, _, _, _, _, _] = (self.entropy)().to_be_bytes();
        u64::from_be_bytes(half)
    }

    /// An id that nobody has, for whoever needs one.
    pub fn next_id(&self) -> PaymentId {
        self.new_id(self.now())
    }

    fn new_id(&self, now: Timestamp) -> PaymentId {
        PaymentId::new(now, (self.entropy)())
    }
}
