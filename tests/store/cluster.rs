//! A throw-away `PostgreSQL` that nobody else sees.

use postgres::{Config, NoTls};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs, thread};
use tempfile::TempDir;

/// Whom the server runs as where we are root, which it refuses: `nobody`.
const NOBODY: u32 = 65_534;

/// A `PostgreSQL` of one test, on a socket in a directory of its own; it dies with the test.
pub(crate) struct Cluster {
    server: Option<Child>,
    dir: TempDir,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let mut cluster = Self::nothing();
        let mut initdb = cluster.command("initdb");
        initdb.args(["--auth=trust", "--username=hefu", "--encoding=UTF8", "--no-locale"]);
        let made = initdb.arg("--no-sync").output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        cluster.go_on();
        cluster
    }

    /// A place for one.
    pub(crate) fn nothing() -> Self {
        let dir = TempDir::with_prefix("pg").unwrap();
        if is_root(dir.path()) {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Self { server: None, dir }
    }

    /// As a crash of the server: connections break, and what was not committed is gone.
    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let stopped =
                self.command("pg_ctl").args(["-m", "immediate", "stop"]).output().unwrap();
            assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
            server.wait().unwrap();
        }
    }

    pub(crate) fn go_on(&mut self) {
        let mut server = self.command("postgres");
        let sockets = format!("unix_socket_directories={}", self.place());
        server.args(["-c", "listen_addresses=", "-c", &sockets, "-c", "shared_buffers=16MB"]);
        let log = self.dir.path().join("log");
        let to = fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut server = server.stdout(Stdio::null()).stderr(to).spawn().unwrap();
        while apart(|| self.config().connect(NoTls).is_err()) {
            let ended = server.try_wait().unwrap().is_some();
            assert!(!ended, "{}", fs::read_to_string(&log).unwrap());
            thread::yield_now();
        }
        self.server = Some(server);
    }

    /// The directory of its socket.
    pub(crate) fn place(&self) -> String {
        self.dir.path().display().to_string()
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config::new();
        config.host_path(self.dir.path()).user("hefu").dbname("postgres");
        config
    }

    /// `program` of the newest server that is installed, on our data.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Self::program(program);
        command.arg("-D").arg(self.dir.path().join("data"));
        command
    }

    /// `program` of the newest server that is installed, as whom the server runs.
    pub(crate) fn program(program: &str) -> Command {
        let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut places: Vec<PathBuf> = installed.map(|it| it.path().join("bin")).collect();
        places.sort();
        places.extend(env::split_paths(&env::var_os("PATH").unwrap()));
        let place = places.iter().rev().map(|place| place.join(program)).find(|it| it.exists());
        assert!(place.is_some(), "no `{program}`: run scripts/setup");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if is_root(Path::new("/proc/self")) {
            let [user, group] = ["--reuid", "--regid"].map(|it| format!("{it}={NOBODY}"));
            command.args([&user, &group, "--clear-groups"]);
        }
        command.arg(place.unwrap());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_root(path: &Path) -> bool {
    fs::metadata(path).unwrap().uid() == 0
}

/// Off the test's runtime: the database's client has one of its own.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join().unwrap())
}
