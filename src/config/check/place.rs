//! Places: upstreams with their TLS, and the files that hold keys.

use crate::config::file::{DoorFile, FilePath, TlsFile};
use crate::config::read::{At, Sheet};
use crate::config::settings::{ClientCertificate, Door, Secret, Tls, Upstream};
use http::Uri;
use openssl::pkey::PKey;
use openssl::x509::X509;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

/// The longest key, certificate or token file.
const SECRET_BYTES_MAX: u64 = 1 << 20;

/// Reads the URL of a server with the TLS settings that go with it. It has no path: whoever asks has it.
pub(crate) fn upstream(
    sheet: &mut Sheet,
    dir: &Path,
    url: &At<String>,
    tls: Option<&TlsFile>,
) -> Option<Upstream> {
    let hint = "write it as `https://gateway.example` or, on this machine, `http://127.0.0.1:8080`";
    let uri = url.value.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).map(|host| host.trim_matches(['[', ']']));
    let secure = match uri.as_ref().and_then(Uri::scheme_str) {
        Some("https") => Some(true),
        Some("http") => Some(false),
        _ => None,
    };
    let user = uri.as_ref().and_then(Uri::authority).is_some_and(|at| at.as_str().contains('@'));
    let (Some(uri), Some(host), Some(secure), false) = (&uri, host, secure, user) else {
        sheet.problem(&url.span, "not a URL of a server", hint);
        return None;
    };
    let address = host.parse::<IpAddr>().ok();
    let loopback = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    if !secure && !loopback {
        let hint = "elements leave this machine only under TLS: write `https://`";
        sheet.problem(&url.span, "`http` outside loopback", hint);
    }
    let tls = secure.then(|| read_tls(sheet, dir, tls, (url, host, address.is_some())));
    let tls = match tls {
        Some(read) => Some(read?),
        None => None,
    };
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    // A fragment is read away before anybody sees it.
    if uri.path_and_query().is_some_and(|path| path.as_str() != "/") || url.value.contains('#') {
        let hint = "write scheme, host and port only: a channel gets the path as the core writes it, and a provider's definition has its path";
        sheet.problem(&url.span, "a server with a path", hint);
    }
    Some(Upstream { host: host.to_owned(), port, tls })
}

fn read_tls(
    sheet: &mut Sheet,
    dir: &Path,
    file: Option<&TlsFile>,
    (url, host, is_address): (&At<String>, &str, bool),
) -> Option<Tls> {
    let none = TlsFile::default();
    let file = file.unwrap_or(&none);
    let server_name = match &file.server_name {
        Some(name) if name.value.trim().is_empty() => {
            let hint = "without a name nothing would be verified: write the name in its certificate, or leave `server_name` out to use the host";
            sheet.problem(&name.span, "an empty server name", hint);
            None
        }
        Some(name) => Some(name.value.clone()),
        None if is_address => {
            let hint = "say which name its certificate has in `tls = { server_name = \"…\" }`";
            sheet.problem(&url.span, "TLS to an address without a server name", hint);
            None
        }
        None => Some(host.to_owned()),
    };
    let authorities = file.ca_file.as_ref().map(|path| certificates(sheet, dir, path));
    let client = match (&file.client_cert_file, &file.client_key_file) {
        (Some(certificate), Some(key)) => Some(client(sheet, dir, certificate, key)),
        (None, None) => None,
        (Some(alone), None) | (None, Some(alone)) => {
            let hint = "a certificate of ours needs both `client_cert_file` and `client_key_file`";
            sheet.problem(&alone.span, "half of a client certificate", hint);
            Some(None)
        }
    };
    Some(Tls {
        server_name: server_name?,
        authorities: authorities.map_or(Some(Vec::new()), |read| read)?,
        client: client.map_or(Some(None), |read| read.map(Some))?,
    })
}

pub(crate) fn certificates(sheet: &mut Sheet, dir: &Path, path: &FilePath) -> Option<Vec<X509>> {
    let pem = secret(sheet, dir, path)?;
    let read = X509::stack_from_pem(pem.expose()).ok().filter(|chain| !chain.is_empty());
    if read.is_none() {
        sheet.problem(&path.span, "no certificate in this file", "it must hold PEM certificates");
    }
    read
}

/// Reads a listener's certificate and key, and the authorities of those who connect.
pub(crate) fn door(sheet: &mut Sheet, dir: &Path, at: &At<DoorFile>) -> Option<Door> {
    let file = &at.value;
    let hint = "a listener with TLS needs `cert_file` and `key_file`";
    let certificate = sheet.need(file.cert_file.as_ref(), &at.span, "cert_file", hint);
    let key = sheet.need(file.key_file.as_ref(), &at.span, "key_file", hint);
    let clients = file.client_ca_file.as_ref().map(|path| certificates(sheet, dir, path));
    let own = client(sheet, dir, certificate?, key?)?;
    Some(Door { own, clients: clients.map_or(Some(Vec::new()), |read| read)? })
}

fn client(
    sheet: &mut Sheet,
    dir: &Path,
    certificate: &FilePath,
    key: &FilePath,
) -> Option<ClientCertificate> {
    let chain = certificates(sheet, dir, certificate);
    let pem = secret(sheet, dir, key);
    let read = pem.as_ref().and_then(|pem| PKey::private_key_from_pem(pem.expose()).ok());
    if pem.is_some() && read.is_none() {
        sheet.problem(
            &key.span,
            "no private key in this file",
            "it must hold a PEM key without a passphrase",
        );
    }
    let (chain, private) = (chain?, read?);
    let own = chain.first().and_then(|own| own.public_key().ok());
    if !own.is_some_and(|own| own.public_eq(&private)) {
        let hint = "the first certificate in the certificate's file must be of this key";
        sheet.problem(&key.span, "the key does not belong to the certificate", hint);
    }
    Some(ClientCertificate { chain, key: private })
}

/// The bytes of a file without a final line end; relative to the configuration directory.
pub(crate) fn secret(sheet: &mut Sheet, dir: &Path, path: &FilePath) -> Option<Secret> {
    let place = dir.join(&path.value);
    let long = fs::metadata(&place).is_ok_and(|about| about.len() > SECRET_BYTES_MAX);
    match fs::read(&place) {
        Ok(_) if long => {
            let hint = format!("a key, certificate or token has at most {SECRET_BYTES_MAX} bytes");
            sheet.problem(&path.span, "the file is too long", hint);
            None
        }
        Ok(bytes) => {
            let trimmed = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            Some(Secret::new(trimmed.strip_suffix(b"\r").unwrap_or(trimmed)))
        }
        Err(error) => {
            let message = format!("the file cannot be read: {}", error.kind());
            let hint =
                format!("`{}` is relative to the configuration directory", path.value.display());
            sheet.problem(&path.span, message, hint);
            None
        }
    }
}
