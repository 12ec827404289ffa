//! From `[webhook]` to who is told what happens.

use super::deployment::time;
use super::place;
use crate::config::file::{FilePath, WebhookFile};
use crate::config::read::{At, Sheet};
use crate::config::settings::{Secret, Webhook};
use http::Uri;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// The fewest bytes of a key.
const KEY_BYTES_MIN: usize = 32;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Checks who is told.
pub(crate) fn check(sheet: &mut Sheet, dir: &Path, at: &At<WebhookFile>) -> Option<Webhook> {
    let (span, file) = (&at.span, &at.value);
    let hint = "say who is told, such as `url = \"https://ops.example/hefu\"`";
    let url = sheet.need(file.url.as_ref(), span, "url", hint);
    let hint = "what is told is signed: make a key with `openssl rand -hex 32` and name its file";
    let path = sheet.need(file.key_file.as_ref(), span, "key_file", hint);
    let key = path.and_then(|path| key(sheet, dir, path));
    let second = Duration::from_secs(1);
    let timeout = time(sheet, file.timeout.as_ref(), second..=second * 60, TIMEOUT);
    let url = url?;
    if !may_be_told(&url.value) {
        let hint = "write it as `https://ops.example/hefu` or, on this machine, `http://127.0.0.1:8080/hefu`";
        sheet.problem(&url.span, "not the URL of somebody who may be told", hint);
    }
    Some(Webhook { url: url.value.clone(), key: key?, timeout })
}

/// A key by which something is signed.
pub(super) fn key(sheet: &mut Sheet, dir: &Path, path: &FilePath) -> Option<Secret> {
    let key = place::secret(sheet, dir, path);
    if key.as_ref().is_some_and(|key| key.expose().len() < KEY_BYTES_MIN) {
        let hint = "make one with `openssl rand -hex 32`";
        sheet.problem(&path.span, format!("a key has at least {KEY_BYTES_MIN} bytes"), hint);
    }
    key
}

/// Whether a URL is of somebody who may be told of payments: under TLS, or on this machine.
pub(super) fn may_be_told(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).map(|host| host.trim_matches(['[', ']']));
    let user = uri.as_ref().and_then(Uri::authority).is_some_and(|at| at.as_str().contains('@'));
    let local = |host: &str| {
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    match (uri.as_ref().and_then(Uri::scheme_str), host) {
        (Some("https"), Some(_)) => !user,
        (Some("http"), Some(host)) => !user && local(host),
        _ => false,
    }
}
