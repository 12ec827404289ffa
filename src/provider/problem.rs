//! What is wrong with a provider's configuration: where, what, and what to do.

use std::ops::Range;

/// Where a problem lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// These bytes of the provider's own file.
    File(Range<usize>),
    /// This key of the provider's deployment, in the main configuration: `url`, `secrets`, `vars`, `ca`, `tls`.
    Deployment(&'static str),
}

/// One problem; a compile reports all that it finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it lies.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Collects problems, so that all are reported at once.
#[derive(Debug, Default)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    pub(crate) fn file(&mut self, span: Range<usize>, message: impl Into<String>, hint: &str) {
        self.push(Place::File(span), message.into(), hint);
    }

    pub(crate) fn deployment(&mut self, key: &'static str, message: impl Into<String>, hint: &str) {
        self.push(Place::Deployment(key), message.into(), hint);
    }

    fn push(&mut self, place: Place, message: String, hint: &str) {
        let hint = Some(hint).filter(|hint| !hint.is_empty()).map(str::to_owned);
        self.0.push(Problem { place, message, hint });
    }
}

/// The known word nearest to `word`, as a hint; else the list of them.
pub(crate) fn did_you_mean<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> String {
    const NEAR: f64 = 0.5;
    let known: Vec<&str> = known.into_iter().collect();
    let near = known
        .iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(word, candidate), candidate))
        .filter(|(score, _)| *score >= NEAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match near {
        Some((_, candidate)) => format!("did you mean `{candidate}`?"),
        None => format!("known: {}", known.join(", ")),
    }
}
