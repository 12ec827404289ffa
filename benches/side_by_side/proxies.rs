//! What others proxy with: nginx and `HAProxy`, blind and with the inspection that people build in Lua.

use crate::peers::{Peer, pin_to_proxies};
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
    program: &'static str,
    file: (&'static str, &'static str),
    script: Option<(&'static str, &'static str)>,
    /// A module that it loads.
    module: Option<&'static str>,
    /// Whether it looks at the messages.
    pub(crate) inspects: bool,
}

/// All that can be compared with, with what Debian packages bring. Envoy is in none of the registries that are reached.
pub(crate) const OTHERS: [Other; 4] = [
    Other {
        name: "nginx",
        program: "nginx",
        file: ("nginx.conf", include_str!("proxies/nginx.conf")),
        script: None,
        module: None,
        inspects: false,
    },
    Other {
        name: "haproxy",
        program: "haproxy",
        file: ("haproxy.cfg", include_str!("proxies/haproxy.cfg")),
        script: None,
        module: None,
        inspects: false,
    },
    Other {
        name: "nginx_lua",
        program: "nginx",
        file: ("nginx.conf", include_str!("proxies/nginx_lua.conf")),
        script: Some(("nginx.lua", include_str!("proxies/nginx.lua"))),
        module: Some("ngx_http_lua_module.so"),
        inspects: true,
    },
    Other {
        name: "haproxy_lua",
        program: "haproxy",
        file: ("haproxy.cfg", include_str!("proxies/haproxy_lua.cfg")),
        script: Some(("haproxy.lua", include_str!("proxies/haproxy.lua"))),
        module: None,
        inspects: true,
    },
];

/// Where Debian puts what nginx loads.
const MODULES: &str = "/usr/lib/nginx/modules";

impl Other {
    /// Starts it on a port that is free now. `None` where it is not installed.
    pub(crate) fn start(&self, channel: SocketAddr, pinned: bool) -> Option<(Peer, TempDir)> {
        let program = installed(self.program)?;
        if self.module.is_some_and(|module| !Path::new(MODULES).join(module).exists()) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let here = dir.path().display().to_string();
        let filled = |text: &str| {
            text.replace("{{dir}}", &here)
                .replace("{{modules}}", MODULES)
                .replace("{{channel}}", &channel.to_string())
                .replace("{{listen}}", &address.to_string())
        };
        for (name, text) in self.script.iter().chain([&self.file]) {
            fs::write(dir.path().join(name), filled(text)).unwrap();
        }
        let file = dir.path().join(self.file.0);
        let flag = if self.program == "nginx" { "-c" } else { "-f" };
        let mut command = pin_to_proxies(&program, pinned);
        let child = command.arg(flag).arg(file).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let peer = Peer::of(child.unwrap(), address);
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
    [found, sbin].into_iter().find(|path| path.is_file())
}
