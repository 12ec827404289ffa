//! The class of a payment account: distinct sources → class → limits; and whom to ask for the next one. Pure: a function of evidence, an
//! edition of the rules, and a day.
//!
//! Regulation changes, so what counts, how much is needed and what may be paid are dated data ([`rules::Book`]), and the class of any past
//! day can be told again.

pub mod class;
pub mod ledger;
pub mod plan;
pub mod rules;
pub mod usage;

#[cfg(test)]
mod tests;
