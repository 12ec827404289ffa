//! One exchange through Hefu beside a bare Pingora proxy of the same build: interleaved rounds, judged by their ratio.
//!
//! The proxies have one worker thread each and a core of their own; load and channel share the other. Every answer is
//! checked byte for byte. `cargo bench --bench exchange -- 9` runs nine rounds instead of five.
#![expect(clippy::unwrap_used, reason = "a bench may panic")]
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench measures and prints")]

#[path = "exchange/load.rs"]
mod load;
#[path = "exchange/peers.rs"]
mod peers;
#[path = "exchange/stats.rs"]
mod stats;
mod world;

use load::{Load, Sent};
use peers::Peer;
use stats::{Spread, median, ratios};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// A round measures each contender in turn, so often and so long, after a warm-up each time. The turns are short, since
/// a noisy machine must not be noisy to one of them only.
const TURNS: usize = 4;
const MEASURED: Duration = Duration::from_millis(500);
const WARM_UP: Duration = Duration::from_millis(100);
const ROUNDS: usize = 5;

/// Where Hefu inspects, and where it does not.
const INSPECTED: &str = "/gateway/api/backTransReq.do";
const UNINSPECTED: &str = "/plain/backTransReq.do";

/// One of those that are compared.
struct Contender {
    name: &'static str,
    address: SocketAddr,
    /// Whose processor time is counted.
    process: Option<u32>,
    load: Load,
}

/// What a contender did in one round.
#[derive(Clone, Copy, Debug)]
struct Lap {
    per_second: f64,
    cpu_us: Option<f64>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["channel"] => peers::channel(),
        ["bare_pingora", channel] => peers::bare_pingora(channel.parse().unwrap()),
        ["hefu", channel] => peers::hefu(channel, false),
        ["hefu_durable", channel] => peers::hefu(channel, true),
        others => compare(others.iter().find_map(|word| word.parse().ok()).unwrap_or(ROUNDS)),
    }
}

fn compare(rounds: usize) {
    let cores = std::thread::available_parallelism().unwrap().get();
    let pinned = peers::pin_self();
    let channel = Peer::start("channel", None, pinned);
    let bare = Peer::start("bare_pingora", Some(channel.address), pinned);
    let hefu = Peer::start("hefu", Some(channel.address), pinned);
    let durable = Peer::start("hefu_durable", Some(channel.address), pinned);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    let contender = |name, peer: &Peer, path, expects: &'static str| Contender {
        name,
        address: peer.address,
        process: (name != "direct").then(|| peer.id()),
        load: Load::new(path, &world::debit(), expects),
    };
    let contenders = [
        contender("direct", &channel, INSPECTED, ""),
        contender("bare_pingora", &bare, INSPECTED, ""),
        contender("hefu_memory", &hefu, INSPECTED, "Hefu-Decision: permit;mode=enforce\r\n"),
        contender("hefu_durable", &durable, INSPECTED, "Hefu-Decision: permit;mode=enforce\r\n"),
        contender("hefu_uninspected", &hefu, UNINSPECTED, ""),
    ];
    // A verification through the channel is evidence; from then on no provider needs to be asked.
    let verify = Load::new(
        INSPECTED,
        &world::message(["72", "01", "001001"]),
        "Hefu-Outcome: succeeded;code=\"00\";arrival=sync\r\n",
    );
    for hefu in [&hefu, &durable] {
        runtime.block_on(verify.once(hefu.address)).unwrap();
    }

    let mut laps: BTreeMap<&str, Vec<Lap>> = BTreeMap::new();
    for round in 1..=rounds {
        for (name, lap) in runtime.block_on(run(&contenders)) {
            println!("round {round:>2}  {name:<17} {:>8.0} req/s", lap.per_second);
            laps.entry(name).or_default().push(lap);
        }
    }
    report(rounds, cores, pinned, &laps);
}

/// One round.
async fn run(contenders: &[Contender]) -> BTreeMap<&'static str, Lap> {
    let mut sums: BTreeMap<&str, Sent> = BTreeMap::new();
    for turn in 0..TURNS {
        let mut order: Vec<&Contender> = contenders.iter().collect();
        // What drifts must not favour who comes first.
        if turn % 2 == 1 {
            order.reverse();
        }
        for Contender { name, address, process, load } in order {
            let sent = load.run(*address, *process, (WARM_UP, MEASURED)).await;
            let sent = sent.unwrap_or_else(|error| panic_with(name, &error));
            sums.entry(name).and_modify(|sum| sum.add(sent)).or_insert(sent);
        }
    }
    let lap = |Sent { requests, seconds, cpu }: Sent| Lap {
        per_second: requests / seconds,
        cpu_us: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / requests),
    };
    sums.into_iter().map(|(name, sent)| (name, lap(sent))).collect()
}

#[expect(clippy::panic, reason = "a wrong answer ends the bench")]
fn panic_with(name: &str, error: &std::io::Error) -> ! {
    panic!("{name}: {error}")
}

fn report(rounds: usize, cores: usize, pinned: bool, laps: &BTreeMap<&str, Vec<Lap>>) {
    let of =
        |name: &str, value: fn(&Lap) -> f64| -> Vec<f64> { laps[name].iter().map(value).collect() };
    println!("\nmedians of {rounds} rounds, {cores} cores{}", if pinned { ", pinned" } else { "" });
    println!("{:<17} {:>9} {:>12}", "", "req/s", "CPU µs/req");
    let (mut per_second, mut cpu_us) = (serde_json::Map::new(), serde_json::Map::new());
    for name in ["direct", "bare_pingora", "hefu_memory", "hefu_durable", "hefu_uninspected"] {
        let rate = median(&of(name, |lap| lap.per_second));
        let cpu = laps[name].iter().map(|lap| lap.cpu_us).collect::<Option<Vec<f64>>>();
        let cpu = cpu.map(|cpu| median(&cpu));
        let shown = cpu.map_or_else(|| "-".into(), |cpu| format!("{cpu:.1}"));
        println!("{name:<17} {rate:>9.0} {shown:>12}");
        per_second.insert(name.into(), stats::rounded(rate, 0).into());
        if let Some(cpu) = cpu {
            cpu_us.insert(name.into(), stats::rounded(cpu, 1).into());
        }
    }
    println!();
    let mut spreads = serde_json::Map::new();
    for (name, pair) in [
        ("hefu_memory/bare_pingora", ["hefu_memory", "bare_pingora"]),
        ("hefu_durable/hefu_memory", ["hefu_durable", "hefu_memory"]),
        ("hefu_uninspected/bare_pingora", ["hefu_uninspected", "bare_pingora"]),
        ("bare_pingora/direct", ["bare_pingora", "direct"]),
    ] {
        let [left, right] = pair.map(|name| of(name, |lap| lap.per_second));
        let Spread { median, low, high } = ratios(&left, &right);
        println!("{name:<30} {median:.2} ({low:.2} to {high:.2})");
        let [median, low, high] = [median, low, high].map(|value| stats::rounded(value, 3));
        spreads
            .insert(name.into(), serde_json::json!({"median": median, "low": low, "high": high}));
    }
    let [durable, memory] = ["hefu_durable", "hefu_memory"]
        .map(|name| laps[name].iter().filter_map(|lap| lap.cpu_us).collect::<Vec<_>>());
    let cost = ratios(&durable, &memory);
    println!(
        "admission in a file by processor time {:.2} ({:.2} to {:.2})",
        cost.median, cost.low, cost.high
    );
    let spent = |name: &str| laps[name].iter().filter_map(|lap| lap.cpu_us).collect::<Vec<_>>();
    let less = ratios(&spent("bare_pingora"), &spent("hefu_memory"));
    println!(
        "the first by processor time     {:.2} ({:.2} to {:.2})",
        less.median, less.low, less.high
    );
    let report = serde_json::json!({
        "rounds": rounds, "cores": cores, "pinned": pinned,
        "requests_per_second": per_second, "ratios": spreads, "cpu_us_per_request": cpu_us,
    });
    let file =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/side_by_side.json");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, format!("{report:#}\n")).unwrap();
    println!("\nwritten to {}", file.display());
}
