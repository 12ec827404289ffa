//! What others proxy with: nginx and `HAProxy`, blind and with the inspection that people build in Lua; and Envoy, blind and with a
//! service that it asks about every request.

use super::peers::{Peer, pin_to_proxies};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A proxy in a file of its own language.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Other {
    /// The word of the report.
    pub(crate) name: &'static str,
    program: Program,
    file: (&'static str, &'static str),
    script: Option<(&'static str, &'static str)>,
    /// A module that it loads.
    module: Option<&'static str>,
    /// Whether it looks at the messages.
    pub(crate) inspects: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Nginx,
    Haproxy,
    Envoy,
}

impl Program {
    const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
        }
    }

    /// What comes before the name of its file; one thread proxies.
    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Nginx => &["-c"],
            Self::Haproxy => &["-f"],
            Self::Envoy => {
                &["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c"]
            }
        }
    }
}

/// All that can be compared with.
pub(crate) const OTHERS: [Other; 6] = [
    Other {
        name: "nginx",
        program: Program::Nginx,
        file: ("nginx.conf", include_str!("proxies/nginx.conf")),
        script: None,
        module: None,
        inspects: false,
    },
    Other {
        name: "haproxy",
        program: Program::Haproxy,
        file: ("haproxy.cfg", include_str!("proxies/haproxy.cfg")),
        script: None,
        module: None,
        inspects: false,
    },
    Other {
        name: "envoy",
        program: Program::Envoy,
        file: ("envoy.yaml", include_str!("proxies/envoy.yaml")),
        script: None,
        module: None,
        inspects: false,
    },
    Other {
        name: "nginx_lua",
        program: Program::Nginx,
        file: ("nginx.conf", include_str!("proxies/nginx_lua.conf")),
        script: Some(("nginx.lua", include_str!("proxies/nginx.lua"))),
        module: Some("ngx_http_lua_module.so"),
        inspects: true,
    },
    Other {
        name: "haproxy_lua",
        program: Program::Haproxy,
        file: ("haproxy.cfg", include_str!("proxies/haproxy_lua.cfg")),
        script: Some(("haproxy.lua", include_str!("proxies/haproxy.lua"))),
        module: None,
        inspects: true,
    },
    Other {
        name: "envoy_ext_authz",
        program: Program::Envoy,
        file: ("envoy.yaml", include_str!("proxies/envoy_ext_authz.yaml")),
        script: None,
        module: None,
        inspects: true,
    },
];

/// Where Debian puts what nginx loads.
const MODULES: &str = "/usr/lib/nginx/modules";

/// Where `scripts/setup bench` puts Envoy, which no package of Debian's brings.
const ENVOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench-tools/envoy");

impl Other {
    /// Whether it asks another process about every request.
    pub(crate) fn asks(&self) -> bool {
        self.inspects && self.program == Program::Envoy
    }

    /// Starts it on a port that is free now; `judge` is who is asked. `None` where it is not installed.
    pub(crate) fn start(
        &self,
        channel: SocketAddr,
        judge: SocketAddr,
        pinned: bool,
    ) -> Option<(Peer, TempDir)> {
        let program = installed(self.program.name())?;
        if self.module.is_some_and(|module| !Path::new(MODULES).join(module).exists()) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let here = dir.path().display().to_string();
        let filled = |text: &str| {
            let mut text = text.replace("{{dir}}", &here).replace("{{modules}}", MODULES);
            for (name, at) in [("channel", channel), ("listen", address), ("judge", judge)] {
                text = text
                    .replace(&format!("{{{{{name}}}}}"), &at.to_string())
                    .replace(&format!("{{{{{name}_port}}}}"), &at.port().to_string());
            }
            text
        };
        for (name, text) in self.script.iter().chain([&self.file]) {
            fs::write(dir.path().join(name), filled(text)).unwrap();
        }
        let file = dir.path().join(self.file.0);
        let mut command = pin_to_proxies(&program, pinned);
        command.args(self.program.arguments()).arg(file).stdin(Stdio::null()).stdout(Stdio::null());
        let peer = Peer::of(command.spawn().unwrap(), address);
        while TcpStream::connect(address).is_err() {
            std::thread::yield_now();
        }
        Some((peer, dir))
    }
}

/// Where a program is, whether or not its directory is on the path of this user.
fn installed(program: &str) -> Option<PathBuf> {
    let out = Command::new("sh").args(["-c", "command -v \"$0\"", program]).output().ok()?;
    let found = String::from_utf8(out.stdout).ok()?;
    let found = PathBuf::from(found.trim());
    let sbin = Path::new("/usr/sbin").join(program);
    let fetched = Path::new(ENVOY).with_file_name(program);
    [found, sbin, fetched].into_iter().find(|path| path.is_file())
}
