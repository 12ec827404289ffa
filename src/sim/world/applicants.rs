//! People who want a payment account of the highest class, apart from those whom the core's traffic is about, and whose banks are known.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Card, CardState, Facts, Tuple, World, id_number, name, pan, phone};

/// How many there are.
pub(in crate::sim) const APPLICANTS: usize = 1_000;

/// The banks, and what their cards begin with: one may issue debit and credit cards. Whose `629906` is nobody knows.
pub(in crate::sim) const BANKS: [(&str, &[&str]); 5] = [
    ("HARBOUR", &["629901", "628801"]),
    ("DELTA", &["629902", "628802"]),
    ("ORCHARD", &["629903"]),
    ("GRANITE", &["629904"]),
    ("LANTERN", &["629905"]),
];

/// What credit cards begin with.
const CREDIT: &str = "6288";

/// Their draws are their own: the rest of the world is as it would be without them.
const STREAM: u64 = 0x00ac_c0f7;

/// Somebody who applies.
pub(in crate::sim) struct Applicant {
    /// What they tell of themselves: name, document and phone.
    pub(in crate::sim) told: Tuple,
    /// Where their cards are.
    cards: Vec<usize>,
}

/// The bank that issued a card, where that is known.
pub(in crate::sim) fn bank_of(pan: &str) -> Option<&'static str> {
    let issued = |(_, bins): &&(&str, &[&str])| bins.iter().any(|bin| pan.starts_with(bin));
    BANKS.iter().find(issued).map(|(bank, _)| *bank)
}

/// Whether it is a credit card.
pub(in crate::sim) fn is_credit(pan: &str) -> bool {
    pan.starts_with(CREDIT)
}

impl World {
    /// The numbers of somebody's cards; they are used from now on.
    pub(in crate::sim) fn cards_of(&self, applicant: &Applicant) -> Vec<String> {
        let cards = applicant.cards.iter().filter_map(|at| self.at(*at));
        cards.filter_map(|card| card.told().pan).collect()
    }

    /// Draws everybody who applies.
    pub(super) fn draw_applicants(&mut self, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ STREAM);
        for _ in 0..APPLICANTS {
            self.draw_applicant(&mut rng);
        }
    }

    fn draw_applicant(&mut self, rng: &mut ChaCha8Rng) {
        let told = Facts {
            name: name(rng),
            id_number: new(rng, id_number, &self.by_id),
            phone: new(rng, phone, &self.by_phone),
        };
        // Who changed the name is known by the new one to the police, the operator and the bank of the first card.
        let renamed = rng.random_ratio(4, 100);
        let by_register =
            if renamed { Facts { name: name(rng), ..told.clone() } } else { told.clone() };
        let first = self.cards.len() + self.held.len();
        let mut cards = Vec::new();
        for nth in 0..rng.random_range(4..=9) {
            let credit = rng.random_ratio(3, 10);
            let pan = new(rng, |rng| pan(rng, credit), &self.by_pan);
            let truth = if nth == 0 { &by_register } else { &told };
            let card = applicants_card(rng, pan, (&told, truth));
            self.by_pan.insert(card.pan.clone(), first + nth);
            self.held.push(card);
            cards.push(first + nth);
        }
        self.by_id.insert(told.id_number.clone(), first);
        // The contracts of some run under somebody else's name, of whom the operator knows nothing here.
        if !rng.random_ratio(6, 100) {
            self.by_phone.insert(told.phone.clone(), first);
        }
        let told = Tuple {
            name: Some(told.name),
            id_number: Some(told.id_number),
            phone: Some(told.phone),
            pan: None,
        };
        self.applicants.push(Applicant { told, cards });
    }
}

/// A value that nobody has yet.
fn new(
    rng: &mut ChaCha8Rng,
    draw: impl Fn(&mut ChaCha8Rng) -> String,
    taken: &HashMap<String, usize>,
) -> String {
    loop {
        let value = draw(rng);
        if !taken.contains_key(&value) {
            return value;
        }
    }
}

/// A card of somebody who tells this, and of whom its bank holds that, but for a phone that one in twelve did not tell it.
fn applicants_card(rng: &mut ChaCha8Rng, pan: String, (told, holds): (&Facts, &Facts)) -> Card {
    let mut truth = holds.clone();
    if rng.random_ratio(1, 12) {
        truth.phone = phone(rng);
    }
    // Half of the copies still hold what was before.
    let before = if rng.random_bool(0.5) { told.clone() } else { truth.clone() };
    Card {
        told: Tuple {
            name: Some(told.name.clone()),
            id_number: Some(told.id_number.clone()),
            pan: Some(pan.clone()),
            phone: Some(told.phone.clone()),
        },
        pan,
        state: if rng.random_ratio(15, 1000) { CardState::Lost } else { CardState::Normal },
        balance_fen: 0,
        phone_untold: false,
        truth,
        before,
        changed_days: rng.random_range(1..=40),
        later: None,
        moved: AtomicBool::new(false),
        learned: AtomicBool::new(false),
        used: AtomicBool::new(false),
        wrong: AtomicU32::new(0),
        operator_phone: told.phone.clone(),
    }
}
