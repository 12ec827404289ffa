//! What Hefu may have more of: channels, evidence.

use crate::world::SHIPPED;
use hefu::domain::answer::Answer;
use hefu::domain::clock::Timestamp;
use hefu::domain::element::ElementSet;
use hefu::domain::id::{Fingerprint, KeyId, ProviderName};
use hefu::store::{Evidence, Witness};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Writes one more channel's profile; yields what `hefu.toml` says of it.
pub(crate) fn another_channel(dir: &Path, number: usize, upstream: &str) -> String {
    let [(_, profile), ..] = SHIPPED;
    let profile = profile
        .replace("name = \"unionpay\"", &format!("name = \"c{number}\""))
        .replace("path = \"/gateway/api/\"", &format!("path = \"/c{number}/api/\""))
        .replace("path = \"/notify/unionpay\"", &format!("path = \"/notify/c{number}\""));
    fs::create_dir_all(dir.join("channels")).unwrap();
    fs::write(dir.join(format!("channels/c{number}.toml")), profile).unwrap();
    format!("[channels.c{number}]\nupstreams = [\"http://{upstream}\"]\n")
}

/// Evidence about somebody else.
pub(crate) fn evidence(number: u64) -> (Fingerprint, Evidence) {
    // As good as random, as fingerprints are: tables hash no more than a part of one.
    let digest = Sha256::digest(number.to_be_bytes()).into();
    let at = Timestamp::from_millis(1_790_000_000_000);
    let evidence = Evidence {
        answer: Answer::Match,
        elements: ElementSet::EMPTY,
        witness: Witness::Provider(ProviderName::new("upv")),
        road: None,
        at,
        until: at.plus(Duration::from_hours(24 * 3650)),
        beside: None,
        origin: None,
    };
    (Fingerprint { key: KeyId(1), digest }, evidence)
}
