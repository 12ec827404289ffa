//! Sockets bound and serving, until they are drained or handed over.

use super::clock::Steady;
use super::handover::{ADMIN, CORE, METRICS, NOTIFY, Sockets, VERIFICATION};
use super::listener::{Bounds, serve};
use super::managed::{Desk, InForce};
use super::rules::rulebook;
use super::{Generation, Lasting, StartError, clients, webhooks};
use crate::admin::{Asked, Live, outside, router};
use crate::config::{AdminAddress, Config, Storage};
use crate::domain::clock::Clock;
use crate::domain::keep::Keep;
use crate::metrics::Metrics;
use crate::proxy::Edge;
use crate::proxy::gate::Side;
use crate::reconcile::due::{Level, day_of};
use crate::service::Service;
use crate::service::neighbours::Followed;
use crate::service::overdue::{Promises, Swept};
use crate::store::Store;
use crate::store::journal::StoreLost;
use crate::store::person::Forgotten;
use arc_swap::ArcSwap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// How long the last changes may take to become durable.
const FLUSH_WITHIN: Duration = Duration::from_secs(10);

/// How often the store is purged of what is not kept any more.
const PURGE_EVERY: Duration = Duration::from_secs(1);

/// How far the system's clock may be off before somebody is told.
const CLOCK_FAR: Duration = Duration::from_secs(1);

/// How often is looked for outcomes that are overdue, and for what was spent.
const SWEEP_EVERY: Duration = Duration::from_secs(20);

/// How often is looked whom another process was asked to forget.
const FORGET_EVERY: Duration = Duration::from_secs(5);

/// How often is learned what other processes counted.
const CATCH_UP_EVERY: Duration = Duration::from_mins(1);

/// How often is counted for rules what other processes judged.
const FOLLOW_EVERY: Duration = Duration::from_secs(3);

/// How many connections may wait to be accepted, where the system allows as many; by itself the runtime allows 128.
const BACKLOG: u32 = 4_096;

/// What connections to the admin API, and to the metrics, may take.
const OURS: Bounds = Bounds { connections: 256, head: Duration::from_secs(10) };

/// How many requests to reload may wait.
const ASKED_MAX: usize = 4;

/// Sockets bound and serving.
pub struct Running {
    /// Where the core connects.
    pub core: SocketAddr,
    /// Where channels notify.
    pub notify: Option<SocketAddr>,
    /// Where the admin API is, if on TCP.
    pub admin: Option<SocketAddr>,
    /// Where metrics and health are read from outside.
    pub metrics: Option<SocketAddr>,
    /// Where clients have elements verified.
    pub verification: Option<SocketAddr>,
    /// The use cases as they were at the start, for those who run in the same process: what they remember and count is
    /// that of every later configuration too.
    pub service: Arc<Service>,
    /// Who asks the admin API for a reload; to be answered by whoever can load the configuration.
    pub asked: mpsc::Receiver<Asked>,
    pub(super) desk: Arc<Desk>,
    /// Every bound socket once more, for a successor.
    sockets: Vec<(&'static str, OwnedFd)>,
    drain: watch::Sender<bool>,
    drain_deadline: Duration,
    leave: watch::Sender<bool>,
    listeners: JoinSet<()>,
    /// What goes on beside the traffic, until this is dropped.
    chores: JoinSet<()>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("core", &self.core).finish_non_exhaustive()
    }
}

impl Running {
    /// Tells cores to go elsewhere, serves what they still send, and returns when the last connection is done, nothing is asked for
    /// clients any more and what persons changed is noted, or at the deadline: whether all were done.
    pub async fn drain(mut self) -> bool {
        // Nobody loads the configuration any more, and whoever asked is told.
        self.asked.close();
        while self.asked.try_recv().is_ok() {}
        self.desk.live.drain();
        self.sockets.clear();
        self.drain.send_replace(true);
        let clients = self.desk.clients.clone();
        if let Some(clients) = &clients {
            clients.stop();
        }
        let all = async {
            // A listener that panicked has nothing left to serve.
            while self.listeners.join_next().await.is_some() {}
            // What clients do not wait for goes on beside their connections.
            if let Some(clients) = &clients {
                clients.rest().await;
            }
            self.desk.live.rest().await;
        };
        let done = tokio::time::timeout(self.drain_deadline, all).await.is_ok();
        let kept = tokio::time::timeout(FLUSH_WITHIN, self.desk.lasting.store.flush()).await;
        if kept != Ok(Ok(())) {
            tracing::error!("the store cannot be written: the last outcomes are not kept");
        }
        self.desk.lasting.access.flush().await;
        self.desk.lasting.traces.flush().await;
        done
    }

    /// Waits until what the access log was told is written.
    pub async fn flush_log(&self) {
        self.desk.lasting.access.flush().await;
    }

    /// Waits until the collector was sent what it is to have.
    pub async fn flush_spans(&self) {
        self.desk.lasting.traces.flush().await;
    }

    /// Drains while a successor serves on the same sockets: the admin API is the successor's at once.
    pub async fn retire(self) -> bool {
        self.leave.send_replace(true);
        self.drain().await
    }

    /// Looks for outcomes that are overdue when nothing more comes: every channel had all the time that it may have.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn sweep_at_the_end(&self) -> Result<usize, StoreLost> {
        let admin = self.desk.live.current();
        let (zero, working_days) = (Duration::ZERO, false);
        let level = Level { debit: zero, pay: zero, withdraw: zero, payout: zero, working_days };
        let levels = admin.channels.iter().map(|name| (name.clone(), level.clone())).collect();
        let promises = Promises { levels, ..Promises::default() };
        admin.service.sweep(&promises, &mut Swept::default()).await
    }

    /// The bound sockets, by name.
    pub(super) fn sockets(&self) -> io::Result<Vec<(&'static str, OwnedFd)>> {
        self.sockets.iter().map(|(name, socket)| Ok((*name, socket.try_clone()?))).collect()
    }
}

/// Builds everything, binds every socket, then serves.
///
/// # Errors
/// [`StartError`]; nothing is served then.
pub async fn start(config: Config) -> Result<Running, StartError> {
    start_on(Sockets::default(), config).await
}

/// As [`start`], on sockets that somebody else bound, as far as they are where the configuration says.
///
/// # Errors
/// [`StartError`]; nothing is served then.
#[expect(clippy::too_many_lines, reason = "what is started, in one order")]
pub async fn start_on(mut inherited: Sockets, config: Config) -> Result<Running, StartError> {
    let config = Arc::new(config);
    let lasting = Lasting::new(&config)?;
    // The files' windows are filled by now.
    let (began, counted) = (lasting.clock.now(), rulebook(&config, &lasting.counts));
    let none = InForce::default();
    let in_force = InForce::read(&*lasting.store, &none, lasting.clock.now()).await?;
    let Generation { gate, limits, doors, admin: current, clients: served, fixed } =
        Generation::new(&config, &in_force, &lasting)?;
    let service = current.service.clone();
    let mut followed = Followed::filled(counted.as_ref(), began);
    service.fill_at_start(&mut followed).await?;
    let mut sockets = Vec::new();
    let core = tcp(&mut inherited, CORE, config.listen.core, &mut sockets)?;
    let notify = match config.listen.notify {
        Some(address) => Some(tcp(&mut inherited, NOTIFY, address, &mut sockets)?),
        None => None,
    };
    let (asking, asked) = mpsc::channel(ASKED_MAX);
    let (turning, turned) = mpsc::channel(ASKED_MAX);
    let live = Live::new(current, asking, turning);
    // The admin API and the metrics live as long as the process, so that they answer while the rest drains; with a successor they
    // leave at once.
    let (leave, left) = watch::channel(false);
    let admin = match config.listen.admin.as_ref().map(|admin| &admin.address) {
        Some(AdminAddress::Tcp(address)) => {
            let listener = tcp(&mut inherited, ADMIN, *address, &mut sockets)?;
            let bound = local(&listener, *address);
            let (shown, routes) = (live.clone(), router(live.clone()));
            let door = move || shown.current().door.clone();
            tokio::spawn(serve((listener, ADMIN), routes, door, OURS, left.clone()));
            Some(bound)
        }
        Some(AdminAddress::Unix(path)) => {
            let listener = unix(&mut inherited, path, &mut sockets)?;
            let routes = router(live.clone());
            tokio::spawn(serve((listener, ADMIN), routes, || None, OURS, left.clone()));
            None
        }
        None => None,
    };
    let mut metrics = config.listen.metrics;
    if let Some(address) = &mut metrics {
        let listener = tcp(&mut inherited, METRICS, *address, &mut sockets)?;
        *address = local(&listener, *address);
        tokio::spawn(serve((listener, METRICS), outside(live.clone()), || None, OURS, left));
    }
    let serving = match config.verification.as_ref().zip(served) {
        Some((set, served)) => {
            let listener = tcp(&mut inherited, VERIFICATION, set.address, &mut sockets)?;
            Some((
                crate::clients::Live::new(served, [set.at_once, set.batches, set.pictures]),
                listener,
                set,
            ))
        }
        None => None,
    };
    inherited.warn_of_unused();
    let (drain, draining) = watch::channel(false);
    let edges = Arc::new(ArcSwap::from_pointee(Edge::new(gate, limits, draining).behind(doors)));
    let state = Mutex::new((config.clone(), in_force));
    let clients = serving.as_ref().map(|(clients, ..)| clients.clone());
    let desk = Arc::new(Desk { lasting, fixed, edges: edges.clone(), live, clients, state });
    let mut running = Running {
        core: local(&core, config.listen.core),
        notify: notify
            .as_ref()
            .zip(config.listen.notify)
            .map(|(listener, asked)| local(listener, asked)),
        admin,
        metrics,
        verification: serving.as_ref().map(|(_, listener, set)| local(listener, set.address)),
        service,
        asked,
        desk: desk.clone(),
        sockets,
        drain,
        drain_deadline: config.drain.deadline,
        leave,
        listeners: JoinSet::new(),
        chores: JoinSet::new(),
    };
    let Lasting { store, clock, metrics, .. } = &desk.lasting;
    running.chores.spawn(desk.clone().attend(turned));
    running.chores.spawn(forget_others(store.clone()));
    running.chores.spawn(catch_up(store.clone()));
    let is_shared = matches!(config.store, Storage::Postgres { .. });
    running.chores.spawn(follow(desk.live.clone(), followed, is_shared));
    running.chores.spawn(purge(store.clone(), clock.clone(), config.keep));
    running.chores.spawn(watch_clock(clock.clone(), metrics.clone()));
    running.chores.spawn(sweep(desk.live.clone()));
    running.chores.spawn(webhooks::deliver(desk.clone()));
    if let Some((clients, listener, set)) = serving {
        let draining = running.drain.subscribe();
        running.listeners.spawn(clients::serve(listener, clients, set.into(), draining));
    }
    running.listeners.spawn(Edge::serve(edges.clone(), Side::Core, core));
    if let Some(notify) = notify {
        running.listeners.spawn(Edge::serve(edges, Side::Notify, notify));
    }
    Ok(running)
}

async fn purge(store: Arc<dyn Store>, clock: Arc<Steady>, keep: Keep) {
    let mut every = tokio::time::interval(PURGE_EVERY);
    loop {
        every.tick().await;
        store.purge(clock.now(), keep);
    }
}

/// Tells how far the system's clock is off, and says so where it is far.
async fn watch_clock(clock: Arc<Steady>, metrics: Arc<Metrics>) {
    let mut every = tokio::time::interval(PURGE_EVERY);
    let mut was_far = false;
    loop {
        every.tick().await;
        let [ahead, behind] = clock.offset();
        metrics.on_clock(ahead.as_secs_f64() - behind.as_secs_f64());
        let is_far = ahead.max(behind) > CLOCK_FAR;
        if is_far && !was_far {
            tracing::error!(
                ?ahead,
                ?behind,
                "the system's clock has jumped; it is followed gradually, at half to double speed"
            );
        }
        if was_far && !is_far {
            tracing::info!("the system's clock is agreed with again");
        }
        was_far = is_far;
    }
}

/// Looks for outcomes that are overdue, and for what was spent.
async fn sweep(live: Live) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    let (mut swept, mut outdated) = (Swept::default(), false);
    let mut funded = String::new();
    loop {
        every.tick().await;
        let admin = live.current();
        // Where the store is lost, that is said elsewhere, and the rest is found the next time.
        let _ = admin.service.sweep(&admin.promises, &mut swept).await;
        admin.service.learn_spent().await;
        let _ = admin.service.sweep_funded(&mut funded).await;
        let _ = admin.service.sweep_classes().await;
        let until = admin.promises.calendar.valid_until;
        let now = day_of(admin.service.clock.now());
        let is_outdated = until.zip(now).is_some_and(|(until, now)| until < now);
        if is_outdated && !std::mem::replace(&mut outdated, is_outdated) {
            tracing::warn!(
                "`calendar.toml` ends before today: outcomes count as overdue on days off that it does not know"
            );
        }
    }
}

/// Learns what other processes counted.
async fn catch_up(store: Arc<dyn Store>) {
    let mut every = tokio::time::interval(CATCH_UP_EVERY);
    loop {
        every.tick().await;
        // That the store is lost is said elsewhere.
        let _ = store.catch_up().await;
    }
}

/// Counts for rules what other processes judged.
async fn follow(live: Live, mut followed: Followed, shared: bool) {
    let mut every = tokio::time::interval(FOLLOW_EVERY);
    loop {
        every.tick().await;
        // That the store is lost is said elsewhere.
        let _ = live.current().service.follow(&mut followed, shared).await;
    }
}

async fn forget_others(store: Arc<dyn Store>) {
    let mut every = tokio::time::interval(FORGET_EVERY);
    loop {
        every.tick().await;
        match store.forget_others().await {
            Ok(gone) if gone == Forgotten::default() => (),
            Ok(gone) => tracing::info!(?gone, "forgotten: another process was asked to"),
            // It is tried again, and that the store is lost is said elsewhere.
            Err(StoreLost) => (),
        }
    }
}

/// A new socket. Whoever finds the backlog full tries again a second later.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// An inherited socket, or a new one; keeps a second handle of it.
fn tcp(
    inherited: &mut Sockets,
    name: &'static str,
    address: SocketAddr,
    kept: &mut Vec<(&'static str, OwnedFd)>,
) -> Result<TcpListener, StartError> {
    let failed = |source| StartError::Bind { address: address.to_string(), source };
    let listener = match inherited.take_tcp(name, address) {
        Some(socket) => socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket)),
        None => bind(address),
    };
    let listener = listener.map_err(failed)?;
    kept.push((name, listener.as_fd().try_clone_to_owned().map_err(failed)?));
    Ok(listener)
}

fn unix(
    inherited: &mut Sockets,
    path: &Path,
    kept: &mut Vec<(&'static str, OwnedFd)>,
) -> Result<UnixListener, StartError> {
    let failed = |source| StartError::Bind { address: path.display().to_string(), source };
    let listener = if let Some(socket) = inherited.take_unix(path) {
        socket.set_nonblocking(true).and_then(|()| UnixListener::from_std(socket))
    } else {
        // A socket that a dead process left would refuse the bind; nothing else is removed.
        let is_socket =
            std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
        if is_socket {
            let _ = std::fs::remove_file(path);
        }
        UnixListener::bind(path)
    };
    let listener = listener.map_err(failed)?;
    kept.push((ADMIN, listener.as_fd().try_clone_to_owned().map_err(failed)?));
    Ok(listener)
}

fn local(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}
