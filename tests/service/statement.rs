//! A statement is the last word, and what it lacks was never processed.

use crate::{World, world, world_over};
use hefu::domain::id::OrderId;
use hefu::domain::outcome::{Decline, Outcome};
use hefu::message::statement::Line;
use hefu::service::closing::{Closed, Closing, NotClosed, Progress};
use hefu::service::statement::{Came, Difference};
use hefu::service::{Binding, Channel, Settings};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::shelf::PAGE_MAX;
use hefu::store::sqlite;
use jiff::civil::{Date, date};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// The day on which the world begins, in China.
const DAY: Date = date(2023, 11, 15);

/// A world over a file, with a log in front of it.
fn over(path: &Path, limits: Limits) -> World {
    let store = MemoryStore::open(limits, sqlite::open(path).unwrap(), |_| ()).unwrap();
    world_over(store, Binding::Enforce(100), Settings::default())
}

impl World {
    fn lines(&self, text: &str) -> Vec<Line> {
        let statement = &self.channel.profile.statements[0];
        let read = |line: &str| {
            statement.read(&self.channel.profile.codes, line.as_bytes(), Some(DAY)).unwrap()
        };
        text.lines().filter_map(read).collect()
    }

    /// Settles lines of a statement; what each came to.
    pub(crate) async fn stated(&self, text: &str) -> Vec<Came> {
        let came = self.service.state(&self.channel, &self.lines(text)).await.unwrap();
        came.into_iter().map(|(came, _)| came).collect()
    }

    async fn closed(&self, day: Date) -> (Vec<Date>, u64) {
        let closed = self.close_for(day, &[], false).await.unwrap();
        (closed.settled, closed.absent)
    }

    async fn close_for(
        &self,
        day: Date,
        merchants: &[&str],
        even_if_most_fail: bool,
    ) -> Result<Closed, NotClosed> {
        let merchants = merchants.iter().map(|&it| it.to_owned()).collect();
        let closing = Closing { day, lines: 1, merchants, even_if_most_fail, pages: 100 };
        self.service.close_day(&self.channel, &closing, Progress::default()).await
    }

    /// How many payments closing a day for `merchants` failed, or why it is not closed.
    async fn close(&self, day: Date, merchants: &[&str], even: bool) -> Result<u64, String> {
        let closed = self.close_for(day, merchants, even).await;
        closed.map(|closed| closed.absent).map_err(|error| error.to_string())
    }

    /// Pays successfully with an order of a merchant's.
    async fn pay(&self, merchant: &str, order: &str) {
        self.pays(merchant, order, "ok").await;
    }

    /// Pays with an order of a merchant's, which the channel answers so.
    async fn pays(&self, merchant: &str, order: &str, answer: &str) {
        let debit = World::debit(order, 0);
        let named = format!("\"merchant\":\"{merchant}\",\"order\"");
        self.send(&debit.replace("\"order\"", &named), answer).await;
    }

    fn counted(&self) -> Vec<String> {
        let mut counted = self.mismatches();
        counted.sort_unstable();
        counted
    }
}

/// As channels state what failed: with the amount 0, or with none.
#[tokio::test]
async fn what_a_statement_says_failed_of_nothing_ends() {
    for amount in ["0", ""] {
        let world = world();
        world.send(&World::debit("1", 0), "taken").await;
        assert_eq!(world.stated(&format!("debit|1|{amount}|poor")).await, [Came::Settled]);
        assert_eq!((world.open(), world.counted()), (0, Vec::new()), "`{amount}`");
    }
}

async fn a_statement_is_the_last_word(world: World) {
    use Difference::{AmountDiffers, NeverSent, OutcomeFlipped, UnknownOrder, Unmapped};
    for (order, code) in
        [("1", "taken"), ("2", "ok"), ("3", "poor"), ("4", "ok"), ("5", "taken"), ("7", "ok")]
    {
        world.send(&World::debit(order, 0), code).await;
    }
    world
        .first
        .will(&[hefu::domain::answer::Answer::NoMatch(hefu::domain::element::ElementSet::EMPTY)]);
    world.send(&World::debit("6", 6), "ok").await;
    assert_eq!((world.open(), world.held()), (2, 0));
    // What is learned from it is newer than every payment in it.
    world.later(Duration::from_secs(1));
    let text = "debit|1|100|ok\ndebit|2|100|phone\ndebit|3|100|ok\ndebit|4|99|ok\ndebit|5|100|ZZ\ndebit|6|100|ok\nrefund|2|100|ok\ndebit|9|100|ok\ntotal|8";
    let came = world.stated(text).await;
    let differs = Came::Differs;
    assert_eq!(
        came,
        [
            Came::Settled,
            differs(OutcomeFlipped),
            differs(OutcomeFlipped),
            differs(AmountDiffers),
            differs(Unmapped),
            differs(NeverSent),
            differs(UnknownOrder),
        ]
    );
    assert_eq!(
        (world.open(), world.held()),
        (1, 1),
        "only what is unmapped is owed, and the debit prevails"
    );
    let counted = world.counted();
    assert_eq!(counted, ["amount_differs 1", "match_then_no_match 1", "outcome_flipped 1"]);
    // Read twice, it is no news; nor is what says less.
    let again = world.stated(text).await;
    assert_eq!(again[..3], [Came::Known; 3]);
    assert_eq!(again[3], differs(AmountDiffers));
    assert_eq!(world.counted(), counted);
    world.query("1", "ok", "phone").await;
    assert_eq!((world.counted(), world.held()), (counted, 1), "a query weighs less");
}

#[tokio::test]
async fn a_statement_is_the_last_word_in_memory() {
    a_statement_is_the_last_word(world()).await;
}

#[tokio::test]
async fn a_statement_is_the_last_word_over_a_file() {
    let dir = tempfile::tempdir().unwrap();
    a_statement_is_the_last_word(over(&dir.path().join("hefu.db"), Limits::default())).await;
}

#[tokio::test]
async fn a_statement_finds_what_memory_has_no_room_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hefu.db");
    let world = over(&path, Limits::default());
    for order in 0..50 {
        world.send(&World::debit(&order.to_string(), 0), "taken").await;
    }
    drop(world);
    let world = over(&path, Limits { records: 3, ..Limits::default() });
    world.later(Duration::from_hours(1));
    let text: String = (0..50).fold(String::new(), |mut text, order| {
        let _ = writeln!(text, "debit|{order}|100|ok");
        text
    });
    for part in world.lines(&text).chunks(2) {
        let came = world.service.state(&world.channel, part).await.unwrap();
        assert!(came.iter().all(|(came, _)| *came == Came::Settled), "{came:?}");
    }
    assert_eq!(world.open(), 0);
}

/// Else it would be said to be unknown, and fail when the day is closed.
#[tokio::test]
async fn what_is_known_for_longest_makes_no_room_for_what_the_same_statement_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hefu.db");
    let world = over(&path, Limits::default());
    for order in ["1", "2", "3"] {
        world.send(&World::debit(order, 0), "taken").await;
        world.later(Duration::from_secs(1));
    }
    drop(world);
    // It knows the second and the third.
    let world = over(&path, Limits { records: 2, ..Limits::default() });
    world.later(Duration::from_hours(1));
    let came = world.stated("debit|2|100|ok\ndebit|1|100|ok").await;
    assert_eq!(came, [Came::Settled; 2]);
}

async fn absence_means_failure_after_the_next_day(world: World) {
    for (order, code) in [("1", "taken"), ("2", "ok"), ("3", "poor"), ("4", "taken"), ("5", "ok")] {
        world.send(&World::debit(order, 0), code).await;
    }
    world.send(r#""type":"query","order":"9""#, "ok").await;
    world.stated("debit|1|100|ok").await;
    assert_eq!(world.closed(DAY).await, (vec![], 0));
    assert_eq!(
        (world.open(), world.counted()),
        (1, vec![]),
        "its statement alone says nothing of what it lacks"
    );
    world.later(Duration::from_hours(24));
    world.send(&World::debit("6", 0), "taken").await;
    world.stated("debit|5|100|ok").await;
    assert_eq!(world.closed(DAY.tomorrow().unwrap()).await, (vec![DAY], 2));
    // What is open failed, and so did what had succeeded; what had failed is no news, and of the next day nothing is said.
    assert_eq!((world.open(), world.counted()), (1, vec!["outcome_flipped 1".to_owned()]));
    assert_eq!(world.closed(DAY).await, (vec![DAY], 0), "twice is once");
    assert_eq!(world.counted(), ["outcome_flipped 1"]);
    // The days may come in any order.
    assert_eq!(world.closed(date(2023, 11, 17)).await, (vec![date(2023, 11, 16)], 1));
    assert_eq!(world.open(), 0);
}

#[tokio::test]
async fn absence_means_failure_in_memory() {
    absence_means_failure_after_the_next_day(world()).await;
}

#[tokio::test]
async fn absence_means_failure_over_a_file() {
    let dir = tempfile::tempdir().unwrap();
    absence_means_failure_after_the_next_day(over(&dir.path().join("hefu.db"), Limits::default()))
        .await;
}

#[tokio::test]
async fn closing_a_day_fails_nothing_of_merchants_that_are_not_named() {
    let world = world();
    for (merchant, order) in [("M1", "1"), ("M1", "2"), ("M2", "3"), ("M2", "4")] {
        world.pay(merchant, order).await;
    }
    world.stated("debit|1|100|ok").await;
    assert_eq!(world.close(DAY, &["M1"], false).await, Ok(0));
    world.later(Duration::from_hours(24));
    let next = DAY.tomorrow().unwrap();
    assert_eq!(world.close(next, &["M1"], false).await, Ok(1), "only what M1's file lacks");
    assert_eq!(world.counted(), ["outcome_flipped 1"]);
    // Of M2 only one of both days was read, until the other is.
    assert_eq!(world.close(next, &["M2"], false).await, Ok(0));
    assert_eq!(world.close(DAY, &["M2"], false).await, Ok(2));
    assert_eq!(world.counted(), ["outcome_flipped 3"]);
}

#[tokio::test]
async fn closing_a_day_that_would_fail_most_of_what_succeeded_is_refused() {
    let world = world();
    for order in 0..12 {
        world.pay("M1", &order.to_string()).await;
    }
    // A file that was cut at a line's end.
    world.stated("debit|0|100|ok\ndebit|1|100|ok").await;
    assert_eq!(world.close(DAY, &["M1"], false).await, Ok(0));
    world.later(Duration::from_hours(24));
    let next = DAY.tomorrow().unwrap();
    let refused = world.close(next, &["M1"], false).await.unwrap_err();
    assert!(refused.contains("10 of 12"), "{refused}");
    assert_eq!((world.counted(), world.open()), (vec![], 0), "nothing was changed");
    assert_eq!(world.close(DAY, &["M1"], false).await, Ok(0), "nor is the next day closed");
    assert_eq!(world.close(next, &["M1"], true).await, Ok(10), "but when somebody means it");
    assert_eq!(world.counted(), ["outcome_flipped 10"]);
}

/// Of a channel whose answers say only that it took the payment, a file that was cut failed nearly all of them without a word.
#[tokio::test]
async fn closing_a_day_that_would_fail_most_of_what_was_taken_is_refused() {
    for (named, expected) in [(9, Err("11 of 20")), (10, Ok(10))] {
        let world = world();
        for order in 0..20 {
            world.pays("M1", &order.to_string(), "taken").await;
        }
        let lines: Vec<String> = (0..named).map(|order| format!("debit|{order}|100|ok")).collect();
        world.stated(&lines.join("\n")).await;
        assert_eq!(world.close(DAY, &["M1"], false).await, Ok(0));
        world.later(Duration::from_hours(24));
        let next = DAY.tomorrow().unwrap();
        let closed = world.close(next, &["M1"], false).await;
        match expected {
            Ok(failed) => assert_eq!(closed, Ok(failed)),
            Err(why) => {
                assert!(closed.unwrap_err().contains(why), "{named}");
                assert_eq!(world.open(), 11, "nothing was changed");
                assert_eq!(world.close(next, &["M1"], true).await, Ok(11));
            }
        }
    }
}

#[tokio::test]
async fn closing_a_day_of_which_no_line_names_a_merchant_wants_him_told() {
    let mut world = world();
    let mut profile = world.channel.profile.clone();
    let lines = profile.statements.iter_mut().flat_map(|statement| &mut statement.lines);
    lines.for_each(|line| line.merchant = Some("merchant".to_owned()));
    world.channel = Channel { profile, binding: world.channel.binding }.into();
    // Whose payment it is, nobody knows: no merchant's file need name it.
    world.send(&World::debit("1", 0), "ok").await;
    world.pay("M1", "2").await;
    let next = DAY.tomorrow().unwrap();
    assert_eq!(world.close_for(next, &[], true).await.unwrap_err(), NotClosed::NobodyNamed);
    assert_eq!(world.close(next, &["M1"], false).await, Ok(0));
    let closed = world.close_for(DAY, &["M1"], false).await.unwrap();
    assert_eq!((closed.absent, closed.left), (1, 1));
    assert_eq!(world.counted(), ["outcome_flipped 1"]);
}

#[tokio::test]
async fn closing_a_day_of_many_payments_goes_on_from_call_to_call() {
    let world = world();
    let payments = u64::try_from(PAGE_MAX).unwrap() + 100;
    for order in 0..payments {
        world.send(&World::debit(&order.to_string(), 0), "taken").await;
    }
    world.later(Duration::from_hours(24));
    let (mut absent, mut named, mut calls) = (0, 0, 0);
    for day in [DAY, DAY.tomorrow().unwrap()] {
        let merchants = ["M1".to_owned()].into();
        let closing = Closing { day, lines: 0, merchants, even_if_most_fail: true, pages: 1 };
        let mut next = Some(Progress::default());
        while let Some(progress) = next {
            // As the client hands it back.
            let progress = serde_json::to_string(&progress).unwrap();
            let progress = serde_json::from_str(&progress).unwrap();
            let closed = world.service.close_day(&world.channel, &closing, progress).await.unwrap();
            (absent, named, calls) =
                (absent + closed.absent, named + closed.named.len(), calls + 1);
            next = closed.next;
        }
    }
    assert_eq!((absent, named, world.open()), (payments, PAGE_MAX + 100, 0));
    assert_eq!(calls, 2 + 4, "a page each, first counted and then failed");
}

/// A long statement, read and settled over a file, of which every fiftieth line is ours. `HEFU_STATEMENT_LINES=1000000` for a whole day's.
#[tokio::test]
#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "the figure is what it is for")]
async fn a_long_statement_is_settled_in_bounded_memory() {
    let lines = std::env::var("HEFU_STATEMENT_LINES").ok().and_then(|it| it.parse().ok());
    let (lines, part) = (lines.unwrap_or(5_000_u64), 2_000);
    let dir = tempfile::tempdir().unwrap();
    let world = over(&dir.path().join("hefu.db"), Limits::default());
    let ours = (0..lines).step_by(50).count().min(2_000);
    for order in (0..lines).step_by(50).take(ours) {
        world.send(&World::debit(&order.to_string(), 0), "taken").await;
    }
    assert_eq!(world.open(), ours);
    let (before, begun) = (resident(), Instant::now());
    let (mut waiting, mut settled, mut unknown) = (Vec::new(), 0, 0);
    let statement = &world.channel.profile.statements[0];
    for order in 0..lines {
        let line = format!("debit|{order}|100|ok");
        let line = statement.read(&world.channel.profile.codes, line.as_bytes(), None).unwrap();
        waiting.extend(line);
        if waiting.len() == part || order + 1 == lines {
            for (came, _) in world.service.state(&world.channel, &waiting).await.unwrap() {
                settled += usize::from(came == Came::Settled);
                unknown += usize::from(came == Came::Differs(Difference::UnknownOrder));
            }
            waiting.clear();
        }
    }
    let (took, grown) = (begun.elapsed().as_secs_f64(), resident().saturating_sub(before));
    #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "shown, rounded")]
    let rate = lines as f64 / took;
    println!("{lines} lines in {took:.1} s, {rate:.0} lines a second; memory grew by {grown} KiB");
    assert_eq!((settled, world.open()), (ours, 0));
    assert_eq!(unknown, usize::try_from(lines).unwrap() - ours);
    assert!(grown < 256 * 1024, "{grown} KiB");
}

/// How much memory the process holds, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default()
}

/// A line on a try that failed, before the one that succeeded or after it, ended the later one.
#[tokio::test]
async fn a_line_on_an_earlier_try_does_not_end_the_later_one() {
    for lines in ["debit|1|100|otp\ndebit|1|100|ok", "debit|1|100|ok\ndebit|1|100|otp"] {
        let world = world();
        world.send(&World::debit("1", 0), "otp").await;
        world.later(Duration::from_secs(1));
        world.send(&World::debit("1", 0), "taken").await;
        world.stated(lines).await;
        let of = world.service.store.by_order(world.channel.name(), &OrderId("1".into()));
        let outcomes = of.iter().map(|of| world.service.store.record(*of).unwrap().became.outcome);
        let outcomes: Vec<_> = outcomes.map(|outcome| outcome.unwrap().0).collect();
        assert_eq!(outcomes, [Outcome::Declined(Decline::Otp), Outcome::Succeeded], "{lines}");
        assert_eq!(world.mismatches(), [""; 0], "{lines}");
    }
}
