//! No element at rest: every byte that a run left, in files, a database's own files, its dump, and what Hefu said.

use crate::cluster::{Cluster, apart};
use crate::outside::{Kind, Outside, PEOPLE};
use hefu::sim::{LeakScanner, Settings, Simulation};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Everything that a run left, by where it stands.
type Left = BTreeMap<String, Vec<u8>>;

/// Finds no element of anybody in the world of `seed`, and finds one that is planted in the store.
#[expect(clippy::print_stdout, reason = "what was scanned is shown")]
pub(crate) async fn nowhere(seed: u64, kind: &Kind, outside: &Outside, listed: &Value) {
    let dir = TempDir::new().unwrap();
    let settings = Settings { people: PEOPLE, ..Settings::new(seed, dir.path().to_owned()) };
    // Nobody in it has sent anything, so that everybody is looked for.
    let world = Simulation::start(settings).await.unwrap();
    let scanner = world.leak_scanner().unwrap();
    let mut left = of_store(kind);
    let bytes = |left: &Left| left.values().map(Vec::len).sum::<usize>();
    println!("{} files of the store, {} bytes", left.len(), bytes(&left));
    assert!(bytes(&left) > 100_000, "the store is empty");
    files(outside.place.path(), &mut left);
    let logs = outside.logs.lock().unwrap().iter().map(|log| log.text()).collect::<String>();
    assert!(logs.contains("serving"), "nothing was logged");
    left.insert("the logs".to_owned(), logs.into_bytes());
    left.insert("the list of inquiries".to_owned(), listed.to_string().into_bytes());
    assert!(scanner.elements() > 3 * PEOPLE, "{} elements", scanner.elements());
    println!("{} elements, {} bytes", scanner.elements(), bytes(&left));
    assert_eq!(found(&scanner, &left), Vec::<String>::new());
    plant(kind, &format!("\"{}\"", world.an_element()));
    let planted = found(&scanner, &of_store(kind));
    println!("planted: {planted:?}");
    let expected: &[&str] = match kind {
        Kind::File(_) => &["hefu.db-wal"],
        Kind::Shared(_) => &["the dump", "/data/base/", "/data/pg_wal/"],
    };
    for place in expected {
        let there = |leak: &&String| leak.contains(place) && leak.contains("pan");
        assert!(planted.iter().any(|leak| there(&leak)), "{place}: {planted:?}");
    }
}

fn found(scanner: &LeakScanner, left: &Left) -> Vec<String> {
    let leaks = left.iter().flat_map(|(at, bytes)| {
        scanner.scan(bytes).into_iter().map(move |leak| format!("{at}: {leak:?}"))
    });
    leaks.collect()
}

/// The files of the store as they are; of a database, its own, what it has not written yet included, and a dump.
fn of_store(kind: &Kind) -> Left {
    let mut left = Left::new();
    match kind {
        Kind::File(dir) => files(dir.path(), &mut left),
        Kind::Shared(cluster) => {
            apart(|| {
                let mut client = cluster.config().connect(postgres::NoTls).unwrap();
                client.batch_execute("CHECKPOINT").unwrap();
            });
            files(Path::new(&cluster.place()), &mut left);
            let mut dump = Cluster::program("pg_dump");
            dump.args(["--host", &cluster.place(), "--username", "hefu", "postgres"]);
            let dump = dump.output().unwrap();
            assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
            left.insert("the dump".to_owned(), dump.stdout);
        }
    }
    left
}

fn files(dir: &Path, left: &mut Left) {
    for entry in fs::read_dir(dir).unwrap() {
        let (path, kind) = entry.map(|it| (it.path(), it.file_type().unwrap())).unwrap();
        if kind.is_dir() {
            files(&path, left);
        } else if kind.is_file() {
            // A server removes files of its own at any time.
            if let Ok(bytes) = fs::read(&path) {
                left.insert(path.display().to_string(), bytes);
            }
        }
    }
}

/// Keeps a row of which the value is `value`, as somebody would who forgot.
fn plant(kind: &Kind, value: &str) {
    let sql = format!("INSERT INTO unmapped_codes (key, value) VALUES ('planted', '{value}')");
    match kind {
        Kind::File(dir) => {
            let file = rusqlite::Connection::open(dir.path().join("hefu.db")).unwrap();
            file.execute_batch(&sql).unwrap();
            // Its end would put the log in order: what is in the log is there already.
            std::mem::forget(file);
        }
        Kind::Shared(cluster) => apart(|| {
            let mut client = cluster.config().connect(postgres::NoTls).unwrap();
            client.batch_execute(&sql).unwrap();
        }),
    }
}
