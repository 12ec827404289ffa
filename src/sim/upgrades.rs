//! The core opens accounts for people who apply, and has each brought to the highest class; what it is told is kept for the auditor.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::{Client, Method, Url, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::sim::{
    SimError, Simulation, audit,
    channel::Hub,
    record::lock,
    world::{APPLICANTS, is_credit},
};

/// How many upgrades are under way at once.
const AT_ONCE: usize = 48;

/// Longer than any upgrade takes in which every provider is silent for as long as it may be.
const PATIENCE: Duration = Duration::from_mins(1);

/// The class that everybody wants.
const TARGET: &str = "III";

/// What was told of upgrades.
#[derive(Default)]
pub(super) struct Clerk {
    told: Mutex<Vec<Told>>,
    done: AtomicUsize,
}

/// What was told of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The account's name.
    pub(super) account: String,
    /// Whose it is: the place among those who apply.
    pub(super) applicant: usize,
    /// What was answered in place of what was wanted, where that was so.
    pub(super) refused: Option<u16>,
    pub(super) class: Option<String>,
    /// The sources that count.
    pub(super) sources: BTreeSet<String>,
    pub(super) progress: String,
    /// How many sources are missing.
    pub(super) missing: u64,
    /// What it cost, and how much of that may not be billed.
    pub(super) cost_fen: u64,
    pub(super) uncertain_fen: u64,
    /// All that was answered, to be searched for elements.
    pub(super) texts: Vec<String>,
}

impl Clerk {
    /// Everything that was told.
    pub(super) fn told(&self) -> Vec<Told> {
        lock(&self.told).clone()
    }
}

/// Where Hefu's admin API is.
struct Office {
    hub: Arc<Hub>,
    client: Client,
    base: Url,
    token: String,
}

impl Office {
    /// Opens an account and has it upgraded.
    async fn apply(&self, nth: usize) {
        let mut told = Told { account: format!("D-{nth:04}"), applicant: nth, ..Told::default() };
        told.refused = self.ask(&mut told).await.err();
        lock(&self.hub.clerk.told).push(told);
        self.hub.clerk.done.fetch_add(1, Ordering::SeqCst);
    }

    /// Asks for what is wanted; ends with the status of what is refused.
    async fn ask(&self, told: &mut Told) -> Result<(), u16> {
        let world = &self.hub.world;
        let Some(applicant) = world.applicants.get(told.applicant) else { return Err(0) };
        let kind = |pan: &str| if is_credit(pan) { "credit" } else { "debit" };
        let cards = world.cards_of(applicant).into_iter();
        let cards: Vec<_> =
            cards.map(|pan| json!({ "account_kind": kind(&pan), "pan": pan })).collect();
        let of = &applicant.told;
        let (id_number, phone) = (&of.id_number, &of.phone);
        let account = format!("v1/accounts/{}", told.account);
        let body = json!({ "id_number": id_number, "phone": phone });
        self.call(told, (Method::POST, &account), Some(body)).await?;
        let body = json!({
            "target": TARGET, "name": of.name, "id_number": id_number, "phone": phone, "cards": cards,
        });
        let upgraded =
            self.call(told, (Method::POST, &format!("{account}/upgrade")), Some(body)).await?;
        let shown = self.call(told, (Method::GET, &account), None).await?;
        let number = |name: &str| upgraded.get(name).and_then(Value::as_u64).unwrap_or(u64::MAX);
        let text = |of: &Value, name: &str| of.get(name)?.as_str().map(str::to_owned);
        told.progress = text(&upgraded, "progress").unwrap_or_default();
        (told.missing, told.cost_fen) = (number("missing"), number("cost_fen"));
        told.uncertain_fen = number("uncertain_fen");
        told.class = text(&shown, "class");
        let counted = shown.get("counted").and_then(Value::as_array).into_iter().flatten();
        told.sources = counted.filter_map(|it| text(it, "source")).collect();
        Ok(())
    }

    async fn call(
        &self,
        told: &mut Told,
        (method, path): (Method, &str),
        body: Option<Value>,
    ) -> Result<Value, u16> {
        let url = self.base.join(path).map_err(|_| 0_u16)?;
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let answer = request.send().await.map_err(|_| 0_u16)?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(|_| 0_u16)?;
        let value = serde_json::from_str(&text).unwrap_or_default();
        told.texts.push(text);
        if (200..300).contains(&status) { Ok(value) } else { Err(status) }
    }
}

impl Simulation {
    /// Has everybody who applies get an account of the highest class, at Hefu's admin API with this token: a few tens at once.
    pub async fn apply(&self, base: Url, token: &str) -> Result<(), SimError> {
        let client = Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let hub = Arc::clone(&self.hub);
        let office = Arc::new(Office { hub, client, base, token: token.to_owned() });
        let mut under_way = JoinSet::new();
        for nth in 0..APPLICANTS {
            if under_way.len() >= AT_ONCE {
                under_way.join_next().await;
            }
            let office = Arc::clone(&office);
            under_way.spawn(async move { office.apply(nth).await });
        }
        while under_way.join_next().await.is_some() {}
        Ok(())
    }

    /// How many of how many upgrades are over.
    pub fn applied(&self) -> (usize, usize) {
        (self.hub.clerk.done.load(Ordering::SeqCst), APPLICANTS)
    }

    /// What must have come of each upgrade, and what Hefu said of it.
    pub fn upgrades(&self) -> audit::Upgrades {
        audit::upgrades(&self.hub.world, &self.hub.log.providers(), &self.hub.clerk.told())
    }
}
