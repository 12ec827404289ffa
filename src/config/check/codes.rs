//! From a file of code maps to code maps.

use crate::config::file::codes::{CodesFile, MapFile, SuspectsFile, TextFile};
use crate::config::problem::suggest;
use crate::config::read::{At, Opened, Sheet};
use crate::domain::element::ElementSet;
use crate::domain::outcome::{Decline, Outcome, Suspects};
use crate::message::codes::{CodeMap, TextRule};
use std::collections::{BTreeMap, BTreeSet};

/// The code maps of one file.
#[derive(Debug, Default)]
pub(crate) struct Codes {
    /// By name.
    pub(crate) maps: BTreeMap<String, CodeMap>,
}

pub(crate) fn check(opened: &mut Opened<CodesFile>) -> Codes {
    let Opened { sheet, file: CodesFile(file), .. } = opened;
    let mut own: BTreeMap<&str, CodeMap> = BTreeMap::new();
    for (name, map) in &*file {
        own.insert(&name.value, own_codes(sheet, &name.value, &map.value));
    }
    let mut maps = BTreeMap::new();
    for name in file.keys() {
        maps.insert(name.value.clone(), with_likes(sheet, file, &own, name));
    }
    Codes { maps }
}

/// A map with what it takes over from the map that it is like, and so on.
fn with_likes(
    sheet: &mut Sheet,
    file: &BTreeMap<At<String>, At<MapFile>>,
    own: &BTreeMap<&str, CodeMap>,
    name: &At<String>,
) -> CodeMap {
    let mut whole = own.get(name.value.as_str()).cloned().unwrap_or_default();
    let mut seen = BTreeSet::from([name.value.as_str()]);
    let mut like = file.get(name).and_then(|map| map.value.like.as_ref());
    while let Some(other) = like {
        let Some(map) = file.get(other) else {
            // Told once, by the map that says so.
            if seen.len() == 1 {
                let hint = suggest(&other.value, file.keys().map(|key| key.value.as_str()));
                sheet.problem(
                    &other.span,
                    format!("no code map `{}` in this file", other.value),
                    hint,
                );
            }
            break;
        };
        if !seen.insert(&other.value) {
            if other.value == name.value {
                let hint = "let one of the maps in the circle list its codes itself";
                sheet.problem(&other.span, format!("`{}` is like itself", name.value), hint);
            }
            break;
        }
        if let Some(inherited) = own.get(other.value.as_str()) {
            for (code, outcome) in &inherited.codes {
                whole.codes.entry(code.clone()).or_insert(*outcome);
            }
            for (prefix, outcome) in &inherited.prefixes {
                whole.prefixes.entry(prefix.clone()).or_insert(*outcome);
            }
            whole.texts.extend(inherited.texts.iter().cloned());
            whole.not_processed_after = whole.not_processed_after.or(inherited.not_processed_after);
        }
        like = map.value.like.as_ref();
    }
    whole
}

fn own_codes(sheet: &mut Sheet, name: &str, file: &MapFile) -> CodeMap {
    let mut codes: Vec<(&At<String>, Outcome)> = Vec::new();
    for (list, outcome) in [
        (&file.accepted, Outcome::Accepted),
        (&file.succeeded, Outcome::Succeeded),
        (&file.unknown, Outcome::Unknown),
        (&file.reversed, Outcome::Reversed),
    ] {
        codes.extend(list.iter().map(|code| (code, outcome)));
    }
    for (code, suspects) in &file.no_match {
        if let Some(suspects) = read_suspects(sheet, suspects) {
            codes.push((code, Outcome::NoMatch(suspects)));
        }
    }
    codes.extend(file.declined.iter().map(|(code, decline)| (code, Outcome::Declined(decline.0))));
    if let Some(told) = &file.not_processed {
        let hint = "too early such a code means \"not yet\": say from when on it is believed, such as `after = \"15m\"`";
        sheet.need(told.value.after.as_ref(), &told.span, "after", hint);
        let outcome = Outcome::Declined(Decline::NotProcessed);
        codes.extend(told.value.codes.iter().map(|code| (code, outcome)));
    }
    codes.sort_by_key(|(code, _)| code.span.start);
    let mut map = CodeMap::default();
    for (code, outcome) in codes {
        let (codes, written) = match code.value.strip_suffix('*') {
            Some(prefix) => (&mut map.prefixes, prefix),
            None => (&mut map.codes, code.value.as_str()),
        };
        if written.is_empty() || written.contains('*') {
            let hint =
                "write a code, or how codes begin with one `*` at the end, such as `\"20*\"`";
            sheet.problem(&code.span, format!("`{}` is no code", code.value), hint);
        }
        if codes.insert(written.to_owned(), outcome).is_some() {
            let hint = "a code means one thing in one map: delete it here or there";
            sheet.problem(
                &code.span,
                format!("code `{}` stands twice in `{name}`", code.value),
                hint,
            );
        }
    }
    let told = file.not_processed.as_ref().and_then(|told| told.value.after.as_ref());
    map.not_processed_after = told.map(|after| after.0);
    map.texts = file.text.iter().filter_map(|rule| read_text(sheet, rule)).collect();
    map
}

fn read_text(sheet: &mut Sheet, rule: &At<TextFile>) -> Option<TextRule> {
    let file = &rule.value;
    let field =
        sheet.need(file.field.as_ref(), &rule.span, "field", "name the field with the words");
    let matches =
        sheet.need(file.matches.as_ref(), &rule.span, "matches", "write a regular expression");
    let outcome = match (&file.no_match, &file.declined) {
        (Some(suspects), None) => read_suspects(sheet, suspects).map(Outcome::NoMatch),
        (None, Some(decline)) => Some(Outcome::Declined(decline.0)),
        (None, None) | (Some(_), Some(_)) => {
            let hint = "say what the words mean by `no_match` or by `declined`";
            sheet.problem(&rule.span, "exactly one of `no_match` and `declined` is needed", hint);
            None
        }
    };
    Some(TextRule { field: field?.0.clone(), matches: matches?.0.clone(), outcome: outcome? })
}

fn read_suspects(sheet: &mut Sheet, suspects: &At<SuspectsFile>) -> Option<Suspects> {
    let (list, least) = match &suspects.value {
        SuspectsFile::Named(list) => (list, 1),
        SuspectsFile::OneOf(one_of) => (&one_of.one_of, 2),
    };
    let set: ElementSet = list.iter().map(|element| element.0).collect();
    if set.iter().count() < least {
        let hint = "name the element as `[\"phone\"]`, or at least two that it may be as `{ one_of = [\"name\", \"phone\"] }`";
        sheet.problem(&suspects.span, "a `no_match` needs its suspects", hint);
        return None;
    }
    Some(match &suspects.value {
        SuspectsFile::Named(_) => Suspects::Named(set),
        SuspectsFile::OneOf(_) => Suspects::OneOf(set),
    })
}
