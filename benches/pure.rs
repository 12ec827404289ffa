//! One inspected exchange without sockets: its head is framed, the message judged (read, fingerprinted, looked up, held against rules,
//! decided, admitted in memory) and settled (the answer is read and compared). All of it is the program's own code; only the clock
//! stands still, and what is drawn by chance is counted.

use crate::world;
use futures::FutureExt as _;
use hefu::domain::clock::{Clock, Timestamp};
use hefu::message::extract::Request;
use hefu::metrics::Metrics;
use hefu::policy::Policy;
use hefu::proxy::head::check_head;
use hefu::route::attempts::Limits as Attempts;
use hefu::route::budget::Budget;
use hefu::service::afterwards::Sample;
use hefu::service::attempts::Purse;
use hefu::service::judge::Judged;
use hefu::service::rules::Rulebook;
use hefu::service::settle::Reported;
use hefu::service::validity::{Sharing, Validity};
use hefu::service::verify::Flights;
use hefu::service::{Binding, Channel, Service, Settings};
use hefu::store::memory::{Limits, MemoryStore};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The risk team's rules that every message is held against.
pub(crate) const RULES: usize = 50;

/// When all of it happens.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_795_200_000);

/// Where nobody is connected to.
const DEPLOYMENT: &str = "[channels.unionpay]\nupstreams = [\"http://127.0.0.1:1\"]\n";

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// The next of the random numbers, which only have to differ.
fn count() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed).into()
}

/// A Hefu between sockets that are not there.
pub(crate) struct Pure {
    pub(crate) service: Arc<Service>,
    pub(crate) channel: Arc<Channel>,
    /// The debit, as it comes from the core.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// Where the number of the order is in it: each leaves once.
    order: Range<usize>,
    next: u64,
    answer: Vec<u8>,
}

impl Pure {
    /// Its evidence is hot: the channel has just verified the person who is debited.
    pub(crate) fn new(dir: &Path) -> Self {
        world::rules(dir, RULES);
        let config = world::configure(dir, DEPLOYMENT);
        let profile = config.profile("unionpay").unwrap().clone();
        let service = Service {
            policy: Policy::default(),
            settings: Settings::default(),
            providers: Vec::new(),
            keys: config.keys.clone(),
            store: Arc::new(MemoryStore::new(Limits::default())),
            metrics: Arc::new(Metrics::new().unwrap()),
            clock: Arc::new(Still),
            entropy: count,
            flights: Flights::default(),
            retries: Budget::new(20),
            attempts: Attempts::default(),
            purse: Purse::default(),
            observe: Sample::default(),
            validity: Validity::default(),
            sharing: Sharing::default(),
            tiers: hefu::service::accounts::Tiers::default(),
            rules: Some(Rulebook { book: config.rules.clone(), counts: Arc::default() }),
        };
        let body = world::debit();
        let order = world::order_in(&body);
        let mut pure = Self {
            service: Arc::new(service),
            channel: Arc::new(Channel { profile, binding: Binding::Enforce(100) }),
            head: world::head("/gateway/api/backTransReq.do", body.len()),
            body: world::message(["72", "01", "001001"]),
            order,
            next: 0,
            answer: world::answer(),
        };
        pure.exchange();
        pure.body = body;
        pure
    }

    /// One message, its answer, and what the core is told beside it.
    pub(crate) fn exchange(&mut self) {
        let judged = self.judge();
        self.settle(judged);
    }

    /// The next order, up to the permit.
    pub(crate) fn judge(&mut self) -> Judged {
        self.next += 1;
        let digits = format!("{:0width$}", self.next, width = self.order.len());
        self.body.get_mut(self.order.clone()).unwrap().copy_from_slice(digits.as_bytes());
        let head = check_head(&self.head).unwrap();
        let kind = head.fields.get("content-type").unwrap().to_str().unwrap();
        let request = Request::post(&head.path, kind, &self.body);
        let judging = self.service.judge(&self.channel, &request);
        // Nobody is waited for: evidence is known, and nothing is written to a disk.
        let (_permit, judged) = judging.now_or_never().unwrap().unwrap();
        judged
    }

    /// What was judged, by the channel's answer.
    pub(crate) fn settle(&self, judged: Judged) {
        let answer =
            Reported::Answer { status: 200, content_type: Some(world::FORM), body: &self.answer };
        let told = self.service.settle(judged, answer).now_or_never().unwrap();
        let says = |name: &str, what: &str| {
            told.iter().any(|(field, value)| *field == name && value.starts_with(what))
        };
        assert!(says("hefu-decision", "permit;mode=enforce"), "{told:?}");
        assert!(says("hefu-outcome", "succeeded") || says("hefu-outcome", "accepted"), "{told:?}");
    }
}
