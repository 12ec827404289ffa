//! What else the machine did meanwhile: a round in which others computed says little.

use std::fs;
use std::time::Duration;

/// What `/proc/stat` counts in: `USER_HZ`, which is 100 on every Linux.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// How much of all cores others may take before a round does not count.
const MOST: f64 = 0.05;

/// How much all cores had computed at an instant, and how much of it was ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    all: f64,
    idle: f64,
    ours: f64,
}

impl Snapshot {
    /// Now; `ours` are the processes that are measured.
    pub(crate) fn take(ours: &[u32]) -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<f64> =
            line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
        let idle = ticks.get(3)? + ticks.get(4)?;
        let spent = ours.iter().filter_map(|process| spent(*process));
        let ours = spent.map(|(user, system)| (user + system).as_secs_f64()).sum();
        let tick = TICK.as_secs_f64();
        Some(Self { all: ticks.iter().sum::<f64>() * tick, idle: idle * tick, ours })
    }

    /// Whether others took more than they may since.
    pub(crate) fn is_disturbed(&self, now: &Self) -> bool {
        let all = now.all - self.all;
        let foreign = all - (now.idle - self.idle) - (now.ours - self.ours);
        foreign > all * MOST
    }
}

/// What a process has spent for itself, and what the system has for it.
pub(crate) fn spent(process: u32) -> Option<(Duration, Duration)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the name in brackets, which may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u32>);
    let mut next = || Some(TICK * ticks.next()?.ok()?);
    Some((next()?, next()?))
}
