//! What the admin API is handed of configuration: who may call, how rules are read, and what files say beside what is turned.

use super::managed::InForce;
use crate::admin::access::{Callers, Named, Token};
use crate::admin::turn::{Mode, Shown};
use crate::admin::{Books as Reads, Mistake};
use crate::config::{self, Added, ChannelMode, Config, Problems};
use crate::policy::rules::Book;
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
pub(super) struct Books {
    pub(super) files: Arc<Config>,
    pub(super) in_force: InForce,
    pub(super) book: Arc<Book>,
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
