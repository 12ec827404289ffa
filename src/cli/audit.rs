//! `hefu audit`: what persons did, and whether anything of it was changed or taken away since.

use crate::cli::Failure;
use crate::cli::client::{AdminArgs, Client};
use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::io::Write;

/// Say what was done through the admin API, the newest first, and check the chain of entries
#[derive(Debug, Args)]
pub struct Audit {
    /// `verify` checks the chain and shows no entries
    #[arg(value_parser = ["verify"])]
    action: Option<String>,
    /// From this time on, as in `2026-11-24T00:00:00Z`
    #[arg(long, value_name = "TIME")]
    since: Option<jiff::Timestamp>,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Deserialize)]
struct Page {
    head: Head,
    entries: Vec<Noted>,
}

#[derive(Deserialize)]
struct Head {
    number: u64,
    hash: String,
}

#[derive(Deserialize)]
struct Noted {
    entry: Box<RawValue>,
    previous: String,
    hash: String,
}

#[derive(Deserialize)]
struct Entry {
    number: u64,
    at_ms: i64,
}

/// What the next older entry must be.
struct Expected {
    number: u64,
    hash: String,
}

impl Expected {
    /// Why an entry is not the one that is expected, if so; from now on the one before it is.
    fn check(&mut self, noted: &Noted, number: u64) -> Vec<String> {
        let hash = Sha256::new().chain_update(&noted.previous).chain_update("\n");
        let hash = hex::encode(hash.chain_update(noted.entry.get()).finalize());
        let follows = number == self.number;
        let mut wrong = Vec::new();
        if !follows {
            wrong.push(format!("entry {} is not there", self.number));
        }
        if hash != noted.hash || follows && hash != self.hash {
            wrong.push(format!("entry {number} is not as it was written"));
        }
        *self = Self { number: number.saturating_sub(1), hash: noted.previous.clone() };
        wrong
    }
}

impl Audit {
    /// Runs the command.
    ///
    /// # Errors
    /// Where the admin listener cannot be reached or refuses, or the chain is broken.
    pub async fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let client = Client::new(&self.admin)?;
        let since = self.since.map_or(0, jiff::Timestamp::as_millisecond).max(0);
        let page = async |before: &str| {
            client.get::<Page>(&format!("/v1/audit?since={since}{before}")).await
        };
        let mut shown = page("").await?;
        let Head { number: last, hash } = shown.head;
        let mut expected = Expected { number: last, hash: hash.clone() };
        let (mut count, mut broken) = (0_usize, 0_usize);
        if last > 0 && shown.entries.is_empty() && since == 0 {
            writeln!(out, "BROKEN\tentry {last} is not there")?;
            broken = 1;
        }
        while !shown.entries.is_empty() {
            for noted in &shown.entries {
                let text = noted.entry.get();
                let entry: Option<Entry> = serde_json::from_str(text).ok();
                let number = entry.as_ref().map_or(expected.number, |entry| entry.number);
                for wrong in expected.check(noted, number) {
                    writeln!(out, "BROKEN\t{wrong}")?;
                    broken = broken.saturating_add(1);
                }
                let at =
                    entry.and_then(|entry| jiff::Timestamp::from_millisecond(entry.at_ms).ok());
                let at = at.map_or_else(|| "-".to_owned(), |at| at.to_string());
                if self.action.is_none() {
                    writeln!(out, "{at}\t{text}")?;
                }
                count = count.saturating_add(1);
            }
            let Some(before) = expected.number.checked_add(1).filter(|_| expected.number > 0)
            else {
                break;
            };
            shown = page(&format!("&before={before}")).await?;
        }
        if broken > 0 {
            writeln!(out, "{count} entries, and the chain is broken {broken} times")?;
            return Err(Failure::Reported);
        }
        if since == 0 && expected.number > 0 {
            let before = expected.number.saturating_add(1);
            writeln!(
                out,
                "entry {before} is the oldest: what was before it was kept long enough, or was taken away"
            )?;
        }
        writeln!(out, "{count} entries, the chain is whole; it ends with {last}, {hash}")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    /// Entries from 1, the newest first, and where they end.
    fn chain(count: u64) -> (Expected, Vec<Noted>) {
        let mut previous = "0".repeat(64);
        let noted = (1_u64..=count).map(|number| {
            let text = format!(r#"{{"number":{number},"at_ms":1700000000000}}"#);
            let hash = hex::encode(Sha256::digest(format!("{previous}\n{text}")));
            let previous = std::mem::replace(&mut previous, hash.clone());
            Noted { entry: RawValue::from_string(text).unwrap(), previous, hash }
        });
        let noted: Vec<_> = noted.collect::<Vec<_>>().into_iter().rev().collect();
        (Expected { number: count, hash: previous }, noted)
    }

    #[test]
    fn what_was_changed_or_taken_away_shows() {
        let check = |change: &dyn Fn(&mut Vec<Noted>), expected: &[&str]| {
            let (mut end, mut noted) = chain(4);
            change(&mut noted);
            let wrong = noted.iter().flat_map(|noted| {
                let entry: Entry = serde_json::from_str(noted.entry.get()).unwrap();
                end.check(noted, entry.number)
            });
            assert_eq!(wrong.collect::<Vec<_>>(), expected);
        };
        let text = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        check(&|_| (), &[]);
        check(&|noted| drop(noted.remove(0)), &["entry 4 is not there"]);
        check(&|noted| drop(noted.remove(2)), &["entry 2 is not there"]);
        check(&|noted| drop(noted.pop()), &[]);
        check(
            &|noted| {
                noted.remove(1);
                noted[1].entry = text(r#"{"number":2,"at_ms":1}"#);
            },
            &["entry 3 is not there", "entry 2 is not as it was written"],
        );
        check(
            &|noted| noted[1].entry = text(r#"{"number":3,"at_ms":1600000000000}"#),
            &["entry 3 is not as it was written"],
        );
        // Written again with a hash of its own, it is not the one that the next one follows.
        check(
            &|noted| {
                noted[1].entry = text(r#"{"number":3,"at_ms":1}"#);
                let content = format!("{}\n{}", noted[1].previous, noted[1].entry.get());
                noted[1].hash = hex::encode(Sha256::digest(content));
            },
            &["entry 3 is not as it was written"],
        );
    }

    /// Another character of its kind, so that an entry stays JSON.
    fn other(text: &str, random: &mut ChaCha8Rng) -> String {
        let places: Vec<_> = text.char_indices().filter(|(_, c)| c.is_ascii_hexdigit()).collect();
        let (at, was) = places[random.random_range(0..places.len())];
        let kind = if was.is_ascii_digit() { "123456789" } else { "abcdef" };
        let others: Vec<_> = kind.chars().filter(|c| *c != was).collect();
        let new = others[random.random_range(0..others.len())];
        format!("{}{new}{}", text.get(..at).unwrap(), text.get(at + 1..).unwrap())
    }

    /// Whoever can write the file, and does not write all that came after, shows.
    #[test]
    fn a_thousand_tampers_are_all_found() {
        let seed = 7;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let text = |text: String| RawValue::from_string(text).unwrap();
        for round in 0..1000 {
            let (mut end, mut noted) = chain(30);
            // The oldest one may be gone: it is not kept for ever.
            let at = random.random_range(0..noted.len() - 1);
            let how = random.random_range(0..8);
            match how {
                0 => noted[at].entry = text(other(noted[at].entry.get(), &mut random)),
                1 => noted[at].hash = other(&noted[at].hash, &mut random),
                2 => noted[at].previous = other(&noted[at].previous, &mut random),
                3 => drop(noted.remove(at)),
                4 => noted.swap(at, at + 1),
                5 => {
                    let Noted { entry, previous, hash } = &noted[at];
                    let (entry, previous, hash) = (entry.clone(), previous.clone(), hash.clone());
                    noted.insert(at, Noted { entry, previous, hash });
                }
                // With a hash of its own, and those after it as well, but where the chain ends.
                6 => {
                    noted[at].entry = text(other(noted[at].entry.get(), &mut random));
                    for newer in (0..=at).rev() {
                        let previous = noted[newer + 1].hash.clone();
                        let content = format!("{previous}\n{}", noted[newer].entry.get());
                        noted[newer].hash = hex::encode(Sha256::digest(content));
                        noted[newer].previous = previous;
                    }
                }
                _ => end.hash = other(&end.hash, &mut random),
            }
            let wrong = noted.iter().flat_map(|noted| {
                let entry = serde_json::from_str::<Entry>(noted.entry.get()).ok();
                let number = entry.map_or(end.number, |entry| entry.number);
                end.check(noted, number)
            });
            let wrong: Vec<_> = wrong.collect();
            assert!(!wrong.is_empty(), "seed {seed}, round {round}: {how} at {at}");
        }
    }
}
