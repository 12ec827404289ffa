//! The core's journeys over `NetsUnion` EPCC.

use std::sync::Arc;

use async_trait::async_trait;
use rand::{Rng, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

use crate::sim::{
    core::{Got, Journey, Message, Payer, now, number},
    epcc::{NAME, PATH, read, seal, write},
    keys::{Key, dice},
    statement::Ended,
    world::Tuple,
    xml::{self, leaf, leaves, tag},
};

/// Our number as a payment company.
const ISSUER: &str = "Z2000133000019";
/// The bank of every account.
const BANK: &str = "C1010411000013";

/// The core's side: its own key, and the gateway's to seal to and to check answers with.
pub(in crate::sim) struct EpccCore {
    pub(in crate::sim) own: Arc<Key>,
    pub(in crate::sim) channel: Arc<Key>,
}

/// A message type.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    name: &'static str,
    /// `MsgTp`.
    message_type: &'static str,
    /// `TrxCtgy`; none where empty.
    category: &'static str,
    scenario: &'static str,
}

const IDENTIFY: Kind = Kind {
    name: "identify",
    message_type: "epcc.101.001.01",
    category: "0201",
    scenario: "verify",
};
const SIGN: Kind =
    Kind { name: "sign", message_type: "epcc.101.001.01", category: "0202", scenario: "bind" };
const RESCIND: Kind =
    Kind { name: "rescind", message_type: "epcc.103.001.01", category: "", scenario: "unbind" };
const PAY: Kind =
    Kind { name: "pay", message_type: "epcc.201.001.01", category: "0110", scenario: "pay" };
const QUERY: Kind =
    Kind { name: "query", message_type: "epcc.301.001.01", category: "", scenario: "query" };

/// Every message type.
const KINDS: [Kind; 5] = [IDENTIFY, SIGN, RESCIND, PAY, QUERY];

/// What one message says.
#[derive(Clone, Copy)]
struct Draft<'a> {
    told: &'a Tuple,
    /// The agreement, or of a query an earlier `TrxId`.
    quoted: &'a str,
    amount: u64,
    /// Whether the sealed elements are told beside the message.
    tells: bool,
    /// What stands between elements, and ends lines.
    layout: (&'a str, &'a str),
}

#[async_trait]
impl Payer for EpccCore {
    async fn journey(&self, journey: &mut Journey<'_>, rng: &mut ChaCha8Rng) -> Option<()> {
        Way { core: self, journey }.go(rng).await
    }

    fn kinds(&self) -> Vec<&'static str> {
        KINDS.iter().map(|kind| kind.name).collect()
    }

    fn sample(&self, kind: &str, people: &[Tuple], rng: &mut ChaCha8Rng) -> Option<Message> {
        let kind = *KINDS.iter().find(|known| known.name == kind)?;
        let quoted = number(rng, "SGN");
        let draft = Draft {
            told: people.first()?,
            quoted: &quoted,
            amount: rng.random_range(1..100_000_000),
            tells: rng.random_bool(0.8),
            layout: [("", "\n"), ("", ""), ("\n", "\n"), ("\r\n  ", "\r\n"), ("<!-- a -->", "\n")]
                .choose(rng)
                .copied()?,
        };
        let order = number(rng, "S");
        self.message(kind, &order, draft, rng)
    }

    fn ask(&self, ended: &Ended, rng: &mut ChaCha8Rng) -> Option<Message> {
        let (_, quoted) = ended.order.split_once('|')?;
        let layout = ("", "\n");
        let told = &Tuple::default();
        let order = number(rng, "Q");
        self.message(QUERY, &order, Draft { told, quoted, amount: 0, tells: false, layout }, rng)
    }
}

/// One customer's way over this channel.
struct Way<'a, 'j> {
    core: &'a EpccCore,
    journey: &'a mut Journey<'j>,
}

impl Way<'_, '_> {
    /// Perhaps the identity, then a signing, then debits by the agreement.
    async fn go(&mut self, rng: &mut ChaCha8Rng) -> Option<()> {
        let told = self.journey.card.told();
        // One core in ten does not yet tell what it seals; it is the same for all messages about a card.
        let tells = !dice(1, &[told.pan.as_deref()?]).is_multiple_of(10);
        let amount = rng.random_range(100..300_000);
        let draft = Draft { told: &told, quoted: "", amount, tells, layout: ("", "\n") };
        // Some cores ask for the identity first, some sign at once.
        if rng.random_bool(0.35) {
            self.say(rng, IDENTIFY, draft).await?;
        }
        let (_, signed) = self.say(rng, SIGN, draft).await?;
        let agreement = signed.some("MsgBody/SgnInf/SgnNo")?;
        let draft = Draft { quoted: &agreement, ..draft };
        for _ in 0..rng.random_range(1..=4) {
            let (order, paid) = self.say(rng, PAY, draft).await?;
            if paid.child("MsgBody").is_some_and(|body| body.child("BizInf").is_none())
                || rng.random_bool(0.1)
            {
                self.say(rng, QUERY, Draft { quoted: &order, ..draft }).await?;
            }
        }
        if rng.random_bool(0.15) {
            self.say(rng, RESCIND, draft).await?;
        }
        Some(())
    }

    /// Sends one message; its number and its answer when the money may move on. An element mismatch is learned from.
    async fn say(
        &mut self,
        rng: &mut ChaCha8Rng,
        kind: Kind,
        draft: Draft<'_>,
    ) -> Option<(String, xml::Element)> {
        self.journey.turn().await?;
        let order = self.journey.order("E");
        let message = self.core.message(kind, &order, draft, rng)?;
        let key = &self.core.channel;
        let open = |got: &Got<'_>| {
            let answer = read(got.body, key)?;
            (got.header("msgtp") == answer.at("MsgHeader/MsgTp")).then_some(answer)
        };
        let answer = self.journey.send(message, open).await?;
        let system = answer.at("MsgBody/SysRtnInf/SysRtnCd");
        if ["ES000033", "AB0A2000"].contains(&system) {
            return Some((order, answer));
        }
        let original = answer.at("MsgBody/OriTrxInf/OriBizSts");
        let business = answer.at("MsgBody/BizInf/BizStsCd");
        let code = if original.is_empty() { business } else { original };
        if ["EB005000", "PB511002", "PB511013", "PB511017", "PB511019"].contains(&code) {
            self.journey.card.learn();
        }
        (system == "00000000" && code == "00000000").then_some((order, answer))
    }
}

impl EpccCore {
    /// Seals, signs and writes one message.
    fn message(
        &self,
        kind: Kind,
        order: &str,
        draft: Draft<'_>,
        rng: &mut ChaCha8Rng,
    ) -> Option<Message> {
        let mut header = leaves(&[
            ("SndDt", &now()),
            ("MsgTp", kind.message_type),
            ("IssrId", ISSUER),
            ("Drctn", "22"),
            ("SignSN", "4000000001"),
        ]);
        let trx = format!("{order:0>31}");
        let mut told = None;
        let body = match kind {
            IDENTIFY | SIGN => {
                let key: String =
                    (0..32).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect();
                let elements = [
                    ("SgnAcctId", &draft.told.pan),
                    ("SgnAcctNm", &draft.told.name),
                    ("IDNo", &draft.told.id_number),
                    ("MobNo", &draft.told.phone),
                ];
                let present =
                    elements.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
                let (names, values): (Vec<_>, Vec<_>) =
                    present.chain([("InstgAcct", "Z2000133000019000001")]).unzip();
                let (envelope, sealed) = seal(&self.channel, &key, values)?;
                header.push_str(&leaves(&[("NcrptnSN", "4000000003"), ("DgtlEnvlp", &envelope)]));
                told = draft.tells.then(|| draft.told.clone());
                signing(kind, &trx, &names, &sealed)
            }
            RESCIND => {
                let agreement = [("SgnAcctIssrId", BANK), ("SgnNo", draft.quoted)];
                let trx = [("TrxId", trx.as_str()), ("TrxDtTm", &now())];
                tag("SgnInf", &leaves(&agreement)) + &tag("TrxInf", &leaves(&trx))
            }
            PAY => payment(&trx, draft),
            QUERY => {
                let own = [("TrxId", trx.as_str()), ("TrxDtTm", &now())];
                let original = leaf("OriTrxId", &format!("{:0>31}", draft.quoted));
                tag("TrxInf", &leaves(&own)) + &tag("OriTrxInf", &original)
            }
            _ => return None,
        };
        let named = if kind == QUERY { format!("{:0>31}", draft.quoted) } else { trx };
        Some(Message {
            channel: NAME,
            path: PATH.into(),
            order: format!("{ISSUER}|{named}"),
            scenario: kind.scenario,
            content_type: "application/xml;charset=utf-8",
            headers: vec![
                ("msgtp", kind.message_type.into()),
                ("oriissrid", ISSUER.into()),
                ("reservedfield", String::new()),
            ],
            sealed: kind == IDENTIFY || kind == SIGN,
            told,
            body: write(&header, &body, draft.layout, &self.own)?,
            ..Message::default()
        })
    }
}

/// The body of an identification or a signing: `names` and `sealed` side by side, the last of them our own account.
fn signing(kind: Kind, trx: &str, names: &[&str], sealed: &[String]) -> String {
    let mut holder = leaves(&[("SgnAcctIssrId", BANK), ("SgnAcctTp", "00"), ("IDTp", "01")]);
    let mut own = leaf("InstgId", ISSUER);
    for (name, value) in names.iter().zip(sealed) {
        if *name == "InstgAcct" { &mut own } else { &mut holder }.push_str(&leaf(name, value));
    }
    let mut inner = leaves(&[("TrxCtgy", kind.category), ("TrxId", trx), ("TrxDtTm", &now())]);
    if kind == SIGN {
        inner.push_str(&leaf("AuthMsg", "111111"));
    }
    [tag("SgnInf", &holder), tag("TrxInf", &inner), tag("InstgInf", &own)].concat()
}

/// The body of a debit by agreement.
fn payment(trx: &str, draft: Draft<'_>) -> String {
    let amount = format!("CNY{}.{:02}", draft.amount / 100, draft.amount % 100);
    let inner = [
        ("TrxId", trx),
        ("TrxDtTm", &now()),
        ("TrxAmt", &amount),
        ("TrxCtgy", "0110"),
        ("BizTp", "100001"),
    ];
    [
        tag("PyerInf", &leaves(&[("PyerAcctIssrId", BANK), ("SgnNo", draft.quoted)])),
        tag("PyeeInf", &leaves(&[("PyeeAcctIssrId", ISSUER), ("PyeeAcctNm", "模拟商户 a+b & c")])),
        tag("ResfdInf", &leaves(&[("ResfdAcctIssrId", ISSUER)])),
        tag("TrxInf", &leaves(&inner)),
        tag("OrdrInf", &leaves(&[("OrdrId", trx), ("OrdrDesc", "还款·第1期 <100%>")])),
        leaf("BatchId", "B202611230001"),
    ]
    .concat()
}
