//! Configuration: a directory of files in, a checked value or every problem out.
//!
//! `hefu.toml` says where this Hefu stands, `policy.toml` what is asked of payments, `channels/*.toml` how channels write their
//! messages, `calendar.toml` when nothing is expected of them, `classes.toml` what an account's class rests on, `codes/*.toml` what their result codes mean, `providers/*.toml` how
//! providers are asked, `rules/*.toml` what the risk team sets.
//! Two steps: files become file structs, key by key, and file structs become the checked values of `settings`.

mod access_log;
mod alone;
pub(crate) mod api;
mod check;
mod classes;
pub mod clients;
mod dump;
mod file;
mod managed;
mod origin;
mod problem;
mod read;
mod schema;
mod settings;
mod table;
mod text;

pub use alone::{code_maps, profile, rules, rules_of_table};
pub use api::{Api, Managing, Operator};
pub use managed::{Added, book, book_alone};
pub use problem::{Problem, Problems, Rendering};
pub use schema::schema;
pub use settings::{
    AccessLog, Admin, Channel, ChannelMode, Classes, ClientCertificate, Config, Door, Drain,
    Evidence, Holds, Inquiry, Kinds, Limits, Listen, Observe, Passthrough, Patience, Provider,
    Routing, Secret, Storage, Tls, Tracing, Upstream, Webhook,
};
pub use text::{AdminAddress, InDoubt};

use crate::domain::id::{ChannelName, ProviderName};
use crate::message::profile::{Profile, RouteRule};
use check::channel::Around;
use check::deployment::Definition;
use file::calendar::CalendarFile;
use file::channel::ChannelFile;
use file::classes::ClassesFile;
use file::codes::CodesFile;
use file::rules::RulesFile;
use file::{HefuFile, PolicyFile};
use read::{Opened, Sheet};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::{fs, io, mem};

/// The most files in one folder of the configuration.
const FILES_MAX: usize = 1_024;

/// Loads the configuration at `place`: its directory, or the `hefu.toml` in it.
///
/// # Errors
/// Every problem of every file, never only the first.
#[expect(clippy::too_many_lines, reason = "each kind of file once, in one order")]
pub fn load(place: &Path) -> Result<Config, Problems> {
    let dir = match place.parent() {
        Some(parent) if place.is_file() => parent,
        _ => place,
    };
    let mut desk = Desk::open(dir);
    let codes =
        desk.codes.iter_mut().map(|opened| (opened.stem.clone(), check::codes::check(opened)));
    let codes: BTreeMap<_, _> = codes.collect();
    let protocols = desk.protocols(&codes);
    desk.find_twins(&protocols);
    let names = desk.channel_names();
    let modes = check::policy::check(&mut desk.policy.sheet, &desk.policy.file, &names);
    desk.find_shadowed(&protocols, &modes.modes);
    let deployment = check::deployment::check(&mut desk.hefu.sheet, dir, &desk.hefu.file);
    let verification = check::clients::check(&mut desk.hefu.sheet, dir, &desk.hefu.file);
    let mut unused: BTreeMap<ChannelName, Profile> =
        protocols.into_iter().map(|(_, profile)| (profile.channel.clone(), profile)).collect();
    let origins = [desk.hefu.named(), desk.policy.named()];
    let origins = origins.iter().flat_map(|(name, text)| origin::origins(name, text)).collect();
    let Opened { sheet, file, .. } = &mut desk.hefu;
    let providers = check::deployment::providers(sheet, dir, &file.providers, &desk.definitions);
    for (name, definition) in &mut desk.definitions {
        let at = file.providers.iter().find(|(at, _)| at.value.0.0 == *name).map(|(_, at)| at);
        let name = ProviderName::new(name);
        let deployment = providers.get(&name).map(|provider| provider.deployment(name.clone()));
        check::provider::check(definition, sheet, at.zip(deployment));
    }
    let known: (Vec<_>, Vec<_>) =
        (names.iter().cloned().collect(), desk.definitions.keys().cloned().collect());
    let managing = Managing {
        two_persons: desk.policy.file.rules.two_persons.unwrap_or(true),
        dir: dir.to_owned(),
        files: desk.rules.iter().map(Opened::named).collect(),
        origins,
        channels: known.0,
        providers: known.1,
    };
    let rules = check::rules::check(&mut desk.rules, &managing, BTreeMap::new(), None);
    let mut channels = BTreeMap::new();
    for (name, at) in &file.channels {
        if !names.contains(&name.value) {
            let hint = problem::suggest(&name.value, names.iter().map(String::as_str));
            sheet.problem(&name.span, format!("no profile of channel `{}`", name.value), hint);
        }
        let deployed = check::deployment::channel(sheet, dir, at);
        let name = ChannelName::new(&name.value);
        let Some(profile) = unused.remove(&name) else { continue };
        let listens = deployment.listen.as_ref().is_none_or(|listen| listen.notify.is_some());
        check::notify::check_core(sheet, at.value.notify_core.as_ref(), &profile, listens);
        let channel = Channel {
            profile,
            mode: modes.modes.get(name.as_str()).copied().unwrap_or_default(),
            upstreams: deployed.upstreams,
            notify_core: deployed.notify_core,
            patience: deployed.patience,
            http2: at.value.http2.unwrap_or_default(),
            in_doubt: at.value.in_doubt.as_ref().map(|word| word.0).unwrap_or_default(),
            level: check::calendar::level(sheet, &at.value.due),
        };
        channels.insert(name, channel);
    }
    let told = file.webhook.as_ref().map(|at| check::webhook::check(sheet, dir, at));
    let traced = file.trace.as_ref().map(|at| check::trace::check(sheet, at));
    let Opened { sheet, file, .. } = &mut desk.calendar;
    let calendar = check::calendar::check(sheet, file, &names);
    let mut classes = check::classes::check(&mut desk.classes.sheet, &desk.classes.file);
    let Opened { sheet, file, .. } = &mut desk.hefu;
    let secrets = file.secrets.as_ref();
    classes.record_key = secrets.and_then(|at| check::secrets::record(sheet, dir, at));
    match (deployment.listen, deployment.keys, desk.into_problems()) {
        (Some(listen), Some(keys), problems) if problems.is_empty() => Ok(Config {
            listen,
            limits: deployment.limits,
            drain: deployment.drain,
            access_log: deployment.access_log,
            store: deployment.store,
            keep: deployment.keep,
            evidence_in_memory: deployment.evidence_in_memory,
            keys,
            channels,
            unused,
            passthrough: deployment.passthrough,
            providers,
            policy: modes.policy,
            holds: modes.holds,
            evidence: modes.evidence,
            inquiry: modes.inquiry,
            attempts: modes.attempts,
            merchant_cap: modes.merchant_cap,
            observe: modes.observe,
            calendar,
            classes,
            webhook: told.flatten(),
            trace: traced.flatten(),
            rules: Arc::new(rules),
            managing,
            routing: modes.routing,
            verification,
        }),
        (_, _, problems) => Err(problems),
    }
}

/// The files on the desk.
struct Desk<'d> {
    dir: &'d Path,
    hefu: Opened<HefuFile>,
    policy: Opened<PolicyFile>,
    calendar: Opened<CalendarFile>,
    classes: Opened<ClassesFile>,
    channels: Vec<Opened<ChannelFile>>,
    codes: Vec<Opened<CodesFile>>,
    definitions: BTreeMap<String, Definition>,
    rules: Vec<Opened<RulesFile>>,
    others: Vec<Sheet>,
}

impl<'d> Desk<'d> {
    fn open(dir: &'d Path) -> Self {
        let mut desk = Self {
            dir,
            hefu: Opened::open(dir, "hefu.toml"),
            policy: optional(dir, "policy.toml"),
            calendar: optional(dir, "calendar.toml"),
            classes: optional(dir, "classes.toml"),
            channels: Vec::new(),
            codes: Vec::new(),
            definitions: BTreeMap::new(),
            rules: Vec::new(),
            others: Vec::new(),
        };
        desk.channels = desk.list("channels").iter().map(|name| Opened::open(dir, name)).collect();
        desk.codes = desk.list("codes").iter().map(|name| Opened::open(dir, name)).collect();
        desk.rules = desk.list("rules").iter().map(|name| Opened::open(dir, name)).collect();
        for name in desk.list("providers") {
            desk.define(&name);
        }
        desk
    }

    /// The names of the TOML files in a folder that need not be there.
    fn list(&mut self, folder: &str) -> Vec<String> {
        let entries = match fs::read_dir(self.dir.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                let hint = "let the user that Hefu runs as read it, or remove it";
                self.blame(folder, &format!("cannot be read: {error}"), hint);
                return Vec::new();
            }
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "toml"))
            .map(|name| format!("{folder}/{name}"))
            .collect();
        names.sort_unstable();
        if names.len() > FILES_MAX {
            self.blame(folder, &format!("more than {FILES_MAX} files"), "remove what is not used");
            names.truncate(FILES_MAX);
        }
        names
    }

    /// Says what is wrong with a whole folder.
    fn blame(&mut self, folder: &str, message: &str, hint: &str) {
        let mut sheet = Sheet::new(folder, String::new());
        sheet.problem(&(0..0), message, hint);
        self.others.push(sheet);
    }

    /// Takes a provider's definition, named as its file is: it is compiled by whoever speaks to providers.
    fn define(&mut self, file: &str) {
        let Opened { sheet, stem, .. } = Opened::<toml::Table>::open(self.dir, file);
        self.definitions.insert(stem, Definition { sheet });
    }

    /// The names of all channels, also of those whose file is wrong.
    fn channel_names(&self) -> BTreeSet<String> {
        let named = |opened: &Opened<ChannelFile>| match &opened.file.name {
            Some(name) => name.value.0.0.clone(),
            None => opened.stem.clone(),
        };
        self.channels.iter().map(named).collect()
    }

    /// Checks every channel's protocol; with it goes the position of its file.
    fn protocols(
        &mut self,
        codes: &BTreeMap<String, check::codes::Codes>,
    ) -> Vec<(usize, Profile)> {
        let mut protocols = Vec::new();
        let mut channels = mem::take(&mut self.channels);
        for (at, opened) in channels.iter_mut().enumerate() {
            let name = opened.file.name.as_ref().map_or(&opened.stem, |name| &name.value.0.0);
            let Opened { sheet, file, .. } = &mut self.hefu;
            let deployed = file.channels.iter().find(|(key, _)| key.value == *name);
            let wanted = check::channel::key_names(&opened.file);
            let keys = deployed
                .map(|(_, at)| check::deployment::keys(sheet, self.dir, &at.value, &wanted))
                .unwrap_or_default();
            let checked = check::channel::check(opened, Around { codes, keys: &keys });
            protocols.extend(checked.map(|profile| (at, profile)));
        }
        self.channels = channels;
        protocols
    }

    /// Finds channels of one name, and routes that two would claim.
    fn find_twins(&mut self, protocols: &[(usize, Profile)]) {
        let mut names: BTreeMap<&ChannelName, usize> = BTreeMap::new();
        let mut routes: BTreeMap<(Option<String>, String), String> = BTreeMap::new();
        let mut notified = BTreeMap::new();
        for (at, profile) in protocols {
            if let Some(first) = names.insert(&profile.channel, *at) {
                let first = self.channels.get(first).map(|opened| opened.sheet.name().to_owned());
                if let Some(Opened { sheet, file, .. }) = self.channels.get_mut(*at) {
                    let span = file.name.as_ref().map_or(0..0, |name| name.span.clone());
                    let hint = format!("the other one is `{}`", first.unwrap_or_default());
                    sheet.problem(&span, format!("channel {} stands twice", profile.channel), hint);
                }
            }
            let Some(Opened { sheet, file, .. }) = self.channels.get_mut(*at) else { continue };
            for (route, span) in routes_with_places(profile, file) {
                let owner = sheet.name().to_owned();
                claim(sheet, &span, &mut routes, ((route.host.clone(), route.path.clone()), owner));
            }
            let path = file.notify.as_ref().and_then(|notify| notify.value.path.as_ref());
            if let (Some(notify), Some(path)) = (&profile.notify, path) {
                let owner = sheet.name().to_owned();
                claim(sheet, &path.span, &mut notified, ((None, notify.path.clone()), owner));
            }
        }
        let Opened { sheet, file, .. } = &mut self.hefu;
        for at in &file.passthrough {
            let Some(path) = &at.value.path else { continue };
            let host = at.value.host.as_ref().map(|host| host.0.0.clone());
            let owner = sheet.name().to_owned();
            claim(sheet, &path.span, &mut routes, ((host, path.value.0.0.clone()), owner));
        }
    }

    /// Finds routes that stream and get no request, since a channel's route takes them all: an inspected one, or any
    /// where the traffic passes through.
    fn find_shadowed(
        &mut self,
        protocols: &[(usize, Profile)],
        modes: &BTreeMap<String, ChannelMode>,
    ) {
        let mode = |name: &ChannelName| modes.get(name.as_str()).copied().unwrap_or_default();
        let used = |name: &str| self.hefu.file.channels.keys().any(|key| key.value == name);
        let used = protocols.iter().filter(|(_, one)| used(one.channel.as_str()));
        let used: Vec<(usize, &Profile)> = used.map(|(at, one)| (*at, one)).collect();
        let hint = |(channel, path): (&ChannelName, &str)| {
            format!(
                "channel {channel} takes `{path}` and all under it: give one of them its own path, or both a host"
            )
        };
        let over = |rule: &RouteRule, only_inspected: bool| {
            let others = used.iter().flat_map(|(_, profile)| {
                profile.routes.iter().map(|route| (&profile.channel, route))
            });
            let mut others = others
                .filter(|(name, _)| !only_inspected || mode(name) != ChannelMode::Uninspected);
            // The same route twice is reported as such.
            let found = others.find(|(_, other)| *other != rule && rule.is_within(other));
            found.map(|(name, other)| hint((name, &other.path)))
        };
        for (at, profile) in &used {
            let Some(Opened { sheet, file, .. }) = self.channels.get_mut(*at) else { continue };
            if mode(&profile.channel) != ChannelMode::Uninspected {
                continue;
            }
            for (route, span) in routes_with_places(profile, file) {
                if let Some(hint) = over(route, true) {
                    let message = "what is uninspected here lies within what is inspected";
                    sheet.problem(&span, message, hint);
                }
            }
        }
        let Opened { sheet, file, .. } = &mut self.hefu;
        for at in &file.passthrough {
            let Some(path) = &at.value.path else { continue };
            let host = at.value.host.as_ref().map(|host| host.0.0.clone());
            if let Some(hint) = over(&RouteRule { host, path: path.value.0.0.clone() }, false) {
                sheet.problem(&path.span, "nothing gets here: a channel's route comes first", hint);
            }
        }
    }

    fn into_problems(self) -> Problems {
        let channels = self.channels.into_iter().map(|opened| opened.sheet);
        let codes = self.codes.into_iter().map(|opened| opened.sheet);
        let definitions = self.definitions.into_values().map(|definition| definition.sheet);
        let sheets = [self.hefu.sheet, self.policy.sheet, self.calendar.sheet, self.classes.sheet]
            .into_iter()
            .chain(channels)
            .chain(codes);
        let rules = self.rules.into_iter().map(|opened| opened.sheet);
        let sheets = sheets.chain(definitions).chain(rules);
        Problems::new(sheets.chain(self.others).flat_map(Sheet::into_problems).collect())
    }
}

/// A file that need not be there.
fn optional<T: DeserializeOwned + Default + schemars::JsonSchema>(
    dir: &Path,
    name: &str,
) -> Opened<T> {
    if dir.join(name).exists() { Opened::open(dir, name) } else { Opened::absent(name) }
}

fn routes_with_places<'a>(
    profile: &'a Profile,
    file: &ChannelFile,
) -> Vec<(&'a RouteRule, Range<usize>)> {
    let spans = file
        .route
        .iter()
        .filter_map(|route| route.value.path.as_ref().map(|path| path.span.clone()));
    profile.routes.iter().zip(spans).collect()
}

/// Notes a route, or a problem where it is taken.
fn claim(
    sheet: &mut Sheet,
    span: &Range<usize>,
    routes: &mut BTreeMap<(Option<String>, String), String>,
    (route, owner): ((Option<String>, String), String),
) {
    let path = route.1.clone();
    if let Some(other) = routes.insert(route, owner) {
        let hint =
            format!("`{other}` has the same host and path: one request can go to one place only");
        sheet.problem(span, format!("route `{path}` stands twice"), hint);
    }
}
