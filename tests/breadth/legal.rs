//! Legal messages: through Hefu on real sockets, to counterparts that verify real signatures.

use crate::alike::Wire;
use crate::world::{World, count};
use futures::{StreamExt as _, stream};
use hefu::message::extract;

/// Every message type of every channel yields a payment, whatever people are called.
#[tokio::test]
async fn legal_messages_are_never_refused_as_ambiguous() {
    let world = World::new().await;
    let types = world.simulation.kinds();
    for (channel, kind) in types {
        let profile = world.profile(channel);
        for seed in 0..count() {
            let sample = world.sample(channel, kind, seed);
            let wire = Wire::new(&sample, profile);
            let extracted =
                extract::extract(profile, &wire.request(&sample)).unwrap_or_else(|error| {
                    let body = String::from_utf8_lossy(&sample.body);
                    panic!("{channel} {kind} seed {seed}: {error}\n{body}")
                });
            // A batch has a name of its own, or its rows have all the name there is.
            let row = extracted.payments.first().and_then(|part| part.payment.order.as_ref());
            let orders = [extracted.order.as_ref(), row].map(|order| order.map(|order| &*order.0));
            // Some messages name no order, and some queries none that is read.
            let named = orders != [None; 2] || extracted.message.scenario.moves_money();
            let told = Some(sample.order.as_str());
            let right = !named || orders.contains(&told);
            assert!(right, "{channel} {kind} seed {seed}: {orders:?}, not {told:?}");
            assert_eq!(extracted.message.scenario.as_str(), sample.scenario, "{channel} {kind}");
        }
    }
}

/// Through a running Hefu: not a byte differs on the other side, and its signature check holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legal_messages_pass_unchanged_and_verify() {
    let World { simulation, config, _dir } = World::new().await;
    let running = hefu::app::start(config).await.unwrap();
    let base = format!("http://{}", running.core);
    let client = reqwest::Client::builder().no_proxy().http1_only().build().unwrap();
    for (channel, kind) in simulation.kinds() {
        let samples: Vec<_> =
            (0..count()).map(|seed| simulation.sample(channel, kind, seed).unwrap()).collect();
        let sent = stream::iter(&samples).map(async |sample| {
            let method = reqwest::Method::from_bytes(sample.method.as_bytes()).unwrap();
            let mut request = client.request(method, format!("{base}{}", sample.path));
            for (name, value) in &sample.headers {
                request = request.header(name, value);
            }
            let response = request.body(sample.body.clone()).send().await.unwrap();
            let told = response
                .headers()
                .get("hefu-decision")
                .map(|told| told.to_str().unwrap().to_owned());
            assert_eq!(response.status(), 200, "{channel} {kind}: {told:?}");
            let told = told.unwrap();
            let unread =
                ["ambiguous", "unreadable", "unlisted"].iter().any(|reason| told.contains(reason));
            assert!(!unread, "{channel} {kind}: {told} {}", String::from_utf8_lossy(&sample.body));
        });
        sent.buffer_unordered(16).collect::<Vec<()>>().await;
        let unchanged = simulation.arrivals(&samples);
        assert_eq!(
            unchanged,
            samples.len(),
            "{channel} {kind}: not every message arrived unchanged and verified"
        );
        println!("{channel:<9} {kind:<22} {unchanged:>6} passed unchanged, signatures verified");
    }
    drop(client);
    running.drain().await;
}
