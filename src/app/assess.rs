//! A provider on trial: labelled data is put to it, and its answers stand beside the labels.

use super::clock::system;
use super::{StartError, compiled};
use crate::config::Config;
use crate::domain::answer::Billable;
use crate::domain::clock::Timestamp;
use crate::domain::element::{ElementSet, Elements};
use crate::domain::id::{PaymentId, ProviderName};
use crate::provider::{HttpProvider, Inquiry, Provider as _, Reply, Trouble};
use crate::reconcile::assess::{Assessment, Truth};
use futures::{StreamExt as _, stream};
use rust_decimal::Decimal;
use std::time::Duration;

/// How long who is over the provider's quota waits.
const RATE_WAIT: Duration = Duration::from_millis(50);

/// One line of labelled data. Its elements are in memory only until they were asked about.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// What is asked about.
    pub elements: Elements,
    /// What is true of it.
    pub truth: Truth,
}

impl Labelled {
    /// Elements with a label: `match`, `no_match`, or the elements that are wrong.
    pub fn new(elements: Elements, label: &str) -> Option<Self> {
        Some(Self { elements, truth: Truth::parse(label)? })
    }
}

/// What a provider's answers came to.
#[derive(Debug, Default)]
pub struct Assessed {
    /// Against the labels.
    pub assessment: Assessment,
    /// How many inquiries are billed.
    pub billed: usize,
    /// How many may be.
    pub uncertain: usize,
    /// What those cost that are billed, in fen, at the first rate of the price list.
    pub cost: Decimal,
}

/// A provider that may be asked.
#[derive(Debug)]
pub struct Trial {
    provider: HttpProvider,
    set: ElementSet,
}

/// Why a provider cannot be assessed.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// There is none of that name.
    #[error("no provider `{name}` is configured; there are: {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// It does not answer such questions.
    #[error("`{name}` does not answer for `{set}`: give the data the columns of one of {}", sets.join(", "))]
    Set {
        /// The provider.
        name: String,
        /// What the data has.
        set: ElementSet,
        /// What it answers.
        sets: Vec<String>,
    },
    /// It cannot be used as it is configured.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Trial {
    /// The configured provider called `name`, enabled or not, to be asked about `set`.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn new(config: &Config, name: &str, set: ElementSet) -> Result<Self, Failed> {
        let known = ProviderName::new(name);
        let Some(settings) = config.providers.get(&known) else {
            let known = config.providers.keys().map(ToString::to_string).collect();
            return Err(Failed::Unknown { name: name.to_owned(), known });
        };
        let provider = compiled(&known, settings)?;
        let sets = &provider.capability().sets;
        if !sets.contains(&set) {
            let sets = sets.iter().map(|set| format!("`{set}`")).collect();
            return Err(Failed::Set { name: name.to_owned(), set, sets });
        }
        Ok(Self { provider, set })
    }

    /// Puts every line to the provider, so many at once. `progress` is told of every answer.
    pub async fn run(
        &self,
        config: &Config,
        lines: impl Iterator<Item = Labelled>,
        at_once: usize,
        mut progress: impl FnMut(),
    ) -> Assessed {
        let asking =
            stream::iter(lines).map(|line| self.ask(line)).buffer_unordered(at_once.max(1));
        let mut assessed = Assessed::default();
        let mut asking = std::pin::pin!(asking);
        while let Some((truth, Reply { answer, billable, .. })) = asking.next().await {
            assessed.assessment.add(truth, answer);
            match billable {
                Billable::Yes => assessed.billed = assessed.billed.saturating_add(1),
                Billable::Uncertain => assessed.uncertain = assessed.uncertain.saturating_add(1),
                Billable::No => (),
            }
            progress();
        }
        let prices = config.providers.get(self.provider.name()).map(|it| it.prices.clone());
        let prices = prices.unwrap_or_default();
        let billed = Decimal::from(assessed.billed);
        assessed.cost = prices.first(self.set).checked_mul(billed).unwrap_or(Decimal::MAX);
        assessed
    }

    async fn ask(&self, line: Labelled) -> (Truth, Reply) {
        loop {
            let now = u64::try_from(system().as_millis()).unwrap_or(u64::MAX);
            let now = Timestamp::from_millis(now);
            let id = PaymentId::new(now, rand::random());
            let inquiry = Inquiry { id, elements: line.elements.clone(), set: self.set };
            let reply = self.provider.ask(&inquiry, now).await;
            if reply.trouble != Some(Trouble::Rate) {
                return (line.truth, reply);
            }
            // As fast as its quota allows.
            tokio::time::sleep(RATE_WAIT).await;
        }
    }
}
