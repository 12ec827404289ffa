//! From findings to a class, with every finding that counted and why each other did not.

use crate::domain::account::{Class, Source};
use crate::domain::clock::Timestamp;
use crate::domain::element::ElementSet;
use crate::domain::id::{PaymentId, ProviderName};
use crate::tier::rules::{AccountNeeded, Counts, Edition, Family};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// That a source confirmed who a person is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which source, however it was reached.
    pub source: Source,
    /// Who told it.
    pub provider: ProviderName,
    /// By the answer to which inquiry.
    pub inquiry: PaymentId,
    /// About which elements.
    pub elements: ElementSet,
    /// What bank account was checked, where one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Checked>,
    /// When.
    pub at: Timestamp,
}

/// A bank account that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checked {
    /// A credit card.
    Credit,
    /// A debit account that the bank says is of class I.
    ClassOne,
    /// A debit account of which nobody said so.
    Other,
}

impl Checked {
    const fn qualifies(self) -> bool {
        match self {
            Self::Credit | Self::ClassOne => true,
            Self::Other => false,
        }
    }
}

/// Why a finding does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// It was not there yet.
    Later,
    /// It was too old.
    Lapsed,
    /// The source is in no registry, or is no lawful channel.
    NotASource,
    /// Which member of its family it was is not known.
    NoMember,
    /// The bank account that was checked does not qualify.
    Account,
    /// Its source counted already.
    Again,
}

impl LeftOut {
    /// The word in records and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Later => "later",
            Self::Lapsed => "lapsed",
            Self::NotASource => "not_a_source",
            Self::NoMember => "no_member",
            Self::Account => "account_does_not_qualify",
            Self::Again => "source_counted_already",
        }
    }
}

/// What sources come to on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classed {
    /// The highest class that they bear, where they bear any.
    pub class: Option<Class>,
    /// What counted: each source once, with the position of its finding and until when it counts.
    pub counted: BTreeMap<Source, (usize, Option<Timestamp>)>,
    /// What did not, by position.
    pub left_out: Vec<(usize, LeftOut)>,
    /// Until when the class is borne if nothing is added; for good where absent.
    pub lapses: Option<Timestamp>,
}

impl Edition {
    /// What `findings` on a person come to at `at`; `met` where the person was met face to face by then. No higher than `most`, which is
    /// what the account was opened or upgraded for.
    pub fn classed(&self, findings: &[Finding], met: bool, most: Class, at: Timestamp) -> Classed {
        let (mut counted, mut left_out) = (BTreeMap::new(), Vec::new());
        // The one that counts for longest stands for its source.
        let mut order: Vec<_> = findings.iter().enumerate().collect();
        let until = |finding: &Finding| {
            let family = self.sources.get(finding.source.family())?;
            family.valid_for.map(|valid| finding.at.plus(valid))
        };
        order.sort_by_key(|(position, finding)| {
            let until = until(finding);
            (until.is_some(), std::cmp::Reverse(until), *position)
        });
        for (position, finding) in order {
            match self.counts_as(finding, at) {
                Ok(source) if counted.contains_key(&source) => {
                    left_out.push((position, LeftOut::Again));
                }
                Ok(source) => {
                    counted.insert(source, (position, until(finding)));
                }
                Err(why) => left_out.push((position, why)),
            }
        }
        left_out.sort_unstable_by_key(|(position, _)| *position);
        let class = self.borne(counted.len(), met, most);
        let lapses = class.and_then(|(_, needed)| first_without(&counted, needed));
        Classed { class: class.map(|(class, _)| class), counted, left_out, lapses }
    }

    /// As what `finding` counts at `at`.
    pub(super) fn counts_as(&self, finding: &Finding, at: Timestamp) -> Result<Source, LeftOut> {
        if finding.at > at {
            return Err(LeftOut::Later);
        }
        let family = finding.source.family();
        let Some(Family { counts, valid_for, account }) = self.sources.get(family) else {
            return Err(LeftOut::NotASource);
        };
        if valid_for.is_some_and(|valid| finding.at.plus(valid) <= at) {
            return Err(LeftOut::Lapsed);
        }
        match account {
            AccountNeeded::Any => (),
            AccountNeeded::ClassOneOrCredit => {
                if !finding.account.is_some_and(Checked::qualifies) {
                    return Err(LeftOut::Account);
                }
            }
        }
        match counts {
            Counts::Once => Ok(Source::new(family)),
            Counts::Each if finding.source.member().is_some() => Ok(finding.source.clone()),
            Counts::Each => Err(LeftOut::NoMember),
            Counts::Never => Err(LeftOut::NotASource),
        }
    }

    /// The highest class up to `most` that so many sources bear, and how many of them it takes.
    fn borne(&self, sources: usize, met: bool, most: Class) -> Option<(Class, usize)> {
        self.classes.iter().rev().filter(|(class, _)| **class <= most).find_map(|(class, terms)| {
            let needed = usize::try_from(terms.sources).unwrap_or(usize::MAX);
            if met && terms.face_to_face {
                Some((*class, 0))
            } else {
                (sources >= needed).then_some((*class, needed))
            }
        })
    }
}

/// When fewer than `needed` of them count; never, where so many count for good.
fn first_without(
    counted: &BTreeMap<Source, (usize, Option<Timestamp>)>,
    needed: usize,
) -> Option<Timestamp> {
    let mut ends: Vec<_> = counted.values().filter_map(|(_, until)| *until).collect();
    ends.sort_unstable();
    let for_good = counted.len().checked_sub(ends.len())?;
    let ending = needed.checked_sub(for_good).filter(|ending| *ending > 0)?;
    ends.iter().rev().nth(ending.saturating_sub(1)).copied()
}
