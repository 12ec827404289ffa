//! What all rounds come to, as a table and as JSON.

use crate::open::Times;
use crate::stats::{Spread, median, ratios, rounded};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// In which order they are printed.
const ORDER: [&str; 9] = [
    "direct",
    "bare_pingora",
    "nginx",
    "haproxy",
    "nginx_lua",
    "haproxy_lua",
    "hefu_uninspected",
    "hefu_memory",
    "hefu_durable",
];

/// Who is compared with whom.
const PAIRS: [[&str; 2]; 10] = [
    ["hefu_memory", "bare_pingora"],
    ["hefu_durable", "bare_pingora"],
    ["hefu_uninspected", "bare_pingora"],
    ["hefu_durable", "hefu_memory"],
    ["hefu_memory", "nginx_lua"],
    ["hefu_durable", "nginx_lua"],
    ["hefu_durable", "haproxy_lua"],
    ["nginx", "bare_pingora"],
    ["haproxy", "bare_pingora"],
    ["bare_pingora", "direct"],
];

/// What a contender did in one round.
#[derive(Clone, Debug)]
pub(crate) struct Lap {
    /// Requests a second, as many as can be.
    pub(crate) per_second: f64,
    /// What one cost the proxy's process in microseconds, for itself and in the system.
    pub(crate) cpu_us: Option<(f64, f64)>,
    /// How long requests took at a fixed rate.
    pub(crate) times: Times,
}

/// All rounds.
#[derive(Debug)]
pub(crate) struct Report {
    cores: usize,
    pinned: bool,
    laps: BTreeMap<&'static str, Vec<Lap>>,
    rounds: usize,
    disturbed: usize,
    dropped: usize,
}

impl Report {
    pub(crate) fn new(cores: usize, pinned: bool) -> Self {
        Self { cores, pinned, laps: BTreeMap::new(), rounds: 0, disturbed: 0, dropped: 0 }
    }

    /// How many rounds count.
    pub(crate) const fn rounds(&self) -> usize {
        self.rounds
    }

    /// Another round.
    pub(crate) fn add(&mut self, laps: BTreeMap<&'static str, Lap>, disturbed: bool, drop: bool) {
        if drop {
            self.dropped += 1;
            return;
        }
        self.rounds += 1;
        self.disturbed += usize::from(disturbed);
        for (name, lap) in laps {
            self.laps.entry(name).or_default().push(lap);
        }
    }

    /// One figure of each round, where there is one in all of them.
    fn figures(&self, name: &str, figure: impl Fn(&Lap) -> Option<f64>) -> Option<Vec<f64>> {
        self.laps.get(name)?.iter().map(figure).collect()
    }

    /// The ratios of a figure of two, round by round.
    fn compare(&self, [left, right]: [&str; 2], of: fn(&Lap) -> Option<f64>) -> Option<Spread> {
        Some(ratios(&self.figures(left, of)?, &self.figures(right, of)?))
    }

    /// Prints all of it; `rate` is that of the open loop.
    pub(crate) fn print(&self, rate: f64) {
        let Self { cores, pinned, rounds, disturbed, dropped, .. } = self;
        println!(
            "\nmedians of {rounds} rounds ({disturbed} of them disturbed, {dropped} more dropped), {cores} cores{}",
            if *pinned { ", pinned" } else { "" }
        );
        println!(
            "{:<17} {:>9} {:>9} {:>9} {:>11} {:>11}",
            "", "req/s", "user µs", "system µs", "+p50 µs", "+p99 µs"
        );
        let (mut per_second, mut cpu) = (Map::new(), Map::new());
        let (mut added_p50, mut added_p99) = (Map::new(), Map::new());
        let time = |name: &str, thousandths| {
            Some(median(&self.figures(name, |lap| lap.times.at(thousandths))?))
        };
        for name in ORDER {
            let Some(rates) = self.figures(name, |lap| Some(lap.per_second)) else { continue };
            let rate = median(&rates);
            let user = self.figures(name, |lap| Some(lap.cpu_us?.0)).map(|all| median(&all));
            let system = self.figures(name, |lap| Some(lap.cpu_us?.1)).map(|all| median(&all));
            let added = |thousandths| Some(time(name, thousandths)? - time("direct", thousandths)?);
            let (p50, p99) = (added(500), added(990));
            let shown =
                |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.1}"));
            println!(
                "{name:<17} {rate:>9.0} {:>9} {:>9} {:>11} {:>11}",
                shown(user),
                shown(system),
                shown(p50.filter(|_| name != "direct")),
                shown(p99.filter(|_| name != "direct")),
            );
            per_second.insert(name.into(), rounded(rate, 0).into());
            if let Some((user, system)) = user.zip(system) {
                let both = rounded(user + system, 1);
                let parts =
                    json!({"user": rounded(user, 1), "system": rounded(system, 1), "all": both});
                cpu.insert(name.into(), parts);
            }
            for (map, added) in [(&mut added_p50, p50), (&mut added_p99, p99)] {
                if let Some(added) = added.filter(|_| name != "direct") {
                    map.insert(name.into(), rounded(added, 1).into());
                }
            }
        }
        println!(
            "added over direct at {rate:.0} requests a second, from the time at which each was due"
        );
        if *cores < 3 {
            println!(
                "with fewer than three cores load and channel share one: +p99 says as much of them"
            );
        }
        println!();
        let spreads = self.print_ratios();
        Self::write(&json!({
            "rounds": rounds, "disturbed": disturbed, "dropped": dropped, "cores": cores, "pinned": pinned,
            "open_loop_per_second": rounded(rate, 0),
            "requests_per_second": per_second, "ratios": spreads, "cpu_us_per_request": cpu,
            "added_p50_us": added_p50, "added_p99_us": added_p99,
        }));
    }

    fn print_ratios(&self) -> Map<String, Value> {
        let mut spreads = Map::new();
        for pair in PAIRS {
            let Some(rate) = self.compare(pair, |lap| Some(lap.per_second)) else { continue };
            let spent = self.compare(pair, |lap| Some(lap.cpu_us?.0 + lap.cpu_us?.1));
            let name = pair.join("/");
            let spread =
                |Spread { median, low, high }| format!("{median:.2} ({low:.2} to {high:.2})");
            let spent =
                spent.map_or_else(String::new, |it| format!("  by processor time {}", spread(it)));
            println!("{name:<30} {}{spent}", spread(rate));
            let Spread { median, low, high } = rate;
            let [median, low, high] = [median, low, high].map(|value| rounded(value, 3));
            spreads.insert(name, json!({"median": median, "low": low, "high": high}));
        }
        spreads
    }

    fn write(report: &Value) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/side_by_side.json");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, format!("{report:#}\n")).unwrap();
        println!("\nwritten to {}", file.display());
    }
}
