//! The store's place. It is opened at the start only, so that a check leaves nothing behind.

use super::deployment::time;
use super::place::{certificates, secret};
use super::within;
use crate::config::file::{KeepFile, StoreFile};
use crate::config::read::{At, Sheet};
use crate::config::settings::Storage;
use crate::domain::keep::Keep;
use crate::store::memory::Limits;
use std::path::Path;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};

/// Past a month's statement and bill: an order that is forgotten may leave again, and a charge cannot be checked any more.
const KEPT_MIN: Duration = Duration::from_hours(32 * 24);
/// Past ten years, the longest that anti-money-laundering law asks of records of payments.
const KEPT_MAX: Duration = Duration::from_hours(4_000 * 24);

/// Where the store is; a problem is noted, and what is yielded then is not used.
pub(crate) fn check(sheet: &mut Sheet, dir: &Path, file: &StoreFile) -> Storage {
    match (&file.file, &file.postgres) {
        (None, None) => Storage::Memory,
        (Some(_), Some(at)) => {
            let hint = "remove one: `file` for one Hefu, `postgres` for replicas";
            sheet.problem(&at.span, "two stores", hint);
            Storage::Memory
        }
        (Some(at), None) => {
            let path = dir.join(&at.value);
            let place = path.parent().unwrap_or(dir);
            if !place.is_dir() {
                let hint = format!("create it first: `mkdir -p {}`", place.display());
                sheet.problem(&at.span, "the directory of the store is not there", hint);
            } else if path.is_dir() {
                let hint = "name a file in it, such as `hefu.db`";
                sheet.problem(&at.span, "the store is a directory", hint);
            }
            Storage::File(path)
        }
        (None, Some(at)) => shared(sheet, dir, file, at).unwrap_or(Storage::Memory),
    }
}

/// How long is kept what has no end of its own.
pub(crate) fn keep(sheet: &mut Sheet, file: &KeepFile) -> Keep {
    let default = Keep::default();
    Keep {
        payments: time(sheet, file.payments.as_ref(), KEPT_MIN..=KEPT_MAX, default.payments),
        charges: time(sheet, file.charges.as_ref(), KEPT_MIN..=KEPT_MAX, default.charges),
    }
}

/// How many pieces of evidence are kept in memory.
pub(crate) fn in_memory(sheet: &mut Sheet, file: &StoreFile) -> usize {
    let default = Limits::default().evidence;
    within(sheet, file.evidence_in_memory.as_ref(), 1_000..=50_000_000, default)
}

fn shared(sheet: &mut Sheet, dir: &Path, file: &StoreFile, at: &At<String>) -> Option<Storage> {
    let hint = "write it as `host=db.internal user=hefu dbname=hefu`";
    let Ok(mut config) = at.value.parse::<tokio_postgres::Config>() else {
        // What the parser says may quote a password.
        sheet.problem(&at.span, "this is no connection to PostgreSQL", hint);
        return None;
    };
    if config.get_hosts().is_empty() || config.get_user().is_none() {
        sheet.problem(&at.span, "a connection names its `host` and its `user`", hint);
    }
    if config.get_password().is_some() {
        let hint = "put it into a file that only Hefu reads, and name that in `password_file`";
        sheet.problem(&at.span, "a password in the configuration", hint);
    }
    let far = config.get_hostaddrs().iter().any(|address| !address.is_loopback());
    if far || config.get_hosts().iter().any(is_far) {
        if config.get_ssl_mode() == SslMode::Disable {
            let hint = "leave `sslmode` out: the certificate is verified by `ca_file`, or by the system's authorities";
            sheet.problem(&at.span, "PostgreSQL on another machine without TLS", hint);
        }
        config.ssl_mode(SslMode::Require);
    }
    if let Some(path) = &file.password_file {
        config.password(secret(sheet, dir, path)?.expose());
    }
    let authorities = file.ca_file.as_ref().map(|path| certificates(sheet, dir, path));
    let authorities = authorities.map_or(Some(Vec::new()), |read| read)?;
    Some(Storage::Postgres { config: Box::new(config), authorities })
}

/// Whether what goes there crosses a network.
fn is_far(host: &Host) -> bool {
    match host {
        Host::Unix(_) => false,
        Host::Tcp(name) => {
            let address = name.parse::<std::net::IpAddr>();
            name != "localhost" && !address.is_ok_and(|address| address.is_loopback())
        }
    }
}
