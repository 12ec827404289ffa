//! From `rules/*.toml` to a book of rules: compiled, their examples tried, their lists read.

use super::{banks, lists};
use crate::config::api::Managing;
use crate::config::file::rules::{
    ExampleFile, GivenFile, RuleFile, RulesFile, ScheduleFile, StateFile,
};
use crate::config::read::{At, Opened, Sheet};
use crate::domain::clock::Timestamp;
use crate::policy::rules::attribute::Kind;
use crate::policy::rules::{
    Attribute, Book, Defect, Draft, Flaw, Given, Input, List, Mistake, Names, Rule, RuleId, Rules,
    Schedule, State, Value,
};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Checks all files of rules. What is wrong in one hides nothing of another. `known` are lists of other files; the rules of the
/// last file are only tried, where `trial` says as which version: lists and banks that are in force stay as they are.
pub(crate) fn check(
    files: &mut [Opened<RulesFile>],
    managing: &Managing,
    known: BTreeMap<String, List>,
    trial: Option<u64>,
) -> Book {
    let binding = files.len().saturating_sub(usize::from(trial.is_some()));
    let (binding, tried_only) = files.split_at_mut(binding);
    let (mut lists, none) = (known, BTreeMap::new());
    lists.extend(lists::read(&managing.dir, binding, &none));
    lists.extend(lists::read(&managing.dir, tried_only, &lists));
    let mut banks = banks::read(binding, &BTreeMap::new());
    banks.extend(banks::read(tried_only, &banks));
    let holds = lists.iter().map(|(name, list)| (name.clone(), list.holds)).collect();
    let Managing { channels, providers, .. } = managing.clone();
    let bank_names = banks.values().map(ToString::to_string).collect();
    let names = Names { channels, providers, banks: bank_names, lists: holds };
    let last = files.len().saturating_sub(1);
    let (mut drafts, mut places) = (Vec::new(), Vec::new());
    let mut hash = Sha256::new();
    for (at, opened) in files.iter_mut().enumerate() {
        hash.update(opened.sheet.text().as_bytes());
        for (number, rule) in opened.file.rule.iter().enumerate() {
            let draft = draft(&mut opened.sheet, rule);
            let draft = match trial.filter(|_| at == last) {
                Some(version) => draft.and_then(|draft| tried(&mut opened.sheet, draft, version)),
                None => draft,
            };
            if let Some(draft) = draft {
                drafts.push(draft);
                places.push((at, number));
            }
        }
    }
    let version: String = hash.finalize().iter().take(6).fold(String::new(), |mut text, byte| {
        // Writing into a string does not fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    });
    match Rules::compile(drafts, &names, &version) {
        Ok(rules) => {
            for (rule, (at, number)) in rules.rules().iter().zip(places) {
                let Some(Opened { sheet, file, .. }) = files.get_mut(at) else { continue };
                for example in file.rule.get(number).into_iter().flat_map(|it| &it.value.example) {
                    try_example(sheet, rule, rules.inputs(), example);
                }
            }
            Book { rules, lists, banks }
        }
        Err(defects) => {
            for Defect { rule, flaw } in defects {
                let place = places.get(rule).copied();
                let opened = place.and_then(|(at, number)| Some((files.get_mut(at)?, number)));
                let Some((Opened { sheet, file, .. }, number)) = opened else { continue };
                if let Some(rule) = file.rule.get(number) {
                    report(sheet, &rule.value, flaw);
                }
            }
            Book::default()
        }
    }
}

fn draft(sheet: &mut Sheet, at: &At<RuleFile>) -> Option<Draft> {
    let file = &at.value;
    let hint = "a rule needs `id`, `action`, `when` and `owner`";
    let id = sheet.need(file.id.as_ref(), &at.span, "id", hint);
    let action = sheet.need(file.action.as_ref(), &at.span, "action", hint);
    let when = sheet.need(file.when.as_ref(), &at.span, "when", hint);
    let owner = sheet.need(file.owner.as_ref(), &at.span, "owner", hint);
    let schedule = file.schedule.as_ref().map(|schedule| self::schedule(sheet, schedule));
    if let Some(reason) = &file.reason {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !(1..=64).contains(&reason.value.len()) || !reason.value.bytes().all(fits) {
            let hint = "1 to 64 lower-case letters, digits and `_`: cores map it";
            sheet.problem(&reason.span, "not a reason", hint);
        }
    }
    let state = match &file.state {
        None | Some(StateFile::Draft) => State::Draft,
        Some(StateFile::Shadow) => State::Shadow,
        Some(StateFile::Canary(percent)) => {
            if !(1..=99).contains(&percent.value) {
                let hint =
                    "between 1 and 99; for all orders write `\"live\"`, for none `\"shadow\"`";
                sheet.problem(&percent.span, "not a percentage of orders", hint);
            }
            State::Canary(percent.value)
        }
        Some(StateFile::Live) => State::Live,
        Some(StateFile::Retired) => State::Retired,
    };
    let id = &id?.value.0;
    Some(Draft {
        id: id.clone(),
        name: file.name.as_deref().unwrap_or(id.as_str()).into(),
        action: action?.value.0,
        state,
        reason: file.reason.as_ref().map_or(id.as_str(), |reason| &reason.value).into(),
        owner: owner?.value.as_str().into(),
        schedule: schedule.flatten(),
        expires: file.expires.as_ref().map(|expires| expires.value.0),
        on_error: file.on_error.as_ref().map(|on_error| on_error.0).unwrap_or_default(),
        source: when?.value.as_str().into(),
        trial: false,
    })
}

/// A rule that is tried beside what is in force: it has a name of its own there, and binds nothing.
fn tried(sheet: &mut Sheet, draft: Draft, version: u64) -> Option<Draft> {
    let Some(id) = RuleId::parse(&format!("{}-v{version}", draft.id)) else {
        let hint = "while it is tried its name ends in its version: leave room for that";
        sheet.problem(&(0..0), format!("the name of rule {} is too long", draft.id), hint);
        return None;
    };
    let state = if draft.state.is_evaluated() { State::Shadow } else { draft.state };
    Some(Draft { id, state, trial: true, ..draft })
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn schedule(sheet: &mut Sheet, at: &At<ScheduleFile>) -> Option<Schedule> {
    let mut minute = |time: Option<&At<String>>, default: i64| {
        let Some(time) = time else { return Some(default) };
        let read = time.value.split_once(':').and_then(|(hour, minute)| {
            let two = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
            let (plain, hour) = (two(hour) && two(minute), hour.parse::<i64>().ok()?);
            let minute = minute.parse::<i64>().ok()?;
            let at = hour.checked_mul(60)?.checked_add(minute)?;
            (plain && minute < 60 && at <= 1440).then_some(at)
        });
        if read.is_none() {
            sheet.problem(&time.span, "not a time of the day", "write it as `08:30`");
        }
        read
    };
    let from = minute(at.value.from.as_ref(), 0);
    let to = minute(at.value.to.as_ref(), 1440);
    let mut days = [at.value.days.is_none(); 7];
    for day in at.value.days.iter().flatten() {
        match days.iter_mut().zip(DAYS).find(|(_, word)| *word == day.value) {
            Some((on, _)) => *on = true,
            None => sheet.problem(&day.span, "not a day", format!("write {}", DAYS.join(", "))),
        }
    }
    let (from, to) = (from?, to?);
    if from == to {
        sheet.problem(&at.span, "`from` and `to` are the same time", "leave both out for all day");
    }
    Some(Schedule { days, from, to })
}

fn report(sheet: &mut Sheet, file: &RuleFile, flaw: Flaw) {
    let (id, when) = (file.id.as_ref(), file.when.as_ref());
    let name = id.map_or(0..0, |id| id.span.clone());
    let whole = when.map_or(0..0, |when| when.span.clone());
    match flaw {
        Flaw::Condition(Mistake { span, what }) => {
            let raw = sheet.text().get(whole.clone()).unwrap_or_default();
            let (from, to) = (within(raw, span.start), within(raw, span.end));
            let span = whole.start.saturating_add(from)..whole.start.saturating_add(to);
            let (en, zh) = (what.en(), what.zh());
            let hint = format!("{}\n{}\n{}", en.hint, zh.message, zh.hint);
            sheet.problem(&span, en.message, hint);
        }
        Flaw::SameId => {
            let hint = "each rule has a name of its own: figures are kept by it";
            sheet.problem(&name, "two rules have this name", hint);
        }
        Flaw::SameAs(other) => {
            let message = format!("rule {other} says the same");
            sheet.problem(&whole, message, "remove one of them, or set it to `\"retired\"`");
        }
        Flaw::TooManyRules => sheet.problem(&name, "too many rules", "remove what is retired"),
        Flaw::TooManyInputs => {
            let hint = "each is looked up for every payment: use fewer lists and windows";
            sheet.problem(&whole, "the set needs too much to be looked up", hint);
        }
    }
}

/// Where the byte `at` of a string's value stands in the string as it is written in TOML.
fn within(raw: &str, at: usize) -> usize {
    let long = raw.starts_with("'''") || raw.starts_with("\"\"\"");
    let quotes = if long { 3 } else { 1 };
    let content = raw.get(quotes..).unwrap_or_default();
    let line_end = if content.starts_with("\r\n") { 2 } else { 1 };
    let skipped = if long && content.starts_with(['\r', '\n']) { line_end } else { 0 };
    let begin = quotes.saturating_add(skipped);
    if raw.starts_with('\'') {
        return begin.saturating_add(at).min(raw.len());
    }
    let (mut place, mut value) = (begin, 0_usize);
    while let Some(rest) = raw.get(place..).filter(|rest| !rest.is_empty()) {
        let (written, meant) = escape(rest);
        // Before the place there may be a line that goes on, which means nothing.
        if value >= at && meant > 0 {
            break;
        }
        place = place.saturating_add(written.max(1));
        value = value.saturating_add(meant);
    }
    place.min(raw.len())
}

/// How many bytes the first character of a basic string takes as it is written, and as it is meant.
fn escape(rest: &str) -> (usize, usize) {
    let mut letters = rest.chars();
    let first = letters.next().map_or(1, char::len_utf8);
    if !rest.starts_with('\\') {
        return (first, first);
    }
    let hex = |digits: usize| {
        let code = rest.get(2..digits.saturating_add(2));
        let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
        let meant = code.and_then(char::from_u32).map_or(1, char::len_utf8);
        (digits.saturating_add(2), meant)
    };
    match letters.next() {
        Some('u') => hex(4),
        Some('U') => hex(8),
        Some('x') => hex(2),
        Some(blank) if blank.is_whitespace() => {
            let after = rest.get(1..).unwrap_or_default();
            (rest.len().saturating_sub(after.trim_start().len()), 0)
        }
        Some(_) | None => (2, 1),
    }
}

/// Tries an example: what the rule needs and the example does not give is a mistake, as is another result.
fn try_example(sheet: &mut Sheet, rule: &Rule, inputs: &[Input], at: &At<ExampleFile>) {
    let hint = "say whether the rule must hit it: `hits = true` or `hits = false`";
    let Some(hits) = sheet.need(at.value.hits, &at.span, "hits", hint) else { return };
    let mut given = Given::new(Timestamp::default());
    for attribute in [Attribute::Minute, Attribute::Hour, Attribute::Weekday] {
        given.set(attribute, Value::Absent);
    }
    let mut looked_up: Vec<Option<i64>> = vec![None; inputs.len()];
    for (name, value) in &at.value.given {
        let attribute = Attribute::from_name(&name.value);
        let input = inputs.iter().position(|input| input.to_string() == name.value);
        let slot = input.and_then(|input| looked_up.get_mut(input));
        let fits = match (attribute.map(|attribute| attribute.about().kind), slot, value) {
            (Some(Kind::Flag), _, GivenFile::Flag(flag)) => Some(Value::Flag(*flag)),
            (Some(Kind::Number(low, high)), _, GivenFile::Number(number)) => {
                Some(Value::Number(*number)).filter(|_| (low..=high).contains(number))
            }
            (Some(Kind::Text(words)), _, GivenFile::Text(text)) => {
                let known = words.is_empty() || words.contains(&text.as_str());
                Some(Value::Text(text)).filter(|_| known)
            }
            (Some(Kind::Print), _, GivenFile::Flag(true)) => Some(Value::Present),
            (None, Some(slot), GivenFile::Flag(flag)) => {
                *slot = Some(i64::from(*flag));
                continue;
            }
            (None, Some(slot), GivenFile::Number(number)) => {
                *slot = Some(*number);
                continue;
            }
            (Some(_), _, _) | (None, None, _) | (None, Some(_), GivenFile::Text(_)) => None,
        };
        match (attribute, fits) {
            (Some(attribute), Some(value)) => given.set(attribute, value),
            (attribute, _) => {
                let message = match attribute {
                    Some(attribute) => format!("not a value of `{attribute}`"),
                    None => format!("nothing that is given is called `{}`", name.value),
                };
                let mut known: Vec<String> = inputs.iter().map(Input::to_string).collect();
                known.extend(Attribute::ALL.into_iter().map(|it| it.name().to_owned()));
                sheet.problem(&name.span, message, format!("there are {}", known.join(", ")));
                return;
            }
        }
    }
    let given = given.with(&looked_up);
    let came = rule.holds(&given);
    if came == Ok(hits) {
        return;
    }
    let mut hint = String::from("each condition came to:");
    for part in rule.explain(&given, inputs) {
        let saw: Vec<_> =
            part.saw.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let _infallible = write!(hint, "\n{} → {}  ({})", part.text, part.came, saw.join(", "));
    }
    let message = match came {
        Ok(true) => format!("rule {} hits this example, and must not", rule.id),
        Ok(false) => format!("rule {} does not hit this example, and must", rule.id),
        Err(_) => format!("rule {} needs more than this example gives", rule.id),
    };
    sheet.problem(&at.span, message, hint);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_condition_is_found_in_the_file() {
        let check = |raw: &str, of: &str, expected: &str| {
            let table: toml::Table = toml::from_str(&format!("when = {raw}")).unwrap();
            let value = table["when"].as_str().unwrap();
            let at = value.find(of).unwrap();
            let span = within(raw, at)..within(raw, at + of.len());
            assert_eq!(raw.get(span).unwrap(), expected, "{raw}");
        };
        check("'a == b'", "b", "b");
        check("'''\n  a ==\n  b'''", "b", "b");
        check("\"a == \\\"中文\\\" && b\"", "b", "b");
        check("\"a == \\\"中文\\\" && b\"", "\"中文\"", "\\\"中文\\\"");
        check("\"\\u4e2d \\U0001F600 b\"", "b", "b");
        check("\"\"\"\na \\\n   b\"\"\"", "b", "b");
    }
}
