//! Reading one file: from TOML to its file struct, collecting every mistake on the way.
//!
//! Deserialization stops at the first mistake. So each mistake is noted, the entry that holds it is cut out, and the rest is
//! read again until nothing is wrong any more.

use super::problem::{Problem, suggest};
use miette::NamedSource;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The most mistakes that are reported of one file; somebody pointed at the wrong file.
const PROBLEMS_MAX: usize = 200;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) span: Range<usize>,
    pub(super) value: T,
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for At<T> {}

impl<T: Ord> PartialOrd for At<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> Ord for At<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { span: spanned.span(), value: spanned.into_inner() })
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// One file while it is checked.
#[derive(Debug)]
pub(super) struct Sheet {
    source: Arc<NamedSource<String>>,
    problems: Vec<Problem>,
    /// Entries that were cut out: the table and the key. What is cut out is not missing.
    cut: Vec<(Range<usize>, String)>,
    /// Whether it is valid TOML; otherwise what seems missing may only be unreadable.
    whole: bool,
}

/// A file and what stands in it, as far as it can be read.
#[derive(Debug)]
pub(super) struct Opened<T> {
    pub(super) sheet: Sheet,
    /// The file's name without `.toml`.
    pub(super) stem: String,
    pub(super) file: T,
}

impl Sheet {
    pub(super) fn new(name: &str, text: String) -> Self {
        let source = Arc::new(NamedSource::new(name, text));
        Self { source, problems: Vec::new(), cut: Vec::new(), whole: true }
    }

    /// Reads the text of `name` in `dir`.
    pub(super) fn open(dir: &Path, name: &str) -> Self {
        let path = dir.join(name);
        let long = fs::metadata(&path).is_ok_and(|about| about.len() > FILE_BYTES_MAX);
        let (text, fault) = if long {
            (String::new(), Some(format!("`{name}` is longer than {FILE_BYTES_MAX} bytes")))
        } else {
            match fs::read_to_string(&path) {
                Ok(text) => (text, None),
                Err(error) => (String::new(), Some(format!("`{name}` cannot be read: {error}"))),
            }
        };
        let mut sheet = Self::new(name, text);
        if let Some(fault) = fault {
            sheet.whole = false;
            let hint = format!("Hefu needs to read `{}` as UTF-8 text", path.display());
            sheet.problems.push(Problem::new(&sheet.source, None, fault, hint));
        }
        sheet
    }

    /// Its text.
    pub(super) fn text(&self) -> &str {
        self.source.inner()
    }

    /// Its name, relative to the configuration directory.
    pub(super) fn name(&self) -> &str {
        self.source.name()
    }

    /// What was found.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Notes a problem at `span`, unless the file is not even valid TOML.
    pub(super) fn problem(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        if self.whole {
            self.note(Some(span.clone()), message.into(), hint.into());
        }
    }

    /// The value of `key`, or a problem at its table.
    pub(super) fn need<T>(
        &mut self,
        value: Option<T>,
        table: &Range<usize>,
        key: &str,
        hint: &str,
    ) -> Option<T> {
        if value.is_none() && !self.is_cut(table, key) {
            self.problem(table, format!("`{key}` is missing"), hint);
        }
        value
    }

    /// Whether a value of `table` could not be read, which was said.
    pub(super) fn is_cut(&self, table: &Range<usize>, key: &str) -> bool {
        self.cut.iter().any(|(span, name)| span == table && name == key)
    }

    fn note(&mut self, span: Option<Range<usize>>, message: String, hint: String) {
        self.problems.push(Problem::new(&self.source, span, message, hint));
    }

    /// Whether the line at `span` has a problem already.
    pub(super) fn is_blamed(&self, span: &Range<usize>) -> bool {
        let before = self.text().get(..span.start).unwrap_or_default();
        let line = before.matches('\n').count().saturating_add(1);
        self.problems.iter().any(|problem| problem.place().0 == line)
    }
}

impl<T: DeserializeOwned + Default> Opened<T> {
    /// Reads `name` in `dir`; what cannot be read is left out.
    pub(super) fn open(dir: &Path, name: &str) -> Self {
        Self::of(name, Sheet::open(dir, name))
    }

    /// Its name and its text.
    pub(super) fn named(&self) -> (String, String) {
        (self.sheet.name().to_owned(), self.sheet.text().to_owned())
    }

    /// Reads `text` as the file `name`.
    pub(super) fn read(name: &str, text: String) -> Self {
        Self::of(name, Sheet::new(name, text))
    }

    fn of(name: &str, mut sheet: Sheet) -> Self {
        let file = if sheet.whole { deserialize(&mut sheet) } else { T::default() };
        let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str());
        Self { stem: stem.unwrap_or(name).to_owned(), sheet, file }
    }

    /// A file that need not be there.
    pub(super) fn absent(name: &str) -> Self {
        Self { sheet: Sheet::new(name, String::new()), stem: name.to_owned(), file: T::default() }
    }
}

fn deserialize<T: DeserializeOwned + Default>(sheet: &mut Sheet) -> T {
    let source = Arc::clone(&sheet.source);
    let (mut root, errors) = DeTable::parse_recoverable(source.inner());
    for error in &errors {
        sheet.whole = false;
        let hint = "what seems missing is looked for when the file is valid TOML";
        sheet.note(error.span(), format!("not TOML: {}", error.message()), hint.to_owned());
    }
    while sheet.problems.len() < PROBLEMS_MAX {
        let error = match T::deserialize(toml::Deserializer::from(root.clone())) {
            Ok(file) => return file,
            Err(error) => error,
        };
        let root_span = root.span();
        let cut = error.span().and_then(|span| cut_table(root.get_mut(), &root_span, &span));
        // After a syntax error the rest of its line may be read as something that was never meant.
        let follows = !sheet.whole && error.span().is_some_and(|span| sheet.is_blamed(&span));
        if !follows {
            let (message, hint) = explain(&error);
            sheet.note(error.span(), message, hint);
        }
        match cut {
            Some(Cut::Entry(table, key)) => sheet.cut.push((table, key)),
            Some(Cut::Member) => (),
            None => break,
        }
    }
    T::default()
}

enum Cut {
    Entry(Range<usize>, String),
    Member,
}

/// Cuts out the innermost entry whose key or value stands at `span`.
fn cut_table(table: &mut DeTable<'_>, at: &Range<usize>, span: &Range<usize>) -> Option<Cut> {
    for (_, value) in table.iter_mut() {
        if let Some(cut) = cut_value(value, span) {
            return Some(cut);
        }
    }
    let (key, _) =
        table.iter().find(|(key, value)| key.span() == *span || value.span() == *span)?;
    let key = key.get_ref().to_string();
    table.remove(key.as_str())?;
    Some(Cut::Entry(at.clone(), key))
}

fn cut_value(value: &mut Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<Cut> {
    let at = value.span();
    match value.get_mut() {
        DeValue::Table(table) => cut_table(table, &at, span),
        DeValue::Array(array) => {
            if let Some(cut) = array.iter_mut().find_map(|member| cut_value(member, span)) {
                return Some(cut);
            }
            let before = array.len();
            *array = array.iter().filter(|member| member.span() != *span).cloned().collect();
            (array.len() < before).then_some(Cut::Member)
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => None,
    }
}

/// Our words for what the deserializer says, and a hint.
///
/// A type's own check writes its hint on the second line. The rest is serde's wording, with what it names in backticks.
fn explain(error: &Error) -> (String, String) {
    let text = error.message();
    if let Some((message, hint)) = text.split_once('\n') {
        return (message.to_owned(), hint.to_owned());
    }
    let mut quoted = text.split('`').skip(1).step_by(2);
    for (known, what) in [("unknown field", "key"), ("unknown variant", "word")] {
        if text.starts_with(known) {
            let word = quoted.next().unwrap_or_default();
            return (format!("unknown {what} `{word}`"), suggest(word, quoted));
        }
    }
    if text.contains("newtype variant") {
        let hint = "this word needs a value, such as `{ enforce = 10 }`";
        return ("a word without its value".to_owned(), hint.to_owned());
    }
    let hint = match text.split_once(", expected ") {
        Some((_, expected)) => format!("write {expected} here"),
        None => "see the schema that `hefu schema` prints".to_owned(),
    };
    (text.to_owned(), hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct File {
        name: String,
        count: u8,
        list: Vec<At<u8>>,
        row: Vec<Row>,
        map: BTreeMap<At<String>, bool>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Row {
        key: Option<String>,
        more: Option<Box<Row>>,
    }

    fn check(text: &str, expected: &[&str]) {
        let mut sheet = Sheet::new("test.toml", text.to_owned());
        let _file: File = deserialize(&mut sheet);
        let found: Vec<String> = sheet
            .into_problems()
            .iter()
            .map(|problem| format!("{:?} {problem}", problem.place()))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn every_mistake_of_a_file_is_found() {
        check("name = 'x'\ncount = 3", &[]);
        check(
            "nmae = 'x'\ncount = 300\nlist = [1, 'a', 2, true]",
            &[
                "(2, 9) invalid value: integer `300`, expected u8",
                "(3, 12) invalid type: string \"a\", expected u8",
                "(3, 20) invalid type: boolean `true`, expected u8",
                "(1, 1) unknown key `nmae`",
            ],
        );
        check(
            "[[row]]\nkey = 1\n[[row]]\nkeys = 'x'\n[row.more]\nmore.key = 5\n[map]\na = true\n'b c' = 2",
            &[
                "(9, 9) invalid type: integer `2`, expected a boolean",
                "(2, 7) invalid type: integer `1`, expected a string",
                "(4, 1) unknown key `keys`",
                "(6, 12) invalid type: integer `5`, expected a string",
            ],
        );
    }

    #[test]
    fn a_syntax_error_does_not_hide_the_rest() {
        check(
            "name = \nlist = ['a']\nother = 1\nlist = []",
            &[
                "(1, 8) not TOML: string values must be quoted, expected literal string",
                "(4, 1) not TOML: duplicate key",
                "(2, 9) invalid type: string \"a\", expected u8",
                "(3, 1) unknown key `other`",
            ],
        );
    }
}
