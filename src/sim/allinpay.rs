//! An Allinpay AIPG gateway (通联 代收付): GBK documents, signed as text without the signature's own element, two layers of results.
//!
//! Names and codes follow wire-formats 1.2. Unconfirmed and made up here: what RNPC quotes and that it yields `AGRMNO`, the fields of
//! VALIDR, RNPA and IDVER beside those of TRANS, the shape of a batch's answer, and all 3xxx codes but 3066 and 3999: what they mean
//! is told in words. Not modelled: notifications (their body is not public).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use encoding_rs::GBK;
use openssl::{error::ErrorStack, hash::MessageDigest};

use crate::sim::{
    channel::{Answer, Ends, Finding, Gateway, Hub, Request, ask_bank},
    core::allinpay::AllinpayCore,
    form::decode,
    keys::{Key, dice},
    record::{AtRow, Channel, Part, Verdict, lock},
    statement::{Ended, State},
    world::{CardState, Element, Tuple},
    xml::{self, leaf, leaves, tag},
};

/// The channel's name.
pub(super) const NAME: Channel = "allinpay";
/// The only path.
pub(super) const PATH: &str = "/aipg/ProcessServlet";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"GBK\"?>";

/// Both ends, with fresh keys.
pub(super) fn open(hub: &Arc<Hub>) -> Result<Ends, ErrorStack> {
    let (own, core) = (Arc::new(Key::new(2048)?), Arc::new(Key::new(2048)?));
    Ok(Ends {
        key_files: vec![
            ("allinpay-core.pem", core.public_pem()?),
            ("allinpay-core.key.pem", core.private_pem()?),
            ("allinpay-channel.pem", own.public_pem()?),
        ],
        payer: Arc::new(AllinpayCore { own: Arc::clone(&core), channel: Arc::clone(&own) }),
        gateway: Box::new(Allinpay { hub: Arc::clone(hub), own, core, books: Mutex::default() }),
    })
}

/// The gateway.
struct Allinpay {
    hub: Arc<Hub>,
    own: Arc<Key>,
    core: Arc<Key>,
    books: Mutex<Books>,
}

/// What the gateway remembers.
#[derive(Default)]
struct Books {
    /// Signings that wait for their SMS code, by `MERCHANT_ID|REQ_SN`.
    waiting: HashMap<String, Tuple>,
    bound: HashMap<String, Tuple>,
    /// How the rows of a message ended, by `MERCHANT_ID|REQ_SN`; a single payment is the row `0`.
    ended: HashMap<String, Vec<(String, Verdict)>>,
    /// The same as payments.
    payments: Vec<Ended>,
}

/// The two layers of an answer: what INFO says, and the body.
struct Said {
    info: &'static str,
    body: String,
}

impl Allinpay {
    fn judge(&self, answer: &mut Answer, root: &xml::Element) -> Said {
        match answer.txn.as_str() {
            "100011" | "100014" => self.single(answer, root),
            "100001" | "100002" => self.batch(answer, root),
            "200004" => self.query(answer, root),
            "211003" => self.verify(answer, root.child("VALIDR"), "VALIDRET"),
            "211004" if !root.at("VALIDR/TEL").is_empty() => {
                self.verify(answer, root.child("VALIDR"), "VALIDRET")
            }
            "220001" => self.identity(answer, root),
            "211006" => {
                let said = self.verify(answer, root.child("RNPA"), "RNPARET");
                if answer.verdict.code == "0000" {
                    // The SMS left; what was checked counts once it is confirmed.
                    answer.verdict.proved = false;
                    lock(&self.books).waiting.insert(answer.order.clone(), answer.tuple.clone());
                }
                said
            }
            "211006R" => {
                let waits = lock(&self.books).waiting.contains_key(&source(root, "RNPR"));
                answer.verdict = code(if waits { "0000" } else { "3901" });
                result("RNPRRET", &answer.verdict.code, "")
            }
            "211006C" => self.confirm(answer, root),
            _ => {
                answer.verdict = code("1000");
                Said { info: "1000", body: String::new() }
            }
        }
    }

    /// One payment: by elements, or by an agreement.
    fn single(&self, answer: &mut Answer, root: &xml::Element) -> Said {
        let Some(trans) = root.child("TRANS") else { return malformed(answer) };
        let amount = trans.at("AMOUNT").parse().unwrap_or_default();
        answer.tuple = elements(trans);
        answer.agreement = trans.some("AGRMNO");
        let debit = answer.txn == "100011";
        let end = if let Some(agreement) = &answer.agreement {
            answer.part = Part::ByAgreement;
            match lock(&self.books).bound.get(agreement).cloned() {
                Some(tuple) => {
                    // The success of a debit by agreement proves no element.
                    let end = self.check(&tuple, amount);
                    answer.tuple = tuple;
                    Verdict { proved: false, ..end }
                }
                None => code("3901"),
            }
        } else {
            self.check(&answer.tuple, if debit { amount } else { 0 })
        };
        let mut books = lock(&self.books);
        if books.ended.contains_key(&answer.order) {
            answer.verdict = code("3902");
        } else {
            books.ended.insert(answer.order.clone(), vec![("0".into(), end.clone())]);
            let what = (answer.order.clone(), answer.txn.as_str(), amount);
            books.payments.push(ended(what, &answer.tuple, &end));
            let late = self.hub.late_mismatches;
            answer.verdict = self.told(&answer.order, end, late);
        }
        let words = words(&answer.verdict);
        let day = if answer.verdict.code == "0000" { "20261124" } else { "" };
        result("TRANSRET", &answer.verdict.code, &leaf("SETTLE_DAY", day)).with(words)
    }

    /// A batch: each row has its own result.
    fn batch(&self, answer: &mut Answer, root: &xml::Element) -> Said {
        let mut details = String::new();
        let (mut rows, mut payments) = (vec![], vec![]);
        for row in root.all("BODY", "TRANS_DETAIL") {
            let amount: u64 = row.at("AMOUNT").parse().unwrap_or_default();
            let (name, tuple) = (row.at("SN").to_owned(), elements(row));
            let end = self.check(&tuple, if answer.txn == "100001" { amount } else { 0 });
            let order = format!("{}|{name}", answer.order);
            payments.push(ended((order.clone(), &answer.txn, amount), &tuple, &end));
            // The audit reads what Hefu says of rows in the answer to the batch only, so what it must find is told at once.
            let verdict = self.told(&order, end.clone(), 0);
            details.push_str(&tag(
                "RET_DETAIL",
                &leaves(&[
                    ("SN", &name),
                    ("RET_CODE", &verdict.code),
                    ("ERR_MSG", words(&verdict)),
                ]),
            ));
            answer.rows.push(AtRow { order, tuple, verdict });
            rows.push((name, end));
        }
        if rows.is_empty() || root.at("BODY/TRANS_SUM/TOTAL_ITEM") != rows.len().to_string() {
            answer.rows.clear();
            return malformed(answer);
        }
        let mut books = lock(&self.books);
        if books.ended.contains_key(&answer.order) {
            answer.rows.clear();
            answer.verdict = code("1001");
            return Said { info: "1001", body: String::new() };
        }
        books.ended.insert(answer.order.clone(), rows);
        books.payments.extend(payments);
        answer.verdict = code("0000");
        Said { info: "0000", body: tag("BODY", &tag("RET_DETAILS", &details)) }
    }

    /// How the rows of an earlier message ended.
    fn query(&self, answer: &mut Answer, root: &xml::Element) -> Said {
        answer.part = Part::Query;
        answer.order = format!("{}|{}", root.at("INFO/MERCHANT_ID"), root.at("QTRANSREQ/QUERY_SN"));
        let Some(ended) = lock(&self.books).ended.get(&answer.order).cloned() else {
            answer.verdict = code("1002");
            return Said { info: "1002", body: String::new() };
        };
        let mut details = String::new();
        for (name, end) in &ended {
            // Seen of queries: 4000 says the same as 0000.
            let told = if end.code == "0000" { "4000" } else { &end.code };
            details.push_str(&tag(
                "QTDETAIL",
                &leaves(&[("SN", name), ("RET_CODE", told), ("ERR_MSG", words(end))]),
            ));
        }
        if let [(name, end)] = ended.as_slice()
            && name == "0"
        {
            answer.verdict = end.clone();
        } else {
            answer.verdict = code("0000");
            let row = |(name, verdict): (String, Verdict)| AtRow {
                order: format!("{}|{name}", answer.order),
                tuple: Tuple::default(),
                verdict,
            };
            answer.rows = ended.into_iter().map(row).collect();
        }
        Said { info: "0000", body: tag("QTRANSRSP", &details) }
    }

    /// Asks the bank about an account, at once and finally.
    fn verify(&self, answer: &mut Answer, asked: Option<&xml::Element>, ret: &'static str) -> Said {
        let Some(asked) = asked else { return malformed(answer) };
        answer.tuple = elements(asked);
        let found = self.check(&answer.tuple, 0);
        // A verification does not name what differs.
        let suspects = [Element::Name, Element::IdNumber, Element::Pan, Element::Phone];
        let carried = suspects.into_iter().filter(|element| answer.tuple.get(*element).is_some());
        answer.verdict = match found.said.as_slice() {
            [] => found,
            _ => Verdict { code: "3999".into(), said: carried.collect(), ..found },
        };
        if answer.verdict.proved
            && let Some(card) = answer.tuple.pan.as_deref().and_then(|pan| self.hub.world.card(pan))
            && ret == "VALIDRET"
        {
            card.move_on();
        }
        let extra = leaf("ISSENDSMS", if ret == "RNPARET" { "1" } else { "" });
        result(ret, &answer.verdict.code, if ret == "VALIDRET" { "" } else { &extra })
            .with(words(&answer.verdict))
    }

    /// Name and ID number alone: the register of residents.
    fn identity(&self, answer: &mut Answer, root: &xml::Element) -> Said {
        answer.part = Part::Verification;
        answer.tuple = Tuple {
            name: root.some("IDVER/NAME"),
            id_number: root.some("IDVER/IDNO"),
            ..Tuple::default()
        };
        let tuple = &answer.tuple;
        let known = self.hub.world.cards.iter().any(|card| {
            let held = card.at_bank();
            Some(&held.name) == tuple.name.as_ref()
                && Some(&held.id_number) == tuple.id_number.as_ref()
        });
        answer.verdict = Verdict { proved: known, ..code(if known { "0000" } else { "3999" }) };
        result("VALIDRET", &answer.verdict.code, "").with(words(&answer.verdict))
    }

    /// The second step of a signing: the customer typed the code of the SMS.
    fn confirm(&self, answer: &mut Answer, root: &xml::Element) -> Said {
        let Some(tuple) = lock(&self.books).waiting.remove(&source(root, "RNPC")) else {
            answer.verdict = code("3901");
            return result("RNPCRET", "3901", "").with(words(&answer.verdict));
        };
        let agreement = format!("AG{:018}", dice(self.hub.seed, &["sign", &answer.order]) / 100);
        if let Some(card) = tuple.pan.as_deref().and_then(|pan| self.hub.world.card(pan)) {
            card.move_on();
        }
        lock(&self.books).bound.insert(agreement.clone(), tuple.clone());
        answer.tuple = tuple;
        answer.verdict = Verdict { proved: true, ..code("0000") };
        answer.agreement = Some(agreement.clone());
        result("RNPCRET", "0000", &leaf("AGRMNO", &agreement))
    }

    /// What is told at once of an end: some ends are told by a query only.
    fn told(&self, order: &str, end: Verdict, late_mismatches: u64) -> Verdict {
        let roll = dice(self.hub.seed, &["allinpay late", order]) % 1000;
        if roll < if end.said.is_empty() { 200 } else { late_mismatches } {
            let waits = ["2000", "2007", "2008"];
            let at = usize::try_from(roll % 3).unwrap_or_default();
            let waits = waits.get(at).copied().unwrap_or("2000");
            return Verdict { pending: true, wrong: end.wrong, ..code(waits) };
        }
        end
    }

    /// The bank's word on a tuple, as a code; what a code of ours means is told in words.
    fn check(&self, tuple: &Tuple, debit_fen: u64) -> Verdict {
        let (finding, wrong, _) = ask_bank(&self.hub, tuple, debit_fen);
        let (code, said): (_, &[Element]) = match finding {
            Finding::Right => ("0000", &[]),
            Finding::State(CardState::Lost) => ("3066", &[]),
            Finding::State(_) => ("3904", &[]),
            Finding::NoBalance => ("3903", &[]),
            Finding::Mismatch => match wrong.as_slice() {
                [Element::Pan, ..] => ("3914", &[Element::Pan]),
                [Element::Phone] => ("3917", &[Element::Phone]),
                [Element::Name] => ("3915", &[Element::Name]),
                [Element::IdNumber] => ("3916", &[Element::IdNumber]),
                _ => ("3999", &[Element::Name, Element::IdNumber, Element::Pan, Element::Phone]),
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
}

impl Gateway for Allinpay {
    fn answer(&self, request: &Request<'_>) -> Answer {
        let mut answer = Answer { content_type: "text/xml;charset=GBK", ..Answer::default() };
        let root = read(request.body, &self.core);
        answer.signed = root.is_some();
        let said = match &root {
            Some(root) if request.method == "POST" && request.path == PATH => {
                root.at("INFO/TRX_CODE").clone_into(&mut answer.txn);
                let merchant = root.at("INFO/MERCHANT_ID");
                answer.order = format!("{merchant}|{}", root.at("INFO/REQ_SN"));
                if matches!(answer.txn.as_str(), "211003" | "211004") {
                    answer.part = Part::Verification;
                }
                self.judge(&mut answer, root)
            }
            _ => malformed(&mut answer),
        };
        let at = |name| root.as_ref().map_or("", |root: &xml::Element| root.at(name));
        let info = leaves(&[
            ("TRX_CODE", at("INFO/TRX_CODE")),
            ("VERSION", at("INFO/VERSION")),
            ("DATA_TYPE", "2"),
            ("REQ_SN", at("INFO/REQ_SN")),
            ("RET_CODE", said.info),
            ("ERR_MSG", if said.info == "0000" { "处理完成" } else { "处理失败" }),
        ]);
        answer.body = write(&info, &said.body, "", &self.own).unwrap_or_default();
        answer
    }

    fn ended(&self) -> Vec<Ended> {
        lock(&self.books).payments.clone()
    }
}

/// How one payment ended.
fn ended((order, kind, amount): (String, &str, u64), tuple: &Tuple, end: &Verdict) -> Ended {
    Ended {
        order,
        kind: kind.to_owned(),
        amount: amount.to_string(),
        pan: tuple.pan.clone().unwrap_or_default(),
        state: State::of(end.code == "0000"),
    }
}

impl Said {
    /// Adds `ERR_MSG` at the end of the body's only element.
    fn with(mut self, words: &str) -> Self {
        if let Some(at) = self.body.rfind("</") {
            self.body.insert_str(at, &leaf("ERR_MSG", words));
        }
        self
    }
}

/// A body with one result.
fn result(name: &str, code: &str, more: &str) -> Said {
    Said { info: "0000", body: tag(name, &format!("{}{more}", leaf("RET_CODE", code))) }
}

fn malformed(answer: &mut Answer) -> Said {
    answer.verdict = code("1000");
    Said { info: "1000", body: String::new() }
}

/// The signing that a second step quotes.
fn source(root: &xml::Element, name: &str) -> String {
    let quoted = root.child(name).map_or("", |step| step.at("SRCREQSN"));
    format!("{}|{quoted}", root.at("INFO/MERCHANT_ID"))
}

fn elements(of: &xml::Element) -> Tuple {
    Tuple {
        name: of.some("ACCOUNT_NAME"),
        id_number: of.some("ID"),
        pan: of.some("ACCOUNT_NO"),
        phone: of.some("TEL"),
    }
}

fn code(code: &str) -> Verdict {
    Verdict { code: code.into(), ..Verdict::default() }
}

fn words(verdict: &Verdict) -> &'static str {
    match verdict.code.as_str() {
        "0000" => "处理成功",
        "2000" | "2007" | "2008" => "系统正在对数据处理",
        "3066" => "渠道不支持/已关闭",
        "3901" => "协议号无效",
        "3902" => "交易序列号重复",
        "3903" => "账户余额不足",
        "3904" => "账户状态异常",
        "3914" => "账号不存在",
        "3915" => "户名不符",
        "3916" => "证件号码不符",
        "3917" => "手机号与银行预留不符",
        "3999" => "验证失败",
        _ => "处理失败",
    }
}

/// A document with this INFO and body, laid out with `between`, signed in INFO's last place.
pub(super) fn write(info: &str, body: &str, between: &str, key: &Key) -> Option<Vec<u8>> {
    const PLACE: &str = "<SIGNED_MSG></SIGNED_MSG>";
    let document =
        format!("{DECLARATION}{}", tag("AIPG", &(tag("INFO", &format!("{info}{PLACE}")) + body)));
    let document = xml::spread(&document, between);
    // A character that GBK lacks becomes a numeric reference, as XML allows.
    let (before, after) = document.split_once(PLACE)?;
    let (before, after) = (GBK.encode(before).0, GBK.encode(after).0);
    let signature = key.sign_by(MessageDigest::sha1(), &[&*before, &*after].concat()).ok()?;
    let signature = hex::encode(STANDARD.decode(signature).ok()?);
    Some([&*before, leaf("SIGNED_MSG", &signature).as_bytes(), &*after].concat())
}

/// Reads a document whose signature holds: over all its bytes but the signature's own element.
pub(super) fn read(body: &[u8], key: &Key) -> Option<xml::Element> {
    let find = |what: &[u8]| body.windows(what.len()).position(|window| window == what);
    let (start, end) = (find(b"<SIGNED_MSG>")?, find(b"</SIGNED_MSG>")?);
    let (before, rest) = body.split_at_checked(start)?;
    let (signature, after) = rest.split_at_checked(end.checked_sub(start)?)?;
    let after = after.strip_prefix(b"</SIGNED_MSG>")?;
    let signature = hex::decode(signature.strip_prefix(b"<SIGNED_MSG>")?).ok()?;
    let signature = STANDARD.encode(signature);
    let text = [before, after].concat();
    if !key.verify_by(MessageDigest::sha1(), &text, &signature) {
        return None;
    }
    let text = decode(body, GBK)?;
    let (root, rest) = xml::parse(&text)?;
    (text.starts_with(DECLARATION) && root.name == "AIPG" && rest.trim().is_empty()).then_some(root)
}
