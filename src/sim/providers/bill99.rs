//! Two to six elements as 99bill's `ind_auth` takes them: XML with a namespace, no signature, HTTP Basic.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use roxmltree::Document;

use crate::sim::{
    providers::{Protocol, Register, Reply, Request, Said},
    world::{CardState, Element, Tuple},
};

const NAMESPACE: &str = "http://www.99bill.com/mas_cnp_merchant_interface";

/// What buyers are known by.
pub(in crate::sim) struct Bill99 {
    pub(in crate::sim) merchant: String,
    pub(in crate::sim) key: String,
}

impl Protocol for Bill99 {
    const NAME: &'static str = "99bill";
    const CONTENT_TYPE: &'static str = "text/xml;charset=utf-8";

    fn register(&self, _: &Request) -> Register {
        Register::Bank { lag_days: 15, mixed: false }
    }

    fn read(&self, request: &Request) -> Result<Tuple, Reply> {
        let pair = STANDARD.encode(format!("{}:{}", self.merchant, self.key));
        if request.header("authorization") != format!("Basic {pair}") {
            let body = "Unauthorized".into();
            return Err(Reply { status: 401, body, code: "http_401".into(), billable: false });
        }
        let some = |name| field(request, name);
        let tuple = Tuple {
            name: some("cardHolderName"),
            id_number: some("cardHolderId"),
            pan: some("pan"),
            phone: some("phoneNO"),
        };
        let known = request.path == "/cnp/ind_auth"
            && request.header("content-type").contains("xml")
            && some("merchantId").is_some_and(|merchant| merchant == self.merchant)
            && some("terminalId").is_some()
            && some("externalRefNumber").is_some()
            && tuple.id_number.is_some() == (some("idType").as_deref() == Some("0"));
        let others = [&tuple.name, &tuple.id_number, &tuple.phone];
        if known && tuple.pan.is_some() && others.into_iter().any(Option::is_some) {
            return Ok(tuple);
        }
        let inside = "<ErrorMsgContent><errorCode>B.MGW.0100</errorCode></ErrorMsgContent>";
        Err(reply(inside, "B.MGW.0100", false))
    }

    fn write(&self, request: &Request, said: &Said) -> Reply {
        let (code, billable) = match said {
            Said::Match if !cvv2_is_right(request) => ("I4", true),
            Said::Match => ("00", true),
            Said::NoMatch(wrong) => match wrong.as_slice() {
                [Element::Name] => ("HX", true),
                [Element::IdNumber] => ("I3", true),
                [Element::Phone] => ("HW", true),
                _ => ("Y1", true),
            },
            Said::NoRecord => ("14", true),
            Said::State(CardState::Lost) => ("41", false),
            Said::State(CardState::Expired) => ("54", false),
            Said::State(_) => ("NH", false),
            Said::Unsupported => ("40", false),
            Said::Limited => ("57", false),
            Said::Invalid => ("AP", false),
            Said::Busy => ("C0", false),
            Said::Strange => ("ZZ", false),
        };
        let text = "<responseTextMessage>&lt;&#24212;答&gt;</responseTextMessage>";
        let inside = format!(
            "<indAuthContent>{text}<responseCode>{code}</responseCode><storablePan/></indAuthContent>"
        );
        reply(&inside, code, billable)
    }
}

/// Here the value printed on a card is the end of its number.
fn cvv2_is_right(request: &Request) -> bool {
    let pan = field(request, "pan").unwrap_or_default();
    field(request, "cvv2").is_none_or(|cvv2| pan.ends_with(&cvv2))
}

/// The text of an element, where there is one.
fn field(request: &Request, name: &str) -> Option<String> {
    let document = Document::parse(std::str::from_utf8(&request.body).ok()?.trim()).ok()?;
    let content = document
        .root_element()
        .children()
        .find(|node| node.has_tag_name((NAMESPACE, "indAuthContent")))?;
    let mut found = content.children().filter(|node| node.has_tag_name((NAMESPACE, name)));
    let (text, more) = (found.next()?.text().map(str::to_owned), found.next());
    text.filter(|_| more.is_none())
}

fn reply(inside: &str, code: &str, billable: bool) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MasMessage xmlns=\"{NAMESPACE}\"><version>1.0</version>{inside}</MasMessage>\n"
    );
    Reply { status: 200, body, code: code.into(), billable }
}
