//! The effective configuration as JSON, for `/config_dump`: keys, tokens and credentials are left out.

use super::clients::Verification;
use super::settings::{
    Channel, ChannelMode, Config, Kinds, Passthrough, Provider, Routing, Upstream,
};
use super::text::{AdminAddress, format_word};
use crate::domain::chance::Share;
use crate::domain::clock::Timestamp;
use crate::domain::money::Fen;
use crate::message::profile::{Message, Profile};
use crate::policy::{Policy, ScenarioPolicy};
use crate::route::attempts::Limits;
use crate::route::concordance::Strategy;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// What stands in place of a secret.
const MASK: &str = "***";

impl Config {
    /// What is in force. A secret shows as `***`.
    pub fn dump(&self) -> Value {
        let admin = self.listen.admin.as_ref().map(|admin| {
            let address = match &admin.address {
                AdminAddress::Tcp(address) => address.to_string(),
                AdminAddress::Unix(path) => format!("unix:{}", path.display()),
            };
            let api = &admin.api;
            let operators = api.operators.iter().map(|it| {
                json!({ "name": it.name, "roles": it.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>(), "token": MASK })
            });
            json!({ "address": address, "token": api.token.as_ref().map(|_| MASK), "tls": api.door.as_ref().map(|_| MASK), "per_second": api.per_second, "operators": operators.collect::<Vec<_>>() })
        });
        let limits = &self.limits;
        json!({
            "listen": { "core": self.listen.core.to_string(), "core_tls": self.listen.core_tls.as_ref().map(|_| MASK), "notify_tls": self.listen.notify_tls.as_ref().map(|_| MASK), "notify": self.listen.notify.map(|at| at.to_string()), "admin": admin, "metrics": self.listen.metrics.map(|at| at.to_string()) },
            "verification": self.verification.as_ref().map(dump_verification),
            "limits": {
                "body": limits.body, "head": limits.head, "headers": limits.headers, "connections": limits.connections,
                "head_deadline": time(limits.head_deadline), "body_deadline": time(limits.body_deadline), "idle": time(limits.idle),
            },
            "drain": { "idle": time(self.drain.idle), "deadline": time(self.drain.deadline) },
            "log": { "access": self.access_log.as_ref().map(ToString::to_string) },
            "store": self.store.to_string(),
            "evidence_in_memory": self.evidence_in_memory,
            "keep": { "payments": time(self.keep.payments), "charges": time(self.keep.charges) },
            "secrets": { "fingerprint_key": MASK, "fingerprint_key_id": self.keys.current.id().0, "other_keys": self.keys.others.iter().map(|other| json!({ "id": other.id.0, "until_ms": other.until.map(Timestamp::as_millis) })).collect::<Vec<_>>() },
            "channels": self.channels.iter().map(|(name, channel)| (name.to_string(), dump_channel(channel))).collect::<Map<_, _>>(),
            "unused": self.unused.keys().map(ToString::to_string).collect::<Vec<_>>(),
            "passthrough": self.passthrough.iter().map(dump_passthrough).collect::<Vec<_>>(),
            "providers": self.providers.iter().map(|(name, provider)| (name.to_string(), dump_provider(provider))).collect::<Map<_, _>>(),
            "policy": dump_policy(&self.policy),
            "holds": { "expiry": time(self.holds.expiry), "per_hour": self.holds.per_hour },
            "evidence": { "match": time(self.evidence.matched), "negative": time(self.evidence.negative),
                "kinds": dump_kinds(&self.evidence.kinds), "shared": self.evidence.shared,
                "source": self.evidence.sources.iter().map(|(name, kinds)| (name.to_string(), dump_kinds(kinds))).collect::<Map<_, _>>(),
                "same_merchant": self.evidence.same_merchant.iter().map(|(one, first)| [one.0.to_string(), first.0.to_string()]).collect::<Vec<_>>(),
            },
            "calendar": { "valid_until": self.calendar.valid_until.map(|day| day.to_string()), "holidays": self.calendar.holidays.len(), "workdays": self.calendar.workdays.len(), "maintenance": self.calendar.maintenance.len() },
            "classes": { "editions": self.classes.book.editions().map(|edition| json!({ "from_ms": edition.from.as_millis(), "basis": edition.basis, "sources": edition.sources.len() })).collect::<Vec<_>>(), "second_fen": self.classes.second.get() },
            "webhook": self.webhook.as_ref().map(|webhook| json!({ "url": webhook.url, "key": MASK, "timeout": time(webhook.timeout) })),
            "trace": self.trace.as_ref().map(|trace| json!({ "otlp": trace.otlp, "share": trace.share.ratio(), "timeout": time(trace.timeout) })),
            "inquiry": { "deadline": time(self.inquiry.deadline), "batch_deadline": time(self.inquiry.batch_deadline), "retries_percent": self.inquiry.retries_percent },
            "attempts": dump_attempts(&self.attempts),
            "spend": { "merchant_fen_per_day": self.merchant_cap.map(Fen::get) },
            "observe": { "sample_percent": self.observe.sample_percent, "fen_per_day": self.observe.cap.get() },
            "routing": dump_routing(self.routing),
            "rules": { "two_persons": self.managing.two_persons, "lift": self.policy.rules_lift.iter().map(|reason| reason.as_str()).collect::<Vec<_>>(), "version": &*self.rules.rules.version, "files": self.managing.files.iter().map(|(name, _)| name).collect::<Vec<_>>() },
            "holdout": { "share": self.policy.holdout.ratio() },
        })
    }
}

fn dump_verification(verification: &Verification) -> Value {
    let clients = verification.clients.iter().map(|client| {
        json!({
            "name": client.name.as_str(), "keys": client.keys.iter().map(|key| json!({ "id": key.id, "until_ms": key.until.map(Timestamp::as_millis) })).collect::<Vec<_>>(),
            "may": client.may.iter().map(|scope| scope.as_str()).collect::<Vec<_>>(), "elements": client.sets.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "merchant": client.merchant.as_ref().map(|merchant| merchant.0.to_string()), "scenario": client.scenario.as_str(),
            "shares_evidence": client.shares, "per_second": client.per_second, "per_day": client.quota[0], "per_month": client.quota[1], "signing_key": client.signing.as_ref().map(|_| MASK),
            "kinds": client.kinds.iter().map(|it| json!({ "kind": it.kind.as_str(), "elements": it.sets.iter().map(ToString::to_string).collect::<Vec<_>>(), "prices": it.prices.to_string() })).collect::<Vec<_>>(),
            "prices": client.prices.to_string(), "webhook": client.webhook.as_ref().map(|webhook| json!({ "url": webhook.url, "key": MASK, "timeout": time(webhook.timeout) })),
        })
    });
    json!({
        "address": verification.address.to_string(), "tls": verification.door.as_ref().map(|_| MASK), "body": verification.body,
        "connections": verification.connections, "head_deadline": time(verification.head_deadline),
        "body_deadline": time(verification.body_deadline), "at_once": verification.at_once, "batch_body": verification.batch_body, "batches": verification.batches,
        "picture": verification.picture, "pictures": verification.pictures, "clients": clients.collect::<Vec<_>>(),
    })
}

fn dump_attempts(limits: &Limits) -> Value {
    let Limits { card, person, left_to_others, wrong_for, limited_for } = limits;
    json!({
        "card_per_day": card.per_day, "card_wrong": card.wrong, "person_per_day": person.per_day, "person_wrong": person.wrong,
        "left_to_others": left_to_others, "wrong_for": time(*wrong_for), "limited_for": time(*limited_for),
    })
}

fn dump_kinds(kinds: &Kinds) -> Value {
    let Kinds { matched, close_match, no_match, no_record, not_possible, limited, invalid } = kinds;
    let all = [
        ("match", matched),
        ("close_match", close_match),
        ("no_match", no_match),
        ("no_record", no_record),
        ("not_possible", not_possible),
        ("limited", limited),
        ("invalid", invalid),
    ];
    all.into_iter()
        .filter_map(|(name, set)| Some((name.to_owned(), json!(time((*set)?)))))
        .collect::<Map<_, _>>()
        .into()
}

fn time(duration: Duration) -> String {
    jiff::SignedDuration::try_from(duration)
        .map(|duration| format!("{duration:#}"))
        .unwrap_or_default()
}

fn dump_upstream(upstream: &Upstream) -> Value {
    let tls = upstream.tls.as_ref().map(|tls| {
        json!({
            "server_name": tls.server_name,
            "authorities": if tls.authorities.is_empty() { "system" } else { "own" },
            "client_certificate": tls.client.as_ref().map(|_| MASK),
        })
    });
    json!({ "host": upstream.host, "port": upstream.port, "tls": tls })
}

fn dump_passthrough(passthrough: &Passthrough) -> Value {
    json!({ "host": passthrough.host, "path": passthrough.path, "upstream": dump_upstream(&passthrough.upstream) })
}

fn dump_channel(channel: &Channel) -> Value {
    let patience = &channel.patience;
    let mode = match channel.mode {
        ChannelMode::Uninspected => json!("uninspected"),
        ChannelMode::Observe => json!("observe"),
        ChannelMode::Enforce(percent) => json!({ "enforce": percent }),
    };
    json!({
        "mode": mode,
        "upstreams": channel.upstreams.iter().map(dump_upstream).collect::<Vec<_>>(),
        "notify_core": channel.notify_core.as_ref().map(dump_upstream),
        "notify_path": channel.profile.notify.as_ref().map(|notify| &notify.path),
        "connect_timeout": time(patience.connect), "answer_timeout": time(patience.answer),
        "idle_timeout": time(patience.idle), "answer_max": patience.answer_max,
        "in_doubt": channel.in_doubt.as_str(), "http2": channel.http2,
        "due": { "debit": time(channel.level.debit), "pay": time(channel.level.pay), "withdraw": time(channel.level.withdraw), "payout": time(channel.level.payout), "working_days": channel.level.working_days },
        "profile": dump_profile(&channel.profile),
    })
}

fn dump_profile(profile: &Profile) -> Value {
    let routes =
        profile.routes.iter().map(|route| json!({ "host": route.host, "path": route.path }));
    json!({
        "road": profile.road.as_ref().map(ToString::to_string),
        "routes": routes.collect::<Vec<_>>(),
        "request": format_word(profile.request.format), "answer": format_word(profile.answer.format),
        "same": profile.same.iter().map(|(field, copy)| [field.to_string(), copy.to_string()]).collect::<Vec<_>>(),
        "messages": profile.messages.iter().map(dump_message).collect::<Vec<_>>(),
        "codes": profile.codes.iter().map(|(name, map)| (name.clone(), json!(map.codes.len().saturating_add(map.prefixes.len())))).collect::<Map<_, _>>(),
    })
}

fn dump_message(message: &Message) -> Value {
    let when = message.when.iter().map(|(field, values)| (field.to_string(), json!(values)));
    json!({
        "scenario": message.scenario.as_str(), "method": message.method, "path": message.path, "when": when.collect::<Map<_, _>>(),
        "rows": message.rows.as_ref().map(|rows| rows.at.to_string()),
        "order": message.order.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "elements": message.elements.iter().map(|(element, field)| (element.to_string(), json!(field.to_string()))).collect::<Map<_, _>>(),
        "agreement": message.agreement.as_ref().map(ToString::to_string),
        "checks": message.checks.to_string(),
    })
}

fn dump_provider(provider: &Provider) -> Value {
    let credentials = provider.credentials.keys().map(|name| (name.clone(), json!(MASK)));
    json!({
        "definition": provider.file, "upstream": dump_upstream(&provider.upstream),
        "credentials": credentials.collect::<Map<_, _>>(), "enabled": provider.enabled, "priority": provider.priority,
        "weight": provider.weight, "bins": provider.bins, "concurrency": provider.concurrency, "per_second": provider.per_second,
        "scenarios": provider.scenarios.iter().map(|scenario| scenario.as_str()).collect::<Vec<_>>(),
        "prices": provider.prices.to_string(), "fen_per_day": provider.cap.map(Fen::get), "timeout": time(provider.timeout),
        "shadow": provider.shadow.ratio(),
    })
}

fn dump_routing(routing: Routing) -> Value {
    let lower_below = routing.lower_below.map(Share::ratio);
    match routing.strategy {
        Strategy::Priority => json!({ "strategy": "priority", "lower_below": lower_below }),
        Strategy::Concordance(costs) => json!({
            "strategy": "concordance", "mismatch_fen": costs.mismatch.get(), "second_fen": costs.second.get(),
            "explore": costs.explore.ratio(), "lower_below": lower_below,
        }),
    }
}

fn dump_policy(policy: &Policy) -> Value {
    let scenarios = policy
        .scenarios
        .iter()
        .map(|(scenario, settings)| (scenario.as_str().to_owned(), dump_scenario(settings)));
    let agreements = &policy.agreements;
    json!({
        "scenario": scenarios.collect::<Map<_, _>>(),
        "agreements": {
            "unknown": agreements.unknown.as_str(), "contradicted": agreements.contradicted.as_str(), "closed": agreements.closed.as_str(),
        },
        "batch": { "refused_rows": policy.refused_rows.as_str() },
        "package": policy.packages.iter().map(|package| json!({
            "scenario": package.scenario.as_str(), "from_fen": package.from.map(Fen::get), "required": package.required.to_string(),
            "merchants": package.merchants.iter().map(|merchant| &*merchant.0).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "combination": policy.combination.iter().map(|one| json!({
            "merchants": one.merchants.iter().map(|merchant| &*merchant.0).collect::<Vec<_>>(),
            "scenarios": one.scenarios.iter().map(|scenario| scenario.as_str()).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

fn dump_scenario(settings: &ScenarioPolicy) -> Value {
    json!({
        "required": settings.required.to_string(), "missing": settings.missing.as_str(), "close_match": settings.close_match.as_str(),
        "no_match": settings.no_match.as_str(), "no_record": settings.no_record.as_str(), "not_possible": settings.not_possible.as_str(),
        "limited": settings.limited.as_str(), "invalid": settings.invalid.as_str(), "unavailable": settings.unavailable.as_str(),
        "sealed": settings.sealed.as_str(), "confirmed_by_sms": settings.confirmed_by_sms,
        "deadline": settings.deadline.map(time),
    })
}
