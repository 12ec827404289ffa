//! The auditor of account classes: from the providers' books and a small table of the rules alone, which class each upgrade must have
//! reached, by which sources and at what cost, and whether Hefu says so.
//!
//! **The rules** (PBOC Announcement 2015 No. 43, Article 11, as the demonstration has them): class III takes five sources. The police and
//! the operators are one source each, whoever asked them. A bank is one, whichever of its cards was checked and by whom, where the card is
//! a credit card or the question was about an account of class I.
//!
//! **Cost** is what the providers' books bill. What an answer leaves open, or no answer tells, may be billed, and is told apart.
//!
//! **Who gives up** is right where what is confirmed and what may still be asked are fewer sources than it takes: then nobody is asked any
//! more, and it is told how many are beyond reach.
//!
//! **The cheapest plan** is known in advance where every question is confirmed: the five sources that are to be had for the least.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::AtProvider;
use crate::sim::{
    deployment::price,
    upgrades::Told,
    world::{World, bank_of, is_credit},
};

/// How many sources class III takes.
const NEEDED: usize = 5;

/// How many of those upgrades are named that are not as they must be.
const NAMED_MAX: usize = 10;

/// Whose word a provider's product is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Police,
    Operator,
    /// The bank of the card, whichever kind of card.
    Bank,
    /// The bank of the card, which said that the account is of class I.
    Level,
}

/// Whose word each product is, and in how many ways it can be asked: with the phone, and without.
const PRODUCTS: [(&str, Word, usize); 7] = [
    ("tencent-identity", Word::Police, 1),
    ("operator3", Word::Operator, 1),
    ("operator-detail", Word::Operator, 1),
    ("tencent", Word::Bank, 1),
    ("aliyun", Word::Bank, 2),
    ("unionpay72", Word::Bank, 2),
    ("cpcn", Word::Level, 1),
];

/// The answer to a question about the level where that is another, or something does not match: which, it does not say.
const OTHER_LEVEL: (&str, &str) = ("cpcn", "30");

/// What is true of upgrades, and what Hefu told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upgrades {
    /// How many were asked for.
    pub asked: u64,
    /// How many must have reached the class, and how many are told to have.
    pub reached: (u64, u64),
    /// How many sources must have counted, and how many are told to.
    pub sources: (u64, u64),
    /// What it cost for certain by the providers' books, and by what is told, in fen.
    pub cost_fen: (u64, u64),
    /// The same of what may be billed besides.
    pub uncertain_fen: (u64, u64),
    /// How many went as planned at the start, every question confirmed.
    pub as_planned: u64,
    /// How many are not told as they must be.
    pub differing: u64,
    /// What differs, of a few.
    pub named: Vec<String>,
}

/// What must have come of one upgrade.
#[derive(Clone, Debug, Default)]
struct Truth {
    sources: BTreeSet<String>,
    /// How many questions were answered for each source.
    answered: BTreeMap<String, usize>,
    cost_fen: u64,
    uncertain_fen: u64,
    /// Whether each question was confirmed.
    confirmed: bool,
}

/// Reads the books.
pub(in crate::sim) fn upgrades(world: &World, books: &[AtProvider], told: &[Told]) -> Upgrades {
    let mut by_person: HashMap<&str, Vec<&AtProvider>> = HashMap::new();
    for at in books.iter().filter(|at| at.authentic) {
        if let Some(id_number) = at.tuple.id_number.as_deref() {
            by_person.entry(id_number).or_default().push(at);
        }
    }
    let mut all = Upgrades::default();
    for told in told {
        let Some(applicant) = world.applicants.get(told.applicant) else { continue };
        let of = applicant.told.id_number.as_deref().unwrap_or_default();
        let truth = truth(by_person.get(of).map_or(&[][..], Vec::as_slice));
        let to_be_had = to_be_had(&world.cards_of(applicant));
        all.count(&truth, told, &differing(&truth, told, &to_be_had));
    }
    all
}

impl Upgrades {
    fn count(&mut self, truth: &Truth, told: &Told, differing: &[String]) {
        let add = |(sum, other): &mut (u64, u64), (of, by): (u64, u64)| {
            *sum = sum.saturating_add(of);
            *other = other.saturating_add(by);
        };
        let is_reached = u64::from(truth.sources.len() >= NEEDED);
        self.asked += 1;
        add(&mut self.reached, (is_reached, u64::from(told.class.as_deref() == Some("III"))));
        add(&mut self.sources, (size(&truth.sources), size(&told.sources)));
        let certain = told.cost_fen.saturating_sub(told.uncertain_fen);
        add(&mut self.cost_fen, (truth.cost_fen, certain));
        add(&mut self.uncertain_fen, (truth.uncertain_fen, told.uncertain_fen));
        self.as_planned += u64::from(truth.confirmed && is_reached > 0);
        self.differing += u64::from(!differing.is_empty());
        if !differing.is_empty() && self.named.len() < NAMED_MAX {
            self.named.push(format!("{}: {}", told.account, differing.join("; ")));
        }
    }
}

fn size(set: &BTreeSet<String>) -> u64 {
    u64::try_from(set.len()).unwrap_or(u64::MAX)
}

/// The source behind a question, where it is one.
fn source(product: &str, pan: Option<&str>) -> Option<String> {
    let (_, word, _) = PRODUCTS.iter().find(|(name, ..)| *name == product)?;
    match word {
        Word::Police => Some("police".to_owned()),
        Word::Operator => Some("operator".to_owned()),
        Word::Bank | Word::Level => {
            let pan = pan.filter(|pan| *word == Word::Level || is_credit(pan))?;
            Some(format!("bank:{}", bank_of(pan)?))
        }
    }
}

/// What the books come to.
fn truth(of_person: &[&AtProvider]) -> Truth {
    let mut truth = Truth { confirmed: true, ..Truth::default() };
    for at in of_person {
        let source = source(at.product, at.tuple.pan.as_deref());
        let confirmed = at.matched && (at.product, at.answer.as_str()) != OTHER_LEVEL;
        truth.confirmed &= confirmed;
        let price = price(at.product);
        if at.unsaid {
            truth.uncertain_fen = truth.uncertain_fen.saturating_add(price);
        } else if at.billable {
            truth.cost_fen = truth.cost_fen.saturating_add(price);
        }
        if let Some(source) = source {
            *truth.answered.entry(source.clone()).or_default() += usize::from(!at.failed);
            truth.sources.extend(Some(source).filter(|_| confirmed));
        }
    }
    truth
}

/// The sources that are to be had for somebody with these cards: the least that each costs, and in how many ways it can be asked.
fn to_be_had(pans: &[String]) -> BTreeMap<String, (u64, usize)> {
    let mut ways = BTreeMap::new();
    let without_card = std::iter::once(None);
    for pan in without_card.chain(pans.iter().map(|pan| Some(pan.as_str()))) {
        // Who tells the level is asked about debit cards only.
        let takes = |word: Word| match (word, pan) {
            (Word::Police | Word::Operator, pan) => pan.is_none(),
            (Word::Bank, pan) => pan.is_some(),
            (Word::Level, pan) => pan.is_some_and(|pan| !is_credit(pan)),
        };
        for (product, _, count) in PRODUCTS.iter().filter(|(_, word, _)| takes(*word)) {
            if let Some(source) = source(product, pan) {
                let (least, all) = ways.entry(source).or_insert((u64::MAX, 0));
                (*least, *all) = (price(product).min(*least), *all + count);
            }
        }
    }
    ways
}

/// What Hefu told otherwise than it must be.
fn differing(
    truth: &Truth,
    told: &Told,
    to_be_had: &BTreeMap<String, (u64, usize)>,
) -> Vec<String> {
    let mut differing = Vec::new();
    let mut hold = |holds: bool, what: String| {
        if !holds {
            differing.push(what);
        }
    };
    if let Some(status) = told.refused {
        return vec![format!("answered with {status}")];
    }
    let (have, class) = (truth.sources.len(), told.class.as_deref());
    let (missing, reached) = (NEEDED.saturating_sub(have), have >= NEEDED);
    hold(class == reached.then_some("III"), format!("class {class:?} by {have} sources"));
    let progress = told.progress.as_str();
    let is_end = if reached {
        progress == "reached"
    } else {
        ["out_of_reach", "stalled"].contains(&progress)
    };
    hold(is_end, format!("{progress} with {have} sources"));
    // Those of which somebody may still be asked.
    let is_open = |(source, (_, ways)): &(&String, &(u64, usize))| {
        !truth.sources.contains(*source) && truth.answered.get(*source).is_none_or(|it| it < ways)
    };
    let beyond = missing.saturating_sub(to_be_had.iter().filter(is_open).count());
    let told_missing = usize::try_from(told.missing).unwrap_or(usize::MAX);
    let is_missing = match progress {
        "reached" => told_missing == 0,
        "out_of_reach" => told_missing == beyond && beyond > 0,
        // Some are withheld for want of attempts, of which the books know nothing.
        _ => (beyond.max(1)..=missing).contains(&told_missing),
    };
    hold(is_missing, format!("{progress} with {told_missing} missing, {beyond} to {missing} are"));
    hold(truth.sources == told.sources, format!("by {:?}, not {:?}", told.sources, truth.sources));
    let (cost, perhaps) = (told.cost_fen.saturating_sub(told.uncertain_fen), told.uncertain_fen);
    hold(
        (cost, perhaps) == (truth.cost_fen, truth.uncertain_fen),
        format!(
            "{cost} fen and perhaps {perhaps}, not {} and {}",
            truth.cost_fen, truth.uncertain_fen
        ),
    );
    if truth.confirmed && to_be_had.len() >= NEEDED {
        let mut prices: Vec<u64> = to_be_had.values().map(|(least, _)| *least).collect();
        prices.sort_unstable();
        let least: u64 = prices.into_iter().take(NEEDED).sum();
        hold(cost == least, format!("{cost} fen, to be had for {least}"));
    }
    differing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::world::Tuple;

    const CREDIT: &str = "6288010000000000";

    /// Products that were asked about somebody with one credit card and four debit cards: `+` confirmed, `-` not, `?` without an answer.
    fn books(asked: &str) -> Vec<AtProvider> {
        let at = |word: &str| {
            let (name, came_to) = word.split_at(word.len() - 1);
            let (product, pan) = name.split_once(':').unwrap_or((name, ""));
            let (product, ..) = PRODUCTS.iter().find(|(known, ..)| *known == product).unwrap();
            AtProvider {
                product,
                authentic: true,
                tuple: Tuple { pan: (!pan.is_empty()).then(|| pan.to_owned()), ..Tuple::default() },
                matched: came_to == "+",
                billable: came_to != "?",
                failed: came_to == "?",
                unsaid: came_to == "?",
                ..AtProvider::default()
            }
        };
        asked.split_whitespace().map(at).collect()
    }

    fn check(asked: &str, told: Told, expected: &[&str]) {
        let books = books(asked);
        let truth = truth(&books.iter().collect::<Vec<_>>());
        let pans = [CREDIT, "629902", "629903", "629904", "629906"].map(str::to_owned);
        assert_eq!(differing(&truth, &told, &to_be_had(&pans)), expected, "{asked}");
    }

    fn told(class: Option<&str>, sources: &str, cost_fen: u64) -> Told {
        let sources: BTreeSet<_> = sources.split_whitespace().map(str::to_owned).collect();
        let missing = u64::try_from(NEEDED.saturating_sub(sources.len())).unwrap();
        let progress = if missing == 0 { "reached" } else { "stalled" }.to_owned();
        let class = class.map(str::to_owned);
        Told { class, sources, progress, missing, cost_fen, ..Told::default() }
    }

    #[test]
    fn each_word_counts_for_whose_it_is() {
        let start = "tencent-identity+ operator3+ aliyun:628801+ cpcn:629902+";
        let four = "police operator bank:HARBOUR bank:DELTA";
        check(
            &format!("{start} cpcn:629903+"),
            told(Some("III"), &format!("{four} bank:ORCHARD"), 300),
            &[],
        );
        check(start, told(None, four, 200), &["200 fen, to be had for 300"]);
        // The same operator by another road, another card of the same bank, a card of nobody knows whom: nothing is added.
        for other in ["operator-detail+", "cpcn:629901+", "cpcn:629906+", "tencent:629903+"] {
            let books = books(&format!("{start} {other}"));
            assert_eq!(truth(&books.iter().collect::<Vec<_>>()).sources.len(), 4, "{other}");
        }
        let five = format!("{four} operator:ctcc");
        check(
            &format!("{start} operator-detail+ cpcn:629904-"),
            told(Some("III"), &five, 335),
            &[
                "class Some(\"III\") by 4 sources",
                "reached with 4 sources",
                "by {\"bank:DELTA\", \"bank:HARBOUR\", \"operator\", \"operator:ctcc\", \"police\"}, not {\"bank:DELTA\", \"bank:HARBOUR\", \"operator\", \"police\"}",
            ],
        );
    }

    #[test]
    fn what_is_open_is_told_apart_and_nobody_gives_up_early() {
        let asked = "tencent-identity+ operator3? operator-detail+";
        let of =
            |cost, uncertain_fen| Told { uncertain_fen, ..told(None, "police operator", cost) };
        check(asked, of(85, 20), &[]);
        check(asked, of(65, 0), &["65 fen and perhaps 0, not 65 and 20"]);
        check(asked, of(75, 20), &["55 fen and perhaps 20, not 65 and 20"]);
        // Four banks are left of which nobody was asked: it is not out of reach.
        let over = Told { progress: "out_of_reach".to_owned(), ..of(85, 20) };
        check(asked, over, &["out_of_reach with 3 missing, 0 to 3 are"]);
        check("", Told { refused: Some(503), ..Told::default() }, &["answered with 503"]);
    }
}
