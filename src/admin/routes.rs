//! Every route, once: what it is, who may call it, what it asks and tells. The router and the description are made of this table.

use super::access::guard;
use super::body::{
    AgreementBody, HoldBody, ImportBody, InquiryBody, KeptBody, ReleaseBody, ReleasedBody,
    UnmappedBody,
};
use super::{
    Live, accounts, audit, concordance, explained, forget, hooks, jobs, lists, mismatch, rules,
    search, statement, statistics, turn, upgrade,
};
use crate::api::table::{self, Need, changes, shows};
use crate::domain::role::Right;
use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

/// One route.
type Served = table::Served<Live, Right>;

impl Need for Right {
    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// The routes.
pub(super) fn all() -> Vec<Served> {
    let mut all = vec![
        Served {
            right: None,
            ..shows("/healthz", Right::See, "The process lives", get(async || "ok\n"))
        }
        .tells_text("text/plain"),
        Served {
            right: None,
            ..shows("/readyz", Right::See, "Traffic may come", get(super::readyz))
        }
        .tells_text("text/plain"),
    ];
    all.extend(happenings());
    all.extend(agreements());
    all.extend(accounts());
    all.extend(rules());
    all.extend(turns());
    all
}

/// Payments and what became of them.
fn happenings() -> Vec<Served> {
    use Right::{Operate, See};
    vec![
        shows("/metrics", See, "Every metric, in Prometheus' text format", get(super::metrics))
            .tells_text("text/plain"),
        shows("/v1/payments/{id}", See, "A payment or the rows of a batch, explained", get(super::payment))
            .tells::<KeptBody>(),
        changes("/v1/payments/search", See, "Payments by order, card, document or time; changes nothing, and is a POST so that nothing told stands in a log of paths", post(search::search))
            .asks::<search::SearchBody>()
            .tells::<search::FoundBody>(),
        shows("/v1/payments/{id}/rules", See, "What each condition of each rule came to for a payment, by what was recorded; or comes to now", get(explained::explain))
            .query::<explained::WhenQuery>()
            .tells::<explained::ExplanationBody>(),
        shows("/v1/inquiries/open", See, "Inquiries whose answer is not known", get(super::inquiries))
            .tells::<Vec<InquiryBody>>(),
        shows("/v1/unmapped-codes", See, "Codes that no map knows", get(super::unmapped))
            .tells::<Vec<UnmappedBody>>(),
        shows("/v1/expectations", See, "Outcomes that are owed", get(hooks::expectations))
            .query::<hooks::AfterQuery>()
            .tells::<Vec<hooks::ExpectationBody>>(),
        shows("/v1/mismatches", See, "Mismatches, the newest first", get(mismatch::list))
            .query::<mismatch::WantedQuery>()
            .tells::<mismatch::MismatchesBody>(),
        shows("/v1/mismatches.csv", See, "The same as CSV", get(mismatch::export))
            .query::<mismatch::WantedQuery>()
            .tells_text("text/csv"),
        changes("/v1/mismatches/resolve", Operate, "Note what came of a mismatch", post(mismatch::resolve))
            .asks::<mismatch::ResolveBody>()
            .status(204),
        changes("/v1/statements/lines", Operate, "Take lines of a statement, each a line of JSON, for the last word", post(statement::lines))
            .query::<statement::ChannelQuery>()
            .asks_text("text/plain")
            .tells::<statement::StatedBody>(),
        changes("/v1/statements/days", Operate, "Take a day's statement for complete", post(statement::day))
            .asks::<statement::DayBody>()
            .tells::<statement::ClosedBody>(),
        shows("/v1/webhooks", See, "Webhooks that wait, or were given up", get(hooks::hooks))
            .query::<hooks::HooksQuery>()
            .tells::<Vec<hooks::HookBody>>(),
        changes("/v1/webhooks/redeliver", Operate, "Tell what was given up once more", post(hooks::redeliver))
            .asks::<hooks::RedeliverBody>()
            .tells::<hooks::RedeliveredBody>(),
        shows("/v1/concordance", See, "How often the halves agree", get(concordance::concordance))
            .query::<concordance::Shown>()
            .tells::<Vec<concordance::CellBody>>(),
        shows("/v1/statistics", See, "What inquiries came to: answers, reasons, cost and latency, by scenario, kind, elements, provider and bank", get(statistics::statistics))
            .query::<statistics::WantedQuery>()
            .tells::<statistics::StatisticsBody>(),
        changes("/v1/advice", See, "Where a debit is best sent; changes nothing", post(concordance::advice))
            .asks::<concordance::AdviceQuestion>()
            .tells::<Vec<concordance::AdviceBody>>(),
    ]
}

/// Holds, agreements, persons, and who did what.
fn agreements() -> Vec<Served> {
    use Right::{Audit, Forget, Operate, See};
    vec![
        shows("/v1/holds", See, "Holds that stand", get(super::holds)).tells::<Vec<HoldBody>>(),
        changes("/v1/holds/release", Operate, "Release holds", post(super::release))
            .asks::<ReleaseBody>()
            .tells::<ReleasedBody>(),
        changes(
            "/v1/agreements/import",
            Operate,
            "Import agreements, each a line of JSON",
            post(super::import),
        )
        .query::<super::ImportQuery>()
        .asks_text("text/plain")
        .tells::<ImportBody>(),
        shows(
            "/v1/agreements/{channel}/{id}",
            See,
            "How an agreement stands",
            get(super::agreement),
        )
        .tells::<AgreementBody>(),
        changes("/v1/people/forget", Forget, "Forget a person", post(forget::forget))
            .asks::<forget::ForgetBody>()
            .tells::<forget::ForgottenBody>(),
        shows(
            "/v1/audit",
            Audit,
            "Who did what, the newest first, chained by hash",
            get(audit::audit),
        )
        .query::<audit::AuditQuery>()
        .tells::<audit::AuditBody>(),
    ]
}

/// Payment accounts.
fn accounts() -> Vec<Served> {
    use Right::{Account, See};
    vec![
        shows(
            "/v1/accounts/{account}",
            See,
            "An account: its class, the sources that bear it, what may be paid",
            get(accounts::show),
        )
        .query::<accounts::DayQuery>()
        .tells::<accounts::AccountBody>(),
        changes("/v1/accounts/{account}", Account, "Open an account", post(accounts::open))
            .asks::<accounts::OpenBody>()
            .status(201)
            .tells::<accounts::AccountBody>(),
        shows(
            "/v1/accounts/{account}/record",
            See,
            "The same, signed for whoever inspects (RFC 7515)",
            get(accounts::record),
        )
        .query::<accounts::DayQuery>()
        .tells_text("application/jose"),
        changes("/v1/accounts/{account}/close", Account, "Close an account", post(accounts::close))
            .status(204),
        changes(
            "/v1/accounts/{account}/usage",
            Account,
            "Reserve, commit or release a payment from balance",
            post(accounts::usage),
        )
        .asks::<accounts::UsageBody>()
        .tells::<accounts::UsedBody>(),
        changes(
            "/v1/accounts/{account}/upgrade",
            Account,
            "Bring an account to a class by the cheapest sources that it wants",
            post(upgrade::upgrade),
        )
        .asks::<upgrade::UpgradeBody>()
        .tells::<upgrade::UpgradedBody>(),
        shows(
            "/v1/accounts/{account}/upgrade",
            See,
            "How far an upgrade is, and what it cost",
            get(upgrade::upgraded),
        )
        .tells::<upgrade::UpgradedBody>(),
    ]
}

/// Rules, from a proposal to what is in force.
fn rules() -> Vec<Served> {
    use Right::{ApproveRules, EditRules, See};
    vec![
        shows("/v1/rules", See, "The rules in force", get(rules::in_force)).tells::<rules::SetBody>(),
        changes("/v1/rules/check", See, "Check rules and try their examples; changes nothing", post(rules::check))
            .asks::<rules::TextBody>()
            .tells::<rules::CheckedBody>(),
        shows("/v1/rules/versions", See, "Every version that is kept", get(rules::versions))
            .tells::<rules::VersionsBody>(),
        shows("/v1/rules/versions/{version}", See, "A version: its text, and what it changes", get(rules::version))
            .tells::<rules::VersionTextBody>(),
        changes("/v1/rules/versions", EditRules, "Propose a version: the whole text of the rules that come through the API", post(rules::propose))
            .asks::<rules::ProposalBody>()
            .status(201)
            .tells::<rules::NumberBody>(),
        changes("/v1/rules/shadow", EditRules, "Try a version beside what is in force, binding nothing", post(rules::shadow))
            .asks::<rules::NumberBody>()
            .status(204),
        changes("/v1/rules/shadow/end", EditRules, "End that, and record what it would have done", post(rules::end_shadow))
            .status(202)
            .tells::<jobs::StartedBody>(),
        shows("/v1/approvals", See, "Versions that wait for a second person", get(rules::waiting))
            .tells::<Vec<rules::VersionBody>>(),
        changes("/v1/approvals/approve", ApproveRules, "Put a version in force that somebody else proposed and that was tried", post(rules::approve))
            .asks::<rules::DecisionBody>()
            .status(204),
        changes("/v1/approvals/reject", ApproveRules, "Turn a version down", post(rules::reject))
            .asks::<rules::DecisionBody>()
            .status(204),
        changes("/v1/rules/rollback", ApproveRules, "Put in force again what was before", post(rules::roll_back))
            .asks::<rules::NoteBody>()
            .tells::<rules::NumberBody>(),
        changes("/v1/rules/snooze", EditRules, "Let a rule bind nothing for a while", post(rules::snooze))
            .asks::<rules::SnoozeBody>()
            .status(204),
        changes("/v1/rules/wake", EditRules, "Let it bind again", post(rules::wake))
            .asks::<rules::RuleBody>()
            .status(204),
        changes("/v1/backtests", EditRules, "Try rules on the payments that are kept", post(jobs::start))
            .asks::<jobs::WantedBody>()
            .status(202)
            .tells::<jobs::StartedBody>(),
        shows("/v1/backtests", See, "The last backtests", get(jobs::list)).tells::<Vec<jobs::JobBody>>(),
        shows("/v1/backtests/{id}", See, "A backtest: how far it is, and what it found", get(jobs::show))
            .tells::<jobs::JobBody>(),
        shows("/v1/lists", See, "The lists that rules look into", get(lists::list))
            .tells::<Vec<lists::ListBody>>(),
        shows("/v1/lists/{list}", See, "What stands in a list through the API, as CSV", get(lists::export))
            .tells_text("text/csv"),
        changes("/v1/lists/{list}/import", EditRules, "Add entries, as CSV; plain cards, ID numbers and phone numbers are fingerprinted as they are read", post(lists::import))
            .query::<lists::WhyQuery>()
            .asks_text("text/csv")
            .tells::<lists::ImportedBody>(),
        changes("/v1/lists/{list}/remove", EditRules, "Take entries out", post(lists::remove))
            .asks::<lists::RemoveBody>()
            .tells::<lists::RemovedBody>(),
    ]
}

/// What is configured, and how it is turned.
fn turns() -> Vec<Served> {
    use Right::{Operate, See};
    vec![
        shows("/config_dump", See, "What is in force, secrets masked", get(super::config_dump))
            .tells::<serde_json::Value>(),
        shows(
            "/v1/config",
            See,
            "What is in force, and where each of it comes from",
            get(turn::config),
        )
        .tells::<turn::ConfigBody>(),
        changes("/v1/reload", Operate, "Load the configuration again", post(super::reload))
            .status(204),
        shows("/v1/policy", See, "Policy in force", get(turn::policy)).tells::<serde_json::Value>(),
        shows("/v1/channels", See, "Channels, and how they are turned", get(turn::channels))
            .tells::<Vec<turn::ChannelBody>>(),
        changes(
            "/v1/channels/{channel}/mode",
            Operate,
            "Say for which percentage of orders decisions bind",
            post(turn::turn_channel),
        )
        .asks::<turn::ModeBody>()
        .status(204),
        changes(
            "/v1/channels/{channel}/break-glass",
            Operate,
            "Observe a channel for a while, whatever else is said",
            post(turn::break_glass),
        )
        .asks::<turn::GlassBody>()
        .status(204),
        changes(
            "/v1/channels/{channel}/reset",
            Operate,
            "Let a channel be as its file says",
            post(turn::reset_channel),
        )
        .asks::<rules::NoteBody>()
        .status(204),
        shows("/v1/providers", See, "Providers, and how they are turned", get(turn::providers))
            .tells::<Vec<turn::ProviderBody>>(),
        changes(
            "/v1/providers/{provider}/turn",
            Operate,
            "Turn a provider on or off, or give it another priority",
            post(turn::turn_provider),
        )
        .asks::<turn::ProviderTurnBody>()
        .status(204),
        changes(
            "/v1/providers/{provider}/reset",
            Operate,
            "Let a provider be as its file says",
            post(turn::reset_provider),
        )
        .asks::<rules::NoteBody>()
        .status(204),
        changes(
            "/v1/providers/{provider}/test",
            Operate,
            "Ask a provider by hand; it is charged as any question",
            post(turn::test_provider),
        )
        .asks::<turn::TestBody>()
        .tells::<turn::TestedBody>(),
    ]
}

/// What serves them.
pub(super) fn router(live: &Live) -> Router<Live> {
    all().into_iter().fold(Router::new(), |router, served| {
        let Served { path, right, handler, .. } = served;
        let handler = match right {
            Some(right) => {
                handler.route_layer(middleware::from_fn_with_state((live.clone(), right), guard))
            }
            None => handler,
        };
        router.route(path, handler)
    })
}
