//! The verification service: what one configuration makes of it, and where it is served.

use super::StartError;
use super::handover::VERIFICATION;
use super::listener::{self, Bounds};
use crate::clients::access::{Client, Key};
use crate::clients::signed::SigningKey;
use crate::clients::{Clients, Live, router};
use crate::config::{self, Config};
use crate::proxy;
use crate::service::Service;
use crate::service::clients::Terms;
use crate::service::clients::kinds::KindTerms;
use crate::service::clients::quota::Quota;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};

/// What a configuration makes of the service, where there is one.
pub(super) fn clients(
    config: &Config,
    service: &Arc<Service>,
) -> Result<Option<Arc<Clients>>, StartError> {
    let Some(set) = &config.verification else { return Ok(None) };
    let door = set.door.as_ref().map(|door| {
        proxy::door_for(&door.own.chain, &door.own.key, &door.clients, b"\x08http/1.1")
    });
    Ok(Some(Arc::new(Clients {
        service: service.clone(),
        clients: set.clients.iter().map(client).collect(),
        body_max: set.body,
        batch_max: set.batch_body,
        batches: set.batches,
        pictures: set.pictures,
        picture_max: set.picture,
        body_within: set.body_deadline,
        door: door.transpose().map_err(StartError::Door)?,
    })))
}

fn client(client: &config::clients::Client) -> Client {
    let merchant = client.merchant.clone().unwrap_or_else(|| Terms::own(&client.name));
    let keys = client.keys.iter().map(|key| Key {
        id: key.id.clone(),
        digest: key.digest,
        until: key.until,
    });
    let [day, month] = client.quota;
    Client {
        keys: keys.collect(),
        may: client.may.clone(),
        per_second: client.per_second,
        signing: client.signing.as_ref().map(|key| SigningKey::new(key.expose())),
        terms: Arc::new(Terms {
            name: client.name.clone(),
            merchant,
            scenario: client.scenario,
            sets: client.sets.clone(),
            kinds: client.kinds.iter().map(kind).collect(),
            shares: client.shares,
            quota: Quota { day, month },
            prices: client.prices.clone(),
            is_told: client.webhook.is_some(),
            turn: Mutex::default(),
        }),
    }
}

fn kind(kind: &config::clients::ClientKind) -> KindTerms {
    let (prices, sets) = (kind.prices.clone(), kind.sets.clone());
    KindTerms { kind: kind.kind, sets, prices }
}

impl From<&config::clients::Verification> for Bounds {
    fn from(set: &config::clients::Verification) -> Self {
        Self { connections: set.connections, head: set.head_deadline }
    }
}

/// Serves whoever connects, until it is drained; then what was begun.
pub(super) async fn serve(
    listener: TcpListener,
    live: Live,
    bounds: Bounds,
    draining: watch::Receiver<bool>,
) {
    let (routes, door) = (router(live.clone()), || live.current().door.clone());
    listener::serve((listener, VERIFICATION), routes, door, bounds, draining).await;
}
