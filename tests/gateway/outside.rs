//! The world in another process: channels, providers and a core, each with a log of its own; and a Hefu before it that dies.

use crate::cluster::Cluster;
use crate::process::{Hefu, Log, Place, TOKEN};
use command_fds::{CommandFdExt as _, FdMapping};
use serde_json::Value;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How many people there are: few enough that they come again.
pub(crate) const PEOPLE: usize = 400;

/// How many messages the core sends a second.
const RATE: usize = 150;

/// `hefu simulate` with a core that sends everything to one address, and the logs so far.
pub(crate) struct Outside {
    process: Child,
    lines: Arc<(Mutex<Vec<Value>>, Notify)>,
    reading: JoinHandle<()>,
    core: std::net::TcpListener,
    pub(crate) place: Place,
    /// What each Hefu so far wrote to its standard error.
    pub(crate) logs: Mutex<Vec<Arc<Log>>>,
}

impl Outside {
    /// Everything but Hefu, whose store is as `store` says; the core's requests wait for it.
    pub(crate) async fn start(seed: u64, store: &str) -> Self {
        let core = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = core.local_addr().unwrap();
        let place = Place::empty();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hefu"));
        command.args(["simulate", "--lines", "--core", &format!("http://{address}/")]);
        command.args(["--seed", &seed.to_string(), "--people", &PEOPLE.to_string()]);
        command.args(["--rate", &RATE.to_string(), "--config"]).arg(place.path());
        command.arg("--dir").arg(place.path());
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        while said.next_line().await.unwrap().unwrap() != "running until Ctrl-C" {}
        let lines = Arc::new((Mutex::<Vec<Value>>::default(), Notify::new()));
        let told = Arc::clone(&lines);
        let reading = tokio::spawn(async move {
            while let Ok(Some(line)) = said.next_line().await {
                told.0.lock().unwrap().push(serde_json::from_str(&line).unwrap());
                told.1.notify_waiters();
            }
        });
        place.write("admin-token", TOKEN);
        place.replace("hefu.toml", "core = \"127.0.0.1:0\"", &format!("core = \"{address}\""));
        place.replace("hefu.toml", "file = \"hefu.db\"", store);
        Self { process, lines, reading, core, place, logs: Mutex::default() }
    }

    /// A Hefu on the socket that outlives it; its standard output goes to a file beside its configuration.
    pub(crate) async fn hefu(&self) -> Hefu {
        let mut command = self.place.command();
        command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "core");
        let parent_fd = OwnedFd::from(self.core.try_clone().unwrap());
        command.fd_mappings(vec![FdMapping { parent_fd, child_fd: 3 }]).unwrap();
        let stdout = self.place.path().join("stdout");
        command.stdout(File::options().create(true).append(true).open(stdout).unwrap());
        let hefu = Hefu::start(command).await;
        self.logs.lock().unwrap().push(Arc::clone(&hefu.log));
        hefu
    }

    /// Waits until so many more messages have reached a channel.
    pub(crate) async fn more(&self, count: usize) {
        let reached = |lines: &[Value]| lines.iter().filter(|line| line["at"] == "channel").count();
        let enough = reached(&self.lines.0.lock().unwrap()) + count;
        self.until(|lines| reached(lines) >= enough).await;
    }

    async fn until(&self, is_enough: impl Fn(&[Value]) -> bool) {
        loop {
            let told = self.lines.1.notified();
            if is_enough(&self.lines.0.lock().unwrap()) {
                return;
            }
            crate::peers::soon(told).await;
        }
    }

    /// The core sends nothing new, what is under way ends, and Hefu dies once more and comes back: all lines, and the
    /// inquiries that it lists as open.
    pub(crate) async fn end(&mut self, hefu: Hefu) -> (Vec<Value>, Value) {
        self.terminate();
        self.until(|lines| lines.last().is_some_and(|line| line["over"] == "core")).await;
        drop(hefu);
        let hefu = self.hefu().await;
        let open = hefu.admin("GET /v1/inquiries/open", "").await;
        self.terminate();
        assert!(self.process.wait().await.unwrap().success());
        (&mut self.reading).await.unwrap();
        let lines = std::mem::take(&mut *self.lines.0.lock().unwrap());
        (lines, serde_json::from_str(open.text()).unwrap())
    }

    fn terminate(&self) {
        let id = self.process.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").arg(id).status().unwrap().success());
    }
}

/// A store, as `hefu.toml` names it.
pub(crate) enum Kind {
    File(TempDir),
    Shared(Cluster),
}

impl Kind {
    pub(crate) fn file() -> Self {
        Self::File(TempDir::new().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::File(dir) => format!("file = \"{}\"", dir.path().join("hefu.db").display()),
            Self::Shared(cluster) => {
                format!("postgres = \"host={} user=hefu dbname=postgres\"", cluster.place())
            }
        }
    }
}
