//! What is known before anybody is asked: evidence on exactly the elements that are told, which traffic or another upgrade left.
//!
//! Only on these: whoever wants an account of somebody else would else come to a class by what that person verified elsewhere.

use super::{FINDINGS_MAX, Question, UpgradeError, WHO, checked};
use crate::domain::answer::Answer;
use crate::domain::id::Fingerprint;
use crate::provider::Inquiry;
use crate::service::verify::Asked;
use crate::service::{Entry, Service};
use crate::store::account::Holder;
use crate::store::row::RowKey;
use crate::store::{Evidence, Origin, Witness};
use crate::tier::class::Finding;

impl Service {
    /// From where an answer comes, where it confirms who somebody is, and accounts are kept.
    pub(in crate::service) fn origin(
        &self,
        entry: &Entry,
        inquiry: &Inquiry,
        asked: &Asked,
    ) -> Option<Box<Origin>> {
        let says_who = entry.candidate.asks.says_who() && inquiry.set.is_superset(WHO);
        let confirmed = says_who && asked.reply.answer == Answer::Match;
        self.tiers.book.at(asked.at).filter(|_| confirmed)?;
        Some(Box::new(Origin {
            inquiry: asked.id,
            source: self.source(entry, inquiry, asked.reply.source.as_deref()),
            account: checked(inquiry),
        }))
    }

    /// Takes what is known by now of what could be asked for findings on `person`.
    pub(super) async fn adopt(
        &self,
        person: &Fingerprint,
        questions: &[Question<'_>],
    ) -> Result<(), UpgradeError> {
        let mut tuples: Vec<_> = questions.iter().map(|question| question.about.tuple).collect();
        tuples.sort_unstable();
        tuples.dedup();
        self.fetch_all(tuples.iter().map(RowKey::evidence).collect()).await?;
        let now = self.now();
        let evidence = tuples.iter().filter_map(|tuple| self.store.uncontradicted(tuple, now));
        let found: Vec<Finding> = evidence.filter_map(|evidence| finding(&evidence)).collect();
        let is_new = |holder: &Holder, finding: &Finding| {
            holder.findings.iter().all(|known| known.inquiry != finding.inquiry)
        };
        let (holder, _) = self.holder(person).await?;
        if !found.iter().any(|finding| is_new(&holder, finding)) {
            return Ok(());
        }
        let adopting = |holder: &mut Holder| {
            for finding in &found {
                if is_new(holder, finding) && holder.findings.len() < FINDINGS_MAX {
                    holder.findings.push(finding.clone());
                }
            }
        };
        Ok(self.change_holder(person, adopting).await?)
    }
}

/// That a source confirmed who a person is, where evidence says so.
pub(super) fn finding(evidence: &Evidence) -> Option<Finding> {
    let (Witness::Provider(provider), Some(origin)) = (&evidence.witness, &evidence.origin) else {
        return None;
    };
    Some(Finding {
        source: origin.source.clone(),
        provider: provider.clone(),
        inquiry: origin.inquiry,
        elements: evidence.elements,
        account: origin.account,
        at: evidence.at,
    })
}
