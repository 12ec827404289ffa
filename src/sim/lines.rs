//! Entries of the books as lines of JSON, for whoever compares them with what Hefu kept. No element is in them.

use serde_json::{Map, Value, json};

use crate::sim::record::{AtChannel, AtCore, AtProvider};
use crate::sim::world::{Element, bank_of};

impl AtChannel {
    /// What came to a channel and what it said.
    pub(super) fn line(&self) -> Value {
        let rows: Vec<&str> = self.rows.iter().map(|row| row.order.as_str()).collect();
        json!({
            "at": "channel", "seq": self.seq, "channel": self.channel, "order": self.order, "rows": rows, "kind": self.txn,
            "message": hex::encode(self.received), "signed": self.signed, "code": self.verdict.code,
        })
    }
}

impl AtProvider {
    /// About which elements a provider was asked, of whose card, what it said, and whether it bills that.
    pub(super) fn line(&self) -> Value {
        let bank = self.tuple.get(Element::Pan).and_then(bank_of);
        json!({
            "at": "provider", "seq": self.seq, "provider": self.provider, "inquiry": self.inquiry, "authentic": self.authentic,
            "elements": self.tuple.words(), "bank": bank, "answer": self.answer, "matched": self.matched, "billable": self.billable,
        })
    }
}

impl AtCore {
    /// What the core sent and what it was told.
    pub(super) fn line(&self) -> Value {
        let headers =
            self.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
        let problem = self.problem.as_ref().map(|problem| serde_json::from_str::<Value>(problem));
        json!({
            "at": "core", "channel": self.channel, "order": self.order, "rows": self.rows, "scenario": self.scenario,
            "message": hex::encode(self.sent), "status": self.status, "answered": self.received.is_some(),
            "headers": headers.collect::<Map<_, _>>(), "problem": problem.transpose().unwrap_or_default(),
        })
    }
}
