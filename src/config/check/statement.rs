//! From `[[statement]]` to how the files of a channel's statement are read, and from `precedence` to whose word counts.

use super::channel::Maps;
use crate::config::file::channel::ChannelFile;
use crate::config::file::statement::{LineFile, StatementFile};
use crate::config::problem::suggest;
use crate::config::read::{At, Sheet};
use crate::domain::outcome::{Arrival, Decline, Outcome, Precedence};
use crate::message::statement::{Column, Layout, LineRule, Says, Statement};
use std::collections::BTreeMap;
use std::ops::Range;

/// Whose word counts where arrivals disagree.
pub(crate) fn precedence(sheet: &mut Sheet, file: &ChannelFile) -> Precedence {
    let Some(At { span, value }) = &file.precedence else { return Precedence::default() };
    let words = value.iter().map(|word| word.0).collect::<Vec<Arrival>>();
    let order = <[Arrival; 4]>::try_from(words).ok().and_then(Precedence::new);
    order.unwrap_or_else(|| {
        let hint = "name each of statement, query, notify and sync once, the weightiest first";
        sheet.problem(span, "not an order of all four arrivals", hint);
        Precedence::default()
    })
}

/// Checks a channel's statements.
pub(crate) fn check(sheet: &mut Sheet, file: &ChannelFile, maps: &Maps<'_>) -> Vec<Statement> {
    file.statement.iter().filter_map(|at| read(sheet, at, maps)).collect()
}

fn read(sheet: &mut Sheet, at: &At<StatementFile>, maps: &Maps<'_>) -> Option<Statement> {
    let (span, file) = (&at.span, &at.value);
    let hint = "say what the names of its files match, such as `file = \"^ZM_\"`";
    let name = sheet.need(file.file.as_ref(), span, "file", hint);
    let layout = layout(sheet, span, file);
    let most = match &layout {
        Some(Layout::Fixed { widths, .. }) => Some(widths.len()),
        Some(Layout::Separated { .. }) | None => None,
    };
    let mut columns = BTreeMap::new();
    for (name, number) in &file.columns {
        let at = number.value.checked_sub(1);
        let within = at.is_some_and(|at| most.is_none_or(|most| at < most));
        if !within {
            let hint = "columns are counted from 1, and there are as many as `widths`";
            sheet.problem(&number.span, format!("there is no column {}", number.value), hint);
        }
        let lacks_year = file.lacks_year.iter().any(|lacks| lacks.value == *name);
        columns.insert(name.clone(), Column { at: at.unwrap_or_default(), lacks_year });
    }
    let known = Columns(&columns);
    for lacks in &file.lacks_year {
        known.name(sheet, lacks);
    }
    if file.line.is_empty() {
        let hint = "say what its lines tell in `[[statement.line]]`";
        sheet.problem(span, "a statement that tells nothing", hint);
    }
    let lines = file.line.iter().map(|line| read_line(sheet, line, &known, maps)).collect();
    Some(Statement {
        file: name?.value.0.clone(),
        layout: layout?,
        charset: file.charset.as_ref().map_or(encoding_rs::UTF_8, |label| label.0.0),
        head: file.head.unwrap_or_default(),
        ignored: file.ignored.as_ref().map(|it| it.value.0.clone()),
        lines,
        columns,
    })
}

fn layout(sheet: &mut Sheet, span: &Range<usize>, file: &StatementFile) -> Option<Layout> {
    let hint = "say either `widths`, for columns of a fixed width, or `separator`";
    match (&file.widths, &file.separator) {
        (Some(widths), None) => {
            if let Some(quoted) = &file.quoted {
                sheet.problem(&quoted.span, "columns of a fixed width are not quoted", hint);
            }
            let gap = file.gap.as_ref().map(|gap| gap.value.clone()).unwrap_or_default();
            Some(Layout::Fixed { widths: widths.value.clone(), gap })
        }
        (None, Some(separator)) => {
            if let Some(gap) = &file.gap {
                sheet.problem(&gap.span, "a `gap` beside a separator", hint);
            }
            let mut chars = separator.value.chars();
            let (by, rest) = (chars.next(), chars.next());
            let quoted = file.quoted.as_ref().is_some_and(|quoted| quoted.value);
            let only = by.filter(|by| rest.is_none() && !(quoted && *by == '"'));
            if only.is_none() {
                let hint = "it is one character, such as `|` or a tab";
                sheet.problem(&separator.span, "not a separator", hint);
            }
            Some(Layout::Separated { by: only?, quoted })
        }
        (Some(_), Some(separator)) => {
            sheet.problem(&separator.span, "both `widths` and `separator`", hint);
            None
        }
        (None, None) => {
            sheet.problem(span, "nothing says how its lines are cut", hint);
            None
        }
    }
}

/// The columns that may be named.
struct Columns<'a>(&'a BTreeMap<String, Column>);

impl Columns<'_> {
    fn name(&self, sheet: &mut Sheet, at: &At<String>) -> String {
        if !self.0.contains_key(&at.value) {
            let hint = suggest(&at.value, self.0.keys().map(String::as_str));
            sheet.problem(&at.span, format!("no column `{}`", at.value), hint);
        }
        at.value.clone()
    }
}

fn read_line(
    sheet: &mut Sheet,
    at: &At<LineFile>,
    columns: &Columns<'_>,
    maps: &Maps<'_>,
) -> LineRule {
    let (span, file) = (&at.span, &at.value);
    for scenario in file.scenario.iter().filter(|it| !it.value.0.moves_money()) {
        let hint = "leave `outcome` and `code` out of what tells of no payment";
        let message = format!("no statement settles a `{}`", scenario.value.0.as_str());
        sheet.problem(&scenario.span, message, hint);
    }
    let says = says(sheet, span, file, columns, maps);
    if file.order.is_empty() && matches!(says, Says::This(_) | Says::Code { .. }) {
        let hint = "name the columns that name the order, as its message does";
        sheet.problem(span, "a line without an order", hint);
    }
    let amount = file.amount.as_ref().and_then(|at| {
        let hint = "such as `amount = { column = \"amount\", unit = \"fen\" }`";
        let column = sheet.need(at.value.column.as_ref(), &at.span, "column", hint);
        let unit = sheet.need(at.value.unit.as_ref(), &at.span, "unit", hint);
        Some((columns.name(sheet, column?), unit?.0))
    });
    LineRule {
        scenarios: file.scenario.iter().map(|scenario| scenario.value.0).collect(),
        when: file
            .when
            .iter()
            .map(|(name, values)| (columns.name(sheet, name), values.values()))
            .collect(),
        order: file.order.iter().map(|name| columns.name(sheet, name)).collect(),
        merchant: file.merchant.as_ref().map(|name| columns.name(sheet, name)),
        amount,
        says,
    }
}

fn says(
    sheet: &mut Sheet,
    span: &Range<usize>,
    file: &LineFile,
    columns: &Columns<'_>,
    maps: &Maps<'_>,
) -> Says {
    let hint =
        "say either `outcome`, or `code` and `map`; or neither, where it tells of no payment";
    let unjoined = file.unjoined.as_ref().is_some_and(|unjoined| unjoined.value);
    match (&file.outcome, &file.code, &file.map) {
        (None, None, None) if unjoined => Says::Unjoined,
        (None, None, None) => Says::Nothing,
        (Some(word), None, None) if !unjoined => {
            let outcome = match word.value.as_str() {
                "succeeded" => Some(Outcome::Succeeded),
                "reversed" => Some(Outcome::Reversed),
                word => Decline::from_word(word).map(Outcome::Declined),
            };
            if outcome.is_none() {
                let known = Decline::ALL.map(Decline::as_str);
                let hint = suggest(&word.value, ["succeeded", "reversed"].into_iter().chain(known));
                sheet.problem(&word.span, format!("no outcome `{}`", word.value), hint);
            }
            outcome.map_or(Says::Nothing, Says::This)
        }
        (None, Some(code), Some(map)) if !unjoined => {
            let column = columns.name(sheet, code);
            Says::Code { column, map: maps.name(sheet, map) }
        }
        (Some(_), ..) | (None, Some(_), _) | (None, None, Some(_)) => {
            sheet.problem(span, "what it says is told in two ways, or in half of one", hint);
            Says::Nothing
        }
    }
}
