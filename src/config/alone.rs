//! One file of the configuration without the rest of it.

use super::api::Managing;
use super::check::channel::{self, Around};
use super::check::codes;
use super::file::channel::ChannelFile;
use super::file::codes::CodesFile;
use super::file::rules::RulesFile;
use super::problem::{Problems, suggest};
use super::read::{Opened, Sheet};
use super::settings::Config;
use super::table;
use crate::crypto::seal::OpeningKey;
use crate::message::codes::CodeMap;
use crate::message::profile::Profile;
use crate::policy::rules::Book;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Reads a file of code maps alone.
///
/// # Errors
/// Every problem of the text.
pub fn code_maps(text: &str) -> Result<BTreeMap<String, CodeMap>, Problems> {
    let mut opened = Opened::<CodesFile>::read("codes.toml", text.to_owned());
    let codes = codes::check(&mut opened);
    finish(codes.maps, [opened.sheet])
}

/// Reads the profile in `file` alone, with the code maps that it names: they are looked for in the folder `codes` beside its
/// own. `keys` are the PEM files of the public keys that open sealed content, under their names in the profile.
///
/// # Errors
/// Every problem of the profile, its code maps and its keys.
pub fn profile(file: &Path, keys: &BTreeMap<String, PathBuf>) -> Result<Profile, Problems> {
    let mut opened = Opened::<ChannelFile>::open(Path::new(""), &file.to_string_lossy());
    let mut maps = BTreeMap::new();
    let mut sheets = Vec::new();
    if let Some(named) = &opened.file.codes {
        let beside = file.parent().unwrap_or(Path::new("")).join("..");
        let name = format!("codes/{}.toml", named.value);
        if beside.join(&name).exists() {
            let mut opened = Opened::<CodesFile>::open(&beside, &name);
            maps.insert(opened.stem.clone(), codes::check(&mut opened));
            sheets.push(opened.sheet);
        }
    }
    let keys = open_keys(&mut opened, keys);
    let profile = channel::check(&mut opened, Around { codes: &maps, keys: &keys });
    finish(profile, sheets.into_iter().chain([opened.sheet]))?.ok_or(Problems::new(Vec::new()))
}

/// Reads the file of rules `file` alone, TOML or a decision table in CSV, for a configuration whose channels, providers and lists
/// it may name.
///
/// # Errors
/// Every problem of the file.
pub fn rules(config: &Config, dir: &Path, file: &Path) -> Result<Book, Problems> {
    let name = file.to_string_lossy();
    let mut opened = if file.extension().is_some_and(|extension| extension == "csv") {
        [Opened::<RulesFile>::read(&name, rules_of_table(file)?)]
    } else {
        [Opened::<RulesFile>::open(Path::new(""), &name)]
    };
    let managing = Managing { dir: dir.to_owned(), ..config.managing.clone() };
    let lists = config.rules.lists.clone();
    let book = super::check::rules::check(&mut opened, &managing, lists, None);
    let [opened] = opened;
    finish(book, [opened.sheet])
}

/// The rules of a decision table, as TOML.
///
/// # Errors
/// Every cell that is no condition.
pub fn rules_of_table(file: &Path) -> Result<String, Problems> {
    let mut sheet = Sheet::open(Path::new(""), &file.to_string_lossy());
    let text = table::rules(&mut sheet);
    finish(text, [sheet])
}

fn open_keys(
    opened: &mut Opened<ChannelFile>,
    files: &BTreeMap<String, PathBuf>,
) -> BTreeMap<String, OpeningKey> {
    let Opened { sheet, file, .. } = opened;
    let wanted = channel::key_names(file);
    let mut keys = BTreeMap::new();
    for (name, file) in files {
        if !wanted.contains(name.as_str()) {
            let hint = suggest(name, wanted.iter().copied());
            sheet.problem(&(0..0), format!("the profile has no key `{name}`"), hint);
        }
        let key = fs::read(file)
            .map_err(|error| error.to_string())
            .and_then(|pem| OpeningKey::from_pem(&pem).map_err(|error| error.to_string()));
        match key {
            Ok(key) => drop(keys.insert(name.clone(), key)),
            Err(error) => {
                let hint = "the public half of the key that seals opens what it sealed";
                sheet.problem(&(0..0), format!("{}: {error}", file.display()), hint);
            }
        }
    }
    keys
}

fn finish<T>(read: T, sheets: impl IntoIterator<Item = Sheet>) -> Result<T, Problems> {
    let problems = Problems::new(sheets.into_iter().flat_map(Sheet::into_problems).collect());
    if problems.is_empty() { Ok(read) } else { Err(problems) }
}
