//! Payment accounts: opened, closed, upgraded, paid from. Elements come in bodies, leave in no answer, and are in no log.

use super::Admin;
use super::body::Problem;
use crate::domain::account::{AccountId, Class, Purpose, Strength};
use crate::domain::clock::Timestamp;
use crate::domain::element::{Elements, InvalidElement};
use crate::domain::identity::{IdNumber, IdType};
use crate::domain::money::Fen;
use crate::domain::person::Mobile;
use crate::service::accounts::{AccountError, Shown};
use crate::store::account::Flag;
use crate::tier::class::Finding;
use crate::tier::ledger::Payment;
use crate::tier::usage::{Act, Usage};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(super) fn wrong(detail: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

/// Reads a body; the parser's own words may quote a value, so `form` says what it must be.
pub(super) fn read<T: DeserializeOwned>(body: &str, form: &'static str) -> Result<T, Problem> {
    serde_json::from_str(body).map_err(|_| wrong(form))
}

pub(super) fn id(text: &str) -> Result<AccountId, Problem> {
    AccountId::parse(text).map_err(|error| Problem::told(StatusCode::BAD_REQUEST, &error))
}

pub(super) fn refused(error: AccountError) -> Problem {
    let status = match &error {
        AccountError::Id(_)
        | AccountError::Later
        | AccountError::Element(_)
        | AccountError::Nobody
        | AccountError::Usage => StatusCode::BAD_REQUEST,
        AccountError::Unknown => StatusCode::NOT_FOUND,
        AccountError::Closed
        | AccountError::Another
        | AccountError::NoRules
        | AccountError::Refused(_) => StatusCode::CONFLICT,
        AccountError::Flagged(_) | AccountError::Over(..) => StatusCode::FORBIDDEN,
        AccountError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    match error {
        AccountError::Over(over, Some(left)) => {
            Problem::said(status, format!("{error}, {left} fen are left of {}", over.as_str()))
        }
        _ => Problem::told(status, &error),
    }
}

pub(super) fn parsed<T>(element: Result<T, InvalidElement>) -> Result<T, Problem> {
    element.map_err(|error| Problem::told(StatusCode::BAD_REQUEST, &error))
}

pub(super) fn number(text: Option<&str>, kind: Option<&str>) -> Result<Option<IdNumber>, Problem> {
    let kind = kind.map_or(Some(IdType::default()), IdType::from_word).ok_or(wrong(
        "`id_type` is one of resident_id, passport, hong_kong_macao_permit, taiwan_permit, foreigner_permit",
    ))?;
    parsed(text.map(|text| IdNumber::parse(text, kind)).transpose())
}

/// Whose account is opened.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenBody {
    id_number: String,
    /// Which document; the resident identity card where absent.
    #[serde(default)]
    id_type: Option<String>,
    #[serde(default)]
    phone: Option<String>,
    /// Whether the person was met.
    #[serde(default)]
    face_to_face: bool,
}

/// Opens an account; said again, it is the same.
pub(super) async fn open(
    State(admin): State<Arc<Admin>>,
    Path(account): Path<String>,
    body: String,
) -> Result<(StatusCode, Json<AccountBody>), Problem> {
    let form = "not a JSON object with `id_number` and perhaps `id_type`, `phone`, `face_to_face`";
    let OpenBody { id_number, id_type, phone, face_to_face } = read(&body, form)?;
    let elements = Elements {
        id_number: number(Some(&id_number), id_type.as_deref())?,
        phone: parsed(phone.map(|text| Mobile::parse(&text)).transpose())?,
        ..Elements::default()
    };
    let opened = admin.service.open_account(&id(&account)?, &elements, face_to_face).await;
    Ok((StatusCode::CREATED, Json(AccountBody::of(&opened.map_err(refused)?, true))))
}

/// Of which day.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DayQuery {
    /// The class as it was at this time, by the rules of then; as it is now where absent.
    #[serde(default)]
    at_ms: Option<u64>,
}

/// An account.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AccountBody {
    /// `I`, `II` or `III`; none where sources bear none.
    class: Option<&'static str>,
    /// What class it is meant to have: sources may have lapsed.
    meant: Option<&'static str>,
    opened_ms: u64,
    closed_ms: Option<u64>,
    face_to_face_ms: Option<u64>,
    /// What the rules have against it, where policy let it pass: `second_account`, `second_class_three`, `shared_phone`.
    flags: Vec<&'static str>,
    /// When the class lapses if nothing is added; for good where absent.
    lapses_ms: Option<u64>,
    /// By which rules, and since when they hold.
    basis: String,
    basis_from_ms: u64,
    /// As of when.
    at_ms: u64,
    /// The sources that count.
    counted: Vec<CountedBody>,
    /// The findings that do not, and why.
    left_out: Vec<LeftOutBody>,
    /// What may still be paid from balance, by purpose and strength of authentication; nothing is told of it for a time that is over.
    left: Vec<LeftBody>,
}

/// A source that counts, and what made it.
#[derive(Debug, Serialize, JsonSchema)]
struct CountedBody {
    source: String,
    #[serde(flatten)]
    finding: FindingBody,
    until_ms: Option<u64>,
}

/// A finding that does not count.
#[derive(Debug, Serialize, JsonSchema)]
struct LeftOutBody {
    why: &'static str,
    #[serde(flatten)]
    finding: FindingBody,
}

/// Who found it, and how.
#[derive(Debug, Serialize, JsonSchema)]
struct FindingBody {
    found_at: String,
    provider: String,
    inquiry: String,
    elements: String,
    at_ms: u64,
}

impl From<&Finding> for FindingBody {
    fn from(finding: &Finding) -> Self {
        Self {
            found_at: finding.source.to_string(),
            provider: finding.provider.to_string(),
            inquiry: finding.inquiry.to_string(),
            elements: finding.elements.to_string(),
            at_ms: finding.at.as_millis(),
        }
    }
}

/// What may still be paid.
#[derive(Debug, Serialize, JsonSchema)]
struct LeftBody {
    /// `consumption`, `transfer`, `own_bank_account` or `investment`.
    purpose: &'static str,
    /// `weak`, `two_factors` or `certificate`.
    strength: &'static str,
    /// In fen; without bounds where absent and nothing is in the way.
    left_fen: Option<u64>,
    /// Which limit that is, or what is in the way.
    limit: Option<&'static str>,
}

impl LeftBody {
    fn of(shown: &Shown, purpose: Purpose, strength: Strength) -> Self {
        let (left_fen, limit) = match shown.left(purpose, strength) {
            Ok(Some((left, over))) => (Some(left.get()), Some(over.as_str())),
            Ok(None) => (None, None),
            Err(over) => (Some(0), Some(over.as_str())),
        };
        Self { purpose: purpose.as_str(), strength: strength.as_str(), left_fen, limit }
    }
}

impl AccountBody {
    fn of(shown: &Shown, is_now: bool) -> Self {
        let Shown { account, holder, edition, classed, at } = shown;
        let finding = |position: &usize| holder.findings.get(*position).map(FindingBody::from);
        let of = |purpose| Strength::ALL.map(|strength| LeftBody::of(shown, purpose, strength));
        Self {
            class: classed.class.map(Class::as_str),
            meant: account.meant(*at).map(Class::as_str),
            opened_ms: account.opened.as_millis(),
            closed_ms: account.closed.map(Timestamp::as_millis),
            face_to_face_ms: account.met.map(Timestamp::as_millis),
            flags: account.flags.iter().map(|flag: &Flag| flag.as_str()).collect(),
            lapses_ms: classed.lapses.map(Timestamp::as_millis),
            basis: edition.basis.to_string(),
            basis_from_ms: edition.from.as_millis(),
            at_ms: at.as_millis(),
            counted: classed
                .counted
                .iter()
                .filter_map(|(source, (position, until))| {
                    let finding = finding(position)?;
                    let until_ms = until.map(Timestamp::as_millis);
                    Some(CountedBody { source: source.to_string(), finding, until_ms })
                })
                .collect(),
            left_out: classed
                .left_out
                .iter()
                .filter_map(|(position, why)| {
                    Some(LeftOutBody { why: why.as_str(), finding: finding(position)? })
                })
                .collect(),
            left: Purpose::ALL.into_iter().filter(|_| is_now).flat_map(of).collect(),
        }
    }
}

/// Shows an account.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(account): Path<String>,
    Query(DayQuery { at_ms }): Query<DayQuery>,
) -> Result<Json<AccountBody>, Problem> {
    let at = at_ms.map(Timestamp::from_millis);
    let shown = admin.service.account(&id(&account)?, at).await.map_err(refused)?;
    Ok(Json(AccountBody::of(&shown, at_ms.is_none())))
}

/// What a record says.
#[derive(Serialize)]
struct RecordBody {
    account: String,
    #[serde(flatten)]
    shown: AccountBody,
}

/// Tells an account for whoever inspects, signed.
pub(super) async fn record(
    State(admin): State<Arc<Admin>>,
    Path(account): Path<String>,
    Query(DayQuery { at_ms }): Query<DayQuery>,
) -> Result<Response, Problem> {
    let key = admin.service.tiers.record_key.as_ref().ok_or(Problem::new(
        StatusCode::CONFLICT,
        "no `record_key_file` in `[secrets]`: nothing signs records",
    ))?;
    let id = id(&account)?;
    let at = at_ms.map(Timestamp::from_millis);
    let shown = admin.service.account(&id, at).await.map_err(refused)?;
    let record =
        RecordBody { account: id.to_string(), shown: AccountBody::of(&shown, at_ms.is_none()) };
    let signed = serde_json::to_vec(&record).ok().and_then(|record| key.sign(&record).ok());
    let signed = signed.ok_or(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal"))?;
    Ok(([(header::CONTENT_TYPE, "application/jose")], signed).into_response())
}

/// Closes an account; said again, it is closed.
pub(super) async fn close(
    State(admin): State<Arc<Admin>>,
    Path(account): Path<String>,
) -> Result<StatusCode, Problem> {
    admin.service.close_account(&id(&account)?).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the core says of a use of balance.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageBody {
    /// The core's own name of it: what is said under it twice counts once.
    usage: String,
    /// `reserve` before it is paid, `commit` after, `release` where it was not paid or came back.
    act: ActWord,
    /// Of a reservation how much; of a release how much came back in all, everything where absent.
    #[serde(default)]
    amount_fen: Option<u64>,
    /// Of a reservation: `consumption`, `transfer`, `own_bank_account` or `investment`.
    #[serde(default)]
    purpose: Option<String>,
    /// Of a reservation: `weak`, `two_factors` or `certificate`.
    #[serde(default)]
    strength: Option<String>,
}

/// What is said of a use of balance.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ActWord {
    Reserve,
    Commit,
    Release,
}

/// A use of balance, and what may still be paid for the same.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct UsedBody {
    /// `reserved`, `committed` or `released`.
    state: &'static str,
    amount_fen: u64,
    given_back_fen: u64,
    at_ms: u64,
    /// The account's class.
    class: Option<&'static str>,
    left: LeftBody,
}

impl UsageBody {
    fn act(&self, now: Timestamp) -> Result<Act, Problem> {
        let of_reservation = self.purpose.is_some() || self.strength.is_some();
        match self.act {
            ActWord::Reserve => {
                let purpose = self.purpose.as_deref().and_then(Purpose::from_word);
                let strength = self.strength.as_deref().and_then(Strength::from_word);
                let (Some(amount), Some(purpose), Some(strength)) =
                    (self.amount_fen, purpose, strength)
                else {
                    return Err(wrong(
                        "a reservation has `amount_fen`, a `purpose` (consumption, transfer, own_bank_account, investment) and a `strength` (weak, two_factors, certificate)",
                    ));
                };
                let amount = Fen::new(amount);
                Ok(Act::Reserve(Payment { amount, purpose, strength, at: now }))
            }
            ActWord::Commit if self.amount_fen.is_none() && !of_reservation => Ok(Act::Commit),
            ActWord::Release if !of_reservation => Ok(Act::Release(self.amount_fen.map(Fen::new))),
            ActWord::Commit | ActWord::Release => {
                Err(wrong("only a reservation has these: a release has `amount_fen` at most"))
            }
        }
    }
}

/// Takes what the core says of a use of balance.
pub(super) async fn usage(
    State(admin): State<Arc<Admin>>,
    Path(account): Path<String>,
    body: String,
) -> Result<Json<UsedBody>, Problem> {
    let form =
        "not a JSON object with `usage`, `act` and perhaps `amount_fen`, `purpose`, `strength`";
    let body: UsageBody = read(&body, form)?;
    let act = body.act(admin.service.clock.now())?;
    let used = admin.service.use_balance(&id(&account)?, &body.usage, act).await;
    let (Usage { amount, given_back, purpose, strength, at, state, failed: _ }, shown) =
        used.map_err(refused)?;
    Ok(Json(UsedBody {
        state: state.as_str(),
        amount_fen: amount.get(),
        given_back_fen: given_back.get(),
        at_ms: at.as_millis(),
        class: shown.classed.class.map(Class::as_str),
        left: LeftBody::of(&shown, purpose, strength),
    }))
}
