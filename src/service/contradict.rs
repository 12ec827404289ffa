//! What a contradiction sets in motion: a hold, and evidence that loses its worth; and how a match ends that.

use crate::domain::answer::Answer;
use crate::domain::element::ElementSet;
use crate::domain::id::AgreementId;
use crate::domain::mismatch::{Mismatch, MismatchKind};
use crate::domain::outcome::Outcome;
use crate::reconcile::hold::{Braking, Hold, HoldKey, Holding};
use crate::service::webhook::Event;
use crate::service::{Channel, Service};
use crate::store::row::RowKey;
use crate::store::{Agreement, Evidence, Record};

impl Service {
    /// The debit outcome prevails: evidence loses its worth here, and the next debit waits; unless the brake is on.
    ///
    /// Secrets of a card come with each message, so that suspecting them says nothing of the next. What an agreement was bound
    /// with may be more than we know.
    pub(super) fn contradict(
        &self,
        channel: &Channel,
        record: &Record,
        suspects: ElementSet,
        mismatch: Option<Mismatch>,
    ) {
        let (road, now) = (channel.profile.road.as_ref(), self.now());
        let (channel, known) = (channel.name(), &record.stakes);
        let suspected = known.tuple.filter(|(_, set)| suspects.meets(*set));
        let key = match (&known.agreement, suspected) {
            (Some(id), _) if !ElementSet::SECRET.is_superset(suspects) => {
                HoldKey::Agreement(channel.clone(), id.clone())
            }
            (None, Some((tuple, _))) => {
                // It binds everybody, but where a secret may be at fault that another merchant's customer does not get wrong.
                let anyone = known.anyone.filter(|_| !suspects.meets(ElementSet::SECRET));
                HoldKey::Tuple(known.told.or(anyone).unwrap_or(tuple))
            }
            (Some(_) | None, _) => return,
        };
        let hold = Hold {
            key,
            channel: channel.clone(),
            payment: record.payment,
            since: now,
            until: now.plus(self.settings.hold_for),
            person: known.person,
        };
        let braking = Braking {
            bank: known.bank.as_ref(),
            matched: mismatch.is_some_and(|it| it.kind == MismatchKind::MatchThenNoMatch),
            per_hour: self.settings.holds_per_hour,
        };
        let made = self.store.make_hold(hold.clone(), braking);
        if made == Holding::Made {
            self.tell(Event::HoldMade(&hold));
        }
        if made == Holding::Paused {
            // By name, since anybody can make up the beginning of a card number.
            let banks = self.rules.as_ref().map(|rules| &rules.book.banks);
            let bank = banks.zip(known.bank.as_ref()).and_then(|(all, bin)| all.get(bin.as_str()));
            self.metrics.on_hold_paused(channel, bank.map(|name| &**name));
            tracing::warn!(channel = channel.as_str(), payment.id = %record.payment, "holds are paused: too many, or too many within the hour");
            return;
        }
        if let Some((tuple, set)) = suspected
            && !known.asserted.meets(set)
        {
            // By whichever clock it was asked for, that was before.
            let asked = record.verified.as_ref().map_or(now, |evidence| evidence.at);
            let others = known.others.iter().map(|other| other.tuple);
            // What is everybody's as well, which this one's evidence is not.
            let anyones = known.anyones().filter(|_| !suspects.meets(ElementSet::SECRET));
            for tuple in std::iter::once(tuple).chain(others).chain(anyones) {
                self.store.contradict(&tuple, channel, road, now.max(asked));
            }
        }
    }

    /// Ends the hold on an agreement whose elements match since, where those are all that the channel may have meant. Where some were told
    /// beside the message, the channel may have read others.
    pub(super) async fn end_where_matched(
        &self,
        channel: &Channel,
        id: &AgreementId,
        agreement: &Agreement,
    ) {
        let (name, road) = (channel.name(), channel.profile.road.as_ref());
        let key = HoldKey::Agreement(name.clone(), id.clone());
        let Some((tuple, set)) = agreement.tuple.filter(|(_, set)| !agreement.asserted.meets(*set))
        else {
            return;
        };
        let Some(hold) = self.store.hold(&key, self.now()) else { return };
        let rests_on = vec![RowKey::evidence(&tuple), RowKey::payment(hold.payment)];
        if self.fetch_all(rests_on).await.is_err() {
            return;
        }
        let evidence = self.store.evidence(&tuple, name, road, self.now());
        let matches = |it: &Evidence| it.answer == Answer::Match && it.at > hold.since;
        let outcome = self.store.record(hold.payment).and_then(|record| record.became.outcome);
        let meant = outcome.is_some_and(|(outcome, ..)| {
            matches!(outcome, Outcome::NoMatch(suspects) if set.is_superset(suspects.set()))
        });
        if meant && evidence.as_ref().is_some_and(matches) {
            self.end_hold(&key);
        }
    }
}
