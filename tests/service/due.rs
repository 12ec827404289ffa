//! When an outcome is missing, as files say: what a channel promises, and days and hours that do not count.

use crate::{World, config_from, config_of, world};
use hefu::config::Config;
use hefu::domain::clock::Timestamp;
use hefu::reconcile::due::instant;
use hefu::service::overdue::{Promises, Swept};
use jiff::civil::DateTime;
use std::sync::atomic::Ordering;

fn at(text: &str) -> Timestamp {
    let at: DateTime = text.parse().unwrap();
    instant(at.date(), at.time()).unwrap()
}

fn promises(config: &Config) -> Promises {
    Promises {
        levels: config.channels.iter().map(|(name, it)| (name.clone(), it.level.clone())).collect(),
        calendar: config.calendar.clone(),
    }
}

const HOLIDAYS: &str =
    "valid_until = \"2026-12-31\"\nholidays = [\"2026-10-01\", \"2026-10-02\"]\n";

/// A debit leaves, and nothing more is heard: until when nothing is missing, and from when on.
async fn check(calendar: &str, due: &str, left: &str, expected: &str) {
    let mut files = vec![("calendar.toml", calendar.to_owned())];
    if !due.is_empty() {
        let hefu = include_str!("config/hefu.toml");
        files.push(("hefu.toml", format!("{hefu}\n[channels.acme.due]\n{due}\n")));
    }
    let promises = promises(&config_from(&files));
    let world = world();
    let set = |at: Timestamp| world.clock.0.store(at.as_millis(), Ordering::Relaxed);
    set(at(left));
    world.send(&World::debit("1", 0), "taken").await;
    let mut swept = Swept::default();
    let name = format!("{calendar} {due} {left}");
    let expected = at(expected).as_millis();
    for (now, found) in [(expected - 1, 0), (expected, 1)] {
        set(Timestamp::from_millis(now));
        assert_eq!(world.service.sweep(&promises, &mut swept).await, Ok(found), "{name}");
    }
    assert_eq!(world.mismatches(), ["missing_outcome 1"], "{name}");
}

#[tokio::test]
async fn holidays_and_maintenance_put_off_what_is_missing() {
    assert_eq!(promises(&config_of("")).calendar, Promises::default().calendar);
    let (soon, days) = ("debit = \"30m\"", "debit = \"24h\"\nworking_days = true");
    check("", "", "2026-09-30T20:00", "2026-09-30T22:00").await;
    check("", soon, "2026-09-30T20:00", "2026-09-30T20:30").await;
    // Where working days do not count, holidays do not either.
    check(HOLIDAYS, soon, "2026-09-30T23:50", "2026-10-01T00:20").await;
    // Over two holidays and a weekend.
    check(HOLIDAYS, days, "2026-09-30T20:00", "2026-10-05T20:00").await;
    check("", days, "2026-09-30T20:00", "2026-10-01T20:00").await;
    let of = |channel: &str, when: &str| format!("[[maintenance]]\n{channel}{when}\n");
    let once = "from = \"2026-09-30T21:00\"\nuntil = \"2026-09-30T23:00\"";
    check(&of("", once), "", "2026-09-30T20:00", "2026-10-01T00:00").await;
    check(&of("channel = \"acme\"\n", once), "", "2026-09-30T20:00", "2026-10-01T00:00").await;
    let nightly = "daily = [\"23:30\", \"00:30\"]";
    check(&of("", nightly), "", "2026-09-30T22:30", "2026-10-01T01:30").await;
}
