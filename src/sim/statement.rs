//! How payments really ended, and what a channel writes into its statement at the end of the day: what settled, a line each. The card
//! stands in it in full where it does in real ones. What stands in none failed.

use std::{
    collections::BTreeSet,
    io::{self, Cursor, Write as _},
};

use encoding_rs::GBK;
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::sim::{
    Simulation, allinpay,
    audit::payments,
    record::{AtChannel, Part},
    unionpay, yeepay,
};

/// How many bytes each column of `UnionPay`'s has; a blank stands between them.
const WIDTHS: [usize; 42] = [
    3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1, 21,
    15, 1, 15, 32, 13, 13, 8, 32, 13, 13, 12, 2, 1, 32, 98,
];

/// How a payment stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// No money moved.
    #[default]
    Failed,
    /// It settled.
    Succeeded,
    /// It settled, and the money came back.
    Returned,
}

impl State {
    /// That of what settled, or not.
    pub(super) const fn of(succeeded: bool) -> Self {
        if succeeded { Self::Succeeded } else { Self::Failed }
    }
}

/// How a payment really ended, by the channel's own books.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// The order's key, joined by `|`; of a row, with the row's name.
    pub order: String,
    /// The kind of transaction, in the channel's words.
    pub kind: String,
    /// How much, in fen.
    pub amount: String,
    /// The card.
    pub(super) pan: String,
    /// How it stands.
    pub state: State,
}

impl Ended {
    /// A line of `UnionPay`'s.
    fn fixed(&self) -> String {
        let mut names = self.order.split('|');
        let mut name = || names.next().unwrap_or_default();
        let (merchant, order, time) = (name(), name(), name());
        let cell = |at: usize| match at {
            0 => "S22".to_owned(),
            4 => time.get(4..).unwrap_or_default().to_owned(),
            5 => self.pan.clone(),
            6 => format!("{:0>12}", self.amount),
            11 => order.to_owned(),
            18 => merchant.to_owned(),
            19 => self.kind.clone(),
            _ => String::new(),
        };
        let cells = WIDTHS.iter().enumerate().map(|(at, width)| format!("{:<width$}", cell(at)));
        cells.collect::<Vec<_>>().join(" ") + "\r\n"
    }

    /// What it settled for, in yuan.
    fn yuan(&self) -> String {
        let fen: u64 = self.amount.parse().unwrap_or_default();
        format!("{}.{:02}", fen / 100, fen % 100)
    }

    /// A line with commas, of the shape that `deployment::STATEMENTS` says.
    fn quoted(&self) -> String {
        let state = if self.state == State::Returned { "RETURNED" } else { "SUCCESS" };
        // A payment is known by the token that its message quotes, and by no merchant.
        let (merchant, order) = self.order.split_once('|').unwrap_or(("", &self.order));
        let note = "a \"note\", with a comma".replace('"', "\"\"");
        format!("{},\"{merchant}\",\"{order}\",{},{state},\"{note}\"\n", self.kind, self.yuan())
    }

    /// A line with bars, of the shape that `deployment::STATEMENTS` says.
    fn barred(&self) -> String {
        let mut names = self.order.split('|');
        let mut name = || names.next().unwrap_or_default();
        let (merchant, order, row) = (name(), name(), name());
        let single = if row.is_empty() { "S" } else { "B" };
        format!("{single}|{merchant}|{order}|{row}|{}|{:0>12}|处理成功\r\n", self.kind, self.amount)
    }
}

impl Simulation {
    /// How the payments that a channel took really ended.
    pub fn ended(&self, channel: &str) -> Vec<Ended> {
        let of = self.channels.iter().filter(|known| known.name == channel);
        of.flat_map(|channel| channel.ends.gateway.ended()).collect()
    }

    /// The statement of a day on which those of `ended` settled that did: a file's name, and what is in it. Nothing where the channel
    /// writes none.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn statement(
        &self,
        channel: &str,
        ended: &[Ended],
    ) -> io::Result<Option<(String, Vec<u8>)>> {
        let settled = || ended.iter().filter(|it| it.state != State::Failed);
        let name = |name: &str, bytes| Ok(Some((name.to_owned(), bytes)));
        match channel {
            unionpay::NAME => {
                let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
                let options = SimpleFileOptions::default();
                for name in ["INN26112888ZM_777290058110048", "INN26112888ZME_777290058110048"] {
                    zip.start_file(name, options).map_err(io::Error::other)?;
                    for line in settled().filter(|_| name.contains("ZM_")) {
                        zip.write_all(line.fixed().as_bytes())?;
                    }
                }
                name("statement.zip", zip.finish().map_err(io::Error::other)?.into_inner())
            }
            yeepay::NAME => {
                let lines: String = settled().map(Ended::quoted).collect();
                let text = format!("类型,商户,订单,金额,状态,备注\n{lines}总计,,,,,\n");
                name("trade_day.csv", text.into_bytes())
            }
            allinpay::NAME => {
                let lines: String = settled().map(Ended::barred).collect();
                name("AIPG_day.txt", GBK.encode(&lines).0.into_owned())
            }
            _ => Ok(None),
        }
    }

    /// The payments whose end was never told in a way that can be read: neither in an answer, nor to a query, nor by a notification
    /// that the core took. By the channel and the order's key.
    pub fn never_told(&self) -> BTreeSet<(&'static str, String)> {
        let books = self.hub.log.channels().clone();
        let key = |entry: &AtChannel| (entry.channel, entry.order.clone());
        let queries = books.iter().filter(|entry| entry.part == Part::Query).flat_map(payments);
        let ended = queries.filter(|entry| !entry.verdict.pending);
        let mut told: BTreeSet<_> = ended.map(|entry| key(&entry)).collect();
        let notified = self.hub.desk.told();
        let heard = notified.iter().filter(|it| !it.is_forged && it.acknowledged && it.is_readable);
        told.extend(heard.map(|it| (it.channel, it.order.clone())));
        let all = books.iter().filter(|entry| entry.part != Part::Query).flat_map(payments);
        let pending = all.filter(|entry| entry.verdict.pending);
        pending.map(|entry| key(&entry)).filter(|key| !told.contains(key)).collect()
    }
}
