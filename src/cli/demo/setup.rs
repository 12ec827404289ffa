//! The demo's configuration: what ships, pointed at the simulator.

use crate::app::Running;
use crate::cli::Failure;
use crate::config::{self, Config, Rendering};
use crate::sim::{Listeners, Simulation, Target};
use include_dir::{Dir, File, include_dir};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Everything that ships, as it is in `config/`.
static SHIPPED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/config");

/// The admin token's file, as the simulation's deployment names it.
const TOKEN_FILE: &str = "admin-token";

/// What the demo's requests leave, searched for elements like everything else.
const ACCESS_LOG: &str = "access.log";

/// The rules of account classes.
const CLASSES: &str = "classes.toml";

/// How often the demo's core may call the admin API.
const ADMIN_PER_SECOND: u32 = 10_000;

/// Of which share of the requests spans are kept.
const TRACED: f64 = 0.05;

/// The demo's policy: everything is enforced, and holds are not paused, since the simulated book is small.
fn policy(simulation: &Simulation) -> String {
    let mut text = "[mode]\n".to_owned();
    for channel in simulation.channels() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{channel} = {{ enforce = 100 }}");
    }
    // The merchant has a number at every channel, and one of them opted into combination.
    text + "\n[holds]\nper_hour = 100000\n\n[evidence]\nshared = true\n\n[[combination]]\n\
        merchants = [\"777290058110048\"]\nscenarios = [\"payout\", \"bind\"]\n"
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
        self.dir.join(TOKEN_FILE)
    }

    /// Writes the configuration, with a collector of spans where there is one, and loads it as `hefu serve` would.
    ///
    /// # Errors
    /// Where it cannot be written or does not load.
    pub fn configure(
        &self,
        simulation: &Simulation,
        collector: Option<SocketAddr>,
    ) -> Result<Config, Failure> {
        write(&self.dir, simulation, Listeners::Free)?;
        let place = self.dir.join("hefu.toml");
        let deployment = fs::read_to_string(&place)?;
        let trace = collector.map_or_else(String::new, |collector| {
            format!("[trace]\notlp = \"http://{collector}/v1/traces\"\nshare = {TRACED}\n")
        });
        // Accounts are upgraded as fast as they can be.
        let listens = format!("[listen]\nadmin_per_second = {ADMIN_PER_SECOND}");
        let deployment = deployment.replacen("[listen]", &listens, 1);
        let accounts = simulation.deployment_of_accounts();
        fs::write(
            place,
            format!("{deployment}{accounts}\n[log]\naccess = \"{ACCESS_LOG}\"\n{trace}"),
        )?;
        fs::create_dir_all(self.dir.join("rules"))?;
        fs::write(self.dir.join("rules/banks.toml"), simulation.banks())?;
        let classes = SHIPPED.get_file(CLASSES).map(File::contents).unwrap_or_default();
        fs::write(self.dir.join(CLASSES), classes)?;
        config::load(&self.dir)
            .map_err(|problems| Failure::Usage(problems.render(Rendering::Plain)))
    }
}

/// Writes a whole configuration for `simulation` into `dir`: what ships, keys of its own, everything enforced.
///
/// # Errors
/// Where it cannot be written.
pub fn write(dir: &Path, simulation: &Simulation, listeners: Listeners) -> io::Result<()> {
    for folder in ["channels", "codes", "providers"] {
        fs::create_dir_all(dir.join(folder))?;
        for file in SHIPPED.get_dir(folder).into_iter().flat_map(Dir::files) {
            fs::write(dir.join(file.path()), file.contents())?;
        }
    }
    for channel in simulation.channels() {
        let profile = dir.join("channels").join(format!("{channel}.toml"));
        let shipped = fs::read_to_string(&profile)?;
        fs::write(profile, shipped + simulation.added_to_profile(channel))?;
    }
    fs::write(dir.join(TOKEN_FILE), hex::encode(rand::random::<[u8; 16]>()))?;
    fs::write(dir.join("fingerprint-key"), hex::encode(rand::random::<[u8; 32]>()))?;
    fs::write(dir.join("policy.toml"), policy(simulation))?;
    fs::write(dir.join("hefu.toml"), simulation.deployment(listeners))
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed stays in a temporary directory.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The store's files and the access log, for the leak scan; what is not written yet is made so first.
pub async fn store_files(running: &Running, place: &Place) -> Vec<Vec<u8>> {
    if let Err(error) = running.service.store.flush().await {
        tracing::error!(%error, "the demo's store");
    }
    running.flush_log().await;
    let files = ["hefu.db", "hefu.db-wal", ACCESS_LOG].map(|name| fs::read(place.dir().join(name)));
    files.into_iter().flatten().collect()
}

/// Where the simulated core sends: Hefu, for everything.
///
/// # Errors
/// Where the listener's address is no URL, which would be a defect.
pub fn target(simulation: &Simulation, running: &Running) -> Result<Target, Failure> {
    let notify = running.notify.map(url).transpose()?;
    Ok(Target { notify, ..through(simulation, url(running.core)?) })
}

fn url(address: SocketAddr) -> Result<reqwest::Url, Failure> {
    reqwest::Url::parse(&format!("http://{address}/"))
        .map_err(|error| Failure::Usage(error.to_string()))
}

/// Where a simulated core sends that has everything go through `url`.
pub fn through(simulation: &Simulation, url: reqwest::Url) -> Target {
    let channels = simulation.channels().into_iter().map(|name| (name, url.clone())).collect();
    Target { channels, plain: url, tells_elements: true, repeats: false, notify: None }
}

/// Has everybody who applies get an account of class III, by the admin API.
///
/// # Errors
/// Where there is none, or no client for it.
pub async fn apply(
    simulation: &Simulation,
    running: &Running,
    place: &Place,
) -> Result<(), Failure> {
    let Some(admin) = running.admin else { return Ok(()) };
    let token = fs::read_to_string(place.token_file())?;
    simulation.apply(url(admin)?, token.trim()).await?;
    Ok(())
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
