//! `hefu token`: make a token for the admin API, of which the configuration keeps the hash.

use crate::cli::Failure;
use crate::domain::role::Role;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use sha2::{Digest as _, Sha256};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

/// Make a token for somebody who uses the admin API
///
/// The token is shown once; what goes into hefu.toml is its hash.
#[derive(Debug, Args)]
pub struct Token {
    /// Whose it is: what they do is audited under this name
    #[arg(long)]
    name: String,
    /// What they are there for; may be given several times
    #[arg(long = "role", required = true, value_parser = roles())]
    roles: Vec<Role>,
    /// Write the token into this file, which must not be there, and do not show it
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

fn roles() -> impl clap::builder::TypedValueParser<Value = Role> {
    let words = PossibleValuesParser::new(Role::ALL.map(Role::as_str));
    words.map(|word| Role::from_word(&word).unwrap_or(Role::Viewer))
}

impl Token {
    /// Makes the token.
    ///
    /// # Errors
    /// Where the file is there already, or cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let mut bytes = [0; 32];
        openssl::rand::rand_bytes(&mut bytes).map_err(std::io::Error::other)?;
        let token = format!("hefu_{}", URL_SAFE_NO_PAD.encode(bytes));
        let hash = hex::encode(Sha256::digest(token.as_bytes()));
        match &self.to {
            Some(file) => {
                let failed = |source| Failure::File { file: file.clone(), source };
                let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
                made.and_then(|mut made| writeln!(made, "{token}")).map_err(failed)?;
            }
            None => writeln!(out, "# The token of {}, shown once: {token}", self.name)?,
        }
        let roles: Vec<_> =
            self.roles.iter().map(|role| format!("\"{}\"", role.as_str())).collect();
        writeln!(out, "# For hefu.toml:")?;
        writeln!(out, "[[operator]]\nname = \"{}\"", self.name.escape_default())?;
        writeln!(out, "roles = [{}]\ntoken_sha256 = \"{hash}\"", roles.join(", "))?;
        Ok(())
    }
}
