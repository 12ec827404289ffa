//! What the admin API is handed of configuration: who may call, how rules are read, and what files say beside what is turned.

use super::StartError;
use super::managed::InForce;
use super::usage;
use crate::admin::access::{Callers, Named, Token};
use crate::admin::turn::{Mode, Shown};
use crate::admin::{Books as Reads, Mistake};
use crate::config::{self, Added, ChannelMode, Config, Problems, Storage};
use crate::metrics::Metrics;
use crate::policy::rules::Book;
use crate::proxy;
use crate::service::Channel;
use crate::service::overdue::Promises;
use openssl::ssl::SslAcceptor;
use std::fmt;
use std::sync::Arc;

/// Who may call, by configuration.
pub(super) fn callers(config: &Config) -> Callers {
    let Some(admin) = &config.listen.admin else { return Callers::default() };
    let named = admin.api.operators.iter().map(|operator| Named {
        name: operator.name.clone(),
        roles: operator.roles.clone(),
        token: Token::hashed(operator.token),
    });
    let shared = admin.api.token.as_ref();
    Callers {
        shared: shared.map(|token| Token::of(&String::from_utf8_lossy(token.expose()))),
        named: named.collect(),
        per_second: admin.api.per_second,
    }
}

/// Has the metrics of what channels prove by keys be there from the start.
pub(super) fn expect(channels: &[Arc<Channel>], metrics: &Metrics) {
    for channel in channels {
        if channel.profile.notify.as_ref().is_some_and(|notify| notify.proof.is_some()) {
            metrics.expect_notifications(channel.name());
        }
    }
}

/// Reads rules beside those of `files`.
pub(super) fn books(files: &Arc<Config>, in_force: &InForce, effective: &Config) -> Arc<dyn Reads> {
    let (files, in_force) = (files.clone(), in_force.clone());
    Arc::new(Books { files, in_force, book: effective.rules.clone() })
}

/// TLS on the admin listener, which speaks HTTP/1.1.
pub(super) fn admin_door(config: &Config) -> Result<Option<Arc<SslAcceptor>>, StartError> {
    let door = config.listen.admin.as_ref().and_then(|admin| admin.api.door.as_ref());
    let door = door.map(|door| {
        let (chain, key) = (&door.own.chain, &door.own.key);
        proxy::door_for(chain, key, &door.clients, b"\x08http/1.1")
    });
    door.transpose().map_err(StartError::Door)
}

/// TLS on a listener of messages.
pub(super) fn door(door: &crate::config::Door) -> Result<Arc<SslAcceptor>, StartError> {
    proxy::door(&door.own.chain, &door.own.key, &door.clients).map_err(StartError::Door)
}

/// What channels promise.
pub(super) fn promises(config: &Config) -> Promises {
    Promises {
        levels: config.channels.iter().map(|(name, it)| (name.clone(), it.level.clone())).collect(),
        calendar: config.calendar.clone(),
    }
}

/// What `files` say, beside what is in force.
pub(super) fn shown(files: &Config, effective: &Config) -> Shown {
    let channels = files.channels.iter().filter_map(|(name, channel)| {
        let is = effective.channels.get(name)?.mode;
        Some((name.clone(), [mode(channel.mode), mode(is)]))
    });
    let providers = files.providers.iter().filter_map(|(name, provider)| {
        let is = effective.providers.get(name)?;
        let (file, is) = ((provider.enabled, provider.priority), (is.enabled, is.priority));
        Some((name.clone(), [file, is]))
    });
    Shown {
        channels: channels.collect(),
        providers: providers.collect(),
        origins: files.managing.origins.clone(),
        tables: match effective.store {
            Storage::Memory => None,
            Storage::File(_) | Storage::Postgres { .. } => Some(Arc::new(usage::tables(effective))),
        },
    }
}

const fn mode(mode: ChannelMode) -> Mode {
    match mode {
        ChannelMode::Uninspected => Mode::Uninspected,
        ChannelMode::Observe => Mode::Observe,
        ChannelMode::Enforce(percent) => Mode::Enforce(percent),
    }
}

/// Reads rules beside the files' of one configuration, with what stands in lists.
struct Books {
    files: Arc<Config>,
    in_force: InForce,
    book: Arc<Book>,
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Books").field("version", &self.book.rules.version).finish_non_exhaustive()
    }
}

impl Books {
    fn finished(&self, read: Result<Book, Problems>) -> Result<Arc<Book>, Vec<Mistake>> {
        let mut book = read.map_err(|problems| problems.iter().map(mistake).collect::<Vec<_>>())?;
        self.in_force.finish(&mut book);
        Ok(Arc::new(book))
    }
}

impl Reads for Books {
    fn in_force(&self) -> Arc<Book> {
        self.book.clone()
    }

    fn whole(
        &self,
        live: Option<(u64, &str)>,
        trial: Option<(u64, &str)>,
    ) -> Result<Arc<Book>, Vec<Mistake>> {
        self.finished(config::book(&self.files, Added { live, trial }))
    }

    fn alone(&self, text: &str) -> Result<Arc<Book>, Vec<Mistake>> {
        self.finished(config::book_alone(&self.files, "rules", text))
    }
}

fn mistake(problem: &config::Problem) -> Mistake {
    let (line, column) = problem.place();
    Mistake {
        file: problem.file().to_owned(),
        line,
        column,
        message: problem.message().to_owned(),
        hint: problem.hint().to_owned(),
    }
}
