//! Decision tables: rules as rows of a spreadsheet. A row becomes the same rule that somebody would have written.
//!
//! The columns `id`, `action`, `state`, `reason`, `owner` and `name` are the rule's own; every other column is an attribute, or what is
//! counted, and its cells are conditions, joined by "and". A cell is empty (anything), a value, values between `|`, `!` before
//! either, `>5`, `>=5`, `<5`, `<=5`, `5..10`, or `list NAME`.

use super::read::Sheet;
use crate::policy::rules::Attribute;
use crate::policy::rules::attribute::Kind;
use std::fmt::Write as _;

/// What is a rule's own.
const OWN: [&str; 6] = ["id", "action", "state", "reason", "owner", "name"];

/// The rules of a table, as TOML.
pub(super) fn rules(sheet: &mut Sheet) -> String {
    let text = sheet.text().to_owned();
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let head = reader.headers().cloned().unwrap_or_default();
    let mut toml = String::new();
    for record in reader.records() {
        let Ok(record) = record else {
            let hint =
                "every row has as many cells as the head; a cell with a comma stands in quotes";
            sheet.problem(&(0..0), "the table is not CSV", hint);
            break;
        };
        let place = record.position().map_or(0, csv::Position::byte);
        let start = usize::try_from(place).unwrap_or_default().min(text.len());
        let rest = text.get(start..).unwrap_or_default();
        let end = start.saturating_add(rest.find('\n').unwrap_or(rest.len()));
        let (mut own, mut conditions) = (String::from("[[rule]]\n"), Vec::new());
        for (column, cell) in head.iter().zip(&record) {
            let column = column.trim_start_matches('\u{feff}');
            if OWN.contains(&column) {
                if !cell.is_empty() {
                    // Writing into a string does not fail.
                    let _infallible = writeln!(own, "{column} = {}", toml::Value::from(cell));
                }
            } else if !cell.is_empty() {
                match condition(column, cell) {
                    Ok(condition) => conditions.push(condition),
                    Err(hint) => {
                        let message = format!("column `{column}`: a cell that is no condition");
                        sheet.problem(&(start..end), message, hint);
                    }
                }
            }
        }
        let when = toml::Value::from(conditions.join(" && "));
        let _infallible = writeln!(toml, "{own}when = {when}\n");
    }
    toml
}

/// The condition of a cell.
fn condition(column: &str, cell: &str) -> Result<String, &'static str> {
    let attribute = Attribute::from_name(column);
    let about = attribute.map(Attribute::about);
    let guard = if about.is_some_and(|about| about.nullable) {
        format!("has({column}) && ")
    } else {
        String::new()
    };
    let (not, cell) = match cell.strip_prefix('!') {
        Some(rest) => ("!", rest.trim()),
        None => ("", cell),
    };
    if let Some(list) = cell.strip_prefix("list ") {
        return Ok(format!("{guard}{not}({column} in list({:?}))", list.trim()));
    }
    let kind = about.map(|about| about.kind);
    if matches!(kind, Some(Kind::Flag)) {
        return match cell.to_ascii_lowercase().as_str() {
            "yes" | "true" | "是" => Ok(format!("{not}{column}")),
            "no" | "false" | "否" => Ok(format!("!({not}{column})")),
            _ => Err("write `yes` or `no`"),
        };
    }
    let text = matches!(kind, Some(Kind::Text(_) | Kind::Print));
    let number = |text: &str| text.trim().parse::<i64>().map_err(|_| "write a whole number");
    if !text {
        if let Some((low, high)) = cell.split_once("..") {
            let (low, high) = (number(low)?, number(high)?);
            return Ok(format!("{guard}{not}({column} >= {low} && {column} <= {high})"));
        }
        for order in [">=", "<=", ">", "<"] {
            if let Some(rest) = cell.strip_prefix(order) {
                return Ok(format!("{guard}{not}({column} {order} {})", number(rest)?));
            }
        }
    }
    let mut values = Vec::new();
    for value in cell.split('|').map(str::trim) {
        values.push(if text { format!("{value:?}") } else { number(value)?.to_string() });
    }
    Ok(format!("{guard}{not}({column} in [{}])", values.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_a_condition() {
        let check =
            |column, cell, expected| assert_eq!(condition(column, cell), expected, "{cell}");
        let ok = |text: &str| Ok(text.to_owned());
        check("payment.scenario", "debit | pay", ok(r#"(payment.scenario in ["debit", "pay"])"#));
        check("payment.scenario", "!debit", ok(r#"!(payment.scenario in ["debit"])"#));
        let over = "has(payment.amount) && (payment.amount > 500000)";
        check("payment.amount", ">500000", ok(over));
        check("payment.hour", "0..5", ok("(payment.hour >= 0 && payment.hour <= 5)"));
        check("payment.held", "no", ok("!(payment.held)"));
        check("card.bin", "list bins", ok(r#"has(card.bin) && (card.bin in list("bins"))"#));
        let counted = r#"velocity("card", "debit", "1h")"#;
        check(counted, ">=3", ok(&format!("({counted} >= 3)")));
        check("payment.hour", "early", Err("write a whole number"));
    }
}
