//! Banks, as the risk team names them: `[[bank]]` in `rules/*.toml`.

use crate::config::file::rules::RulesFile;
use crate::config::read::Opened;
use std::collections::BTreeMap;

/// The longest name, in bytes.
const NAME_MAX: usize = 64;

/// What cards begin with, and the name of the bank.
type Banks = BTreeMap<Box<str>, Box<str>>;

/// Reads every bank: its name by what its cards begin with. What is `in_force` already, what is only tried says again or not at all.
pub(super) fn read(files: &mut [Opened<RulesFile>], in_force: &Banks) -> Banks {
    let mut banks = Banks::new();
    for Opened { sheet, file, .. } in files {
        for at in &file.bank {
            let hint = "a bank needs `name` and `bins`";
            let name = sheet.need(at.value.name.as_ref(), &at.span, "name", hint);
            let bins = sheet.need(at.value.bins.as_ref(), &at.span, "bins", hint);
            let (Some(name), Some(bins)) = (name, bins) else { continue };
            if !(1..=NAME_MAX).contains(&name.value.len()) {
                sheet.problem(&name.span, "not a bank's name", "1 to 64 bytes");
            }
            if bins.value.is_empty() && !sheet.is_blamed(&bins.span) {
                sheet.problem(&bins.span, "no BIN", "no card would ever be this bank's");
            }
            for bin in &bins.value {
                if bin.value.len() != 6 || !bin.value.bytes().all(|byte| byte.is_ascii_digit()) {
                    let hint = "the first six digits of its card numbers";
                    sheet.problem(&bin.span, "not a BIN", hint);
                } else if let Some(known) = in_force.get(bin.value.as_str()) {
                    if **known != *name.value {
                        let message = format!("BIN {} is another bank's in force", bin.value);
                        let hint = format!(
                            "it is bank `{known}`'s, and what is only tried changes none: try it on kept payments"
                        );
                        sheet.problem(&bin.span, message, hint);
                    }
                } else if let Some(other) =
                    banks.insert(bin.value.as_str().into(), name.value.as_str().into())
                {
                    let hint = format!("bank `{other}` has it too: each BIN is one bank's");
                    sheet.problem(&bin.span, format!("BIN {} stands twice", bin.value), hint);
                }
            }
        }
    }
    banks
}
