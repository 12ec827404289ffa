//! The simulator, the shipped configuration over all its channels, and Hefu between the two.

use hefu::config::{self, Config};
use hefu::message::profile::Profile;
use hefu::sim::{Sample, Settings, Simulation};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// How many messages of each type: `HEFU_BREADTH` in the environment, else few enough for every day.
pub(crate) fn count() -> u64 {
    std::env::var("HEFU_BREADTH").ok().and_then(|text| text.parse().ok()).unwrap_or(40)
}

pub(crate) struct World {
    pub(crate) simulation: Simulation,
    pub(crate) config: Config,
    pub(crate) _dir: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let simulation =
            Simulation::start(Settings::new(7, dir.path().to_path_buf())).await.unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let place = dir.path().join("config");
        for folder in ["channels", "codes"] {
            std::fs::create_dir_all(place.join(folder)).unwrap();
            for file in std::fs::read_dir(shipped.join(folder)).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), place.join(folder).join(file.file_name())).unwrap();
            }
        }
        std::fs::write(place.join("policy.toml"), "").unwrap();
        std::fs::write(place.join("key"), [7; 32]).unwrap();
        std::fs::write(place.join("hefu.toml"), main_file(&simulation, &place)).unwrap();
        let config = config::load(&place).map_err(|problems| problems.to_string()).unwrap();
        Self { simulation, config, _dir: dir }
    }

    pub(crate) fn profile(&self, channel: &str) -> &Profile {
        self.config.profile(channel).unwrap()
    }

    /// Sample `seed` of a message type; every one that is listed composes for every seed.
    pub(crate) fn sample(&self, channel: &str, kind: &str, seed: u64) -> Sample {
        self.simulation.sample(channel, kind, seed).unwrap()
    }
}

/// Every channel that ships, observed, so that everything is forwarded; keys where its file asks for them.
fn main_file(simulation: &Simulation, place: &Path) -> String {
    let mut text = String::from(
        "[listen]\ncore = \"127.0.0.1:0\"\n[secrets]\nfingerprint_key_file = \"key\"\nfingerprint_key_id = 1\n",
    );
    let mut files: Vec<PathBuf> = std::fs::read_dir(place.join("channels"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let Some(upstream) = simulation.endpoints().get(name) else { continue };
        write!(text, "[channels.{name}]\nupstreams = [\"{upstream}\"]\n").unwrap();
        if std::fs::read_to_string(&file).unwrap().contains("open_blocks") {
            let key = |side: &str| {
                simulation.key_files()[format!("{name}-{side}.pem").as_str()].display()
            };
            writeln!(
                text,
                "keys = {{ request = \"{}\", answer = \"{}\" }}",
                key("core"),
                key("channel")
            )
            .unwrap();
        }
    }
    text
}
