//! The core's journeys over `UnionPay`.

use std::sync::Arc;

use async_trait::async_trait;
use encoding_rs::{Encoding, GBK, UTF_8};
use rand::{Rng, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

use crate::sim::{
    acp,
    core::{Got, Journey, Message, Payer, now, number},
    form::{self, Fields, field},
    keys::Key,
    unionpay::{NAME, order_key},
    world::Tuple,
};

/// The core's side: its own key, and the gateway's to check answers with.
pub(in crate::sim) struct UnionPayCore {
    pub(in crate::sim) own: Arc<Key>,
    pub(in crate::sim) channel: Arc<Key>,
}

/// A message type.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    /// `txnType`, `txnSubType` and `bizType`.
    txn: [&'static str; 3],
    scenario: &'static str,
    carries: Carries,
}

/// What a message adds to the common fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Carries {
    Nothing,
    Elements,
    AmountAndElements,
    /// An amount and the original's `queryId`.
    Original,
    /// The original's own order and time.
    OriginalOrder,
    /// An amount and a token.
    Token,
}

const fn kind(
    name: &'static str,
    txn: [&'static str; 3],
    scenario: &'static str,
    carries: Carries,
) -> Kind {
    Kind { name, txn, scenario, carries }
}

const MANDATE: Kind = kind("mandate", ["72", "11", "000501"], "bind", Carries::Elements);
const BIND_UNCHECKED: Kind =
    kind("bind_unchecked", ["72", "02", "000501"], "bind", Carries::Elements);
const VERIFY: Kind = kind("verify", ["72", "01", "001001"], "verify", Carries::Elements);
const VERIFY_BOUND: Kind =
    kind("verify_bound", ["72", "10", "000501"], "verify", Carries::Elements);
const UNBIND: Kind = kind("unbind", ["74", "04", "000501"], "unbind", Carries::Elements);
const DEBIT: Kind = kind("debit", ["11", "02", "000501"], "debit", Carries::AmountAndElements);
const SMS: Kind = kind("sms", ["77", "02", "000301"], "sms", Carries::AmountAndElements);
const PAY: Kind = kind("pay", ["01", "01", "000301"], "pay", Carries::AmountAndElements);
const PAYOUT: Kind = kind("payout", ["12", "00", "000401"], "payout", Carries::AmountAndElements);
const REFUND: Kind = kind("refund", ["04", "00", "000501"], "refund", Carries::Original);
const VOID: Kind = kind("void", ["31", "00", "000501"], "void", Carries::Original);
const QUERY: Kind = kind("query", ["00", "00", "000501"], "query", Carries::OriginalOrder);

/// Every message type; the journeys use those above.
const KINDS: [Kind; 21] = [
    MANDATE,
    VERIFY,
    VERIFY_BOUND,
    UNBIND,
    DEBIT,
    SMS,
    PAY,
    PAYOUT,
    REFUND,
    VOID,
    QUERY,
    BIND_UNCHECKED,
    kind("verify_old", ["72", "01", "000501"], "verify", Carries::Elements),
    kind("verify_payout", ["72", "01", "000401"], "verify", Carries::Elements),
    kind("verify_data", ["72", "12", "000803"], "verify", Carries::Elements),
    kind("bill_mandate", ["72", "16", "000000"], "other", Carries::Nothing),
    kind("open", ["79", "01", "000301"], "other", Carries::Elements),
    kind("open_query", ["78", "00", "000301"], "other", Carries::Elements),
    kind("pay_token", ["01", "01", "000902"], "pay", Carries::Token),
    kind("void_technical", ["99", "00", "000501"], "void", Carries::Original),
    kind("statement", ["76", "01", "000000"], "other", Carries::Nothing),
];

/// What one message says.
struct Draft<'a> {
    told: &'a Tuple,
    order: String,
    time: String,
    amount: u64,
    sms_code: Option<&'a str>,
    /// The `queryId` of an earlier message.
    original: &'a str,
    charset: &'static Encoding,
}

#[async_trait]
impl Payer for UnionPayCore {
    async fn journey(&self, journey: &mut Journey<'_>, rng: &mut ChaCha8Rng) -> Option<()> {
        if journey.number % HOSTILE_EVERY == HOSTILE_EVERY / 2 {
            return self.try_a_stranger(journey, rng).await;
        }
        Way { core: self, amount: rng.random_range(100..300_000), journey }.go(rng).await
    }

    fn kinds(&self) -> Vec<&'static str> {
        KINDS.iter().map(|kind| kind.name).collect()
    }

    fn sample(&self, kind: &str, people: &[Tuple], rng: &mut ChaCha8Rng) -> Option<Message> {
        let kind = *KINDS.iter().find(|known| known.name == kind)?;
        let told = people.first()?;
        let draft = Draft {
            told,
            order: number(rng, "S"),
            time: now(),
            amount: rng.random_range(1..100_000_000),
            sms_code: rng.random_bool(0.3).then_some("111111"),
            original: "20261123000000000018",
            charset: charset(told, rng),
        };
        let mut fields = fields(kind, &draft)?;
        // Fields that a merchant may send or leave.
        for (key, value) in [
            ("backUrl", "http://127.0.0.1/back?a=1&b=2"),
            ("frontUrl", "http://127.0.0.1/front"),
            ("riskRateInfo", "{ip=127.0.0.1&mac=00-00}"),
            ("reserved", "{validMonth=12&frequency=1}"),
            ("termId", "+ %2B"),
            ("orderDesc", "还款·第1期"),
            ("accType", ["01", "03", "04"].choose(rng).copied()?),
            ("reqReserved", ""),
        ] {
            if rng.random_bool(0.3) {
                fields.insert(key.into(), value.into());
            }
        }
        self.message(kind, fields, draft.charset, rng)
    }
}

/// GBK where it carries the name: half of the merchants still use it.
fn charset(told: &Tuple, rng: &mut ChaCha8Rng) -> &'static Encoding {
    let carried = told.name.as_deref().is_some_and(|name| form::encode(name, GBK).is_some());
    if carried && rng.random_bool(0.5) { GBK } else { UTF_8 }
}

/// One customer's way over this channel.
struct Way<'a, 'j> {
    core: &'a UnionPayCore,
    journey: &'a mut Journey<'j>,
    amount: u64,
}

impl Way<'_, '_> {
    async fn go(&mut self, rng: &mut ChaCha8Rng) -> Option<()> {
        let paid = match rng.random_range(0..100) {
            0..10 => {
                self.say(rng, VERIFY, None).await?;
                self.say(rng, DEBIT, None).await?
            }
            10..14 => return self.say(rng, VERIFY_BOUND, None).await.map(|_| ()),
            14..40 => {
                self.say(rng, MANDATE, None).await?;
                let paid = self.say(rng, DEBIT, None).await?;
                if rng.random_bool(0.1) {
                    self.say(rng, UNBIND, None).await?;
                }
                paid
            }
            40..58 => self.say(rng, DEBIT, None).await?,
            // Bound without the bank's check, and paid out to.
            58..74 => {
                self.say(rng, BIND_UNCHECKED, None).await?;
                self.say(rng, PAYOUT, None).await?
            }
            74..90 => {
                self.say(rng, SMS, None).await?;
                self.say(rng, PAY, None).await?
            }
            _ => self.say(rng, PAYOUT, None).await?,
        };
        if field(&paid, "respCode") != "00" || self.journey.is_forgotten() || rng.random_bool(0.1) {
            return Some(());
        }
        let end = self.say(rng, QUERY, Some(&paid)).await?;
        if field(&end, "origRespCode") == "00" && rng.random_bool(0.12) {
            let back = if rng.random_bool(0.5) { REFUND } else { VOID };
            self.say(rng, back, Some(&end)).await?;
        }
        Some(())
    }

    /// What its orders begin with.
    const fn prefix(&self) -> &'static str {
        if self.journey.is_forgotten() { FORGOTTEN } else { "U" }
    }

    /// Sends one message; its answer when the channel gave one and it is signed. An element mismatch ends the journey.
    async fn say(
        &mut self,
        rng: &mut ChaCha8Rng,
        kind: Kind,
        original: Option<&Fields>,
    ) -> Option<Fields> {
        self.journey.turn().await?;
        let told = self.journey.card.told();
        let charset = charset(&told, rng);
        let asks = kind.carries == Carries::OriginalOrder;
        let of = |key| original.map_or("", |original| field(original, key));
        let draft = Draft {
            order: if asks { of("orderId").into() } else { self.journey.order(self.prefix()) },
            time: if asks { of("txnTime").into() } else { now() },
            original: of("queryId"),
            sms_code: (kind.name == PAY.name).then_some("111111"),
            amount: self.amount,
            told: &told,
            charset,
        };
        let message = self.core.message(kind, fields(kind, &draft)?, charset, rng)?;
        let key = &self.core.channel;
        let open = |got: &Got<'_>| {
            if !got.header("content-type").starts_with("application/x-www-form-urlencoded") {
                return None;
            }
            let answer = form::parse(got.body, charset)?;
            acp::verify(&answer, charset, key).then_some(answer)
        };
        let answer = self.journey.send(message, open).await?;
        if ["61", "66"].contains(&field(&answer, "respCode"))
            || ["61", "66"].contains(&field(&answer, "origRespCode"))
        {
            self.journey.card.learn();
            return None;
        }
        let ended = !asks && !matches!(field(&answer, "respCode"), "00");
        (!ended).then_some(answer)
    }
}

/// What the orders of a journey begin with whose end nobody ever tells or asks.
pub(in crate::sim) const FORGOTTEN: &str = "F";
/// One journey in so many is of a merchant who knows the numbers of strangers' cards, and tries phones.
const HOSTILE_EVERY: u64 = 20;
/// How many phones it tries.
const HOSTILE_TRIES: usize = 9;
/// The number of that merchant.
const HOSTILE: &str = "999000000000001";

impl UnionPayCore {
    /// Tries one phone after the other for a card of somebody who knows nothing of it.
    async fn try_a_stranger(&self, journey: &mut Journey<'_>, rng: &mut ChaCha8Rng) -> Option<()> {
        let victim = journey.others(1).next()?.told();
        for _ in 0..HOSTILE_TRIES {
            journey.turn().await?;
            let phone = Some(format!("139{:08}", rng.random_range(0..100_000_000)));
            let told = Tuple { phone, ..victim.clone() };
            let charset = charset(&told, rng);
            let draft = Draft {
                told: &told,
                order: journey.order("U"),
                time: now(),
                amount: 100,
                sms_code: None,
                original: "",
                charset,
            };
            let mut fields = fields(DEBIT, &draft)?;
            fields.insert("merId".into(), HOSTILE.into());
            journey.probe(self.message(DEBIT, fields, charset, rng)?).await;
        }
        Some(())
    }

    /// Signs and writes.
    fn message(
        &self,
        kind: Kind,
        mut fields: Fields,
        charset: &'static Encoding,
        rng: &mut ChaCha8Rng,
    ) -> Option<Message> {
        acp::sign(&mut fields, charset, &self.own)?;
        let query = kind.carries == Carries::OriginalOrder;
        Some(Message {
            channel: NAME,
            path: if query { "/gateway/api/queryTrans.do" } else { "/gateway/api/backTransReq.do" }
                .into(),
            order: order_key(&fields),
            scenario: kind.scenario,
            content_type: if charset == GBK {
                "application/x-www-form-urlencoded;charset=GBK"
            } else {
                "application/x-www-form-urlencoded;charset=UTF-8"
            },
            body: form::write(&fields, charset, rng.random_bool(0.5))?,
            ..Message::default()
        })
    }
}

/// The fields of one message, not yet signed.
fn fields(kind: Kind, draft: &Draft<'_>) -> Option<Fields> {
    let [txn_type, sub_type, business] = kind.txn;
    let mut fields: Fields = [
        ("version", "5.1.0"),
        ("encoding", if draft.charset == GBK { "GBK" } else { "UTF-8" }),
        ("signMethod", "01"),
        ("certId", "68759663125"),
        ("txnType", txn_type),
        ("txnSubType", sub_type),
        ("bizType", business),
        ("channelType", "07"),
        ("accessType", "0"),
        ("merId", "777290058110048"),
        ("reqReserved", "a+b c/d=1&e;100%"),
        ("orderId", &draft.order),
        ("txnTime", &draft.time),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    let mut put = |key: &str, value: &str| drop(fields.insert(key.into(), value.into()));
    if matches!(kind.carries, Carries::AmountAndElements | Carries::Original | Carries::Token) {
        put("txnAmt", &draft.amount.to_string());
        put("currencyCode", "156");
    }
    if matches!(kind.carries, Carries::Elements | Carries::AmountAndElements) {
        put("accNo", draft.told.pan.as_deref()?);
        put("accType", "01");
        put("customerInfo", &acp::wrap_customer(draft.told, draft.sms_code, draft.charset)?);
    }
    if kind.carries == Carries::Original {
        put("origQryId", draft.original);
    }
    if kind.carries == Carries::Token {
        put("tokenPayData", "{token=6235240000020837&trId=99988&tokenType=01}");
    }
    match kind.name {
        "verify_bound" => put("reserved", "{checkFlag=11100}"),
        "verify_data" => put("productId", "B156"),
        _ => {}
    }
    Some(fields)
}
