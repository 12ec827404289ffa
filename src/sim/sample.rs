//! Single messages outside any journey, for whoever wants thousands of legal ones.

use axum::http::HeaderMap;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::sim::{
    channel::{Request, Running},
    world,
};

/// How many rows a batch has at most.
const ROWS_MAX: usize = 12;

/// A legal message, really signed.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The channel's name.
    pub channel: &'static str,
    /// A name of ours for the message type.
    pub kind: &'static str,
    /// The scenario that the message is for, in Hefu's words.
    pub scenario: &'static str,
    /// The order's key, joined by `|`; of a batch, the batch's.
    pub order: String,
    /// The method.
    pub method: String,
    /// The path, and the query where there is one.
    pub path: String,
    /// Every header that belongs to the message; among them `hefu-elements` where elements are told beside it.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A channel's answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Whether the message's signature held (or its payload opened).
    pub signed: bool,
    /// The order's key as the channel reads it.
    pub order: String,
    /// The answer's own code, as the channel's books keep it.
    pub code: String,
    /// The answer's media type.
    pub content_type: &'static str,
    /// Other headers of the answer.
    pub headers: Vec<(&'static str, String)>,
    /// The answer's body.
    pub body: Vec<u8>,
}

/// Draws a message of this type.
pub(super) fn compose(channel: &Running, kind: &str, seed: u64) -> Option<Sample> {
    let kind = channel.ends.payer.kinds().into_iter().find(|known| *known == kind)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let people: Vec<_> = (0..ROWS_MAX).map(|_| world::stranger(&mut rng)).collect();
    let message = channel.ends.payer.sample(kind, &people, &mut rng)?;
    let mut headers = vec![("content-type".to_owned(), message.content_type.to_owned())];
    headers.extend(message.headers.into_iter().map(|(name, value)| (name.to_owned(), value)));
    headers.extend(message.told.map(|told| ("hefu-elements".to_owned(), told.dictionary())));
    Some(Sample {
        channel: channel.name,
        kind,
        scenario: message.scenario,
        order: message.order,
        method: message.method.to_string(),
        path: message.path,
        headers,
        body: message.body,
    })
}

/// Hands a message to the channel.
pub(super) fn answer(channel: &Running, sample: &Sample, headers: &HeaderMap) -> Reply {
    let (path, query) = sample.path.split_once('?').unwrap_or((&sample.path, ""));
    let request = Request { method: &sample.method, path, query, headers, body: &sample.body };
    let answer = channel.ends.gateway.answer(&request);
    Reply {
        signed: answer.signed,
        order: answer.order,
        code: answer.verdict.code,
        content_type: answer.content_type,
        headers: answer.headers,
        body: answer.body,
    }
}
