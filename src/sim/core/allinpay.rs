//! The core's journeys over Allinpay.

use std::sync::Arc;

use async_trait::async_trait;
use rand::{Rng, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

use crate::sim::{
    allinpay::{NAME, PATH, read, write},
    core::{Got, Journey, Message, Payer, now, number},
    keys::Key,
    world::{Card, Tuple},
    xml::{self, leaf, leaves, tag},
};

const MERCHANT: &str = "200604000000445";

/// The core's side: its own key, and the gateway's to check answers with.
pub(in crate::sim) struct AllinpayCore {
    pub(in crate::sim) own: Arc<Key>,
    pub(in crate::sim) channel: Arc<Key>,
}

/// A message type.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    name: &'static str,
    /// `TRX_CODE`.
    code: &'static str,
    scenario: &'static str,
}

const fn kind(name: &'static str, code: &'static str, scenario: &'static str) -> Kind {
    Kind { name, code, scenario }
}

const DEBIT: Kind = kind("debit", "100011", "debit");
const DEBIT_SIGNED: Kind = kind("debit_signed", "100011", "debit");
const PAYOUT: Kind = kind("payout", "100014", "payout");
const BATCH_DEBIT: Kind = kind("batch_debit", "100001", "debit");
const BATCH_PAYOUT: Kind = kind("batch_payout", "100002", "payout");
const QUERY: Kind = kind("query", "200004", "query");
const VERIFY: Kind = kind("verify", "211003", "verify");
const VERIFY_PHONE: Kind = kind("verify_phone", "211004", "verify");
const VERIFY_PERSON: Kind = kind("verify_person", "220001", "verify");
const SIGN: Kind = kind("sign", "211006", "bind");
const SIGN_AGAIN: Kind = kind("sign_again", "211006R", "sms");
const SIGN_CONFIRM: Kind = kind("sign_confirm", "211006C", "bind");

/// Every message type.
const KINDS: [Kind; 12] = [
    DEBIT,
    DEBIT_SIGNED,
    PAYOUT,
    BATCH_DEBIT,
    BATCH_PAYOUT,
    QUERY,
    VERIFY,
    VERIFY_PHONE,
    VERIFY_PERSON,
    SIGN,
    SIGN_AGAIN,
    SIGN_CONFIRM,
];

/// What one message says.
#[derive(Clone, Copy)]
struct Draft<'a> {
    /// Of one person; of a batch, one for each row.
    people: &'a [Tuple],
    amount: u64,
    /// An earlier `REQ_SN`, or the agreement that a signing yielded.
    quoted: &'a str,
    /// Empty elements are written, not left out.
    empties: bool,
}

#[async_trait]
impl Payer for AllinpayCore {
    async fn journey(&self, journey: &mut Journey<'_>, rng: &mut ChaCha8Rng) -> Option<()> {
        Way { core: self, journey }.go(rng).await
    }

    fn kinds(&self) -> Vec<&'static str> {
        KINDS.iter().map(|kind| kind.name).collect()
    }

    fn sample(&self, kind: &str, people: &[Tuple], rng: &mut ChaCha8Rng) -> Option<Message> {
        let kind = *KINDS.iter().find(|known| known.name == kind)?;
        let mut people = people.to_vec();
        people.truncate(rng.random_range(1..=people.len().max(1)));
        if kind == VERIFY_PHONE
            && let Some(first) = people.first_mut()
        {
            first.phone.get_or_insert_with(|| "13900000000".into());
        }
        let quoted = number(rng, "Q");
        let draft = Draft {
            people: &people,
            amount: rng.random_range(1..100_000_000),
            quoted: &quoted,
            empties: rng.random_bool(0.5),
        };
        let order = number(rng, "S");
        let between = ["", "", "\n", "\r\n", "\n  ", "<!-- a -->"].choose(rng).copied()?;
        let mut message = self.message(kind, &order, draft, between)?;
        // One client posts these documents as JSON.
        message.content_type =
            ["text/xml;charset=GBK", "application/xml", "text/xml", "application/json"]
                .choose(rng)
                .copied()?;
        Some(message)
    }
}

/// One customer's way over this channel.
struct Way<'a, 'j> {
    core: &'a AllinpayCore,
    journey: &'a mut Journey<'j>,
}

impl Way<'_, '_> {
    async fn go(&mut self, rng: &mut ChaCha8Rng) -> Option<()> {
        let told = self.journey.card.told();
        let amount = rng.random_range(100..300_000);
        let draft = Draft {
            people: std::slice::from_ref(&told),
            amount,
            quoted: "",
            empties: rng.random_bool(0.5),
        };
        match rng.random_range(0..100) {
            0..15 => {
                let verify = if told.phone.is_some() { VERIFY_PHONE } else { VERIFY };
                self.say(verify, draft).await?;
                let (order, paid) = self.say(DEBIT, draft).await?;
                self.ask(&order, &paid).await
            }
            15..20 => self.say(VERIFY_PERSON, draft).await.map(|_| ()),
            20..55 => self.signed(draft, rng).await,
            55..72 => {
                let (order, paid) = self.say(DEBIT, draft).await?;
                self.ask(&order, &paid).await
            }
            72..80 => {
                let (order, paid) = self.say(PAYOUT, draft).await?;
                self.ask(&order, &paid).await
            }
            80..94 => self.batch(BATCH_DEBIT, amount, rng).await,
            _ => self.batch(BATCH_PAYOUT, amount, rng).await,
        }
    }

    /// Signs in two steps, sometimes with a second SMS, and debits by what that yields.
    async fn signed(&mut self, draft: Draft<'_>, rng: &mut ChaCha8Rng) -> Option<()> {
        let (order, _) = self.say(SIGN, draft).await?;
        let step = Draft { quoted: &order, ..draft };
        if rng.random_bool(0.15) {
            self.say(SIGN_AGAIN, step).await?;
        }
        let (_, confirmed) = self.say(SIGN_CONFIRM, step).await?;
        let agreement = confirmed.some("RNPCRET/AGRMNO")?;
        for _ in 0..rng.random_range(1..=3) {
            let debit = Draft { quoted: &agreement, ..draft };
            let (order, paid) = self.say(DEBIT_SIGNED, debit).await?;
            self.ask(&order, &paid).await?;
        }
        Some(())
    }

    /// A batch over some customers, and how its rows ended.
    async fn batch(&mut self, kind: Kind, amount: u64, rng: &mut ChaCha8Rng) -> Option<()> {
        let cards: Vec<&Card> = self.journey.others(rng.random_range(2..=6)).collect();
        let people: Vec<_> = cards.iter().map(|card| card.told()).collect();
        let draft = Draft { people: &people, amount, quoted: "", empties: rng.random_bool(0.5) };
        let (order, answer) = self.say(kind, draft).await?;
        for (card, row) in cards.iter().zip(answer.all("BODY/RET_DETAILS", "RET_DETAIL")) {
            if row.at("RET_CODE").starts_with("39") {
                card.learn();
            }
        }
        let query = Draft { people: &[], quoted: &order, ..draft };
        self.say(QUERY, query).await.map(|_| ())
    }

    /// Asks how a payment ended that is still under way.
    async fn ask(&mut self, order: &str, paid: &xml::Element) -> Option<()> {
        if paid.at("TRANSRET/RET_CODE").starts_with('2') {
            let draft = Draft { people: &[], amount: 0, quoted: order, empties: false };
            self.say(QUERY, draft).await?;
        }
        Some(())
    }

    /// Sends one message; its number and its answer when the money may move on. An element mismatch is learned from.
    async fn say(&mut self, kind: Kind, draft: Draft<'_>) -> Option<(String, xml::Element)> {
        self.journey.turn().await?;
        let order = self.journey.order("A");
        let message = self.core.message(kind, &order, draft, "")?;
        let key = &self.core.channel;
        let answer = self.journey.send(message, |got: &Got<'_>| read(got.body, key)).await?;
        if answer.at("INFO/RET_CODE") != "0000" {
            return None;
        }
        let results = ["TRANSRET", "VALIDRET", "RNPARET", "RNPRRET", "RNPCRET"];
        let result = results.iter().find_map(|name| answer.child(name));
        let code = result.map_or("0000", |result| result.at("RET_CODE"));
        if ["3914", "3915", "3916", "3917", "3999"].contains(&code) {
            self.journey.card.learn();
        }
        ["0000", "2000", "2007", "2008", "4000"].contains(&code).then_some((order, answer))
    }
}

impl AllinpayCore {
    /// Signs and writes one message, laid out with `between`.
    fn message(&self, kind: Kind, order: &str, draft: Draft<'_>, between: &str) -> Option<Message> {
        let info = leaves(&[
            ("TRX_CODE", kind.code),
            ("VERSION", if kind.code.len() > 6 { "05" } else { "03" }),
            ("DATA_TYPE", "2"),
            ("LEVEL", if kind == BATCH_DEBIT || kind == BATCH_PAYOUT { "9" } else { "5" }),
            ("MERCHANT_ID", MERCHANT),
            ("USER_NAME", "20060400000044502"),
            ("USER_PASS", "111 & <222>"),
            ("REQ_SN", order),
        ]);
        let (body, rows) = body(kind, order, draft)?;
        let asked = if kind == QUERY { draft.quoted } else { order };
        Some(Message {
            channel: NAME,
            path: PATH.into(),
            order: format!("{MERCHANT}|{asked}"),
            rows,
            scenario: kind.scenario,
            content_type: "text/xml;charset=GBK",
            body: write(&info, &body, between, &self.own)?,
            ..Message::default()
        })
    }
}

/// The body of one message, and the keys of its rows.
fn body(kind: Kind, order: &str, draft: Draft<'_>) -> Option<(String, Vec<String>)> {
    let amount = draft.amount.to_string();
    let first = draft.people.first();
    let (time, mut rows) = (now(), vec![]);
    let head = leaves(&[
        ("BUSINESS_CODE", if kind.scenario == "payout" { "09400" } else { "19900" }),
        ("MERCHANT_ID", MERCHANT),
        ("SUBMIT_TIME", &time),
    ]);
    let money = leaves(&[("AMOUNT", &amount), ("CURRENCY", "CNY")]);
    let body = match kind {
        DEBIT | PAYOUT => {
            let more = tuple_fields(first?, draft.empties);
            tag("TRANS", &format!("{head}{more}{money}{}", leaf("REMARK", "还款 a+b & 100%")))
        }
        DEBIT_SIGNED => tag("TRANS", &format!("{head}{}{money}", leaf("AGRMNO", draft.quoted))),
        BATCH_DEBIT | BATCH_PAYOUT => {
            let mut details = String::new();
            for (number, told) in draft.people.iter().enumerate() {
                let name = format!("{:04}", number + 1);
                let more = tuple_fields(told, draft.empties);
                details
                    .push_str(&tag("TRANS_DETAIL", &format!("{}{more}{money}", leaf("SN", &name))));
                rows.push(format!("{MERCHANT}|{order}|{name}"));
            }
            let count = u64::try_from(rows.len()).unwrap_or_default();
            let sum = leaves(&[
                ("TOTAL_ITEM", &count.to_string()),
                ("TOTAL_SUM", &(count * draft.amount).to_string()),
            ]);
            tag("BODY", &format!("{}{details}", tag("TRANS_SUM", &format!("{head}{sum}"))))
        }
        QUERY => tag(
            "QTRANSREQ",
            &leaves(&[
                ("QUERY_SN", draft.quoted),
                ("MERCHANT_ID", MERCHANT),
                ("STATUS", "2"),
                ("TYPE", "1"),
            ]),
        ),
        VERIFY | VERIFY_PHONE => tag(
            "VALIDR",
            &format!("{}{}", leaf("MERCHANT_ID", MERCHANT), tuple_fields(first?, draft.empties)),
        ),
        VERIFY_PERSON => {
            let told = first?;
            let pairs = [("NAME", told.name.as_deref()?), ("IDNO", told.id_number.as_deref()?)];
            tag("IDVER", &leaves(&pairs))
        }
        SIGN => tag(
            "RNPA",
            &format!("{}{}", leaf("MERCHANT_ID", MERCHANT), tuple_fields(first?, draft.empties)),
        ),
        SIGN_AGAIN => tag("RNPR", &leaf("SRCREQSN", draft.quoted)),
        SIGN_CONFIRM => tag("RNPC", &leaves(&[("SRCREQSN", draft.quoted), ("VERCODE", "111111")])),
        _ => return None,
    };
    Some((body, rows))
}

/// The fields about the account and its holder.
fn tuple_fields(told: &Tuple, empties: bool) -> String {
    let credit = told.pan.as_deref().is_some_and(|pan| pan.starts_with("6288"));
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let pairs = [
        ("BANK_CODE", "0105".to_owned()),
        ("ACCOUNT_TYPE", if credit { "02" } else { "00" }.into()),
        ("ACCOUNT_NO", text(&told.pan)),
        ("ACCOUNT_NAME", text(&told.name)),
        ("PROVINCE", String::new()),
        ("ACCOUNT_PROP", "0".into()),
        ("ID_TYPE", "0".into()),
        ("ID", text(&told.id_number)),
        ("TEL", text(&told.phone)),
        ("CUST_USERID", "u+1".into()),
    ];
    let kept = pairs.iter().filter(|(_, text)| empties || !text.is_empty());
    kept.map(|(name, text)| leaf(name, text)).collect()
}
