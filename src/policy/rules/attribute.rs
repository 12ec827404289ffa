//! The catalogue: every attribute that a rule may read, in one table. Type checks, messages, documents and examples follow it.

use crate::domain::payment::Scenario;
use std::fmt;

/// What an attribute is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text; one of these words, or any where there are none.
    Text(&'static [&'static str]),
    /// A whole number between these, both included.
    Number(i64, i64),
    /// Yes or no.
    Flag,
    /// Who or what it is, known by a fingerprint or a name that is not shown: it can only be looked for in a list.
    Print,
}

/// What a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holds {
    /// What card numbers begin with, six digits.
    Bins,
    /// The core's merchants.
    Merchants,
    /// Agreements, as their channel names them.
    Agreements,
    /// Cards, by fingerprint.
    Cards,
    /// Persons, by fingerprint.
    Persons,
    /// Phone numbers, by fingerprint.
    Phones,
}

impl Holds {
    /// Every kind of list.
    pub const ALL: [Self; 6] =
        [Self::Bins, Self::Merchants, Self::Agreements, Self::Cards, Self::Persons, Self::Phones];

    /// The word used in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bins => "bin",
            Self::Merchants => "merchant",
            Self::Agreements => "agreement",
            Self::Cards => "card",
            Self::Persons => "person",
            Self::Phones => "phone",
        }
    }

    /// Reads the configuration word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|holds| holds.as_str() == word)
    }

    /// Whether its members are kept as fingerprints.
    pub const fn is_fingerprinted(self) -> bool {
        match self {
            Self::Bins | Self::Merchants | Self::Agreements => false,
            Self::Cards | Self::Persons | Self::Phones => true,
        }
    }
}

/// What is known of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name in rules.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Whether a payment may lack it, so that a rule must ask with `has()` first.
    pub nullable: bool,
    /// The lists that it may be looked for in.
    pub list: Option<Holds>,
    /// What reading it takes of what a condition may cost, beyond that of any part: something where it is worked out for rules alone.
    pub cost: usize,
    /// What it is called, and in what it is counted.
    pub en: &'static str,
    /// The same in Chinese.
    pub zh: &'static str,
}

/// An attribute of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// What the message is for.
    Scenario,
    /// The channel.
    Channel,
    /// The core's merchant.
    Merchant,
    /// The amount in fen.
    Amount,
    /// Minutes since midnight in China.
    Minute,
    /// The hour in China.
    Hour,
    /// The day of the week in China, Monday being 1.
    Weekday,
    /// Whether the core told the elements beside the message.
    Asserted,
    /// Whether a hold stands.
    Held,
    /// Whether it is a row of a batch.
    Batch,
    /// The first six digits of the card.
    Bin,
    /// What kind of account it is.
    CardKind,
    /// Which card.
    Card,
    /// Which person.
    Person,
    /// Which phone number.
    Phone,
    /// Which agreement.
    Agreement,
    /// How the agreement stands.
    Standing,
    /// What verification said.
    Answer,
    /// How old that is.
    Age,
    /// Who said it.
    Provider,
    /// Through which house.
    Road,
    /// Whether two sources vouch together.
    Combined,
    /// How often this channel and bank bear out what this provider says.
    Concordance,
    /// The bank, as the risk team names it.
    BankName,
    /// The class of the account whose balance is to fund it.
    AccountClass,
    /// What may still be paid so from that account.
    AccountLeft,
    /// Which limit that is.
    AccountLimit,
    /// Whether that account was one too many of its holder.
    SecondAccount,
    /// Whether it was one too many of class III.
    SecondClassThree,
    /// Whether its phone number was other persons' too.
    SharedPhone,
    /// How many accounts the person has open.
    PersonAccounts,
}

/// The scenarios that policy, and so a rule, judges.
pub const JUDGED: [Scenario; 5] =
    [Scenario::Debit, Scenario::Pay, Scenario::Withdraw, Scenario::Payout, Scenario::Bind];
const SCENARIOS: &[&str] = &["debit", "pay", "withdraw", "payout", "bind"];
const KINDS: &[&str] = &["debit", "credit", "passbook", "corporate"];
const STANDINGS: &[&str] = &["good", "contradicted", "closed", "unknown"];
const ANSWERS: &[&str] = &[
    "match",
    "close_match",
    "no_match",
    "no_record",
    "not_possible",
    "limited",
    "invalid",
    "unavailable",
];
const CLASSES: &[&str] = &["I", "II", "III"];
const LIMITS: &[&str] = &["no_class", "purpose", "lifetime_limit", "yearly_limit", "daily_limit"];
const ANY: Kind = Kind::Text(&[]);
const AMOUNTS: Kind = Kind::Number(0, i64::MAX);

impl Attribute {
    /// How many there are.
    pub const COUNT: usize = 31;
    /// Every attribute, in the order of the catalogue.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Scenario,
        Self::Channel,
        Self::Merchant,
        Self::Amount,
        Self::Minute,
        Self::Hour,
        Self::Weekday,
        Self::Asserted,
        Self::Held,
        Self::Batch,
        Self::Bin,
        Self::CardKind,
        Self::Card,
        Self::Person,
        Self::Phone,
        Self::Agreement,
        Self::Standing,
        Self::Answer,
        Self::Age,
        Self::Provider,
        Self::Road,
        Self::Combined,
        Self::Concordance,
        Self::BankName,
        Self::AccountClass,
        Self::AccountLeft,
        Self::AccountLimit,
        Self::SecondAccount,
        Self::SecondClassThree,
        Self::SharedPhone,
        Self::PersonAccounts,
    ];

    /// The table.
    #[rustfmt::skip]
    pub const fn about(self) -> About {
        match self {
            Self::Scenario => known("payment.scenario", Kind::Text(SCENARIOS), "scenario", "场景"),
            Self::Channel => known("payment.channel", ANY, "channel", "扣款通道"),
            Self::Merchant => listed("payment.merchant", ANY, Holds::Merchants, "merchant", "商户"),
            Self::Amount => maybe("payment.amount", AMOUNTS, "amount in fen", "金额（分）"),
            Self::Minute => known("payment.minute", Kind::Number(0, 1439), "minutes since midnight in China", "当日分钟数（北京时间）"),
            Self::Hour => known("payment.hour", Kind::Number(0, 23), "hour in China, 0 to 23", "小时（北京时间，0 至 23）"),
            Self::Weekday => known("payment.weekday", Kind::Number(1, 7), "day of the week, Monday is 1", "星期（周一为 1）"),
            Self::Asserted => known("payment.asserted", Kind::Flag, "elements were told beside the message", "要素由核心另行提供"),
            Self::Held => known("payment.held", Kind::Flag, "a hold stands", "冻结待核"),
            Self::Batch => known("payment.batch", Kind::Flag, "a row of a batch", "批量明细"),
            Self::Bin => listed("card.bin", ANY, Holds::Bins, "first six digits of the card", "卡号前六位"),
            Self::CardKind => maybe("card.kind", Kind::Text(KINDS), "kind of account", "账户种类"),
            Self::Card => listed("card.id", Kind::Print, Holds::Cards, "the card", "卡"),
            Self::Person => listed("person.id", Kind::Print, Holds::Persons, "the person", "人"),
            Self::Phone => costing(5, listed("phone.id", Kind::Print, Holds::Phones, "the phone number", "手机号")),
            Self::Agreement => listed("agreement.id", Kind::Print, Holds::Agreements, "the agreement", "协议号"),
            Self::Standing => maybe("agreement.standing", Kind::Text(STANDINGS), "standing of the agreement", "协议状态"),
            Self::Answer => maybe("verification.answer", Kind::Text(ANSWERS), "answer of verification", "鉴权结果"),
            Self::Age => maybe("verification.age", AMOUNTS, "age of the answer in seconds", "鉴权结果的时效（秒）"),
            Self::Provider => maybe("verification.provider", ANY, "provider that answered", "鉴权渠道"),
            Self::Road => maybe("verification.road", ANY, "road of the answer", "鉴权通路"),
            Self::Combined => known("verification.combined", Kind::Flag, "two sources vouch together", "组合认证"),
            Self::Concordance => costing(20, maybe("verification.concordance", Kind::Number(0, 1000), "of a thousand such answers, how many this channel and bank bear out", "一致率（千分比）")),
            Self::BankName => maybe("card.bank", ANY, "bank, by `[[bank]]` in rules", "发卡行"),
            Self::AccountClass => costing(20, maybe("account.class", Kind::Text(CLASSES), "class of the account that funds it", "账户分类")),
            Self::AccountLeft => costing(20, maybe("account.left", AMOUNTS, "what may still be paid so from the account, in fen", "账户剩余限额（分）")),
            Self::AccountLimit => costing(20, maybe("account.limit", Kind::Text(LIMITS), "limit that leaves the least", "账户限额种类")),
            Self::SecondAccount => costing(20, maybe("account.second_account", Kind::Flag, "the account was one too many of its holder", "同一人多开账户")),
            Self::SecondClassThree => costing(20, maybe("account.second_class_three", Kind::Flag, "the account was one too many of class III", "同一人多个Ⅲ类账户")),
            Self::SharedPhone => costing(20, maybe("account.shared_phone", Kind::Flag, "the account's phone number was other persons' too", "账户手机号多人共用")),
            Self::PersonAccounts => costing(20, maybe("person.accounts", Kind::Number(0, 100), "how many accounts the person has open", "本人账户数")),
        }
    }

    /// Its name in rules.
    pub const fn name(self) -> &'static str {
        self.about().name
    }

    /// Reads its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.name() == name)
    }

    /// Its place in the table.
    #[expect(clippy::as_conversions, reason = "the discriminant of an enum without fields")]
    pub(super) const fn slot(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const fn known(name: &'static str, kind: Kind, en: &'static str, zh: &'static str) -> About {
    About { name, kind, nullable: false, list: None, cost: 0, en, zh }
}

const fn costing(cost: usize, about: About) -> About {
    About { cost, ..about }
}

const fn maybe(name: &'static str, kind: Kind, en: &'static str, zh: &'static str) -> About {
    About { nullable: true, ..known(name, kind, en, zh) }
}

const fn listed(
    name: &'static str,
    kind: Kind,
    list: Holds,
    en: &'static str,
    zh: &'static str,
) -> About {
    About { list: Some(list), ..maybe(name, kind, en, zh) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::Class;
    use crate::domain::answer::Answer;
    use crate::domain::pan::AccountKind;

    #[test]
    fn the_table_is_in_order_and_knows_the_words_of_the_domain() {
        for (slot, attribute) in Attribute::ALL.into_iter().enumerate() {
            assert_eq!(attribute.slot(), slot, "{attribute}");
            assert_eq!(Attribute::from_name(attribute.name()), Some(attribute));
        }
        assert_eq!(JUDGED.map(Scenario::as_str), SCENARIOS);
        let judged = Scenario::ALL.into_iter().filter(|scenario| scenario.is_verified());
        assert_eq!(judged.count(), JUDGED.len());
        assert_eq!(AccountKind::ALL.map(AccountKind::as_str), KINDS);
        assert_eq!(Class::ALL.map(Class::as_str), CLASSES);
        assert!(ANSWERS.iter().all(|word| Answer::from_word(word).is_some()));
    }
}
