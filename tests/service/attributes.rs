//! Every attribute of the catalogue and everything that is counted: what happens, and what a rule sees of the last message. Each line is
//! judged as it comes, and explained from its record afterwards, and both must say the same.

use crate::worlds::id_number;
use crate::{FOUR, World, batch, config_of, key, world_ruled};
use hefu::crypto::fingerprint::Fingerprinter;
use hefu::domain::account::{AccountId, Class};
use hefu::domain::answer::Answer;
use hefu::domain::clock::Timestamp;
use hefu::domain::element::{Element, ElementSet, Elements};
use hefu::domain::id::{MerchantId, PaymentId};
use hefu::domain::identity::{IdNumber, IdType};
use hefu::domain::money::Fen;
use hefu::domain::pan::{AccountKind, Pan};
use hefu::domain::payment::Scenario;
use hefu::domain::person::{Mobile, Name};
use hefu::policy::rules::list::Member;
use hefu::policy::rules::{Attribute, Holds};
use hefu::policy::{Combination, Effect};
use hefu::service::accounts::Tiers;
use hefu::service::afterwards::Sample;
use hefu::service::settle::Reported;
use hefu::service::upgrade::Person;
use hefu::service::{Binding, Service, Settings};
use hefu::store::Record;
use hefu::store::account::{Flag, Progress};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::tier::rules::Book;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens before the last message.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A message, and the channel's code.
    Sends(String, &'static str),
    /// So many seconds.
    Later(u64),
    /// What both providers say next.
    Say(Answer),
    /// What the first one says next.
    First(Answer),
    /// Nobody is asked until a message was answered, and then of each is.
    Observes,
    /// The first provider is a bank's, the second an operator's, and merchant `m` may combine them.
    Combines,
    /// An account of whoever has that document and phone is opened face to face, and brought to a class, whatever the rules have against it.
    Opens(&'static str, [&'static str; 2], Option<Class>),
    /// An account is closed.
    Closes(&'static str),
    /// A message that balance is to fund by that mark, and that the channel takes.
    Funded(&'static str, String),
}

const WHO: ElementSet = ElementSet::EMPTY.with(Element::Name).with(Element::IdNumber);
const CARD: &str = "6200000000000005";
pub(crate) const ID: &str = "11010519491231002X";
pub(crate) const PHONE: &str = "13800000000";
const OTHER: &str = "440524188001010014";

/// A message of merchant `m` with elements.
fn message(kind: &str, order: &str, [id, card, phone]: [&str; 3]) -> String {
    format!(
        r#""type":"{kind}","order":"{order}","merchant":"m","amount":"100","name":"张三","id":"{id}","card":"{card}","phone":"{phone}""#
    )
}

/// A debit of the usual person.
pub(crate) fn debit(order: &str) -> String {
    message("debit", order, [ID, CARD, PHONE])
}

pub(crate) fn bind(order: &str) -> String {
    message("bind", order, [ID, CARD, PHONE])
}

/// A debit by the agreement that a bind yields.
pub(crate) fn quoted(order: &str) -> String {
    format!(
        r#""type":"by_agreement","order":"{order}","merchant":"m","amount":"100","agreement":"A-ok""#
    )
}

/// An account of the usual person.
const fn opens(account: &'static str, class: Class) -> Step {
    Step::Opens(account, [ID, PHONE], Some(class))
}

fn sends(message: String) -> Step {
    Step::Sends(message, "ok")
}

/// The condition binds nothing; neither does its opposite.
fn rules(when: &str) -> String {
    let rule = |id: &str, when: &str| {
        format!(
            "[[rule]]\nid = '{id}'\naction = 'annotate'\nstate = 'shadow'\nowner = 'risk'\nwhen = '''{when}'''\n"
        )
    };
    let lists = Holds::ALL.map(|holds| {
        let holds = holds.as_str();
        format!("[[list]]\nname = '{holds}s'\nholds = '{holds}'\n")
    });
    let bank =
        "[[bank]]\nname = 'icbc'\nbins = ['620000']\n[[bank]]\nname = 'ccb'\nbins = ['622700']\n";
    format!("{}{bank}{}{}", lists.concat(), rule("yes", when), rule("no", &format!("!({when})")))
}

/// Whoever stands in the list of that kind.
fn listed(holds: Holds) -> Member {
    let key: Fingerprinter = key(1);
    let text = match holds {
        Holds::Bins => "620000".to_owned(),
        Holds::Merchants => "m".to_owned(),
        Holds::Agreements => "A-ok".to_owned(),
        Holds::Cards => key.card(&Pan::parse(CARD, AccountKind::Debit).unwrap()).to_string(),
        Holds::Phones => key.phone(&Mobile::parse(PHONE).unwrap()).to_string(),
        Holds::Persons => {
            let id_number = IdNumber::parse(ID, IdType::ResidentId).ok();
            key.person(&Elements { id_number, ..Elements::default() }).unwrap().to_string()
        }
    };
    Member::read(holds, &text).unwrap()
}

fn world(steps: &[Step], when: &str) -> World {
    world_at(MemoryStore::new(Limits::default()), steps, when)
}

/// Over that store.
pub(crate) fn world_at(store: MemoryStore, steps: &[Step], when: &str) -> World {
    let observes = steps.iter().any(|step| matches!(step, Step::Observes));
    let binding = if observes { Binding::Observe } else { Binding::Enforce(100) };
    let settings = Settings { holds_per_hour: 1_000, ..Settings::default() };
    let mut world = world_ruled(store, binding, settings, key(1).into(), &rules(when));
    let service = Arc::get_mut(&mut world.service).unwrap();
    let flagged = Flag::ALL.map(|flag| (flag, Effect::Annotate)).into();
    // Whoever is met has any class here.
    let mut editions: Vec<_> = config_of("").classes.book.editions().cloned().collect();
    let terms = editions.iter_mut().flat_map(|edition| edition.classes.values_mut());
    terms.for_each(|terms| terms.face_to_face = true);
    service.tiers = Tiers { book: Book::new(editions), flagged, ..Tiers::default() };
    service.observe = Sample { percent: 100, cap: Fen::new(1_000) };
    let book = service.rules.as_mut().unwrap();
    for list in Arc::make_mut(&mut book.book).lists.values_mut() {
        list.add(listed(list.holds), Some(Timestamp::from_millis(u64::MAX)));
    }
    if steps.iter().any(|step| matches!(step, Step::Combines)) {
        let [bank, operator] = service.providers.as_mut_slice() else { return world };
        bank.candidate.source = "bank".into();
        bank.candidate.sets = vec![FOUR, WHO.with(Element::Pan)];
        operator.candidate.source = "operator".into();
        operator.candidate.sets = vec![WHO.with(Element::Phone)];
        let (merchants, scenarios) = (vec![MerchantId("m".into())], vec![Scenario::Debit]);
        service.policy.combination = vec![Combination { merchants, scenarios }];
    }
    world
}

pub(crate) async fn open(
    service: &Arc<Service>,
    account: &str,
    [id, phone]: [&str; 2],
    class: Option<Class>,
) {
    let account = AccountId::parse(account).unwrap();
    let elements = Elements {
        name: Name::parse("张三").ok(),
        id_number: IdNumber::parse(id, IdType::ResidentId).ok(),
        phone: Mobile::parse(phone).ok(),
        ..Elements::default()
    };
    service.open_account(&account, &elements, true).await.unwrap();
    if let Some(class) = class {
        let person = Person { elements, cards: Vec::new() };
        let came = service.upgrade(&account, class, person, true).await.unwrap();
        assert_eq!(came.progress, Progress::Reached);
    }
}

/// Sends a message, and yields what is kept of it, or of the last row of a batch.
pub(crate) async fn recorded(
    world: &World,
    message: &str,
    mark: Option<&str>,
    code: &str,
) -> Record {
    let answer = format!(r#"{{"code":"{code}","agreement":"A-{code}"}}"#);
    let reported = Reported::Answer { status: 200, content_type: None, body: answer.as_bytes() };
    let payment = match world.judge_marked(&world.channel, message, mark).await {
        Err(refusal) => refusal.payment,
        Ok(mut judged) => {
            let asked_later = judged.later();
            let told = world.service.settle(judged, reported).await;
            for later in asked_later {
                world.service.clone().ask_afterwards(world.channel.clone(), later).await;
            }
            let (_, id) = told.iter().find(|(name, _)| *name == "hefu-payment").unwrap();
            PaymentId::parse(id.trim_matches('"')).unwrap()
        }
    };
    let rows = world.service.store.rows(payment).into_iter().next_back();
    world.service.store.record(payment).or(rows).unwrap()
}

/// The attributes that some line was about.
static SEEN: Mutex<BTreeSet<Attribute>> = Mutex::new(BTreeSet::new());

/// What a condition comes to for the last of `steps`, which is a message.
async fn check(steps: &[Step], when: &str) {
    let world = world(steps, when);
    let mut last = None;
    for step in steps {
        match step {
            Step::Sends(message, code) => last = Some(recorded(&world, message, None, code).await),
            Step::Funded(mark, message) => {
                last = Some(recorded(&world, message, Some(mark), "ok").await);
            }
            Step::Opens(account, document, class) => {
                open(&world.service, account, *document, *class).await;
            }
            Step::Closes(account) => {
                let account = AccountId::parse(account).unwrap();
                world.service.close_account(&account).await.unwrap();
            }
            Step::Later(secs) => world.later(Duration::from_secs(*secs)),
            Step::Say(answer) => {
                world.first.will(&[*answer]);
                world.second.will(&[*answer]);
            }
            Step::First(answer) => world.first.will(&[*answer]),
            Step::Observes | Step::Combines => (),
        }
    }
    let record = last.unwrap();
    let ruled = record.stakes.rules.as_deref().unwrap();
    assert_eq!((&*ruled.shadows, &*ruled.faults), (&["yes".to_owned()][..], &[][..]), "{when}");
    let observes = steps.iter().any(|step| matches!(step, Step::Observes));
    assert!(!observes || record.verified.is_some(), "nobody was asked afterwards");
    // What is kept of it says the same.
    let explained = world.service.rules.as_ref().unwrap().explain(&record);
    assert!(explained.as_decided && explained.not_kept.is_empty(), "{when}: {explained:?}");
    let came: Vec<_> = explained.rules.iter().map(|rule| (&*rule.id, rule.came)).collect();
    assert_eq!(came, [("yes", Ok(true)), ("no", Ok(false))], "{when}: {explained:#?}");
    let names = Attribute::ALL.into_iter().filter(|attribute| when.contains(attribute.name()));
    SEEN.lock().unwrap().extend(names);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a line for each attribute")]
async fn a_rule_sees_every_attribute_as_it_is() {
    let one = |message: String| [sends(message)];
    let after = |before: &[Step], message: String| [before, &[sends(message)]].concat();
    let bound = || sends(bind("b"));
    let differs = || Step::Sends(debit("0"), "phone");

    check(&one(debit("1")), r#"payment.scenario == "debit""#).await;
    check(&one(bind("1")), r#"payment.scenario == "bind""#).await;
    check(&one(debit("1")), r#"payment.channel == "acme""#).await;
    check(&one(debit("1")), r#"has(payment.merchant) && payment.merchant == "m""#).await;
    check(&one(World::debit("1", 0)), "!has(payment.merchant)").await;
    check(&one(debit("1")), "has(payment.amount) && payment.amount == 100").await;
    check(&one(bind("1")), "!has(payment.amount)").await;
    // 2023-11-15, a Wednesday, 06:13:20 in China.
    check(&one(debit("1")), "payment.hour == 6").await;
    check(&one(debit("1")), "payment.minute == 373").await;
    check(&one(debit("1")), "payment.weekday == 3").await;
    check(
        &after(&[Step::Later(18 * 3600)], debit("1")),
        "payment.minute == 13 && payment.weekday == 4",
    )
    .await;
    let sealed = r#""type":"debit","order":"1","amount":"100","envelope":"sealed""#.to_owned();
    check(&one(sealed), "payment.asserted").await;
    check(&one(debit("1")), "!payment.asserted").await;
    check(&after(&[differs()], debit("1")), "payment.held").await;
    // What a hold does not stop sees it as well, though it is no reason there.
    check(&after(&[differs()], bind("1")), "payment.held").await;
    check(&one(debit("1")), "!payment.held").await;
    check(&one(batch("1", &[0, 1])), "payment.batch").await;
    check(&one(debit("1")), "!payment.batch").await;
    check(&one(debit("1")), r#"has(card.bin) && card.bin == "620000""#).await;
    check(&one(quoted("1")), "!has(card.bin)").await;
    check(&one(debit("1")), r#"has(card.kind) && card.kind == "debit""#).await;
    check(&one(quoted("1")), "!has(card.kind)").await;
    check(&one(debit("1")), r#"has(card.bank) && card.bank == "icbc""#).await;
    check(&one(quoted("1")), "!has(card.bank)").await;
    check(&one(debit("1")), "has(card.id)").await;
    check(&one(quoted("1")), "!has(card.id)").await;
    check(&one(debit("1")), "has(person.id)").await;
    check(&one(quoted("1")), "!has(person.id)").await;
    check(&one(debit("1")), "has(phone.id)").await;
    check(&one(quoted("1")), "!has(phone.id)").await;
    check(&one(quoted("1")), "has(agreement.id)").await;
    check(&one(debit("1")), "!has(agreement.id)").await;
    // How an agreement stands.
    let stands =
        |word: &str| format!(r#"has(agreement.standing) && agreement.standing == "{word}""#);
    check(&one(quoted("1")), &stands("unknown")).await;
    check(&after(&[bound()], quoted("1")), &stands("good")).await;
    let contradicted = [bound(), Step::Sends(quoted("0"), "phone")];
    check(&after(&contradicted, quoted("1")), &stands("contradicted")).await;
    let unbound = r#""type":"unbind","order":"u","merchant":"m","agreement":"A-ok""#.to_owned();
    check(&after(&[bound(), sends(unbound)], quoted("1")), &stands("closed")).await;
    check(&one(debit("1")), "!has(agreement.standing)").await;
    // What verification says.
    let answers =
        |word: &str| format!(r#"has(verification.answer) && verification.answer == "{word}""#);
    for (word, answer) in [
        ("match", Answer::Match),
        ("close_match", Answer::CloseMatch),
        ("no_match", Answer::NoMatch(ElementSet::EMPTY)),
        ("no_record", Answer::NoRecord),
        ("not_possible", Answer::NotPossible),
        ("limited", Answer::Limited),
        ("invalid", Answer::Invalid),
        ("unavailable", Answer::Unavailable),
    ] {
        check(&after(&[Step::Say(answer)], debit("1")), &answers(word)).await;
    }
    check(&one(message("debit", "1", ["1101", CARD, PHONE])), &answers("invalid")).await;
    // What is asked afterwards becomes part of the record, and no rule saw it.
    check(&after(&[Step::Observes], debit("1")), "!has(verification.answer)").await;
    check(&after(&[bound()], quoted("1")), &answers("match")).await;
    let old = [sends(debit("0")), Step::Later(3600)];
    check(&after(&old, debit("1")), "has(verification.age) && verification.age == 3600").await;
    check(&one(debit("1")), "has(verification.age) && verification.age == 0").await;
    check(&one(quoted("1")), "!has(verification.age)").await;
    let by =
        |name: &str| format!(r#"has(verification.provider) && verification.provider == "{name}""#);
    check(&one(debit("1")), &by("first")).await;
    check(&one(quoted("1")), "!has(verification.provider)").await;
    check(&one(debit("1")), r#"has(verification.road) && verification.road == "road""#).await;
    check(&one(quoted("1")), "!has(verification.road)").await;
    let phone = Answer::NoMatch(ElementSet::EMPTY.with(Element::Phone));
    let three = || message("debit_of_three", "1", [ID, CARD, PHONE]);
    check(&after(&[Step::Combines, Step::First(phone)], three()), "verification.combined").await;
    check(&one(debit("1")), "!verification.combined").await;
    // How often this channel and bank bear out what the provider says.
    let many = |wrong: usize| -> Vec<Step> {
        let debits = (0..60).map(|nth| {
            let phone = format!("139{nth:08}");
            let debit = message("debit", &format!("c{nth}"), [ID, CARD, &phone]);
            Step::Sends(debit, if nth % 60 < wrong { "phone" } else { "ok" })
        });
        debits.collect()
    };
    let borne = "has(verification.concordance) && verification.concordance";
    check(&after(&many(0), debit("1")), &format!("{borne} >= 950")).await;
    let half = format!("{borne} > 400 && verification.concordance < 600");
    check(&after(&many(30), debit("1")), &half).await;
    check(&one(debit("1")), "!has(verification.concordance)").await;
    see_accounts().await;

    let seen = SEEN.lock().unwrap();
    let unseen: Vec<_> = Attribute::ALL.into_iter().filter(|it| !seen.contains(it)).collect();
    assert!(unseen.is_empty(), "no line is about {unseen:?}");
}

/// What a rule sees of the account that funds a payment, and of how many a person has.
async fn see_accounts() {
    let funded = |mark: &'static str, before: &[Step], message: String| {
        [before, &[Step::Funded(mark, message)]].concat()
    };
    let by_a = |before: &[Step], message: String| funded("a;strength=certificate", before, message);
    let a = |class| [opens("a", class)];
    for (class, word) in [(Class::I, "I"), (Class::II, "II"), (Class::III, "III")] {
        let is = format!(r#"has(account.class) && account.class == "{word}""#);
        check(&by_a(&a(class), debit("1")), &is).await;
    }
    // What is left before this one, and by which limit.
    let left = |fen: u64, limit: &str| {
        format!(
            r#"has(account.left) && account.left == {fen} && has(account.limit) && account.limit == "{limit}""#
        )
    };
    check(&by_a(&a(Class::I), debit("1")), &left(100_000, "lifetime_limit")).await;
    check(&by_a(&a(Class::II), debit("1")), &left(10_000_000, "yearly_limit")).await;
    let paid = by_a(&a(Class::II), debit("1"));
    check(&by_a(&paid, debit("2")), &left(9_999_900, "yearly_limit")).await;
    check(&funded("a", &a(Class::II), debit("1")), &left(100_000, "daily_limit")).await;
    let dear = debit("1").replace(r#""amount":"100""#, r#""amount":"100001""#);
    check(&funded("a", &a(Class::II), dear), &left(100_000, "daily_limit")).await;
    let investing = "a;strength=certificate;purpose=investment";
    check(&funded(investing, &a(Class::II), debit("1")), &left(0, "purpose")).await;
    let classless = [Step::Opens("a", [ID, PHONE], None)];
    check(&by_a(&classless, debit("1")), &left(0, "no_class")).await;
    check(&by_a(&classless, debit("1")), "!has(account.class) && has(account.shared_phone)").await;
    // Nothing bounds a withdrawal to an account of the same name; another's is a transfer.
    let own = || message("withdraw", "1", [ID, CARD, PHONE]);
    let unbound = "!has(account.left) && !has(account.limit) && has(account.class)";
    check(&by_a(&a(Class::II), own()), unbound).await;
    let others = message("withdraw", "1", [OTHER, CARD, PHONE]);
    check(&by_a(&a(Class::II), others), &left(10_000_000, "yearly_limit")).await;
    // What the rules have against an account is seen of that one.
    let flag = |name: &str| format!("has(account.{name}) && account.{name}");
    let not = |name: &str| format!("has(account.{name}) && !account.{name}");
    let two = [opens("b", Class::III), opens("a", Class::III)];
    let shared = [Step::Opens("b", [OTHER, PHONE], Some(Class::I)), opens("a", Class::I)];
    for (before, name) in
        [(&two, "second_account"), (&two, "second_class_three"), (&shared, "shared_phone")]
    {
        check(&by_a(before, debit("1")), &flag(name)).await;
        check(&funded("b", before, debit("1")), &not(name)).await;
    }
    // Where nothing funds it: unmarked, of an account that is not open, and what moves no money.
    let nothing = format!(
        "!has({})",
        ["class", "left", "limit", "second_account", "second_class_three", "shared_phone"]
            .map(|name| format!("account.{name}"))
            .join(") && !has(")
    );
    check(&[opens("a", Class::II), sends(debit("1"))], &nothing).await;
    check(&funded("nobody", &a(Class::II), debit("1")), &nothing).await;
    let closed = [opens("a", Class::II), Step::Closes("a")];
    check(&by_a(&closed, debit("1")), &nothing).await;
    check(&by_a(&a(Class::II), bind("1")), &nothing).await;
    // How many accounts whoever has the document has open, whatever funds the payment.
    let has = |open: usize| format!("has(person.accounts) && person.accounts == {open}");
    check(&[sends(debit("1"))], &has(0)).await;
    check(&[opens("a", Class::I), sends(debit("1"))], &has(1)).await;
    check(&[two.as_slice(), &[sends(bind("1"))]].concat(), &has(2)).await;
    check(&[two.as_slice(), &[Step::Closes("a"), sends(debit("1"))]].concat(), &has(1)).await;
    check(&[shared.as_slice(), &[sends(debit("1"))]].concat(), &has(1)).await;
    check(&[opens("a", Class::I), sends(quoted("1"))], "!has(person.accounts)").await;
}

#[tokio::test]
async fn a_rule_looks_into_every_kind_of_list() {
    let other = || message("debit", "1", [&id_number(7), "6227000000000004", "13900000000"]);
    for (attribute, list) in [
        ("card.bin", Holds::Bins),
        ("payment.merchant", Holds::Merchants),
        ("card.id", Holds::Cards),
        ("person.id", Holds::Persons),
        ("phone.id", Holds::Phones),
    ] {
        let within = format!("has({attribute}) && {attribute} in list(\"{}s\")", list.as_str());
        check(&[sends(debit("1"))], &within).await;
        let other = other().replace(r#""merchant":"m""#, r#""merchant":"n""#);
        check(&[sends(other)], &format!("!({within})")).await;
    }
    let within = "has(agreement.id) && agreement.id in list(\"agreements\")";
    check(&[sends(quoted("1"))], within).await;
    check(&[sends(quoted("1").replace("A-ok", "A-no"))], &format!("!({within})")).await;
}

#[tokio::test]
async fn a_rule_counts_everything_that_can_be_counted() {
    let someone = |order: &str, nth: usize| message("debit", order, [&id_number(nth), CARD, PHONE]);
    let twice = |message: fn(&str) -> String| [sends(message("a")), sends(message("b"))];
    for by in ["card", "person", "phone", "merchant"] {
        let mut steps = twice(debit).to_vec();
        steps.push(sends(debit("c")));
        check(&steps, &format!("velocity(\"{by}\", \"debit\", \"1h\") == 2")).await;
        check(&steps, &format!("velocity(\"{by}\", \"bind\", \"1h\") == 0")).await;
        steps.push(sends(bind("d")));
        check(&steps, &format!("velocity(\"{by}\", \"any\", \"1h\") == 3")).await;
        // A window is over.
        steps.extend([Step::Later(3700), sends(debit("e"))]);
        check(&steps, &format!("velocity(\"{by}\", \"any\", \"1h\") == 0")).await;
        check(&steps, &format!("velocity(\"{by}\", \"any\", \"2h\") == 4")).await;
    }
    let mut steps = twice(quoted).to_vec();
    steps.push(sends(quoted("c")));
    check(&steps, "velocity(\"agreement\", \"debit\", \"1h\") == 2").await;
    // Without one it is none.
    steps.push(sends(debit("d")));
    check(&steps, "velocity(\"agreement\", \"any\", \"1h\") == 0").await;
    // A phone, and a card, that many persons share.
    let shared: Vec<_> = (0..5).map(|nth| sends(someone(&format!("s{nth}"), nth))).collect();
    for by in ["phone", "card"] {
        let last = [&shared[..], &[sends(someone("t", 0))]].concat();
        check(&last, &format!("persons(\"{by}\", \"30d\") == 5")).await;
        // Who comes again is one, and another phone and card are not shared.
        let again = [&shared[..], &[sends(someone("t", 1)), sends(someone("u", 2))]].concat();
        check(&again, &format!("persons(\"{by}\", \"30d\") == 5")).await;
        let apart = message("debit", "v", [ID, "6227000000000004", "13900000000"]);
        check(
            &[&shared[..], &[sends(apart)]].concat(),
            &format!("persons(\"{by}\", \"30d\") == 0"),
        )
        .await;
    }
    // Mismatches that were found before.
    let other = message("debit", "x", [ID, CARD, "13900000000"]);
    for by in ["card", "person"] {
        let differed = [Step::Sends(debit("a"), "phone"), sends(other.clone())];
        check(&differed, &format!("mismatches(\"{by}\", \"30d\") == 1")).await;
        check(
            &[sends(debit("a")), sends(other.clone())],
            &format!("mismatches(\"{by}\", \"30d\") == 0"),
        )
        .await;
    }
    let differed = [sends(bind("a")), Step::Sends(quoted("b"), "phone"), sends(quoted("c"))];
    for by in ["agreement", "card", "person"] {
        check(&differed, &format!("mismatches(\"{by}\", \"30d\") == 1")).await;
    }
}
