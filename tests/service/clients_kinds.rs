//! Other kinds than whether elements belong together: how long one may take, what it counts as, and whose tries it takes.

use crate::clients::{PHONE, alone, answer, ask, ended, stand, wanted};
use crate::{FOUR, World, world, world_over};
use hefu::billing::price::Prices;
use hefu::domain::answer::Answer;
use hefu::domain::element::{Element, ElementSet, Elements, InvalidElement};
use hefu::domain::image::Image;
use hefu::domain::kind::Kind;
use hefu::domain::person::Name;
use hefu::route::attempts::Limits;
use hefu::service::clients::batches::{LEASE, Lines};
use hefu::service::clients::kinds::KindTerms;
use hefu::service::clients::quota::Quota;
use hefu::service::clients::room::Room;
use hefu::service::clients::{AskError, Over, Terms, Wanted};
use hefu::service::{Binding, Settings};
use hefu::store::memory::{self, MemoryStore};
use hefu::store::sqlite::Sqlite;
use hefu::store::verification::{State, Verification};
use std::sync::Arc;
use std::time::Duration;

const WHO: ElementSet = ElementSet::EMPTY.with(Element::Name).with(Element::IdNumber);
const FACE: ElementSet = WHO.with(Element::FaceImage);
const CARD_IMAGE: ElementSet = ElementSet::EMPTY.with(Element::IdCardImage);

/// Has the first provider be asked another kind.
fn asks(world: &mut World, kind: Kind, set: ElementSet) {
    let service = Arc::get_mut(&mut world.service).unwrap();
    service.providers[0].candidate.asks = kind;
    service.providers[0].candidate.sets = vec![set];
}

/// Who may ask it.
fn may(name: &str, kind: Kind, set: ElementSet) -> Terms {
    let (sets, prices) = (vec![set], Prices::flat(60));
    Terms { kinds: vec![KindTerms { kind, sets, prices }], ..alone(name) }
}

fn face(key: &str) -> Wanted {
    let Elements { name, id_number, .. } = wanted(key, 0).elements;
    let face_image = Image::parse("/9j/4AAQ", InvalidElement::FaceImage).ok();
    let elements = Elements { name, id_number, face_image, ..Elements::default() };
    Wanted { kind: Kind::Face, elements, ..wanted(key, 0) }
}

fn card(key: &str, then: Option<Elements>) -> Wanted {
    let id_card_image = Image::parse("/9j/4AAQ", InvalidElement::IdCardImage).ok();
    let elements = Elements { id_card_image, ..Elements::default() };
    Wanted { kind: Kind::IdCard, elements, then, ..wanted(key, 0) }
}

fn left(of: &Verification) -> Option<u32> {
    match of.state {
        State::Asking { .. } => None,
        State::Done(came) => came.attempts_left,
    }
}

/// A question of the moment is waited for as long as its provider may take: until then somebody may say what it came to.
#[tokio::test(start_paused = true)]
async fn a_slow_provider_of_pictures_is_waited_for() {
    let mut world = world();
    asks(&mut world, Kind::Face, FACE);
    let (world, client) = (Arc::new(world), Arc::new(may("lender", Kind::Face, FACE)));
    *world.first.takes.lock().unwrap() = Duration::from_mins(1);
    let asking = tokio::spawn({
        let (world, client) = (world.clone(), client.clone());
        async move { world.service.verify_for(&client, face("a"), ()).await }
    });
    while world.first.asked() == 0 {
        tokio::task::yield_now().await;
    }
    world.later(Duration::from_secs(75));
    let (known, _) = world.service.verify_for(&client, face("a"), ()).await.unwrap();
    assert_eq!((answer(&known), world.service.is_uncertain(&known)), (None, false));
    let (done, _) = asking.await.unwrap().unwrap();
    assert_eq!(answer(&done), Some(Answer::Match));
    let kept = world.service.verification_of(&client.name, done.id).await.unwrap();
    assert_eq!(kept, Some(done));
}

/// Whether anything can be read is not known before: what would follow is counted from the beginning, and is once.
#[tokio::test]
async fn what_follows_a_reading_counts_from_the_beginning() {
    let mut world = world();
    asks(&mut world, Kind::IdCard, CARD_IMAGE);
    let quota = Quota { day: Some(4), month: None };
    let client = Arc::new(Terms { quota, ..may("few", Kind::IdCard, CARD_IMAGE) });
    let then = || {
        let Elements { pan, phone, .. } = wanted("", 0).elements;
        Some(Elements { pan, phone, ..Elements::default() })
    };
    let asks = async |wanted: Wanted| {
        let came = world.service.verify_for(&client, wanted, ()).await;
        came.map(|(_, before)| before)
    };
    assert_eq!(asks(card("a", then())).await, Ok(false));
    assert_eq!(asks(card("a", then())).await, Ok(true));
    assert_eq!(asks(card("b", None)).await, Ok(false));
    // There is one left, and it may be two.
    assert_eq!(asks(card("c", then())).await, Err(AskError::Over(Over::Day)));
    assert_eq!(asks(card("d", None)).await, Ok(false));
    assert_eq!(asks(card("e", None)).await, Err(AskError::Over(Over::Day)));
    assert_eq!((world.first.asked(), world.second.asked()), (3, 0));
}

/// Tries are counted where they are made: a wrong face takes none of those at another register, and takes them at its own, whatever
/// is asked there.
#[tokio::test]
async fn tries_of_one_kind_are_those_of_another_only_at_the_same_source() {
    for (is_shared, faces, expected) in [(false, 1, 1), (false, 4, 1), (true, 1, 1), (true, 4, 0)] {
        let mut world = world();
        asks(&mut world, Kind::Face, FACE);
        let service = Arc::get_mut(&mut world.service).unwrap();
        service.attempts = Limits::default();
        if is_shared {
            service.providers[0].candidate.source = service.providers[1].candidate.source.clone();
        }
        let client = Arc::new(may("lender", Kind::Face, FACE));
        world.first.will(&[Answer::NoMatch(FACE); 4]);
        for nth in 0..faces {
            let wrong = face(&nth.to_string());
            let (told, _) = world.service.verify_for(&client, wrong, ()).await.unwrap();
            assert_eq!(left(&told), Some(4 - nth), "{is_shared} {faces}");
        }
        world.second.will(&[Answer::NoMatch(PHONE)]);
        let told = ask(&world, &client, "elements", 1).await;
        assert_eq!(told.set, FOUR);
        assert_eq!(left(&told), Some(expected), "{is_shared} {faces}");
    }
}

/// A batch of a kind goes on as one of that kind, where it was left.
#[tokio::test]
async fn a_batch_of_a_kind_goes_on_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let backend = Sqlite::open(&dir.path().join("hefu.db")).unwrap();
        let store = MemoryStore::open(memory::Limits::default(), backend, |_| ()).unwrap();
        let mut world = world_over(store, Binding::Enforce(100), Settings::default());
        asks(&mut world, Kind::Railway, WHO);
        world
    };
    let client = Arc::new(may("lender", Kind::Railway, WHO));
    let of = |nth: usize| {
        let (name, id_number) =
            (Name::parse(["张三", "李四", "王五"][nth]).ok(), wanted("", 0).elements.id_number);
        Elements { name, id_number, ..Elements::default() }
    };
    let lines = |kind: Kind| Lines { key: "a".to_owned(), kind, lines: (0..3).map(of).collect() };
    let before = open();
    before.first.gate.forget_permits(1000);
    let begun = before.service.batch_for(&client, lines(Kind::Railway), Room::new(1), ()).await;
    let asked = async {
        while before.first.asked() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap();
    let after = open();
    after.later(LEASE + Duration::from_mins(1));
    assert_eq!(stand(&after, &begun.unwrap()).await, "uncertain ? ?");
    let other = after.service.batch_for(&client, lines(Kind::Elements), Room::new(1), ()).await;
    assert_eq!(other.unwrap_err(), AskError::OtherContent);
    let batch = after.service.batch_for(&client, lines(Kind::Railway), Room::new(1), ()).await;
    let batch = ended(&after, &batch.unwrap()).await;
    assert_eq!(stand(&after, &batch).await, "uncertain match match");
    let begun = after.service.lines_of(&batch).await.unwrap();
    assert!(begun.values().all(|line| line.kind == Kind::Railway), "{begun:?}");
    let statement = after.service.statement_of(&client, "2023-11".parse().unwrap()).await.unwrap();
    let shown = statement.iter().map(|line| (line.kind, line.counts.charged, line.cost.get()));
    assert_eq!(shown.collect::<Vec<_>>(), [(Kind::Railway, 2, 120)]);
}
