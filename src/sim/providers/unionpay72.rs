//! `UnionPay`'s data product: 72/12, where `productId` picks the elements, as a signed form both ways.

use std::sync::Arc;

use crate::sim::{
    acp,
    form::{self, Fields, field},
    keys::Key,
    providers::{Protocol, Register, Reply, Request, Said},
    world::Tuple,
};

/// The provider's own key, its certificate, and the key that buyers sign with.
pub(in crate::sim) struct UnionPay72 {
    pub(in crate::sim) own: Arc<Key>,
    pub(in crate::sim) certificate: String,
    pub(in crate::sim) buyer: Arc<Key>,
}

impl UnionPay72 {
    fn answer(&self, request: &Request, code: &str, billable: bool) -> Reply {
        let charset = form::charset(&request.body);
        let asked = form::parse(&request.body, charset).unwrap_or_default();
        let mut fields = Fields::new();
        for key in [
            "version",
            "encoding",
            "signMethod",
            "txnType",
            "txnSubType",
            "bizType",
            "merId",
            "orderId",
            "txnTime",
            "productId",
        ] {
            if let Some(value) = asked.get(key) {
                fields.insert(key.into(), value.clone());
            }
        }
        fields.extend([
            ("respCode".into(), code.into()),
            ("respMsg".into(), format!("应答[{code}]")),
            ("signPubKeyCert".into(), self.certificate.clone()),
        ]);
        let body = acp::sign(&mut fields, charset, &self.own)
            .and_then(|()| form::write(&fields, charset, true));
        let body = String::from_utf8(body.unwrap_or_default()).unwrap_or_default();
        Reply { status: 200, body, code: code.into(), billable }
    }
}

impl Protocol for UnionPay72 {
    const NAME: &'static str = "unionpay72";
    const CONTENT_TYPE: &'static str = "text/html;charset=utf-8";

    fn register(&self, _: &Request) -> Register {
        Register::Bank { lag_days: 20, mixed: false }
    }

    fn read(&self, request: &Request) -> Result<Tuple, Reply> {
        let charset = form::charset(&request.body);
        let fields = form::parse(&request.body, charset).unwrap_or_default();
        if !acp::verify(&fields, charset, &self.buyer) {
            return Err(self.answer(request, "11", false));
        }
        let kind = ["txnType", "txnSubType", "bizType"].map(|key| field(&fields, key));
        let wants = |name: bool, id: bool, phone: bool| Some((name, id, phone));
        let product = match field(&fields, "productId") {
            "B136" => wants(true, false, false),
            "B144" => wants(false, true, false),
            "B132" => wants(false, false, true),
            "B152" => wants(true, true, false),
            "B156" => wants(true, true, true),
            _ => None,
        };
        let (Some((name, id, phone)), Some(mut tuple), ["72", "12", "000803"]) =
            (product, acp::elements(&fields, charset), kind)
        else {
            return Err(self.answer(request, "10", false));
        };
        let missing = tuple.pan.is_none()
            || name && tuple.name.is_none()
            || id && tuple.id_number.is_none()
            || phone && tuple.phone.is_none();
        if missing {
            return Err(self.answer(request, "13", false));
        }
        tuple.name = tuple.name.filter(|_| name);
        tuple.id_number = tuple.id_number.filter(|_| id);
        tuple.phone = tuple.phone.filter(|_| phone);
        Ok(tuple)
    }

    fn inquiry(&self, request: &Request) -> Option<String> {
        let fields = form::parse(&request.body, form::charset(&request.body))?;
        Some(field(&fields, "orderId").to_owned())
    }

    fn write(&self, request: &Request, said: &Said) -> Reply {
        let (code, billable) = match said {
            Said::Match => ("00", true),
            Said::NoMatch(_) => ("66", true),
            Said::NoRecord => ("61", true),
            Said::State(_) => ("63", true),
            Said::Unsupported => ("62", false),
            Said::Limited => ("37", false),
            Said::Invalid => ("13", false),
            Said::Busy => ("02", false),
            Said::Strange => ("A9", false),
        };
        self.answer(request, code, billable)
    }
}
