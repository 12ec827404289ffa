//! The demo's configuration: what ships, pointed at the simulator.

use crate::app::Running;
use crate::cli::Failure;
use crate::config::{self, Config, Rendering};
use crate::sim::{Simulation, Target};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The shipped files, as they are in `config/`.
const SHIPPED: &[(&str, &str)] = &[
    ("channels/unionpay.toml", include_str!("../../../config/channels/unionpay.toml")),
    ("channels/baofoo.toml", include_str!("../../../config/channels/baofoo.toml")),
    ("channels/lianlian.toml", include_str!("../../../config/channels/lianlian.toml")),
    ("channels/yeepay.toml", include_str!("../../../config/channels/yeepay.toml")),
    ("channels/yeepay-json.toml", include_str!("../../../config/channels/yeepay-json.toml")),
    ("codes/lianlian.toml", include_str!("../../../config/codes/lianlian.toml")),
    ("codes/yeepay.toml", include_str!("../../../config/codes/yeepay.toml")),
    ("channels/allinpay.toml", include_str!("../../../config/channels/allinpay.toml")),
    ("channels/epcc.toml", include_str!("../../../config/channels/epcc.toml")),
    ("codes/allinpay.toml", include_str!("../../../config/codes/allinpay.toml")),
    ("codes/epcc.toml", include_str!("../../../config/codes/epcc.toml")),
    ("codes/unionpay.toml", include_str!("../../../config/codes/unionpay.toml")),
    ("codes/baofoo.toml", include_str!("../../../config/codes/baofoo.toml")),
    (
        "providers/tencent-bankcard4e.toml",
        include_str!("../../../config/providers/tencent-bankcard4e.toml"),
    ),
    (
        "providers/aliyun-bankcard4.toml",
        include_str!("../../../config/providers/aliyun-bankcard4.toml"),
    ),
    (
        "providers/operator3-market.toml",
        include_str!("../../../config/providers/operator3-market.toml"),
    ),
    (
        "providers/unionpay-auth72.toml",
        include_str!("../../../config/providers/unionpay-auth72.toml"),
    ),
];

/// The channels whose payloads are sealed, with the key files of both directions.
const SEALED: &[(&str, &str, &str)] = &[("baofoo", "baofoo-core.pem", "baofoo-channel.pem")];

/// The demo's policy: everything is enforced, and holds are not paused, since the simulated book is small.
fn policy(simulation: &Simulation) -> String {
    let mut text = "[mode]\n".to_owned();
    for channel in simulation.channels() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{channel} = {{ enforce = 100 }}");
    }
    text + "\n[holds]\nper_hour = 100000\n"
}

/// A directory for the demo, removed when it ends.
#[derive(Debug)]
pub struct Place {
    dir: PathBuf,
}

impl Place {
    /// A new directory under the system's temporary one.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn new() -> Result<Self, io::Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("hefu-demo-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The admin token's file.
    pub fn token_file(&self) -> PathBuf {
        self.dir.join("admin-token")
    }

    /// Writes the configuration and loads it as `hefu serve` would.
    ///
    /// # Errors
    /// Where it cannot be written or does not load.
    pub fn configure(&self, simulation: &Simulation) -> Result<Config, Failure> {
        for (name, text) in SHIPPED {
            let file = self.dir.join(name);
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(file, text)?;
        }
        fs::write(self.token_file(), hex::encode(rand::random::<[u8; 16]>()))?;
        fs::write(self.dir.join("fingerprint-key"), rand::random::<[u8; 32]>())?;
        fs::write(self.dir.join("policy.toml"), policy(simulation))?;
        fs::write(self.dir.join("hefu.toml"), main_file(simulation))?;
        config::load(&self.dir)
            .map_err(|problems| Failure::Usage(problems.render(Rendering::Plain)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed stays in a temporary directory.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// `hefu.toml`, pointed at the simulator.
fn main_file(simulation: &Simulation) -> String {
    let url = |name: &str| simulation.endpoints().get(name).cloned().unwrap_or_default();
    let file = |name: &str| {
        simulation.key_files().get(name).map(|file| file.display().to_string()).unwrap_or_default()
    };
    let credential = |name: &str| simulation.credentials().get(name).cloned().unwrap_or_default();
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        r#"
[listen]
core = "127.0.0.1:0"
admin = "127.0.0.1:0"
admin_token_file = "admin-token"

[secrets]
fingerprint_key_file = "fingerprint-key"
fingerprint_key_id = 1

[providers.tencent-bankcard4e]
url = "{tencent}"
priority = 10
price_fen = 60
vars = {{ secret_id = "{tencent_id}" }}
credentials = {{ secret_key = "{tencent_secret}" }}

[providers.aliyun-bankcard4]
url = "{aliyun}"
priority = 20
price_fen = 50
vars = {{ access_key_id = "{aliyun_id}" }}
credentials = {{ access_key_secret = "{aliyun_secret}" }}

[providers.operator3-market]
url = "{operator3}"
priority = 30
price_fen = 20
credentials = {{ appcode = "{appcode}" }}

[providers.unionpay-auth72]
url = "{unionpay72}"
priority = 40
price_fen = 80
vars = {{ mer_id = "777290058110048", cert_id = "68759585097" }}
credentials = {{ sign_key = "{sign_key}", verify_key = "{verify_key}" }}

[[passthrough]]
path = "/"
upstream = "{plain}"
"#,
        tencent = url("tencent"),
        aliyun = url("aliyun"),
        operator3 = url("operator3"),
        unionpay72 = url("unionpay72"),
        plain = url("plain"),
        tencent_id = credential("tencent-id"),
        aliyun_id = credential("aliyun-id"),
        tencent_secret = file("tencent-secret"),
        aliyun_secret = file("aliyun-secret"),
        appcode = file("operator3-appcode"),
        sign_key = file("unionpay72-buyer.key.pem"),
        verify_key = file("unionpay72-provider.pem"),
    );
    for channel in simulation.channels() {
        let _ = write!(text, "\n[channels.{channel}]\nupstreams = [\"{}\"]\n", url(channel));
        for (_, request, answer) in SEALED.iter().filter(|(name, _, _)| *name == channel) {
            let (request, answer) = (file(request), file(answer));
            let _ = writeln!(text, "keys = {{ request = \"{request}\", answer = \"{answer}\" }}");
        }
    }
    text
}

/// Where the simulated core sends: Hefu, for everything.
///
/// # Errors
/// Where the listener's address is no URL, which would be a defect.
pub fn target(simulation: &Simulation, running: &Running) -> Result<Target, Failure> {
    let url = reqwest::Url::parse(&format!("http://{}/", running.core))
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let channels = simulation.channels().into_iter().map(|name| (name, url.clone())).collect();
    Ok(Target { channels, plain: url, tells_elements: true })
}

/// Everything that the admin API shows of the run, for the leak scan.
pub async fn api_outputs(running: &Running, place: &Place) -> Vec<u8> {
    let mut outputs = Vec::new();
    let Some(admin) = running.admin else { return outputs };
    let token = fs::read_to_string(place.token_file()).unwrap_or_default();
    let client = reqwest::Client::new();
    let mut paths = vec!["/metrics".to_owned(), "/config_dump".to_owned(), "/v1/holds".to_owned()];
    paths.extend(
        running
            .service
            .standing_holds()
            .iter()
            .take(50)
            .map(|hold| format!("/v1/payments/{}", hold.payment)),
    );
    for path in paths {
        let request = client.get(format!("http://{admin}{path}")).bearer_auth(token.trim());
        if let Ok(response) = request.send().await
            && let Ok(body) = response.bytes().await
        {
            outputs.extend_from_slice(&body);
        }
    }
    outputs
}
