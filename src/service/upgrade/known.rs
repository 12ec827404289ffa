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

    /// Keeps what an answer is worth: evidence, and where it confirms who `person` is, a finding.
    pub(super) async fn found(
        &self,
        person: &Fingerprint,
        question: &Question<'_>,
        asked: &Asked,
    ) -> Result<(), UpgradeError> {
        let Question { entry, inquiry, about } = question;
        let evidence = self.evidence_of(entry, inquiry, asked);
        self.tiers.count(entry.provider.name(), evidence.answer == Answer::Match);
        let finding = finding(&evidence);
        self.learn(about, evidence, false);
        let Some(finding) = finding else { return Ok(()) };
        Ok(self.change_holder(person, |holder| holder.findings.push(finding.clone())).await?)
    }

    /// Takes what is known by now for findings on `person`: of each question only what whoever would be asked it now has said, of the
    /// kind of account that it would be asked about.
    pub(super) async fn adopt(
        &self,
        person: &Fingerprint,
        questions: &[Question<'_>],
    ) -> Result<(), UpgradeError> {
        let mut rows: Vec<_> = questions.iter().flat_map(tuples).map(RowKey::evidence).collect();
        rows.sort_unstable();
        rows.dedup();
        self.fetch_all(rows).await?;
        let now = self.now();
        let answers = |Question { entry, inquiry, .. }: &Question<'_>, finding: &Finding| {
            finding.provider == *entry.provider.name() && finding.account == checked(inquiry)
        };
        let mut found: Vec<Finding> = Vec::new();
        for question in questions {
            let evidence =
                tuples(question).filter_map(|tuple| self.store.uncontradicted(tuple, now));
            let told = evidence.filter_map(|evidence| finding(&evidence));
            found.extend(told.filter(|finding| answers(question, finding)));
        }
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

/// Under what there may be evidence on a question.
fn tuples<'a>(question: &'a Question<'_>) -> impl Iterator<Item = &'a Fingerprint> {
    std::iter::once(&question.about.tuple).chain(&question.about.others)
}

/// That a source confirmed who a person is, where evidence says so.
fn finding(evidence: &Evidence) -> Option<Finding> {
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
