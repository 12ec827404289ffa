//! Rules: what is given to them is gathered before the decision, and what they said is kept with it.

mod accounts;
mod explained;

pub use explained::{Explained, Explanation};

use crate::domain::answer::Answer;
use crate::domain::clock::Timestamp;
use crate::domain::element::Element;
use crate::domain::id::{AgreementId, Bank, ChannelName, Fingerprint, MerchantId, PaymentId, Road};
use crate::domain::money::Fen;
use crate::domain::pan::AccountKind;
use crate::domain::payment::{Mode, Scenario, Standing};
use crate::metrics::Metrics;
use crate::policy::rules::given::{Counted, Key};
use crate::policy::rules::{Action, Attribute, Book, Given, Input, Value, Verdict};
use crate::policy::{Basis, Reason, Verification};
use crate::service::counts::{Counts, Stream, folded, hashed};
use crate::service::refusal::RuleNote;
use crate::store::account::Funder;
use crate::store::{Evidence, Record, Ruled, Stakes};
use std::sync::Arc;

/// A book of rules, and what is counted for it.
#[derive(Clone, Debug)]
pub struct Rulebook {
    /// The rules and lists in force.
    pub book: Arc<Book>,
    /// The counts; they outlive the book.
    pub counts: Arc<Counts>,
}

/// What a payment may have, and a record may not have kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kept<T> {
    /// It is known what it had.
    Known(Option<T>),
    /// It is not known any more.
    Forgotten,
}

impl<T> Kept<T> {
    fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => value,
            Self::Forgotten => None,
        }
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self::Known(None)
    }
}

/// What rules may see of a payment: gathered now, or read from its record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) at: Timestamp,
    pub(crate) scenario: Scenario,
    pub(crate) channel: &'a ChannelName,
    pub(crate) merchant: Option<&'a MerchantId>,
    pub(crate) amount: Option<Fen>,
    pub(crate) bank: Option<&'a Bank>,
    pub(crate) kind: Kept<AccountKind>,
    pub(crate) card: Option<Fingerprint>,
    pub(crate) other_cards: &'a [Fingerprint],
    pub(crate) person: Option<Fingerprint>,
    pub(crate) other_persons: &'a [Fingerprint],
    pub(crate) phone: Kept<Fingerprint>,
    pub(crate) other_phones: &'a [Fingerprint],
    pub(crate) agreement: Option<&'a AgreementId>,
    pub(crate) standing: Option<Standing>,
    pub(crate) answer: Option<Answer>,
    pub(crate) verified: Option<&'a Evidence>,
    pub(crate) asserted: bool,
    pub(crate) held: Kept<bool>,
    pub(crate) row: bool,
    /// Of a thousand such answers, how many this channel and bank bear out.
    pub(crate) concordance: Kept<u16>,
    /// The account whose balance is to fund it.
    pub(crate) funder: Kept<&'a Funder>,
    /// How many accounts the person has open.
    pub(crate) accounts: Kept<u32>,
}

/// The answer that a basis rests on, and the standing that it is.
pub(crate) fn answered(
    basis: Basis,
    verified: Option<&Evidence>,
) -> (Option<Answer>, Option<Standing>) {
    let kept = verified.map(|evidence| evidence.answer);
    match basis {
        Basis::Verified(Verification::Answered(answer)) => (Some(answer), None),
        Basis::Agreement(standing) => (kept, Some(standing)),
        Basis::ConfirmsPermitted | Basis::Verified(Verification::Combined) => (kept, None),
        Basis::Verified(
            Verification::NotAsked
            | Verification::NobodyCan
            | Verification::AttemptsSpent
            | Verification::SpendCapped,
        )
        | Basis::Passing
        | Basis::Unlisted
        | Basis::Ambiguous
        | Basis::Unreadable
        | Basis::Sealed
        | Basis::Incomplete
        | Basis::Unconfirmed
        | Basis::ConfirmsUnseen => (None, None),
    }
}

impl<'a> Seen<'a> {
    /// What a record still knows: all but what was looked up then, and what is kept nowhere else.
    pub(crate) fn recorded(record: &'a Record) -> Self {
        let stakes: &'a Stakes = &record.stakes;
        let has = |reason| record.reasons.contains(&reason);
        let standing = stakes.agreement.as_ref().map(|_| {
            if has(Reason::AgreementUnknown) {
                Standing::Unknown
            } else if has(Reason::AgreementContradicted) {
                Standing::Contradicted
            } else if has(Reason::AgreementClosed) {
                Standing::Closed
            } else {
                Standing::Good
            }
        });
        let told = if has(Reason::Invalid) {
            Some(Answer::Invalid)
        } else if has(Reason::Unavailable) {
            Some(Answer::Unavailable)
        } else {
            None
        };
        let ruled = stakes.rules.as_deref();
        Self {
            at: record.at,
            scenario: record.scenario,
            channel: &record.channel,
            merchant: stakes.merchant.as_ref(),
            amount: record.amount,
            bank: stakes.bank.as_ref(),
            kind: ruled.map_or(Kept::Forgotten, |ruled| {
                Kept::Known(ruled.kind.as_deref().and_then(AccountKind::from_word))
            }),
            card: stakes.card,
            other_cards: &stakes.other_cards,
            person: stakes.person,
            other_persons: &stakes.other_persons,
            phone: match stakes.phone {
                // An earlier Hefu kept none.
                None if record.carried.contains(Element::Phone) => Kept::Forgotten,
                phone => Kept::Known(phone),
            },
            other_phones: &stakes.other_phones,
            agreement: stakes.agreement.as_ref(),
            standing,
            answer: record.verified.as_ref().map(|evidence| evidence.answer).or(told),
            verified: record.verified.as_ref(),
            asserted: has(Reason::Asserted),
            held: match ruled {
                Some(ruled) => Kept::Known(Some(ruled.held)),
                None if record.scenario.stops_at_hold() => Kept::Known(Some(has(Reason::Held))),
                // It would have been no reason.
                None => Kept::Forgotten,
            },
            row: record.row_of.is_some(),
            concordance: match ruled.and_then(|ruled| ruled.concordance) {
                // Perhaps nobody asked for it then.
                None => Kept::Forgotten,
                known => Kept::Known(known),
            },
            funder: accounts::funder(record),
            accounts: accounts::of_person(record),
        }
    }

    /// What is given to rules, but for what is looked up.
    pub(crate) fn given<'b>(&self, book: &'b Book) -> Given<'b>
    where
        'a: 'b,
    {
        let mut given = Given::new(self.at);
        let text = |text: Option<&'b str>| text.map_or(Value::Absent, Value::Text);
        let there = |there: bool| if there { Value::Present } else { Value::Absent };
        let number = |number: u64| Value::Number(i64::try_from(number).unwrap_or(i64::MAX));
        let kind = match self.kind {
            Kept::Known(kind) => text(kind.map(AccountKind::as_str)),
            Kept::Forgotten => Value::Unknown,
        };
        let phone = match self.phone {
            Kept::Known(phone) => there(phone.is_some()),
            Kept::Forgotten => Value::Unknown,
        };
        let held = match self.held {
            Kept::Known(held) => Value::Flag(held.unwrap_or_default()),
            Kept::Forgotten => Value::Unknown,
        };
        let age = self.verified.map(|evidence| self.at.since(evidence.at).as_secs());
        let answered = self.verified.filter(|_| self.answer.is_some());
        let combined = answered.is_some_and(|evidence| evidence.beside.is_some());
        let bank = self.bank.and_then(|bin| book.banks.get(bin.as_str()));
        let concordance = match self.concordance {
            Kept::Known(rate) => rate.map_or(Value::Absent, |rate| Value::Number(rate.into())),
            Kept::Forgotten => Value::Unknown,
        };
        let road = answered.and_then(|evidence| evidence.road.as_ref());
        given.set(Attribute::Scenario, Value::Text(self.scenario.as_str()));
        given.set(Attribute::Channel, Value::Text(self.channel.as_str()));
        given.set(Attribute::Merchant, text(self.merchant.map(|merchant| &*merchant.0)));
        given.set(
            Attribute::Amount,
            self.amount.map_or(Value::Absent, |amount| number(amount.get())),
        );
        given.set(Attribute::Asserted, Value::Flag(self.asserted));
        given.set(Attribute::Held, held);
        given.set(Attribute::Batch, Value::Flag(self.row));
        given.set(Attribute::Bin, text(self.bank.map(Bank::as_str)));
        given.set(Attribute::CardKind, kind);
        given.set(Attribute::Card, there(self.card.is_some()));
        given.set(Attribute::Person, there(self.person.is_some()));
        given.set(Attribute::Phone, phone);
        given.set(Attribute::Agreement, there(self.agreement.is_some()));
        given.set(Attribute::Standing, text(self.standing.map(Standing::as_str)));
        given.set(Attribute::Answer, text(self.answer.map(Answer::as_str)));
        given.set(Attribute::Age, age.filter(|_| answered.is_some()).map_or(Value::Absent, number));
        given.set(Attribute::Provider, text(answered.map(|evidence| evidence.witness.as_str())));
        given.set(Attribute::Combined, Value::Flag(combined));
        given.set(Attribute::Concordance, concordance);
        given.set(Attribute::BankName, text(bank.map(|name| &**name)));
        given.set(Attribute::Road, text(road.map(Road::as_str)));
        self.give_accounts(&mut given);
        given
    }

    /// By which number it is counted; `None` where it has no such key, or it is not known any more.
    fn counted_by(&self, key: Key) -> Option<u64> {
        match key {
            Key::Card => self.card.as_ref().map(folded),
            Key::Person => self.person.as_ref().map(folded),
            Key::Phone => self.phone.known().as_ref().map(folded),
            Key::Merchant => self.merchant.map(|merchant| hashed(merchant.0.as_bytes())),
            Key::Agreement => {
                let named = |id: &AgreementId| format!("{}\n{}", self.channel, id.0);
                self.agreement.map(|id| hashed(named(id).as_bytes()))
            }
        }
    }
}

impl Rulebook {
    /// What the set's inputs come to, in their order; `None` for what is not known any more.
    pub(crate) fn look_up(&self, seen: &Seen<'_>) -> Vec<Option<i64>> {
        self.book.rules.inputs().iter().map(|input| self.one(seen, input)).collect()
    }

    fn one(&self, seen: &Seen<'_>, input: &Input) -> Option<i64> {
        match input {
            Input::InList { attribute, list } => {
                let list = self.book.lists.get(&**list)?;
                let text = |text: Option<&str>| text.is_some_and(|it| list.has_text(it, seen.at));
                let print = |own: Option<Fingerprint>, others: &[Fingerprint]| {
                    others.iter().chain(&own).any(|it| list.has_print(it, seen.at))
                };
                let is_in = match attribute {
                    Attribute::Bin => text(seen.bank.map(Bank::as_str)),
                    Attribute::Merchant => text(seen.merchant.map(|merchant| &*merchant.0)),
                    Attribute::Agreement => text(seen.agreement.map(|id| &*id.0)),
                    Attribute::Card => print(seen.card, seen.other_cards),
                    Attribute::Person => print(seen.person, seen.other_persons),
                    Attribute::Phone => match seen.phone {
                        Kept::Known(phone) => print(phone, seen.other_phones),
                        Kept::Forgotten => return None,
                    },
                    _ => return None,
                };
                Some(i64::from(is_in))
            }
            Input::Count { what, key, window } => {
                if *key == Key::Phone && matches!(seen.phone, Kept::Forgotten) {
                    return None;
                }
                let stream = Stream { what: *what, key: *key, window: *window };
                let count = |key| self.counts.count(&stream, key, seen.at);
                Some(seen.counted_by(*key).map_or(0, count))
            }
        }
    }

    /// The windows that the set needs.
    pub(crate) fn streams(&self) -> impl Iterator<Item = Stream> {
        self.book.rules.inputs().iter().filter_map(|input| match input {
            Input::InList { .. } => None,
            Input::Count { what, key, window } => {
                Some(Stream { what: *what, key: *key, window: *window })
            }
        })
    }

    /// Counts a payment that was judged.
    pub(crate) fn count(&self, seen: &Seen<'_>) {
        self.count_in(seen, |_| true);
    }

    /// Counts it in some of the windows.
    pub(crate) fn count_in(&self, seen: &Seen<'_>, counts_in: impl Fn(&Stream) -> bool) {
        for stream in self.streams().filter(counts_in) {
            let counts = match stream.what {
                Counted::Payments(scenario) => {
                    scenario.is_none_or(|scenario| scenario == seen.scenario)
                }
                Counted::Persons => seen.person.is_some(),
                Counted::Mismatches => false,
            };
            if let Some(key) = seen.counted_by(stream.key).filter(|_| counts) {
                let person = seen.person.as_ref().map(folded);
                self.counts.add(&stream, key, person, seen.at);
            }
        }
    }

    /// Counts a mismatch of a recorded payment that was found at `at`.
    pub(crate) fn count_mismatch(&self, record: &Record, at: Timestamp) {
        // Whoever found it, and however often: it is one.
        if self.counts.meet(record.payment) {
            self.count_mismatch_in(&Seen::recorded(record), at, |_| true);
        }
    }

    /// Counts it in some of the windows.
    pub(crate) fn count_mismatch_in(
        &self,
        seen: &Seen<'_>,
        at: Timestamp,
        counts_in: impl Fn(&Stream) -> bool,
    ) {
        let streams = self.streams().filter(|stream| stream.what == Counted::Mismatches);
        for stream in streams.filter(counts_in) {
            if let Some(key) = seen.counted_by(stream.key) {
                self.counts.add(&stream, key, None, at);
            }
        }
    }

    /// Whether this process judged a payment, and so counted it.
    pub(crate) fn is_ours(&self, record: &Record) -> bool {
        let by = record.stakes.rules.as_deref().and_then(|ruled| ruled.by.as_deref());
        by == Some(&**self.counts.tag())
    }

    /// Counts what is kept from before: after a start, and for a window that is new.
    pub fn recount(&self, record: &Record) {
        if record.scenario.is_verified() {
            self.count(&Seen::recorded(record));
        }
        if record.mismatch.is_some() {
            self.count_mismatch(record, record.at);
        }
    }

    /// The longest window that is counted; `None` where none is.
    pub fn longest(&self) -> Option<std::time::Duration> {
        self.streams().map(|stream| stream.window).max()
    }

    /// Whether a rule reads how often answers are borne out.
    pub(crate) fn asks_for_concordance(&self) -> bool {
        self.book.rules.reads(Attribute::Concordance)
    }

    /// Judges a payment by every rule.
    pub(crate) fn judge(&self, seen: &Seen<'_>, draw: u64) -> Ruling {
        let inputs = self.look_up(seen);
        let given = seen.given(&self.book).with(&inputs);
        let verdict = self.book.rules.judge(&given, draw);
        Ruling { by: self.clone(), verdict, inputs }
    }
}

/// What a book says of a payment, and what it was looked up for it.
#[derive(Clone, Debug)]
pub(crate) struct Ruling {
    by: Rulebook,
    verdict: Verdict,
    inputs: Vec<Option<i64>>,
}

impl Ruling {
    pub(crate) const fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// What is kept with the record.
    pub(crate) fn kept(&self, seen: &Seen<'_>, reasons: &[Reason]) -> Ruled {
        let rules = &self.by.book.rules;
        let named = |place: usize| rules.get(place).map(|rule| rule.id.to_string());
        let hits = |binds| {
            let hits = self.verdict.hits.iter().filter(move |hit| hit.binds == binds);
            hits.filter_map(|hit| named(hit.rule)).collect()
        };
        let told = self.note(reasons);
        Ruled {
            set: rules.version.clone(),
            told: told.map(|note| (note.id.to_string(), note.reason.to_string())),
            hits: hits(true),
            shadows: hits(false),
            faults: self.verdict.faults.iter().filter_map(|(place, _)| named(*place)).collect(),
            trial: rules.trial,
            by: self.by.longest().map(|_| self.by.counts.tag().clone()),
            held: seen.held.known().unwrap_or_default(),
            inputs: self.inputs.clone(),
            kind: seen.kind.known().map(|kind| kind.as_str().into()),
            concordance: seen.concordance.known(),
            funder: self.by.keep_funder(seen),
            accounts: self.by.keep_accounts(seen),
        }
    }

    /// The rule behind a decision, and what a core is told of it.
    pub(crate) fn note(&self, reasons: &[Reason]) -> Option<RuleNote> {
        self.told(self.verdict.behind(reasons)?)
    }

    /// The rule that refuses, where one does.
    pub(crate) fn refusing(&self) -> Option<RuleNote> {
        self.told(self.verdict.binding(Action::Refuse)?)
    }

    fn told(&self, place: usize) -> Option<RuleNote> {
        let rule = self.by.book.rules.get(place)?;
        Some(RuleNote { id: rule.id.clone(), reason: rule.reason.clone() })
    }

    /// Counts what rules said of a payment, and the payment itself for those to come.
    pub(crate) fn tell(&self, metrics: &Metrics, mode: Mode, seen: &Seen<'_>) {
        let rules = &self.by.book.rules;
        for hit in &self.verdict.hits {
            let Some(rule) = rules.get(hit.rule) else { continue };
            let mode = match (hit.binds, mode) {
                (false, _) => "shadow",
                (true, Mode::Observe) => "observe",
                (true, Mode::Enforce) => "live",
            };
            metrics.on_rule_hit(&rule.id, hit.action, mode);
        }
        for (place, _) in &self.verdict.faults {
            if let Some(rule) = rules.get(*place) {
                metrics.on_rule_error(&rule.id);
            }
        }
        self.by.count(seen);
    }
}

/// What chooses the rules of a canary: the same for every message of an order.
pub(crate) fn draw(order: Option<&str>, payment: PaymentId) -> u64 {
    order.map_or_else(|| hashed(payment.to_string().as_bytes()), |order| hashed(order.as_bytes()))
}
