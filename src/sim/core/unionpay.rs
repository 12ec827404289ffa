//! The core's journeys over `UnionPay`.

use encoding_rs::{Encoding, GBK, UTF_8};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::sim::{
    acp,
    core::{Journey, Message, now},
    form::{self, Fields, field},
    record::Channel,
    unionpay::order_key,
    world::Tuple,
};

/// A message type: `txnType`, `txnSubType`, `bizType` and our scenario.
type Kind = (&'static str, &'static str, &'static str, &'static str);

const MANDATE: Kind = ("72", "11", "000501", "bind");
const VERIFY: Kind = ("72", "01", "001001", "verify");
const VERIFY_BOUND: Kind = ("72", "10", "000501", "verify");
const UNBIND: Kind = ("74", "04", "000501", "unbind");
const DEBIT: Kind = ("11", "02", "000501", "debit");
const SMS: Kind = ("77", "02", "000301", "sms");
const PAY: Kind = ("01", "01", "000301", "pay");
const PAYOUT: Kind = ("12", "00", "000401", "payout");
const REFUND: Kind = ("04", "00", "000501", "refund");
const VOID: Kind = ("31", "00", "000501", "void");
const QUERY: Kind = ("00", "00", "000501", "query");

/// What one message adds to the common fields.
#[derive(Default)]
struct Extra<'a> {
    amount: Option<u64>,
    elements: bool,
    sms_code: Option<&'a str>,
    original: Option<&'a Fields>,
}

impl Journey<'_> {
    /// One journey: what it does follows from `rng`.
    pub(super) async fn unionpay(&mut self, rng: &mut ChaCha8Rng) -> Option<()> {
        let amount = rng.random_range(100..300_000);
        let money =
            |kind| (kind, Extra { amount: Some(amount), elements: true, ..Extra::default() });
        let elements = || Extra { elements: true, ..Extra::default() };
        let paid = match rng.random_range(0..100) {
            0..10 => {
                self.say(rng, VERIFY, elements()).await?;
                self.say(rng, money(DEBIT).0, money(DEBIT).1).await?
            }
            10..14 => return self.say(rng, VERIFY_BOUND, elements()).await.map(|_| ()),
            14..44 => {
                self.say(rng, MANDATE, elements()).await?;
                let paid = self.say(rng, DEBIT, money(DEBIT).1).await?;
                if rng.random_bool(0.1) {
                    self.say(rng, UNBIND, elements()).await?;
                }
                paid
            }
            44..74 => self.say(rng, DEBIT, money(DEBIT).1).await?,
            74..90 => {
                self.say(
                    rng,
                    SMS,
                    Extra { amount: Some(amount), elements: true, ..Extra::default() },
                )
                .await?;
                self.say(rng, PAY, Extra { sms_code: Some("111111"), ..money(PAY).1 }).await?
            }
            _ => self.say(rng, PAYOUT, money(PAYOUT).1).await?,
        };
        if field(&paid, "respCode") != "00" || rng.random_bool(0.1) {
            return Some(());
        }
        let end = self.say(rng, QUERY, Extra { original: Some(&paid), ..Extra::default() }).await?;
        if field(&end, "origRespCode") == "00" && rng.random_bool(0.12) {
            let back = if rng.random_bool(0.5) { REFUND } else { VOID };
            self.say(
                rng,
                back,
                Extra { amount: Some(amount), original: Some(&end), ..Extra::default() },
            )
            .await?;
        }
        Some(())
    }

    /// Sends one message; its answer when the channel gave one and it is signed. An element mismatch ends the journey.
    async fn say(&mut self, rng: &mut ChaCha8Rng, kind: Kind, extra: Extra<'_>) -> Option<Fields> {
        self.turn().await?;
        let told = self.card.told();
        // GBK where it carries the name: half of the merchants still use it.
        let carried = told.name.as_deref().is_some_and(|name| form::encode(name, GBK).is_some());
        let charset = if carried && rng.random_bool(0.5) { GBK } else { UTF_8 };
        let (txn_type, _, _, scenario) = kind;
        let query = txn_type == "00";
        let mut fields = self.fields(kind, extra, told, charset)?;
        acp::sign(&mut fields, charset, &self.core.keys.unionpay_own)?;
        let message = Message {
            channel: Channel::UnionPay,
            path: if query { "/gateway/api/queryTrans.do" } else { "/gateway/api/backTransReq.do" },
            order: order_key(&fields),
            scenario,
            content_type: if charset == GBK {
                "application/x-www-form-urlencoded;charset=GBK"
            } else {
                "application/x-www-form-urlencoded;charset=UTF-8"
            },
            body: form::write(&fields, charset, rng.random_bool(0.5))?,
        };
        let key = &self.core.keys.unionpay_channel;
        let open = |body: &[u8]| {
            let answer = form::parse(body, charset)?;
            acp::verify(&answer, charset, key).then_some(answer)
        };
        let answer = self.core.exchange(message, open).await;
        let answer = self.take(answer)?;
        if ["61", "66"].contains(&field(&answer, "respCode"))
            || ["61", "66"].contains(&field(&answer, "origRespCode"))
        {
            self.card.learn();
            return None;
        }
        let ended = !query && !matches!(field(&answer, "respCode"), "00");
        (!ended).then_some(answer)
    }

    /// The fields of one message, not yet signed.
    fn fields(
        &mut self,
        kind: Kind,
        extra: Extra<'_>,
        told: Tuple,
        charset: &'static Encoding,
    ) -> Option<Fields> {
        let (txn_type, sub_type, business, _) = kind;
        let query = txn_type == "00";
        let mut fields: Fields = [
            ("version", "5.1.0"),
            ("encoding", if charset == GBK { "GBK" } else { "UTF-8" }),
            ("signMethod", "01"),
            ("certId", "68759663125"),
            ("txnType", txn_type),
            ("txnSubType", sub_type),
            ("bizType", business),
            ("channelType", "07"),
            ("accessType", "0"),
            ("merId", "777290058110048"),
            ("reqReserved", "a+b c/d=1&e;100%"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let (order, time) = match extra.original.filter(|_| query) {
            Some(original) => {
                (field(original, "orderId").to_owned(), field(original, "txnTime").to_owned())
            }
            None => (self.order("U"), now()),
        };
        fields.extend([("orderId".into(), order), ("txnTime".into(), time)]);
        if let Some(original) = extra.original.filter(|_| !query) {
            fields.insert("origQryId".into(), field(original, "queryId").into());
        }
        if let Some(amount) = extra.amount {
            fields.extend([
                ("txnAmt".into(), amount.to_string()),
                ("currencyCode".into(), "156".into()),
            ]);
        }
        if kind == VERIFY_BOUND {
            fields.insert("reserved".into(), "{checkFlag=11100}".into());
        }
        if extra.elements {
            fields.insert("accNo".into(), told.pan.clone()?);
            fields.insert("accType".into(), "01".into());
            fields
                .insert("customerInfo".into(), acp::wrap_customer(&told, extra.sms_code, charset)?);
        }
        Some(fields)
    }
}
