//! What persons did is noted: who, what, and what it came to; no element.

use crate::service::Service;
use crate::store::audit::{Action, Note};
use crate::store::journal::StoreLost;

/// The most characters of a note that says why.
pub const NOTE_MAX: usize = 200;

/// The most characters of somebody's name.
const NAME_MAX: usize = 64;

/// So many digits in a row may be a phone number, a card or an identity number.
const DIGITS_MIN: usize = 11;

/// Whether a note may be kept and logged: one line, and no number of a person's in it.
pub fn may_be_kept(note: &str) -> bool {
    let one_line = !note.trim().is_empty() && !note.chars().any(char::is_control);
    one_line && note.chars().count() <= NOTE_MAX && !has_long_number(note)
}

/// Whether somebody may be called that in the audit: no element, and no person's name in their own script.
pub fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@+/".contains(c);
    let has_number = has_long_number(name);
    (1..=NAME_MAX).contains(&name.len()) && name.chars().all(plain) && !has_number
}

/// Whether a text may hold a number of a person's.
pub fn has_long_number(text: &str) -> bool {
    text.split(|c: char| !c.is_numeric()).any(|run| run.chars().count() >= DIGITS_MIN)
}

impl Service {
    /// Notes what `who` did, durably, with all that it changed.
    ///
    /// # Errors
    /// [`StoreLost`]: it is tried again.
    pub async fn audit(&self, who: String, action: Action) -> Result<(), StoreLost> {
        let note = Note { at: self.now(), who, action };
        let noted = self.store.note(note.clone()).await;
        if noted.is_err() {
            tracing::error!(?note, "what was done is not audited yet: the store cannot be written");
        }
        noted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operators_name_is_no_element() {
        for good in ["li.lei", "ops/night+2@bank.example", &"a".repeat(64)] {
            assert!(is_name(good), "`{good}`");
        }
        for bad in ["", "李雷", "li lei", "13800000000", "a\"b", &"a".repeat(65)] {
            assert!(!is_name(bad), "`{bad}`");
        }
    }

    #[test]
    fn a_note_has_no_number_of_a_person() {
        for good in ["the customer called", "客户来电，已核实", "T-20261124/17", &"a".repeat(200)]
        {
            assert!(may_be_kept(good), "`{good}`");
        }
        for bad in [
            "",
            " ",
            "two\nlines",
            "13800000000",
            "call １３８００００００００ back",
            "card:6200000000000005",
            &"a".repeat(201),
        ] {
            assert!(!may_be_kept(bad), "`{bad}`");
        }
    }
}
