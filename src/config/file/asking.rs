//! The tables of `policy.toml` that say who is asked, how often, about what, and for how much.

use super::Time;
use crate::config::read::At;
use crate::config::text::Text;
use crate::domain::element::Element;
use crate::domain::payment::Scenario;
use schemars::JsonSchema;
use serde::Deserialize;

/// `[[package]]`: what is required of some payments of a scenario; the first that takes one counts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct PackageFile {
    /// The scenario.
    #[schemars(required)]
    pub(in crate::config) scenario: Option<At<Text<Scenario>>>,
    /// For these merchants; for any where absent.
    pub(in crate::config) merchants: Vec<String>,
    /// From this amount on, in fen.
    pub(in crate::config) from_fen: Option<u64>,
    /// The elements without which a message cannot be verified.
    #[schemars(required)]
    pub(in crate::config) required: Option<At<Vec<At<Text<Element>>>>>,
}

/// `[inquiry]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct InquiryFile {
    /// How long a payment waits for all providers together.
    pub(in crate::config) deadline: Option<Time>,
    /// How long a batch waits for all its rows together.
    pub(in crate::config) batch_deadline: Option<Time>,
    /// How many of a hundred questions may be put to another provider because one failed.
    pub(in crate::config) retries_percent: Option<At<u32>>,
}

/// `[evidence.source.NAME]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct BelievedFile {
    /// `match`
    #[serde(rename = "match")]
    pub(in crate::config) matched: Option<Time>,
    /// `close_match`
    pub(in crate::config) close_match: Option<Time>,
    /// `no_match`
    pub(in crate::config) no_match: Option<Time>,
    /// `no_record`
    pub(in crate::config) no_record: Option<Time>,
    /// `not_possible`
    pub(in crate::config) not_possible: Option<Time>,
    /// `limited`
    pub(in crate::config) limited: Option<Time>,
    /// `invalid`
    pub(in crate::config) invalid: Option<Time>,
}

/// `[[combination]]`: where the bank does not know the phone and the channel does not check it, the operator may vouch for it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct CombinationFile {
    /// For these merchants, as the channel's messages name them.
    #[schemars(required)]
    pub(in crate::config) merchants: Option<At<Vec<String>>>,
    /// In these scenarios.
    #[schemars(required)]
    pub(in crate::config) scenarios: Option<At<Vec<At<Text<Scenario>>>>>,
}

/// `[attempts]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct AttemptsFile {
    /// How often may be asked about one card at one source within a day of China's calendar, whoever asks there.
    pub(in crate::config) card_per_day: Option<At<u32>>,
    /// With a wrong answer, one after the other.
    pub(in crate::config) card_wrong: Option<At<u32>>,
    /// How often may be asked about one person.
    pub(in crate::config) person_per_day: Option<At<u32>>,
    /// With a wrong answer, one after the other.
    pub(in crate::config) person_wrong: Option<At<u32>>,
    /// How many of each one merchant leaves to the others, so that it cannot lock a card of whom it knows the number. All clients of the verification service together are one.
    pub(in crate::config) left_to_others: Option<At<u32>>,
    /// How long a wrong answer counts where no match ends the count.
    pub(in crate::config) wrong_for: Option<Time>,
    /// How long nobody is asked at a source that said that it was asked too often.
    pub(in crate::config) limited_for: Option<Time>,
}

/// `[spend]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct SpendFile {
    /// What may be spent on inquiries for one merchant within a day of China's calendar; without bounds where absent.
    pub(in crate::config) merchant_fen_per_day: Option<u64>,
}

/// `[observe]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ObserveFile {
    /// Of how many of a hundred payments without evidence providers are asked, once the channel has answered.
    pub(in crate::config) sample_percent: Option<At<u32>>,
    /// What may be spent on them within a day of China's calendar.
    pub(in crate::config) fen_per_day: Option<u64>,
}
