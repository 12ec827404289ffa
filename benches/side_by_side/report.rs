//! What all rounds come to, as a table and as JSON.

use super::stats::{Spread, Times, median, ratios, rounded};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// In which order they are printed.
const ORDER: [&str; 12] = [
    "direct",
    "bare_pingora",
    "nginx",
    "haproxy",
    "envoy",
    "nginx_lua",
    "haproxy_lua",
    "envoy_ext_authz",
    "hefu_uninspected",
    "hefu_memory",
    "hefu_durable",
    "hefu_traced",
];

/// Who is compared with whom.
const PAIRS: [[&str; 2]; 13] = [
    ["hefu_memory", "bare_pingora"],
    ["hefu_durable", "bare_pingora"],
    ["hefu_uninspected", "bare_pingora"],
    ["hefu_durable", "hefu_memory"],
    ["hefu_traced", "hefu_memory"],
    ["hefu_memory", "nginx_lua"],
    ["hefu_durable", "nginx_lua"],
    ["hefu_durable", "haproxy_lua"],
    ["hefu_durable", "envoy_ext_authz"],
    ["nginx", "bare_pingora"],
    ["haproxy", "bare_pingora"],
    ["envoy", "bare_pingora"],
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

/// What a contender came to.
struct Row {
    name: &'static str,
    per_second: f64,
    cpu_us: Option<(f64, f64)>,
    /// What it adds at a fixed rate to what the channel takes without it.
    p50: Option<f64>,
    p99: Option<f64>,
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

    /// What each came to, in the order in which they are printed.
    fn rows(&self) -> Vec<Row> {
        let time = |name: &str, thousandths| {
            Some(median(&self.figures(name, |lap| lap.times.at(thousandths))?))
        };
        let row = |name: &'static str| {
            let per_second = median(&self.figures(name, |lap| Some(lap.per_second))?);
            let user = self.figures(name, |lap| Some(lap.cpu_us?.0)).map(|all| median(&all));
            let system = self.figures(name, |lap| Some(lap.cpu_us?.1)).map(|all| median(&all));
            let added = |thousandths| {
                let direct = time("direct", thousandths).filter(|_| name != "direct")?;
                Some(time(name, thousandths)? - direct)
            };
            let (p50, p99) = (added(500), added(990));
            Some(Row { name, per_second, cpu_us: user.zip(system), p50, p99 })
        };
        ORDER.into_iter().filter_map(row).collect()
    }

    /// Prints all of it; `rate` is that of the open loop, `stages` what parts of an exchange take that need no socket, in nanoseconds.
    pub(crate) fn print(&self, rate: f64, stages: &[(&'static str, f64)]) {
        let Self { cores, pinned, rounds, disturbed, dropped, .. } = self;
        println!(
            "\nmedians of {rounds} rounds ({disturbed} of them disturbed, {dropped} more dropped), {cores} cores{}",
            if *pinned { ", pinned" } else { "" }
        );
        println!(
            "{:<17} {:>9} {:>9} {:>9} {:>11} {:>11}",
            "", "req/s", "user µs", "system µs", "+p50 µs", "+p99 µs"
        );
        let shown = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.1}"));
        for Row { name, per_second, cpu_us, p50, p99 } in self.rows() {
            println!(
                "{name:<17} {per_second:>9.0} {:>9} {:>9} {:>11} {:>11}",
                shown(cpu_us.map(|(user, _)| user)),
                shown(cpu_us.map(|(_, system)| system)),
                shown(p50),
                shown(p99),
            );
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
        self.print_ratios();
        if let Some((rest, system)) = self.rest(stages) {
            println!(
                "\nof the processor time of hefu_memory {rest:.1} µs a request are none of the stages above: read, forward, write, \
                 and the runtime around them; {system:.1} µs of it the system's"
            );
        }
        Self::write(&self.told(rate, stages));
    }

    /// What is left of a request's processor time beside `stages`, in microseconds, and the system's part of it.
    fn rest(&self, stages: &[(&'static str, f64)]) -> Option<(f64, f64)> {
        let rows = self.rows();
        let (user, system) = rows.iter().find(|row| row.name == "hefu_memory")?.cpu_us?;
        let known: f64 = stages.iter().map(|(_, nanos)| nanos / 1e3).sum();
        Some((user + system - known, system))
    }

    /// The file that is written: `../shared/design.md`, section 5, has its keys, and more may be added.
    pub(crate) fn told(&self, rate: f64, stages: &[(&'static str, f64)]) -> Value {
        let Self { cores, pinned, rounds, disturbed, dropped, .. } = self;
        let (mut per_second, mut cpu) = (Map::new(), Map::new());
        let (mut added_p50, mut added_p99) = (Map::new(), Map::new());
        for row in self.rows() {
            per_second.insert(row.name.into(), rounded(row.per_second, 0).into());
            if let Some((user, system)) = row.cpu_us {
                let both = rounded(user + system, 1);
                let parts =
                    json!({"user": rounded(user, 1), "system": rounded(system, 1), "all": both});
                cpu.insert(row.name.into(), parts);
            }
            for (map, added) in [(&mut added_p50, row.p50), (&mut added_p99, row.p99)] {
                if let Some(added) = added {
                    map.insert(row.name.into(), rounded(added, 1).into());
                }
            }
        }
        let ratio = |(pair, Spread { median, low, high }): ([&str; 2], Spread)| {
            let [median, low, high] = [median, low, high].map(|value| rounded(value, 3));
            (pair.join("/"), json!({"median": median, "low": low, "high": high}))
        };
        let ratios: Map<String, Value> = self.ratios().map(ratio).collect();
        let stage = |(name, nanos): &(&str, f64)| ((*name).to_owned(), rounded(*nanos, 0).into());
        let mut stages_ns: Map<String, Value> = stages.iter().map(stage).collect();
        if let Some((rest, _)) = self.rest(stages) {
            stages_ns.insert("read, forward, write".into(), rounded(rest * 1e3, 0).into());
        }
        json!({
            "rounds": rounds, "disturbed": disturbed, "dropped": dropped, "cores": cores, "pinned": pinned,
            "open_loop_per_second": rounded(rate, 0),
            "requests_per_second": per_second, "ratios": ratios, "cpu_us_per_request": cpu,
            "added_p50_us": added_p50, "added_p99_us": added_p99, "stages_ns": stages_ns,
        })
    }

    /// The ratios of requests a second of those that are compared and are here.
    fn ratios(&self) -> impl Iterator<Item = ([&'static str; 2], Spread)> {
        let per_second = |pair| Some((pair, self.compare(pair, |lap| Some(lap.per_second))?));
        PAIRS.into_iter().filter_map(per_second)
    }

    fn print_ratios(&self) {
        let spread = |Spread { median, low, high }| format!("{median:.2} ({low:.2} to {high:.2})");
        for (pair, rate) in self.ratios() {
            let spent = self.compare(pair, |lap| Some(lap.cpu_us?.0 + lap.cpu_us?.1));
            let spent =
                spent.map_or_else(String::new, |it| format!("  by processor time {}", spread(it)));
            println!("{:<30} {}{spent}", pair.join("/"), spread(rate));
        }
    }

    fn write(report: &Value) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/side_by_side.json");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, format!("{report:#}\n")).unwrap();
        println!("\nwritten to {}", file.display());
    }
}
