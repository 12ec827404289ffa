//! From `[verification]` and `[[client]]` to the verification service and who may use it.

use super::deployment::{prices, size, time};
use super::{client_kinds, place, webhook, within};
use crate::config::clients::{Client, ClientKey, Verification};
use crate::config::file::clients::{ClientFile, KeyFile, VerificationFile};
use crate::config::file::{HefuFile, ListenFile};
use crate::config::read::{At, Sheet};
use crate::domain::client::{Scope, TOGETHER};
use crate::domain::element::{Element, ElementSet};
use crate::domain::id::{ClientName, MerchantId};
use crate::domain::payment::Scenario;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

/// The longest name of a client, and of a key.
const NAME_MAX: usize = 32;
/// Two, while one follows another.
const KEYS_MAX: usize = 2;
/// How many requests a second a client may make where nothing else is said.
const PER_SECOND: u32 = 20;
/// What a client can send. Secrets of a card are never taken.
const ELEMENTS: ElementSet = ElementSet::EMPTY
    .with(Element::Name)
    .with(Element::IdNumber)
    .with(Element::Pan)
    .with(Element::Phone);

/// And where they ask other things.
const SENT: ElementSet = ELEMENTS
    .union(ElementSet::PICTURES)
    .with(Element::BusinessName)
    .with(Element::CreditCode)
    .with(Element::CertificateNumber);

const SECOND: Duration = Duration::from_secs(1);

/// The verification service, where there is one.
pub(crate) fn check(sheet: &mut Sheet, dir: &Path, file: &HefuFile) -> Option<Verification> {
    let clients = clients(sheet, dir, &file.client);
    let listen = file.listen.as_ref();
    let Some(address) = listen.and_then(|listen| listen.value.verification.as_ref()) else {
        let cut = listen.is_some_and(|listen| sheet.is_cut(&listen.span, "verification"));
        if !cut {
            unheard(sheet, file);
        }
        return None;
    };
    let listen = listen.map(|listen| &listen.value)?;
    let address_is = |other: std::net::SocketAddr| other == address.value.0 && other.port() != 0;
    if others(listen).any(address_is) {
        let hint = "clients must reach nothing but the verification service: give it its own port";
        sheet.problem(&address.span, "two listeners on one address", hint);
    }
    if listen.verification_tls.is_none() && !address.value.0.ip().is_loopback() {
        let hint = "elements and keys come by it: say `verification_tls`, or listen on `127.0.0.1` behind who has TLS";
        sheet.problem(&address.span, "the verification service outside loopback without TLS", hint);
    }
    if file.client.is_empty() {
        let hint = "say who may use it in `[[client]]`; `hefu client-key` makes a key";
        sheet.problem(&address.span, "a verification service without a client", hint);
    }
    if file.store.file.is_none() && file.store.postgres.is_none() {
        let hint = "what clients asked, and under which keys, must outlive the process: say `[store]` with `file` or `postgres`";
        sheet.problem(&address.span, "a verification service without a store", hint);
    }
    let door = listen.verification_tls.as_ref().map(|tls| place::door(sheet, dir, tls));
    let none = VerificationFile::default();
    let set = file.verification.as_ref().map_or(&none, |at| &at.value);
    let at_once = within(sheet, set.at_once.as_ref(), 1..=10_000, 64);
    let batches = within(sheet, set.batches.as_ref(), 1..=64, 2);
    if clients.iter().any(|client| client.may.contains(&Scope::Batch)) {
        crowded(sheet, set, at_once, batches);
    }
    Some(Verification {
        address: address.value.0,
        door: door.map_or(Some(None), |read| read.map(Some))?,
        body: size(sheet, set.body.as_ref(), 1 << 10..=16 << 20, 64 << 10),
        connections: within(sheet, set.connections.as_ref(), 1..=65_536, 256),
        head_deadline: time(sheet, set.head_deadline.as_ref(), SECOND..=SECOND * 300, SECOND * 10),
        body_deadline: time(sheet, set.body_deadline.as_ref(), SECOND..=SECOND * 300, SECOND * 10),
        at_once,
        batch_body: size(sheet, set.batch_body.as_ref(), 1 << 10..=64 << 20, 4 << 20),
        batches,
        picture: size(sheet, set.picture.as_ref(), 1 << 10..=8 << 20, 1 << 20),
        pictures: within(sheet, set.pictures.as_ref(), 1..=256, 8),
        clients,
    })
}

fn others(listen: &ListenFile) -> impl Iterator<Item = std::net::SocketAddr> {
    let admin = listen.admin.iter().filter_map(|admin| match &admin.value.0 {
        crate::config::text::AdminAddress::Tcp(address) => Some(*address),
        crate::config::text::AdminAddress::Unix(_) => None,
    });
    let all = [&listen.core, &listen.notify, &listen.metrics];
    all.into_iter().flatten().map(|at| at.value.0).chain(admin)
}

/// The lines of batches wait for places, and who asks for one does not: were there no more than batches take, they would be told for as
/// long as one goes on that too much is asked.
fn crowded(sheet: &mut Sheet, set: &VerificationFile, at_once: usize, batches: usize) {
    let taken = batches.saturating_mul(TOGETHER);
    let blamed = set.at_once.as_ref().or(set.batches.as_ref());
    if let Some(at) = blamed.filter(|_| at_once <= taken) {
        let hint = format!(
            "each of {batches} batches asks about {TOGETHER} lines at once: say `at_once = {}` or more, or fewer `batches`",
            taken.saturating_add(1)
        );
        sheet.problem(&at.span, "`at_once` is too small for so many batches", hint);
    }
}

/// What is said of a service that nobody can reach is a slip.
fn unheard(sheet: &mut Sheet, file: &HefuFile) {
    let tls = file.listen.as_ref().and_then(|listen| listen.value.verification_tls.as_ref());
    let spans = [
        ("`verification_tls`", tls.map(|at| &at.span)),
        ("`[verification]`", file.verification.as_ref().map(|at| &at.span)),
        ("`[[client]]`", file.client.first().map(|at| &at.span)),
    ];
    for (what, span) in spans {
        if let Some(span) = span {
            let hint = "say where it is in `[listen] verification`, such as `127.0.0.1:7080`";
            sheet.problem(span, format!("{what} without a `verification` listener"), hint);
        }
    }
}

/// Checks all of them; two of one name, or with one key, are a mistake.
fn clients(sheet: &mut Sheet, dir: &Path, files: &[At<ClientFile>]) -> Vec<Client> {
    let (mut all, mut digests) = (Vec::<Client>::new(), BTreeSet::new());
    for at in files {
        let (span, file) = (&at.span, &at.value);
        let hint =
            "a client needs `name`, `keys`, `may` and `elements`: `hefu client-key` makes a key";
        let name = sheet.need(file.name.as_ref(), span, "name", hint);
        let keys = sheet.need(file.keys.as_ref(), span, "keys", hint);
        let may = sheet.need(file.may.as_ref(), span, "may", hint);
        let elements = sheet.need(file.elements.as_ref(), span, "elements", hint);
        if let Some(name) = name {
            if !is_name(&name.value) {
                let hint = "1 to 32 small letters, digits and `-`, the first a letter";
                sheet.problem(&name.span, "not a client's name", hint);
            }
            if all.iter().any(|other| other.name.as_str() == name.value) {
                let hint = "what each had verified is found by its name: give each its own";
                sheet.problem(&name.span, format!("client `{}` stands twice", name.value), hint);
            }
        }
        let keys = keys.map(|keys| read_keys(sheet, keys, &mut digests));
        let scopes = may.map(|may| {
            empty(
                sheet,
                &may.span,
                may.value.is_empty(),
                "say what it may do, such as `[\"verify\", \"read\"]`",
            );
            may.value.iter().map(|scope| scope.value.0.0).collect()
        });
        let sets = elements.map(|sets| read_sets(sheet, sets, ELEMENTS));
        let kinds = client_kinds::check(sheet, &file.kinds);
        if let Some(merchant) = file
            .merchant
            .as_ref()
            .filter(|it| it.value.is_empty() || it.value.chars().any(char::is_control))
        {
            sheet.problem(&merchant.span, "not a merchant", "write its number as messages have it");
        }
        let per_second = within(sheet, file.per_second.as_ref(), 1..=10_000, PER_SECOND);
        let prices = prices(sheet, file.prices.as_ref(), file.price_fen);
        let webhook = file.webhook.as_ref().map(|at| webhook::check(sheet, dir, at));
        let signing =
            file.signing_key_file.as_ref().and_then(|path| webhook::key(sheet, dir, path));
        let quota = [&file.per_day, &file.per_month].map(|most| most.as_ref().map(|at| at.value));
        let (Some(name), Some(keys), Some(may), Some(sets)) = (name, keys, scopes, sets) else {
            continue;
        };
        all.push(Client {
            name: ClientName::new(&name.value),
            keys,
            may,
            sets,
            kinds,
            merchant: file.merchant.as_ref().map(|it| MerchantId(it.value.as_str().into())),
            scenario: file.scenario.as_ref().map_or(Scenario::Verify, |word| word.0),
            shares: file.shares_evidence,
            per_second,
            quota,
            prices,
            signing,
            webhook: webhook.flatten(),
        });
    }
    all
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let letter = name.starts_with(|c: char| c.is_ascii_lowercase());
    (1..=NAME_MAX).contains(&name.len()) && name.chars().all(plain) && letter
}

fn empty(sheet: &mut Sheet, span: &Range<usize>, is_empty: bool, hint: &str) {
    if is_empty && !sheet.is_blamed(span) {
        sheet.problem(span, "there is none", hint);
    }
}

fn read_keys(
    sheet: &mut Sheet,
    keys: &At<Vec<At<KeyFile>>>,
    digests: &mut BTreeSet<[u8; 32]>,
) -> Vec<ClientKey> {
    empty(sheet, &keys.span, keys.value.is_empty(), "`hefu client-key` makes one");
    if keys.value.len() > KEYS_MAX {
        let hint = "one that is used, and one that follows it: take out what nobody uses any more";
        sheet.problem(&keys.span, "more than two keys", hint);
    }
    let mut read = Vec::new();
    for at in &keys.value {
        let hint = "a key needs `id` and `sha256`: `hefu client-key` writes them";
        let id = sheet.need(at.value.id.as_ref(), &at.span, "id", hint);
        let sha256 = sheet.need(at.value.sha256.as_ref(), &at.span, "sha256", hint);
        let (Some(id), Some(sha256)) = (id, sha256) else { continue };
        let is_id = (1..=NAME_MAX).contains(&id.value.len())
            && id.value.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_id {
            let hint = "1 to 32 letters and digits, as `hefu client-key` writes it";
            sheet.problem(&id.span, "not the number of a key", hint);
        }
        let mut digest = [0; 32];
        if hex::decode_to_slice(&sha256.value, &mut digest).is_err() {
            let hint =
                "the SHA-256 of the key, 64 hexadecimal digits: `hefu client-key` makes both";
            sheet.problem(&sha256.span, "not a hash", hint);
        } else if !digests.insert(digest) {
            let hint = "each key is one client's and stands once: `hefu client-key` makes one";
            sheet.problem(&sha256.span, "this key stands twice", hint);
        }
        let until = at.value.until.as_ref().map(|until| until.value.0);
        read.push(ClientKey { id: id.value.clone(), digest, until });
    }
    read
}

pub(super) fn read_sets(
    sheet: &mut Sheet,
    sets: &At<Vec<At<Vec<crate::config::text::Text<Element>>>>>,
    takes: ElementSet,
) -> Vec<ElementSet> {
    let hint = "say which, such as `[[\"name\", \"id_number\", \"pan\", \"phone\"]]`";
    empty(sheet, &sets.span, sets.value.is_empty(), hint);
    let mut read = Vec::new();
    for at in &sets.value {
        let set: ElementSet = at.value.iter().map(|element| element.0).collect();
        empty(sheet, &at.span, set.is_empty(), hint);
        let takes = takes.intersection(SENT);
        if !takes.is_superset(set) {
            let hint = format!("clients send {takes} and nothing else");
            sheet.problem(&at.span, "an element that no client can send", hint);
        }
        read.push(set);
    }
    read
}
