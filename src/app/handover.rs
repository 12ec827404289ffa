//! Handing over: the bound sockets go to a new process of the executable, which serves on them before this one drains.
//!
//! They are passed as systemd passes sockets (`LISTEN_FDS`, `LISTEN_FDNAMES`), so that socket activation is the same thing.

use super::Running;
use command_fds::{CommandFdExt as _, FdMapping, FdMappingCollision};
use listenfd::ListenFd;
use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::{Child, Command};

/// The name of the core's listener.
pub(super) const CORE: &str = "core";
/// The name of the channels' listener.
pub(super) const NOTIFY: &str = "notify";
/// The name of the admin listener.
pub(super) const ADMIN: &str = "admin";
/// The name of the listener of those who scrape.
pub(super) const METRICS: &str = "metrics";
/// The name of the listener of the verification service.
pub(super) const VERIFICATION: &str = "verification";
/// The socket on which a successor says that it serves.
const READY: &str = "hefu-ready";
/// Where inherited sockets begin, by the protocol.
const FIRST_FD: i32 = 3;
/// How long a successor may take until it serves.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Sockets that somebody else bound: systemd, or the process before this one.
#[derive(Debug, Default)]
pub struct Sockets {
    tcp: Vec<(String, TcpListener)>,
    unix: Vec<(String, UnixListener)>,
    predecessor: Option<UnixDatagram>,
}

impl Sockets {
    /// Takes what the environment says was inherited. To be called before there are threads: it changes the environment.
    pub fn from_env() -> Self {
        let names = std::env::var_os("LISTEN_FDNAMES").unwrap_or_default();
        let names = names.to_string_lossy();
        let mut names = names.split(':');
        let mut passed = ListenFd::from_env();
        let mut sockets = Self::default();
        for at in 0..passed.len() {
            let name = names.next().unwrap_or_default().to_owned();
            if name == READY {
                sockets.predecessor = passed.take_unix_datagram(at).ok().flatten();
            } else if let Ok(Some(socket)) = passed.take_tcp_listener(at) {
                sockets.tcp.push((name, socket));
            } else if let Ok(Some(socket)) = passed.take_unix_listener(at) {
                sockets.unix.push((name, socket));
            }
        }
        sockets
    }

    /// Who waits to hear that this process serves.
    pub fn take_predecessor(&mut self) -> Option<Predecessor> {
        self.predecessor.take().map(Predecessor)
    }

    /// The socket for `name` on `address`. A name that is none of ours, as systemd gives them, leaves it to the address.
    pub(super) fn take_tcp(&mut self, name: &str, address: SocketAddr) -> Option<TcpListener> {
        let is_at = |socket: &TcpListener| {
            let local = socket.local_addr().ok();
            local.is_some_and(|local| {
                local.ip() == address.ip()
                    && (local.port() == address.port() || address.port() == 0)
            })
        };
        take(&mut self.tcp, |(named, socket)| is_for(named, name) && is_at(socket))
    }

    /// The socket at `path`.
    pub(super) fn take_unix(&mut self, path: &Path) -> Option<UnixListener> {
        take(&mut self.unix, |(named, socket)| {
            is_for(named, ADMIN)
                && socket.local_addr().is_ok_and(|local| local.as_pathname() == Some(path))
        })
    }

    /// Says which sockets no listener is configured for; they close.
    pub(super) fn warn_of_unused(self) {
        let unused = self.tcp.into_iter().map(|(name, _)| name);
        for name in unused.chain(self.unix.into_iter().map(|(name, _)| name)) {
            tracing::warn!(
                name,
                "an inherited socket is not where the configuration listens: closed"
            );
        }
    }
}

fn is_for(named: &str, name: &str) -> bool {
    named == name || ![CORE, NOTIFY, ADMIN, METRICS, VERIFICATION].contains(&named)
}

fn take<T>(from: &mut Vec<(String, T)>, fits: impl FnMut(&(String, T)) -> bool) -> Option<T> {
    let at = from.iter().position(fits)?;
    Some(from.swap_remove(at).1)
}

/// The process that this one succeeds.
#[derive(Debug)]
pub struct Predecessor(UnixDatagram);

impl Predecessor {
    /// Lets it go. Where it is gone already there is nobody to tell, and this process serves all the same.
    pub fn is_relieved(self) {
        if let Err(error) = self.0.send(&[1]) {
            tracing::warn!(%error, "the process before this one does not listen any more");
        }
    }
}

/// Why there is no successor; this process serves on.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The executable cannot be started.
    #[error("cannot start `{}`: {source}", .program.display())]
    Start {
        /// Which.
        program: OsString,
        /// Why.
        source: io::Error,
    },
    /// The sockets cannot be passed on.
    #[error("cannot pass the sockets on: {0}")]
    Sockets(#[from] io::Error),
    /// Two would have one number, which would be a defect.
    #[error(transparent)]
    Numbers(#[from] FdMappingCollision),
    /// It ended before it served.
    #[error("the successor ended before it served: {0}")]
    Ended(ExitStatus),
    /// It did not serve in time, and was ended.
    #[error("the successor did not serve within {} s, and was ended", READY_WITHIN.as_secs())]
    Late,
    /// This is the first process of a container, which ends with it.
    #[error("this is process 1, and its end is the container's: start another container instead")]
    First,
}

/// Starts `program` with `arguments` on the sockets of `running`, and waits until it serves: its process id.
/// A successor is ended when this future is dropped before that.
///
/// # Errors
/// [`HandoverError`]; `running` is as it was.
pub async fn succeed(
    running: &Running,
    program: OsString,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<u32, HandoverError> {
    if std::process::id() == 1 {
        return Err(HandoverError::First);
    }
    let (ours, theirs) = UnixDatagram::pair()?;
    ours.set_nonblocking(true)?;
    let ours = tokio::net::UnixDatagram::from_std(ours)?;
    let mut sockets = running.sockets()?;
    sockets.push((READY, OwnedFd::from(theirs)));
    let names: Vec<&str> = sockets.iter().map(|(name, _)| *name).collect();
    let mut command = Command::new(&program);
    command
        .args(arguments)
        .env("LISTEN_FDS", names.len().to_string())
        .env("LISTEN_FDNAMES", names.join(":"))
        .env_remove("LISTEN_PID");
    let numbered = (FIRST_FD..).zip(sockets);
    command.fd_mappings(
        numbered.map(|(child_fd, (_, parent_fd))| FdMapping { parent_fd, child_fd }).collect(),
    )?;
    let child = command.spawn().map_err(|source| HandoverError::Start { program, source })?;
    // Our copies of its sockets close with it.
    drop(command);
    let mut child = Unready(Some(child));
    let ready = async {
        // An error means that it ended, which is heard elsewhere.
        if ours.recv(&mut [0]).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = child.wait() => Err(HandoverError::Ended(ended?)),
        () = ready => Ok(child.let_live()),
        () = tokio::time::sleep(READY_WITHIN) => Err(HandoverError::Late),
    }
}

/// A successor that does not serve yet; it ends with us unless it is let live.
struct Unready(Option<Child>);

impl Unready {
    async fn wait(&mut self) -> io::Result<ExitStatus> {
        match &mut self.0 {
            Some(child) => child.wait().await,
            None => std::future::pending().await,
        }
    }

    fn let_live(mut self) -> u32 {
        self.0.take().and_then(|child| child.id()).unwrap_or_default()
    }
}

impl Drop for Unready {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // Fails only where it ended already.
            let _ = child.start_kill();
        }
    }
}
