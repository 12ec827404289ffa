//! `Hefu-Account`: the core marks a payment as funded by the balance of an account.
//!
//! The account's name, and perhaps parameters as in an Item (RFC 9651 section 3.3): `A-1;strength=two_factors`. The name may be quoted.

use crate::domain::account::{AccountId, Purpose, Strength};
use crate::domain::payment::Scenario;
use crate::message::node::ReadError;
use sfv::{BareItem, Item, Parser};

/// The header.
pub const HEADER: &str = "Hefu-Account";

/// What the core says of a payment that balance funds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Whose balance.
    pub account: AccountId,
    /// How whoever pays was authenticated: weakly, where it does not say.
    pub strength: Strength,
    /// What for; as the scenario has it, where it does not say.
    pub purpose: Option<Purpose>,
}

/// Reads the header's value.
///
/// # Errors
/// [`ReadError`].
pub fn parse(header: &str) -> Result<Marked, ReadError> {
    let fault = |what| ReadError::unreadable(HEADER, what);
    let (name, parameters) = header.split_once(';').unwrap_or((header, ""));
    let name = name.trim_matches([' ', '\t']);
    let unquoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    let account = AccountId::parse(unquoted.unwrap_or(name));
    let account = account.map_err(|_| fault("not the name of an account"))?;
    let mut marked = Marked { account, strength: Strength::Weak, purpose: None };
    if parameters.is_empty() {
        return Ok(marked);
    }
    // Its own name may be no Token, and is read by now.
    let item: Item = Parser::new(&format!("a;{parameters}"))
        .parse()
        .map_err(|_| fault("parameters that cannot be read"))?;
    for (key, value) in &item.params {
        let word = match value {
            BareItem::Token(word) => word.as_str(),
            BareItem::String(word) => word.as_str(),
            _ => return Err(fault("a parameter that is no word")),
        };
        match key.as_str() {
            "strength" => {
                let known = Strength::from_word(word);
                marked.strength = known.ok_or_else(|| fault("an unknown strength"))?;
            }
            "purpose" => {
                let known = Purpose::from_word(word);
                marked.purpose = Some(known.ok_or_else(|| fault("an unknown purpose"))?);
            }
            _ => return Err(fault("an unknown parameter")),
        }
    }
    Ok(marked)
}

impl Marked {
    /// What it is for. Nothing goes to an own bank account that is known to be somebody else's.
    pub fn purpose(&self, scenario: Scenario, is_other: bool) -> Purpose {
        let told = self.purpose.unwrap_or(match scenario {
            Scenario::Withdraw => Purpose::OwnBankAccount,
            Scenario::Payout => Purpose::Transfer,
            Scenario::Debit
            | Scenario::Pay
            | Scenario::Bind
            | Scenario::Verify
            | Scenario::Sms
            | Scenario::Unbind
            | Scenario::Refund
            | Scenario::Void
            | Scenario::Query
            | Scenario::Notify
            | Scenario::Other => Purpose::Consumption,
        });
        match told {
            Purpose::OwnBankAccount if is_other => Purpose::Transfer,
            Purpose::OwnBankAccount
            | Purpose::Consumption
            | Purpose::Transfer
            | Purpose::Investment => told,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expected: Option<(&str, Strength, Option<Purpose>)>) {
        let read = parse(header).ok();
        let read = read.as_ref().map(|it| (it.account.as_str(), it.strength, it.purpose));
        assert_eq!(read, expected, "{header}");
    }

    #[test]
    fn an_account_is_named_plainly_or_quoted() {
        let weak = |account| Some((account, Strength::Weak, None));
        check("A-1", weak("A-1"));
        check(" \"A-1\" ", weak("A-1"));
        check("0042", weak("0042"));
        check("A;strength=certificate", Some(("A", Strength::Certificate, None)));
        let both = Some(("A", Strength::TwoFactors, Some(Purpose::Transfer)));
        check("A;strength=two_factors;purpose=transfer", both);
        check("\"A\"; purpose=\"transfer\";strength=two_factors", both);
        for wrong in [
            "",
            "\"A",
            "A B",
            "A, B",
            "13800000000",
            "A;strength",
            "A;strength=strong",
            "A;purpose=1",
            "A;colour=red",
            "A;;",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn what_it_is_for_follows_from_the_scenario() {
        let check = |header: &str, scenario, is_other, expected| {
            assert_eq!(parse(header).unwrap().purpose(scenario, is_other), expected, "{header}");
        };
        check("A", Scenario::Withdraw, false, Purpose::OwnBankAccount);
        check("A", Scenario::Withdraw, true, Purpose::Transfer);
        check("A", Scenario::Payout, false, Purpose::Transfer);
        check("A;purpose=own_bank_account", Scenario::Payout, false, Purpose::OwnBankAccount);
        check("A;purpose=own_bank_account", Scenario::Payout, true, Purpose::Transfer);
        check("A", Scenario::Pay, false, Purpose::Consumption);
        check("A;purpose=investment", Scenario::Pay, true, Purpose::Investment);
    }
}
