//! The admin API, as the commands call it.

use clap::Args;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the admin listener is and what opens it.
#[derive(Clone, Debug, Args)]
pub struct AdminArgs {
    /// The admin listener: `http://127.0.0.1:7070` or `unix:/run/hefu/admin.sock`
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7070", env = "HEFU_ADMIN")]
    admin: String,
    /// The file with the bearer token
    #[arg(long, value_name = "FILE", env = "HEFU_ADMIN_TOKEN_FILE")]
    admin_token_file: PathBuf,
    /// The authorities of an admin listener with TLS; the system's where absent
    #[arg(long, value_name = "FILE", env = "HEFU_ADMIN_CA_FILE")]
    admin_ca_file: Option<PathBuf>,
    /// Your certificate, where the admin listener asks for one
    #[arg(long, value_name = "FILE", env = "HEFU_ADMIN_CERT_FILE", requires = "admin_key_file")]
    admin_cert_file: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "FILE", env = "HEFU_ADMIN_KEY_FILE", requires = "admin_cert_file")]
    admin_key_file: Option<PathBuf>,
    /// Who you are, where the token is the shared one; what you change is audited under this name
    #[arg(long, value_name = "NAME", env = "HEFU_OPERATOR")]
    operator: Option<String>,
}

impl AdminArgs {
    /// As the arguments would say.
    pub const fn new(admin: String, admin_token_file: PathBuf) -> Self {
        Self {
            admin,
            admin_token_file,
            admin_ca_file: None,
            admin_cert_file: None,
            admin_key_file: None,
            operator: None,
        }
    }
}

impl AdminArgs {
    /// With the certificates that the arguments name.
    fn secured(
        &self,
        builder: reqwest::ClientBuilder,
    ) -> Result<reqwest::ClientBuilder, ClientError> {
        let mut builder = builder;
        if let Some(file) = &self.admin_ca_file {
            for authority in reqwest::Certificate::from_pem_bundle(read(file)?.as_bytes())? {
                builder = builder.add_root_certificate(authority);
            }
        }
        if let (Some(certificate), Some(key)) = (&self.admin_cert_file, &self.admin_key_file) {
            let (certificate, key) = (read(certificate)?, read(key)?);
            let own = reqwest::Identity::from_pkcs8_pem(certificate.as_bytes(), key.as_bytes())?;
            builder = builder.identity(own);
        }
        Ok(builder)
    }
}

/// A client of one admin listener.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
    operator: Option<String>,
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The token file cannot be read.
    #[error("cannot read `{}`: {source}", file.display())]
    Token {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The listener cannot be reached, or does not speak HTTP.
    #[error(
        "cannot reach the admin listener; is `hefu serve` running, and is `--admin` its address? ({0})"
    )]
    Unreachable(#[from] reqwest::Error),
    /// It said no.
    #[error("the admin listener says {status}: {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its words.
        detail: String,
    },
}

impl Client {
    /// A client as the arguments say.
    ///
    /// # Errors
    /// [`ClientError::Token`], or where no client can be made.
    pub fn new(args: &AdminArgs) -> Result<Self, ClientError> {
        let token = read(&args.admin_token_file)?;
        let (builder, base) = building(&args.admin, Duration::from_mins(1));
        let http = args.secured(builder)?.build()?;
        Ok(Self { http, base, token: token.trim().to_owned(), operator: args.operator.clone() })
    }

    /// `GET path`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(self.http.get(format!("{}{path}", self.base))).await
    }

    /// `POST path`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        content_type: &str,
        body: String,
    ) -> Result<T, ClientError> {
        let mut request = self.http.post(format!("{}{path}", self.base));
        if let Some(operator) = &self.operator {
            request = request.header("hefu-operator", operator);
        }
        self.send(request.header("content-type", content_type).body(body)).await
    }

    /// `POST path`, which is answered by nothing or by why not.
    ///
    /// # Errors
    /// [`ClientError`], with all that it says.
    pub async fn tell(&self, path: &str) -> Result<(), ClientError> {
        let mut request = self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(operator) = &self.operator {
            request = request.header("hefu-operator", operator);
        }
        let response = request.send().await?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        Err(ClientError::Refused { status: status.as_u16(), detail: response.text().await? })
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, ClientError> {
        let response = request.bearer_auth(&self.token).send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        let text = || {
            let problem: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
            let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
            detail.map_or_else(
                || String::from_utf8_lossy(&body).chars().take(200).collect(),
                str::to_owned,
            )
        };
        if !status.is_success() {
            return Err(ClientError::Refused { status: status.as_u16(), detail: text() });
        }
        serde_json::from_slice(&body)
            .map_err(|_| ClientError::Refused { status: status.as_u16(), detail: text() })
    }
}

/// A client of `admin`, which is a URL or `unix:` and a socket, and what its paths go behind.
pub(super) fn plain(
    admin: &str,
    within: Duration,
) -> Result<(reqwest::Client, String), reqwest::Error> {
    let (builder, base) = building(admin, within);
    Ok((builder.build()?, base))
}

fn building(admin: &str, within: Duration) -> (reqwest::ClientBuilder, String) {
    let builder = reqwest::Client::builder().no_proxy().timeout(within);
    match admin.strip_prefix("unix:") {
        Some(socket) => (builder.unix_socket(PathBuf::from(socket)), "http://admin".to_owned()),
        None => (builder, admin.trim_end_matches('/').to_owned()),
    }
}

fn read(file: &Path) -> Result<String, ClientError> {
    let failed = |source| ClientError::Token { file: file.to_owned(), source };
    std::fs::read_to_string(file).map_err(failed)
}
