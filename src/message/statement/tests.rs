//! Lines of statements, as they are read.

use super::*;
use crate::domain::outcome::Decline;
use crate::message::charset::by_label;
use expect_test::{Expect, expect};
use jiff::civil::date;
use proptest::prelude::*;

fn column(at: usize) -> Column {
    Column { at, lacks_year: false }
}

fn columns(columns: &[(&str, Column)]) -> BTreeMap<String, Column> {
    columns.iter().map(|(name, column)| ((*name).to_owned(), *column)).collect()
}

fn rule(when: &str, says: Says) -> LineRule {
    LineRule {
        scenarios: vec![Scenario::Debit],
        when: vec![("kind".to_owned(), vec![when.to_owned()])],
        order: vec!["merchant".to_owned(), "order".to_owned(), "time".to_owned()],
        merchant: Some("merchant".to_owned()),
        amount: Some(("amount".to_owned(), Unit::Fen)),
        says,
    }
}

fn fixed() -> Statement {
    Statement {
        file: Regex::new("^ZM_").unwrap(),
        layout: Layout::Fixed { widths: vec![2, 4, 8, 6, 10], gap: " ".to_owned() },
        charset: by_label("GBK").unwrap(),
        head: 0,
        ignored: Some(Regex::new("^合计").unwrap()),
        columns: columns(&[
            ("kind", column(0)),
            ("merchant", column(1)),
            ("order", column(2)),
            ("amount", column(3)),
            ("time", Column { at: 4, lacks_year: true }),
        ]),
        lines: vec![rule("11", Says::This(Outcome::Succeeded)), rule("04", Says::Nothing)],
    }
}

fn separated() -> Statement {
    let code = Says::Code { column: "code".to_owned(), map: "final".to_owned() };
    Statement {
        layout: Layout::Separated { by: '|', quoted: true },
        columns: columns(&[
            ("kind", column(0)),
            ("merchant", column(1)),
            ("order", column(2)),
            ("amount", column(3)),
            ("time", column(4)),
            ("code", column(5)),
        ]),
        lines: vec![LineRule {
            amount: Some(("amount".to_owned(), Unit::Yuan)),
            ..rule("D", code)
        }],
        ..fixed()
    }
}

fn check(statement: &Statement, line: &str, expected: Expect) {
    let (bytes, ..) = statement.charset.encode(line);
    let codes = [("00", Outcome::Succeeded), ("51", Outcome::Declined(Decline::InsufficientFunds))];
    let codes = codes.map(|(code, outcome)| (code.to_owned(), outcome)).into();
    let map = CodeMap { codes, ..CodeMap::default() };
    let codes = [("final".to_owned(), map)].into();
    let read = statement.read(&codes, &bytes, Some(date(2026, 1, 2)));
    expected.assert_eq(&match read {
        Ok(None) => "nothing".to_owned(),
        Err(error) => error.to_string(),
        Ok(Some(line)) => {
            let Line { order, merchant, amount, outcome, code, unmapped_in, .. } = line;
            let merchant = merchant.map(|merchant| merchant.0.to_string());
            let amount = amount.map(Fen::get);
            format!(
                "{} {merchant:?} {amount:?} {} {code:?} {unmapped_in:?}",
                order.0,
                outcome.as_str()
            )
        }
    });
}

#[test]
fn columns_of_a_fixed_width_are_bytes() {
    let fixed = fixed();
    check(
        &fixed,
        "11 m001 order-01 000100 0101235959",
        expect![[r#"m001|order-01|20260101235959 Some("m001") Some(100) succeeded None None"#]],
    );
    check(
        &fixed,
        "11 m001 订单1    000000 1231235959",
        expect![[r#"m001|订单1|20251231235959 Some("m001") Some(0) succeeded None None"#]],
    );
    check(&fixed, "04 m001 order-01 000100 0101235959", expect!["nothing"]);
    check(&fixed, "合计 1 笔", expect!["nothing"]);
    check(&fixed, "   ", expect!["nothing"]);
    check(
        &fixed,
        "31 m001 order-01 000100 0101235959",
        expect!["no `[[statement.line]]` of the profile matches it"],
    );
    check(&fixed, "11 m001 order-01 000100", expect!["it ends before column `time`"]);
    check(
        &fixed,
        "11 m001  order-01 000100 0101235959",
        expect!["column `order` does not end where it should: is the layout another one?"],
    );
    check(&fixed, "11 m001          000100 0101235959", expect!["column `order` is empty"]);
    check(
        &fixed,
        "11 m001 order-01 0001.0 0101235959",
        expect!["column `amount` is no amount in the profile's unit"],
    );
    check(
        &fixed,
        "11 m001 order-01        0101235959",
        expect!["column `amount` is no amount in the profile's unit"],
    );
    check(
        &fixed,
        "11 m001 order-01 000100 1341235959",
        expect![
            "column `time` is no time that begins with a month and a day, or the statement's day is not told"
        ],
    );
}

/// A line that says "failed" with the amount 0, as much as came, was of another amount, and its payment never ended.
#[test]
fn what_failed_may_say_that_nothing_came() {
    let separated = separated();
    for amount in ["0.00", ""] {
        check(
            &separated,
            &format!("D|m001|o|{amount}|t|51"),
            expect![[r#"m001|o|t Some("m001") None declined Some("51") None"#]],
        );
    }
    check(
        &separated,
        "D|m001|o|1.00|t|51",
        expect![[r#"m001|o|t Some("m001") Some(100) declined Some("51") None"#]],
    );
    check(
        &separated,
        "D|m001|o|0.00|t|00",
        expect![[r#"m001|o|t Some("m001") Some(0) succeeded Some("00") None"#]],
    );
    check(
        &separated,
        "D|m001|o||t|00",
        expect!["column `amount` is no amount in the profile's unit"],
    );
}

#[test]
fn a_separator_within_quotes_is_none() {
    let separated = separated();
    check(
        &separated,
        "D|m001|o|1.00|t|00",
        expect![[r#"m001|o|t Some("m001") Some(100) succeeded Some("00") None"#]],
    );
    check(
        &separated,
        "\"D\"|m001|\"o|\"\"1\"|0.5|t|00",
        expect![[r#"m001|o|"1|t Some("m001") Some(50) succeeded Some("00") None"#]],
    );
    check(
        &separated,
        "D|m001|o|001.00|t|ZZ",
        expect![[r#"m001|o|t Some("m001") Some(100) unmapped Some("ZZ") Some("final")"#]],
    );
    check(&separated, "D|m001|o|1.00|t", expect!["it ends before column `code`"]);
    check(&separated, "D|m001|o|1.00|t|", expect!["column `code` is empty"]);
    check(&separated, "D|m001|\"o|1.00|t|00", expect!["a quoted column does not end"]);
    check(
        &separated,
        "D|m001|o|-1.00|t|00",
        expect!["column `amount` is no amount in the profile's unit"],
    );
}

#[test]
fn what_is_not_in_its_charset_is_told() {
    let read = |statement: &Statement, line: &[u8]| statement.read(&BTreeMap::new(), line, None);
    assert_eq!(read(&separated(), b"D|m001|\xFF|1.00|t|00"), Err(BadLine::Charset));
    assert_eq!(read(&fixed(), b"11 m001 order-\xFF1 000100 0101235959"), Err(BadLine::Charset));
}

proptest! {
    /// Whatever stands in a line: it is read or refused, and an error has no value in it.
    #[test]
    fn no_line_is_too_odd(line in prop::collection::vec(any::<u8>(), 0..80), cut in any::<bool>()) {
        let statement = if cut { separated() } else { fixed() };
        let read = statement.read(&BTreeMap::new(), &line, Some(date(2026, 2, 28)));
        if let Err(error) = read {
            prop_assert!(error.to_string().is_ascii());
        }
    }

    /// Cells that are written with quotes are read as they were.
    #[test]
    fn quoted_cells_read_back(cells in prop::collection::vec("[ -~\u{4e00}-\u{4e10}]{0,8}", 1..6)) {
        let quoted: Vec<_> = cells.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
        prop_assert_eq!(super::cut(&quoted.join(","), ',', true), Ok(cells));
    }
}
