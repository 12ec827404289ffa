//! From `hefu.toml` to where this Hefu stands.

use super::routing::portion;
use super::{operator, place, secrets, store, within};
use crate::billing::price::{Price, Prices, Step};
use crate::config::api::{Api, Operator};
use crate::config::file::operator::OperatorFile;
use crate::config::file::{
    DeployedFile, DrainFile, FilePath, HefuFile, LimitsFile, ListenFile, PriceFile, ProviderFile,
    Time,
};
use crate::config::problem::suggest;
use crate::config::read::{At, Sheet};
use crate::config::settings::{
    AccessLog, Admin, Drain, Limits, Listen, Passthrough, Patience, Provider, Storage, Upstream,
};
use crate::config::text::{AdminAddress, Rate, Size, Text};
use crate::crypto::keys::Keys;
use crate::crypto::seal::OpeningKey;
use crate::domain::element::ElementSet;
use crate::domain::id::ProviderName;
use crate::domain::keep::Keep;
use crate::domain::money::Fen;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
/// The fewest bytes of an admin token: 128 bits in base 64.
const TOKEN_BYTES_MIN: usize = 22;
/// How many requests a second a token of the admin API may make where nothing else is said.
const ADMIN_PER_SECOND: u32 = 50;
/// How many questions may be on their way to a provider where nothing else is said.
const PROVIDER_CONCURRENCY: u32 = 64;

/// How long an inquiry may take where nothing else is said.
const PROVIDER_TIMEOUT: Duration = Duration::from_secs(2);
/// The priority where nothing else is said.
const PROVIDER_PRIORITY: u32 = 100;

/// What `hefu.toml` says, but for channels.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) listen: Option<Listen>,
    pub(crate) limits: Limits,
    pub(crate) drain: Drain,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) store: Storage,
    pub(crate) keep: Keep,
    pub(crate) evidence_in_memory: usize,
    pub(crate) keys: Option<Keys>,
    pub(crate) passthrough: Vec<Passthrough>,
}

/// Checks all of it but for channels and providers.
pub(crate) fn check(sheet: &mut Sheet, dir: &Path, file: &HefuFile) -> Deployment {
    let hint = "say where Hefu listens, such as `[listen]` with `core = \"127.0.0.1:7000\"`";
    let listen = sheet.need(file.listen.as_ref(), &(0..0), "listen", hint);
    let hint = "name the key of fingerprints in `[secrets]`";
    let secrets = sheet.need(file.secrets.as_ref(), &(0..0), "secrets", hint);
    Deployment {
        listen: listen.and_then(|listen| read_listen(sheet, dir, listen, &file.operator)),
        limits: limits(sheet, &file.limits),
        drain: drain(sheet, &file.drain),
        access_log: file.log.access.as_ref().map(|access| access_log(dir, access)),
        store: store::check(sheet, dir, &file.store),
        keep: store::keep(sheet, &file.store.keep),
        evidence_in_memory: store::in_memory(sheet, &file.store),
        keys: secrets.and_then(|at| secrets::keys(sheet, dir, at)),
        passthrough: read_passthrough(sheet, dir, file),
    }
}

fn read_listen(
    sheet: &mut Sheet,
    dir: &Path,
    at: &At<ListenFile>,
    operators: &[At<OperatorFile>],
) -> Option<Listen> {
    let file = &at.value;
    let named = operator::operators(sheet, operators);
    let hint = "say where the core's requests come, such as `core = \"127.0.0.1:7000\"`";
    let core = sheet.need(file.core.as_ref(), &at.span, "core", hint);
    let notify = file.notify.as_ref();
    if let (Some(core), Some(notify)) = (core, notify)
        && core.value == notify.value
        // Of port 0 the system makes a free one of each.
        && core.value.0.port() != 0
    {
        let hint = "channels must not reach the core's listener: give each its own port";
        sheet.problem(&notify.span, "two listeners on one address", hint);
    }
    let metrics = file.metrics.as_ref();
    let others = [core, notify].into_iter().flatten().map(|other| other.value.0);
    if let Some(metrics) = metrics.filter(|metrics| {
        metrics.value.0.port() != 0 && others.into_iter().any(|other| other == metrics.value.0)
    }) {
        let hint = "metrics have a port of their own";
        sheet.problem(&metrics.span, "two listeners on one address", hint);
    }
    let admin = match &file.admin {
        None if sheet.is_cut(&at.span, "admin") => None,
        None => {
            unheard(sheet, file, operators);
            Some(None)
        }
        Some(address) => api(sheet, dir, at, named, !operators.is_empty())
            .map(|api| Some(Admin { address: address.value.0.clone(), api })),
    };
    if let Some(tls) = file.notify_tls.as_ref().filter(|_| notify.is_none()) {
        let hint = "say where notifications come in `notify`";
        sheet.problem(&tls.span, "`notify_tls` without a `notify` listener", hint);
    }
    let doors = [&file.core_tls, &file.notify_tls]
        .map(|tls| tls.as_ref().map(|tls| place::door(sheet, dir, tls)));
    let [core_tls, notify_tls] = doors.map(|door| door.map_or(Some(None), |read| read.map(Some)));
    Some(Listen {
        core: core?.value.0,
        core_tls: core_tls?,
        notify: notify.map(|notify| notify.value.0),
        notify_tls: notify_tls?,
        admin: admin?,
        metrics: metrics.map(|metrics| metrics.value.0),
    })
}

/// What is said of an admin API that nobody can reach is a slip: somebody takes it for guarded, or for there.
fn unheard(sheet: &mut Sheet, file: &ListenFile, operators: &[At<OperatorFile>]) {
    let spans = [
        ("`admin_token_file`", file.admin_token_file.as_ref().map(|at| &at.span)),
        ("`admin_tls`", file.admin_tls.as_ref().map(|at| &at.span)),
        ("`admin_per_second`", file.admin_per_second.as_ref().map(|at| &at.span)),
        ("`[[operator]]`", operators.first().map(|at| &at.span)),
    ];
    for (what, span) in spans {
        if let Some(span) = span {
            let hint = "say where the admin API is in `[listen] admin`, such as `127.0.0.1:7070`";
            sheet.problem(span, format!("{what} without an `admin` listener"), hint);
        }
    }
}

/// Who may use the admin API.
fn api(
    sheet: &mut Sheet,
    dir: &Path,
    at: &At<ListenFile>,
    operators: Vec<Operator>,
    named: bool,
) -> Option<Api> {
    let file = &at.value;
    let token = file.admin_token_file.as_ref().map(|path| {
        let token = place::secret(sheet, dir, path);
        if token.as_ref().is_some_and(|token| token.expose().len() < TOKEN_BYTES_MIN) {
            let hint = "make one with `openssl rand -base64 32`";
            let message = format!("a token has at least {TOKEN_BYTES_MIN} bytes");
            sheet.problem(&path.span, message, hint);
        }
        token
    });
    if token.is_none() && !named {
        let hint = "the admin API can change what is refused: make a token with `openssl rand -base64 32`, or one for each with `hefu token`";
        sheet.need::<()>(None, &at.span, "admin_token_file", hint);
        return None;
    }
    let is_socket =
        file.admin.as_ref().is_some_and(|at| matches!(at.value.0, AdminAddress::Unix(_)));
    if let Some(tls) = file.admin_tls.as_ref().filter(|_| is_socket) {
        let hint = "who may open a Unix socket is said by its directory: leave `admin_tls` out";
        sheet.problem(&tls.span, "TLS on a Unix socket", hint);
    }
    let door = file.admin_tls.as_ref().map(|tls| place::door(sheet, dir, tls));
    let per_second = within(sheet, file.admin_per_second.as_ref(), 1..=10_000, ADMIN_PER_SECOND);
    let (token, door) =
        (token.map_or(Some(None), |it| it.map(Some)), door.map_or(Some(None), |it| it.map(Some)));
    Some(Api { token: token?, operators, door: door?, per_second })
}

/// It is opened when Hefu starts, and made then where there is none.
fn access_log(dir: &Path, file: &FilePath) -> AccessLog {
    if file.value.as_os_str() == "stdout" {
        AccessLog::Stdout
    } else {
        AccessLog::File(dir.join(&file.value))
    }
}

fn limits(sheet: &mut Sheet, file: &LimitsFile) -> Limits {
    let default = Limits::default();
    Limits {
        body: size(sheet, file.body.as_ref(), 1 << 10..=16 << 20, default.body),
        head: size(sheet, file.head.as_ref(), 1 << 10..=64 << 10, default.head),
        headers: within(sheet, file.headers.as_ref(), 8..=256, default.headers),
        connections: within(sheet, file.connections.as_ref(), 1..=65_536, default.connections),
        head_deadline: time(
            sheet,
            file.head_deadline.as_ref(),
            SECOND..=HOUR,
            default.head_deadline,
        ),
        body_deadline: time(
            sheet,
            file.body_deadline.as_ref(),
            SECOND..=HOUR,
            default.body_deadline,
        ),
        idle: time(sheet, file.idle.as_ref(), SECOND..=HOUR, default.idle),
    }
}

fn drain(sheet: &mut Sheet, file: &DrainFile) -> Drain {
    let default = Drain::default();
    let idle = time(sheet, file.idle.as_ref(), Duration::ZERO..=HOUR, default.idle);
    let deadline = time(sheet, file.deadline.as_ref(), SECOND..=HOUR, default.deadline);
    if let Some(at) = file.deadline.as_ref().or(file.idle.as_ref())
        && deadline < idle
    {
        let hint = "connections would be cut that may still bring a request";
        sheet.problem(&at.span, "the drain's `deadline` comes before its `idle` is over", hint);
    }
    Drain { idle, deadline }
}

/// A size within a range, or the default.
pub(crate) fn size(
    sheet: &mut Sheet,
    value: Option<&At<Text<Size>>>,
    range: RangeInclusive<usize>,
    default: usize,
) -> usize {
    let value = value.map(|at| At { span: at.span.clone(), value: at.value.0.0 });
    within(sheet, value.as_ref(), range, default)
}

/// A duration within a range, or the default.
pub(crate) fn time(
    sheet: &mut Sheet,
    value: Option<&Time>,
    range: RangeInclusive<Duration>,
    default: Duration,
) -> Duration {
    let Some(at) = value else { return default };
    if !range.contains(&at.value.0) {
        let hint = format!("between {} and {}", written(*range.start()), written(*range.end()));
        sheet.problem(&at.span, "out of range", hint);
    }
    at.value.0
}

/// As it is written in a file: in the largest unit that it is a whole number of.
fn written(duration: Duration) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let ms = duration.as_millis();
    let whole = units.iter().find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

fn read_passthrough(sheet: &mut Sheet, dir: &Path, file: &HefuFile) -> Vec<Passthrough> {
    let mut all = Vec::new();
    for at in &file.passthrough {
        let hint = "say what the path begins with; `/` is every path";
        let path = sheet.need(at.value.path.as_ref(), &at.span, "path", hint);
        let upstream =
            sheet.need(at.value.upstream.as_ref(), &at.span, "upstream", "say where it goes");
        let upstream =
            upstream.and_then(|url| place::upstream(sheet, dir, url, at.value.tls.as_ref()));
        let host = at.value.host.as_ref().map(|host| host.0.0.clone());
        if let (Some(path), Some(upstream)) = (path, upstream) {
            all.push(Passthrough { host, path: path.value.0.0.clone(), upstream });
        }
    }
    all
}

/// A channel's place in the network.
#[derive(Debug)]
pub(crate) struct Deployed {
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) notify_core: Option<Upstream>,
    pub(crate) patience: Patience,
}

/// Where one channel is.
pub(crate) fn channel(sheet: &mut Sheet, dir: &Path, at: &At<DeployedFile>) -> Deployed {
    let file = &at.value;
    let hint = "say where the channel is, such as `upstreams = [\"https://gateway.example\"]`";
    let urls = sheet.need(file.upstreams.as_ref(), &at.span, "upstreams", hint);
    if let Some(urls) = urls.filter(|urls| urls.value.is_empty()) {
        sheet.problem(&urls.span, "no upstream", hint);
    }
    let upstreams = urls
        .into_iter()
        .flat_map(|urls| &urls.value)
        .filter_map(|url| place::upstream(sheet, dir, url, file.tls.as_ref()))
        .collect();
    let core = file.notify_core.as_ref();
    let default = Patience::default();
    Deployed {
        upstreams,
        notify_core: core.and_then(|url| place::upstream(sheet, dir, url, None)),
        patience: Patience {
            connect: time(
                sheet,
                file.connect_timeout.as_ref(),
                SECOND / 10..=SECOND * 30,
                default.connect,
            ),
            answer: time(
                sheet,
                file.answer_timeout.as_ref(),
                SECOND..=SECOND * 300,
                default.answer,
            ),
            idle: time(sheet, file.idle_timeout.as_ref(), SECOND..=HOUR, default.idle),
            answer_max: size(
                sheet,
                file.answer_max.as_ref(),
                1 << 10..=16 << 20,
                default.answer_max,
            ),
        },
    }
}

/// The keys that open one channel's sealed payloads; `wanted` are the names that its profile asks for.
pub(crate) fn keys(
    sheet: &mut Sheet,
    dir: &Path,
    file: &DeployedFile,
    wanted: &BTreeSet<&str>,
) -> BTreeMap<String, OpeningKey> {
    let mut keys = BTreeMap::new();
    for (name, path) in &file.keys {
        if !wanted.contains(name.value.as_str()) {
            let hint = suggest(&name.value, wanted.iter().copied());
            sheet.problem(&name.span, format!("the profile has no key `{}`", name.value), hint);
        }
        let Some(pem) = place::secret(sheet, dir, path) else { continue };
        match OpeningKey::from_pem(pem.expose()) {
            Ok(key) => {
                keys.insert(name.value.clone(), key);
            }
            Err(error) => {
                let hint = "the public half of the key that seals opens what it sealed";
                sheet.problem(&path.span, error.to_string(), hint);
            }
        }
    }
    keys
}

/// A provider's definition, as read from its file.
pub(crate) struct Definition {
    pub(crate) sheet: Sheet,
}

/// The providers in use.
pub(crate) fn providers(
    sheet: &mut Sheet,
    dir: &Path,
    files: &BTreeMap<At<Text<crate::config::text::Name>>, At<ProviderFile>>,
    definitions: &BTreeMap<String, Definition>,
) -> BTreeMap<ProviderName, Provider> {
    let mut providers = BTreeMap::new();
    for (name, at) in files {
        let definition = definitions.get(&name.value.0.0);
        if definition.is_none() {
            let hint = suggest(&name.value.0.0, definitions.keys().map(String::as_str));
            sheet.problem(
                &name.span,
                format!("no definition of provider `{}`", name.value.0.0),
                hint,
            );
        }
        if let Some(provider) = provider(sheet, dir, at, definition) {
            providers.insert(ProviderName::new(&name.value.0.0), provider);
        }
    }
    providers
}

/// What inquiries cost, or verifications.
pub(crate) fn prices(
    sheet: &mut Sheet,
    listed: Option<&At<Vec<At<PriceFile>>>>,
    flat: Option<u64>,
) -> Prices {
    let Some(listed) = listed else { return Prices::flat(flat.unwrap_or_default()) };
    if flat.is_some() {
        let hint = "keep one of them; a step without `elements` is for every other set";
        sheet.problem(&listed.span, "`prices` beside `price_fen`", hint);
    }
    let mut prices: Vec<Price> = Vec::new();
    for At { value: step, span } in &listed.value {
        let fen = sheet.need(step.fen.as_ref(), span, "fen", "say what each costs: `\"28.5\"`");
        let Some(At { value: Text(Rate(fen)), .. }) = fen else { continue };
        let set: Option<ElementSet> =
            step.elements.as_ref().map(|set| set.iter().map(|element| element.0).collect());
        let next = Step { up_to: step.up_to, fen: *fen };
        let Some(price) = prices.iter_mut().find(|price| price.set == set) else {
            prices.push(Price { set, steps: vec![next] });
            continue;
        };
        let follows = price
            .steps
            .last()
            .and_then(|last| last.up_to)
            .is_some_and(|before| next.up_to.is_none_or(|up_to| before < up_to));
        if !follows {
            let hint =
                "each step ends later than the one before it, and only the last has no `up_to`";
            sheet.problem(span, "a step that never begins", hint);
        }
        price.steps.push(next);
    }
    if prices.iter().any(|price| price.steps.last().is_some_and(|last| last.up_to.is_some())) {
        let hint = "leave `up_to` out of the last step of each set";
        sheet.problem(&listed.span, "what comes after the last step has no price", hint);
    }
    Prices::new(prices)
}

/// What a card's number begins with.
fn bin_of(sheet: &mut Sheet, bin: &At<String>) -> Option<Box<str>> {
    let digits = &bin.value;
    let right = (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !right {
        let hint = "write 1 to 6 digits: what the numbers of the cards begin with";
        // It might be a whole one.
        sheet.problem(&bin.span, "not what a card number begins with", hint);
    }
    right.then(|| digits.as_str().into())
}

fn provider(
    sheet: &mut Sheet,
    dir: &Path,
    at: &At<ProviderFile>,
    definition: Option<&Definition>,
) -> Option<Provider> {
    let file = &at.value;
    let url = sheet.need(file.url.as_ref(), &at.span, "url", "say where the provider is");
    let upstream = url.and_then(|url| place::upstream(sheet, dir, url, file.tls.as_ref()));
    let mut credentials = BTreeMap::new();
    for (name, path) in &file.credentials {
        if let Some(secret) = place::secret(sheet, dir, path) {
            credentials.insert(name.clone(), secret);
        }
    }
    let timeout = time(sheet, file.timeout.as_ref(), SECOND / 10..=SECOND * 60, PROVIDER_TIMEOUT);
    let bins: Vec<_> = file.bins.iter().flatten().filter_map(|bin| bin_of(sheet, bin)).collect();
    let mut most = |of, range, default| {
        NonZeroU32::new(within(sheet, of, range, default)).unwrap_or(NonZeroU32::MIN)
    };
    let weight = most(file.weight.as_ref(), 1..=1_000, 1);
    let concurrency = most(file.concurrency.as_ref(), 1..=10_000, PROVIDER_CONCURRENCY);
    let per_second = file.per_second.as_ref().map(|rate| most(Some(rate), 1..=100_000, 1));
    let scenarios = file.scenarios.iter().flatten().map(|scenario| scenario.value.0);
    let prices = prices(sheet, file.prices.as_ref(), file.price_fen);
    let shadow = file.shadow.as_ref().map(|share| portion(sheet, share, 1.0));
    let (upstream, definition) = (upstream?, definition?);
    Some(Provider {
        weight,
        bins,
        scenarios: scenarios.collect(),
        concurrency,
        per_second,
        file: definition.sheet.name().to_owned(),
        definition: definition.sheet.text().to_owned(),
        upstream,
        credentials,
        vars: file.vars.clone(),
        enabled: file.enabled.unwrap_or(true),
        priority: file.priority.unwrap_or(PROVIDER_PRIORITY),
        prices,
        cap: file.fen_per_day.map(Fen::new),
        shadow: shadow.unwrap_or_default(),
        timeout,
    })
}
