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
    channel::{Hub, serve},
    keys::{dice, sha256_hex},
    record::{AtProvider, lock},
    world::{CardState, Element, Tuple},
};

pub(super) mod aliyun;
pub(super) mod operator;
pub(super) mod tencent;
pub(super) mod unionpay72;

/// How long a provider that hangs takes to answer: longer than any sane time limit.
const HANGS: Duration = Duration::from_secs(8);

/// What a provider finds in its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Match,
    NoMatch,
    NoRecord,
    State(CardState),
    Busy,
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
    /// How old its copy of the banks' data is; nothing when it asks an operator.
    const LAG_DAYS: Option<u32>;
    /// Whether it also believes an operator about the phone.
    const MIXED: bool = false;
    /// The elements asked, or a refusal when the request is not authentic or not readable.
    fn read(&self, request: &Request) -> Result<Tuple, Reply>;
    /// The answer in the provider's words.
    fn write(&self, request: &Request, said: Said) -> Reply;
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

    /// Looks the tuple up in this provider's copy.
    fn look_up(&self, tuple: &Tuple) -> Said {
        let world = &self.hub.world;
        let Some(lag) = P::LAG_DAYS else {
            let holder = tuple.phone.as_deref().and_then(|phone| world.phone_holder(phone));
            let same = |held: &crate::sim::world::Facts| {
                Some(&held.name) == tuple.name.as_ref()
                    && Some(&held.id_number) == tuple.id_number.as_ref()
            };
            return holder.map_or(Said::NoRecord, |card| {
                if same(card.at_copy(0)) { Said::Match } else { Said::NoMatch }
            });
        };
        let Some(card) = tuple.pan.as_deref().and_then(|pan| world.card(pan)) else {
            return Said::NoRecord;
        };
        let mut wrong = card.at_copy(lag).differing(tuple);
        if P::MIXED && tuple.phone.as_deref() == Some(card.operator_phone()) {
            wrong.retain(|element| *element != Element::Phone);
        }
        if !wrong.is_empty() {
            Said::NoMatch
        } else if card.state == CardState::Normal {
            Said::Match
        } else {
            Said::State(card.state)
        }
    }
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
    let (tuple, said, reply) = match read {
        Err(refusal) => (Tuple::default(), None, refusal),
        Ok(tuple) => {
            let roll = provider.roll(&tuple);
            let (fault, kind) = (roll % 1000 < provider.hub.provider_faults, roll / 1000 % 4);
            let latency = Duration::from_millis(3 + roll / 4000 % 30);
            tokio::time::sleep(if fault && kind == 0 { HANGS } else { latency }).await;
            let said = if fault { Said::Busy } else { provider.look_up(&tuple) };
            let reply = if fault && kind == 1 {
                Reply {
                    status: 500,
                    body: "internal error".into(),
                    code: "500".into(),
                    billable: false,
                }
            } else {
                provider.protocol.write(&request, said)
            };
            (tuple, Some(said), reply)
        }
    };
    provider.hub.log.providers().push(AtProvider {
        seq: provider.hub.log.tick(),
        provider: P::NAME,
        authentic,
        tuple,
        answer: reply.code,
        matched: said == Some(Said::Match),
        billable: reply.billable,
    });
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json;charset=utf-8")], reply.body).into_response()
}

#[cfg(test)]
mod tests;
