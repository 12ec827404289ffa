//! Where the keys of a file stand.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Every key that `text` says, with its line; tables within tables are joined by dots, and members of lists are counted from 0.
pub(super) fn origins(file: &str, text: &str) -> Vec<(String, String, usize)> {
    let mut found = Vec::new();
    // What is no TOML has no keys; that is said elsewhere.
    if let Ok(root) = DeTable::parse(text) {
        walk(root.get_ref(), "", &mut |key, at| {
            let before = text.get(..at).unwrap_or_default();
            let line = before.matches('\n').count().saturating_add(1);
            found.push((key, file.to_owned(), line));
        });
    }
    found.sort_by(|a, b| (a.2, &a.0).cmp(&(b.2, &b.0)));
    found
}

fn walk(table: &DeTable<'_>, path: &str, found: &mut impl FnMut(String, usize)) {
    for (key, value) in table {
        let path = if path.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{path}.{}", key.get_ref())
        };
        one(value, path, key.span().start, found);
    }
}

fn one(
    value: &Spanned<DeValue<'_>>,
    path: String,
    at: usize,
    found: &mut impl FnMut(String, usize),
) {
    match value.get_ref() {
        DeValue::Table(table) => walk(table, &path, found),
        DeValue::Array(members)
            if members.iter().any(|member| matches!(member.get_ref(), DeValue::Table(_))) =>
        {
            for (number, member) in members.iter().enumerate() {
                one(member, format!("{path}.{number}"), member.span().start, found);
            }
        }
        DeValue::Array(_)
        | DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => found(path, at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_with_its_line() {
        let text = "[a]\nb = 1\nc = { d = 'x' }\n[[e]]\nf = [1, 2]\n[[e]]\nf = []\n";
        let found = origins("x.toml", text);
        let found: Vec<_> = found.iter().map(|(key, _, line)| (key.as_str(), *line)).collect();
        assert_eq!(found, [("a.b", 2), ("a.c.d", 3), ("e.0.f", 5), ("e.1.f", 7)]);
        assert!(origins("x.toml", "= nothing").is_empty());
    }
}
