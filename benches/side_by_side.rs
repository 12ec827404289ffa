//! One exchange through Hefu beside a bare Pingora proxy of the same build and what others proxy with: interleaved rounds,
//! judged by their ratio.
//!
//! Each proxy has one thread that proxies and the same core; load and channel share the other. Every answer is checked byte for
//! byte, and every order leaves once.

mod foreign;
pub(crate) mod growth;
mod load;
mod more;
mod open;
pub(crate) mod peers;
mod proxies;
mod report;
mod stats;

use crate::stages::Stages;
use crate::world;
use foreign::Snapshot;
use load::{Load, Sent};
use peers::{Peer, Shape};
use report::{Lap, Report};
use stats::Times;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// A round measures each contender in turn, so often and so long, after a warm-up each time. The turns are short, since
/// a noisy machine must not be noisy to one of them only.
const TURNS: usize = 4;
const MEASURED: Duration = Duration::from_millis(500);
const WARM_UP: Duration = Duration::from_millis(100);
const ROUNDS: usize = 5;
const CONNECTIONS: usize = 64;

/// How many rounds are tried for each that is to count.
const TRIES: usize = 2;

/// How long each is sent requests at a fixed rate, in each round.
const OPEN: Duration = Duration::from_secs(1);

/// That rate, as a share of what a bare Pingora proxy can do.
const OPEN_SHARE: f64 = 0.3;

/// Where Hefu inspects, and where it does not.
const INSPECTED: &str = "/gateway/api/backTransReq.do";
const UNINSPECTED: &str = "/plain/backTransReq.do";

/// What an answer has that was inspected.
const DECIDED: &str = "Hefu-Decision: permit;mode=enforce\r\n";

/// One of those that are compared.
struct Contender {
    name: &'static str,
    address: SocketAddr,
    /// Whose processor time is counted.
    processes: Vec<u32>,
    load: Load,
}

#[expect(clippy::too_many_lines, reason = "who is compared, in one order")]
pub(crate) fn run(rounds: Option<usize>, only: &[&str]) {
    let rounds = rounds.unwrap_or(ROUNDS);
    let cores = std::thread::available_parallelism().unwrap().get();
    let pinned = peers::pin_self();
    let channel = Peer::start("channel", None, pinned);
    let bare = Peer::start("bare_pingora", Some(channel.address), pinned);
    let collector = Peer::start("collector", None, pinned);
    let [hefu, durable, traced] = [
        Shape::USUAL,
        Shape { durable: true, ..Shape::USUAL },
        Shape { traced: Some(collector.address), ..Shape::USUAL },
    ]
    .map(|shape| Peer::hefu(shape, channel.address, pinned));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    let debit = world::debit();
    let contender = |name, peer: &Peer, path, expects: &'static str| Contender {
        name,
        address: peer.address,
        processes: if name == "direct" { Vec::new() } else { vec![peer.id()] },
        load: Load::new(path, &debit, expects),
    };
    let mut contenders = vec![
        contender("direct", &channel, INSPECTED, ""),
        contender("bare_pingora", &bare, INSPECTED, ""),
        contender("hefu_memory", &hefu, INSPECTED, DECIDED),
        contender("hefu_durable", &durable, INSPECTED, DECIDED),
        contender("hefu_traced", &traced, INSPECTED, DECIDED),
        contender("hefu_uninspected", &hefu, UNINSPECTED, ""),
    ];
    let judge = Peer::start("judge", Some(channel.address), pinned);
    let mut others = Vec::new();
    for other in
        proxies::OTHERS.iter().filter(|other| only.is_empty() || only.contains(&other.name))
    {
        let Some((peer, dir)) = other.start(channel.address, judge.address, pinned) else {
            println!("left out: {} (not installed)", other.name);
            continue;
        };
        let expects = if other.inspects { DECIDED } else { "" };
        let mut contender = contender(other.name, &peer, INSPECTED, expects);
        contender.processes.extend(other.asks().then(|| judge.id()));
        contenders.push(contender);
        others.push((peer, dir));
    }
    contenders.retain(|it| only.is_empty() || it.name == "bare_pingora" || only.contains(&it.name));
    for hefu in [&hefu, &durable, &traced] {
        runtime.block_on(verify(hefu)).unwrap();
    }
    let ours: Vec<u32> = [&channel, &bare, &collector, &judge, &hefu, &durable, &traced]
        .into_iter()
        .chain(others.iter().map(|(peer, _)| peer))
        .map(Peer::id)
        .chain([std::process::id()])
        .collect();
    let mut report = Report::new(cores, pinned);
    let (mut tried, mut rate) = (0, None);
    while report.rounds() < rounds && tried < rounds * TRIES {
        tried += 1;
        let before = Snapshot::take(&ours);
        let mut laps = runtime.block_on(round(&contenders));
        let bare = laps.get("bare_pingora").map_or(0.0, |lap| lap.per_second);
        let rate = *rate.get_or_insert(bare * OPEN_SHARE);
        for Contender { name, address, load, .. } in &contenders {
            let times = open::run(load, *address, rate, OPEN);
            let times = times.unwrap_or_else(|error| panic_with(name, &error));
            laps.entry(name).and_modify(|lap| lap.times = times);
        }
        let disturbed =
            before.zip(Snapshot::take(&ours)).is_some_and(|(then, now)| then.is_disturbed(&now));
        // Where the machine is never quiet, what there is must do, and is said to be so.
        let left = rounds * TRIES - tried;
        let drop = disturbed && report.rounds() + left >= rounds;
        println!(
            "round {tried:>2}{}",
            if drop {
                ": disturbed, dropped"
            } else if disturbed {
                ": disturbed"
            } else {
                ""
            }
        );
        for (name, lap) in &laps {
            println!("  {name:<17} {:>8.0} req/s", lap.per_second);
        }
        report.add(laps, disturbed, drop);
    }
    let stages = Stages::measure();
    println!();
    stages.print();
    report.print(rate.unwrap_or_default(), &stages.0);
}

/// A verification through the channel is evidence; from then on no provider needs to be asked.
async fn verify(hefu: &Peer) -> std::io::Result<()> {
    let message = world::message(["72", "01", "001001"]);
    let expects = "Hefu-Outcome: succeeded;code=\"00\";arrival=sync\r\n";
    Load::new(INSPECTED, &message, expects).once(hefu.address).await
}

/// One round.
async fn round(contenders: &[Contender]) -> BTreeMap<&'static str, Lap> {
    let mut sums: BTreeMap<&str, Sent> = BTreeMap::new();
    for turn in 0..TURNS {
        let mut order: Vec<&Contender> = contenders.iter().collect();
        // What drifts must not favour who comes first.
        if turn % 2 == 1 {
            order.reverse();
        }
        for Contender { name, address, processes, load } in order {
            let sent = load.run(*address, CONNECTIONS, processes, (WARM_UP, MEASURED)).await;
            let sent = sent.unwrap_or_else(|error| panic_with(name, &error));
            sums.entry(name).and_modify(|sum| sum.add(sent)).or_insert(sent);
        }
    }
    let each = |time: Duration, requests: f64| time.as_secs_f64() * 1e6 / requests;
    let lap = |Sent { requests, seconds, cpu }: Sent| Lap {
        per_second: requests / seconds,
        cpu_us: cpu.map(|(user, system)| (each(user, requests), each(system, requests))),
        times: Times::default(),
    };
    sums.into_iter().map(|(name, sent)| (name, lap(sent))).collect()
}

#[expect(clippy::panic, reason = "a wrong answer ends the bench")]
fn panic_with(name: &str, error: &std::io::Error) -> ! {
    panic!("{name}: {error}")
}
