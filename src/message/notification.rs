//! Reading a notification: which order it tells of, what it says, and whether that is the channel's word: all of it, read once more from
//! nothing but what a pinned key vouches for.

use crate::crypto::signature::Hash;
use crate::domain::id::{MerchantId, OrderId};
use crate::domain::money::Fen;
use crate::domain::outcome::Outcome;
use crate::domain::payment::Scenario;
use crate::message::extract::{Request, put_headers};
use crate::message::form;
use crate::message::node::{Entries, Found, Node, ReadError, Scope};
use crate::message::outcome::{self, Reading};
use crate::message::path::Path;
use crate::message::profile::{
    Notification, Notify, Place, Profile, Proof, Signature, Signed, Step,
};
use crate::message::unwrap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a notification tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notified {
    /// Which kinds of payment it may be of; any that moves money where empty.
    pub scenarios: Vec<Scenario>,
    /// The order, as the channel names it.
    pub order: OrderId,
    /// The core's merchant.
    pub merchant: Option<MerchantId>,
    /// The amount.
    pub amount: Option<Fen>,
    /// What it says.
    pub reading: Reading,
    /// Whether it is the channel's.
    pub vouched: Vouched,
}

/// Whether a notification is the channel's, by its bytes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// A pinned key says so.
    Yes,
    /// There are pinned keys, and by none of them it is.
    No,
    /// There is nothing to hold against it.
    Unknown,
}

/// Why a notification tells nothing of a payment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// The profile lists no such notification.
    #[error("the profile lists no such notification")]
    Unlisted,
    /// It is of something else: a refund that the core asked for, say.
    #[error("it tells nothing of a payment")]
    Passing,
    /// Its content is sealed, and no key opens it: the core's query will tell.
    #[error("it is sealed, and there is no key")]
    Sealed,
    /// It cannot be read, or could be read in two ways.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Reads a notification.
///
/// # Errors
/// [`Unheard`] where it tells nothing of a payment.
pub fn read(
    profile: &Profile,
    notify: &Notify,
    request: &Request<'_>,
) -> Result<Notified, Unheard> {
    let node = tree(notify, request)?;
    check_same(profile, &node)?;
    let told = told(profile, notify, &node)?;
    let vouched = match proved(profile, notify, request, &node) {
        // What lies beside it may be anybody's: without it the same must be told.
        Proved::Part(part) if self::told(profile, notify, &part).as_ref() == Ok(&told) => {
            Vouched::Yes
        }
        Proved::Part(_) | Proved::Nothing => Vouched::Unknown,
        Proved::Forged => Vouched::No,
    };
    Ok(Notified { vouched, ..told })
}

/// What is told, whoever says so.
fn told(profile: &Profile, notify: &Notify, node: &Node<'_>) -> Result<Notified, Unheard> {
    let message = classify(notify, node)?.ok_or(Unheard::Unlisted)?;
    let rule = message.outcome.as_ref().ok_or(Unheard::Passing)?;
    let codes = rule.outer.iter().map(|layer| &layer.code).chain([&rule.layer.code]);
    for path in message.order.iter().chain(codes) {
        if node.find(path)? == Found::Sealed {
            return Err(Unheard::Sealed);
        }
    }
    let scope = Scope::whole(node);
    let reading = outcome::by_rule(profile, rule, node)?;
    let order = scope.joined(&message.order)?.ok_or_else(|| unnamed(message))?;
    let merchant = match &message.merchant {
        Some(path) => scope.name(path)?.map(|name| MerchantId(name.into())),
        None => None,
    };
    Ok(Notified {
        scenarios: message.scenarios.clone(),
        order: OrderId(order.into()),
        merchant,
        amount: amount(message, node, reading.outcome)?,
        reading,
        vouched: Vouched::Unknown,
    })
}

/// The query of a `GET`, the body of all others. What stands in the address of a `POST` is the core's own.
fn tree<'a>(notify: &Notify, request: &Request<'a>) -> Result<Node<'a>, ReadError> {
    let mut node = if request.method == "GET" {
        unwrap::read_query(&notify.body, request.query.unwrap_or_default())?
    } else {
        unwrap::read(&notify.body, request.content_type, request.body)?
    };
    if let Node::Map(entries) = &mut node
        && !notify.headers.is_empty()
    {
        put_headers(entries, &notify.headers, request.headers)?;
    }
    Ok(node)
}

fn classify<'n>(notify: &'n Notify, node: &Node<'_>) -> Result<Option<&'n Notification>, Unheard> {
    for message in &notify.messages {
        let mut fits = true;
        for (field, values) in &message.when {
            let found = node.find(field)?;
            if found == Found::Sealed {
                return Err(Unheard::Sealed);
            }
            fits = fits && found.text().is_some_and(|text| values.iter().any(|it| it == text));
        }
        if fits {
            return Ok(Some(message));
        }
    }
    Ok(None)
}

fn unnamed(message: &Notification) -> ReadError {
    match message.order.first() {
        Some(path) => ReadError::unreadable(path, "no order"),
        None => ReadError::unreadable("notify", "no order"),
    }
}

/// The amount; money that moved has one, and what failed may leave it out or say nothing came.
fn amount(
    message: &Notification,
    node: &Node<'_>,
    outcome: Outcome,
) -> Result<Option<Fen>, Unheard> {
    let Some((path, unit)) = &message.amount else { return Ok(None) };
    match node.find(path)? {
        Found::Sealed => Err(Unheard::Sealed),
        Found::Absent | Found::Text("") if outcome::moved(outcome) => {
            Err(ReadError::unreadable(path, "no amount").into())
        }
        Found::Absent | Found::Text("") => Ok(None),
        Found::Text(text) => Ok(outcome::amount(path, (text, *unit), outcome)?),
    }
}

/// A copy that says something else was put there, or the field was: nobody can tell which of them is the channel's.
fn check_same(profile: &Profile, node: &Node<'_>) -> Result<(), ReadError> {
    for (field, copy) in &profile.same {
        if let (Some(one), Some(other)) = (node.find(field)?.text(), node.find(copy)?.text())
            && one != other
        {
            return Err(ReadError::ambiguous(copy, "a copy that differs"));
        }
    }
    Ok(())
}

/// What a pinned key vouches for.
enum Proved<'a> {
    /// So much of the message.
    Part(Node<'a>),
    /// It should, and does not.
    Forged,
    /// There is no key.
    Nothing,
}

fn proved<'a>(
    profile: &Profile,
    notify: &Notify,
    request: &Request<'_>,
    node: &Node<'a>,
) -> Proved<'a> {
    match &notify.proof {
        Some(Proof::Signature(signature)) if signature.keys.is_empty() => Proved::Nothing,
        Some(Proof::Signature(signature)) => {
            if is_signed(signature, request, node).unwrap_or(false) {
                Proved::Part(without_headers(node))
            } else {
                Proved::Forged
            }
        }
        // What does not open is not read at all.
        Some(Proof::Opened(path)) if opens(notify, path) => {
            let copied = profile.same.iter().filter(|(field, copy)| {
                let text = |path: &Path| node.find(path).ok().and_then(Found::text);
                path.leads_to(copy) && text(copy).is_some() && text(copy) == text(field)
            });
            let paths: Vec<&Path> = copied.map(|(field, _)| field).chain([path]).collect();
            Proved::Part(only(node, &paths, 0))
        }
        None | Some(Proof::Opened(_)) => Proved::Nothing,
    }
}

/// A signature is over the body or the query, and never over the head.
fn without_headers<'a>(node: &Node<'a>) -> Node<'a> {
    let Node::Map(entries) = node else { return node.clone() };
    Node::Map(Entries::of(entries.iter().filter(|(key, _)| !key.starts_with('@')).cloned()))
}

/// What stands at `paths`, which agree in the first `depth` keys, and nothing else.
fn only<'a>(node: &Node<'a>, paths: &[&Path], depth: usize) -> Node<'a> {
    let Node::Map(entries) = node else { return node.clone() };
    let kept = entries.iter().filter_map(|(key, inner)| {
        let within = paths.iter().filter(|path| path.keys().nth(depth) == Some(&**key));
        let within: Vec<&Path> = within.copied().collect();
        if within.is_empty() {
            return None;
        }
        let below = depth.saturating_add(1);
        let whole = within.iter().any(|path| path.keys().nth(below).is_none());
        let kept = if whole { inner.clone() } else { only(inner, &within, below) };
        Some((key.clone(), kept))
    });
    Node::Map(Entries::of(kept))
}

/// Whether there is a key for the content at `path`.
fn opens(notify: &Notify, path: &Path) -> bool {
    let mut at = notify.body.unwrap.iter().filter(|it| it.at == Place::Field(path.clone()));
    at.any(|it| it.steps.iter().any(|step| matches!(step, Step::OpenBlocks(Some(_)))))
}

/// Nothing where there is no signature, or nothing that it could be over.
fn is_signed(signature: &Signature, request: &Request<'_>, node: &Node<'_>) -> Option<bool> {
    let given = STANDARD.decode(node.find(&signature.at).ok()?.text()?).ok()?;
    let text = match signature.over {
        // A signature over the body says nothing of the query that is read in its place.
        Signed::Body | Signed::BodyMd5Hex if request.method == "GET" => return None,
        Signed::Body => request.body.to_vec(),
        Signed::BodyMd5Hex => Hash::Md5.hex(request.body)?.into_bytes(),
        Signed::SortedPairs => sorted_pairs(signature, request)?,
        Signed::SortedPairsSha256Hex => {
            Hash::Sha256.hex(&sorted_pairs(signature, request)?)?.into_bytes()
        }
    };
    Some(signature.keys.iter().any(|key| key.vouches_for(signature.hash, &text, &given)))
}

/// Whether a pair could be cut otherwise once all are joined: who can have a channel echo `&code=00` could move it out of the field
/// in which it was echoed, and the signature would hold.
fn is_double((key, value): &(Vec<u8>, Vec<u8>), pairs: &[(Vec<u8>, Vec<u8>)]) -> bool {
    let has = |text: &[u8], what: &[u8]| text.windows(what.len()).any(|part| part == what);
    let odd = key.is_empty() || key.iter().any(|byte| matches!(byte, b'&' | b'='));
    let echoed = |(other, _): &(Vec<u8>, Vec<u8>)| has(value, &[b"&", &**other, b"="].concat());
    odd || (value.contains(&b'&') && pairs.iter().any(echoed))
}

/// The fields of a form but for the signature, decoded to bytes and in whatever charset, sorted and joined.
fn sorted_pairs(signature: &Signature, request: &Request<'_>) -> Option<Vec<u8>> {
    let get = request.method == "GET";
    let form = if get { request.query.unwrap_or_default().as_bytes() } else { request.body };
    let own = signature.at.keys().next()?;
    let mut pairs = Vec::new();
    for field in form.split(|byte| *byte == b'&') {
        let mut halves = field.splitn(2, |byte| *byte == b'=');
        let key = form::percent_decode_bytes(halves.next()?).ok()?;
        let value = form::percent_decode_bytes(halves.next()?).ok()?;
        if key != own.as_bytes() {
            pairs.push((key, value));
        }
    }
    if pairs.iter().any(|pair| is_double(pair, &pairs)) {
        return None;
    }
    pairs.sort();
    let pairs: Vec<Vec<u8>> =
        pairs.into_iter().map(|(key, value)| [key, value].join(&b'=')).collect();
    Some(pairs.join(&b'&'))
}
