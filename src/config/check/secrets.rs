//! The keys of fingerprints.

use super::place;
use crate::config::file::{FilePath, OtherKeyFile, SecretsFile};
use crate::config::read::{At, Sheet};
use crate::crypto::fingerprint::Fingerprinter;
use crate::crypto::keys::{Keys, Other};
use crate::crypto::record::RecordKey;
use crate::domain::id::KeyId;
use std::path::Path;

/// The key by which records of accounts are signed.
pub(crate) fn record(sheet: &mut Sheet, dir: &Path, at: &At<SecretsFile>) -> Option<RecordKey> {
    let path = at.value.record_key_file.as_ref()?;
    let key = RecordKey::from_pem(place::secret(sheet, dir, path)?.expose());
    if key.is_none() {
        let hint = "make one with `openssl genpkey -algorithm ed25519`";
        sheet.problem(&path.span, "not a private Ed25519 key in PEM", hint);
    }
    key
}

/// The current key and the others; a problem is noted.
pub(crate) fn keys(sheet: &mut Sheet, dir: &Path, at: &At<SecretsFile>) -> Option<Keys> {
    let file = &at.value;
    let hint = "make a key with `openssl rand -hex 32` and name its file";
    let path =
        sheet.need(file.fingerprint_key_file.as_ref(), &at.span, "fingerprint_key_file", hint);
    let hint = "number the key, from 1; a new key gets a new number";
    let id = sheet.need(file.fingerprint_key_id, &at.span, "fingerprint_key_id", hint);
    let current = path.zip(id).and_then(|(path, id)| key(sheet, dir, path, id));
    let mut others: Vec<Other> = Vec::new();
    for at in &file.other_keys {
        let hint =
            "say which key it is: the number that it has, or will have, as `fingerprint_key_id`";
        let Some(number) = sheet.need(at.value.id, &at.span, "id", hint) else { continue };
        if Some(number) == id || others.iter().any(|other| other.id == KeyId(number)) {
            let hint =
                "a number is one key's: what is under it would be looked for under the wrong one";
            sheet.problem(&at.span, format!("two fingerprint keys with number {number}"), hint);
        }
        let other = other(sheet, dir, at, number);
        let twin = |known: &Fingerprinter| {
            other.key.as_ref().is_some_and(|key| key.check().digest == known.check().digest)
        };
        if current.iter().chain(others.iter().filter_map(|other| other.key.as_ref())).any(twin) {
            let hint = "make a new key with `openssl rand -hex 32`";
            sheet.problem(&at.span, "one fingerprint key with two numbers", hint);
        }
        others.push(other);
    }
    Some(Keys { current: current?, others })
}

fn other(sheet: &mut Sheet, dir: &Path, at: &At<OtherKeyFile>, id: u16) -> Other {
    let OtherKeyFile { file, until, .. } = &at.value;
    if let (None, Some(until)) = (file, until) {
        let hint = "name its `file`; or leave `until` out where the key is given up";
        sheet.problem(&until.span, "a key that is not there is read by nobody", hint);
    }
    let key = file.as_ref().and_then(|path| key(sheet, dir, path, id));
    Other { id: KeyId(id), key, until: until.as_ref().map(|until| until.value.0) }
}

fn key(sheet: &mut Sheet, dir: &Path, path: &FilePath, id: u16) -> Option<Fingerprinter> {
    let key = place::secret(sheet, dir, path)?;
    let made = Fingerprinter::new(KeyId(id), key.expose());
    if let Err(error) = &made {
        sheet.problem(&path.span, error.to_string(), "make one with `openssl rand -hex 32`");
    }
    made.ok()
}
