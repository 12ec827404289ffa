//! Telling whoever listens: signed, in order for each payment, and again until it is taken.

use super::managed::Desk;
use crate::admin::Admin;
use crate::config::Webhook;
use crate::domain::clock::Timestamp;
use crate::domain::id::ClientName;
use crate::service::webhook::Delivery;
use crate::store::hook::Hook;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::redirect::Policy;
use sha2::Sha256;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How many are told at once.
const TOGETHER: usize = 16;

/// How often is looked for what is to be told.
const EVERY: Duration = Duration::from_secs(1);

/// What the header that proves them is called.
pub(super) const SIGNATURE: &str = "Hefu-Signature";

/// The signature of a body that is told at `at`: `t=MILLISECONDS,v1=HEX`, where the second is the HMAC-SHA-256 of both, joined by a
/// dot, under the key as it stands in its file. `None` where there can be none, which no key brings about.
pub(super) fn signature(key: &[u8], at: Timestamp, body: &str) -> Option<String> {
    let at = at.as_millis();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{at}.").as_bytes());
    mac.update(body.as_bytes());
    Some(format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes())))
}

/// Tells operations and clients what they are to be told, for as long as it is not dropped. Nobody waits for another's slowness.
pub(super) async fn deliver(desk: Arc<Desk>) {
    let (mut client, mut telling) = (None, JoinSet::new());
    let mut busy = BTreeSet::new();
    let mut every = tokio::time::interval(EVERY);
    loop {
        every.tick().await;
        while let Some(Ok(done)) = telling.try_join_next() {
            busy.remove(&done);
        }
        if client.is_none() {
            // No redirects: whoever is told is who is configured.
            let builder = reqwest::Client::builder().no_proxy().redirect(Policy::none());
            client = builder.build().ok();
        }
        let Some(client) = &client else { continue };
        let config = desk.config();
        let clients = config.verification.iter().flat_map(|service| &service.clients);
        let clients = clients.filter_map(|it| Some((Some(it.name.clone()), it.webhook.clone()?)));
        let operations = config.webhook.clone().map(|webhook| (None, webhook));
        for (to, webhook) in operations.into_iter().chain(clients) {
            if busy.insert(to.clone()) {
                let (admin, webhook) = (desk.live.current(), Arc::new(webhook));
                telling.spawn(tell_all(admin, client.clone(), webhook, to));
            }
        }
    }
}

/// Tells one of them as long as there is more; yields who it was.
async fn tell_all(
    admin: Arc<Admin>,
    client: reqwest::Client,
    webhook: Arc<Webhook>,
    to: Option<ClientName>,
) -> Option<ClientName> {
    while let Ok(hooks) = admin.service.to_tell_whom(to.as_ref(), TOGETHER).await {
        if hooks.is_empty() {
            break;
        }
        let mut telling = JoinSet::new();
        for hook in hooks {
            let (admin, client, webhook) =
                (Arc::clone(&admin), client.clone(), Arc::clone(&webhook));
            telling.spawn(async move {
                let delivery = tell(&client, &webhook, &hook, admin.service.clock.now()).await;
                // Where the store is lost it is told once more.
                let _ = admin.service.told_of(&hook, delivery).await;
            });
        }
        telling.join_all().await;
    }
    to
}

async fn tell(
    client: &reqwest::Client,
    webhook: &Webhook,
    hook: &Hook,
    now: Timestamp,
) -> Delivery {
    let Some(signature) = signature(webhook.key.expose(), now, &hook.body) else {
        return Delivery::Failed("not signed".to_owned());
    };
    let request = client
        .post(&webhook.url)
        .timeout(webhook.timeout)
        .header("Content-Type", "application/json")
        .header("Hefu-Event-Id", hook.id.to_string())
        .header(SIGNATURE, signature)
        .body(hook.body.clone());
    match request.send().await {
        Ok(answer) if answer.status().is_success() => Delivery::Taken,
        Ok(answer) => Delivery::Failed(answer.status().as_u16().to_string()),
        Err(error) if error.is_timeout() => Delivery::Failed("timed out".to_owned()),
        Err(_) => Delivery::Failed("not reached".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vector that anybody's library can be held against: `printf '1700000000000.{}' | openssl dgst -sha256 -hmac KEY`.
    #[test]
    fn the_signature_is_over_time_and_body() {
        let at = Timestamp::from_millis(1_700_000_000_000);
        let signed = |key: &[u8], body| signature(key, at, body).unwrap();
        assert_eq!(
            signed(b"KEY", "{}"),
            "t=1700000000000,v1=9bc0048f433a742286858109b942ad19c9176272f72a2e7244256c7428a4a071"
        );
        assert_ne!(signed(b"KEY", "{}"), signed(b"KEY", "{} "));
        assert_ne!(signed(b"KEY", "{}"), signed(b"KEx", "{}"));
    }
}
