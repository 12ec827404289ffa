//! Traces: the core's is joined, the channel sees what the core sent, providers and the collector see ours, and no span holds an
//! element. The collector is a socket, and what it is sent is decoded.

use crate::assessed::{provider, with_provider};
use crate::channel::dead;
use crate::http2::answering;
use crate::peers::{Channel, Message, Peer, channel, ok, soon};
use crate::process::{Hefu, Place};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use std::collections::BTreeMap;
use std::fs;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CORES_SPAN: &str = "b7ad6b7169203331";
/// Of the made-up person.
const ELEMENTS: [&str; 4] = ["张三", "11010519491231002X", "6200000000000005", "13800000000"];

/// A debit of that person.
fn debit(order: &str, field: &str) -> String {
    let [name, id, card, phone] = ELEMENTS;
    let body = format!(
        r#"{{"type":"debit","order":"{order}","amount":"100","name":"{name}","id":"{id}","card":"{card}","phone":"{phone}"}}"#
    );
    // What follows the route's path may hold anything.
    format!(
        "POST /acme/of/{phone} HTTP/1.1\r\nHost: acme\r\nContent-Type: application/json\r\n{field}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// How far two readings of the wall's and the process's clock may be apart.
const READING_NANOS: u64 = 1_000_000;

struct World {
    bank: Channel,
    trial: Channel,
    collector: Channel,
    place: Place,
    hefu: Hefu,
}

/// A bank, a provider, a collector, and a Hefu that traces `share` of what the core says nothing of.
async fn world(share: &str) -> World {
    world_but(share, |_| ()).await
}

/// The same, but for what `change` makes of its configuration.
async fn world_but(share: &str, change: impl FnOnce(&Place)) -> World {
    let bank =
        channel(|nth| ok(if nth == 1 { r#"{"code":"phone"}"# } else { r#"{"code":"ok"}"# })).await;
    let trial = provider(&[]).await;
    let collector = channel(|_| ok("")).await;
    let place = Place::to(&bank);
    place.enforce();
    with_provider(&place, &trial);
    place.replace(
        "hefu.toml",
        "[secrets]",
        &format!(
            "[log]\naccess = \"access.log\"\n[store]\nfile = \"hefu.db\"\n\
             [trace]\notlp = \"http://{}/v1/traces\"\nshare = {share}\n[secrets]",
            collector.address
        ),
    );
    change(&place);
    let hefu = Hefu::start(place.command()).await;
    World { bank, trial, collector, place, hefu }
}

impl World {
    /// Sends, and yields the answer.
    async fn send(&self, message: &str) -> Message {
        let mut core = Peer::connect(self.hefu.core).await;
        core.send(message).await;
        let answer = core.answer().await;
        assert_eq!(answer.status(), 200, "{}", answer.head);
        answer
    }

    /// Ends Hefu; yields what the collector was sent, and the lines of the access log.
    async fn end(mut self) -> (Vec<Told>, Vec<serde_json::Value>) {
        self.hefu.signal("TERM");
        assert!(soon(self.hefu.exit()).await.success());
        let mut told = Vec::new();
        for message in self.collector.messages() {
            assert!(message.head.starts_with("POST /v1/traces "), "{}", message.head);
            for element in ELEMENTS {
                let element = element.as_bytes();
                let found = message.body.windows(element.len()).any(|window| window == element);
                assert!(!found, "an element is in a span");
            }
            let sent = ExportTraceServiceRequest::decode(message.body.as_slice()).unwrap();
            for of in sent.resource_spans {
                let resource = said(&of.resource.unwrap().attributes);
                assert_eq!(resource["service.name"], "hefu");
                let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
                told.extend(spans.map(Told::of));
            }
        }
        let log = fs::read_to_string(self.place.path().join("access.log")).unwrap();
        (told, log.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }
}

/// A span as the collector has it.
#[derive(Debug)]
struct Told {
    trace: String,
    id: String,
    parent: String,
    kind: SpanKind,
    name: String,
    nanos: std::ops::Range<u64>,
    said: BTreeMap<String, String>,
    failed: bool,
}

impl Told {
    fn of(span: Span) -> Self {
        Self {
            trace: hex::encode(&span.trace_id),
            id: hex::encode(&span.span_id),
            parent: hex::encode(&span.parent_span_id),
            kind: span.kind(),
            nanos: span.start_time_unix_nano..span.end_time_unix_nano,
            said: said(&span.attributes),
            failed: span.status.is_some_and(|status| status.code == 2),
            name: span.name,
        }
    }
}

fn said(
    attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue],
) -> BTreeMap<String, String> {
    let told = attributes.iter().map(|attribute| {
        let value = match attribute.value.clone().unwrap().value.unwrap() {
            Value::StringValue(text) => text,
            Value::IntValue(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        (attribute.key.clone(), value)
    });
    told.collect()
}

/// The spans below one, by name, each after what it is a part of.
fn tree(spans: &[Told], parent: &str, depth: usize, lines: &mut Vec<String>) {
    let mut parts: Vec<&Told> = spans.iter().filter(|span| span.parent == parent).collect();
    parts.sort_by_key(|span| span.nanos.start);
    for part in parts {
        let why = part.said.get("hefu.journal").map(|why| format!(" {why}")).unwrap_or_default();
        lines.push(format!("{}{:?} {}{why}", "  ".repeat(depth), part.kind, part.name));
        tree(spans, &part.id, depth + 1, lines);
    }
}

fn named<'s>(spans: &'s [Told], name: &str, kind: SpanKind) -> &'s Told {
    spans.iter().find(|span| span.name == name && span.kind == kind).unwrap()
}

/// The attributes of the request, the question to the provider and the message to the channel.
fn says_what_the_conventions_want(spans: &[Told], payment: &str, places: &[String; 2]) {
    let check = |span: &Told, expected: &[(&str, &str)]| {
        for (key, value) in expected {
            assert_eq!(span.said.get(*key).map(String::as_str), Some(*value), "{key}: {span:#?}");
        }
    };
    check(
        named(spans, "POST /acme/", SpanKind::Server),
        &[
            ("http.request.method", "POST"),
            ("http.response.status_code", "200"),
            ("http.route", "/acme/"),
            ("url.path", "/acme/"),
            ("url.scheme", "http"),
            ("hefu.channel", "acme"),
            ("hefu.payment", payment),
            ("hefu.decision", "permit;mode=enforce"),
            ("hefu.ending", "answered"),
        ],
    );
    let (bank_at, trial_at) = (&places[0], &places[1]);
    let url = format!("http://{bank_at}/acme/");
    check(
        named(spans, "POST /acme/", SpanKind::Client),
        &[
            ("http.request.method", "POST"),
            ("url.full", &url),
            ("server.address", "127.0.0.1"),
            ("server.port", bank_at.rsplit(':').next().unwrap()),
            ("http.response.status_code", "200"),
        ],
    );
    let question = named(spans, "POST", SpanKind::Client);
    check(
        question,
        &[
            ("url.full", &format!("http://{trial_at}")),
            ("server.port", trial_at.rsplit(':').next().unwrap()),
            ("http.response.status_code", "200"),
            ("hefu.provider", "trial"),
        ],
    );
    check(
        named(spans, "verify", SpanKind::Internal),
        &[("hefu.evidence", "asked"), ("hefu.answer", "match")],
    );
}

#[tokio::test]
async fn the_cores_trace_is_joined_and_passes_unchanged() {
    let world = world("0.0").await;
    let parent = format!("00-{TRACE}-{CORES_SPAN}-01");
    let state = "tracestate: core=1\r\n";
    let answer = world.send(&debit("1", &format!("traceparent: {parent}\r\n{state}"))).await;
    // The channel contradicts this one, which is durable before it is relayed.
    let quiet = format!("00-{TRACE}-{CORES_SPAN}-00");
    world.send(&debit("2", &format!("traceparent: {quiet}\r\n"))).await;
    let (bank, asked) = (world.bank.messages(), world.trial.messages());
    assert_eq!(bank[0].field("traceparent"), Some(parent.as_str()));
    assert_eq!(bank[0].field("tracestate"), Some("core=1"));
    assert_eq!(bank[1].field("traceparent"), Some(quiet.as_str()));
    let places = [world.bank.address, world.trial.address].map(|at| at.to_string());
    let (spans, log) = world.end().await;
    let mut lines = Vec::new();
    tree(&spans, CORES_SPAN, 0, &mut lines);
    assert_eq!(
        lines,
        [
            "Server POST /acme/",
            "  Internal judge",
            "    Internal verify",
            "      Internal journal inquiry",
            "      Client POST",
            "    Internal journal admission",
            "  Client POST /acme/",
            "  Internal settle",
        ]
    );
    // Of what is not sampled nothing is kept.
    assert_eq!(spans.len(), lines.len(), "{spans:#?}");
    assert!(spans.iter().all(|span| span.trace == TRACE && !span.failed), "{spans:#?}");
    let server = named(&spans, "POST /acme/", SpanKind::Server);
    for part in &spans {
        // Two batches read the clocks twice.
        let (begun, ended) = (part.nanos.start + READING_NANOS, part.nanos.end);
        let is_within = server.nanos.start <= begun && ended <= server.nanos.end + READING_NANOS;
        assert!(is_within && part.nanos.start <= ended, "{part:#?} of {server:#?}");
    }
    let payment = answer.field("hefu-payment").unwrap().trim_matches('"');
    says_what_the_conventions_want(&spans, payment, &places);
    let question = named(&spans, "POST", SpanKind::Client);
    // What the provider was told is the question's own span.
    let told = format!("00-{TRACE}-{}-01", question.id);
    assert_eq!(asked[0].field("traceparent"), Some(told.as_str()));
    assert_eq!((asked.len(), asked[0].field("tracestate")), (1, None));
    let [kept, quiet] = log.as_slice() else { panic!("{log:#?}") };
    assert_eq!((&kept["trace"], &kept["span"]), (&TRACE.into(), &server.id.as_str().into()));
    assert_eq!((&quiet["trace"], quiet.get("span")), (&TRACE.into(), None));
}

#[tokio::test]
async fn a_share_of_what_belongs_to_no_trace_begins_one() {
    let world = world("1.0").await;
    world.send(&debit("1", "")).await;
    world.send(&debit("2", "")).await;
    assert_eq!(world.bank.messages()[0].field("traceparent"), None);
    let asked = world.trial.messages()[0].field("traceparent").unwrap().to_owned();
    let (spans, log) = world.end().await;
    let mut lines = Vec::new();
    tree(&spans, "", 0, &mut lines);
    let roots: Vec<&Told> = spans.iter().filter(|span| span.parent.is_empty()).collect();
    assert_eq!((roots.len(), spans.len()), (2, lines.len()), "{lines:#?}");
    let trace = asked.get(3..35).unwrap();
    assert!(spans.iter().any(|span| span.trace == trace), "{asked}");
    // A contradiction is durable before it is relayed, and a trace tells what that took.
    assert!(lines.iter().any(|line| line == "    Internal journal outcome"), "{lines:#?}");
    let mismatch = roots.iter().find_map(|span| span.said.get("hefu.mismatch")).unwrap();
    assert!(mismatch.starts_with("match_then_no_match"), "{mismatch}");
    for line in &log {
        let span = roots.iter().find(|span| line["span"] == span.id.as_str()).unwrap();
        assert_eq!(line["trace"], span.trace.as_str());
    }
}

/// It named the first address that is configured, whichever it was that answered.
#[tokio::test]
async fn a_span_names_the_address_that_answered() {
    for http2 in [false, true] {
        names_who_answered(http2).await;
    }
}

async fn names_who_answered(http2: bool) {
    let nobody = dead();
    let second = if http2 { Some(answering().await) } else { None };
    let world = world_but("1.0", |place| {
        let second =
            second.map(|at| format!("\"http://{at}\", ")).unwrap_or_default();
        let upstreams = format!("http2 = {http2}\nupstreams = [\"http://{nobody}\", {second}");
        place.replace("hefu.toml", "upstreams = [", &upstreams);
        // And a provider that nobody answers for is asked first.
        let [first, trial] =
            ["first", "trial"].map(|name| place.path().join(format!("providers/{name}.toml")));
        fs::copy(trial, first).unwrap();
        let table = format!(
            "[providers.first]\nurl = \"http://{nobody}\"\npriority = 1\n\
             credentials = {{ sign_secret = \"trial.key\" }}\nvars = {{ account = \"us\" }}\nprice_fen = 30\n[secrets]"
        );
        place.replace("hefu.toml", "[secrets]", &table);
    })
    .await;
    // The second message goes over the connection that was kept.
    for order in ["1", "2"] {
        world.send(&debit(order, "")).await;
    }
    let bank = second.unwrap_or(world.bank.address);
    let places = [nobody, bank, world.trial.address].map(|at| at.port().to_string());
    let (spans, _) = world.end().await;
    let clients = spans.iter().filter(|span| span.kind == SpanKind::Client);
    let mut told: Vec<[&str; 4]> = clients
        .map(|span| {
            let said = |key: &str| span.said.get(key).map(String::as_str).unwrap_or_default();
            let whom = span.said.get("hefu.channel").or(span.said.get("hefu.provider")).unwrap();
            [whom.as_str(), said("server.address"), said("server.port"), said("error.type")]
        })
        .collect();
    told.sort_unstable();
    let here = "127.0.0.1";
    assert_eq!(
        told,
        [
            ["acme", here, &places[1], ""],
            ["acme", here, &places[1], ""],
            ["first", here, &places[0], "connect"],
            ["trial", here, &places[2], ""],
        ],
        "HTTP/2: {http2}"
    );
}

/// Nor does a reload have to wait for a collector; where there is none, nobody is told and nothing is kept.
#[tokio::test]
async fn without_a_collector_the_trace_is_still_joined() {
    let world = world("1.0").await;
    let text = fs::read_to_string(world.place.path().join("hefu.toml")).unwrap();
    let (before, rest) = text.split_once("[trace]").unwrap();
    let (_, after) = rest.split_once("[secrets]").unwrap();
    world.place.write("hefu.toml", format!("{before}[secrets]{after}"));
    assert_eq!(world.hefu.admin("POST /v1/reload", "").await.status(), 204);
    world.send(&debit("1", &format!("traceparent: 00-{TRACE}-{CORES_SPAN}-01\r\n"))).await;
    let told = world.trial.messages()[0].field("traceparent").unwrap().to_owned();
    assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-01"), "{told}");
    assert!(!told.contains(CORES_SPAN), "{told}");
    let (spans, log) = world.end().await;
    assert_eq!(spans.len(), 0);
    assert_eq!((&log[0]["trace"], log[0].get("span")), (&TRACE.into(), None));
}
