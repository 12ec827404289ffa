//! Why a payment was decided as it was, in words for customer service.

use crate::domain::outcome::Outcome;
use crate::policy::Effect;
use crate::store::{Hearsay, Record};
use std::fmt::Write as _;

/// A payment's story in two languages; without element values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// In English.
    pub en: String,
    /// In Chinese.
    pub zh: String,
}

/// Tells the story of `record`.
pub fn story(record: &Record) -> Story {
    let reasons: Vec<_> = record.reasons.iter().map(|reason| reason.title()).collect();
    let reasons =
        if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    let hint = record.reasons.first().map(|reason| reason.hint());
    let (en, zh) = match record.effect {
        Effect::Permit | Effect::Annotate if record.not_sent => (
            "The payment was permitted, and never sent: the channel could not be reached",
            "该笔交易已获准，但无法连接通道，未发送",
        ),
        Effect::Permit => ("The payment was forwarded to the channel", "该笔交易已转发至通道"),
        Effect::Annotate => (
            "The payment was forwarded to the channel with a remark",
            "该笔交易已转发至通道，并附有提示",
        ),
        Effect::Refuse => (
            "The payment was refused and never sent to the channel",
            "该笔交易已被拒绝，未发送至通道",
        ),
    };
    let (mut en, mut zh) = (format!("{en}{reasons}."), format!("{zh}。"));
    if let Some(evidence) = &record.verified {
        let (answer, who) = (evidence.answer.as_str(), evidence.witness.as_str());
        let _ = write!(en, " Verification by `{who}` of {}: {answer}.", evidence.elements);
        let _ = write!(zh, "鉴权渠道 {who} 的结果：{answer}。");
        if let Some(beside) = &evidence.beside {
            let (who, set) = (beside.witness.as_str(), beside.elements);
            let _ = write!(en, " Combined with that by `{who}` of {set}.");
            let _ = write!(zh, "手机号由 {who} 组合认证。");
        }
    }
    if let Some(share) = record.held_out {
        let percent = share.ratio() * 100.0;
        let _ = write!(en, " It left as one of a sample: {percent} % of such refusals do.");
        let _ = write!(zh, "该笔为抽样放行（比例 {percent}%）。");
    }
    if let Some((outcome, code, _)) = &record.outcome {
        let code = code.as_deref().unwrap_or("-");
        let (outcome_en, outcome_zh) = outcome_words(*outcome);
        let _ = write!(en, " The channel said: {outcome_en} (code {code}).");
        let _ = write!(zh, "通道返回：{outcome_zh}（代码 {code}）。");
    }
    if let Some(Hearsay { outcome, code, belief }) = &record.heard {
        let (code, belief) = (code.as_deref().unwrap_or("-"), belief.as_str());
        let (outcome_en, outcome_zh) = outcome_words(*outcome);
        let _ =
            write!(en, " A notification said: {outcome_en} ({belief}, not proved; code {code}).");
        let _ = write!(zh, "通知称：{outcome_zh}（未经验签，代码 {code}），以查询结果为准。");
    }
    if let Some(mismatch) = record.mismatch {
        let (kind, elements) = (mismatch.kind.as_str(), mismatch.elements);
        let _ = write!(en, " The halves differ: {kind}, on {elements}.");
        zh.push_str("鉴权与扣款结果不一致，以扣款结果为准。");
    }
    let no_match = matches!(record.outcome, Some((Outcome::NoMatch(_), _, _)));
    let hint = hint.or_else(|| no_match.then(|| crate::policy::Reason::NoMatch.hint()));
    if let Some(hint) = hint {
        let _ = write!(en, " {}", hint.en);
        zh.push_str(hint.zh);
    }
    Story { en, zh }
}

const fn outcome_words(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Accepted => ("accepted, the result is still to come", "已受理，结果待确认"),
        Outcome::Succeeded => ("succeeded", "成功"),
        Outcome::NoMatch(_) => ("the elements do not match", "要素不符"),
        Outcome::Declined(_) => ("declined", "已拒绝"),
        Outcome::Unknown => ("unknown, it must be queried", "状态未知，需查询"),
        Outcome::Reversed => ("reversed", "已冲正"),
        Outcome::Unmapped => ("a code that is not mapped", "未识别的返回码"),
    }
}
