//! A `NetsUnion` EPCC gateway (网联): signed XML with a tail after `</root>`, elements sealed to the receiver, codes that name the element.
//!
//! Names and codes follow wire-formats 1.6, in its RSA form: an AES-256 key in the envelope as `01|<32 characters>`. Unconfirmed and
//! made up here: the path, `MsgBody`, `BizInf/BizStsCd`, the mode of AES (ECB: there is no place for an IV), the query's message type and
//! fields, and the code of a bad signature.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use openssl::{
    error::ErrorStack,
    symm::{Cipher, decrypt, encrypt},
};

use crate::sim::{
    channel::{Answer, Ends, Finding, Gateway, Hub, Request, ask_bank},
    core::epcc::EpccCore,
    keys::{Key, dice},
    record::{Channel, Part, Verdict, lock},
    statement::{Ended, State},
    world::{CardState, Element, Tuple},
    xml::{self, leaves, tag},
};

/// The channel's name.
pub(super) const NAME: Channel = "epcc";
/// The only path.
pub(super) const PATH: &str = "/epcc/server";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
const NAMESPACE: &str = "namespace_string";
const OK: &str = "00000000";

/// Both ends, with fresh keys.
pub(super) fn open(hub: &Arc<Hub>) -> Result<Ends, ErrorStack> {
    let (own, core) = (Arc::new(Key::new(2048)?), Arc::new(Key::new(2048)?));
    Ok(Ends {
        key_files: vec![
            ("epcc-core.pem", core.public_pem()?),
            ("epcc-core.key.pem", core.private_pem()?),
            ("epcc-channel.pem", own.public_pem()?),
        ],
        payer: Arc::new(EpccCore { own: Arc::clone(&core), channel: Arc::clone(&own) }),
        gateway: Box::new(Epcc { hub: Arc::clone(hub), own, core, books: Mutex::default() }),
    })
}

/// The gateway.
struct Epcc {
    hub: Arc<Hub>,
    own: Arc<Key>,
    core: Arc<Key>,
    books: Mutex<Books>,
}

/// What the gateway remembers.
#[derive(Default)]
struct Books {
    /// Living agreements, by `SgnNo`.
    signed: HashMap<String, Tuple>,
    ended: HashMap<String, (Ended, Verdict)>,
}

/// What an answer says in its layers.
#[derive(Default)]
struct Said {
    /// `SysRtnCd`.
    system: String,
    /// `BizStsCd`; nothing when the system did not reach the receiver.
    business: Option<String>,
    more: String,
}

impl Said {
    fn business(code: &str) -> Self {
        Self { system: OK.into(), business: Some(code.into()), more: String::new() }
    }
}

impl Epcc {
    fn judge(&self, answer: &mut Answer, root: &xml::Element) -> Said {
        match answer.txn.as_str() {
            "epcc.101.001.01/0201" => {
                answer.part = Part::Verification;
                if let Some(tuple) = self.unseal(root) {
                    answer.tuple = tuple;
                    answer.verdict = self.check(&answer.tuple, 0);
                    Said::business(&answer.verdict.code)
                } else {
                    refused(answer)
                }
            }
            "epcc.101.001.01/0202" => self.sign(answer, root),
            "epcc.103.001.01" => {
                let quoted = root.at("MsgBody/SgnInf/SgnNo");
                let known = lock(&self.books).signed.remove(quoted).is_some();
                answer.agreement = Some(quoted.to_owned());
                answer.verdict = code(if known { OK } else { "PB512001" });
                Said::business(&answer.verdict.code)
            }
            "epcc.201.001.01/0110" => self.pay(answer, root),
            "epcc.301.001.01" => self.query(answer, root),
            _ => refused(answer),
        }
    }

    /// Signs an agreement, where the bank knows the customer by these elements.
    fn sign(&self, answer: &mut Answer, root: &xml::Element) -> Said {
        let Some(tuple) = self.unseal(root) else { return refused(answer) };
        answer.tuple = tuple;
        if root.at("MsgBody/TrxInf/AuthMsg").is_empty() {
            answer.verdict = code("PB511027");
            return Said::business("PB511027");
        }
        answer.verdict = self.check(&answer.tuple, 0);
        let mut said = Said::business(&answer.verdict.code);
        if answer.verdict.proved {
            let number = format!("SGN{:020}", dice(self.hub.seed, &["sign", &answer.order]));
            lock(&self.books).signed.insert(number.clone(), answer.tuple.clone());
            let pan = answer.tuple.pan.as_deref().unwrap_or_default();
            if let Some(card) = self.hub.world.card(pan) {
                card.move_on();
            }
            said.more = tag("SgnInf", &leaves(&[("SgnNo", &number)]));
            answer.agreement = Some(number);
        }
        said
    }

    /// A debit by agreement: the bank looks at what the agreement says against what it knows today.
    fn pay(&self, answer: &mut Answer, root: &xml::Element) -> Said {
        answer.part = Part::ByAgreement;
        answer.agreement = root.some("MsgBody/PyerInf/SgnNo");
        let amount = root.at("MsgBody/TrxInf/TrxAmt").strip_prefix("CNY").and_then(fen);
        let Some(amount) = amount else { return refused(answer) };
        let quoted = answer.agreement.as_deref().unwrap_or_default();
        let Some(tuple) = lock(&self.books).signed.get(quoted).cloned() else {
            answer.verdict = code("PB521013");
            return Said::business("PB521013");
        };
        // The success of a debit by agreement proves no element.
        let end = Verdict { proved: false, ..self.check(&tuple, amount) };
        answer.tuple = tuple;
        let roll = dice(self.hub.seed, &["epcc late", &answer.order]) % 1000;
        let late = roll < if end.said.is_empty() { 150 } else { self.hub.late_mismatches };
        let ended = Ended {
            order: answer.order.clone(),
            kind: answer.txn.clone(),
            amount: amount.to_string(),
            pan: answer.tuple.pan.clone().unwrap_or_default(),
            state: State::of(end.code == OK),
        };
        lock(&self.books).ended.insert(answer.order.clone(), (ended, end.clone()));
        if late {
            // The receiver timed out: there is no business status.
            let system = if roll.is_multiple_of(2) { "ES000033" } else { "AB0A2000" };
            answer.verdict = Verdict { wrong: end.wrong, pending: true, ..code(system) };
            return Said { system: system.into(), ..Said::default() };
        }
        answer.verdict = end;
        Said::business(&answer.verdict.code)
    }

    fn query(&self, answer: &mut Answer, root: &xml::Element) -> Said {
        answer.part = Part::Query;
        let original = root.at("MsgBody/OriTrxInf/OriTrxId");
        answer.order = format!("{}|{original}", root.at("MsgHeader/IssrId"));
        let found = lock(&self.books).ended.get(&answer.order).map(|(_, end)| end.clone());
        let Some(end) = found else {
            answer.verdict = code("PB520099");
            return Said::business("PB520099");
        };
        let told = [("OriTrxId", original), ("OriBizSts", &end.code)];
        let more = tag("OriTrxInf", &leaves(&told));
        answer.verdict = end;
        Said { more, ..Said::business(OK) }
    }

    /// The bank's word on a tuple, as a code.
    fn check(&self, tuple: &Tuple, debit_fen: u64) -> Verdict {
        let (finding, wrong, card) = ask_bank(&self.hub, tuple, debit_fen);
        let pays = debit_fen > 0;
        let credit = card.is_some_and(|card| card.pan.starts_with("6288"));
        let (code, said): (_, &[Element]) = match finding {
            Finding::Right => (OK, &[]),
            Finding::State(CardState::Lost) => (if pays { "PB520005" } else { "PB511010" }, &[]),
            Finding::State(CardState::Frozen) => (if pays { "PB520006" } else { "PB511006" }, &[]),
            Finding::State(_) => (if pays { "PB520007" } else { "PB511098" }, &[]),
            Finding::NoBalance => (if credit { "PB521012" } else { "PB520011" }, &[]),
            Finding::Mismatch => match wrong.as_slice() {
                [Element::Pan, ..] => ("PB511002", &[Element::Pan]),
                [Element::Phone] => ("PB511013", &[Element::Phone]),
                [Element::Name] => ("PB511017", &[Element::Name]),
                [Element::IdNumber] => ("PB511019", &[Element::IdNumber]),
                _ => ("EB005000", &[Element::Name, Element::IdNumber]),
            },
        };
        Verdict {
            code: code.into(),
            said: said.to_vec(),
            wrong,
            proved: finding == Finding::Right,
            ..Verdict::default()
        }
    }

    /// The elements of a signing, with the key in the envelope.
    fn unseal(&self, root: &xml::Element) -> Option<Tuple> {
        let envelope = self.own.reveal(root.at("MsgHeader/DgtlEnvlp"))?;
        let key = envelope.strip_prefix("01|").filter(|key| key.len() == 32)?;
        let open = |name: &str| match root.some(&format!("MsgBody/SgnInf/{name}")) {
            None => Some(None),
            Some(sealed) => {
                let sealed = STANDARD.decode(sealed).ok()?;
                let bytes = decrypt(Cipher::aes_256_ecb(), key.as_bytes(), None, &sealed).ok()?;
                String::from_utf8(bytes).ok().map(Some)
            }
        };
        Some(Tuple {
            name: open("SgnAcctNm")?,
            id_number: open("IDNo")?,
            pan: open("SgnAcctId")?,
            phone: open("MobNo")?,
        })
    }
}

impl Gateway for Epcc {
    fn answer(&self, request: &Request<'_>) -> Answer {
        let mut answer =
            Answer { content_type: "application/xml;charset=utf-8", ..Answer::default() };
        let root = read(request.body, &self.core);
        answer.signed = root.is_some();
        let at = |path| root.as_ref().map_or("", |root: &xml::Element| root.at(path));
        let message_type = at("MsgHeader/MsgTp").to_owned();
        let heads = request.header("msgtp") == message_type
            && request.header("oriissrid") == at("MsgHeader/IssrId")
            && request.method == "POST"
            && request.path == PATH;
        let said = match &root {
            Some(root) if heads => {
                let category = root.at("MsgBody/TrxInf/TrxCtgy");
                answer.txn = if category.is_empty() {
                    message_type.clone()
                } else {
                    format!("{message_type}/{category}")
                };
                let trx = root.at("MsgBody/TrxInf/TrxId");
                answer.order = format!("{}|{trx}", root.at("MsgHeader/IssrId"));
                self.judge(&mut answer, root)
            }
            _ => refused(&mut answer),
        };
        // An answer's type is the request's plus one thousand and one.
        let answered = message_type.replacen("01.001", "02.001", 1).replacen("03.001", "04.001", 1);
        let header = leaves(&[
            ("SndDt", "2026-11-23T12:00:00"),
            ("MsgTp", &answered),
            ("IssrId", "G4000311000018"),
            ("Drctn", "12"),
            ("SignSN", "4000000002"),
        ]);
        let system = [("SysRtnCd", said.system.as_str()), ("SysRtnDesc", words(&said.system))];
        let mut body = tag("SysRtnInf", &leaves(&system));
        if let Some(code) = &said.business {
            let business = [
                ("TrxId", at("MsgBody/TrxInf/TrxId")),
                ("BizStsCd", code),
                ("BizStsDesc", words(code)),
            ];
            body.push_str(&tag("BizInf", &leaves(&business)));
        }
        body.push_str(&said.more);
        answer.headers = vec![("msgtp", answered), ("oriissrid", "G4000311000018".into())];
        answer.body = write(&header, &body, ("", "\n"), &self.own).unwrap_or_default();
        answer
    }

    fn ended(&self) -> Vec<Ended> {
        lock(&self.books).ended.values().map(|(ended, _)| ended.clone()).collect()
    }
}

fn refused(answer: &mut Answer) -> Said {
    answer.verdict = code("ES000001");
    Said { system: "ES000001".into(), ..Said::default() }
}

fn code(code: &str) -> Verdict {
    Verdict { code: code.into(), ..Verdict::default() }
}

/// Fen of yuan with exactly two decimals.
fn fen(yuan: &str) -> Option<u64> {
    let (whole, part) = yuan.split_once('.').filter(|(_, part)| part.len() == 2)?;
    whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(part.parse().ok()?)
}

fn words(code: &str) -> &'static str {
    match code {
        OK => "交易成功",
        "ES000033" | "AB0A2000" => "接收方超时",
        "EB005000" | "PB005203" | "PB005212" => "身份认证失败",
        "PB511002" => "账户不存在",
        "PB511013" => "手机号与银行预留手机号不一致",
        "PB511017" => "户名不一致",
        "PB511019" => "证件号码不一致",
        "PB520011" | "PB521012" => "余额不足",
        _ => "交易失败",
    }
}

/// Seals values under one fresh key: the envelope, and each value in base64.
pub(super) fn seal<'a>(
    receiver: &Key,
    key: &str,
    values: impl IntoIterator<Item = &'a str>,
) -> Option<(String, Vec<String>)> {
    let envelope = receiver.conceal(&format!("01|{key}")).ok()?;
    let seal = |value: &str| {
        let sealed = encrypt(Cipher::aes_256_ecb(), key.as_bytes(), None, value.as_bytes());
        Some(STANDARD.encode(sealed.ok()?))
    };
    Some((envelope, values.into_iter().map(seal).collect::<Option<_>>()?))
}

/// A document with this header and body, laid out, and the tail that signs its root.
pub(super) fn write(
    header: &str,
    body: &str,
    (between, line): (&str, &str),
    key: &Key,
) -> Option<Vec<u8>> {
    let content = tag("MsgHeader", header) + &tag("MsgBody", body);
    let root = format!("<root xmlns=\"{NAMESPACE}\">{content}</root>");
    let root = xml::spread(&root, between);
    let signature = key.sign(root.as_bytes()).ok()?;
    Some(format!("{DECLARATION}{line}{root}{line}{{S:{signature}}}{line}").into_bytes())
}

/// Reads a document whose tail signs its root.
pub(super) fn read(body: &[u8], key: &Key) -> Option<xml::Element> {
    let text = std::str::from_utf8(body).ok()?;
    let root = text.strip_prefix(DECLARATION)?.trim_start();
    let (root, tail) = root.split_at_checked(root.rfind("</root>")? + "</root>".len())?;
    let signature = tail.trim().strip_prefix("{S:")?.strip_suffix('}')?;
    if !key.verify(root.as_bytes(), signature) {
        return None;
    }
    let (root, rest) = xml::parse(root)?;
    let namespace = [("xmlns".to_owned(), NAMESPACE.to_owned())];
    (root.name == "root" && root.attributes == namespace && rest.is_empty()).then_some(root)
}
