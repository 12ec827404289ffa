//! The routing table: which request goes where, and who is there.

use crate::config::{ChannelMode, Config, InDoubt};
use crate::message::profile::RouteRule;
use crate::proxy::gate::{Route, Side};
use crate::proxy::upstream::{
    Address, Invalid, OnDoubt, ServerName, Settings as UpstreamSettings, TlsSettings, Upstream,
};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

/// One entry of the routing table.
#[derive(Debug)]
struct Entry {
    /// The listener.
    side: Side,
    /// What requests it takes.
    rule: RouteRule,
    /// Where they go.
    route: Route,
}

/// The routing table, in which a request is found by its path: there may be hundreds of channels.
#[derive(Debug)]
pub(super) struct Routes {
    /// In the order in which they take requests.
    entries: Vec<Entry>,
    /// By path, where in that order they are.
    by_path: HashMap<String, Vec<usize>>,
    /// Whether a path has so many bytes.
    lengths: Vec<bool>,
}

impl Routes {
    /// What is inspected comes before what streams, and of each the most specific first: with a host before without, longer paths
    /// before shorter. Last of all what passes `through`, which takes only what no channel's route does.
    fn new(mut entries: Vec<Entry>, mut through: Vec<Entry>) -> Self {
        for routes in [&mut entries, &mut through] {
            routes.sort_by_key(|entry| {
                let inspected = matches!(entry.route, Route::Inspected(_));
                Reverse((inspected, entry.rule.host.is_some(), entry.rule.path.len()))
            });
        }
        entries.append(&mut through);
        let mut by_path: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, entry) in entries.iter().enumerate() {
            by_path.entry(entry.rule.path.clone()).or_default().push(at);
        }
        let longest = by_path.keys().map(String::len).max().unwrap_or_default();
        let lengths = (0..=longest).map(|length| by_path.keys().any(|path| path.len() == length));
        Self { lengths: lengths.collect(), entries, by_path }
    }

    /// The route that takes a request: its host in lower case and without a port, its path canonical.
    pub(super) fn find(&self, side: Side, host: &str, path: &str) -> Option<(&Route, &RouteRule)> {
        let lengths = self.lengths.iter().enumerate().take(path.len().saturating_add(1));
        let begins = lengths.filter(|(_, any)| **any).filter_map(|(length, _)| path.get(..length));
        let under = begins.filter_map(|begin| self.by_path.get(begin)).flatten();
        let takes = |at: &usize| {
            let entry = self.entries.get(*at)?;
            let takes = entry.side == side && entry.rule.takes(host, path);
            takes.then_some((*at, entry))
        };
        let (_, Entry { rule, route, .. }) = under.filter_map(takes).min_by_key(|(at, _)| *at)?;
        Some((route, rule))
    }

    /// Everybody whom requests of a listener go to.
    pub(super) fn upstreams(&self, side: Side) -> impl Iterator<Item = &Upstream> {
        let entries = self.entries.iter().filter(move |entry| entry.side == side);
        entries.filter_map(|entry| match &entry.route {
            Route::Inspected(upstream) | Route::Streamed(upstream) => Some(&**upstream),
            Route::Unknown => None,
        })
    }
}

/// The routes of a configuration.
///
/// # Errors
/// [`Invalid`].
pub(super) fn routes(config: &Config) -> Result<Routes, Invalid> {
    let mut routes = Vec::new();
    for (name, channel) in &config.channels {
        let upstream =
            Arc::new(upstream(name.as_str(), &channel.upstreams, channel, channel.http2)?);
        for rule in &channel.profile.routes {
            let route = match channel.mode {
                ChannelMode::Uninspected => Route::Streamed(upstream.clone()),
                ChannelMode::Observe | ChannelMode::Enforce(_) => {
                    Route::Inspected(upstream.clone())
                }
            };
            routes.push(Entry { side: Side::Core, rule: rule.clone(), route });
        }
        if let (Some(notify), Some(core)) = (&channel.profile.notify, &channel.notify_core) {
            let core = Arc::new(self::upstream(
                name.as_str(),
                std::slice::from_ref(core),
                channel,
                false,
            )?);
            let rule = RouteRule { host: None, path: notify.path.clone() };
            let route = match channel.mode {
                ChannelMode::Uninspected => Route::Streamed(core),
                ChannelMode::Observe | ChannelMode::Enforce(_) => Route::Inspected(core),
            };
            routes.push(Entry { side: Side::Notify, rule, route });
        }
    }
    // What streams through takes only what no channel's route does.
    let mut through = Vec::new();
    for passthrough in &config.passthrough {
        let patience = crate::config::Patience::default();
        let settings = settings(
            "passthrough",
            std::slice::from_ref(&passthrough.upstream),
            &patience,
            OnDoubt::Close,
        )?;
        let rule = RouteRule { host: passthrough.host.clone(), path: passthrough.path.clone() };
        through.push(Entry {
            side: Side::Core,
            rule,
            route: Route::Streamed(Arc::new(Upstream::new(settings)?)),
        });
    }
    Ok(Routes::new(routes, through))
}

fn upstream(
    name: &str,
    addresses: &[crate::config::Upstream],
    channel: &crate::config::Channel,
    http2: bool,
) -> Result<Upstream, Invalid> {
    let on_doubt = match channel.in_doubt {
        InDoubt::Close => OnDoubt::Close,
        InDoubt::Problem => OnDoubt::Problem,
    };
    let settings = settings(name, addresses, &channel.patience, on_doubt)?;
    Upstream::new(UpstreamSettings { http2, ..settings })
}

fn settings(
    name: &str,
    addresses: &[crate::config::Upstream],
    patience: &crate::config::Patience,
    on_doubt: OnDoubt,
) -> Result<UpstreamSettings, Invalid> {
    Ok(UpstreamSettings {
        name: name.to_owned(),
        addresses: addresses.iter().map(address).collect::<Result<_, _>>()?,
        connect_timeout: patience.connect,
        answer_timeout: patience.answer,
        idle_timeout: patience.idle,
        answer_bytes_max: patience.answer_max,
        on_doubt,
        http2: false,
    })
}

/// Where an upstream is: `host:port`, with brackets around an IPv6 address, and how its certificate is checked.
fn address(upstream: &crate::config::Upstream) -> Result<Address, Invalid> {
    let (host, port) = (&upstream.host, upstream.port);
    let tls = upstream.tls.as_ref().map(|tls| {
        Ok(TlsSettings {
            server_name: ServerName::new(&tls.server_name)
                .ok_or_else(|| Invalid::NoServerName(host.clone()))?,
            authorities: tls.authorities.clone(),
            client: tls.client.as_ref().map(|client| (client.chain.clone(), client.key.clone())),
        })
    });
    let place =
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Ok(Address { place, tls: tls.transpose()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    /// A route `host/path`, `*` for any host; inspected where it begins with `!`.
    fn entry(text: &str) -> Entry {
        let (host, path) = text.trim_start_matches('!').split_once('/').unwrap();
        let upstream = Arc::new(
            Upstream::new(UpstreamSettings {
                name: text.to_owned(),
                addresses: vec![Address { place: "127.0.0.1:1".to_owned(), tls: None }],
                connect_timeout: Duration::ZERO,
                answer_timeout: Duration::ZERO,
                idle_timeout: Duration::ZERO,
                answer_bytes_max: 0,
                on_doubt: OnDoubt::Close,
                http2: false,
            })
            .unwrap(),
        );
        Entry {
            side: Side::Core,
            rule: RouteRule {
                host: (host != "*").then(|| host.to_owned()),
                path: format!("/{path}"),
            },
            route: if text.starts_with('!') {
                Route::Inspected(upstream)
            } else {
                Route::Streamed(upstream)
            },
        }
    }

    fn named<'r>(found: Option<(&'r Route, &RouteRule)>) -> Option<&'r str> {
        found.map(|(route, _)| match route {
            Route::Inspected(upstream) | Route::Streamed(upstream) => upstream.name(),
            Route::Unknown => "",
        })
    }

    #[test]
    fn a_streamed_route_never_shadows_an_inspected_one() {
        let check = |routes: &[&str], host, path, expected: Option<&str>| {
            let routes = Routes::new(routes.iter().map(|text| entry(text)).collect(), Vec::new());
            assert_eq!(named(routes.find(Side::Core, host, path)), expected, "{host}{path}");
            assert!(routes.find(Side::Notify, host, path).is_none());
        };
        check(&["files/", "!*/pay/"], "files", "/pay/x", Some("!*/pay/"));
        check(&["files/", "!*/pay/"], "files", "/other", Some("files/"));
        check(&["files/pay/x/", "!*/pay/"], "files", "/pay/x/y", Some("!*/pay/"));
        check(&["*/pay/x/", "!bank/pay/"], "bank", "/pay/x/y", Some("!bank/pay/"));
        check(&["*/pay/x/", "!bank/pay/"], "other", "/pay/x/y", Some("*/pay/x/"));
        check(&["!*/pay/", "!bank/", "!bank/pay/x"], "bank", "/pay/x", Some("!bank/pay/x"));
        check(&["!*/pay/", "!bank/", "!bank/pay/x"], "bank", "/pay/z", Some("!bank/"));
        check(&["*/", "bank/a", "bank/a/b"], "bank", "/a/b", Some("bank/a/b"));
        check(&["!*/pay/"], "bank", "/other", None);
    }

    proptest! {
        /// As by looking at each in turn.
        #[test]
        fn an_index_finds_what_a_look_at_each_does(
            routes in prop::collection::vec("!?(\\*|a|b)(/[ab]{1,2}){0,3}/?", 0..12),
            host in "[abc]", path in "(/[ab]{1,2}){0,4}/?",
        ) {
            let routes = routes.iter().map(|text| if text.contains('/') { text.clone() } else { format!("{text}/") });
            let table = Routes::new(routes.map(|text| entry(&text)).collect(), Vec::new());
            let path = if path.is_empty() { "/" } else { &path };
            let each = table.entries.iter().find(|entry| entry.rule.takes(&host, path));
            let each = each.map(|entry| (&entry.route, &entry.rule));
            prop_assert_eq!(named(table.find(Side::Core, &host, path)), named(each));
        }
    }
}
