//! Problems: what is wrong with the configuration, where, and what to do about it.

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};
use serde_json::{Value, json};
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;

/// One mistake in one file.
#[derive(Clone, Debug)]
pub struct Problem {
    source: Arc<NamedSource<String>>,
    span: Option<Range<usize>>,
    message: String,
    hint: String,
}

impl Problem {
    pub(super) fn new(
        source: &Arc<NamedSource<String>>,
        span: Option<Range<usize>>,
        message: String,
        hint: String,
    ) -> Self {
        Self { source: Arc::clone(source), span, message, hint }
    }

    /// The file, relative to the configuration directory.
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// Line and column, both from one; columns count characters. The first place where the file as a whole is at fault.
    pub fn place(&self) -> (usize, usize) {
        let start = self.span.as_ref().map_or(0, |span| span.start);
        let before = self.source.inner().get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let line = before.matches('\n').count().saturating_add(1);
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        (line, column.saturating_add(1))
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.hint))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.span.as_ref().map(|_| {
            let source: &dyn SourceCode = &self.source;
            source
        })
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.span.clone()?;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(None, span))))
    }
}

/// How problems are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rendering {
    /// With a snippet and a caret, in colour.
    Colour,
    /// With a snippet and a caret, without colour.
    Plain,
    /// One JSON array.
    Json,
}

/// How many problems people are shown at once; programs are told all.
const PROBLEMS_SHOWN: usize = 50;

/// How many of the words that are allowed are shown.
const ALLOWED_SHOWN: usize = 40;

/// Every mistake that was found, by file and place.
#[derive(Clone, Debug)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorts problems by file and place.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_cached_key(|problem| {
            (problem.file().to_owned(), problem.place(), problem.message.clone())
        });
        Self(problems)
    }

    /// The problems.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, for people or for programs.
    pub fn render(&self, rendering: Rendering) -> String {
        let theme = match rendering {
            Rendering::Json => return self.json().to_string(),
            Rendering::Colour => GraphicalTheme::unicode(),
            Rendering::Plain => GraphicalTheme::unicode_nocolor(),
        };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(120);
        let mut text = String::new();
        for problem in self.0.iter().take(PROBLEMS_SHOWN) {
            if problem.span.is_none() {
                text.push_str(problem.file());
                text.push('\n');
            }
            // Writing into a string does not fail.
            let _infallible = handler.render_report(&mut text, problem);
        }
        let more = self.0.len().saturating_sub(PROBLEMS_SHOWN);
        if more > 0 {
            let _infallible = writeln!(text, "and {more} more problems: mend these first");
        }
        text
    }

    fn json(&self) -> Value {
        let rows = self.0.iter().map(|problem| {
            let (line, column) = problem.place();
            json!({
                "file": problem.file(), "line": line, "column": column,
                "message": problem.message, "hint": problem.hint,
            })
        });
        Value::Array(rows.collect())
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Rendering::Plain))
    }
}

impl std::error::Error for Problems {}

/// A hint that names the word that was probably meant, and all that are allowed.
pub(super) fn suggest<'a>(word: &str, allowed: impl IntoIterator<Item = &'a str>) -> String {
    let allowed: Vec<&str> = allowed.into_iter().collect();
    let nearest = allowed
        .iter()
        .map(|known| (strsim::damerau_levenshtein(word, known), *known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().max(word.len()) / 3);
    let meant = nearest.map(|(_, known)| format!("did you mean `{known}`? "));
    let (few, rest) = allowed.split_at(allowed.len().min(ALLOWED_SHOWN));
    let list = match rest.len() {
        _ if few.is_empty() => "nothing".to_owned(),
        0 => few.join(", "),
        more => format!("{} and {more} more", few.join(", ")),
    };
    format!("{}allowed here: {list}", meant.unwrap_or_default())
}
