//! Where stores keep what they keep: in a file, or in a database that replicas share.

use crate::cluster::{Cluster, apart};
use hefu::crypto::fingerprint::Fingerprinter;
use hefu::crypto::keys::Keys;
use hefu::domain::id::KeyId;
use hefu::store::keys::{self, KeysError};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::postgres::Postgres;
use hefu::store::sqlite;
use hefu::store::writer::Event;
use tempfile::TempDir;

/// Where a store keeps what it keeps.
pub(crate) enum Place {
    File(TempDir),
    Shared(Cluster),
}

/// The key of number `id`, of bytes that are all alike.
pub(crate) fn key(id: u16, byte: u8) -> Fingerprinter {
    Fingerprinter::new(KeyId(id), &[byte; 32]).unwrap()
}

/// Where a cluster is, as the store is told.
pub(crate) fn place_of(cluster: &Cluster) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host_path(cluster.place()).user("hefu").dbname("postgres");
    config
}

impl Place {
    pub(crate) fn file() -> Self {
        Self::File(TempDir::new().unwrap())
    }

    /// One of each kind that lasts.
    pub(crate) fn every() -> [Self; 2] {
        [Self::file(), Self::Shared(Cluster::start())]
    }

    pub(crate) fn open(&self) -> MemoryStore {
        self.open_within(Limits::default())
    }

    /// Whether the store may be opened with these keys.
    pub(crate) fn check(&self, keys: &Keys) -> Result<(), KeysError> {
        match self {
            Self::File(dir) => {
                keys::check(&mut sqlite::open(&dir.path().join("hefu.db")).unwrap(), keys)
            }
            Self::Shared(cluster) => {
                apart(|| keys::check(&mut Postgres::open(&place_of(cluster), &[]).unwrap(), keys))
            }
        }
    }

    /// Changes what is kept, beside Hefu.
    pub(crate) fn sql(&self, sql: &str) {
        match self {
            Self::File(dir) => {
                let file = rusqlite::Connection::open(dir.path().join("hefu.db")).unwrap();
                file.execute_batch(sql).unwrap();
            }
            Self::Shared(cluster) => {
                let connect = || cluster.config().connect(postgres::NoTls).unwrap();
                apart(|| connect().batch_execute(sql).unwrap());
            }
        }
    }

    pub(crate) fn open_within(&self, limits: Limits) -> MemoryStore {
        self.open_telling(limits, |_| ())
    }

    /// With who is told what happens there.
    pub(crate) fn open_telling(
        &self,
        limits: Limits,
        tell: impl Fn(Event) + Send + 'static,
    ) -> MemoryStore {
        match self {
            Self::File(dir) => {
                let backend = sqlite::open(&dir.path().join("hefu.db")).unwrap();
                MemoryStore::open(limits, backend, tell).unwrap()
            }
            Self::Shared(cluster) => apart(|| {
                let mut backend = Postgres::open(&place_of(cluster), &[]).unwrap();
                keys::check(&mut backend, &key(1, 1).into()).unwrap();
                MemoryStore::open(limits, backend, tell).unwrap()
            }),
        }
    }
}
