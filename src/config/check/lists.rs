//! Lists: declared in `rules/*.toml`, kept in `rules/lists/NAME.csv`.

use super::deployment::time;
use crate::config::file::rules::RulesFile;
use crate::config::read::Opened;
use crate::config::text::Meaning as _;
use crate::domain::clock::Timestamp;
use crate::policy::rules::list::{ENTRIES_MAX, List, Member};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// The longest file of a list, in bytes.
const FILE_MAX: u64 = 256 << 20;
/// The most mistakes that are told of one file.
const TOLD_MAX: usize = 20;

/// Reads every list that is declared and not `in_force` already, of which what is only tried changes nothing.
pub(super) fn read(
    dir: &Path,
    files: &mut [Opened<RulesFile>],
    in_force: &BTreeMap<String, List>,
) -> BTreeMap<String, List> {
    let mut lists = BTreeMap::new();
    for Opened { sheet, file, .. } in files {
        for at in &file.list {
            let hint = "a list needs `name` and `holds`";
            let name = sheet.need(at.value.name.as_ref(), &at.span, "name", hint);
            let holds = sheet.need(at.value.holds.as_ref(), &at.span, "holds", hint);
            let (Some(name), Some(holds)) = (name, holds) else { continue };
            let minute = Duration::from_mins(1);
            let range = minute..=Duration::from_hours(24 * 3650);
            let default = Duration::MAX;
            let expiry = time(sheet, at.value.expiry.as_ref(), range, default);
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if !(1..=64).contains(&name.value.len()) || !name.value.bytes().all(plain) {
                let hint = "1 to 64 lower-case letters, digits and dashes: it is a file's name too";
                sheet.problem(&name.span, "not a list's name", hint);
                continue;
            }
            if let Some(known) = in_force.get(&name.value) {
                if known.holds != holds.value.0 {
                    let message = format!("list `{}` holds something else in force", name.value);
                    let hint = "what is only tried changes no list: try it on kept payments, or under another name";
                    sheet.problem(&holds.span, message, hint);
                }
                continue;
            }
            let mut list = List::new(holds.value.0);
            let path = format!("rules/lists/{}.csv", name.value);
            for (line, message) in entries(&dir.join(&path), &mut list, expiry) {
                let hint = "its head is `value,reason,author,added,expires`; `hefu rules list import` writes it so";
                sheet.problem(&name.span, format!("{path}, line {line}: {message}"), hint);
            }
            if lists.insert(name.value.clone(), list).is_some() {
                let message = format!("list `{}` stands twice", name.value);
                sheet.problem(&name.span, message, "give it a name of its own");
            }
        }
    }
    lists
}

/// Reads the entries of a file into `list`; a file that is not there has none. Yields what is wrong, without values.
fn entries(path: &Path, list: &mut List, expiry: Duration) -> Vec<(u64, String)> {
    match path.try_exists() {
        Ok(true) => (),
        Ok(false) => return Vec::new(),
        Err(error) => return vec![(0, format!("it cannot be read: {error}"))],
    }
    if path.metadata().is_ok_and(|about| about.len() > FILE_MAX) {
        return vec![(0, format!("longer than {FILE_MAX} bytes"))];
    }
    let Ok(mut reader) = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path) else {
        return vec![(0, "it cannot be read".to_owned())];
    };
    let head = reader.headers().cloned().unwrap_or_default();
    let column = |name: &str| {
        head.iter().position(|it| it.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name))
    };
    let (value, added, expires) = (column("value"), column("added"), column("expires"));
    let mut wrong = Vec::new();
    for record in reader.records() {
        if wrong.len() >= TOLD_MAX || list.len() >= ENTRIES_MAX {
            wrong.push((0, "there is more; it was not read".to_owned()));
            break;
        }
        let Ok(record) = record else {
            wrong.push((0, "not CSV".to_owned()));
            break;
        };
        let line = record.position().map_or(0, csv::Position::line);
        let at = |column: Option<usize>| {
            column.and_then(|column| record.get(column)).filter(|text| !text.is_empty())
        };
        let mut date = |text: Option<&str>| {
            let read = text.map(Timestamp::read).transpose();
            read.unwrap_or_else(|hint| {
                wrong.push((line, hint));
                None
            })
        };
        let (added, own) = (date(at(added)), date(at(expires)));
        let default = added.filter(|_| expiry != Duration::MAX).map(|added| added.plus(expiry));
        match Member::read(list.holds, at(value).unwrap_or_default()) {
            Ok(member) => drop(list.add(member, own.or(default))),
            Err(error) => wrong.push((line, error.to_string())),
        }
    }
    wrong
}
