//! What Hefu's store holds, read as any other program would: tables of a key, an end and a JSON value.

use crate::cluster::apart;
use crate::outside::Kind;
use serde_json::Value;
use std::path::Path;

/// The store's rows, by kind.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) payments: Vec<Value>,
    pub(crate) expectations: Vec<Value>,
    pub(crate) inquiries: Vec<Value>,
    pub(crate) charges: Vec<Value>,
    pub(crate) holds: Vec<Value>,
}

impl Kept {
    pub(crate) fn read(kind: &Kind) -> Self {
        match kind {
            Kind::File(dir) => Self::in_file(&dir.path().join("hefu.db")),
            Kind::Shared(cluster) => apart(|| {
                let mut client = cluster.config().connect(postgres::NoTls).unwrap();
                Self::by(|table| {
                    let rows = client.query(&format!("SELECT value FROM {table}"), &[]).unwrap();
                    rows.iter().map(|row| row.get(0)).collect()
                })
            }),
        }
    }

    pub(crate) fn in_file(path: &Path) -> Self {
        let file = rusqlite::Connection::open(path).unwrap();
        Self::by(|table| {
            let mut rows = file.prepare(&format!("SELECT value FROM {table}")).unwrap();
            rows.query_map((), |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
        })
    }

    fn by(mut values: impl FnMut(&str) -> Vec<String>) -> Self {
        let mut of = |table: &str| -> Vec<Value> {
            values(table).iter().map(|value| serde_json::from_str(value).unwrap()).collect()
        };
        Self {
            payments: of("payments"),
            expectations: of("expectations"),
            inquiries: of("inquiries"),
            charges: of("charges"),
            holds: of("holds"),
        }
    }
}
