//! What a channel says by itself is believed as far as it deserves.

use crate::lasting::world_over_file;
use crate::{World, world, world_over};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hefu::crypto::seal::OpeningKey;
use hefu::domain::id::OrderId;
use hefu::domain::outcome::{Belief, Outcome};
use hefu::message::extract::Request;
use hefu::message::profile::Proof;
use hefu::service::settle::Reported;
use hefu::service::{Binding, Channel, Settings};
use hefu::store::journal::StoreLost;
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::sqlite::Sqlite;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The channel's key, and somebody else's.
static KEYS: LazyLock<(PKey<Private>, PKey<Private>)> = LazyLock::new(|| {
    let key = || PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap();
    (key(), key())
});

/// How a notification is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signed {
    ByTheChannel,
    ByAnother,
    ForAnotherBody,
    Not,
}

/// What the core answers to what it takes as it does to what it verified, to anything, and to what it does not take.
const NOTED: (u16, &str) = (200, "noted");
const ANYTHING: (u16, &str) = (200, "<html>");
const REFUSED: (u16, &str) = (500, "noted");

impl World {
    /// The same world, with the channel's key pinned.
    pub(crate) fn pinned(self) -> Self {
        let key = OpeningKey::from_pem(&KEYS.0.public_key_to_pem().unwrap()).unwrap();
        let mut profile = self.channel.profile.clone();
        let proof = profile.notify.as_mut().and_then(|notify| notify.proof.as_mut());
        if let Some(Proof::Signature(signature)) = proof {
            signature.keys.push(key);
        }
        let channel = Arc::new(Channel { profile, binding: self.channel.binding });
        Self { channel, ..self }
    }

    /// The channel notifies, and the core answers: whether the acknowledgement is relayed.
    pub(crate) async fn notify(
        &self,
        told: &str,
        signed: Signed,
        (status, body): (u16, &str),
    ) -> Result<(), StoreLost> {
        let told = format!("{{{told}}}");
        let of = if signed == Signed::ForAnotherBody { "{}" } else { &told };
        let key = if signed == Signed::ByAnother { &KEYS.1 } else { &KEYS.0 };
        let mut hand = Signer::new(MessageDigest::sha256(), key).unwrap();
        let signature = STANDARD.encode(hand.sign_oneshot_to_vec(of.as_bytes()).unwrap());
        let header = [("signature", signature.as_bytes())];
        let request = Request {
            headers: if signed == Signed::Not { &[] } else { &header },
            ..Request::post("/told/acme", "application/json", told.as_bytes())
        };
        let (_permit, heard) = self.service.hear(&self.channel, &request).unwrap();
        let answer = Reported::Answer { status, content_type: None, body: body.as_bytes() };
        self.service.heard(heard, answer).await
    }

    /// As [`Self::notify`]. Yields what it came to, and whether the acknowledgement is relayed.
    async fn notified(&self, told: &str, signed: Signed, answer: (u16, &str)) -> String {
        let before = self.hearings();
        let kept = self.notify(told, signed, answer).await;
        let after = self.hearings();
        let new = after.into_iter().find(|line| !before.contains(line)).unwrap();
        let label = |name: &str| new.split(&format!("{name}=\"")).nth(1)?.split('"').next();
        let relayed = if kept.is_ok() { "" } else { ", withheld" };
        format!("{} {}{relayed}", label("belief").unwrap(), label("result").unwrap())
    }

    fn hearings(&self) -> Vec<String> {
        let metrics = String::from_utf8(self.service.metrics.render().unwrap()).unwrap();
        let lines = metrics.lines().filter(|line| line.starts_with("hefu_notifications_total"));
        lines.map(str::to_owned).collect()
    }

    /// A verified notification that is acknowledged; what it came to.
    pub(crate) async fn told(&self, told: &str) -> String {
        self.notified(told, Signed::ByTheChannel, NOTED).await
    }

    /// The mismatches counted so far, each with its number.
    pub(crate) fn mismatches(&self) -> Vec<String> {
        let metrics = String::from_utf8(self.service.metrics.render().unwrap()).unwrap();
        let lines = metrics.lines().filter(|line| line.starts_with("hefu_mismatches_total{"));
        let kind = |line: &str| {
            let kind = line.split("kind=\"").nth(1)?.split('"').next()?;
            Some(format!("{kind} {}", line.rsplit(' ').next()?))
        };
        lines.filter_map(kind).collect()
    }

    pub(crate) fn open(&self) -> usize {
        self.service.store.expectations(self.channel.name())
    }
}

/// Of a debit of 100 fen.
fn told(order: &str, state: &str) -> String {
    format!(r#""of":"debit","order":"{order}","amount":"100","code":"ok","state":"{state}""#)
}

async fn check(
    world: &World,
    told: &str,
    signed: Signed,
    answer: (u16, &str),
    expected: (&str, usize, usize),
) {
    let came_to = world.notified(told, signed, answer).await;
    assert_eq!((&*came_to, world.open(), world.held()), expected, "{told} {signed:?} {answer:?}");
}

/// The decision table: one debit that was taken, one notification; what it came to, what is owed, and what is held.
#[tokio::test]
async fn a_notification_is_believed_as_far_as_it_deserves() {
    use Signed::{ByAnother, ByTheChannel, ForAnotherBody, Not};
    let other_amount = told("1", "ok").replace("100", "99");
    let nothing_came = told("1", "phone").replace("100", "0");
    let no_amount = told("1", "ok").replace(r#""amount":"100","#, "");
    let not_itself = told("1", "phone").replace(r#""code":"ok""#, r#""code":"broken""#);
    let twice = told("1", "phone").replace(r#""order""#, r#""order":"1","order""#);
    let pinned = [
        (told("1", "ok"), ByTheChannel, ANYTHING, ("verified settled", 0, 0)),
        (told("1", "phone"), ByTheChannel, ANYTHING, ("verified settled", 0, 1)),
        // The core may not like it; it is the channel's word all the same.
        (told("1", "phone"), ByTheChannel, REFUSED, ("verified settled", 0, 1)),
        (told("1", "taken"), ByTheChannel, NOTED, ("verified known", 1, 0)),
        (told("1", "ZZ"), ByTheChannel, NOTED, ("verified known", 1, 0)),
        (told("1", "phone"), ByAnother, NOTED, ("claimed forged", 1, 0)),
        (told("1", "phone"), ForAnotherBody, NOTED, ("claimed forged", 1, 0)),
        (told("1", "phone"), Not, NOTED, ("claimed forged", 1, 0)),
        (other_amount.clone(), ByTheChannel, NOTED, ("verified amount_differs", 1, 0)),
        (nothing_came, ByTheChannel, NOTED, ("verified settled", 0, 1)),
        (no_amount, ByTheChannel, NOTED, ("claimed unreadable", 1, 0)),
        (not_itself, ByTheChannel, NOTED, ("verified known", 1, 0)),
        (twice, ByTheChannel, NOTED, ("claimed unreadable", 1, 0)),
        (told("2", "phone"), ByTheChannel, NOTED, ("verified unknown_order", 1, 0)),
        (r#""of":"refund","order":"1""#.to_owned(), ByTheChannel, NOTED, ("claimed passing", 1, 0)),
        (
            r#""of":"coupon","order":"1""#.to_owned(),
            ByTheChannel,
            NOTED,
            ("claimed unlisted", 1, 0),
        ),
    ];
    for (told, signed, answer, expected) in pinned {
        let world = world().pinned();
        world.send(&World::debit("1", 0), "taken").await;
        check(&world, &told, signed, answer, expected).await;
        // However often it comes again.
        let settled = expected.0.replace("settled", "known");
        check(&world, &told, signed, answer, (&settled, expected.1, expected.2)).await;
    }
    // Without a key nothing is proved: what the core verified is nearer to it than what anybody may say.
    let unproved = [
        (told("1", "phone"), NOTED, ("acknowledged noted", 1, 0)),
        (told("1", "phone"), ANYTHING, ("claimed noted", 1, 0)),
        (told("1", "phone"), REFUSED, ("claimed noted", 1, 0)),
        (other_amount, NOTED, ("acknowledged amount_differs", 1, 0)),
    ];
    for (told, answer, expected) in unproved {
        let world = world();
        world.send(&World::debit("1", 0), "taken").await;
        check(&world, &told, ByTheChannel, answer, expected).await;
        let metrics = String::from_utf8(world.service.metrics.render().unwrap()).unwrap();
        assert!(!metrics.contains("hefu_mismatches_total{"), "{metrics}");
    }
}

/// Whatever comes first, and however often.
#[tokio::test]
async fn the_order_in_which_it_is_heard_does_not_matter() {
    // Before the answer to the message itself: the answer is then no news.
    let world = world().pinned();
    let judged = world.judge(&world.channel, &World::debit("1", 0)).await.unwrap();
    assert_eq!(world.told(&told("1", "phone")).await, "verified settled");
    world.settle(judged, "taken").await;
    assert_eq!((world.open(), world.held()), (0, 1));
    assert_eq!(world.told(&told("1", "phone")).await, "verified known");
    assert_eq!(world.mismatches(), ["match_then_no_match 1"]);
    // A query tells the core what a notification has told Hefu.
    assert_eq!(
        world.query("1", "ok", "phone").await,
        "outcome: no_match;suspects=\"phone\";code=\"phone\";arrival=query;of\nmismatch: match_then_no_match;provider=\"first\";suspects=\"phone\""
    );
    // A query weighs more, and what was undone stays undone.
    let world = crate::world().pinned();
    world.send(&World::debit("1", 0), "poor").await;
    assert_eq!(world.told(&told("1", "ok")).await, "verified settled");
    assert_eq!(world.told(&told("1", "back")).await, "verified settled");
    for state in ["ok", "back", "poor", "taken"] {
        assert_eq!(world.told(&told("1", state)).await, "verified known", "{state}");
    }
    assert_eq!(world.mismatches(), ["outcome_flipped 1", "reversed_after_success 1"]);
    world.send(&World::debit("2", 1), "taken").await;
    world.send(r#""type":"query","order":"2""#, "ok").await;
    let answer = br#"{"code":"ok","state":"ok"}"#;
    let answer = Reported::Answer { status: 200, content_type: None, body: answer };
    world.send_answered(r#""type":"query","order":"2""#, answer).await;
    assert_eq!(world.told(&told("2", "phone")).await, "verified known");
    // That the first was undone is to be confirmed.
    assert_eq!((world.open(), world.held()), (1, 0));
    // Better reasons are better reasons.
    world.send(&World::debit("3", 2), "poor").await;
    assert_eq!(world.told(&told("3", "phone")).await, "verified settled");
    assert_eq!(world.held(), 1);
}

/// The late answer was written over what had been heard, where memory had made room of that.
#[tokio::test]
async fn what_was_heard_stands_when_memory_has_made_room_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { records: 1, ..Limits::default() };
    let database = hefu::store::sqlite::open(&dir.path().join("hefu.db")).unwrap();
    let store = MemoryStore::open(limits, database, |_| ()).unwrap();
    let world = world_over(store, Binding::Enforce(100), Settings::default()).pinned();
    let judged = world.judge(&world.channel, &World::debit("1", 0)).await.unwrap();
    assert_eq!(world.told(&told("1", "ok")).await, "verified settled");
    world.send(&World::debit("2", 1), "ok").await;
    world.service.settle(judged, Reported::InDoubt).await;
    assert_eq!(world.told(&told("1", "ok")).await, "verified known");
}

/// That it was undone was told by the answer and by a notification, and nobody was asked: it was owed no more.
#[tokio::test]
async fn a_reversal_that_is_told_twice_is_still_to_be_confirmed() {
    let world = world().pinned();
    let judged = world.judge(&world.channel, &World::debit("1", 0)).await.unwrap();
    world.query("1", "ok", "ok").await;
    world.settle(judged, "back").await;
    assert_eq!(world.open(), 1);
    assert_eq!(world.told(&told("1", "back")).await, "verified settled");
    assert_eq!(world.open(), 1);
    world.query("1", "ok", "back").await;
    assert_eq!(world.open(), 0);
}

/// Other merchants' orders, other kinds of payment, what never left, and another amount.
#[tokio::test]
async fn what_is_told_of_something_else_settles_nothing() {
    let world = world().pinned();
    let of = |order: &str, merchant: &str| {
        told(order, "ok").replace(r#""order""#, &format!(r#""merchant":"{merchant}","order""#))
    };
    let mine = World::debit("1", 0).replace(r#""order""#, r#""merchant":"M1","order""#);
    world.send(&mine, "taken").await;
    assert_eq!(world.told(&of("1", "M2")).await, "verified unknown_order");
    world.send(&format!(r#""type":"bind","order":"2",{}"#, crate::person(1)), "taken").await;
    assert_eq!(world.told(&told("2", "ok")).await, "verified unknown_order");
    world.send(&World::debit("3", 2), "phone").await;
    assert!(world.send(&World::debit("4", 2), "ok").await.starts_with("403 held"));
    assert_eq!(world.told(&told("4", "ok")).await, "verified never_sent");
    let refused = world.service.store.by_order(world.channel.name(), &OrderId("4".into()))[0];
    let record = world.service.store.record(refused).unwrap();
    let story = hefu::service::explain::story(&record);
    assert!(story.en.contains("A notification said: succeeded (verified"), "{}", story.en);
    let (open, mismatches) = (world.open(), world.mismatches());
    let other = of("1", "M1").replace("100", "101");
    for _ in 0..2 {
        assert_eq!(world.told(&other).await, "verified amount_differs");
    }
    assert_eq!(world.open(), open, "the outcome is still owed");
    assert_eq!(world.mismatches(), [vec!["amount_differs 1".to_owned()], mismatches].concat());
    assert_eq!(world.told(&of("1", "M1")).await, "verified settled");
}

/// What the core itself asks to be undone was not undone behind its back.
#[tokio::test]
async fn a_refund_that_the_core_asked_for_is_no_reversal() {
    // Whether the channel took the refund, and whether the reversal is then a mismatch.
    let answers = [("ok", false), ("taken", false), ("ZZ", false), ("poor", true)];
    for (code, mismatch) in answers {
        for told_by in ["notify", "query"] {
            let world = world().pinned();
            world.send(&World::debit("1", 0), "ok").await;
            world.send(r#""type":"refund","order":"2","original":"1""#, code).await;
            if told_by == "notify" {
                assert_eq!(world.told(&told("1", "back")).await, "verified settled");
            } else {
                let body = br#"{"code":"ok","state":"back"}"#;
                let answer = Reported::Answer { status: 200, content_type: None, body };
                world.send_answered(r#""type":"query","order":"1""#, answer).await;
            }
            let expected: &[&str] = if mismatch { &["reversed_after_success 1"] } else { &[] };
            assert_eq!(world.mismatches(), expected, "{code} {told_by}");
        }
    }
    // Another order's refund says nothing, nor one that was never sent.
    let world = world().pinned();
    world.send(&World::debit("1", 0), "ok").await;
    world.send(r#""type":"refund","order":"2","original":"9""#, "ok").await;
    world.send_answered(r#""type":"refund","order":"3","original":"1""#, Reported::NotSent).await;
    assert_eq!(world.told(&told("1", "back")).await, "verified settled");
    assert_eq!(world.mismatches(), ["reversed_after_success 1"]);
}

/// What nobody proved is told to whoever asks, and nothing rests on it; what is believed more is not written over.
#[tokio::test]
async fn hearsay_is_kept_until_it_is_confirmed() {
    let world = world();
    world.send(&World::debit("1", 0), "taken").await;
    let noted = |told: String, answer| {
        let world = &world;
        async move { world.notified(&told, Signed::Not, answer).await }
    };
    assert_eq!(noted(told("1", "phone"), ANYTHING).await, "claimed noted");
    assert_eq!(noted(told("1", "phone"), ANYTHING).await, "claimed known");
    assert_eq!(noted(told("1", "ok"), NOTED).await, "acknowledged noted");
    assert_eq!(noted(told("1", "phone"), ANYTHING).await, "claimed known");
    let of =
        world.service.store.by_order(world.channel.name(), &hefu::domain::id::OrderId("1".into()));
    let record = world.service.store.record(*of.first().unwrap()).unwrap();
    let story = hefu::service::explain::story(&record);
    assert!(story.en.contains("A notification said: succeeded (acknowledged"), "{}", story.en);
    assert_eq!((world.open(), world.held()), (1, 0));
    // The next debit is not stopped by it.
    assert!(world.send(&World::debit("2", 0), "ok").await.starts_with("decision: permit"));
}

/// Where several processes share a store, what one changed of a record of which no more was reported was joined away: it fell back to
/// what had been written before.
#[tokio::test]
async fn what_changes_of_a_record_is_kept_beside_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hefu.db");
    let open = || {
        let store = MemoryStore::open(Limits::default(), Sqlite::open(&path).unwrap(), |_| ());
        world_over(store.unwrap(), Binding::Enforce(100), Settings::default())
    };
    let (one, other) = (open(), open());
    one.send(&World::debit("1", 0), "taken").await;
    for (state, answer) in [("phone", ANYTHING), ("ok", NOTED)] {
        one.notified(&told("1", state), Signed::Not, answer).await;
        one.service.store.flush().await.unwrap();
    }
    drop((one, other));
    let third = open();
    let of = third.service.store.by_order(third.channel.name(), &OrderId("1".into()));
    let heard = third.service.store.record(of[0]).unwrap().became.heard.unwrap();
    assert_eq!((heard.outcome, heard.belief), (Outcome::Succeeded, Belief::Acknowledged));
}

/// An acknowledgement is relayed when what it acknowledges is durable, and not before: also of what came before.
#[tokio::test(start_paused = true)]
async fn no_acknowledgement_while_the_store_is_lost() {
    let (_dir, world, file) = world_over_file();
    let world = Arc::into_inner(world).unwrap().pinned();
    tokio::time::resume();
    world.send(&World::debit("1", 0), "taken").await;
    world.service.store.flush().await.unwrap();
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    tokio::time::pause();
    assert_eq!(world.told(&told("1", "phone")).await, "verified settled, withheld");
    // It comes again, and is known; but it is not durable yet.
    assert_eq!(world.told(&told("1", "phone")).await, "verified known, withheld");
    // Nobody knows whether that order is known elsewhere.
    assert_eq!(world.told(&told("9", "phone")).await, "verified unknown_order, withheld");
    // A refusal of the core is its own, and the channel comes again by itself.
    let refused = world.notified(&told("1", "phone"), Signed::ByTheChannel, REFUSED).await;
    assert_eq!(refused, "verified known");
    file.execute_batch("ROLLBACK").unwrap();
    tokio::time::resume();
    while world.service.store.flush().await.is_err() {}
    assert_eq!(world.told(&told("1", "phone")).await, "verified known");
    let mut rows = file.prepare("SELECT value FROM payments").unwrap();
    let row: String = rows.query_row((), |row| row.get(0)).unwrap();
    assert!(row.contains("match_then_no_match") && row.contains("notify"), "{row}");
}

/// What a channel told before it told otherwise changes nothing when it comes once more.
#[tokio::test]
async fn an_older_notification_that_is_replayed_changes_nothing() {
    let world = world().pinned();
    world.send(&World::debit("1", 0), "taken").await;
    assert_eq!(world.told(&told("1", "phone")).await, "verified settled");
    assert_eq!(world.told(&told("1", "ok")).await, "verified settled");
    let (before, held) = (world.mismatches(), world.service.standing_holds().len());
    for _ in 0..3 {
        assert_eq!(world.told(&told("1", "phone")).await, "verified known");
        assert_eq!(world.told(&told("1", "ok")).await, "verified known");
    }
    assert_eq!((world.mismatches(), world.service.standing_holds().len()), (before, held));
}

/// A word about the try before ends neither the one that left after it, nor lets a third leave.
#[tokio::test]
async fn a_late_word_on_an_earlier_try_does_not_end_the_later_one() {
    let world = world().pinned();
    world.send(&World::debit("1", 0), "otp").await;
    world.later(Duration::from_secs(1));
    let again = world.send(&World::debit("1", 0), "taken").await;
    assert!(again.starts_with("decision: permit"), "{again}");
    assert_eq!(world.told(&told("1", "otp")).await, "verified noted");
    assert_eq!(world.open(), 1);
    let third = world.send(&World::debit("1", 0), "ok").await;
    assert!(third.starts_with("409 already_sent [] earlier accepted"), "{third}");
    // A query is about the order as it stands; but a password is typed again only where the answer itself asks for it.
    world.query("1", "ok", "otp").await;
    assert_eq!(world.open(), 0);
    let third = world.send(&World::debit("1", 0), "ok").await;
    assert!(third.starts_with("409 already_sent [] earlier declined"), "{third}");
    // What succeeded is told by whoever tells it.
    assert_eq!(world.told(&told("1", "ok")).await, "verified known");
}

/// A replica that knew only the later try of an order, or neither, took a late word on the earlier one for the later one's: it ended, and
/// the money was taken all the same.
#[tokio::test]
async fn a_late_word_on_an_earlier_try_ends_no_later_one_at_a_replica_either() {
    for after in ["otp", "none"] {
        let dir = tempfile::tempdir().unwrap();
        let replica = || {
            let backend = Sqlite::open(&dir.path().join("hefu.db")).unwrap();
            let store = MemoryStore::open(Limits::default(), backend, |_| ()).unwrap();
            world_over(store, Binding::Enforce(100), Settings::default()).pinned()
        };
        let [first, second, third] = [(); 3].map(|()| replica());
        for world in [&second, &third] {
            world.later(Duration::from_hours(1));
        }
        if after == "otp" {
            first.send(&World::debit("1", 0), "otp").await;
        } else {
            first.send(&World::debit("1", 0), "taken").await;
            first.later(Duration::from_mins(20));
            first.query("1", "none", "").await;
        }
        first.service.store.flush().await.unwrap();
        let again = second.send(&World::debit("1", 0), "taken").await;
        assert!(again.starts_with("decision: permit"), "{again}");
        second.service.store.flush().await.unwrap();
        for (world, name) in [(&second, "second"), (&third, "third"), (&replica(), "anew")] {
            let came_to = world.told(&told("1", "poor")).await;
            // Whoever hears it next finds that it was noted.
            let expected = if name == "second" { "verified noted" } else { "verified known" };
            assert_eq!(came_to, expected, "{after} {name}");
            let fourth = world.send(&World::debit("1", 0), "ok").await;
            assert!(fourth.starts_with("409 already_sent [] earlier accepted"), "{fourth}");
        }
        assert_eq!((second.open(), replica().open()), (1, 1), "{after}");
        assert_eq!(third.told(&told("1", "ok")).await, "verified settled");
        assert_eq!(replica().open(), 0, "{after}");
    }
}
