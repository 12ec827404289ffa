//! A session with the server. Whatever is asked of it has an end on our side: a server that hangs, or a way to it that swallows
//! what is sent, tells nobody.

use super::Error;
use postgres_openssl::MakeTlsConnector;
use std::collections::HashMap;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row, Statement};

/// A replica that stops in the middle of a transaction, or a statement that takes as long, gives up its turn.
const SETTINGS: &str = "SET statement_timeout = '5s'; SET lock_timeout = '5s'; \
     SET idle_in_transaction_session_timeout = '5s'; SET synchronous_commit = on; \
     SET application_name = 'hefu'; SET client_min_messages = warning";

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// For a connection to one address.
    pub connect: Duration,
    /// For an answer: to the whole greeting, to a statement, to a commit. Longer than the server's own limits, which say more.
    pub answer: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), answer: Duration::from_secs(6) }
    }
}

/// One for each server that `config` names, in its order. Each is waited for by itself, so that one that hangs does not keep us from
/// the next; and none is taken that cannot be written, as a standby.
pub(super) fn places(config: &Config, waits: Waits) -> Vec<Config> {
    let count = config.get_hosts().len().max(config.get_hostaddrs().len());
    (0..count).map(|nth| place(config, nth, waits)).collect()
}

fn place(config: &Config, nth: usize, waits: Waits) -> Config {
    let mut place = Config::new();
    if let Some(host) = config.get_hosts().get(nth) {
        match host {
            Host::Tcp(name) => place.host(name),
            Host::Unix(path) => place.host_path(path),
        };
    }
    if let Some(address) = config.get_hostaddrs().get(nth) {
        place.hostaddr(*address);
    }
    let ports = config.get_ports();
    if let Some(port) = ports.get(nth).or_else(|| ports.first()) {
        place.port(*port);
    }
    if let Some(user) = config.get_user() {
        place.user(user);
    }
    if let Some(password) = config.get_password() {
        place.password(password);
    }
    if let Some(database) = config.get_dbname() {
        place.dbname(database);
    }
    if let Some(options) = config.get_options() {
        place.options(options);
    }
    place.ssl_mode(config.get_ssl_mode()).ssl_negotiation(config.get_ssl_negotiation());
    place.channel_binding(config.get_channel_binding());
    place.target_session_attrs(TargetSessionAttrs::ReadWrite);
    place.connect_timeout(waits.connect).tcp_user_timeout(waits.answer);
    place.keepalives(true).keepalives_idle(waits.answer);
    place.keepalives_interval(waits.connect).keepalives_retries(3);
    place
}

/// What drives a connection; it never waits for what is under way when it is dropped.
struct Driver(Option<Runtime>);

impl Driver {
    fn new() -> Result<Self, Error> {
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self(Some(runtime.map_err(Error::Runtime)?)))
    }

    fn within<T>(
        &self,
        wait: Duration,
        asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        let Some(runtime) = &self.0 else { return Err(Error::Lost) };
        match runtime.block_on(async { timeout(wait, asked).await }) {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Error::Slow(wait)),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// An open session, and what was prepared in it.
pub(super) struct Session {
    driver: Driver,
    client: Client,
    statements: HashMap<String, Statement>,
    waits: Waits,
}

impl Session {
    /// A session with the first of `places` that can be reached and written.
    pub(super) fn open(
        places: &[Config],
        tls: &MakeTlsConnector,
        waits: Waits,
    ) -> Result<Self, Error> {
        let mut failed = None;
        for place in places {
            match Self::at(place, tls, waits) {
                Ok(session) => return Ok(session),
                Err(error) if places.len() > 1 => {
                    tracing::debug!(%error, ?place, "a server of the store is passed over");
                    failed = Some(error);
                }
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or(Error::Lost))
    }

    fn at(place: &Config, tls: &MakeTlsConnector, waits: Waits) -> Result<Self, Error> {
        let driver = Driver::new()?;
        let (client, connection) = driver.within(waits.answer, place.connect(tls.clone()))?;
        if let Some(runtime) = &driver.0 {
            // How it ends, whoever asks then is told.
            runtime.spawn(async { drop(connection.await) });
        }
        let session = Self { driver, client, statements: HashMap::new(), waits };
        session.run(SETTINGS)?;
        Ok(session)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Statements without parameters.
    pub(super) fn run(&self, sql: &str) -> Result<(), Error> {
        self.driver.within(self.waits.answer, self.client.batch_execute(sql))
    }

    /// A statement that is not asked often.
    pub(super) fn once(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.driver.within(self.waits.answer, self.client.query(sql, params))
    }

    /// A statement that is asked again and again.
    pub(super) fn query(
        &mut self,
        sql: String,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let statement = if let Some(known) = self.statements.get(&sql) {
            known.clone()
        } else {
            let prepared = self.driver.within(self.waits.answer, self.client.prepare(&sql))?;
            self.statements.insert(sql, prepared.clone());
            prepared
        };
        self.driver.within(self.waits.answer, self.client.query(&statement, params))
    }
}
