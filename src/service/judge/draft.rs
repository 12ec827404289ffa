//! What a message on its way to a decision comes to: what it needs, what it claims, what is kept of it.

use super::{Decided, Draft};
use crate::domain::answer::Answer;
use crate::domain::element::ElementSet;
use crate::domain::payment::Standing;
use crate::policy::{Basis, Effect, Reason, Verification};
use crate::service::Channel;
use crate::service::balance::Balance;
use crate::service::facts;
use crate::service::rules::{self, Kept, Seen};
use crate::store::journal::{Need, OrderKey};
use crate::store::{Became, Judged, Record, Stakes};
use std::sync::Arc;

impl Draft {
    /// What rules may see of it.
    pub(super) fn seen<'a>(&'a self, channel: &'a Channel) -> Seen<'a> {
        let known = &self.known;
        let (answer, standing) = rules::answered(self.basis, known.verified.as_ref());
        Seen {
            at: self.at,
            scenario: self.scenario,
            channel: channel.name(),
            merchant: known.merchant.as_ref(),
            amount: self.amount,
            bank: known.bank.as_ref(),
            kind: Kept::Known(self.kind),
            card: known.card,
            other_cards: &known.other_cards,
            person: known.person,
            other_persons: &known.other_persons,
            phone: Kept::Known(known.phone),
            other_phones: &known.other_phones,
            agreement: self.agreement.as_ref(),
            standing,
            answer,
            verified: known.verified.as_ref(),
            asserted: self.asserted,
            held: Kept::Known(Some(known.held)),
            row: self.row.is_some(),
            concordance: Kept::Known(self.concordance),
            funder: self.balance.as_deref().map_or(Kept::Known(None), |it| it.seen.as_deref()),
            accounts: known.accounts,
        }
    }

    /// What chooses among orders for it.
    pub(super) fn draw(&self) -> u64 {
        rules::draw(self.known.order.as_ref().map(|order| &*order.0), self.payment)
    }

    /// What must still be so when it leaves.
    pub(crate) fn needs(&self, channel: &Channel) -> Vec<Need> {
        let (name, known) = (channel.name(), &self.known);
        // Of most payments a tuple is not held, and its evidence not contradicted.
        let mut needs = Vec::with_capacity(2);
        // A row that is held leaves where policy says that it is only annotated.
        if self.scenario.stops_at_hold() && !known.held {
            let holds = facts::hold_keys(name, self.agreement.as_ref(), known);
            needs.extend(holds.map(Need::NotHeld));
        }
        let quoted = self.basis == Basis::Agreement(Standing::Good);
        if let Some(id) = self.agreement.as_ref().filter(|_| quoted) {
            needs.push(Need::Open(name.clone(), id.clone()));
        }
        let answered = matches!(self.basis, Basis::Verified(Verification::Answered(_)));
        if let Some(evidence) = known.verified.as_ref().filter(|_| answered) {
            let others = known.others.iter().map(|other| other.tuple);
            for tuple in known.tuple.map(|(tuple, _)| tuple).into_iter().chain(others) {
                let (channel, road) = (name.clone(), channel.profile.road.clone());
                needs.push(Need::Uncontradicted { tuple, channel, road, since: evidence.at });
            }
        }
        needs
    }

    /// What its order is known by, where it moves money.
    pub(crate) fn order_key(&self, channel: &Channel) -> Option<OrderKey> {
        let message = self.message.and_then(|at| channel.profile.messages.get(at));
        Some(OrderKey {
            channel: channel.name().clone(),
            merchant: self.known.merchant.clone(),
            scenario: self.scenario,
            confirms: message.is_some_and(|message| !message.recall.is_empty()),
            order: self.known.order.clone().filter(|_| self.scenario.moves_money())?,
        })
    }

    /// What is kept of it.
    pub(crate) fn record(
        &self,
        channel: &Channel,
        (effect, reasons): Decided,
        claim: Option<&OrderKey>,
    ) -> Box<Record> {
        let message = self.message.and_then(|at| channel.profile.messages.get(at));
        let known = &self.known;
        let stakes = Stakes {
            merchant: known.merchant.clone(),
            claim: claim.map(|key| (key.order.clone(), key.confirms)),
            tuple: known.tuple,
            asserted: known.asserted,
            told: known.told,
            anyone: known.anyone,
            others: known.others.clone(),
            card: known.card,
            other_cards: known.other_cards.clone(),
            person: known.person,
            other_persons: known.other_persons.clone(),
            phone: known.phone,
            other_phones: known.other_phones.clone(),
            bank: known.bank.clone(),
            agreement: self.agreement.clone(),
            checks: self.checks,
            proves: message.map_or(ElementSet::EMPTY, |message| message.checks),
            account: self.balance.as_deref().and_then(Balance::counted).cloned(),
            rules: self.rules.as_ref().map(|it| Arc::new(it.kept(&self.seen(channel), &reasons))),
        };
        Box::new(Record {
            payment: self.payment,
            at: self.at,
            channel: channel.name().clone(),
            scenario: self.scenario,
            order: self.known.order.clone(),
            amount: self.amount,
            carried: self.carried,
            mode: self.mode,
            effect,
            verified: self.known.verified.clone(),
            asked_now: self.known.asked_now,
            routed: self.known.routed.clone(),
            held_out: self
                .spared
                .filter(|_| effect != Effect::Refuse && reasons.contains(&Reason::Holdout)),
            reasons,
            judged_in: self.begun.elapsed(),
            became: Became::default(),
            judged: Judged::default(),
            row_of: self.row_of,
            stakes,
        })
    }

    /// What was decided, and why balance might not have funded it.
    pub(super) fn remarked(&self, (effect, mut reasons): Decided) -> Decided {
        let remark = self.balance.as_deref().and_then(|balance| balance.remark);
        let effect = remark.map_or(effect, |_| effect.max(Effect::Annotate));
        reasons.extend(remark);
        (effect, reasons)
    }

    /// The elements at fault, where they are known.
    pub(crate) fn at_fault(&self) -> ElementSet {
        match self.known.verified.as_ref().map(|evidence| evidence.answer) {
            Some(Answer::NoMatch(elements)) => elements,
            Some(_) | None => self.invalid,
        }
    }
}
