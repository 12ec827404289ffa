//! The shipped `classes.toml` as the regulation is read (domain notes 2.1): evidence and date in, class and limits out. And what is wrong
//! with others.

use super::{list, shipped};
use expect_test::{Expect, expect};
use hefu::config::{self, Config};
use hefu::domain::account::{Class, Purpose, Source, Strength};
use hefu::domain::clock::Timestamp;
use hefu::domain::element::ElementSet;
use hefu::domain::id::{PaymentId, ProviderName};
use hefu::domain::money::Fen;
use hefu::tier::class::{Checked, Finding};
use hefu::tier::ledger::{Ledger, Over};
use std::fs;

/// Midnight of a day in China.
fn day(text: &str) -> Timestamp {
    let at: jiff::Timestamp = format!("{text}T00:00:00+08:00").parse().unwrap();
    Timestamp::from_millis(u64::try_from(at.as_millisecond()).unwrap())
}

/// A finding of 2025-01-01 by source; behind a bank `+` is a class I account, `=` a credit card.
fn finding(word: &str) -> Finding {
    let account = match word.chars().last() {
        Some('+') => Some(Checked::ClassOne),
        Some('=') => Some(Checked::Credit),
        _ if word.starts_with("bank") => Some(Checked::Other),
        _ => None,
    };
    Finding {
        source: Source::new(word.trim_end_matches(['+', '='])),
        provider: ProviderName::new("upv"),
        inquiry: PaymentId::new(day("2025-01-01"), 1),
        elements: ElementSet::EMPTY,
        account,
        at: day("2025-01-01"),
    }
}

fn check(config: &Config, sources: &str, on: &str, expected: Option<Class>) {
    let findings: Vec<_> = sources.split_whitespace().map(finding).collect();
    let class = config
        .classes
        .book
        .at(day(on))
        .and_then(|edition| edition.classed(&findings, false, Class::III, day(on)).class);
    assert_eq!(class, expected, "{sources} on {on}");
}

#[test]
fn classes_as_the_regulation_is_read() {
    let (_dir, config) = shipped();
    let check = |sources, on, expected| check(&config, sources, on, expected);
    let (one, two, three) = (Some(Class::I), Some(Class::II), Some(Class::III));
    let today = "2025-01-02";
    // One lawful channel.
    check("police", today, one);
    check("operator:cmcc", today, one);
    check("bank:ICBC+", today, one);
    check("", today, None);
    // ID card, phone and bank card are three channels; two are one short.
    check("police operator:cmcc bank:ICBC+", today, two);
    check("police operator:cmcc", today, one);
    // Two more bank cards make five.
    check("police operator:cmcc bank:ICBC+ bank:ABC= bank:CCB+", today, three);
    check("police operator:cmcc bank:ICBC+ bank:ABC=", today, two);
    // Or other departments.
    check("police operator:cmcc bank:ICBC+ social-security civil-affairs", today, three);
    check("police education railway tax credit-bureau", today, three);
    // Two vendors with one back end are one channel.
    check("police police operator:cmcc", today, one);
    // Two cards of one bank are one bank, whichever road the answer came by.
    check("police operator:cmcc bank:ICBC+ bank:ICBC+ bank:ICBC=", today, two);
    // The card must be of a class I account, or a credit card.
    check("police operator:cmcc bank:ICBC", today, one);
    check("police operator:cmcc bank:ICBC=", today, two);
    // A face is held against the police's picture.
    check("police operator:cmcc face", today, one);
    // A road is no source, and neither is a bank that nobody knows.
    check("police operator:cmcc unionpay", today, one);
    check("police operator:cmcc netsunion", today, one);
    check("police operator:cmcc bank+", today, one);
    // Each has its time: phones two years, cards three.
    check("police operator:cmcc bank:ICBC+", "2026-12-31", two);
    check("police operator:cmcc bank:ICBC+", "2027-01-02", one);
    check("police bank:ABC+ bank:ICBC+", "2027-12-31", two);
    check("police bank:ABC+ bank:ICBC+", "2028-01-02", one);
    // Not before it was found, nor before the rules were in force.
    check("police operator:cmcc bank:ICBC+", "2024-12-31", None);
    check("police", "2016-06-30", None);
}

#[test]
fn limits_as_the_regulation_is_read() {
    let (_dir, config) = shipped();
    let at = day("2026-11-28");
    let edition = config.classes.book.at(at).unwrap();
    let check = |class, purpose, strength, expected| {
        let left = Ledger::default().left(edition, Some(class), (purpose, strength), at);
        assert_eq!(left, expected, "{class} {purpose:?} {strength:?}");
    };
    let yuan = |yuan: u64, over| Ok(Some((Fen::new(yuan * 100), over)));
    check(Class::I, Purpose::Consumption, Strength::Certificate, yuan(1_000, Over::Lifetime));
    check(Class::I, Purpose::Transfer, Strength::TwoFactors, yuan(1_000, Over::Lifetime));
    check(Class::I, Purpose::OwnBankAccount, Strength::Certificate, yuan(1_000, Over::Lifetime));
    check(Class::I, Purpose::Investment, Strength::Certificate, Err(Over::Purpose));
    check(Class::II, Purpose::Consumption, Strength::Certificate, yuan(100_000, Over::Yearly));
    check(Class::II, Purpose::Consumption, Strength::TwoFactors, yuan(5_000, Over::Daily));
    check(Class::II, Purpose::Consumption, Strength::Weak, yuan(1_000, Over::Daily));
    check(Class::II, Purpose::OwnBankAccount, Strength::Weak, Ok(None));
    check(Class::II, Purpose::Investment, Strength::Certificate, Err(Over::Purpose));
    check(Class::III, Purpose::Investment, Strength::Certificate, yuan(200_000, Over::Yearly));
    check(Class::III, Purpose::Transfer, Strength::TwoFactors, yuan(5_000, Over::Daily));
    assert_eq!((edition.accounts, edition.class_three, edition.persons_a_phone), (1, 1, 1));
}

/// What is said of `text` as `classes.toml`.
fn check_said(text: &str, expected: &Expect) {
    let (dir, _config) = shipped();
    fs::write(dir.path().join("classes.toml"), text).unwrap();
    let said = config::load(dir.path()).err().map(|problems| list(&problems)).unwrap_or_default();
    expected.assert_eq(&said);
}

#[test]
fn what_is_wrong_with_classes_is_said() {
    let edition = "[[edition]]\nfrom = \"2016-07-01\"\nbasis = \"a test\"\n";
    let class = "[edition.class.I]\nsources = 1\npurposes = [\"transfer\"]\n";
    check_said("", &expect![[""]]);
    check_said(&format!("{edition}{class}"), &expect![[""]]);
    check_said(
        edition,
        &expect![[r#"
        classes.toml:1:1 no class
            say what each needs: `[edition.class.I]`
    "#]],
    );
    check_said(
        &format!("[[edition]]\n{class}"),
        &expect![[r#"
        classes.toml:1:1 `basis` is missing
            say what it rests on: it stands in every record
        classes.toml:1:1 `from` is missing
            say from which day it holds, such as `from = "2016-07-01"`
    "#]],
    );
    check_said(
        &format!("{edition}{class}{edition}{class}"),
        &expect![[r#"
        classes.toml:8:8 two editions begin on that day
            each edition begins on a day of its own
    "#]],
    );
    check_said(
        &format!("{edition}[edition.class.IV]\nsources = 9\npurposes = []\n"),
        &expect![[r#"
            classes.toml:4:16 no class `IV`
                allowed here: I, II, III
        "#]],
    );
    check_said(
        &format!("{edition}{class}[edition.class.II]\nsources = 0\npurposes = [\"gifts\"]\n"),
        &expect![[r#"
            classes.toml:1:1 a class needs fewer sources than a lower one
                a higher class needs at least as many `sources` as a lower one
            classes.toml:8:11 out of range
                between 1 and 100
            classes.toml:9:13 `gifts` is not a use of balance
                allowed here: consumption, transfer, own_bank_account, investment
        "#]],
    );
    check_said(
        &format!(
            "{edition}{class}[edition.source.\"bank:ICBC\"]\ncounts = \"twice\"\nvalid_for = \"3\"\n"
        ),
        &expect![[r#"
            classes.toml:7:17 not the name of a family of sources
                a family's name, such as `bank`: members are `bank:ICBC`, as answers name them
            classes.toml:8:10 `twice` is not a way to count
                allowed here: once, each, never
            classes.toml:9:13 `3` is not a duration
                write a duration as `500ms`, `3s`, `15m`, `12h` or `7d`
        "#]],
    );
    check_said(
        &format!("second_fen = -1\n{edition}{class}"),
        &expect![[r#"
        classes.toml:1:14 invalid value: integer `-1`, expected u64
            write u64 here
    "#]],
    );
}
