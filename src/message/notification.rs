//! Reading a notification: which order it tells of, what it says, and whether that is the channel's word.

use crate::crypto::signature::Hash;
use crate::domain::id::{MerchantId, OrderId};
use crate::domain::money::Fen;
use crate::domain::outcome::Outcome;
use crate::domain::payment::Scenario;
use crate::message::extract::{Request, put_headers};
use crate::message::form;
use crate::message::node::{Found, Node, ReadError, Scope};
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
    let message = classify(notify, &node)?.ok_or(Unheard::Unlisted)?;
    let rule = message.outcome.as_ref().ok_or(Unheard::Passing)?;
    let codes = rule.outer.iter().map(|layer| &layer.code).chain([&rule.layer.code]);
    for path in message.order.iter().chain(codes) {
        if node.find(path)? == Found::Sealed {
            return Err(Unheard::Sealed);
        }
    }
    let scope = Scope::whole(&node);
    let reading = outcome::by_rule(profile, rule, &node)?;
    let order = scope.joined(&message.order)?.ok_or_else(|| unnamed(message))?;
    let merchant = match &message.merchant {
        Some(path) => scope.name(path)?.map(|name| MerchantId(name.into())),
        None => None,
    };
    Ok(Notified {
        scenarios: message.scenarios.clone(),
        order: OrderId(order.into()),
        merchant,
        amount: amount(message, &node, reading.outcome)?,
        reading,
        vouched: vouched(notify, request, &node),
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
    let moved = matches!(outcome, Outcome::Succeeded | Outcome::Reversed);
    match node.find(path)? {
        Found::Sealed => Err(Unheard::Sealed),
        Found::Absent | Found::Text("") if moved => {
            Err(ReadError::unreadable(path, "no amount").into())
        }
        Found::Absent | Found::Text("") => Ok(None),
        Found::Text(text) => {
            let what = "not an amount in the declared unit";
            let amount = Fen::parse(text, *unit).map_err(|_| ReadError::ambiguous(path, what))?;
            Ok(Some(amount).filter(|amount| moved || amount.get() > 0))
        }
    }
}

fn vouched(notify: &Notify, request: &Request<'_>, node: &Node<'_>) -> Vouched {
    match &notify.proof {
        Some(Proof::Signature(signature)) if signature.keys.is_empty() => Vouched::Unknown,
        Some(Proof::Signature(signature)) => {
            let by_a_key = is_signed(signature, request, node).unwrap_or(false);
            if by_a_key { Vouched::Yes } else { Vouched::No }
        }
        // What does not open is not read at all.
        Some(Proof::Opened(path)) if opens(notify, path) => Vouched::Yes,
        None | Some(Proof::Opened(_)) => Vouched::Unknown,
    }
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
