//! Somebody of nobody's world, as a message may legally carry them.

use rand::{Rng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::{Tuple, id_number, name, pan, phone};

/// A person and a card of nobody in the world, as a message may legally carry them: long names, names with `·`, characters outside
/// GBK, old identity numbers, with and without a phone.
pub(in crate::sim) fn stranger(rng: &mut ChaCha8Rng) -> Tuple {
    const LONG: &[&str] =
        &["买买提江·吐尔逊阿吉·努尔麦麦提", "阿卜杜热西提·艾山江·木合塔尔·帕孜来提"];
    let name = match rng.random_range(0..6) {
        0 => LONG.choose(rng).copied().unwrap_or_default().to_owned(),
        1 => format!("{}𬀩", name(rng)),
        _ => name(rng),
    };
    let id_number = if rng.random_bool(0.2) { old_id_number(rng) } else { id_number(rng) };
    let credit = rng.random_bool(0.2);
    Tuple {
        name: Some(name),
        id_number: Some(id_number),
        pan: Some(pan(rng, credit)),
        phone: rng.random_bool(0.8).then(|| phone(rng)),
    }
}

/// The fifteen digits of numbers issued before 1999: a year of two digits, and no check character.
fn old_id_number(rng: &mut ChaCha8Rng) -> String {
    let (year, month, day) =
        (rng.random_range(30..=80), rng.random_range(1..=12), rng.random_range(1..=28));
    format!("110101{year}{month:02}{day:02}{:03}", rng.random_range(1..=999))
}
