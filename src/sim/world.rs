//! The seeded world: people, banks and cards, and what each register knows of them.
//!
//! Every name, number and phone here is made up. A card has the truth of its bank, what the customer told the core,
//! and an older copy that slow registers still hold: that the three differ is where mismatches come from.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::{Rng, SeedableRng, seq::IndexedRandom, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

mod applicants;
mod drift;
mod stranger;

pub(super) use self::applicants::{APPLICANTS, Applicant, BANKS, bank_of, is_credit};
pub use self::drift::Drift;
pub(super) use self::stranger::stranger;

/// An element that a register can compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Element {
    /// The holder's name.
    Name,
    /// The number of the identity card.
    IdNumber,
    /// The card number.
    Pan,
    /// The mobile phone number.
    Phone,
}

/// What elements are called.
const WORDS: [(Element, &str); 4] = [
    (Element::Name, "name"),
    (Element::IdNumber, "id_number"),
    (Element::Pan, "pan"),
    (Element::Phone, "phone"),
];

/// The elements that a message or an inquiry carries. Lives in memory only, and has no `Debug`.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Tuple {
    pub(super) name: Option<String>,
    pub(super) id_number: Option<String>,
    pub(super) pan: Option<String>,
    pub(super) phone: Option<String>,
}

impl Tuple {
    /// The value of one element.
    pub(super) fn get(&self, element: Element) -> Option<&str> {
        match element {
            Element::Name => self.name.as_deref(),
            Element::IdNumber => self.id_number.as_deref(),
            Element::Pan => self.pan.as_deref(),
            Element::Phone => self.phone.as_deref(),
        }
    }

    /// Which elements there are, and never what they are.
    pub(super) fn words(&self) -> String {
        let there = WORDS.iter().filter(|(element, _)| self.get(*element).is_some());
        there.map(|(_, word)| *word).collect::<Vec<_>>().join(" ")
    }

    /// A Dictionary of Byte Sequences (RFC 9651), as `Hefu-Elements` tells it.
    pub(super) fn dictionary(&self) -> String {
        let members = WORDS.iter().filter_map(|(element, word)| {
            Some(format!("{word}=:{}:", STANDARD.encode(self.get(*element)?)))
        });
        members.collect::<Vec<_>>().join(", ")
    }

    /// Whether every element that `self` carries has the same value in `other`.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        [Element::Name, Element::IdNumber, Element::Pan, Element::Phone]
            .into_iter()
            .all(|element| self.get(element).is_none_or(|value| other.get(element) == Some(value)))
    }
}

/// What a register holds about the holder of a card.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) id_number: String,
    pub(super) phone: String,
}

impl Facts {
    /// The elements of `told` that differ from this register.
    pub(super) fn differing(&self, told: &Tuple) -> Vec<Element> {
        [
            (Element::Name, &self.name),
            (Element::IdNumber, &self.id_number),
            (Element::Phone, &self.phone),
        ]
        .into_iter()
        .filter(|(element, held)| told.get(*element).is_some_and(|value| value != held.as_str()))
        .map(|(element, _)| element)
        .collect()
    }
}

/// A card's state at its bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardState {
    /// In order.
    Normal,
    /// Reported lost.
    Lost,
    /// Frozen.
    Frozen,
    /// Past its date.
    Expired,
}

/// A card with all that the registers say about it.
pub(super) struct Card {
    pub(super) pan: String,
    pub(super) state: CardState,
    pub(super) balance_fen: u64,
    /// The customer's phone is left out of messages about this card.
    pub(super) phone_untold: bool,
    told: Tuple,
    truth: Facts,
    /// What the bank knew until `changed_days` ago.
    before: Facts,
    changed_days: u32,
    /// What the bank will know once the customer has moved.
    later: Option<Facts>,
    moved: AtomicBool,
    learned: AtomicBool,
    used: AtomicBool,
    /// Wrong tries in a row that its bank saw from providers.
    wrong: AtomicU32,
    operator_phone: String,
}

impl Card {
    /// What the bank holds now.
    pub(super) fn at_bank(&self) -> &Facts {
        match &self.later {
            Some(later) if self.moved.load(Ordering::SeqCst) => later,
            _ => &self.truth,
        }
    }

    /// What a copy of the bank's data holds that is `lag_days` old. A move during the run has reached no copy.
    pub(super) fn at_copy(&self, lag_days: u32) -> &Facts {
        if self.changed_days < lag_days { &self.before } else { &self.truth }
    }

    /// The phone that the holder has with an operator today.
    pub(super) fn operator_phone(&self) -> &str {
        &self.operator_phone
    }

    /// What the core sends about this card: what the customer typed, or the bank's truth once he was told of an error.
    pub(super) fn told(&self) -> Tuple {
        self.used.store(true, Ordering::SeqCst);
        let mut told = self.told.clone();
        if self.learned.load(Ordering::SeqCst) {
            let now = self.at_bank();
            told = Tuple {
                name: Some(now.name.clone()),
                id_number: Some(now.id_number.clone()),
                pan: Some(self.pan.clone()),
                phone: Some(now.phone.clone()),
            };
        }
        if self.phone_untold {
            told.phone = None;
        }
        told
    }

    /// Its bank compares a try, and says whether the card is locked by the wrong ones.
    pub(super) fn tried(&self, right: bool, locked_after: u32) -> bool {
        let before = self.wrong.load(Ordering::SeqCst);
        if before >= locked_after {
            return true;
        }
        self.wrong.store(if right { 0 } else { before + 1 }, Ordering::SeqCst);
        false
    }

    /// Whether the core ever sent this card's elements.
    pub(super) fn is_used(&self) -> bool {
        self.used.load(Ordering::SeqCst)
    }

    /// The customer changes what the bank knows, if that is his fate.
    pub(super) fn move_on(&self) {
        self.moved.store(true, Ordering::SeqCst);
    }

    /// The customer corrects what he told the core.
    pub(super) fn learn(&self) {
        self.learned.store(true, Ordering::SeqCst);
    }

    /// Every element value that exists about this card, with its kind.
    pub(super) fn values(&self) -> impl Iterator<Item = (Element, &str)> {
        let facts = [Some(&self.truth), Some(&self.before), self.later.as_ref()];
        let told = [Element::Name, Element::IdNumber, Element::Pan, Element::Phone]
            .into_iter()
            .filter_map(|e| Some((e, self.told.get(e)?)));
        let held = facts.into_iter().flatten().flat_map(|f| {
            [
                (Element::Name, f.name.as_str()),
                (Element::IdNumber, f.id_number.as_str()),
                (Element::Phone, f.phone.as_str()),
            ]
        });
        told.chain(held).chain([
            (Element::Pan, self.pan.as_str()),
            (Element::Phone, self.operator_phone.as_str()),
        ])
    }
}

/// All people and cards, drawn from one seed.
pub(super) struct World {
    pub(super) cards: Vec<Card>,
    by_pan: HashMap<String, usize>,
    by_phone: HashMap<String, usize>,
    by_id: HashMap<String, usize>,
    /// Cards of which providers with old data say what the customer says, and their banks something else; far from the first that
    /// journeys take by themselves.
    stale: Vec<usize>,
    /// People who apply for an account.
    pub(super) applicants: Vec<Applicant>,
    /// Their cards, which are counted on from the others.
    held: Vec<Card>,
}

impl World {
    /// Draws `people` people with one or two cards each.
    pub(super) fn new(seed: u64, people: usize, drift: Drift) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut world = Self {
            cards: vec![],
            by_pan: HashMap::new(),
            by_phone: HashMap::new(),
            by_id: HashMap::new(),
            stale: vec![],
            applicants: vec![],
            held: vec![],
        };
        for _ in 0..people {
            let facts = Facts {
                name: name(&mut rng),
                id_number: id_number(&mut rng),
                phone: phone(&mut rng),
            };
            for _ in 0..if rng.random_bool(0.3) { 2 } else { 1 } {
                world.cards.push(card(&mut rng, facts.clone(), drift));
            }
        }
        world.cards.shuffle(&mut rng);
        for (index, card) in world.cards.iter().enumerate() {
            world.by_pan.insert(card.pan.clone(), index);
            world.by_phone.insert(card.operator_phone.clone(), index);
            world.by_id.insert(card.truth.id_number.clone(), index);
        }
        let (from, until) = (world.cards.len() / 2, world.cards.len() * 3 / 4);
        let is_stale = |card: &Card| {
            let right = |facts: &Facts| facts.differing(&card.told).is_empty();
            card.later.is_none()
                && card.state == CardState::Normal
                && right(&card.before)
                && !right(&card.truth)
        };
        let far = (from..until).filter(|at| world.cards.get(*at).is_some_and(is_stale));
        world.stale = far.collect();
        world.draw_applicants(seed);
        world
    }

    /// The card in that place.
    fn at(&self, place: usize) -> Option<&Card> {
        let of_applicant = || self.held.get(place.checked_sub(self.cards.len())?);
        self.cards.get(place).or_else(of_applicant)
    }

    /// Every card.
    pub(super) fn all_cards(&self) -> impl Iterator<Item = &Card> {
        self.cards.iter().chain(&self.held)
    }

    /// The `nth` of those cards, where there are so many.
    pub(super) fn stale(&self, nth: usize) -> Option<&Card> {
        self.cards.get(*self.stale.get(nth)?)
    }

    /// The card with this number.
    pub(super) fn card(&self, pan: &str) -> Option<&Card> {
        self.at(*self.by_pan.get(pan)?)
    }

    /// A card of the person that the police has on file under this number.
    pub(super) fn id_holder(&self, id_number: &str) -> Option<&Card> {
        self.at(*self.by_id.get(id_number)?)
    }

    /// The holder that an operator has on file for this phone.
    pub(super) fn phone_holder(&self, phone: &str) -> Option<&Card> {
        self.at(*self.by_phone.get(phone)?)
    }
}

/// Draws a card of this holder, and how the registers differ about it.
fn card(rng: &mut ChaCha8Rng, truth: Facts, drift: Drift) -> Card {
    let credit = rng.random_bool(0.08);
    let pan = pan(rng, credit);
    let mut card = Card {
        told: Tuple {
            name: Some(truth.name.clone()),
            id_number: Some(truth.id_number.clone()),
            pan: Some(pan.clone()),
            phone: Some(truth.phone.clone()),
        },
        pan,
        state: match rng.random_range(0..1000) {
            0..6 => CardState::Lost,
            6..10 => CardState::Frozen,
            10..15 => CardState::Expired,
            _ => CardState::Normal,
        },
        balance_fen: if rng.random_bool(0.04) { 0 } else { 10_000_000 },
        phone_untold: rng.random_bool(0.1),
        before: truth.clone(),
        changed_days: rng.random_range(1..=40),
        later: None,
        moved: AtomicBool::new(false),
        learned: AtomicBool::new(false),
        used: AtomicBool::new(false),
        wrong: AtomicU32::new(0),
        operator_phone: truth.phone.clone(),
        truth,
    };
    let mut fate = rng.random_range(0..1000_u32);
    let mut is = |share: u32| {
        let hit = fate < share;
        fate = if hit { u32::MAX } else { fate.saturating_sub(share) };
        hit
    };
    if is(drift.stale_phone) {
        card.truth.phone = phone(rng);
        card.operator_phone.clone_from(&card.truth.phone);
        card.phone_untold = false;
    } else if is(drift.operator_only) {
        card.operator_phone = phone(rng);
        card.told.phone = Some(card.operator_phone.clone());
        card.phone_untold = false;
    } else if is(drift.renamed) {
        card.truth.name = name(rng);
    } else if is(drift.mistyped) {
        mistype(rng, &mut card.told);
    } else if is(drift.mover) {
        let mut later = card.truth.clone();
        if rng.random_bool(0.125) {
            later.name = name(rng);
        } else {
            later.phone = phone(rng);
            card.phone_untold = false;
        }
        card.later = Some(later);
    }
    card
}

/// Replaces one element by another person's.
fn mistype(rng: &mut ChaCha8Rng, told: &mut Tuple) {
    match rng.random_range(0..4) {
        0 => told.name = Some(name(rng)),
        1 => told.id_number = Some(id_number(rng)),
        2 => told.pan = Some(pan(rng, false)),
        _ => told.phone = Some(phone(rng)),
    }
}

/// One name in twelve has a `·`, one in twenty-five a character that GBK lacks or that older systems mangle.
fn name(rng: &mut ChaCha8Rng) -> String {
    const FAMILY: &[char] = &[
        '苏', '尹', '祁', '柏', '卓', '詹', '路', '乔', '寇', '桑', '郁', '晏', '柯', '阮', '莘',
        '戚',
    ];
    const GIVEN: &[char] = &[
        '砚', '禾', '榆', '霁', '澈', '岚', '弦', '朔', '蘅', '屿', '煦', '芷', '翎', '珩', '漪',
        '槿', '柠', '溯', '筠', '曜', '沅', '棠', '笙', '墨', '初', '舟', '遥', '宁', '安', '越',
        '青', '禹',
    ];
    const PARTS: &[&str] = &[
        "阿依", "买合", "古丽", "吐尔", "努尔", "木合", "艾山", "提江", "帕孜", "热西", "达尔",
        "克孜",
    ];
    const RARE: &[char] = &['㼆', '䶮', '𠮷', '喆', '堃'];
    let part = |rng: &mut ChaCha8Rng| PARTS.choose(rng).copied().unwrap_or_default();
    let char = |rng: &mut ChaCha8Rng, from: &[char]| from.choose(rng).copied().unwrap_or('安');
    match rng.random_range(0..100) {
        0..8 => [part(rng), part(rng), "·", part(rng), part(rng)].concat(),
        8..12 => [char(rng, FAMILY), char(rng, RARE), char(rng, GIVEN)].iter().collect(),
        12..20 => [char(rng, FAMILY), char(rng, GIVEN)].iter().collect(),
        _ => [char(rng, FAMILY), char(rng, GIVEN), char(rng, GIVEN)].iter().collect(),
    }
}

/// Eighteen digits with the check character of GB 11643 (ISO 7064, mod 11-2).
fn id_number(rng: &mut ChaCha8Rng) -> String {
    const AREAS: &[u32] = &[110_101, 310_104, 440_305, 510_107, 330_106, 420_111, 610_113, 653_101];
    let area = AREAS.choose(rng).copied().unwrap_or(110_101);
    let (year, month, day) =
        (rng.random_range(1956..=2004), rng.random_range(1..=12), rng.random_range(1..=28));
    let body = format!("{area}{year}{month:02}{day:02}{:03}", rng.random_range(1..=999));
    let check = id_check(&body);
    format!("{body}{check}")
}

/// The check character for the first seventeen digits.
fn id_check(body: &str) -> char {
    let sum =
        body.chars().filter_map(|c| c.to_digit(10)).fold(0, |sum, digit| (sum + digit) * 2 % 11);
    match (12 - sum % 11) % 11 {
        10 => 'X',
        digit => char::from_digit(digit, 10).unwrap_or('0'),
    }
}

/// A mobile number.
fn phone(rng: &mut ChaCha8Rng) -> String {
    format!("1{}{:08}", rng.random_range(30..=99), rng.random_range(0..100_000_000))
}

/// A card number under a made-up BIN, with its Luhn digit.
fn pan(rng: &mut ChaCha8Rng, credit: bool) -> String {
    const DEBIT: &[(&str, usize)] = &[
        ("629901", 19),
        ("62990217", 19),
        ("629903", 16),
        ("6299045", 18),
        ("629905", 17),
        ("629906", 19),
    ];
    const CREDIT: &[(&str, usize)] = &[("628801", 16), ("62880233", 16)];
    let (bin, length) =
        if credit { CREDIT } else { DEBIT }.choose(rng).copied().unwrap_or(("629901", 19));
    let mut pan = bin.to_owned();
    while pan.len() + 1 < length {
        pan.push(char::from(rng.random_range(b'0'..=b'9')));
    }
    pan.push(luhn(&pan));
    pan
}

/// The digit that makes the number pass the Luhn check.
fn luhn(body: &str) -> char {
    let sum: u32 = body
        .chars()
        .rev()
        .filter_map(|c| c.to_digit(10))
        .enumerate()
        .map(|(place, digit)| if place % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { digit })
        .sum();
    char::from_digit((10 - sum % 10) % 10, 10).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_carry_their_check_digits() {
        // The specimen number of GB 11643-1999 and the usual Luhn specimen.
        assert_eq!(id_check("11010519491231002"), 'X');
        assert_eq!(luhn("7992739871"), '3');
    }

    #[test]
    fn one_seed_is_one_world() {
        let world = |seed| World::new(seed, 300, Drift::default());
        let pans = |seed| world(seed).cards.iter().map(|c| c.pan.clone()).collect::<Vec<_>>();
        assert_eq!(pans(7), pans(7));
        assert_ne!(pans(7), pans(8));
        for card in &world(7).cards {
            let (body, check) = card.pan.split_at(card.pan.len() - 1);
            assert_eq!(check, luhn(body).to_string());
            assert!((16..=19).contains(&card.pan.len()) && card.pan.starts_with("62"));
            assert_eq!(card.truth.id_number.len(), 18);
        }
    }

    #[test]
    fn registers_differ_for_the_fields_reasons() {
        let world = World::new(7, 4000, Drift::default());
        let total = world.cards.len();
        let stale = world.cards.iter().filter(|c| {
            c.at_copy(90).differing(&c.told()).is_empty()
                && !c.at_bank().differing(&c.told()).is_empty()
        });
        let stale = stale.count();
        assert!(stale * 100 > total * 4 && stale * 100 < total * 12, "{stale} of {total}");
    }
}
