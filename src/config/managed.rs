//! Rules that come through the admin API, beside those of the files.

use super::Config;
use super::file::rules::RulesFile;
use super::problem::Problems;
use super::read::{Opened, Sheet};
use crate::policy::rules::Book;

/// The texts that come through the API, each with its version's number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Added<'a> {
    /// What is in force.
    pub live: Option<(u64, &'a str)>,
    /// What is tried beside it, and binds nothing.
    pub trial: Option<(u64, &'a str)>,
}

/// The book of the files' rules and of `added`: one set, in which no name stands twice.
///
/// # Errors
/// Every problem. Texts that come through the API are called `version N`.
pub fn book(config: &Config, added: Added<'_>) -> Result<Book, Problems> {
    let mut files: Vec<_> = config.managing.files.iter().map(file).collect();
    for Opened { file, .. } in &mut files {
        // What stands in their lists was read already.
        file.list.clear();
    }
    let come = added.live.into_iter().chain(added.trial);
    let come = come.map(|(number, text)| (format!("version {number}"), text.to_owned()));
    files.extend(come.map(|named| file(&named)));
    let (lists, trial) = (config.rules.lists.clone(), added.trial.map(|(number, _)| number));
    let mut book = super::check::rules::check(&mut files, &config.managing, lists, trial);
    let sheets = files.into_iter().map(|opened| opened.sheet);
    let problems = Problems::new(sheets.flat_map(Sheet::into_problems).collect());
    if !problems.is_empty() {
        return Err(problems);
    }
    book.rules.trial = trial;
    if let Some((number, _)) = added.live {
        book.rules.version = format!("{number}-{}", book.rules.version).into();
    }
    Ok(book)
}

/// The book of one text alone, with the lists of the files.
///
/// # Errors
/// Every problem.
pub fn book_alone(config: &Config, name: &str, text: &str) -> Result<Book, Problems> {
    let mut files = [file(&(name.to_owned(), text.to_owned()))];
    let lists = config.rules.lists.clone();
    let book = super::check::rules::check(&mut files, &config.managing, lists, None);
    let [opened] = files;
    let problems = Problems::new(opened.sheet.into_problems());
    if problems.is_empty() { Ok(book) } else { Err(problems) }
}

fn file((name, text): &(String, String)) -> Opened<RulesFile> {
    Opened::read(name, text.clone())
}
