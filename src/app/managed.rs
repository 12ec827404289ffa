//! What is in force: the files' configuration, and what persons put in force through the admin API, as one generation.

use super::gate::ServiceGate;
use super::reload::{Fixed, ReloadError};
use super::{Generation, Lasting, StartError};
use crate::admin::{Asked, Live, Stays};
use crate::clients;
use crate::config::{self, Added, ChannelMode, Config, Problems};
use crate::domain::clock::{Clock as _, Timestamp};
use crate::domain::id::ChannelName;
use crate::metrics::Loaded;
use crate::policy::rules::Book;
use crate::policy::rules::list::Member;
use crate::proxy::Edge;
use crate::service::{lists, managed};
use crate::store::Store;
use crate::store::journal::StoreLost;
use crate::store::managed::{ChannelTurn, EntryNote, Managed, Revision};
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// How often is looked for what another process, or the passing of time, put in force.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// All that is managed, with what it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct InForce {
    managed: Managed,
    live: Option<(u64, String)>,
    trial: Option<(u64, String)>,
    entries: BTreeMap<String, (Revision, BTreeMap<String, EntryNote>)>,
    /// How channels are turned now: some are for a while only.
    turned: BTreeMap<ChannelName, ChannelTurn>,
}

impl InForce {
    /// What the store keeps; of what is known already only what changed is read.
    pub(super) async fn read(
        store: &dyn Store,
        known: &Self,
        now: Timestamp,
    ) -> Result<Self, StoreLost> {
        let managed = managed::managed(store).await?;
        let text = async |number: u64, known: &Option<(u64, String)>| match known {
            _ if number == 0 => Ok(None),
            // A version never changes.
            Some((same, text)) if *same == number => Ok(Some((number, text.clone()))),
            Some(_) | None => {
                let text = managed::text(store, number).await?;
                Ok::<_, StoreLost>(Some((number, text.unwrap_or_else(|| LOST.to_owned()))))
            }
        };
        let live = text(managed.life.live, &known.live).await?;
        let trial = managed.life.shadow.map_or(0, |shadow| shadow.version);
        let trial = text(trial, &known.trial).await?;
        let mut entries = BTreeMap::new();
        for (list, revision) in &managed.lists {
            let kept = match known.entries.get(list) {
                Some((same, kept)) if same == revision => kept.clone(),
                Some(_) | None => lists::entries(store, list).await?,
            };
            entries.insert(list.clone(), (*revision, kept));
        }
        let turned = managed.turned.all(now).into_iter();
        let turned = turned.map(|(name, turn)| (name.clone(), turn.clone())).collect();
        Ok(Self { managed, live, trial, entries, turned })
    }

    /// What `config` comes to with all that is managed.
    ///
    /// # Errors
    /// Every problem of the rules that come through the API, beside those of the files.
    pub(super) fn over(&self, config: &Config, now: Timestamp) -> Result<Config, Problems> {
        let mut config = config.clone();
        for (name, channel) in &mut config.channels {
            let turn = self.managed.turned.channel(name, now);
            // What streams uninspected has routes that were checked as such.
            if let Some(turn) = turn.filter(|_| channel.mode != ChannelMode::Uninspected) {
                channel.mode = turn.enforce.map_or(ChannelMode::Observe, ChannelMode::Enforce);
            }
        }
        for (name, provider) in &mut config.providers {
            if let Some(turn) = self.managed.turned.providers.get(name) {
                provider.enabled = turn.enabled.unwrap_or(provider.enabled);
                provider.priority = turn.priority.unwrap_or(provider.priority);
            }
        }
        let named = |text: &'_ Option<(u64, String)>| {
            text.as_ref().map(|(number, text)| (*number, text.clone()))
        };
        let (live, trial) = (named(&self.live), named(&self.trial));
        let come = live.is_some() || trial.is_some();
        if come || !self.entries.is_empty() || !self.managed.life.naps.is_empty() {
            let added = Added {
                live: live.as_ref().map(|(number, text)| (*number, text.as_str())),
                trial: trial.as_ref().map(|(number, text)| (*number, text.as_str())),
            };
            let mut book =
                if come { config::book(&config, added)? } else { (*config.rules).clone() };
            self.finish(&mut book);
            config.rules = Arc::new(book);
        }
        Ok(config)
    }

    /// Adds what stands in lists, and lets rules sleep.
    pub(super) fn finish(&self, book: &mut Book) {
        for (name, (_, entries)) in &self.entries {
            let Some(list) = book.lists.get_mut(name) else { continue };
            for (value, note) in entries {
                // What is of another kind was put there when the list was another.
                if let Ok(member) = Member::read(list.holds, value) {
                    list.add(member, note.expires);
                }
            }
        }
        for (rule, nap) in &self.managed.life.naps {
            book.rules.sleep(rule, nap.until);
        }
    }

    /// How everything is turned, for whoever shows it.
    pub(super) const fn managed(&self) -> &Managed {
        &self.managed
    }
}

/// In place of a text that is not kept, so that nothing silently has no rules.
const LOST: &str = "the text of this version is lost";

/// What a process has in force, and how it is replaced.
pub(super) struct Desk {
    pub(super) lasting: Lasting,
    pub(super) fixed: Fixed,
    pub(super) edges: Arc<ArcSwap<Edge<ServiceGate>>>,
    pub(super) live: Live,
    pub(super) clients: Option<clients::Live>,
    pub(super) state: Mutex<(Arc<Config>, InForce)>,
}

impl Desk {
    /// Puts `config` in force, with all that is managed.
    pub(super) fn reload(&self, config: Config) -> Result<(), ReloadError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (config, in_force) = (Arc::new(config), state.1.clone());
        self.replace(&config, &in_force)?;
        *state = (config, in_force);
        Ok(())
    }

    /// Puts in force what the store keeps, if it is other than what is; the files' configuration stays as it is.
    pub(super) async fn catch_up(&self) -> Result<(), CatchUpError> {
        let (now, known) = (self.lasting.clock.now(), self.known());
        let in_force = InForce::read(&*self.lasting.store, &known, now).await?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if in_force == state.1 {
            return Ok(());
        }
        let config = state.0.clone();
        let replaced = self.replace(&config, &in_force);
        self.lasting.metrics.on_load(Loaded::Managed, replaced.is_ok());
        replaced?;
        state.1 = in_force;
        Ok(())
    }

    /// The files' configuration in force.
    pub(super) fn config(&self) -> Arc<Config> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    fn known(&self) -> InForce {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    fn replace(&self, config: &Arc<Config>, in_force: &InForce) -> Result<(), ReloadError> {
        let next = Generation::new(config, in_force, &self.lasting)?;
        let differences = self.fixed.differences(&next.fixed);
        if !differences.is_empty() {
            return Err(ReloadError::Fixed(differences));
        }
        let log = config.access_log.as_ref();
        self.lasting.access.direct(log).map_err(StartError::AccessLog)?;
        self.lasting.traces.direct(config.trace.as_ref()).map_err(StartError::Spans)?;
        self.edges
            .store(Arc::new(self.edges.load().with(next.gate, next.limits).behind(next.doors)));
        self.live.replace(next.admin);
        if let (Some(live), Some(next)) = (&self.clients, next.clients) {
            live.replace(next);
        }
        Ok(())
    }

    /// Puts in force what changed, as soon as anybody asks, and what others changed soon after.
    pub(super) async fn attend(self: Arc<Self>, mut asked: mpsc::Receiver<Asked>) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        let mut was_refused = false;
        loop {
            let asking = tokio::select! {
                asking = asked.recv() => asking,
                _ = every.tick() => None,
            };
            let done = self.catch_up().await;
            let is_refused = matches!(done, Err(CatchUpError::Refused(_)));
            if let (Err(CatchUpError::Refused(error)), false) = (&done, was_refused) {
                tracing::error!(%error, "what was put in force elsewhere is not in force here");
            }
            was_refused = is_refused;
            if let Some(asking) = asking {
                // Whoever asked may have gone.
                let _ = asking.send(done.map_err(Stays::from));
            }
        }
    }
}

/// Why what is managed is not in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum CatchUpError {
    /// It cannot be composed.
    #[error(transparent)]
    Refused(#[from] ReloadError),
    /// It cannot be read.
    #[error(transparent)]
    Store(#[from] StoreLost),
}

impl From<CatchUpError> for Stays {
    fn from(error: CatchUpError) -> Self {
        match error {
            CatchUpError::Refused(error) => (&error).into(),
            CatchUpError::Store(error) => Self { why: error.to_string(), problems: 1 },
        }
    }
}
