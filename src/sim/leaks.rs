//! Looks for elements of the world in any bytes: logs, databases, metrics, answers of the admin API.
//!
//! A card number, ID number, phone or name counts in plain UTF-8 and GBK, in base64 at each of the three alignments, in hex, percent-encoded,
//! and as JSON escapes. Masked forms (a BIN and the last four digits) match none of these. Two patterns are left out or
//! narrowed, because chance would hit them in large files: two-character names in GBK (four bytes) are looked for
//! percent-encoded only, and a plain phone does not count inside a longer run of digits, unless that run begins with the
//! country code 86.

use std::collections::{BTreeMap, HashSet};

use aho_corasick::{AhoCorasick, BuildError, MatchKind};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use encoding_rs::GBK;

use crate::sim::{
    form::{encode, escape},
    world::{Card, Element},
};

/// Shorter GBK texts are looked for percent-encoded only.
const GBK_BYTES_MIN: usize = 6;

/// An element found where it should not be. It does not say which value: that would be a leak too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leak {
    /// Which element.
    pub element: &'static str,
    /// In which form.
    pub form: &'static str,
    /// The offset of its first byte.
    pub at: usize,
}

/// Finds every element of the cards that the core used (of all cards, when it used none).
#[derive(Debug)]
pub struct LeakScanner {
    automaton: AhoCorasick,
    kinds: Vec<(&'static str, &'static str)>,
    elements: usize,
}

impl LeakScanner {
    /// Builds the scanner over these cards' values.
    pub(super) fn new<'a>(cards: impl Iterator<Item = &'a Card>) -> Result<Self, BuildError> {
        let values: HashSet<_> = cards.flat_map(Card::values).collect();
        let (elements, mut patterns) = (values.len(), BTreeMap::new());
        for (element, value) in values {
            let element_name = match element {
                Element::Name => "name",
                Element::IdNumber => "id_number",
                Element::Pan => "pan",
                Element::Phone => "phone",
            };
            for (form, pattern) in forms(value) {
                patterns.entry(pattern).or_insert((element_name, form));
            }
        }
        let automaton =
            AhoCorasick::builder().match_kind(MatchKind::Standard).build(patterns.keys())?;
        Ok(Self { automaton, kinds: patterns.into_values().collect(), elements })
    }

    /// How many elements are looked for.
    pub const fn elements(&self) -> usize {
        self.elements
    }

    /// Every leak in these bytes.
    pub fn scan(&self, bytes: &[u8]) -> Vec<Leak> {
        let leaks = self.automaton.find_overlapping_iter(bytes).filter_map(|hit| {
            let (element, form) = *self.kinds.get(hit.pattern().as_usize())?;
            let inside_number =
                element == "phone" && form == "plain" && is_inside_number(bytes, hit.range());
            (!inside_number).then_some(Leak { element, form, at: hit.start() })
        });
        leaks.collect()
    }
}

fn is_inside_number(bytes: &[u8], range: std::ops::Range<usize>) -> bool {
    let digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_digit);
    let (before, after) = (bytes.get(..range.start).unwrap_or_default(), bytes.get(range.end));
    let lead = before.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    digit(after) || lead > 0 && !(lead == 2 && before.ends_with(b"86"))
}

/// The forms in which a value is looked for.
fn forms(value: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut forms = vec![("plain", value.as_bytes().to_vec())];
    spell(&mut forms, value.as_bytes(), ["base64", "hex", "percent"]);
    if value.is_ascii() {
        // An ID number's last character is written in both cases.
        let lower = value.to_ascii_lowercase();
        if lower != value {
            forms.push(("plain", lower.into_bytes()));
        }
        return forms;
    }
    if let Some(gbk) = encode(value, GBK) {
        if gbk.len() >= GBK_BYTES_MIN {
            spell(&mut forms, &gbk, ["base64 gbk", "hex gbk", "percent gbk"]);
            forms.push(("gbk", gbk));
        } else {
            percent(&mut forms, &gbk, "percent gbk");
        }
    }
    let escapes = |upper: bool| {
        let unit = |u: u16| if upper { format!("\\u{u:04X}") } else { format!("\\u{u:04x}") };
        value.encode_utf16().map(unit).collect::<String>().into_bytes()
    };
    forms.extend([("json", escapes(true)), ("json", escapes(false))]);
    forms
}

/// Base64 at three alignments, hex in both cases, and percent-encoding.
fn spell(
    forms: &mut Vec<(&'static str, Vec<u8>)>,
    bytes: &[u8],
    [base64, hex, escaped]: [&'static str; 3],
) {
    for (before, tainted) in [(0, 0), (1, 2), (2, 3)] {
        let mut shifted = vec![0; before];
        shifted.extend_from_slice(bytes);
        // Characters that also depend on neighbouring bytes are cut off.
        let whole = shifted.len() * 8 / 6;
        let text = STANDARD.encode(shifted);
        let stable = text.get(tainted..whole).unwrap_or_default();
        forms.push((base64, stable.as_bytes().to_vec()));
        let url_safe = stable.replace('+', "-").replace('/', "_");
        if url_safe != stable {
            forms.push((base64, url_safe.into_bytes()));
        }
    }
    forms.push((hex, hex::encode(bytes).into_bytes()));
    forms.push((hex, hex::encode_upper(bytes).into_bytes()));
    percent(forms, bytes, escaped);
}

/// Percent-encoding in both cases, where it differs from the plain bytes.
fn percent(forms: &mut Vec<(&'static str, Vec<u8>)>, bytes: &[u8], form: &'static str) {
    let escaped = escape(bytes, false);
    if escaped.as_bytes() != bytes {
        forms.push((form, escaped.to_ascii_lowercase().into_bytes()));
        forms.push((form, escaped.into_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngCore as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::sim::world::{Drift, World};

    #[test]
    fn every_form_of_every_element_is_found_and_masked_forms_are_not() {
        let world = World::new(7, 50, Drift::default());
        let scanner = LeakScanner::new(world.cards.iter()).unwrap();
        for card in &world.cards {
            for (element, value) in card.values() {
                for shift in 0..3 {
                    let around = format!("{}{value}zz", "x".repeat(shift));
                    assert!(
                        !scanner.scan(STANDARD.encode(&around).as_bytes()).is_empty(),
                        "base64 {element:?}"
                    );
                    assert!(
                        !scanner.scan(hex::encode(&around).as_bytes()).is_empty(),
                        "hex {element:?}"
                    );
                    assert!(
                        !scanner.scan(hex::encode_upper(&around).as_bytes()).is_empty(),
                        "hex {element:?}"
                    );
                    assert!(!scanner.scan(around.as_bytes()).is_empty(), "plain {element:?}");
                    assert!(
                        !scanner.scan(escape(around.as_bytes(), true).as_bytes()).is_empty(),
                        "percent {element:?}"
                    );
                    let Some(gbk) = encode(&around, GBK) else { continue };
                    assert!(
                        !scanner.scan(escape(&gbk, true).as_bytes()).is_empty(),
                        "percent gbk {element:?}"
                    );
                    assert!(
                        value.chars().count() < 3 || !scanner.scan(&gbk).is_empty(),
                        "gbk {element:?}"
                    );
                }
            }
            let (bin, last) =
                (card.pan.get(..6).unwrap(), card.pan.get(card.pan.len() - 4..).unwrap());
            for masked in [format!("{bin}******{last}"), format!("{bin}{last}")] {
                assert_eq!(scanner.scan(masked.as_bytes()), vec![]);
            }
        }
        assert!(scanner.scan(&[0; 4096]).is_empty());
    }

    #[test]
    fn a_phone_inside_a_longer_number_is_chance() {
        let world = World::new(7, 50, Drift::default());
        let scanner = LeakScanner::new(world.cards.iter()).unwrap();
        let phone = world.cards[0].operator_phone();
        let check =
            |text: String, leaks: usize| assert_eq!(scanner.scan(text.as_bytes()).len(), leaks);
        check(format!("tel:{phone}."), 1);
        check(format!("+86{phone}"), 1);
        check(format!("17{phone}"), 0);
        check(format!("{phone}000"), 0);
    }

    #[test]
    fn chance_looks_like_nobody() {
        let world = World::new(7, 4000, Drift::default());
        let scanner = LeakScanner::new(world.cards.iter()).unwrap();
        let mut bytes = vec![0; 8_000_000];
        ChaCha8Rng::seed_from_u64(1).fill_bytes(&mut bytes);
        assert_eq!(scanner.scan(&bytes), vec![]);
        assert_eq!(scanner.scan(STANDARD.encode(&bytes).as_bytes()), vec![]);
        assert_eq!(scanner.scan(hex::encode(&bytes).as_bytes()), vec![]);
    }
}
