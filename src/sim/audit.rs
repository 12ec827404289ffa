//! The auditor: from the books of the channels, the providers and the core alone, what is true, and what Hefu said of it.
//!
//! **What is true.** A forwarded message's outcome is an element mismatch when the channel's answer names or suspects elements:
//! the message's own answer, or a later query's answer about the same order. Its kind is
//! * for a message with elements: `match_then_no_match` when some evidence came before the channel saw the message, every value of
//!   that evidence is the message's own value for the element, and the evidence covers at least one of the elements named or suspected;
//!   else `unverified_then_no_match`. Evidence is a provider's match, and a success of the core's own verify message,
//!   which itself has no second half and no kind. A `UnionPay` mandate (72/11) is not evidence: the debit after it does not quote it.
//! * for a debit by agreement: the same rule at its bind, with the bind's own success as evidence too, since the channel checked the
//!   elements there; so a living agreement is always verified, if only in those elements that the channel compared as they were sent.
//! * for a message whose elements were sealed to the channel and not told to Hefu, and for a debit by what such a bind yielded:
//!   `unverified_then_no_match`, since nobody could verify what nobody saw. Its own success is no evidence either.
//!
//! One order counts once, and `match_then_no_match` goes before the other kind.
//!
//! **What Hefu said** is the `Hefu-Mismatch` header on any answer about that order, and of a row of a batch the `mismatch` in
//! `Hefu-Rows`: a row is an order by the batch's key and its own name. A kind said of an order for which it is not true is
//! `false`.
//!
//! **Bytes** are compared by hash: what the core sent must be what some channel request was, and the answer that the core got must be
//! one that the channel gave to exactly these bytes.

mod classes;
mod end;
mod tries;

use std::collections::{BTreeMap, HashMap, HashSet};

pub use self::classes::Upgrades;
pub(super) use self::classes::upgrades;
pub(super) use self::end::{differing, in_the_end};
pub(super) use self::tries::LOCKED_AFTER;
pub use self::tries::Tries;
use serde_json::Value;

use crate::sim::{
    record::{AtChannel, AtCore, AtProvider, AtRow, Channel, Digest, Log, PLAIN, Part},
    world::{Element, Tuple},
};

/// How often a mismatch of one kind was true, found by Hefu, and claimed falsely.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Orders for which the kind is true.
    pub truly: u64,
    /// Those of them for which Hefu said so.
    pub found: u64,
    /// Orders of which Hefu said it although it is not true.
    pub falsely: u64,
    /// The keys of a few orders that were not found, to look into.
    pub missed: Vec<String>,
    /// The keys of a few orders of which it was said falsely.
    pub mistaken: Vec<String>,
}

/// The audit of one channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelAudit {
    /// Messages that the core sent.
    pub sent: u64,
    /// The same by scenario.
    pub scenarios: BTreeMap<&'static str, u64>,
    /// Messages that Hefu answered with a problem.
    pub refused: u64,
    /// The same by scenario, status and what the problem gives as reasons (or its title).
    pub problems: BTreeMap<(&'static str, u16, String), u64>,
    /// Messages without an answer from the channel: no answer at all, or a status other than 200.
    pub lost: u64,
    /// Requests that reached the channel.
    pub received: u64,
    /// What these asked for: of a batch each row, else the message.
    pub payments: u64,
    /// Requests whose signature did not hold at the channel, and answers whose signature did not hold at the core.
    pub signature_failures: u64,
    /// Messages or answers that arrived with other bytes.
    pub bytes_changed: u64,
    /// Messages other than queries that the channel saw more than once.
    pub duplicates: u64,
    /// Requests at the channel that carried a `Hefu-*` header.
    pub hefu_headers: u64,
    /// Payments that were taken and whose end was never told.
    pub open: u64,
    /// Connections that the channel saw.
    pub connections: u64,
    /// The two halves matched and differed.
    pub match_then_no_match: Count,
    /// Nothing was verified and the channel refused.
    pub unverified_then_no_match: Count,
}

/// What is true about a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// By channel name.
    pub channels: BTreeMap<&'static str, ChannelAudit>,
    /// Requests on the plain upstream that were answered.
    pub uninspected: u64,
    /// Authentic inquiries, by provider and the answer's own code.
    pub inquiries: BTreeMap<(&'static str, String), u64>,
    /// Those that are billed, by the provider's product.
    pub billable: BTreeMap<&'static str, u64>,
    /// Inquiries that a provider turned away: bad authentication, or not readable.
    pub inquiries_turned_away: u64,
    /// What the banks saw of tries, and what combination did.
    pub tries: Tries,
}

impl Audit {
    /// One number over all channels.
    pub fn sum(&self, of: impl Fn(&ChannelAudit) -> u64) -> u64 {
        self.channels.values().map(of).sum()
    }
}

/// Reads the books.
pub(super) fn audit(log: &Log, channels: impl IntoIterator<Item = Channel>) -> Audit {
    let (at_channels, at_providers, at_core) =
        (log.channels().clone(), log.providers().clone(), log.core().clone());
    let mut audit = Audit {
        uninspected: count(at_core.iter().filter(|e| e.channel == PLAIN && e.signed == Some(true))),
        tries: tries::tries(&at_providers, &at_core),
        inquiries_turned_away: count(at_providers.iter().filter(|e| !e.authentic)),
        ..Audit::default()
    };
    for inquiry in at_providers.iter().filter(|e| e.authentic) {
        *audit.inquiries.entry((inquiry.provider, inquiry.answer.clone())).or_default() += 1;
        *audit.billable.entry(inquiry.product).or_default() += u64::from(inquiry.billable);
    }
    let payments: Vec<_> = at_channels.iter().flat_map(payments).collect();
    let hidden: HashSet<_> = at_core.iter().filter(|e| e.hidden).map(|e| e.sent).collect();
    for channel in channels {
        let core: Vec<_> = at_core.iter().filter(|e| e.channel == channel).collect();
        let mut found = transport(&at_channels, &core, channel);
        let truth = truth(&payments, &at_providers, &hidden, channel);
        let said = said(&core);
        found.match_then_no_match = compare(&truth, &said, MATCHED);
        found.unverified_then_no_match = compare(&truth, &said, UNVERIFIED);
        found.open = open(&payments, channel);
        audit.channels.insert(channel, found);
    }
    audit
}

const MATCHED: &str = "match_then_no_match";
const UNVERIFIED: &str = "unverified_then_no_match";

/// Signatures, bytes, duplicates and headers of one channel.
fn transport(at_channels: &[AtChannel], core: &[&AtCore], channel: Channel) -> ChannelAudit {
    let (mut scenarios, mut problems) = (BTreeMap::new(), BTreeMap::new());
    for entry in core {
        *scenarios.entry(entry.scenario).or_default() += 1;
        if let Some(problem) = &entry.problem {
            let key = (entry.scenario, entry.status.unwrap_or_default(), reasons(problem));
            *problems.entry(key).or_default() += 1;
        }
    }
    let received: Vec<_> = at_channels.iter().filter(|e| e.channel == channel).collect();
    let answered: Vec<_> =
        core.iter().filter(|e| e.status == Some(200) && e.problem.is_none()).collect();
    let sent: HashSet<Digest> = core.iter().map(|e| e.sent).collect();
    let mut answers: HashMap<Digest, HashSet<Digest>> = HashMap::new();
    for entry in &received {
        answers.entry(entry.received).or_default().insert(entry.answered);
    }
    let strange = count(received.iter().filter(|e| !sent.contains(&e.received)));
    let missing = count(answered.iter().filter(|e| !answers.contains_key(&e.sent)));
    let replaced = count(answered.iter().filter(|e| {
        answers.get(&e.sent).is_some_and(|given| e.received.is_none_or(|got| !given.contains(&got)))
    }));
    let mut seen = HashSet::new();
    let twice = received
        .iter()
        .filter(|e| e.signed && e.part != Part::Query && !seen.insert((&e.order, &e.txn)));
    let duplicates = count(twice);
    ChannelAudit {
        sent: count(core.iter()),
        scenarios,
        problems,
        refused: count(core.iter().filter(|e| e.problem.is_some())),
        lost: count(core.iter().filter(|e| e.status != Some(200) && e.problem.is_none())),
        received: count(received.iter()),
        payments: count(received.iter().flat_map(|e| {
            let rows = if e.part == Part::Query { 1 } else { e.rows.len().max(1) };
            std::iter::repeat_n((), rows)
        })),
        signature_failures: count(received.iter().filter(|e| !e.signed))
            + count(answered.iter().filter(|e| e.signed == Some(false))),
        bytes_changed: strange.max(missing) + replaced,
        duplicates,
        hefu_headers: count(received.iter().filter(|e| e.hefu_headers > 0)),
        connections: count(received.iter().map(|e| e.connection).collect::<HashSet<_>>().iter()),
        ..ChannelAudit::default()
    }
}

/// The payments of one request: its rows, or itself.
pub(super) fn payments(entry: &AtChannel) -> Vec<AtChannel> {
    if entry.rows.is_empty() {
        return vec![entry.clone()];
    }
    let row = |row: &AtRow| AtChannel {
        order: row.order.clone(),
        tuple: row.tuple.clone(),
        verdict: row.verdict.clone(),
        rows: vec![],
        ..entry.clone()
    };
    entry.rows.iter().map(row).collect()
}

/// How many payments were taken and whose end was never told.
fn open(payments: &[AtChannel], channel: Channel) -> u64 {
    let of = |query: bool| {
        payments.iter().filter(move |e| e.channel == channel && (e.part == Part::Query) == query)
    };
    let told: HashSet<_> = of(true).map(|e| &e.order).collect();
    count(of(false).filter(|e| e.verdict.pending && !told.contains(&e.order)))
}

/// The kind of mismatch of each order that has one.
fn truth<'a>(
    at_channels: &'a [AtChannel],
    at_providers: &[AtProvider],
    hidden: &HashSet<Digest>,
    channel: Channel,
) -> HashMap<&'a str, &'static str> {
    let is_hidden = |entry: &AtChannel| hidden.contains(&entry.received);
    let mut evidence = Evidence::default();
    for inquiry in at_providers.iter().filter(|e| e.matched) {
        evidence.add(inquiry.seq, inquiry.tuple.clone());
    }
    let (mut binds, mut unseen) = (HashMap::new(), HashSet::new());
    let mut originals: HashMap<&str, &AtChannel> = HashMap::new();
    for entry in at_channels.iter().filter(|e| e.signed) {
        let proved = entry.verdict.proved && !is_hidden(entry);
        if proved && entry.part == Part::Verification {
            evidence.add(entry.seq, entry.tuple.clone());
        }
        if let Some(agreement) = entry.agreement.as_deref() {
            if proved {
                binds.insert((entry.channel, agreement), entry);
            } else if is_hidden(entry) {
                unseen.insert((entry.channel, agreement));
            }
        }
        if entry.channel == channel && entry.tuple != Tuple::default() {
            originals.insert(&entry.order, entry);
        }
    }
    let mut truth: HashMap<&str, &'static str> = HashMap::new();
    for entry in at_channels
        .iter()
        .filter(|e| e.signed && e.channel == channel && !e.verdict.said.is_empty())
    {
        let Some(original) = originals.get(entry.order.as_str()) else { continue };
        if original.part == Part::Verification {
            continue;
        }
        let agreement = original.agreement.as_deref();
        let bind = agreement.and_then(|agreement| binds.get(&(channel, agreement)).copied());
        let by_agreement = original.part == Part::ByAgreement;
        let unseen =
            is_hidden(original) || agreement.is_some_and(|a| unseen.contains(&(channel, a)));
        let checked = bind.filter(|_| by_agreement).unwrap_or(original);
        let named = &entry.verdict.said;
        let proved_at_bind = bind.filter(|_| by_agreement).is_some_and(|bind| {
            let only = &bind.verdict.proves;
            let proved = named.iter().filter(|named| only.is_empty() || only.contains(named));
            meets(&bind.tuple, &proved.copied().collect::<Vec<_>>())
        });
        let kind = if proved_at_bind || !unseen && evidence.covers(checked, named) {
            MATCHED
        } else {
            UNVERIFIED
        };
        let known = truth.entry(&entry.order).or_insert(kind);
        if kind == MATCHED {
            *known = MATCHED;
        }
    }
    truth
}

/// The kinds that Hefu said, by order: of a whole message, or of the rows of a batch by their number.
fn said<'a>(core: &[&'a AtCore]) -> HashSet<(&'a str, &'a str)> {
    let mut said = HashSet::new();
    for entry in core {
        for (name, value) in &entry.headers {
            let items = value.split(',').map(str::trim);
            match name.as_str() {
                "hefu-mismatch" => {
                    let kinds = items.filter_map(|item| item.split(';').next());
                    said.extend(kinds.map(|kind| (entry.order.as_str(), kind.trim())));
                }
                "hefu-rows" => said.extend(items.filter_map(|item| {
                    let (number, rest) = item.split_once(';')?;
                    let kind =
                        rest.split(';').find_map(|part| part.trim().strip_prefix("mismatch="))?;
                    let row = number.parse::<usize>().ok()?.checked_sub(1)?;
                    Some((entry.rows.get(row)?.as_str(), kind))
                })),
                _ => {}
            }
        }
    }
    said
}

fn compare(truth: &HashMap<&str, &'static str>, said: &HashSet<(&str, &str)>, kind: &str) -> Count {
    let truly: Vec<_> =
        truth.iter().filter(|(_, k)| **k == kind).map(|(order, _)| *order).collect();
    let is_found = |order: &&str| said.contains(&(*order, kind));
    let falsely: Vec<_> = said
        .iter()
        .filter(|(order, k)| *k == kind && truth.get(order) != Some(&kind))
        .map(|(order, _)| *order)
        .collect();
    let few = |orders: &mut dyn Iterator<Item = &str>| orders.take(10).map(str::to_owned).collect();
    Count {
        truly: count(truly.iter()),
        missed: few(&mut truly.iter().copied().filter(|order| !is_found(order))),
        mistaken: few(&mut falsely.iter().copied()),
        falsely: count(falsely.iter()),
        found: count(truly.iter().filter(|order| is_found(order))),
    }
}

/// Matches, by a value that every tuple has: the card, else the phone, else the ID number.
#[derive(Default)]
struct Evidence(HashMap<String, Vec<(u64, Tuple)>>);

impl Evidence {
    fn add(&mut self, seq: u64, tuple: Tuple) {
        let key = tuple.pan.as_ref().or(tuple.phone.as_ref()).or(tuple.id_number.as_ref());
        if let Some(key) = key.cloned() {
            self.0.entry(key).or_default().push((seq, tuple));
        }
    }

    /// Whether something was known of the message's own values before it came, on an element that the channel named.
    fn covers(&self, message: &AtChannel, named: &[Element]) -> bool {
        let keys = [&message.tuple.pan, &message.tuple.phone, &message.tuple.id_number];
        let known = keys.into_iter().flatten().filter_map(|key| self.0.get(key)).flatten();
        known.into_iter().any(|(seq, tuple)| {
            *seq < message.seq && tuple.is_within(&message.tuple) && meets(tuple, named)
        })
    }
}

fn meets(tuple: &Tuple, named: &[Element]) -> bool {
    named.iter().any(|element| tuple.get(*element).is_some())
}

/// Why Hefu refused, in its own words.
fn reasons(problem: &str) -> String {
    let problem: Value = serde_json::from_str(problem).unwrap_or_default();
    let reasons = problem.get("reasons").and_then(Value::as_array);
    let words: Vec<_> = reasons.into_iter().flatten().filter_map(Value::as_str).collect();
    if words.is_empty() {
        problem.get("title").and_then(Value::as_str).unwrap_or_default().to_owned()
    } else {
        words.join(" ")
    }
}

fn count<T>(entries: impl Iterator<Item = T>) -> u64 {
    u64::try_from(entries.count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::record::Verdict;

    fn tuple(phone: &str) -> Tuple {
        Tuple {
            name: Some("甲".into()),
            id_number: Some("1".into()),
            pan: Some("62".into()),
            phone: Some(phone.into()),
        }
    }

    fn at_channel(seq: u64, txn: &str, phone: &str, said: &[Element]) -> AtChannel {
        let verdict = Verdict { said: said.to_vec(), ..Verdict::default() };
        AtChannel {
            seq,
            channel: "unionpay",
            order: "o".into(),
            txn: txn.into(),
            part: Part::Own,
            received: [1; 32],
            answered: [2; 32],
            signed: true,
            tuple: tuple(phone),
            agreement: None,
            verdict,
            rows: vec![],
            connection: 1,
            hefu_headers: 0,
        }
    }

    fn at_core(header: &str) -> AtCore {
        AtCore {
            channel: "unionpay",
            order: "o".into(),
            rows: vec![],
            scenario: "debit",
            hidden: false,
            sent: [1; 32],
            received: Some([2; 32]),
            status: Some(200),
            signed: Some(true),
            headers: vec![("hefu-mismatch".into(), header.into())],
            problem: None,
        }
    }

    #[test]
    fn the_halves_are_judged_by_what_was_known_before() {
        let check = |known: Option<(u64, Tuple)>,
                     header: &str,
                     matched: (u64, u64, u64),
                     unverified: (u64, u64, u64)| {
            let log = Log::default();
            if let Some((seq, tuple)) = known {
                let inquiry = AtProvider {
                    seq,
                    provider: "p",
                    authentic: true,
                    tuple,
                    answer: "0".into(),
                    matched: true,
                    tried: Some(true),
                    billable: true,
                    ..AtProvider::default()
                };
                log.providers().push(inquiry);
            }
            log.channels().push(at_channel(5, "11/02", "13", &[Element::Name, Element::Phone]));
            log.core().push(at_core(header));
            let audit = audit(&log, ["unionpay"]);
            let channel = audit.channels.get("unionpay").unwrap();
            let three = |count: &Count| (count.truly, count.found, count.falsely);
            assert_eq!(
                (three(&channel.match_then_no_match), three(&channel.unverified_then_no_match)),
                (matched, unverified)
            );
            assert_eq!(
                (channel.bytes_changed, channel.signature_failures, channel.duplicates),
                (0, 0, 0)
            );
        };
        check(Some((3, tuple("13"))), "match_then_no_match;provider=\"p\"", (1, 1, 0), (0, 0, 0));
        check(Some((3, tuple("13"))), "", (1, 0, 0), (0, 0, 0));
        check(Some((7, tuple("13"))), "match_then_no_match", (0, 0, 1), (1, 0, 0));
        check(Some((3, tuple("14"))), "unverified_then_no_match", (0, 0, 0), (1, 1, 0));
        check(None, "unverified_then_no_match;suspects=\"name phone\"", (0, 0, 0), (1, 1, 0));
        check(Some((3, Tuple { name: None, phone: None, ..tuple("") })), "", (0, 0, 0), (1, 0, 0));
    }

    #[test]
    fn a_row_is_an_order_and_what_nobody_saw_nobody_verified() {
        let check = |hidden: bool,
                     headers: &[(&str, &str)],
                     matched: (u64, u64, u64),
                     unverified: (u64, u64, u64)| {
            let log = Log::default();
            let inquiry = AtProvider {
                seq: 3,
                provider: "p",
                authentic: true,
                tuple: tuple("13"),
                answer: "0".into(),
                matched: true,
                tried: Some(true),
                billable: true,
                ..AtProvider::default()
            };
            log.providers().push(inquiry);
            let mut batch = at_channel(5, "batch", "", &[]);
            let row = |name: &str, said: &[Element]| AtRow {
                order: format!("o|{name}"),
                tuple: tuple("13"),
                verdict: Verdict { said: said.to_vec(), ..Verdict::default() },
            };
            batch.rows = vec![row("a", &[]), row("b", &[Element::Phone])];
            log.channels().push(batch);
            let headers =
                headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let rows = vec!["o|a".into(), "o|b".into()];
            log.core().push(AtCore { hidden, rows, headers: headers.collect(), ..at_core("") });
            let audit = audit(&log, ["unionpay"]);
            let channel = audit.channels.get("unionpay").unwrap();
            let three = |count: &Count| (count.truly, count.found, count.falsely);
            assert_eq!(
                three(&channel.match_then_no_match),
                matched,
                "{:?}",
                channel.match_then_no_match
            );
            assert_eq!(three(&channel.unverified_then_no_match), unverified);
        };
        let second = "1;decision=annotate, 2;decision=permit;mismatch=match_then_no_match;suspects=\"phone\"";
        check(false, &[("hefu-rows", second)], (1, 1, 0), (0, 0, 0));
        check(false, &[("hefu-rows", "1;mismatch=match_then_no_match")], (1, 0, 1), (0, 0, 0));
        check(false, &[("hefu-mismatch", "match_then_no_match")], (1, 0, 1), (0, 0, 0));
        check(true, &[("hefu-rows", "2;mismatch=unverified_then_no_match")], (0, 0, 0), (1, 1, 0));
    }

    #[test]
    fn what_a_proxy_may_not_do_is_counted() {
        let check =
            |edit: fn(&mut AtChannel, &mut AtCore), twice: bool, expected: (u64, u64, u64, u64)| {
                let log = Log::default();
                let (mut channel, mut core) = (at_channel(5, "11/02", "13", &[]), at_core(""));
                edit(&mut channel, &mut core);
                log.channels().push(channel.clone());
                if twice {
                    log.channels().push(channel);
                }
                log.core().push(core);
                let audit = audit(&log, ["unionpay"]);
                let found = audit.channels.get("unionpay").unwrap();
                assert_eq!(
                    (
                        found.bytes_changed,
                        found.signature_failures,
                        found.duplicates,
                        found.hefu_headers
                    ),
                    expected
                );
            };
        check(|_, _| {}, false, (0, 0, 0, 0));
        check(|_, _| {}, true, (0, 0, 1, 0));
        check(|at, _| at.received = [9; 32], false, (1, 0, 0, 0));
        check(|_, core| core.received = Some([9; 32]), false, (1, 0, 0, 0));
        check(|at, core| (at.signed, core.signed) = (false, Some(false)), false, (0, 2, 0, 0));
        check(|at, _| at.hefu_headers = 1, false, (0, 0, 0, 1));
    }
}
