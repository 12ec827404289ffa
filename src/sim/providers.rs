//! Simulated providers: each answers from its own, older copy of the data, in its own protocol, and checks who asks for real.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use tokio::task::JoinHandle;

use crate::sim::{
    audit::LOCKED_AFTER,
    channel::{Hub, serve},
    keys::{dice, sha256_hex},
    record::{AtProvider, lock},
    world::{Card, CardState, Element, Tuple},
};

pub(super) mod aliyun;
pub(super) mod bill99;
pub(super) mod cpcn;
pub(super) mod face;
pub(super) mod id_card;
pub(super) mod operator;
pub(super) mod operator_detail;
pub(super) mod registry;
pub(super) mod reseller;
mod script;
pub(super) mod tencent;
pub(super) mod unionpay72;

pub use self::face::picture;
pub use self::script::{Inquired, Said, Script, Twist};
pub(super) use self::script::{Scripts, serve_others};

/// How long a provider that hangs takes to answer: longer than any sane time limit.
const HANGS: Duration = Duration::from_secs(8);

/// Whom a provider asks.
#[derive(Clone, Copy)]
pub(super) enum Register {
    /// A copy of the banks' data that is so many days old; perhaps with an operator's word for the phone.
    Bank { lag_days: u32, mixed: bool },
    /// The operators, by phone.
    Operator,
    /// The police, by identity number.
    Police,
    /// Nobody: it looks at nothing but the request.
    Nobody,
}

/// A request as the protocols see it.
pub(super) struct Request {
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Request {
    /// A header's text, or an empty one.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
    }

    /// The parts of an `Authorization` header of this scheme: `Credential`, `SignedHeaders`, `Signature`.
    pub(super) fn authorization(&self, scheme: &str) -> Option<HashMap<&str, &str>> {
        let rest = self.header("authorization").strip_prefix(scheme)?;
        rest.split(',').map(|part| part.trim().split_once('=')).collect()
    }

    /// The canonical request that TC3 and ACS3 both sign: method, path, query, headers, their names, the body's hash.
    pub(super) fn canonical(&self, signed: &str, lowercase_values: bool) -> String {
        let headers = signed.split(';').map(|name| {
            let value = self.header(name);
            format!(
                "{name}:{}\n",
                if lowercase_values { value.to_lowercase() } else { value.to_owned() }
            )
        });
        let mut query: Vec<_> = self.query.split('&').filter(|pair| !pair.is_empty()).collect();
        query.sort_unstable();
        let (query, headers) = (query.join("&"), headers.collect::<String>());
        format!("POST\n{}\n{query}\n{headers}\n{signed}\n{}", self.path, sha256_hex(&self.body))
    }
}

/// What goes back.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
    /// The answer's own code, for the books.
    pub(super) code: String,
    pub(super) billable: bool,
}

/// A provider's protocol and its copy of the data.
pub(super) trait Protocol: Send + Sync + 'static {
    /// The provider's name.
    const NAME: &'static str;
    /// What kind of text its answers are.
    const CONTENT_TYPE: &'static str = "application/json;charset=utf-8";
    /// Whom it asks about this request.
    fn register(&self, request: &Request) -> Register;
    /// The elements asked, or a refusal when the request is not authentic or not readable.
    fn read(&self, request: &Request) -> Result<Tuple, Reply>;
    /// Which product it asks for, by what the provider bills it as.
    fn product(&self, _: &Request) -> &'static str {
        Self::NAME
    }
    /// Whether an answer with this code leaves open whether it is billed.
    fn leaves_open(&self, _code: &str) -> bool {
        false
    }
    /// The buyer's own number of the request, where the protocol has one.
    fn inquiry(&self, _: &Request) -> Option<String> {
        None
    }
    /// The answer in the provider's words.
    fn write(&self, request: &Request, said: &Said) -> Reply;
}

/// A running provider.
pub(super) struct Provider<P> {
    protocol: P,
    hub: Arc<Hub>,
    /// How often a tuple was asked, by its dice: so that a fault does not stick to a person.
    asked: Mutex<HashMap<u64, u32>>,
}

impl<P: Protocol> Provider<P> {
    /// Starts the server.
    pub(super) async fn serve(
        protocol: P,
        hub: Arc<Hub>,
    ) -> io::Result<(SocketAddr, JoinHandle<()>)> {
        let provider = Arc::new(Self { protocol, hub, asked: Mutex::default() });
        serve(Router::new().fallback(handle::<P>).with_state(provider)).await
    }

    /// A number for this inquiry that does not depend on what others ask.
    fn roll(&self, tuple: &Tuple) -> u64 {
        let values = [Element::Name, Element::IdNumber, Element::Pan, Element::Phone]
            .map(|e| tuple.get(e).unwrap_or_default());
        let who = dice(self.hub.seed, &values);
        let mut asked = lock(&self.asked);
        let times = asked.entry(who).and_modify(|times| *times += 1).or_insert(0);
        dice(self.hub.seed, &[P::NAME, &who.to_string(), &times.to_string()])
    }

    /// Looks the tuple up in the register that this provider asks.
    fn look_up(&self, tuple: &Tuple, register: Register) -> Said {
        let world = &self.hub.world;
        let (lag_days, mixed) = match register {
            Register::Bank { lag_days, mixed } => (lag_days, mixed),
            Register::Operator => {
                let holder = tuple.phone.as_deref().and_then(|phone| world.phone_holder(phone));
                return held_by(holder, tuple);
            }
            Register::Police => {
                let holder = tuple.id_number.as_deref().and_then(|id| world.id_holder(id));
                return held_by(holder, tuple);
            }
            Register::Nobody => return Said::Match,
        };
        let Some(card) = tuple.pan.as_deref().and_then(|pan| world.card(pan)) else {
            return Said::NoRecord;
        };
        let mut wrong = card.at_copy(lag_days).differing(tuple);
        if mixed && tuple.phone.as_deref() == Some(card.operator_phone()) {
            wrong.retain(|element| *element != Element::Phone);
        }
        if card.tried(wrong.is_empty(), LOCKED_AFTER) {
            Said::State(CardState::Frozen)
        } else if !wrong.is_empty() {
            Said::NoMatch(wrong)
        } else if card.state == CardState::Normal {
            Said::Match
        } else {
            Said::State(card.state)
        }
    }
}

/// What a register of people says: it knows its holder's name and identity number as they are today.
fn held_by(holder: Option<&Card>, tuple: &Tuple) -> Said {
    let Some(card) = holder else { return Said::NoRecord };
    let asked = Tuple { phone: None, pan: None, ..tuple.clone() };
    let wrong = card.at_copy(0).differing(&asked);
    if wrong.is_empty() { Said::Match } else { Said::NoMatch(wrong) }
}

async fn handle<P: Protocol>(
    State(provider): State<Arc<Provider<P>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = Request {
        path: uri.path().into(),
        query: uri.query().unwrap_or_default().into(),
        headers,
        body,
    };
    let read = provider.protocol.read(&request);
    let authentic = read.is_ok();
    let script = provider.hub.scripts.of(P::NAME);
    let (mut of_bank, mut failed, mut silent) = (false, false, false);
    let (tuple, said, reply, takes) = match (read, &script) {
        (Err(refusal), _) => (Tuple::default(), None, refusal, Duration::ZERO),
        (Ok(tuple), Some(script)) => {
            let reply = provider.protocol.write(&request, &script.said);
            (tuple, Some(script.said.clone()), reply, Duration::ZERO)
        }
        (Ok(tuple), None) => {
            let roll = provider.roll(&tuple);
            let (fault, kind) = (roll % 1000 < provider.hub.provider_faults, roll / 1000 % 4);
            let latency = Duration::from_millis(3 + roll / 4000 % 30);
            let register = provider.protocol.register(&request);
            (failed, silent) = (fault, fault && kind < 2);
            of_bank = matches!(register, Register::Bank { .. }) && !fault;
            let said = if fault { Said::Busy } else { provider.look_up(&tuple, register) };
            let reply = if fault && kind == 1 {
                Reply {
                    status: 500,
                    body: "internal error".into(),
                    code: "500".into(),
                    billable: false,
                }
            } else {
                provider.protocol.write(&request, &said)
            };
            (tuple, Some(said), reply, if fault && kind == 0 { HANGS } else { latency })
        }
    };
    // What was asked is billed, whether anybody waits for the answer or not.
    provider.hub.log.at_provider(AtProvider {
        seq: provider.hub.log.tick(),
        provider: P::NAME,
        product: provider.protocol.product(&request),
        inquiry: provider.protocol.inquiry(&request),
        authentic,
        tuple,
        failed,
        unsaid: silent || provider.protocol.leaves_open(&reply.code),
        answer: reply.code,
        matched: said == Some(Said::Match),
        tried: match &said {
            Some(Said::Match) if of_bank => Some(true),
            Some(Said::NoMatch(_)) if of_bank => Some(false),
            _ => None,
        },
        billable: reply.billable,
    });
    if takes > Duration::ZERO {
        tokio::time::sleep(takes).await;
    }
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let twist = script.map_or(Twist::None, |script| script.twist);
    let (content_type, body) = twist.apply(P::CONTENT_TYPE, reply.body);
    (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
}

#[cfg(test)]
mod tests;
