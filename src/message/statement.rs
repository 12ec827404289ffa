//! A channel's statement: files of lines that say in the end how payments stand. Read line by line, as the profile has it.

use crate::domain::id::{MerchantId, OrderId};
use crate::domain::money::{Fen, Unit};
use crate::domain::outcome::Outcome;
use crate::domain::payment::Scenario;
use crate::message::charset::decode;
use crate::message::codes::CodeMap;
use encoding_rs::Encoding;
use jiff::civil::Date;
use regex::Regex;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// One kind of file in a channel's statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// What the names of such files match.
    pub file: Regex,
    /// How its lines are cut.
    pub layout: Layout,
    /// Its charset.
    pub charset: &'static Encoding,
    /// How many lines stand before the first payment.
    pub head: usize,
    /// Lines that are no payments, such as totals.
    pub ignored: Option<Regex>,
    /// Its columns, by name.
    pub columns: BTreeMap<String, Column>,
    /// What its lines tell; the first that matches counts.
    pub lines: Vec<LineRule>,
}

/// How a line is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Columns of so many bytes, padded with blanks, with a text between them.
    Fixed {
        /// How many bytes each has.
        widths: Vec<usize>,
        /// What stands between them.
        gap: String,
    },
    /// Columns with a separator between them.
    Separated {
        /// The separator.
        by: char,
        /// Whether a column may stand in `"`, which then may hold the separator, and `""` for `"`.
        quoted: bool,
    },
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its number, from 0.
    pub at: usize,
    /// Whether it is a time that begins with the month, and is completed by the year that brings it nearest to the statement's day.
    pub lacks_year: bool,
}

/// What a line tells.
#[derive(Clone, Debug)]
pub struct LineRule {
    /// Which kinds of payment it tells of; any that moves money where empty.
    pub scenarios: Vec<Scenario>,
    /// Columns and the values that they must have.
    pub when: Vec<(String, Vec<String>)>,
    /// The columns that name the order, as its message does.
    pub order: Vec<String>,
    /// The column that names the core's merchant.
    pub merchant: Option<String>,
    /// The amount and its unit; leading zeros are padding. What failed may have none, or say that nothing came.
    pub amount: Option<(String, Unit)>,
    /// What it says of the payment.
    pub says: Says,
}

/// What a line says of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// Nothing: it is no payment of ours, or one that the core undid itself.
    Nothing,
    /// That something happened to a payment that it does not name by its order: a person joins it.
    Unjoined,
    /// That it stands there says it.
    This(Outcome),
    /// A column's code, by a code map.
    Code {
        /// The column.
        column: String,
        /// The code map, a key of the profile's.
        map: String,
    },
}

/// A line that tells of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which kinds of payment may be meant; any that moves money where empty.
    pub scenarios: Vec<Scenario>,
    /// The order.
    pub order: OrderId,
    /// The core's merchant.
    pub merchant: Option<MerchantId>,
    /// How much.
    pub amount: Option<Fen>,
    /// What it says.
    pub outcome: Outcome,
    /// The channel's code, where a code says it.
    pub code: Option<String>,
    /// The code map that does not know the code.
    pub unmapped_in: Option<String>,
}

/// What is wrong with a line; never a value of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// The charset.
    #[error("not in the statement's charset")]
    Charset,
    /// A column is missing.
    #[error("it ends before column `{0}`")]
    Short(String),
    /// Between columns stands something else.
    #[error("column `{0}` does not end where it should: is the layout another one?")]
    Gap(String),
    /// A quote.
    #[error("a quoted column does not end")]
    Quote,
    /// An order, a code or the like is empty.
    #[error("column `{0}` is empty")]
    Empty(String),
    /// The amount.
    #[error("column `{0}` is no amount in the profile's unit")]
    Amount(String),
    /// A time that is to be completed.
    #[error(
        "column `{0}` is no time that begins with a month and a day, or the statement's day is not told"
    )]
    Year(String),
    /// It is of some payment, and of no order.
    #[error("it names no order: a person joins it")]
    Unjoined,
    /// Nothing is said of such lines.
    #[error("no `[[statement.line]]` of the profile matches it")]
    Unlisted,
}

impl LineRule {
    /// Whether it tells of payments.
    pub fn tells(&self) -> bool {
        match self.says {
            Says::Nothing | Says::Unjoined => false,
            Says::This(_) | Says::Code { .. } => true,
        }
    }
}

impl Statement {
    /// What a line tells, without its end; nothing where it tells of no payment. `day` is the statement's.
    ///
    /// # Errors
    /// [`BadLine`].
    pub fn read(
        &self,
        codes: &BTreeMap<String, CodeMap>,
        line: &[u8],
        day: Option<Date>,
    ) -> Result<Option<Line>, BadLine> {
        let cells = self.cells(line)?;
        let Some(cells) = cells else { return Ok(None) };
        let cell = |name: &String| self.cell(&cells, name, day);
        for rule in &self.lines {
            let mut fits = true;
            for (name, values) in &rule.when {
                fits &= values.contains(&cell(name)?.into_owned());
            }
            if fits {
                return Self::told(codes, rule, cell);
            }
        }
        Err(BadLine::Unlisted)
    }

    fn told<'c>(
        codes: &BTreeMap<String, CodeMap>,
        rule: &LineRule,
        cell: impl Fn(&String) -> Result<Cow<'c, str>, BadLine>,
    ) -> Result<Option<Line>, BadLine> {
        let full = |name: &String| match cell(name)? {
            text if text.is_empty() => Err(BadLine::Empty(name.clone())),
            text => Ok(text),
        };
        let (outcome, code, map) = match &rule.says {
            Says::Nothing => return Ok(None),
            Says::Unjoined => return Err(BadLine::Unjoined),
            Says::This(outcome) => (*outcome, None, None),
            Says::Code { column, map } => {
                let code = full(column)?;
                let known = codes.get(map);
                let outcome = known.map_or(Outcome::Unmapped, |known| known.outcome(&code));
                (outcome, Some(super::outcome::shown(&code)), Some(map.clone()))
            }
        };
        let names = rule.order.iter().map(full).collect::<Result<Vec<_>, _>>()?;
        let merchant = rule.merchant.as_ref().map(full).transpose()?;
        let amount = |(name, unit): &(String, Unit)| {
            let text = cell(name)?;
            if text.is_empty() && !super::outcome::moved(outcome) {
                return Ok(None);
            }
            // Columns of a fixed width are padded with zeros; of `0`, one is left.
            let significant = text.trim_start_matches('0');
            let padded = significant.is_empty() || significant.starts_with('.');
            let text = if padded && text.starts_with('0') {
                format!("0{significant}").into()
            } else {
                Cow::Borrowed(significant)
            };
            let amount = Fen::parse(&text, *unit).map_err(|_| BadLine::Amount(name.clone()))?;
            Ok::<_, BadLine>(super::outcome::moving(amount, outcome))
        };
        Ok(Some(Line {
            scenarios: rule.scenarios.clone(),
            order: OrderId(names.join("|").into()),
            merchant: merchant.map(|merchant| MerchantId(merchant.as_ref().into())),
            amount: rule.amount.as_ref().map(amount).transpose()?.flatten(),
            outcome,
            code,
            unmapped_in: map.filter(|_| outcome == Outcome::Unmapped),
        }))
    }

    /// The columns of a line, as far as they go; nothing where the line is no payment.
    fn cells<'l>(&self, line: &'l [u8]) -> Result<Option<Cells<'l>>, BadLine> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let Layout::Separated { by, quoted } = &self.layout else {
            // Cut before it is decoded: its widths are bytes.
            if let Some(ignored) = &self.ignored
                && ignored.is_match(&decode(self.charset, line).ok_or(BadLine::Charset)?)
            {
                return Ok(None);
            }
            return Ok(Some(Cells::Fixed(line)));
        };
        let text = decode(self.charset, line).ok_or(BadLine::Charset)?;
        if self.ignored.as_ref().is_some_and(|ignored| ignored.is_match(&text)) {
            return Ok(None);
        }
        cut(&text, *by, *quoted).map(|cells| Some(Cells::Separated(cells)))
    }

    fn cell<'c>(
        &self,
        cells: &'c Cells<'_>,
        name: &str,
        day: Option<Date>,
    ) -> Result<Cow<'c, str>, BadLine> {
        let short = || BadLine::Short(name.to_owned());
        let column = self.columns.get(name).ok_or_else(short)?;
        let text = match cells {
            Cells::Separated(cells) => {
                Cow::Borrowed(cells.get(column.at).ok_or_else(short)?.trim())
            }
            Cells::Fixed(line) => self.fixed(line, column.at, name)?,
        };
        if !column.lacks_year || text.is_empty() {
            return Ok(text);
        }
        let year = day.and_then(|day| nearest_year(&text, day));
        let year = year.ok_or_else(|| BadLine::Year(name.to_owned()))?;
        Ok(format!("{year:04}{text}").into())
    }

    /// One column of a line with columns of a fixed width.
    fn fixed<'l>(&self, line: &'l [u8], at: usize, name: &str) -> Result<Cow<'l, str>, BadLine> {
        let Layout::Fixed { widths, gap } = &self.layout else { return Err(BadLine::Quote) };
        let before = widths.iter().take(at).map(|width| width.saturating_add(gap.len()));
        let begin = before.fold(0_usize, usize::saturating_add);
        let short = || BadLine::Short(name.to_owned());
        let width = *widths.get(at).ok_or_else(short)?;
        let end = begin.saturating_add(width);
        let bytes = line.get(begin..end).ok_or_else(short)?;
        let gap = gap.as_bytes();
        let apart = |begin: usize| line.get(begin..begin.saturating_add(gap.len())) == Some(gap);
        let starts = at == 0 || apart(begin.saturating_sub(gap.len()));
        if !starts || (end < line.len() && !apart(end)) {
            return Err(BadLine::Gap(name.to_owned()));
        }
        let text = decode(self.charset, bytes).ok_or(BadLine::Charset)?;
        Ok(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        })
    }
}

/// The columns of a line.
enum Cells<'l> {
    Fixed(&'l [u8]),
    Separated(Vec<String>),
}

/// Cuts a line at its separators.
fn cut(line: &str, by: char, quoted: bool) -> Result<Vec<String>, BadLine> {
    if !quoted {
        return Ok(line.split(by).map(str::to_owned).collect());
    }
    let (mut cells, mut cell, mut within) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if within && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' if within => within = false,
            '"' if cell.trim().is_empty() => {
                cell.clear();
                within = true;
            }
            c if c == by && !within => cells.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    if within {
        return Err(BadLine::Quote);
    }
    cells.push(cell);
    Ok(cells)
}

/// The year that brings a time of the form `MMDD…` nearest to `day`.
fn nearest_year(text: &str, day: Date) -> Option<i16> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (month, rest) = text.split_at_checked(2)?;
    let (month, date) = (month.parse().ok()?, rest.get(..2)?.parse().ok()?);
    let years = [day.year().checked_sub(1)?, day.year(), day.year().checked_add(1)?];
    let dates = years.into_iter().filter_map(|year| Date::new(year, month, date).ok());
    let apart = |date: &Date| (*date - day).get_days().unsigned_abs();
    dates.min_by_key(apart).map(Date::year)
}

#[cfg(test)]
mod tests;
