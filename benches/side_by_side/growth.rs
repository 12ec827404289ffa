//! How Hefu does with more: connections, longer bodies, rules, evidence, channels. What has grown is measured beside the least of its
//! kind and a bare Pingora proxy, in interleaved rounds.

use super::load::{Load, Sent};
use super::open;
use super::peers::{self, Peer, Shape};
use super::stats::{Spread, Times, median, ratios, rounded};
use super::{
    CONNECTIONS, DECIDED, INSPECTED, MEASURED, OPEN, OPEN_SHARE, WARM_UP, panic_with, verify,
};
use crate::world;
use serde_json::{Value, json};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use tokio::runtime::Runtime;

const ROUNDS: usize = 5;

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Connections,
    Body,
    Rules,
    Evidence,
    Profiles,
}

impl Axis {
    const ALL: [Self; 5] =
        [Self::Connections, Self::Body, Self::Rules, Self::Evidence, Self::Profiles];

    const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Body => "body_bytes",
            Self::Rules => "rules",
            Self::Evidence => "evidence",
            Self::Profiles => "profiles",
        }
    }

    /// What the others are compared with, and the others.
    const fn sizes(self) -> (usize, &'static [usize]) {
        match self {
            Self::Connections => (CONNECTIONS, &[1, 8, 512, 4_096]),
            Self::Body => (1 << 10, &[1 << 14, 1 << 17, 1 << 20]),
            Self::Rules => (0, &[50, 200, 1_000]),
            Self::Evidence => (1_000, &[100_000, 10_000_000]),
            Self::Profiles => (6, &[50, 500]),
        }
    }
}

/// One measured way to run.
struct Point {
    hefu: Peer,
    connections: usize,
    load: Load,
    blind: Load,
}

impl Point {
    fn new(axis: Axis, size: usize, channel: &Peer, pinned: bool) -> Self {
        let mut shape = Shape::USUAL;
        let (mut connections, mut bytes) = (CONNECTIONS, world::REQUEST_BYTES);
        match axis {
            Axis::Connections => connections = size,
            Axis::Body => bytes = size,
            Axis::Rules => shape.rules = size,
            Axis::Evidence => shape.evidence = size.try_into().unwrap(),
            Axis::Profiles => shape.profiles = size,
        }
        let message = world::message_of(world::DEBIT, bytes);
        Self {
            hefu: Peer::hefu(shape, channel.address, pinned),
            connections,
            load: Load::new(INSPECTED, &message, DECIDED),
            blind: Load::new(INSPECTED, &message, ""),
        }
    }

    /// Requests a second through Hefu, and how many it has processor time for in a second.
    fn through(&self, runtime: &Runtime) -> (f64, f64) {
        let sent = self.send(runtime, &self.load, self.hefu.address, &[self.hefu.id()]);
        let time = sent.cpu.map_or(f64::NAN, |(user, system)| (user + system).as_secs_f64());
        (sent.requests / sent.seconds, sent.requests / time)
    }

    /// Requests a second through another.
    fn blind(&self, runtime: &Runtime, address: SocketAddr) -> f64 {
        let sent = self.send(runtime, &self.blind, address, &[]);
        sent.requests / sent.seconds
    }

    fn send(&self, runtime: &Runtime, load: &Load, to: SocketAddr, processes: &[u32]) -> Sent {
        let times = (WARM_UP, MEASURED);
        let sent = runtime.block_on(load.run(to, self.connections, processes, times));
        sent.unwrap_or_else(|error| panic_with("growth", &error))
    }
}

/// What one size came to.
struct Measured {
    per_second: f64,
    to_least: Spread,
    /// The same, by processor time: what load and channel take on the other core is not in it.
    by_processor: Spread,
    to_bare: Spread,
    added_p50: f64,
}

/// Measures all of it, or what is named, and prints it.
pub(crate) fn run(axes: &[&str]) {
    let pinned = peers::pin_self();
    let channel = Peer::start("channel", None, pinned);
    let bare = Peer::start("bare_pingora", Some(channel.address), pinned);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!(
        "{:<12} {:>10} {:>9} {:<22} {:<22} {:<22} {:>9}",
        "", "", "req/s", "to the first", "by processor time", "to bare Pingora", "+p50 µs"
    );
    let mut all = serde_json::Map::new();
    for axis in Axis::ALL {
        if !axes.is_empty() && !axes.contains(&axis.name()) {
            continue;
        }
        let (least, sizes) = axis.sizes();
        let first = Point::new(axis, least, &channel, pinned);
        runtime.block_on(verify(&first.hefu)).unwrap();
        let mut rows = Vec::new();
        for &size in std::iter::once(&least).chain(sizes) {
            let grown;
            let point = if size == least {
                &first
            } else {
                grown = Point::new(axis, size, &channel, pinned);
                runtime.block_on(verify(&grown.hefu)).unwrap();
                &grown
            };
            let measured = measure(&runtime, (&first, point), &bare, &channel);
            rows.push(show(axis, size, &measured));
            if axis == Axis::Connections && Some(&size) == sizes.last() {
                // Of one that has not given anything back yet.
                let fresh = Point::new(axis, size, &channel, pinned);
                runtime.block_on(verify(&fresh.hefu)).unwrap();
                let each = idle(&fresh, size);
                println!("{:<12} {each:>10} bytes of memory for an idle connection", "");
                all.insert("bytes_per_idle_connection".into(), each.into());
            }
            if axis == Axis::Evidence && Some(&size) == sizes.last() {
                let more = resident(&point.hefu).saturating_sub(resident(&first.hefu));
                let each = more / size;
                println!("{:<12} {each:>10} bytes of memory for a piece of evidence", "");
                all.insert("bytes_per_piece_of_evidence".into(), each.into());
            }
        }
        all.insert(axis.name().into(), rows.into());
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/growth.json");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, format!("{:#}\n", Value::from(all))).unwrap();
    println!("\nwritten to {}", file.display());
}

fn measure(
    runtime: &Runtime,
    (first, point): (&Point, &Point),
    bare: &Peer,
    channel: &Peer,
) -> Measured {
    let (mut least, mut grown, mut blind) = (Vec::new(), Vec::new(), Vec::new());
    let (mut least_by, mut grown_by) = (Vec::new(), Vec::new());
    let (mut through, mut direct) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (per_second, by_processor) = first.through(runtime);
        least.push(per_second);
        least_by.push(by_processor);
        let (per_second, by_processor) = point.through(runtime);
        grown.push(per_second);
        grown_by.push(by_processor);
        blind.push(point.blind(runtime, bare.address));
        let rate = median(&blind) * OPEN_SHARE;
        // Those beyond the loop's own are there, and idle.
        let held = hold(point.hefu.address, point.connections);
        through.push(p50(&point.load, point.hefu.address, rate));
        drop(held);
        direct.push(p50(&point.blind, channel.address, rate));
    }
    Measured {
        per_second: median(&grown),
        to_least: ratios(&grown, &least),
        by_processor: ratios(&grown_by, &least_by),
        to_bare: ratios(&grown, &blind),
        added_p50: median(&through) - median(&direct),
    }
}

fn p50(load: &Load, address: SocketAddr, rate: f64) -> f64 {
    let times: Times =
        open::run(load, address, rate, OPEN).unwrap_or_else(|error| panic_with("open", &error));
    times.at(500).unwrap_or(f64::NAN)
}

fn hold(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(address).unwrap()).collect()
}

/// What each idle connection takes, in bytes. One request has been answered on it.
fn idle(point: &Point, count: usize) -> usize {
    let before = resident(&point.hefu);
    let held: Vec<_> = (0..count)
        .map(|_| {
            let mut connection = point.load.connect_blocking(point.hefu.address).unwrap();
            connection.exchange().unwrap();
            connection
        })
        .collect();
    resident(&point.hefu).saturating_sub(before) / held.len().max(1)
}

/// How much memory a process has, in bytes.
fn resident(peer: &Peer) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", peer.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim_end_matches("kB").trim().parse::<usize>().unwrap() * 1024
}

fn show(axis: Axis, size: usize, measured: &Measured) -> Value {
    let Measured { per_second, to_least, by_processor, to_bare, added_p50 } = measured;
    let spread =
        |Spread { median, low, high }: &Spread| format!("{median:.2} ({low:.2} to {high:.2})");
    println!(
        "{:<12} {size:>10} {per_second:>9.0} {:<22} {:<22} {:<22} {added_p50:>9.1}",
        axis.name(),
        spread(to_least),
        spread(by_processor),
        spread(to_bare)
    );
    let ratio = |Spread { median, low, high }: &Spread| json!({ "median": rounded(*median, 3), "low": rounded(*low, 3), "high": rounded(*high, 3) });
    json!({
        "size": size, "requests_per_second": rounded(*per_second, 0), "to_first": ratio(to_least),
        "to_first_by_processor_time": ratio(by_processor), "to_bare_pingora": ratio(to_bare), "added_p50_us": rounded(*added_p50, 1),
    })
}
