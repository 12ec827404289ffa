//! Lists on disk: what is imported is fingerprinted as it is read, nothing plain is written, and who did it is audited.

use super::noted::{self, Unaudited};
use crate::config::Config;
use crate::policy::rules::Holds;
use crate::service::audit::{is_name, may_be_kept};
use crate::service::lists::fingerprinted;
use crate::store::audit::Action;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The head of a list's file.
const HEAD: [&str; 5] = ["value", "reason", "author", "added", "expires"];

/// Why a list was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It is not declared.
    #[error("no list `{0}` is declared; there are: {1}")]
    Unknown(String, String),
    /// A line has no such value. The text is not repeated.
    #[error("line {line}: not a {holds}; nothing was imported")]
    Value {
        /// Which line.
        line: u64,
        /// What the list holds.
        holds: &'static str,
    },
    /// Who it is cannot be kept.
    #[error(
        "the author is one name of at most 64 letters, digits and `-_.@+/`, without 11 digits in a row: it is kept"
    )]
    Author,
    /// Why it is cannot be kept.
    #[error(
        "the reason is a line of at most 200 characters without 11 digits in a row: it is kept"
    )]
    Reason,
    /// What a line tells beside its value cannot be kept.
    #[error(
        "line {0}: what is told beside the value is a line of at most 200 characters without 11 digits in a row: it is kept; nothing was imported"
    )]
    Beside(u64),
    /// The audit.
    #[error(transparent)]
    Unaudited(#[from] Unaudited),
    /// The head names no values.
    #[error("the file's head names no column `value`")]
    Head,
    /// Not CSV.
    #[error("not CSV")]
    Csv,
    /// A file.
    #[error("`{}`: {source}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Entries that were not there.
    pub new: usize,
    /// Entries that were there already; they are as they are imported now.
    pub known: usize,
    /// Whether it stands in the audit; where there is no `[store]` there is none.
    pub audited: bool,
}

/// The text of the list called `name`.
///
/// # Errors
/// [`ListError`].
pub fn export(config: &Config, dir: &Path, name: &str) -> Result<String, ListError> {
    kind(config, name)?;
    let file = place(dir, name);
    if !file.exists() {
        return Ok(format!("{}\n", HEAD.join(",")));
    }
    std::fs::read_to_string(&file).map_err(|source| ListError::File { file, source })
}

/// Adds the entries of `from` to the list called `name`, whole or not at all, and not without an entry in the audit.
///
/// # Errors
/// [`ListError`]: nothing was changed.
pub fn import(
    config: &Config,
    dir: &Path,
    name: &str,
    from: &Path,
    (author, reason): (&str, &str),
) -> Result<Imported, ListError> {
    let holds = kind(config, name)?;
    if !is_name(author) {
        return Err(ListError::Author);
    }
    if !may_be_kept(reason) {
        return Err(ListError::Reason);
    }
    let file = place(dir, name);
    let failed = |file: &Path| {
        let file = file.to_owned();
        move |source| ListError::File { file, source }
    };
    let mut entries = read(export(config, dir, name)?.as_bytes())?;
    let reading: Box<dyn Read> = if from == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(std::fs::File::open(from).map_err(failed(from))?)
    };
    let today = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut done = Imported::default();
    for (value, (line, told)) in read(reading)? {
        let kept = fingerprinted(&config.keys, holds, &value)
            .ok_or(ListError::Value { line, holds: holds.as_str() })?;
        if told.iter().any(|told| !told.is_empty() && !may_be_kept(told)) {
            return Err(ListError::Beside(line));
        }
        let [told_reason, told_author, added, expires] = told;
        let or =
            |told: String, default: &str| if told.is_empty() { default.to_owned() } else { told };
        let row = [or(told_reason, reason), or(told_author, author), or(added, &today), expires];
        let is_known = kept.first().is_some_and(|current| entries.contains_key(current));
        let count = if is_known { &mut done.known } else { &mut done.new };
        *count = count.saturating_add(1);
        entries.extend(kept.into_iter().map(|kept| (kept, (line, row.clone()))));
    }
    let folder = file.parent().unwrap_or(dir);
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let beside = file.with_extension("csv.new");
    write(&beside, &entries)?;
    let (list, reason) = (name.to_owned(), reason.to_owned());
    let action = Action::ImportListFile { list, new: done.new, known: done.known, reason };
    done.audited = noted::note(config, author, action).inspect_err(|_| {
        // It is written anew the next time.
        let _ = std::fs::remove_file(&beside);
    })?;
    // Whoever reads the list reads the old one or the new.
    std::fs::rename(&beside, &file).map_err(failed(&file))?;
    Ok(done)
}

fn write(to: &Path, entries: &Entries) -> Result<(), ListError> {
    let mut writer = csv::Writer::from_path(to).map_err(|_| ListError::Csv)?;
    writer.write_record(HEAD).map_err(|_| ListError::Csv)?;
    for (value, (_, row)) in entries {
        let row = row.iter().map(String::as_str);
        let row = std::iter::once(value.as_str()).chain(row);
        writer.write_record(row).map_err(|_| ListError::Csv)?;
    }
    writer.flush().map_err(|source| ListError::File { file: to.to_owned(), source })
}

fn kind(config: &Config, name: &str) -> Result<Holds, ListError> {
    let lists = &config.rules.lists;
    lists.get(name).map(|list| list.holds).ok_or_else(|| {
        let known: Vec<_> = lists.keys().cloned().collect();
        ListError::Unknown(name.to_owned(), known.join(", "))
    })
}

fn place(dir: &Path, name: &str) -> PathBuf {
    dir.join("rules/lists").join(format!("{name}.csv"))
}

/// Entries by value, with the line and what else is told of each.
type Entries = BTreeMap<String, (u64, [String; 4])>;

fn read(from: impl Read) -> Result<Entries, ListError> {
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(from);
    let head = reader.headers().map_err(|_| ListError::Csv)?.clone();
    let column = |name: &str| {
        // Spreadsheets begin their files with a mark.
        head.iter().position(|it| it.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name))
    };
    let [value, rest @ ..] = HEAD.map(column);
    let value = value.ok_or(ListError::Head)?;
    let mut entries = Entries::new();
    for record in reader.records() {
        let record = record.map_err(|_| ListError::Csv)?;
        let line = record.position().map_or(0, csv::Position::line);
        let at = |column: usize| record.get(column).unwrap_or_default().to_owned();
        let told = rest.map(|column| column.map(at).unwrap_or_default());
        entries.insert(at(value), (line, told));
    }
    Ok(entries)
}
