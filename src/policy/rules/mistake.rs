//! Mistakes in a rule: where, what, and what was probably meant, in words for who is no programmer, in English and in Chinese.

use super::attribute::{Attribute, Holds, Kind};
use super::syntax::SOURCE_MAX;
use std::ops::Range;

/// A mistake and where it stands in the condition, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub span: Range<usize>,
    /// What.
    pub what: What,
}

impl Mistake {
    pub(super) const fn new(span: Range<usize>, what: What) -> Self {
        Self { span, what }
    }
}

/// What is wrong, and what to do, in one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// What a part of a condition comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Yes or no.
    Flag,
    /// A whole number.
    Number,
    /// Text.
    Text,
}

impl Sort {
    const fn en(self) -> &'static str {
        match self {
            Self::Flag => "yes or no",
            Self::Number => "a whole number",
            Self::Text => "text",
        }
    }

    const fn zh(self) -> &'static str {
        match self {
            Self::Flag => "是/否",
            Self::Number => "整数",
            Self::Text => "文本",
        }
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// There is no condition.
    Empty,
    /// It has so many bytes.
    TooLong(usize),
    /// Brackets nest too deep.
    TooDeep,
    /// It has too many parts, or too many that are costly.
    TooMany,
    /// The first was written, the second probably meant.
    Meant(String, String),
    /// A word in another script that is no attribute.
    NotAName(String),
    /// A text does not end.
    OpenText,
    /// A bracket has no other half.
    Unpaired(char),
    /// The condition ends too early.
    Ends,
    /// A value is missing before this.
    ValueMissing(String),
    /// An operator is missing before this.
    OperatorMissing(String),
    /// No attribute has this name.
    Unknown(String),
    /// The first half of a name.
    Half(String),
    /// No function has this name.
    NoFunction(String),
    /// A function gets other arguments; how it is written.
    Arguments(&'static str),
    /// Something of CEL that rules have not.
    Strange(String),
    /// A number that is not whole.
    NotWhole(String),
    /// It comes to the second where the first is needed.
    Wrong(Sort, Sort),
    /// A whole number was written as text.
    Quoted(String),
    /// Text was written without quotes.
    Unquoted(String),
    /// What is compared differs in sort.
    Differ(Sort, Sort),
    /// Yes or no has no order.
    NoOrder(Sort),
    /// It comes to a number or to text, and must be a condition.
    NoCondition(Sort),
    /// A payment may lack the attribute, and the rule does not ask.
    Unguarded(Attribute),
    /// No payment lacks it.
    AlwaysThere(Attribute),
    /// `has()` of something else than an attribute.
    HasOf,
    /// The attribute is never this word.
    NoSuchWord(Attribute, String),
    /// Nothing configured has this name; what there is.
    NotConfigured(Attribute, String, Vec<String>),
    /// It can only be looked for in a list.
    OnlyListed(Attribute),
    /// No list has this name; what there is.
    NoList(String, Vec<String>),
    /// The list holds something else.
    OtherList(String, Holds, Attribute),
    /// This is in no list at all.
    NeverListed,
    /// `list()` stands elsewhere than after `in`.
    LooseList,
    /// Nothing is in an empty list.
    EmptyList,
    /// It stands twice in a list.
    Twice(String),
    /// Not a window.
    Window(String),
    /// Nothing is counted by this; what is.
    NoKey(String, &'static str),
    /// Not a scenario that is counted.
    NoScenario(String),
    /// Not a regular expression.
    Pattern(String),
    /// A pattern that is made of other than a written text.
    PatternMade,
    /// It is so for no payment.
    Never,
    /// It is so for every payment.
    Always,
    /// It cannot be so together with what stands before.
    Contradicts(String),
    /// It says what stands before once more.
    Again(String),
    /// Numbers are too large.
    TooLarge,
}

impl What {
    /// In English.
    pub fn en(&self) -> Words {
        let [message, hint] = self.words_en();
        Words { message, hint }
    }

    /// In Chinese.
    pub fn zh(&self) -> Words {
        let [message, hint] = self.words_zh();
        Words { message, hint }
    }

    #[rustfmt::skip]
    fn words_en(&self) -> [String; 2] {
        let both = |message: String, hint: &str| [message, hint.to_owned()];
        match self {
            Self::Empty => both("the condition is empty".into(), "write what a payment must be, such as `payment.amount > 500000`"),
            Self::TooLong(length) => both(format!("the condition has {length} bytes"), &format!("at most {SOURCE_MAX}; what is many values belongs into a list")),
            Self::TooDeep => both("brackets nest too deep".into(), "make two rules of it"),
            Self::TooMany => both("the condition has too many parts, or too many that are costly".into(), "make two rules of it, or put values into a list"),
            Self::Meant(written, meant) => both(format!("`{written}` means nothing here"), &format!("did you mean `{meant}`?")),
            Self::NotAName(word) => both(format!("`{word}` is no name"), "names are in Latin letters; text stands in quotes"),
            Self::OpenText => both("a text begins here and does not end".into(), "close it with the same quote"),
            Self::Unpaired(bracket) => both(format!("`{bracket}` has no other half"), "each bracket that opens must close"),
            Self::Ends => both("the condition ends too early".into(), "something is missing after the last word"),
            Self::ValueMissing(next) => both(format!("a value is missing before `{next}`"), "write an attribute, a number, or a text in quotes"),
            Self::OperatorMissing(next) => both(format!("`{next}` is not expected here"), "join two conditions with `&&` (and) or `||` (or)"),
            Self::Unknown(name) => both(format!("there is no attribute `{name}`"), &near(name, false)),
            Self::Half(name) => both(format!("`{name}` alone is no attribute"), &format!("write one of {}", of(name))),
            Self::NoFunction(name) => both(format!("there is no function `{name}`"), &function(name, false)),
            Self::Arguments(form) => both("other arguments are needed here".into(), &format!("write it as `{form}`")),
            Self::Strange(what) => both(format!("rules have no `{what}`"), "they have && || ! == != < <= > >= in ?: + - *, has(), size(), startsWith(), endsWith(), contains(), matches(), list(), velocity(), mismatches(), persons()"),
            Self::NotWhole(text) => both(format!("`{text}` is not a plain whole number"), "amounts are in fen: 500.00 yuan is 50000"),
            Self::Wrong(needed, got) => both(format!("this is {}, and {} is needed", got.en(), needed.en()), "compare it, or take another attribute"),
            Self::Quoted(text) => both(format!("{text:?} is text, and the other side is a whole number"), &format!("write the number without quotes: {text}")),
            Self::Unquoted(name) => both(format!("`{name}` is no attribute, and the other side is text"), &format!("write the text in quotes: \"{name}\"")),
            Self::Differ(left, right) => both(format!("{} is compared with {}", left.en(), right.en()), "both sides must be of one sort"),
            Self::NoOrder(sort) => both(format!("{} is neither more nor less", sort.en()), "only whole numbers have an order; write == or !="),
            Self::NoCondition(sort) => both(format!("a rule must be a yes/no condition, and this is {}", sort.en()), "compare it with something"),
            Self::Unguarded(attribute) => both(format!("a payment may lack `{attribute}`"), &format!("ask first: has({attribute}) && …")),
            Self::AlwaysThere(attribute) => both(format!("every payment has `{attribute}`"), "leave has() out"),
            Self::HasOf => both("has() asks whether a payment has an attribute".into(), "write it as `has(payment.amount)`"),
            Self::NoSuchWord(attribute, word) => both(format!("`{attribute}` is never {word:?}"), &nearest(word, vocabulary(*attribute), "it is one of")),
            Self::NotConfigured(attribute, word, known) => both(format!("{word:?} is no {} of this configuration", attribute.about().en), &nearest(word, &refs(known), "there are")),
            Self::OnlyListed(attribute) => both(format!("`{attribute}` is known by its fingerprint and cannot be compared"), &format!("look for it in a list: {attribute} in list(\"…\")")),
            Self::NoList(name, known) => both(format!("there is no list {name:?}"), &nearest(name, &refs(known), "there are")),
            Self::OtherList(name, holds, attribute) => both(format!("list {name:?} holds {}s, and `{attribute}` is none", holds.as_str()), "take a list of its kind"),
            Self::NeverListed => both("this cannot be looked for in a list".into(), "lists hold card.bin, payment.merchant, card.id, person.id, phone.id and agreement.id"),
            Self::LooseList => both("a list is not a value".into(), "write it after `in`: card.bin in list(\"…\")"),
            Self::EmptyList => both("nothing is in an empty list".into(), "write its values: [\"a\", \"b\"]"),
            Self::Twice(text) => both(format!("{text} stands twice in the list"), "leave one of them out"),
            Self::Window(text) => both(format!("{text:?} is no window"), "between \"1m\" and \"30d\": a number with s, m, h or d"),
            Self::NoKey(word, keys) => both(format!("nothing is counted by {word:?}"), &format!("here it is counted by {keys}")),
            Self::NoScenario(word) => both(format!("payments of {word:?} are not counted"), "write debit, pay, withdraw, payout, bind or any"),
            Self::Pattern(why) => both(format!("not a pattern: {why}"), "a regular expression without look-around and back-references, at most 256 bytes"),
            Self::PatternMade => both("a pattern must stand here as a text".into(), "write it in quotes"),
            Self::Never => both("this is so for no payment: the rule would never fire".into(), "check the number and the sign"),
            Self::Always => both("this is so for every payment".into(), "leave it out, or check the number and the sign"),
            Self::Contradicts(attribute) => both(format!("this cannot be so together with what stands before of `{attribute}`: the rule would never fire"), "did you mean `||` (or)?"),
            Self::Again(attribute) => both(format!("what stands before of `{attribute}` says this already"), "leave one of them out"),
            Self::TooLarge => both("this number is too large".into(), "numbers are between -9223372036854775808 and 9223372036854775807"),
        }
    }

    #[rustfmt::skip]
    fn words_zh(&self) -> [String; 2] {
        let both = |message: String, hint: &str| [message, hint.to_owned()];
        match self {
            Self::Empty => both("条件为空".into(), "请写明交易须满足的条件，例如 `payment.amount > 500000`"),
            Self::TooLong(length) => both(format!("条件共 {length} 字节，过长"), &format!("最多 {SOURCE_MAX} 字节；取值较多时请放入名单")),
            Self::TooDeep => both("括号嵌套过深".into(), "请拆成两条规则"),
            Self::TooMany => both("条件的组成部分过多，或代价高的部分过多".into(), "请拆成两条规则，或把取值放入名单"),
            Self::Meant(written, meant) => both(format!("此处不能写 `{written}`"), &format!("是否想写 `{meant}`？")),
            Self::NotAName(word) => both(format!("`{word}` 不是属性名"), "属性名用英文字母，文本须加引号"),
            Self::OpenText => both("文本由此开始，但没有结束".into(), "请用同样的引号结束"),
            Self::Unpaired(bracket) => both(format!("`{bracket}` 没有配对"), "每个括号都要成对"),
            Self::Ends => both("条件没有写完".into(), "最后一个词之后缺少内容"),
            Self::ValueMissing(next) => both(format!("`{next}` 之前缺少取值"), "请写属性名、数字或带引号的文本"),
            Self::OperatorMissing(next) => both(format!("此处不应出现 `{next}`"), "两个条件用 `&&`（并且）或 `||`（或者）连接"),
            Self::Unknown(name) => both(format!("没有属性 `{name}`"), &near(name, true)),
            Self::Half(name) => both(format!("`{name}` 不是完整的属性名"), &format!("请写其中之一：{}", of(name))),
            Self::NoFunction(name) => both(format!("没有函数 `{name}`"), &function(name, true)),
            Self::Arguments(form) => both("参数不对".into(), &format!("请写成 `{form}`")),
            Self::Strange(what) => both(format!("规则不支持 `{what}`"), "支持 && || ! == != < <= > >= in ?: + - *、has()、size()、startsWith()、endsWith()、contains()、matches()、list()、velocity()、mismatches()、persons()"),
            Self::NotWhole(text) => both(format!("`{text}` 不是整数"), "金额以分为单位：500.00 元写作 50000"),
            Self::Wrong(needed, got) => both(format!("此处是{}，需要{}", got.zh(), needed.zh()), "请作比较，或换一个属性"),
            Self::Quoted(text) => both(format!("{text:?} 是文本，另一边是整数"), &format!("数字不加引号：{text}")),
            Self::Unquoted(name) => both(format!("`{name}` 不是属性名，另一边是文本"), &format!("文本须加引号：\"{name}\"")),
            Self::Differ(left, right) => both(format!("{}与{}无法比较", left.zh(), right.zh()), "两边须为同一类型"),
            Self::NoOrder(sort) => both(format!("{}没有大小之分", sort.zh()), "只有整数可比大小；请用 == 或 !="),
            Self::NoCondition(sort) => both(format!("规则须为是/否条件，此处是{}", sort.zh()), "请与某个值作比较"),
            Self::Unguarded(attribute) => both(format!("交易可能没有 `{attribute}`（{}）", attribute.about().zh), &format!("请先判断：has({attribute}) && …")),
            Self::AlwaysThere(attribute) => both(format!("每笔交易都有 `{attribute}`（{}）", attribute.about().zh), "请去掉 has()"),
            Self::HasOf => both("has() 用于判断交易是否有某个属性".into(), "请写成 `has(payment.amount)`"),
            Self::NoSuchWord(attribute, word) => both(format!("`{attribute}`（{}）不会是 {word:?}", attribute.about().zh), &nearest_zh(word, vocabulary(*attribute))),
            Self::NotConfigured(attribute, word, known) => both(format!("配置中没有{} {word:?}", attribute.about().zh), &nearest_zh(word, &refs(known))),
            Self::OnlyListed(attribute) => both(format!("`{attribute}`（{}）只以指纹保存，不能比较", attribute.about().zh), &format!("请在名单中查找：{attribute} in list(\"…\")")),
            Self::NoList(name, known) => both(format!("没有名单 {name:?}"), &nearest_zh(name, &refs(known))),
            Self::OtherList(name, holds, attribute) => both(format!("名单 {name:?} 的种类是 {}，与 `{attribute}` 不符", holds.as_str()), "请用同种类的名单"),
            Self::NeverListed => both("此项不能在名单中查找".into(), "名单可含 card.bin、payment.merchant、card.id、person.id、phone.id、agreement.id"),
            Self::LooseList => both("名单不是取值".into(), "请写在 `in` 之后：card.bin in list(\"…\")"),
            Self::EmptyList => both("列表为空".into(), "请写出取值：[\"a\", \"b\"]"),
            Self::Twice(text) => both(format!("列表中 {text} 重复"), "请去掉一个"),
            Self::Window(text) => both(format!("{text:?} 不是时间窗"), "范围 \"1m\" 至 \"30d\"：数字加 s、m、h 或 d"),
            Self::NoKey(word, keys) => both(format!("不能按 {word:?} 计数"), &format!("此处可按：{keys}")),
            Self::NoScenario(word) => both(format!("不统计场景 {word:?}"), "请写 debit、pay、withdraw、payout、bind 或 any"),
            Self::Pattern(why) => both(format!("正则表达式有误：{why}"), "不支持环视与反向引用，最多 256 字节"),
            Self::PatternMade => both("正则表达式须直接写出".into(), "请写成带引号的文本"),
            Self::Never => both("没有交易会满足此条件：规则永远不会命中".into(), "请检查数字与符号"),
            Self::Always => both("所有交易都满足此条件".into(), "请去掉，或检查数字与符号"),
            Self::Contradicts(attribute) => both(format!("与前面对 `{attribute}` 的条件矛盾：规则永远不会命中"), "是否想写 `||`（或者）？"),
            Self::Again(attribute) => both(format!("前面对 `{attribute}` 的条件已包含此条件"), "请去掉一个"),
            Self::TooLarge => both("数字过大".into(), "范围 -9223372036854775808 至 9223372036854775807"),
        }
    }
}

const fn vocabulary(attribute: Attribute) -> &'static [&'static str] {
    match attribute.about().kind {
        Kind::Text(words) => words,
        Kind::Number(..) | Kind::Flag | Kind::Print => &[],
    }
}

/// The word of `known` that was probably meant.
fn guess<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |known: &&str| strsim::damerau_levenshtein(word, known);
    let nearest = known.into_iter().map(|known| (distance(&known), known)).min();
    let close = |(distance, known): &(usize, &str)| *distance <= known.len().max(word.len()) / 3;
    nearest.filter(close).map(|(_, known)| known)
}

fn refs(known: &[String]) -> Vec<&str> {
    known.iter().map(String::as_str).collect()
}

fn nearest(word: &str, known: &[&str], all: &str) -> String {
    let meant = guess(word, known.iter().copied());
    let meant = meant.map(|meant| format!("did you mean \"{meant}\"? ")).unwrap_or_default();
    let list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("{meant}{all} {list}")
}

fn nearest_zh(word: &str, known: &[&str]) -> String {
    let meant = guess(word, known.iter().copied());
    let meant = meant.map(|meant| format!("是否想写 \"{meant}\"？")).unwrap_or_default();
    let list = if known.is_empty() { "（无）".to_owned() } else { known.join("、") };
    format!("{meant}可用：{list}")
}

/// The attribute that was probably meant by `name`, whole or by its last half, else where to look.
fn near(name: &str, zh: bool) -> String {
    let names = Attribute::ALL.into_iter().map(Attribute::name);
    let last = |name: &'static str| name.rsplit('.').next().unwrap_or(name);
    let half = name.rsplit('.').next().unwrap_or(name);
    let by_half = guess(half, names.clone().map(last));
    let whole = guess(name, names.clone());
    let meant =
        whole.or_else(|| by_half.and_then(|half| names.clone().find(|name| last(name) == half)));
    match meant.and_then(Attribute::from_name).map(|meant| (meant, meant.about())) {
        Some((meant, about)) if zh => format!("是否想写 {meant}（{}）？", about.zh),
        Some((meant, about)) => format!("did you mean {meant} ({})?", about.en),
        None => {
            let all: Vec<&str> = names.collect();
            let (before, between) = if zh { ("可用：", "、") } else { ("there are ", ", ") };
            format!("{before}{}", all.join(between))
        }
    }
}

/// The attributes whose name begins with `half`.
fn of(half: &str) -> String {
    let names = Attribute::ALL.into_iter().map(Attribute::name);
    let of = |name: &&str| name.split('.').next() == Some(half);
    names.filter(of).collect::<Vec<_>>().join(", ")
}

/// The functions of rules.
const FUNCTIONS: [&str; 10] = [
    "has",
    "size",
    "startsWith",
    "endsWith",
    "contains",
    "matches",
    "list",
    "velocity",
    "mismatches",
    "persons",
];

fn function(name: &str, zh: bool) -> String {
    if zh { nearest_zh(name, &FUNCTIONS) } else { nearest(name, &FUNCTIONS, "there are") }
}
