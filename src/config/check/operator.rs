//! From `[[operator]]` to who may use the admin API.

use crate::config::api::Operator;
use crate::config::file::operator::OperatorFile;
use crate::config::read::{At, Sheet};

/// The longest name.
const NAME_MAX: usize = 64;
/// How many digits in a row look like a number of somebody's.
const DIGITS_MIN: usize = 11;

/// Checks all of them; two of one name or one token are a mistake.
pub(super) fn operators(sheet: &mut Sheet, file: &[At<OperatorFile>]) -> Vec<Operator> {
    let mut all: Vec<Operator> = Vec::new();
    for at in file {
        let hint = "an operator needs `name`, `roles` and `token_sha256`: `hefu token` writes them";
        let name = sheet.need(at.value.name.as_ref(), &at.span, "name", hint);
        let roles = sheet.need(at.value.roles.as_ref(), &at.span, "roles", hint);
        let token = sheet.need(at.value.token_sha256.as_ref(), &at.span, "token_sha256", hint);
        let (Some(name), Some(roles), Some(token)) = (name, roles, token) else { continue };
        if !is_name(&name.value) {
            let hint = "1 to 64 letters, digits and `-_.@+/`, without 11 digits in a row: it is kept in the audit";
            sheet.problem(&name.span, "not an operator's name", hint);
        }
        if all.iter().any(|other| other.name == name.value) {
            let hint = "one person has one name: it is by names that two persons are told apart";
            sheet.problem(&name.span, format!("operator `{}` stands twice", name.value), hint);
        }
        if roles.value.is_empty() && !sheet.is_blamed(&roles.span) {
            sheet.problem(&roles.span, "no role", "say what they are there for, such as `viewer`");
        }
        let mut digest = [0; 32];
        if hex::decode_to_slice(&token.value, &mut digest).is_err() {
            let hint = "the SHA-256 of the token, 64 hexadecimal digits: `hefu token` makes both";
            sheet.problem(&token.span, "not a hash", hint);
        } else if all.iter().any(|other| other.token == digest) {
            let hint = "each has a token of their own: `hefu token` makes one";
            sheet.problem(&token.span, "two operators have one token", hint);
        }
        let roles = roles.value.iter().map(|role| role.value.0.0).collect();
        all.push(Operator { name: name.value.clone(), roles, token: digest });
    }
    all
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@+/".contains(c);
    let has_number =
        name.split(|c: char| !c.is_ascii_digit()).any(|run| run.chars().count() >= DIGITS_MIN);
    (1..=NAME_MAX).contains(&name.len()) && name.chars().all(plain) && !has_number
}
