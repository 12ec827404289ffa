//! Mutated messages: whatever Hefu reads, every other reader reads too, or does not take at all.

use crate::mutate::mutate;
use crate::readers::{Document, Readers};
use crate::world::{World, count};
use encoding_rs::UTF_8;
use hefu::message::extract::{self, Request};
use hefu::message::node::{Node, Scope};
use hefu::message::path::Path;
use hefu::message::profile::{Body, Format, Message, Place, Profile, Step};
use hefu::message::unwrap;
use hefu::sim::Sample;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// A request as the edge hands it over.
pub(crate) struct Wire<'a> {
    path: String,
    query: Option<&'a str>,
    content_type: Option<&'a str>,
    headers: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Wire<'a> {
    pub(crate) fn new(sample: &'a Sample, profile: &'a Profile) -> Self {
        let (path, query) = sample
            .path
            .split_once('?')
            .map_or((sample.path.as_str(), None), |(path, query)| (path, Some(query)));
        let watched = profile.headers.iter().flat_map(|name| {
            let values =
                sample.headers.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name));
            values.map(move |(_, value)| (name.as_str(), value.as_bytes()))
        });
        let content_type =
            sample.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        Self {
            path: path.to_lowercase(),
            query,
            content_type: content_type.map(|(_, value)| value.as_str()),
            headers: watched.collect(),
        }
    }

    pub(crate) fn request(&'a self, sample: &'a Sample) -> Request<'a> {
        let told =
            sample.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("hefu-elements"));
        Request {
            method: &sample.method,
            path: &self.path,
            query: self.query,
            content_type: self.content_type,
            headers: &self.headers,
            told: told.map(|(_, value)| value.as_str()),
            body: &sample.body,
        }
    }
}

/// Every path of a request that is looked at, rows and headers apart.
fn watched(message: &Message) -> Vec<&Path> {
    let mut paths: Vec<&Path> = message.when.iter().map(|(path, _)| path).collect();
    paths.extend(&message.order);
    paths.extend(&message.merchant);
    paths.extend(message.amount.iter().map(|(path, _)| path));
    paths.extend(message.elements.iter().map(|(_, path)| path));
    paths.extend(&message.agreement);
    paths.extend(message.sealed.iter().map(|(path, _)| path));
    paths.extend(message.rows.iter().flat_map(|rows| &rows.name));
    paths.retain(|path| path.header().is_none());
    paths
}

/// One document within a message: the body itself, or what a field wraps. Fields stand below `prefix`.
struct Layer {
    prefix: String,
    format: Format,
    charset: &'static str,
    body: Vec<u8>,
    /// Values are percent-encoded once more.
    percent: bool,
}

/// The documents of a message that other readers know how to read.
fn layers(layout: &Body, wire: &Wire<'_>, sample: &Sample) -> Vec<Layer> {
    let body = if sample.method == "GET" {
        wire.query.unwrap_or_default().as_bytes()
    } else {
        &sample.body
    };
    let encoding = if sample.method == "GET" {
        layout.charset.default
    } else {
        unwrap::declared(layout, wire.content_type, body).unwrap()
    };
    let charset = if encoding == UTF_8 { "utf-8" } else { "gb18030" };
    let percent = layout.unwrap.iter().any(|wrapped| {
        wrapped.at == Place::Every && matches!(wrapped.steps.last(), Some(Step::Percent))
    });
    let outer = match layout.format {
        Format::Xml => {
            // Children read UTF-8 only; the declaration goes with the charset, and the tail is cut as its channel cuts it.
            let text = encoding.decode(body).0.into_owned();
            let root = layout.xml.as_ref().map_or("", |xml| &xml.root);
            let end =
                text.rfind(&format!("</{root}>")).map_or(text.len(), |at| at + root.len() + 3);
            let text = &text[..end];
            let text = if text.starts_with("<?xml") {
                text.split_once("?>").map_or(text, |(_, rest)| rest)
            } else {
                text
            };
            Layer {
                prefix: String::new(),
                format: Format::Xml,
                charset: "utf-8",
                body: text.as_bytes().to_vec(),
                percent,
            }
        }
        format => Layer { prefix: String::new(), format, charset, body: body.to_vec(), percent },
    };
    let mut layers = vec![outer];
    for (at, wrapped) in layout.unwrap.iter().enumerate() {
        let (Place::Field(path), Some(Step::Json)) = (&wrapped.at, wrapped.steps.last()) else {
            continue;
        };
        let mut shut = layout.clone();
        shut.unwrap.truncate(at + 1);
        shut.unwrap[at].steps.pop();
        let Ok(node) = unwrap::read(&shut, wire.content_type, body) else { continue };
        if let Ok(Some(text)) = node.find(path).map(hefu::message::node::Found::text) {
            layers.push(Layer {
                prefix: format!("{path}/"),
                format: Format::Json,
                charset: "utf-8",
                body: text.as_bytes().to_vec(),
                percent: false,
            });
        }
    }
    layers
}

/// What Hefu reads at the watched paths, by path as other readers write it.
fn read_by_hefu(node: &Node<'_>, message: &Message) -> BTreeMap<String, Option<String>> {
    let mut read = BTreeMap::new();
    let rows = message.rows.as_ref().map_or(&[][..], |rows| node.rows(&rows.at).unwrap());
    for path in watched(message) {
        if path.in_row() {
            let at = &message.rows.as_ref().unwrap().at;
            for (number, row) in rows.iter().enumerate() {
                // What is sealed is not looked at, and may be as unclear as it likes.
                let Ok(found) = Scope::whole(node).row(row).find(path) else { continue };
                let inner = path.to_string();
                // A single row may stand without a list: then it has no number.
                let single = std::ptr::eq(row, rows.as_ptr()) && rows.len() == 1;
                let numbered = format!("{at}/{number}/{}", &inner[2..]);
                let place = if single { format!("{at}/{}", &inner[2..]) } else { numbered.clone() };
                let text = found.text().map(str::to_owned);
                read.insert(if single && is_list(node, at) { numbered } else { place }, text);
            }
        } else {
            let Ok(found) = node.find(path) else { continue };
            read.insert(path.to_string(), found.text().map(str::to_owned));
        }
    }
    read
}

fn is_list(node: &Node<'_>, at: &Path) -> bool {
    let mut node = node;
    for key in at.keys() {
        node = match node {
            Node::Map(entries) => match entries.iter().find(|(name, _)| name == key) {
                Some((_, inner)) => inner,
                None => return false,
            },
            Node::List(members) => match members.first() {
                Some(first) => first,
                None => return false,
            },
            _ => return false,
        };
    }
    matches!(node, Node::List(_))
}

/// Whether two texts are the same, or the same number: readers of JSON write `1.0` as `1`.
fn same(ours: &str, theirs: &str, format: Format) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    ours == theirs
        || (format == Format::Json && number(ours).is_some() && number(ours) == number(theirs))
}

/// How many differ, told in full; and how many readers read the message at all.
fn compare(
    readers: &mut Readers,
    sample: &Sample,
    profile: &Profile,
    message: &Message,
    wire: &Wire<'_>,
) -> (Vec<String>, usize) {
    let request = wire.request(sample);
    let layout = &profile.request;
    let node = if sample.method == "GET" {
        unwrap::read_query(layout, request.query.unwrap_or_default())
    } else {
        unwrap::read(layout, request.content_type, request.body)
    };
    let ours = read_by_hefu(&node.unwrap(), message);
    let (mut differ, mut reading) = (Vec::new(), 0);
    for layer in layers(layout, wire, sample) {
        let document = Document { format: layer.format, body: &layer.body, charset: layer.charset };
        for (reader, fields) in readers.read(&document) {
            let Some(fields) = fields else { continue };
            reading += 1;
            for (path, text) in &ours {
                let Some(inner) = path.strip_prefix(&layer.prefix) else { continue };
                // A field that wraps others is read in its own layer.
                let wrapped = layout.unwrap.iter().any(|wrapped| matches!(&wrapped.at, Place::Field(at) if path.starts_with(&format!("{at}/")) && layer.prefix != format!("{at}/")));
                if wrapped || layout.unwrap.iter().any(|wrapped| matches!(&wrapped.at, Place::Field(at) if at.to_string() == *path)) {
                    continue;
                }
                let theirs = fields.iter().filter(|(key, _)| key == inner).map(|(_, value)| {
                    if layer.percent {
                        percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()
                    } else {
                        value.clone()
                    }
                });
                let theirs: Vec<String> = theirs.filter(|value| !value.is_empty()).collect();
                let alike = match (text, theirs.as_slice()) {
                    (None, []) => true,
                    (Some(ours), [theirs]) => same(ours, theirs, layer.format),
                    _ => false,
                };
                if !alike {
                    let sent = String::from_utf8_lossy(&layer.body)
                        .chars()
                        .take(3_000)
                        .collect::<String>();
                    differ.push(format!(
                        "{} {}: at `{path}` Hefu reads {text:?} and {reader} {theirs:?} in\n{sent}",
                        sample.channel, sample.kind
                    ));
                }
            }
        }
    }
    (differ, reading)
}

#[tokio::test]
async fn what_is_forwarded_of_mutated_messages_reads_the_same_to_every_reader() {
    let world = World::new().await;
    let mut readers = Readers::start();
    for (channel, kind) in world.simulation.kinds() {
        let profile = world.profile(channel);
        let (mut forwarded, mut reading) = (0_u64, 0);
        for seed in 0..count() {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            // Each legal message serves ten times: signing is what takes time.
            let sample =
                mutate(world.sample(channel, kind, seed / 10), profile.request.format, &mut rng);
            let wire = Wire::new(&sample, profile);
            let Ok(extracted) = extract::extract(profile, &wire.request(&sample)) else { continue };
            forwarded += 1;
            let (differ, readers) =
                compare(&mut readers, &sample, profile, extracted.message, &wire);
            reading += readers;
            assert!(differ.is_empty(), "seed {seed}: {}", differ.join("\n"));
        }
        println!(
            "{channel:<9} {kind:<22} {:>6} mutated {forwarded:>6} forwarded, read {reading} times, alike",
            count()
        );
    }
}

/// The comparison itself: a message that two readers take differently is found, were Hefu to forward it.
#[test]
fn a_difference_is_seen() {
    let mut readers = Readers::start();
    let mut check = |format, body: &str, expected: &[&str]| {
        let told = readers.read(&Document { format, body: body.as_bytes(), charset: "utf-8" });
        let values = told
            .values()
            .filter_map(Option::as_ref)
            .filter_map(|fields| Some(fields.iter().find(|(key, _)| key == "a")?.1.clone()));
        let mut values: Vec<String> = values.collect();
        values.sort();
        values.dedup();
        assert_eq!(values, expected, "{body}");
        told.len()
    };
    assert!(check(Format::Json, r#"{"a":1}"#, &["1"]) >= 3);
    check(Format::Json, r#"{"a":9007199254740993}"#, &["9007199254740992", "9007199254740993"]);
    assert!(check(Format::Form, "a=1&a=2", &["1"]) >= 3);
    check(Format::Form, "a=1;a=2", &["1;a=2"]);
    assert!(check(Format::Xml, "<m><a>1</a></m>", &["1"]) >= 3);
    check(Format::Xml, "<m><a>1<!-- -->2</a></m>", &["12"]);
}
