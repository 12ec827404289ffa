//! What a channel writes into its statement at the end of the day: a zip with what settled, a line each, of columns of a fixed width.
//! The card stands in it in full, as it does in real ones.

use std::{
    collections::BTreeSet,
    io::{self, Cursor, Write as _},
};

use zip::{ZipWriter, write::SimpleFileOptions};

use crate::sim::{
    Simulation,
    record::{AtChannel, Part},
};

/// How many bytes each column has; a blank stands between them.
const WIDTHS: [usize; 42] = [
    3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1, 21,
    15, 1, 15, 32, 13, 13, 8, 32, 13, 13, 12, 2, 1, 32, 98,
];

/// How a payment really ended, by the channel's own books.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// The order's key: merchant, order and time, joined by `|`.
    pub order: String,
    /// The kind of transaction.
    pub kind: String,
    /// How much, in fen.
    pub amount: String,
    /// The card.
    pub(super) pan: String,
    /// Whether it settled.
    pub succeeded: bool,
}

impl Ended {
    fn line(&self) -> String {
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
        cells.collect::<Vec<_>>().join(" ")
    }
}

impl Simulation {
    /// How the payments of a channel that writes statements really ended.
    pub fn ended(&self, channel: &str) -> Vec<Ended> {
        let of = self.channels.iter().filter(|known| known.name == channel);
        of.flat_map(|channel| channel.ends.gateway.ended()).collect()
    }

    /// The statement of a day on which those of `ended` settled that did.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn statement(&self, ended: &[Ended]) -> io::Result<Vec<u8>> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default();
        for name in ["INN26112888ZM_777290058110048", "INN26112888ZME_777290058110048"] {
            zip.start_file(name, options).map_err(io::Error::other)?;
            for line in ended.iter().filter(|it| it.succeeded && name.contains("ZM_")) {
                zip.write_all(line.line().as_bytes())?;
                zip.write_all(b"\r\n")?;
            }
        }
        Ok(zip.finish().map_err(io::Error::other)?.into_inner())
    }

    /// The payments whose end was never told: neither in an answer, nor to a query, nor by a notification that the core took. By the
    /// channel and the order's key; rows of batches are left out.
    pub fn never_told(&self) -> BTreeSet<(&'static str, String)> {
        let books = self.hub.log.channels().clone();
        let notified = self.hub.desk.told();
        let told = |entry: &&AtChannel| {
            let asked = books.iter().any(|other| {
                other.part == Part::Query
                    && other.channel == entry.channel
                    && other.order == entry.order
            });
            let heard = notified.iter().any(|it| {
                !it.is_forged
                    && it.acknowledged
                    && it.channel == entry.channel
                    && it.order == entry.order
            });
            asked || heard
        };
        let pending = books.iter().filter(|entry| entry.verdict.pending && entry.rows.is_empty());
        let owed = pending.filter(|entry| entry.part != Part::Query && !told(entry));
        owed.map(|entry| (entry.channel, entry.order.clone())).collect()
    }
}
