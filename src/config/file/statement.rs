//! `[[statement]]` in `channels/*.toml`: how the files of a channel's statement are written.

use super::channel::OneOrMany;
use crate::config::read::At;
use crate::config::text::{Label, Text};
use crate::domain::money::Unit;
use crate::domain::payment::Scenario;
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `[[statement]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StatementFile {
    /// What the names of such files match, in a zip the names of its entries.
    #[schemars(required)]
    pub(crate) file: Option<At<Text<Regex>>>,
    /// Its charset; UTF-8 where absent.
    pub(crate) charset: Option<Text<Label>>,
    /// Columns of a fixed width: how many bytes each has.
    pub(crate) widths: Option<At<Vec<usize>>>,
    /// What stands between columns of a fixed width; nothing where absent.
    pub(crate) gap: Option<At<String>>,
    /// Or what separates columns: one character.
    pub(crate) separator: Option<At<String>>,
    /// Whether a separated column may stand in `"`.
    pub(crate) quoted: Option<At<bool>>,
    /// How many lines stand before the first payment.
    pub(crate) head: Option<usize>,
    /// Lines that are no payments, such as totals.
    pub(crate) ignored: Option<At<Text<Regex>>>,
    /// The columns that are read: a name, and a number from 1.
    pub(crate) columns: BTreeMap<String, At<usize>>,
    /// Those of them that are times without a year, which is the one that brings them nearest to the statement's day.
    pub(crate) lacks_year: Vec<At<String>>,
    /// What its lines tell; the first that matches counts.
    pub(crate) line: Vec<At<LineFile>>,
}

/// `[[statement.line]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LineFile {
    /// Which kinds of payment it tells of; any that moves money where absent.
    pub(crate) scenario: Vec<At<Text<Scenario>>>,
    /// Columns and the value, or one of the values, that they must have.
    pub(crate) when: BTreeMap<At<String>, OneOrMany>,
    /// The columns that name the order, as the message that it tells of does.
    pub(crate) order: Vec<At<String>>,
    /// The column that names the core's merchant.
    pub(crate) merchant: Option<At<String>>,
    /// The amount: another one than the payment's is not believed.
    pub(crate) amount: Option<At<LineAmountFile>>,
    /// What it says that a payment stands here: `succeeded`, `reversed`, or a reason for which it was declined. Without it and
    /// `code`, the line tells nothing of a payment.
    pub(crate) outcome: Option<At<String>>,
    /// Whether it tells of a payment without naming its order: it is listed, and a person joins it.
    pub(crate) unjoined: Option<At<bool>>,
    /// Or the column with a result code.
    pub(crate) code: Option<At<String>>,
    /// The code map for it.
    pub(crate) map: Option<At<String>>,
}

/// `amount = { column = …, unit = … }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LineAmountFile {
    /// The column. Leading zeros are padding.
    #[schemars(required)]
    pub(crate) column: Option<At<String>>,
    /// `fen`, or `yuan` with at most two decimals, or `cny`: the same after `CNY`.
    #[schemars(required)]
    pub(crate) unit: Option<Text<Unit>>,
}
