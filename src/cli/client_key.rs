//! `hefu client-key`: make a key for a client of the verification service, of which the configuration keeps the hash.

use crate::cli::Failure;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use sha2::{Digest as _, Sha256};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

/// Make a key for a client of the verification service
///
/// The key is shown once; what goes into `keys` of its `[[client]]` in hefu.toml is its hash.
#[derive(Debug, Args)]
pub struct ClientKey {
    /// Write the key into this file, which must not be there, and do not show it
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

impl ClientKey {
    /// Makes the key.
    ///
    /// # Errors
    /// Where the file is there already, or cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let (mut id, mut secret) = ([0; 6], [0; 32]);
        openssl::rand::rand_bytes(&mut id).map_err(std::io::Error::other)?;
        openssl::rand::rand_bytes(&mut secret).map_err(std::io::Error::other)?;
        let id = hex::encode(id);
        let key = format!("hefu_{id}_{}", URL_SAFE_NO_PAD.encode(secret));
        let hash = hex::encode(Sha256::digest(key.as_bytes()));
        match &self.to {
            Some(file) => {
                let failed = |source| Failure::File { file: file.clone(), source };
                let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
                made.and_then(|mut made| writeln!(made, "{key}")).map_err(failed)?;
            }
            None => writeln!(out, "# The key, shown once: {key}")?,
        }
        writeln!(out, "# For `keys` of the client in hefu.toml:")?;
        writeln!(out, "{{ id = \"{id}\", sha256 = \"{hash}\" }}")?;
        Ok(())
    }
}
