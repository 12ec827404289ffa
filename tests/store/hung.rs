//! `PostgreSQL` that does not answer: hung, cut off, swallowed on the way, failed over, or only read. Money is refused within a
//! moment, and leaves again as soon as there is somebody who answers.

use crate::cluster::{Cluster, apart};
use crate::place::place_of;
use crate::values::{admission, leaving, record};
use hefu::store::journal::{Admitted, Journal as _, StoreLost};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::postgres::{OpenError, Postgres, Waits};
use hefu::store::row::Aggregate;
use hefu::store::writer::Backend as _;
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// Nobody waits long here.
const WAITS: Waits =
    Waits { connect: Duration::from_secs(1), answer: Duration::from_millis(1_500) };

/// After how long a test is given up that waits for what must come.
const GIVE_UP: Duration = Duration::from_mins(1);

/// What becomes of what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    /// Nothing goes on in either direction, and no connection ends.
    Stalled,
    /// From the next commit on, what the server says is lost.
    UntilCommit,
    /// What the server says is lost.
    Swallowed,
}

/// A connection's way.
#[derive(Clone)]
struct Line(Arc<(Mutex<Way>, Condvar)>);

impl Line {
    fn new(way: Way) -> Self {
        Self(Arc::new((Mutex::new(way), Condvar::new())))
    }

    fn set(&self, way: Way) {
        *self.0.0.lock().unwrap() = way;
        self.0.1.notify_all();
    }

    /// Its way, once that is not stalled.
    fn way(&self) -> Way {
        let stalled = |way: &mut Way| *way == Way::Stalled;
        *self.0.1.wait_while(self.0.0.lock().unwrap(), stalled).unwrap()
    }
}

/// Connections.
struct Lines {
    /// The way of those to come.
    next: Way,
    /// Those that there are.
    open: Vec<(Line, TcpStream)>,
}

/// What stands between Hefu and the server: connections by TCP, each with its way.
struct Proxy {
    port: u16,
    lines: Arc<Mutex<Lines>>,
}

impl Proxy {
    fn before(cluster: &Cluster) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let lines = Arc::new(Mutex::new(Lines { next: Way::Open, open: Vec::new() }));
        let (theirs, socket) =
            (lines.clone(), PathBuf::from(cluster.place()).join(".s.PGSQL.5432"));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = UnixStream::connect(&socket) else { continue };
                let mut lines = theirs.lock().unwrap();
                let line = Line::new(lines.next);
                lines.open.push((line.clone(), client.try_clone().unwrap()));
                carry(client, server, &line);
            }
        });
        Self { port, lines }
    }

    /// Has connections that there are go that way.
    fn turn(&self, way: Way) {
        self.lines.lock().unwrap().open.iter().for_each(|(line, _)| line.set(way));
    }

    /// Has connections to come go that way.
    fn turn_next(&self, way: Way) {
        self.lines.lock().unwrap().next = way;
    }

    /// Ends all connections.
    fn cut(&self) {
        for (_, client) in self.lines.lock().unwrap().open.drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

/// Carries what comes either way, on threads of their own.
fn carry(client: TcpStream, server: UnixStream, line: &Line) {
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let theirs = line.clone();
    thread::spawn(move || {
        let mut bytes = [0; 16_384];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if theirs.way() == Way::UntilCommit && has_commit(&bytes[..count]) {
                theirs.set(Way::Swallowed);
            }
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
    let (mut from, mut to, ours) = (server, client, line.clone());
    thread::spawn(move || {
        let mut bytes = [0; 16_384];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if ours.way() != Way::Swallowed && to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

fn has_commit(bytes: &[u8]) -> bool {
    bytes.windows(7).any(|window| window == b"COMMIT\0")
}

/// Servers behind those proxies, in that order.
fn through(proxies: &[&Proxy]) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.user("hefu").dbname("postgres");
    for proxy in proxies {
        config.host("127.0.0.1").port(proxy.port);
    }
    config
}

fn store(config: &tokio_postgres::Config) -> MemoryStore {
    let open = || Postgres::open_within(config, &[], WAITS);
    let open = || MemoryStore::open(Limits::default(), open().unwrap(), |_| ()).unwrap();
    apart(open)
}

async fn admit(store: &MemoryStore, number: u128) -> Result<Admitted, StoreLost> {
    store.admit(admission(vec![leaving(number, &number.to_string())])).await
}

/// Admits the order as soon as that is possible.
async fn admitted_at_last(store: &MemoryStore, number: u128) {
    let at_last = async {
        while admit(store, number).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    let at_last = tokio::time::timeout(GIVE_UP, at_last).await;
    assert!(at_last.is_ok(), "it does not go on by itself");
}

/// The payments that hold an order, as they are kept.
fn kept(cluster: &Cluster) -> BTreeSet<String> {
    let mut kept = BTreeSet::new();
    let mut take = |row: hefu::store::row::Row| {
        kept.insert(row.key.name.rsplit('\n').next().unwrap().to_owned());
    };
    apart(|| {
        let mut backend = Postgres::open(&place_of(cluster), &[]).unwrap();
        backend.load(Aggregate::Orders, 100, &mut take).unwrap();
    });
    kept
}

/// What was refused may have been done; it is given back, and what was admitted stays.
#[tokio::test]
async fn a_server_that_does_not_answer_stops_nobody_for_long() {
    let cluster = Cluster::start();
    let proxy = Proxy::before(&cluster);
    let store = store(&through(&[&proxy]));
    let mut left = BTreeSet::new();
    let mut number = 0;
    for trouble in ["stalled", "swallowed", "cut", "gone"] {
        number += 1;
        admitted_at_last(&store, number).await;
        left.insert(number.to_string());
        number += 1;
        match trouble {
            "stalled" => proxy.turn(Way::Stalled),
            // It happens, and nobody is told.
            "swallowed" => proxy.turn(Way::UntilCommit),
            "cut" => proxy.cut(),
            _ => {
                // Whoever comes is taken, and told nothing.
                proxy.turn_next(Way::Stalled);
                proxy.cut();
            }
        }
        assert_eq!(admit(&store, number).await, Err(StoreLost), "{trouble}");
        // Only what is new gets through: nothing was repaired.
        proxy.turn_next(Way::Open);
        number += 1;
        admitted_at_last(&store, number).await;
        left.insert(number.to_string());
        assert_eq!(store.flush().await, Ok(()), "{trouble}");
        assert_eq!(kept(&cluster), left, "{trouble}");
    }
}

/// A server that hangs, one that is only read, and the one that is written.
#[tokio::test]
async fn the_server_that_can_be_written_is_found_among_several() {
    let [cluster, standby] = [Cluster::start(), Cluster::start()];
    read_only(&standby, true);
    let [hung, old, new] =
        [Proxy::before(&standby), Proxy::before(&standby), Proxy::before(&cluster)];
    hung.turn_next(Way::Stalled);
    let store = store(&through(&[&hung, &old, &new]));
    admitted_at_last(&store, 1).await;
    assert_eq!(kept(&cluster), ["1".to_owned()].into());
    let config = through(&[&hung, &old]);
    let opened = apart(|| Postgres::open_within(&config, &[], WAITS));
    let error = opened.map_err(|error| error.to_string()).err().unwrap_or_default();
    assert!(error.contains("does not allow writes"), "{error}");
    let hung = through(&[&hung]);
    let opened = apart(|| Postgres::open_within(&hung, &[], WAITS));
    assert!(matches!(opened, Err(OpenError::Database(_))));
}

fn read_only(cluster: &Cluster, on: bool) {
    apart(|| {
        let mut client = cluster.config().connect(postgres::NoTls).unwrap();
        let set = if on {
            "SET default_transaction_read_only = on"
        } else {
            "RESET default_transaction_read_only"
        };
        client.batch_execute(&format!("ALTER SYSTEM {set}")).unwrap();
        client.batch_execute("SELECT pg_reload_conf()").unwrap();
        let expected = if on { "on" } else { "off" };
        loop {
            let mut client = cluster.config().connect(postgres::NoTls).unwrap();
            let told = client.query_one("SHOW default_transaction_read_only", &[]).unwrap();
            if told.get::<_, &str>(0) == expected {
                return;
            }
        }
    });
}

/// As after a failover to a standby that is not promoted yet, or where somebody stops all writing.
#[tokio::test]
async fn a_database_that_is_only_read_refuses_money_until_it_is_written() {
    let cluster = Cluster::start();
    let store = store(&place_of(&cluster));
    admitted_at_last(&store, 1).await;
    read_only(&cluster, true);
    for number in 2..5 {
        assert_eq!(admit(&store, number).await, Err(StoreLost), "{number}");
    }
    // What is never refused is remembered meanwhile.
    hefu::store::PaymentStore::put_record(&store, record(9));
    read_only(&cluster, false);
    admitted_at_last(&store, 2).await;
    assert_eq!(store.flush().await, Ok(()));
    assert_eq!(kept(&cluster), ["1", "2"].map(str::to_owned).into());
}
