//! The primary of a `PostgreSQL` with a synchronous standby dies, and the standby is promoted: Hefu goes on by itself, and whatever
//! was admitted is there.

use crate::cluster::{Cluster, apart};
use crate::values::{admission, leaving};
use hefu::store::journal::{Admitted, Journal as _};
use hefu::store::memory::{Limits, MemoryStore};
use hefu::store::postgres::{Postgres, Waits};
use postgres::NoTls;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How many payments are under way at once.
const LANES: u128 = 16;

/// How many are admitted before the primary dies, and how many more after it, at least.
const ADMITTED: usize = 300;

/// Nobody waits long here.
const WAITS: Waits =
    Waits { connect: Duration::from_secs(1), answer: Duration::from_millis(1_500) };

fn open(places: &[&Cluster]) -> MemoryStore {
    let mut config = tokio_postgres::Config::new();
    for place in places {
        config.host_path(place.place());
    }
    config.user("hefu").dbname("postgres");
    let open = || Postgres::open_within(&config, &[], WAITS).unwrap();
    apart(|| MemoryStore::open(Limits::default(), open(), |_| ()).unwrap())
}

/// A copy of the primary that follows it.
fn standby_of(primary: &Cluster) -> Cluster {
    let mut standby = Cluster::nothing();
    let mut copy = standby.command("pg_basebackup");
    copy.args([
        "--host",
        &primary.place(),
        "--username=hefu",
        "--no-sync",
        "--write-recovery-conf",
    ]);
    let copied = copy.args(["--checkpoint=fast", "--wal-method=stream"]).output().unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    standby.go_on();
    standby
}

fn promote(standby: &Cluster) {
    let promoted = standby.command("pg_ctl").args(["--wait", "promote"]).output().unwrap();
    assert!(promoted.status.success(), "{}", String::from_utf8_lossy(&promoted.stderr));
}

/// Has every commit wait for the standby, once that is there.
fn synchronously(primary: &Cluster) {
    let mut client = primary.config().connect(NoTls).unwrap();
    client.batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'").unwrap();
    client.batch_execute("SELECT pg_reload_conf()").unwrap();
    let state = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
    while client.query_one(state, &[]).unwrap().get::<_, i64>(0) == 0 {
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "what was found is said")]
async fn what_was_admitted_is_there_after_a_failover() {
    let mut primary = Cluster::start();
    let standby = standby_of(&primary);
    apart(|| synchronously(&primary));
    let store = Arc::new(open(&[&primary, &standby]));
    let count = Arc::new(AtomicUsize::new(0));
    let lanes = (0..LANES).map(|lane| {
        let (store, count) = (Arc::clone(&store), Arc::clone(&count));
        tokio::spawn(async move {
            let (mut admitted, mut refused, mut order) = (Vec::new(), 0, lane);
            while count.load(Ordering::Relaxed) < 2 * ADMITTED {
                let leaving = leaving(order, &order.to_string());
                match store.admit(admission(vec![leaving])).await {
                    Ok(Admitted::Yes) => {
                        count.fetch_add(1, Ordering::Relaxed);
                        admitted.push(order);
                    }
                    Ok(other) => panic!("{other:?}"),
                    // In its time the order is sent again; here another is.
                    Err(_) => refused += 1,
                }
                order += LANES;
                tokio::task::yield_now().await;
            }
            (admitted, refused)
        })
    });
    let lanes: Vec<_> = lanes.collect();
    while count.load(Ordering::Relaxed) < ADMITTED {
        tokio::task::yield_now().await;
    }
    let died = tokio::time::Instant::now();
    apart(|| {
        primary.stop();
        promote(&standby);
    });
    let promoted = died.elapsed();
    let before = count.load(Ordering::Relaxed);
    while count.load(Ordering::Relaxed) == before {
        tokio::task::yield_now().await;
    }
    let again = died.elapsed();
    let (mut admitted, mut refused) = (Vec::new(), 0);
    for lane in lanes {
        let (orders, not) = lane.await.unwrap();
        admitted.extend(orders);
        refused += not;
    }
    drop(store);
    let store = open(&[&standby]);
    let mut lost = BTreeSet::new();
    for order in &admitted {
        let again = admission(vec![leaving(order + 1_000_000_000, &order.to_string())]);
        if store.admit(again).await != Ok(Admitted::AlreadySent) {
            lost.insert(*order);
        }
    }
    println!(
        "{} admitted, {refused} refused; promoted {promoted:?} after the primary died, admitted again after {again:?}",
        admitted.len()
    );
    assert!(lost.is_empty(), "{} orders may leave twice: {lost:?}", lost.len());
    assert!(admitted.len() >= 2 * ADMITTED && refused > 0);
}
