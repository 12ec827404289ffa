//! The shared database: `PostgreSQL`, one transaction for whatever waits in one replica, and no two transactions at once.

mod error;
mod session;

use crate::crypto::tag::Tagger;
use crate::domain::clock::Timestamp;
use crate::store::row::{Aggregate, Damaged, Removal, Row, RowKey};
use crate::store::shelf::{Found, Range};
use crate::store::writer::{Backend, By, Ended};
use openssl::ssl::{SslConnector, SslMethod};
use openssl::x509::X509;
use postgres_openssl::MakeTlsConnector;
use session::{Session, places};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::Config;
use tokio_postgres::types::ToSql;

pub use error::{Error, OpenError};
pub use session::Waits;

/// What replicas wait for in turn, an advisory lock: `Hefu` in ASCII.
const TURN: i64 = 0x4865_6675;

/// How many rows are read at once.
const PAGE: i64 = 10_000;

/// Every version of the schema, from the first; the table `hefu_schema` says how many of them a database has. Never edited: a
/// change is one more.
const MIGRATIONS: [&str; 10] = [
    include_str!("../../migrations/postgres-001.sql"),
    include_str!("../../migrations/postgres-002.sql"),
    include_str!("../../migrations/postgres-003.sql"),
    include_str!("../../migrations/postgres-004.sql"),
    include_str!("../../migrations/postgres-005.sql"),
    include_str!("../../migrations/postgres-006.sql"),
    include_str!("../../migrations/postgres-007.sql"),
    include_str!("../../migrations/postgres-008.sql"),
    include_str!("../../migrations/postgres-009.sql"),
    include_str!("../../migrations/postgres-010.sql"),
];

/// An open database. Its sessions have a runtime of their own, which must not be driven on another's threads.
pub struct Postgres {
    places: Vec<Config>,
    waits: Waits,
    tls: MakeTlsConnector,
    session: Option<Session>,
    tagger: Option<Tagger>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Postgres {
    /// Opens the database that `config` names and brings its schema up to date. Its certificate is verified by `authorities`,
    /// or by the system's where there are none.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(config: &Config, authorities: &[X509]) -> Result<Self, OpenError> {
        Self::open_within(config, authorities, Waits::default())
    }

    /// As [`Self::open`], and nothing is waited for longer than this.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_within(
        config: &Config,
        authorities: &[X509],
        waits: Waits,
    ) -> Result<Self, OpenError> {
        Self::unopened(config, authorities, waits)?.with_schema(true)
    }

    /// As [`Self::open`], for who only reads it: its schema must be this Hefu's.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_to_read(config: &Config, authorities: &[X509]) -> Result<Self, OpenError> {
        Self::unopened(config, authorities, Waits::default())?.with_schema(false)
    }

    /// Where it `changes`, an older schema is brought up to date.
    fn with_schema(mut self, changes: bool) -> Result<Self, OpenError> {
        let migrated = self.migrate(changes);
        if migrated.is_err() {
            self.roll_back();
        }
        migrated.map(|()| self)
    }

    fn unopened(config: &Config, authorities: &[X509], waits: Waits) -> Result<Self, OpenError> {
        let mut tls = SslConnector::builder(SslMethod::tls())?;
        for authority in authorities {
            tls.cert_store_mut().add_cert(authority.clone())?;
        }
        let tls = MakeTlsConnector::new(tls.build());
        Ok(Self { places: places(config, waits), waits, tls, session: None, tagger: None })
    }

    /// How long it takes the database that `config` names to say what its clock says, and that. Nothing in it changes.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn ask(
        config: &Config,
        authorities: &[X509],
        waits: Waits,
    ) -> Result<(Duration, Duration), OpenError> {
        let mut store = Self::unopened(config, authorities, waits)?;
        store.connect()?;
        let begun = Instant::now();
        let theirs = store.time()?;
        Ok((begun.elapsed(), theirs))
    }

    /// What its machine's clock says, since the epoch.
    ///
    /// # Errors
    /// [`Error`].
    pub fn time(&mut self) -> Result<Duration, Error> {
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        let told = self.connect()?.once(sql, &[])?;
        let millis: i64 = told.first().ok_or(Error::Lost)?.try_get(0)?;
        Ok(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
    }

    fn migrate(&mut self, changes: bool) -> Result<(), OpenError> {
        // Replicas may start at once: the second waits, and finds it made.
        self.begin()?;
        let session = self.session()?;
        session.run("CREATE TABLE IF NOT EXISTS hefu_schema (version BIGINT NOT NULL)")?;
        let told = session.once("SELECT version FROM hefu_schema", &[])?;
        let found = told.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0))?;
        let found = usize::try_from(found).unwrap_or(usize::MAX);
        let known = MIGRATIONS.len();
        let missing = MIGRATIONS.get(found..).ok_or(OpenError::Newer { found, known })?;
        if !missing.is_empty() && !changes {
            return Err(OpenError::Older { found, known });
        }
        if !missing.is_empty() {
            let known = i64::try_from(known).unwrap_or(i64::MAX);
            for step in missing {
                session.run(step)?;
            }
            session.run("DELETE FROM hefu_schema")?;
            session.once("INSERT INTO hefu_schema VALUES ($1)", &[&known])?;
        }
        Ok(self.commit()?)
    }

    /// A session for a new transaction.
    fn connect(&mut self) -> Result<&mut Session, Error> {
        let live = self.session.take().filter(|session| !session.is_closed());
        let session = match live {
            Some(session) => session,
            None => Session::open(&self.places, &self.tls, self.waits)?,
        };
        Ok(self.session.insert(session))
    }

    /// From which key on the last `most` rows of `of` are.
    fn last_but(&mut self, of: Aggregate, most: usize) -> Result<String, Error> {
        if most == usize::MAX {
            return Ok(String::new());
        }
        let table = of.as_str();
        let last = format!("SELECT max(key) FROM {table}");
        let before = format!(
            "SELECT min(key) FROM (SELECT key FROM {table} WHERE key < $1 ORDER BY key DESC LIMIT $2) AS page"
        );
        let session = self.connect()?;
        let one = |rows: Vec<tokio_postgres::Row>| -> Result<Option<String>, Error> {
            rows.first().map_or(Ok(None), |row| Ok(row.try_get(0)?))
        };
        // The last one is the first of them.
        let mut from = one(session.once(&last, &[])?)?;
        let mut left = most.saturating_sub(1);
        while left > 0
            && let Some(known) = &from
        {
            let page = i64::try_from(left).unwrap_or(i64::MAX).min(PAGE);
            let Some(earlier) = one(session.once(&before, &[known, &page])?)? else {
                break;
            };
            from = Some(earlier);
            left = left.saturating_sub(usize::try_from(page).unwrap_or(usize::MAX));
        }
        Ok(from.unwrap_or_default())
    }

    /// The session in which the transaction began: in another one nothing of it would be known.
    fn session(&mut self) -> Result<&mut Session, Error> {
        self.session.as_mut().ok_or(Error::Lost)
    }
}

impl From<tokio_postgres::Error> for OpenError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// By table, in one order everywhere.
fn by_table<T>(all: &[T], of: impl Fn(&T) -> Aggregate) -> BTreeMap<Aggregate, Vec<&T>> {
    let mut tables = BTreeMap::<_, Vec<_>>::new();
    for one in all {
        tables.entry(of(one)).or_default().push(one);
    }
    tables
}

/// Rows as three columns.
struct Columns<'r> {
    names: Vec<&'r str>,
    until: Vec<Option<i64>>,
    values: Vec<&'r str>,
    checksums: Vec<i64>,
}

impl<'r> Columns<'r> {
    fn of(rows: &[&&'r Row], tagger: Option<&Tagger>) -> Self {
        Self {
            names: rows.iter().map(|row| row.key.name.as_str()).collect(),
            until: rows.iter().map(|row| row.until.map(millis)).collect(),
            values: rows.iter().map(|row| row.value.as_str()).collect(),
            checksums: rows.iter().map(|row| row.checksum(tagger)).collect(),
        }
    }
}

fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

fn row_of(
    of: Aggregate,
    row: &tokio_postgres::Row,
    tagger: Option<&Tagger>,
) -> Result<Result<Row, Damaged>, tokio_postgres::Error> {
    let until = row.try_get::<_, Option<i64>>(1)?;
    let until = until.map(|until| Timestamp::from_millis(u64::try_from(until).unwrap_or(0)));
    let found = Row { key: RowKey { of, name: row.try_get(0)? }, until, value: row.try_get(2)? };
    Ok(found.checked(row.try_get(3)?, tagger))
}

impl Backend for Postgres {
    type Error = Error;

    fn is_shared(&self) -> bool {
        true
    }

    fn tag_by(&mut self, tagger: Tagger) {
        self.tagger = Some(tagger);
    }

    fn load(&mut self, of: Aggregate, most: usize, each: &mut dyn FnMut(Row)) -> Result<(), Error> {
        if most == 0 {
            return Ok(());
        }
        // Page by page: all of them in one statement take longer than any statement may.
        let table = of.as_str();
        let first = format!(
            "SELECT key, until, value, checksum FROM {table} WHERE key >= $1 ORDER BY key LIMIT $2"
        );
        let next = first.replace(">=", ">");
        let tagger = self.tagger;
        let (mut from, mut sql) = (self.last_but(of, most)?, &first);
        loop {
            let found = self.connect()?.once(sql, &[&from, &PAGE])?;
            for found in &found {
                each(row_of(of, found, tagger.as_ref())??);
            }
            match found.last() {
                Some(last) if found.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX) => {
                    from = last.try_get(0)?;
                }
                Some(_) | None => return Ok(()),
            }
            sql = &next;
        }
    }

    fn range(&mut self, range: &Range) -> Result<Found, Error> {
        let (order, on) = if range.last { ("DESC", "<") } else { ("ASC", ">") };
        let sql = format!(
            "SELECT key, until, value, checksum FROM {} WHERE key >= $1 AND key < $2 \
             AND ($3::text IS NULL OR key {on} $3) ORDER BY key {order} LIMIT $4",
            range.of.as_str()
        );
        if self.session.is_none() {
            // Who only reads has no transaction.
            self.connect()?;
        }
        let (mut found, mut after) = (Found::default(), None::<String>);
        // What is stepped over makes room for more.
        while found.rows.len() < range.most {
            let lacks = range.most.saturating_sub(found.rows.len());
            let page = i64::try_from(lacks).unwrap_or(i64::MAX).min(PAGE);
            let params: [&(dyn ToSql + Sync); 4] = [&range.from, &range.before, &after, &page];
            let rows = self.session()?.query(sql.clone(), &params)?;
            for row in &rows {
                found.take(row_of(range.of, row, self.tagger.as_ref())?, range)?;
            }
            match rows.last() {
                Some(last) if i64::try_from(rows.len()).is_ok_and(|read| read >= page) => {
                    after = Some(last.try_get(0)?);
                }
                Some(_) | None => break,
            }
        }
        if range.last {
            found.rows.reverse();
        }
        Ok(found)
    }

    fn begin(&mut self) -> Result<(), Error> {
        // Statements after the lock see what was committed before it: that is what READ COMMITTED says.
        let sql =
            format!("BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({TURN})");
        self.connect()?.run(&sql)
    }

    fn read(&mut self, keys: &[&RowKey]) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        for (of, keys) in by_table(keys, |key| key.of) {
            let sql = format!(
                "SELECT key, until, value, checksum FROM {} WHERE key = ANY($1)",
                of.as_str()
            );
            let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
            for found in self.session()?.query(sql, &[&names])? {
                rows.push(row_of(of, &found, self.tagger.as_ref())??);
            }
        }
        Ok(rows)
    }

    fn find(&mut self, of: Aggregate, by: By, whose: &[String]) -> Result<Vec<Row>, Error> {
        let Some(path) = by.path(of) else { return Ok(Vec::new()) };
        // As the index has it.
        let path = format!("{{{}}}", path.join(","));
        let table = of.as_str();
        let sql = format!(
            "SELECT key, until, value, checksum FROM {table} WHERE (value::json #>> '{path}') = ANY($1)"
        );
        let found = self.session()?.query(sql, &[&whose])?;
        let tagger = self.tagger.as_ref();
        found.iter().map(|found| Ok(row_of(of, found, tagger)??)).collect()
    }

    fn put(&mut self, rows: &[&Row]) -> Result<(), Error> {
        for (of, rows) in by_table(rows, |row| row.key.of) {
            let sql = format!(
                "INSERT INTO {} (key, until, value, checksum) \
                 SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) \
                 ON CONFLICT (key) DO UPDATE SET until = excluded.until, value = excluded.value, \
                 checksum = excluded.checksum",
                of.as_str()
            );
            let Columns { names, until, values, checksums } =
                Columns::of(&rows, self.tagger.as_ref());
            self.session()?.query(sql, &[&names, &until, &values, &checksums])?;
        }
        Ok(())
    }

    fn claim(&mut self, rows: &[&Row]) -> Result<Vec<bool>, Error> {
        let mut put = BTreeMap::<_, HashSet<String>>::new();
        for (of, rows) in by_table(rows, |row| row.key.of) {
            let sql = format!(
                "INSERT INTO {} (key, until, value, checksum) \
                 SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) \
                 ON CONFLICT (key) DO NOTHING RETURNING key",
                of.as_str()
            );
            let Columns { names, until, values, checksums } =
                Columns::of(&rows, self.tagger.as_ref());
            let found = self.session()?.query(sql, &[&names, &until, &values, &checksums])?;
            let names = found.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
            put.insert(of, names);
        }
        let is_put =
            |row: &&Row| put.get(&row.key.of).is_some_and(|put| put.contains(&row.key.name));
        Ok(rows.iter().map(is_put).collect())
    }

    fn remove(&mut self, rows: &[&Removal]) -> Result<(), Error> {
        for (of, rows) in by_table(rows, |row| row.key.of) {
            let table = of.as_str();
            let sql = format!(
                "DELETE FROM {table} USING unnest($1::text[], $2::text[]) AS gone (key, value) \
                 WHERE {table}.key = gone.key AND (gone.value IS NULL OR {table}.value = gone.value)"
            );
            let names: Vec<&str> = rows.iter().map(|row| row.key.name.as_str()).collect();
            let only: Vec<Option<&str>> = rows.iter().map(|row| row.only.as_deref()).collect();
            self.session()?.query(sql, &[&names, &only])?;
        }
        Ok(())
    }

    fn purge(
        &mut self,
        of: Aggregate,
        now: Timestamp,
        most: usize,
    ) -> Result<Option<Damaged>, Error> {
        let sql = format!(
            "SELECT key, until, value, checksum FROM {} WHERE until <= $1 LIMIT $2",
            of.as_str()
        );
        let mut ended = Ended::default();
        for most in Ended::looks(most) {
            for row in self.session()?.query(sql.clone(), &[&millis(now), &most])? {
                ended.take(row_of(of, &row, self.tagger.as_ref())?);
            }
            if !ended.is_stuck() {
                break;
            }
        }
        self.remove(&ended.removals.iter().take(most).collect::<Vec<_>>())?;
        Ok(ended.damaged)
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.session()?.run("COMMIT")
    }

    fn roll_back(&mut self) {
        // A session that failed once is not trusted again; closing it gives up its transaction.
        self.session = None;
    }

    fn is_damage(error: &Error) -> bool {
        matches!(error, Error::Damaged(_))
    }
}
