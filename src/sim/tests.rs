//! The whole simulation without Hefu: the core speaks with the channels directly.

use std::{collections::BTreeSet, time::Duration};

use reqwest::Url;

use crate::sim::{Settings, Simulation, Target, record::Channel};

/// Every message type that the journeys have, as the channels call it.
const SPOKEN: &[&str] = &[
    "00/00",
    "01",
    "01/01",
    "02",
    "03",
    "04/00",
    "11",
    "11/02",
    "100001",
    "100002",
    "100011",
    "100014",
    "200004",
    "211003",
    "211004",
    "211006",
    "211006C",
    "211006R",
    "220001",
    "12",
    "12/00",
    "15",
    "16",
    "31",
    "31/00",
    "72/01",
    "72/02",
    "72/10",
    "72/11",
    "74/04",
    "77/02",
    "BF0040001",
    "BF0040002",
    "bindcard/bindcardlist",
    "bindcard/confirm",
    "bindcard/payerrequest",
    "bindcard/queryorder",
    "bindcard/queryorderinfo",
    "bindcard/request",
    "bindcard/resendsms",
    "bindpay/confirm",
    "bindpay/request",
    "bindpay/sendsms",
    "entrust/confirm",
    "entrust/pay",
    "entrust/query",
    "entrust/request",
    "epcc.101.001.01/0201",
    "epcc.101.001.01/0202",
    "epcc.103.001.01",
    "epcc.201.001.01/0110",
    "epcc.301.001.01",
    "individual-bindcard-apply",
    "individual-bindcard-verify",
    "payment-bankcard",
    "payment-papay",
    "query-payment",
    "query-withdrawal",
    "trade/order",
    "trade/order/query",
    "validation-sms",
    "withdraw/order",
    "withdraw/system/query",
    "withdrawal",
];

/// The channels themselves, without Hefu.
fn direct(simulation: &Simulation) -> Target {
    let url = |name| Url::parse(&simulation.endpoints()[name]).unwrap();
    let channels = simulation.channels().into_iter().map(|name| (name, url(name))).collect();
    Target { channels, plain: url("plain"), tells_elements: false, repeats: false, notify: None }
}

/// Runs `messages` messages straight to the channels.
async fn run(settings: Settings, messages: usize) -> Simulation {
    let simulation = Simulation::start(settings).await.unwrap();
    let target = direct(&simulation);
    let enough = async {
        let mut look = tokio::time::interval(Duration::from_millis(5));
        while simulation.messages() < messages {
            look.tick().await;
        }
    };
    simulation.drive(target, 2000, enough).await.unwrap();
    simulation
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direct_run_is_clean_and_speaks_every_message() {
    let dir = tempfile::tempdir().unwrap();
    let simulation = run(Settings::new(7, dir.path().into()), 11_000).await;
    let audit = simulation.audit();
    let seen: BTreeSet<_> = simulation.hub.log.channels().iter().map(|e| e.txn.clone()).collect();
    assert_eq!(seen, SPOKEN.iter().map(|txn| (*txn).to_owned()).collect());
    for (name, channel) in &audit.channels {
        assert_eq!(
            (
                channel.signature_failures,
                channel.bytes_changed,
                channel.duplicates,
                channel.hefu_headers,
                channel.lost
            ),
            (0, 0, 0, 0, 0),
            "{name}"
        );
        assert!(channel.received == channel.sent && channel.refused == 0, "{name}");
        assert!(
            channel.match_then_no_match.truly + channel.unverified_then_no_match.truly > 5,
            "{name}"
        );
    }
    let share = |name: &str| audit.channels[name].sent * 100 / audit.sum(|c| c.sent);
    assert!((25..=45).contains(&share("unionpay")), "{}", share("unionpay"));
    assert!(audit.uninspected > 0);
    assert!(
        audit.channels["baofoo"].match_then_no_match.truly > 10,
        "movers contradict their binds"
    );
    // The messages in JSON are too few to count on.
    for channel in simulation.channels().into_iter().filter(|name| *name != "yeepay-json") {
        let found = believed(&simulation, channel);
        assert!(found > 3, "{channel}: {found}");
    }
    assert!(simulation.leak_scanner().unwrap().scan(b"nothing of anybody").is_empty());
}

/// Messages refused for their elements although the provider with the freshest copy of the banks' data would have matched.
fn believed(simulation: &Simulation, channel: Channel) -> usize {
    let log = simulation.hub.log.channels();
    let refused = log.iter().filter(|e| e.channel == channel && !e.verdict.said.is_empty());
    let believed = refused.filter(|e| {
        let card = e.tuple.pan.as_deref().and_then(|pan| simulation.hub.world.card(pan));
        card.is_some_and(|card| card.at_copy(20).differing(&e.tuple).is_empty())
    });
    believed.count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_mismatches_are_told_by_the_query() {
    let dir = tempfile::tempdir().unwrap();
    let settings =
        Settings { late_mismatches: 1000, people: 600, ..Settings::new(3, dir.path().into()) };
    let simulation = run(settings, 1500).await;
    let log = simulation.hub.log.channels();
    let told_by_query = log
        .iter()
        .filter(|e| ["00/00", "31"].contains(&e.txn.as_str()) && !e.verdict.said.is_empty())
        .count();
    let told_at_once = log
        .iter()
        .filter(|e| {
            ["11/02", "16", "payment-papay"].contains(&e.txn.as_str()) && !e.verdict.said.is_empty()
        })
        .count();
    assert!(told_by_query > 0);
    assert_eq!(told_at_once, 0);
}

#[tokio::test]
async fn keys_are_private_and_go_with_the_simulation() {
    let dir = tempfile::tempdir().unwrap();
    let simulation =
        Simulation::start(Settings { people: 10, ..Settings::new(1, dir.path().into()) })
            .await
            .unwrap();
    assert!(simulation.key_files().len() > simulation.channels().len());
    for path in simulation.key_files().values() {
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(path).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }
    drop(simulation);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_channel_is_slow_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let simulation =
        Simulation::start(Settings { people: 50, ..Settings::new(1, dir.path().into()) })
            .await
            .unwrap();
    simulation.delay("unionpay", Duration::from_millis(50));
    let target = direct(&simulation);
    let enough = async {
        let mut look = tokio::time::interval(Duration::from_millis(5));
        while simulation.messages() < 100 {
            look.tick().await;
        }
    };
    simulation.drive(target, 1000, enough).await.unwrap();
    let audit = simulation.audit();
    assert_eq!(audit.sum(|c| c.sent), audit.sum(|c| c.received));
    assert_eq!(audit.sum(|c| c.lost + c.signature_failures), 0);
}

#[tokio::test]
async fn every_message_type_is_composed_and_signed_and_a_changed_byte_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { people: 10, ..Settings::new(1, dir.path().into()) };
    let simulation = Simulation::start(settings).await.unwrap();
    for (channel, kind) in simulation.kinds() {
        for seed in 0..40 {
            let what = format!("{channel} {kind} {seed}");
            let sample = simulation.sample(channel, kind, seed).unwrap();
            let reply = simulation.answer(&sample).unwrap();
            assert!(reply.signed && !reply.body.is_empty(), "{what}");
            assert_eq!(reply.order, sample.order, "{what}");
            let mut changed = sample.clone();
            // Somewhere in the last quarter of the body, or of the query; a letter becomes another.
            let mut bytes = if changed.body.is_empty() {
                changed.path.clone().into_bytes()
            } else {
                changed.body.clone()
            };
            let place = bytes.len() * 3 / 4;
            let byte = bytes.iter_mut().skip(place).find(|b| b.is_ascii_alphanumeric()).unwrap();
            *byte = if *byte == b'7' { b'8' } else { b'7' };
            if changed.body.is_empty() {
                changed.path = String::from_utf8(bytes).unwrap();
            } else {
                changed.body = bytes;
            }
            assert!(!simulation.answer(&changed).unwrap().signed, "{what}");
        }
    }
}
