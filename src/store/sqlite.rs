//! The embedded database: `SQLite` with a write-ahead log, one writer, and a sync at every commit.

mod backup;
mod error;
mod wal;

use crate::domain::clock::Timestamp;
use crate::domain::id::PaymentId;
use crate::domain::keep::PAYMENTS_KEPT;
use crate::store::row::{Aggregate, Damaged, Removal, Row, RowKey};
use crate::store::segment::{Segmented, beside};
use crate::store::shelf::{Found, Range};
use crate::store::writer::{Backend, By, Ended};
pub use backup::{BackUpError, back_up};
pub use error::{Error, OpenError};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionState, params};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;
use wal::Wal;

/// `Hefu` in ASCII: what `PRAGMA application_id` says of a file of ours.
const APPLICATION_ID: i32 = 0x4865_6675;

/// How long another process may keep us from writing: the one before this during an upgrade, or a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The size of a page of a new file, in bytes: a row of more than a quarter of one takes a page of its own beside it, and the record
/// of a payment has some 1,300.
const PAGE: u32 = 8192;

/// How many statements are kept for the next time.
const STATEMENTS: usize = 64;

/// How many rows one statement writes: to run one takes longer than to write a row.
const TOGETHER: usize = 16;

/// Every version of the schema, from the first; `PRAGMA user_version` says how many of them a file has. Never edited: a
/// change is one more.
const MIGRATIONS: [&str; 11] = [
    include_str!("../../migrations/sqlite-001.sql"),
    include_str!("../../migrations/sqlite-002.sql"),
    include_str!("../../migrations/sqlite-003.sql"),
    include_str!("../../migrations/sqlite-004.sql"),
    include_str!("../../migrations/sqlite-005.sql"),
    include_str!("../../migrations/sqlite-006.sql"),
    include_str!("../../migrations/sqlite-007.sql"),
    include_str!("../../migrations/sqlite-008.sql"),
    include_str!("../../migrations/sqlite-009.sql"),
    include_str!("../../migrations/sqlite-010.sql"),
    include_str!("../../migrations/sqlite-011.sql"),
];

/// Opens the store at `path`: the file, and a log in front of it.
///
/// # Errors
/// [`OpenError`].
pub fn open(path: &Path) -> Result<Segmented<Sqlite>, OpenError> {
    open_with(path, Older::Changed)
}

/// What is done about a store with an older schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Older {
    /// It is brought up to date.
    Changed,
    /// It is left as it is: nobody reads its rows.
    Left,
    /// It is not opened: another Hefu may have it.
    Refused,
}

fn open_with(path: &Path, older: Older) -> Result<Segmented<Sqlite>, OpenError> {
    Segmented::open(path, |alone| {
        if alone {
            let wrong = |source: io::Error| match source.kind() {
                io::ErrorKind::InvalidData => OpenError::Short { path: path.to_owned() },
                _ => OpenError::File { path: beside(path, "-wal"), source },
            };
            wal::check(path).map_err(wrong)?;
        }
        // With it noted how far the write-ahead log is durable.
        Sqlite::open_with(path, older, |connection| Wal::new(path, connection).map(Some))
    })
}

/// As [`open`], for who only reads it, and for long: whoever wants in meanwhile need not wait. Its schema must be this Hefu's.
///
/// # Errors
/// [`OpenError`].
pub fn open_to_read(path: &Path) -> Result<Segmented<Sqlite>, OpenError> {
    open_to_share(path, Older::Refused)
}

fn open_to_share(path: &Path, older: Older) -> Result<Segmented<Sqlite>, OpenError> {
    let mut store = open_with(path, older)?;
    store.share()?;
    Ok(store)
}

/// An open file.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    /// Absent where nobody takes care that it is alone when that is checked.
    wal: Option<Wal>,
    lazily: bool,
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        if let Some(wal) = &mut self.wal {
            wal.close(&self.connection);
        }
    }
}

impl Sqlite {
    /// Opens the file at `path`, which is created where there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, Older::Changed, |_| Ok(None))
    }

    fn open_with(
        path: &Path,
        older: Older,
        wal: impl FnOnce(&mut Connection) -> rusqlite::Result<Option<Wal>>,
    ) -> Result<Self, OpenError> {
        // Nobody else reads it, nor the files that SQLite puts beside it, which get the same mode.
        std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| OpenError::File { path: path.to_owned(), source })?;
        let wrong = |source| OpenError::Database { path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(wrong)?;
        let wal = wal(&mut connection).map_err(wrong)?;
        let store = Self { connection, wal, lazily: false };
        store.prepare().map_err(wrong)?;
        store.migrate(path, older)?;
        // What a statement of many rows is taken back with would be a file else. Not before: an index that is made sorts all rows.
        store.connection.pragma_update(None, "temp_store", "memory").map_err(wrong)?;
        Ok(store)
    }

    fn prepare(&self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(BUSY_TIMEOUT)?;
        // An old file keeps its own.
        self.connection.pragma_update(None, "page_size", PAGE)?;
        self.connection.pragma_update(None, "journal_mode", "wal")?;
        self.connection.pragma_update(None, "synchronous", "full")?;
        self.connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(())
    }

    fn migrate(&self, path: &Path, older: Older) -> Result<(), OpenError> {
        let wrong = |source| OpenError::Database { path: path.to_owned(), source };
        let missing = self.missing(path)?;
        if older == Older::Refused && !missing.is_empty() {
            let known = MIGRATIONS.len();
            let found = known.saturating_sub(missing.len());
            return Err(OpenError::Older { path: path.to_owned(), found, known });
        }
        // Of a large file it takes seconds, for which nobody is kept from writing.
        let damage: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", (), |row| row.get(0))
            .map_err(wrong)?;
        if damage != "ok" {
            return Err(OpenError::Damaged { path: path.to_owned(), damage });
        }
        if missing.is_empty() || older == Older::Left {
            return Ok(());
        }
        // Two processes may open a new file at once: the second waits, and finds it made.
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(wrong)?;
        let made = self.missing(path).and_then(|missing| self.make(missing).map_err(wrong));
        let end = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
        self.connection.execute_batch(end).map_err(wrong)?;
        made
    }

    /// The steps of the schema that the file does not have.
    fn missing(&self, path: &Path) -> Result<&'static [&'static str], OpenError> {
        let wrong = |source| OpenError::Database { path: path.to_owned(), source };
        let number = |pragma| {
            self.connection
                .pragma_query_value(None, pragma, |row| row.get::<_, i32>(0))
                .map_err(wrong)
        };
        let (application, version) = (number("application_id")?, number("user_version")?);
        let tables: i64 = self
            .connection
            .query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))
            .map_err(wrong)?;
        if application != APPLICATION_ID && (application != 0 || tables != 0) {
            return Err(OpenError::Foreign(path.to_owned()));
        }
        let found = usize::try_from(version).unwrap_or(usize::MAX);
        let newer = || OpenError::Newer { path: path.to_owned(), found, known: MIGRATIONS.len() };
        MIGRATIONS.get(found..).ok_or_else(newer)
    }

    fn make(&self, steps: &[&str]) -> rusqlite::Result<()> {
        steps.iter().try_for_each(|step| self.connection.execute_batch(step))?;
        self.connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        self.connection.pragma_update(None, "user_version", known)
    }

    /// Writes rows of `of` by one statement; says how many it wrote.
    fn write(&self, verb: &str, of: Aggregate, rows: &[&Row]) -> rusqlite::Result<usize> {
        let table = of.as_str();
        let mut sql = format!("{verb} INTO {table} (key, until, value, checksum) VALUES (?,?,?,?)");
        sql.extend(std::iter::repeat_n(",(?,?,?,?)", rows.len().saturating_sub(1)));
        let mut statement = self.connection.prepare_cached(&sql)?;
        for (row, at) in rows.iter().zip((1..).step_by(4)) {
            statement.raw_bind_parameter(at, &row.key.name)?;
            statement.raw_bind_parameter(at + 1, row.until.map(millis))?;
            statement.raw_bind_parameter(at + 2, &row.value)?;
            statement.raw_bind_parameter(at + 3, row.checksum(None))?;
        }
        statement.raw_execute()
    }

    fn one(&self, key: &RowKey) -> Result<Option<Row>, Error> {
        let table = key.of.as_str();
        let sql = format!("SELECT key, until, value, checksum FROM {table} WHERE key = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([&key.name])?;
        Ok(rows.next()?.map(|row| row_of(key.of, row)).transpose()?)
    }
}

/// From the columns key, until, value and checksum. What is not of their types, or no text, was not written so.
fn row_of(of: Aggregate, row: &rusqlite::Row<'_>) -> Result<Row, Damaged> {
    let name = row.get_ref(0).ok().and_then(|name| name.as_bytes().ok()).unwrap_or_default();
    let damaged = |_| Damaged(RowKey { of, name: String::from_utf8_lossy(name).into_owned() });
    let until = row.get::<_, Option<i64>>(1).map_err(damaged)?.map(timestamp);
    let key = RowKey { of, name: row.get(0).map_err(damaged)? };
    let found = Row { key, until, value: row.get(2).map_err(damaged)? };
    found.checked(row.get(3).map_err(damaged)?, None)
}

/// Milliseconds as the database's integers hold them; the far end of time is theirs.
fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// Before which key of a table all rows are that end at `now` or earlier, where the keys begin with the time at which they are made:
/// such a table has no index on ends.
fn ends_before(of: Aggregate, now: Timestamp) -> Option<String> {
    let timed = matches!(of, Aggregate::Payments | Aggregate::Expectations);
    let made = now.minus(PAYMENTS_KEPT).plus(Duration::from_millis(1));
    timed.then(|| PaymentId::new(made, 0).to_string())
}

impl Backend for Sqlite {
    type Error = Error;

    fn reader(&self) -> Option<Self> {
        let path = self.connection.path()?;
        // Who only reads has to write, too: where in the log he reads.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "query_only", true)?;
            connection.set_prepared_statement_cache_capacity(STATEMENTS);
            // Its files are opened with the first look, of which it is known so that it can be.
            connection.query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(()))?;
            Ok(Self { connection, wal: None, lazily: false })
        });
        let said = |error| tracing::warn!(path, %error, "the store is opened once only: what is looked up waits while the database writes");
        opened.map_err(said).ok()
    }

    fn idle(&mut self) {
        self.wal.iter_mut().for_each(Wal::sync);
    }

    fn lazily(&mut self, lazily: bool) -> Result<(), Error> {
        let synchronous = if lazily { "normal" } else { "full" };
        self.connection.pragma_update(None, "synchronous", synchronous)?;
        self.lazily = lazily;
        Ok(())
    }

    fn load(&mut self, of: Aggregate, most: usize, each: &mut dyn FnMut(Row)) -> Result<(), Error> {
        let table = of.as_str();
        // From a key on, in the order in which the table is: rows that are chosen first and ordered then are all copied.
        let sql = format!(
            "SELECT key, until, value, checksum FROM {table} WHERE key >= coalesce(\
             (SELECT key FROM {table} ORDER BY key DESC LIMIT 1 OFFSET ?1), '') ORDER BY key"
        );
        let Some(before) = most.checked_sub(1) else { return Ok(()) };
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query([before])?;
        while let Some(row) = rows.next()? {
            each(row_of(of, row)?);
        }
        Ok(())
    }

    fn range(&mut self, range: &Range) -> Result<Found, Error> {
        let order = if range.last { "DESC" } else { "ASC" };
        // Without a limit: it is read only as far as rows are needed.
        let sql = format!(
            "SELECT key, until, value, checksum FROM {} WHERE key >= ?1 AND key < ?2 ORDER BY key {order}",
            range.of.as_str()
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![range.from, range.before])?;
        let mut found = Found::default();
        while found.rows.len() < range.most
            && let Some(row) = rows.next()?
        {
            found.take(row_of(range.of, row), range)?;
        }
        if range.last {
            found.rows.reverse();
        }
        Ok(found)
    }

    fn begin(&mut self) -> Result<(), Error> {
        Ok(self.connection.execute_batch("BEGIN IMMEDIATE")?)
    }

    fn read(&mut self, keys: &[&RowKey]) -> Result<Vec<Row>, Error> {
        // Each look-up outside a transaction would lock and unlock the file.
        let alone = self.connection.is_autocommit() && keys.len() > 1;
        let whole = alone.then(|| self.connection.unchecked_transaction()).transpose()?;
        let rows = keys.iter().filter_map(|key| self.one(key).transpose()).collect();
        whole.map_or(Ok(()), Transaction::commit)?;
        rows
    }

    fn find(&mut self, of: Aggregate, by: By, whose: &[String]) -> Result<Vec<Row>, Error> {
        let Some(path) = by.path(of) else { return Ok(Vec::new()) };
        // As the index has it.
        let step = |step: &&str| match step.parse::<u8>() {
            Ok(position) => format!("[{position}]"),
            Err(_) => format!(".{step}"),
        };
        let path: String = std::iter::once("$".to_owned()).chain(path.iter().map(step)).collect();
        let table = of.as_str();
        let sql = format!(
            "SELECT key, until, value, checksum FROM {table} WHERE json_extract(value, '{path}') = ?1"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut found = Vec::new();
        for one in whose {
            let mut rows = statement.query([one])?;
            while let Some(row) = rows.next()? {
                found.push(row_of(of, row)?);
            }
        }
        Ok(found)
    }

    fn put(&mut self, rows: &[&Row]) -> Result<(), Error> {
        for rows in rows.chunk_by(|one, next| one.key.of == next.key.of) {
            let (many, few) = rows.as_chunks::<TOGETHER>();
            for rows in many.iter().map(<[_; _]>::as_slice).chain(few.chunks(1)) {
                let Some(first) = rows.first() else { continue };
                self.write("INSERT OR REPLACE", first.key.of, rows)?;
            }
        }
        Ok(())
    }

    fn claim(&mut self, rows: &[&Row]) -> Result<Vec<bool>, Error> {
        rows.iter()
            .map(|row| Ok(self.write("INSERT OR IGNORE", row.key.of, &[row])? == 1))
            .collect()
    }

    fn remove(&mut self, rows: &[&Removal]) -> Result<(), Error> {
        rows.iter().try_for_each(|Removal { key, only }| {
            let table = key.of.as_str();
            let sql = format!("DELETE FROM {table} WHERE key = ?1 AND (?2 IS NULL OR value = ?2)");
            let params = params![key.name, only];
            Ok(self.connection.prepare_cached(&sql)?.execute(params).map(drop)?)
        })
    }

    fn purge(
        &mut self,
        of: Aggregate,
        now: Timestamp,
        most: usize,
    ) -> Result<Option<Damaged>, Error> {
        let (before, among) = match ends_before(of, now) {
            Some(before) => (before, "key < ?2 AND "),
            None => (String::new(), ""),
        };
        let sql = format!(
            "SELECT key, until, value, checksum FROM {} WHERE {among}until <= ?1 LIMIT ?3",
            of.as_str()
        );
        let mut ended = Ended::default();
        let mut statement = self.connection.prepare_cached(&sql)?;
        for most in Ended::looks(most) {
            let mut rows = statement.query(params![millis(now), before, most])?;
            while let Some(row) = rows.next()? {
                ended.take(row_of(of, row));
            }
            if !ended.is_stuck() {
                break;
            }
        }
        drop(statement);
        self.remove(&ended.removals.iter().take(most).collect::<Vec<_>>())?;
        Ok(ended.damaged)
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.connection.execute_batch("COMMIT")?;
        let Some(wal) = &mut self.wal else { return Ok(()) };
        wal.committed(&self.connection, self.lazily).map_err(Error::Sync)
    }

    fn roll_back(&mut self) {
        // Some errors end the transaction by themselves.
        let open = self.connection.transaction_state(None::<&str>);
        if open.is_ok_and(|state| state != TransactionState::None)
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction cannot be given up");
        }
    }

    fn is_damage(error: &Error) -> bool {
        matches!(error, Error::Damaged(_))
    }
}
