//! The simulated world: channels, providers, a payment core with its traffic, and an auditor that knows the truth.
//!
//! It shares no code with the rest of Hefu, on purpose: it is the independent counterpart and judge. Signatures are real, with fresh
//! keys each run; people, cards and what befalls them follow from one seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    future::Future,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri},
    routing::any,
};
use rand::{RngCore as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use thiserror::Error;
use tokio::task::JoinHandle;

mod acp;
mod allinpay;
mod audit;
mod baofoo;
mod channel;
mod core;
mod deployment;
mod epcc;
mod form;
mod keys;
mod leaks;
mod lianlian;
mod lines;
mod notices;
mod providers;
mod record;
mod sample;
mod statement;
mod unionpay;
mod upgrades;
mod world;
mod xml;
mod yeepay;
mod yop;

pub use self::{
    audit::{Audit, ChannelAudit, Count, Tries, Upgrades},
    core::Target,
    deployment::Listeners,
    leaks::{Leak, LeakScanner},
    notices::Notified,
    providers::{Inquired, Said, Script, Twist, picture},
    sample::{Reply, Sample},
    statement::{Ended, State},
    world::{CardState, Drift, Element},
};
use self::{
    channel::{Ends, Hub, Running, serve},
    core::Core,
    keys::Key,
    providers::{
        Provider, Scripts, aliyun::Aliyun, operator::Operator3, tencent::Tencent,
        unionpay72::UnionPay72,
    },
    record::{Channel, Log},
};

/// Draws a channel's keys and makes both of its ends.
type Open = fn(&Arc<Hub>) -> Result<Ends, openssl::error::ErrorStack>;

/// Every channel: its name, how its share of the journeys compares with the others', and its ends. Journeys have steps, some more
/// than others.
const CHANNELS: &[(Channel, u32, Open)] = &[
    (unionpay::NAME, 70, unionpay::open),
    (baofoo::NAME, 26, baofoo::open),
    (lianlian::NAME, 16, lianlian::open),
    (yeepay::NAME, 15, yeepay::open),
    (yeepay::JSON, 6, yeepay::open_json),
    (allinpay::NAME, 20, allinpay::open),
    (epcc::NAME, 18, epcc::open),
];

/// What a simulation is made from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Everything but the keys follows from this.
    pub seed: u64,
    /// How many people there are; three in ten have two cards.
    pub people: usize,
    /// How registers differ.
    pub drift: Drift,
    /// How many of a thousand element mismatches the channels tell by a query only.
    pub late_mismatches: u64,
    /// How many of a thousand inquiries fail for technical reasons.
    pub provider_faults: u64,
    /// Key files go into a new directory under this one, which lives as long as the simulation.
    pub dir: PathBuf,
}

impl Settings {
    /// The demo's settings.
    pub fn new(seed: u64, dir: PathBuf) -> Self {
        Self {
            seed,
            people: 4000,
            drift: Drift::default(),
            late_mismatches: 0,
            provider_faults: 8,
            dir,
        }
    }
}

/// Why a simulation could not start or run.
#[derive(Debug, Error)]
pub enum SimError {
    /// A port, a directory or a key file.
    #[error("cannot set up the simulation: {0}")]
    Io(#[from] io::Error),
    /// A key.
    #[error("cannot make a key: {0}")]
    Key(#[from] openssl::error::ErrorStack),
    /// The core's HTTP client.
    #[error("cannot make the core's client: {0}")]
    Client(#[from] reqwest::Error),
    /// The leak scanner.
    #[error("cannot build the leak scanner: {0}")]
    Scanner(#[from] aho_corasick::BuildError),
}

/// A running simulation. Dropping it stops its servers and removes its key files.
pub struct Simulation {
    hub: Arc<Hub>,
    channels: Vec<Arc<Running>>,
    unionpay72_buyer: Arc<Key>,
    unionpay72_provider: Arc<Key>,
    endpoints: BTreeMap<&'static str, String>,
    credentials: BTreeMap<&'static str, String>,
    key_files: BTreeMap<&'static str, PathBuf>,
    dir: PathBuf,
    tasks: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation")
            .field("endpoints", &self.endpoints)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        // What cannot be removed stays in a temporary directory.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Simulation {
    /// Draws the world and the keys, and starts all servers on free ports of 127.0.0.1.
    pub async fn start(settings: Settings) -> Result<Self, SimError> {
        let hub = Arc::new(Hub {
            seed: settings.seed,
            world: world::World::new(settings.seed, settings.people, settings.drift),
            log: Log::default(),
            late_mismatches: settings.late_mismatches,
            provider_faults: settings.provider_faults,
            scripts: Scripts::default(),
            desk: notices::Desk::default(),
            clerk: upgrades::Clerk::default(),
        });
        let mut channels = vec![];
        for (name, weight, open) in CHANNELS {
            channels.push(Running::new(name, *weight, open(&hub)?, Arc::clone(&hub)));
        }
        let mut simulation = Self {
            channels,
            unionpay72_buyer: Arc::new(Key::new(2048)?),
            unionpay72_provider: Arc::new(Key::new(2048)?),
            endpoints: BTreeMap::new(),
            key_files: BTreeMap::new(),
            tasks: vec![],
            dir: new_dir(&settings.dir)?,
            hub,
            credentials: credentials(settings.seed),
        };
        simulation.write_keys()?;
        simulation.listen().await?;
        Ok(simulation)
    }

    async fn listen(&mut self) -> Result<(), SimError> {
        let secret = |name: &str| self.credentials.get(name).cloned().unwrap_or_default();
        let tencent =
            Tencent { secret_id: secret("tencent-id"), secret_key: secret("tencent-secret") };
        let aliyun = Aliyun { key_id: secret("aliyun-id"), key_secret: secret("aliyun-secret") };
        let operator = Operator3 { appcode: secret("operator3-appcode") };
        let unionpay72 = UnionPay72 {
            certificate: self.unionpay72_provider.certificate("unionpay72.simulated")?,
            own: Arc::clone(&self.unionpay72_provider),
            buyer: Arc::clone(&self.unionpay72_buyer),
        };
        let hub = || Arc::clone(&self.hub);
        let mut servers = vec![
            ("plain", serve(Router::new().fallback(any(async || "pong"))).await?),
            ("core", serve(notified(hub())).await?),
            ("tencent", Provider::serve(tencent, hub()).await?),
            ("aliyun", Provider::serve(aliyun, hub()).await?),
            ("operator3", Provider::serve(operator, hub()).await?),
            ("unionpay72", Provider::serve(unionpay72, hub()).await?),
        ];
        for channel in &self.channels {
            servers.push((channel.name, channel.serve().await?));
        }
        servers.extend(providers::serve_others(&self.hub, &self.credentials).await?);
        for (name, (address, task)) in servers {
            self.endpoints.insert(name, format!("http://{address}"));
            self.tasks.push(task);
        }
        Ok(())
    }

    fn write_keys(&mut self) -> Result<(), SimError> {
        let mut files = vec![
            ("unionpay72-buyer.key.pem", self.unionpay72_buyer.private_pem()?),
            ("unionpay72-provider.pem", self.unionpay72_provider.public_pem()?),
        ];
        files.extend(self.channels.iter().flat_map(|channel| channel.ends.key_files.clone()));
        files.extend(
            self.credentials.iter().map(|(name, secret)| (*name, secret.clone().into_bytes())),
        );
        for (name, bytes) in files {
            let path = self.dir.join(name);
            fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?
                .write_all(&bytes)?;
            self.key_files.insert(name, path);
        }
        Ok(())
    }

    /// The channels, by name.
    pub fn channels(&self) -> Vec<&'static str> {
        self.channels.iter().map(|channel| channel.name).collect()
    }

    /// Base URLs by name: those of [`Simulation::channels`], and `core` (where it takes notifications), `plain`, `tencent`, `aliyun`, `operator3`, `unionpay72`,
    /// and providers that the demonstration does not use: `operator-detail`, `reseller`, `cpcn`, `99bill`, `face`, `liveness`, `id-card`, `registry`.
    pub fn endpoints(&self) -> &BTreeMap<&'static str, String> {
        &self.endpoints
    }

    /// Key and secret files by name. `*.key.pem` is private, other `*.pem` public, the rest secrets as text without a newline.
    pub fn key_files(&self) -> &BTreeMap<&'static str, PathBuf> {
        &self.key_files
    }

    /// What the providers know their buyer by: `tencent-id`, `tencent-secret`, `operator3-appcode` and so on.
    pub fn credentials(&self) -> &BTreeMap<&'static str, String> {
        &self.credentials
    }

    /// Tells what the core, the channels and the providers see from now on, a line of JSON each as it happens, without elements.
    pub fn tell(&self, teller: Box<dyn io::Write + Send>) {
        self.hub.log.tell(teller);
    }

    /// Makes a channel answer later from now on.
    pub fn delay(&self, channel: &str, by: Duration) {
        for known in self.channels.iter().filter(|known| known.name == channel) {
            known.delay(by);
        }
    }

    /// Runs the core's traffic at `rate` messages a second until `stop`, then lets what is under way end.
    pub async fn drive(
        &self,
        target: Target,
        rate: u32,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), SimError> {
        let notify = target.notify.clone().map(|url| (url, self.hub.desk.open()));
        let core = Core::new(Arc::clone(&self.hub), self.channels.clone(), target)?;
        let (hub, client) = (Arc::clone(&self.hub), core.client.clone());
        let delivering = async {
            if let Some((url, queue)) = notify {
                notices::deliver(hub, client, url, queue).await;
            }
        };
        let driving = async {
            Arc::new(core).drive(rate, stop).await;
            self.hub.desk.close();
        };
        tokio::join!(driving, delivering);
        Ok(())
    }

    /// Has the core ask how those payments ended of which nobody told it, over the channels that can be asked. It is told in no
    /// statement how these end.
    pub async fn ask_ends(&self, target: Target) -> Result<(), SimError> {
        let core = Core::new(Arc::clone(&self.hub), self.channels.clone(), target)?;
        core.ask_ends(&self.never_told()).await;
        Ok(())
    }

    /// Every message type of every channel: the channel's name and a name of ours for the type.
    pub fn kinds(&self) -> Vec<(&'static str, &'static str)> {
        let of = |channel: &Arc<Running>| {
            let name = channel.name;
            channel.ends.payer.kinds().into_iter().map(move |kind| (name, kind))
        };
        self.channels.iter().flat_map(of).collect()
    }

    /// A legal message of one type, really signed: about people of nobody's world, all else following from `seed` but for the time and
    /// the keys. Nothing where there is no such type.
    pub fn sample(&self, channel: &str, kind: &str, seed: u64) -> Option<Sample> {
        sample::compose(self.channels.iter().find(|known| known.name == channel)?, kind, seed)
    }

    /// What the channel makes of a message, without HTTP: whether it takes it for the core's own words, and its signed answer. Its books
    /// keep nothing of it; what it remembers of orders and agreements it keeps.
    pub fn answer(&self, sample: &Sample) -> Option<Reply> {
        let channel = self.channels.iter().find(|known| known.name == sample.channel)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &sample.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers.append(name, HeaderValue::from_str(value).ok()?);
        }
        Some(sample::answer(channel, sample, &headers))
    }

    /// How many of `samples` reached their channel over HTTP byte for byte, as the core's own words, with nothing of Hefu's beside them.
    pub fn arrivals(&self, samples: &[Sample]) -> usize {
        let books = self.hub.log.channels();
        let came = |sample: &Sample| {
            let (_, query) = sample.path.split_once('?').unwrap_or((&sample.path, ""));
            record::digest(&sample.method, query, &sample.body)
        };
        let good = books.iter().filter(|at| at.signed && at.hefu_headers == 0);
        let good: std::collections::HashSet<_> = good.map(|at| at.received).collect();
        samples.iter().filter(|sample| good.contains(&came(sample))).count()
    }

    /// How many messages the core has sent and closed so far.
    pub fn messages(&self) -> usize {
        self.hub.log.core().len()
    }

    /// The number of a card that the core used, or of any: to plant where a scan must find it.
    pub fn an_element(&self) -> String {
        let cards = &self.hub.world.cards;
        let card = cards.iter().find(|card| card.is_used()).or(cards.first());
        card.map(|card| card.pan.clone()).unwrap_or_default()
    }

    /// Everything that Hefu itself told the core: the values of its headers, and the bodies of its problems.
    pub fn told(&self) -> Vec<String> {
        let core = self.hub.log.core();
        let headers = core.iter().flat_map(|at| at.headers.iter().map(|(_, value)| value.clone()));
        let problems = core.iter().filter_map(|at| at.problem.clone());
        let of_accounts = self.hub.clerk.told().into_iter().flat_map(|told| told.texts);
        headers.chain(problems).chain(of_accounts).collect()
    }

    /// The notifications that channels and others told the core.
    pub fn notified(&self) -> Vec<Notified> {
        self.hub.desk.told()
    }

    /// How many notifications came to the core with other bytes, or with a header of Hefu's.
    pub fn notifications_changed(&self) -> u64 {
        self.hub.desk.changed()
    }

    /// What is true so far, and what Hefu said of it.
    pub fn audit(&self) -> Audit {
        audit::audit(&self.hub.log, self.channels.iter().map(|channel| channel.name))
    }

    /// Every kind of mismatch that was `said` of an order of `channel`, by order and kind, beside what is true when everything came that
    /// comes.
    pub fn in_the_end(
        &self,
        channel: &str,
        said: &BTreeSet<(String, String)>,
    ) -> BTreeMap<String, Count> {
        let known = self.channels.iter().find(|known| known.name == channel);
        known.map_or_else(BTreeMap::new, |known| {
            audit::in_the_end(&self.hub.log, &self.notified(), known.name, said)
        })
    }

    /// The orders of `channel` whose halves truly differ, when everything came that comes.
    pub fn differing(&self, channel: &str) -> BTreeSet<String> {
        let known = self.channels.iter().find(|known| known.name == channel);
        known.map_or_else(BTreeSet::new, |known| {
            audit::differing(&self.hub.log, &self.notified(), known.name)
        })
    }

    /// A scanner for the elements of every card that the core used, or of all cards when it used none.
    pub fn leak_scanner(&self) -> Result<LeakScanner, SimError> {
        let any = self.hub.world.all_cards().any(world::Card::is_used);
        Ok(LeakScanner::new(self.hub.world.all_cards().filter(|card| !any || card.is_used()))?)
    }
}

/// Where the core takes notifications.
fn notified(hub: Arc<Hub>) -> Router {
    let take = async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        hub.desk.take((&method, &uri, &headers), &body)
    };
    Router::new().fallback(take)
}

/// Secrets of the simulation's own providers, from the seed: they protect nothing.
fn credentials(seed: u64) -> BTreeMap<&'static str, String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x005e_c2e7);
    [
        "tencent-id",
        "tencent-secret",
        "aliyun-id",
        "aliyun-secret",
        "operator3-appcode",
        "operator-detail-appcode",
        "reseller-account",
        "reseller-secret",
        "cpcn-institution",
        "cpcn-token",
        "99bill-merchant",
        "99bill-key",
        "liveness-appcode",
        "id-card-appcode",
        "registry-account",
        "registry-secret",
    ]
    .map(|name| (name, format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64())))
    .into()
}

/// A directory that did not exist before.
fn new_dir(parent: &Path) -> io::Result<PathBuf> {
    let mut rng = ChaCha8Rng::from_os_rng();
    let dir = parent.join(format!("hefu-sim-{:016x}", rng.next_u64()));
    fs::create_dir_all(parent)?;
    fs::create_dir(&dir)?;
    Ok(dir)
}

#[cfg(test)]
mod tests;
