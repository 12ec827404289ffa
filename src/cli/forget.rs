//! `hefu forget --person`: what is kept of a person goes, at their request.

use crate::cli::Failure;
use crate::cli::client::{AdminArgs, Client};
use clap::Args;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};

/// The most bytes that are read.
const INPUT_MAX: u64 = 64 * 1024;

/// Forget a person: evidence, agreements, waiting binds and holds go
///
/// The person is told in lines: `id_number=…`, where it is no resident identity card `id_type=passport` (or
/// `hong_kong_macao_permit`, `taiwan_permit`, `foreigner_permit`), and `pan=…` for each card, by which is found what was kept without
/// an identity number. They are read from FILE or standard input, never from the command line, which every user of the machine
/// sees in `ps` and shells remember. They are fingerprinted in Hefu and kept nowhere.
#[derive(Debug, Args)]
pub struct Forget {
    /// The file with the person's lines; `-`, or none, for standard input
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-", required = true)]
    person: PathBuf,
    /// What the request is filed under; goes into the log and the audit, so no name and no number of the person's
    #[arg(long)]
    reference: String,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Forget {
    /// Runs the command.
    ///
    /// # Errors
    /// Where the person cannot be read, or the admin listener cannot be reached or refuses.
    pub async fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let client = Client::new(&self.admin)?;
        let failed = |source| Failure::File { file: self.person.clone(), source };
        let person = if self.person == Path::new("-") {
            if std::io::stdin().is_terminal() {
                let ask = "id_number=… and pan=…, a line each; Ctrl-D when done (they are shown as you type)";
                writeln!(std::io::stderr(), "{ask}")?;
            }
            read(std::io::stdin()).map_err(failed)?
        } else {
            read(std::fs::File::open(&self.person).map_err(failed)?).map_err(failed)?
        };
        let mut body = parse(&person).map_err(Failure::Usage)?;
        if let Some(body) = body.as_object_mut() {
            body.insert("reference".to_owned(), json!(self.reference));
        }
        let told: Value =
            client.post("/v1/people/forget", "application/json", body.to_string()).await?;
        let removed = told.get("removed").and_then(Value::as_object).into_iter().flatten();
        for (what, count) in removed {
            writeln!(out, "removed\t{count}\t{}", what.replace('_', " "))?;
        }
        for kept in told.get("kept").and_then(Value::as_array).into_iter().flatten() {
            let field = |name| kept.get(name).and_then(Value::as_str).unwrap_or("-");
            writeln!(out, "kept\t{}: {}", field("what"), field("why"))?;
        }
        Ok(())
    }
}

fn read(from: impl Read) -> std::io::Result<Vec<String>> {
    BufReader::new(from.take(INPUT_MAX)).lines().collect()
}

/// What the admin API wants; else what is wrong, without a value.
fn parse(lines: &[String]) -> Result<Value, String> {
    let (mut id_number, mut id_type, mut pans) = (None, None, Vec::new());
    for (line, number) in lines.iter().zip(1_usize..).filter(|(line, _)| !line.trim().is_empty()) {
        let wrong = || {
            format!(
                "line {number} is none of `id_number=…`, `id_type=…` and `pan=…`, or says one again"
            )
        };
        let (name, value) = line.split_once('=').ok_or_else(wrong)?;
        let value = value.trim().to_owned();
        let twice = match name.trim() {
            "id_number" => id_number.replace(value),
            "id_type" => id_type.replace(value),
            "pan" => {
                pans.push(value);
                None
            }
            _ => return Err(wrong()),
        };
        if twice.is_some() {
            return Err(wrong());
        }
    }
    Ok(json!({ "id_number": id_number, "id_type": id_type, "pans": pans }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_read_and_what_is_wrong_is_not_repeated() {
        let check = |text: &str, expected: Result<Value, usize>| {
            let lines: Vec<_> = text.lines().map(str::to_owned).collect();
            match (parse(&lines), expected) {
                (Ok(body), Ok(expected)) => assert_eq!(body, expected, "`{text}`"),
                (Err(error), Err(line)) => {
                    assert!(error.starts_with(&format!("line {line} ")), "{error}");
                    assert!(!error.contains("6200"), "{error}");
                }
                (told, _) => panic!("`{text}`: {told:?}"),
            }
        };
        let body =
            |id, kind, pans: &[&str]| json!({ "id_number": id, "id_type": kind, "pans": pans });
        let nothing = None::<&str>;
        check("id_number=A1\n", Ok(body(Some("A1"), nothing, &[])));
        check(
            "pan = 6200000000000005 \n\npan=6200000000000013",
            Ok(body(nothing, nothing, &["6200000000000005", "6200000000000013"])),
        );
        check("id_type=passport\nid_number=A1", Ok(body(Some("A1"), Some("passport"), &[])));
        check("6200000000000005", Err(1));
        check("pan=1\nphone=6200000000000005", Err(2));
        check("id_number=1\n\nid_number=6200000000000005", Err(3));
    }
}
