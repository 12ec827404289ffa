//! A message as a tree of texts, and the strict look-up that ambiguity cannot slip through.

use crate::domain::payment::ROWS_MAX;
use crate::message::key::Key;
use crate::message::path::Path;
use std::borrow::Cow;

/// The most entries in one message; parsers stop there.
pub const ENTRIES_MAX: usize = 32_768;

/// The deepest nesting that is read.
pub const DEPTH_MAX: usize = 16;

/// The longest name of an order, a merchant or an agreement; sealed ones of 2048 bits have 344 in base64.
pub const NAME_BYTES_MAX: usize = 512;

/// Part of a message. Numbers and booleans are the text that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node<'a> {
    /// A text, number or boolean.
    Text(Cow<'a, str>),
    /// JSON's `null`: read as absent.
    Null,
    /// Entries in the order written; keys may repeat.
    Map(Entries<'a>),
    /// A list.
    List(Vec<Node<'a>>),
    /// Sealed content that we have no key to.
    Sealed,
    /// What readers take differently, and why; it matters only where the profile looks.
    Unclear(&'static str),
}

/// A key and what stands under it.
type Entry<'a> = (Key<'a>, Node<'a>);

/// The entries of a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries<'a>(Vec<Entry<'a>>);

impl<'a> Entries<'a> {
    /// None, and room for so many.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// What entries of another map became, whose keys are looked at already.
    pub fn of(entries: impl Iterator<Item = Entry<'a>>) -> Self {
        Self(entries.collect())
    }

    /// Adds one.
    pub fn push(&mut self, (key, node): (Cow<'a, str>, Node<'a>)) {
        self.0.push((key.into(), node));
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each, in the order written.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry<'a>> {
        self.0.iter()
    }

    /// What stands under each key, in the order written.
    pub fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node<'a>> {
        self.0.iter_mut().map(|(_, node)| node)
    }

    fn get(&self, key: &Key<'_>) -> Result<Option<&Node<'a>>, &'static str> {
        only(self.0.iter().map(|(written, node)| (written, node)), key)
    }

    fn get_mut(&mut self, key: &Key<'_>) -> Result<Option<&mut Node<'a>>, &'static str> {
        only(self.0.iter_mut().map(|(written, node)| (&*written, node)), key)
    }
}

/// What stands under `key`, if that is written once and has no twin.
fn only<'e, 'a: 'e, N>(
    entries: impl Iterator<Item = (&'e Key<'a>, N)>,
    key: &Key<'_>,
) -> Result<Option<N>, &'static str> {
    let mut found = None;
    for (written, node) in entries.filter(|(written, _)| written.may_be(key)) {
        if written == key {
            if found.replace(node).is_some() {
                return Err("a repeated key");
            }
        } else if written.is_twin(key) {
            return Err("a key that some readers take for another");
        }
    }
    Ok(found)
}

impl<'a> FromIterator<(Cow<'a, str>, Node<'a>)> for Entries<'a> {
    fn from_iter<I: IntoIterator<Item = (Cow<'a, str>, Node<'a>)>>(entries: I) -> Self {
        Self::of(entries.into_iter().map(|(key, node)| (key.into(), node)))
    }
}

impl<'e, 'a> IntoIterator for &'e Entries<'a> {
    type Item = &'e Entry<'a>;
    type IntoIter = std::slice::Iter<'e, Entry<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for Entries<'a> {
    type Item = Entry<'a>;
    type IntoIter = std::vec::IntoIter<Entry<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Why a message cannot be judged as one thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Two readers could read it differently.
    #[error("{what} at `{at}`")]
    Ambiguous {
        /// The field, as the profile names it.
        at: String,
        /// What is ambiguous.
        what: &'static str,
    },
    /// It is not what the profile says.
    #[error("{what} at `{at}`")]
    Unreadable {
        /// The field, as the profile names it.
        at: String,
        /// What is wrong.
        what: &'static str,
    },
}

impl ReadError {
    /// An ambiguity at `at`.
    pub fn ambiguous(at: impl ToString, what: &'static str) -> Self {
        Self::Ambiguous { at: at.to_string(), what }
    }

    /// A fault at `at`.
    pub fn unreadable(at: impl ToString, what: &'static str) -> Self {
        Self::Unreadable { at: at.to_string(), what }
    }
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'n> {
    /// A text, which may be empty.
    Text(&'n str),
    /// Nothing, or `null`.
    Absent,
    /// It lies in sealed content.
    Sealed,
}

/// Where a path leads.
enum Reached<'n, 'a> {
    Node(&'n Node<'a>),
    Absent,
}

impl<'n> Found<'n> {
    /// The text, where there is one that is not empty.
    pub fn text(self) -> Option<&'n str> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            Self::Text(_) | Self::Absent | Self::Sealed => None,
        }
    }
}

/// A message, and of a batch one row.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'n, 'a> {
    root: &'n Node<'a>,
    row: Option<&'n Node<'a>>,
}

impl<'n, 'a> Scope<'n, 'a> {
    /// The whole message.
    pub const fn whole(root: &'n Node<'a>) -> Self {
        Self { root, row: None }
    }

    /// One row of it.
    #[must_use]
    pub const fn row(self, row: &'n Node<'a>) -> Self {
        Self { row: Some(row), ..self }
    }

    /// The text at `path`, which is read in the row where it says so.
    ///
    /// # Errors
    /// As [`Node::find`].
    pub fn find(self, path: &Path) -> Result<Found<'n>, ReadError> {
        match self.row.filter(|_| path.in_row()) {
            Some(row) => row.find(path),
            None if path.in_row() => Ok(Found::Absent),
            None => self.root.find(path),
        }
    }

    /// The text at `path`, where it names something: an order, a merchant, an agreement.
    ///
    /// # Errors
    /// As [`Scope::find`]; [`ReadError::Unreadable`] for more than [`NAME_BYTES_MAX`] bytes, since every row of a batch keeps its names;
    /// [`ReadError::Ambiguous`] for white space around it or control characters within: some readers look it up without them.
    pub fn name(self, path: &Path) -> Result<Option<&'n str>, ReadError> {
        let Some(text) = self.find(path)?.text() else { return Ok(None) };
        if text.len() > NAME_BYTES_MAX {
            return Err(ReadError::unreadable(path, "a name that is too long"));
        }
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain && (text.trim() != text || text.contains(char::is_control)) {
            return Err(ReadError::ambiguous(path, "a name that some readers trim"));
        }
        Ok(Some(text))
    }

    /// The texts at `paths`, joined by `|`; `None` where one is absent or sealed, or there are no paths.
    ///
    /// # Errors
    /// As [`Node::find`].
    pub fn joined(self, paths: &[Path]) -> Result<Option<String>, ReadError> {
        let mut joined = String::with_capacity(64);
        let mut whole = true;
        for (at, path) in paths.iter().enumerate() {
            // Every part is looked at, also beside one that is absent: it may be ambiguous.
            let text = self.name(path)?;
            whole = whole && text.is_some();
            if at > 0 {
                joined.push('|');
            }
            joined.push_str(text.unwrap_or_default());
        }
        Ok((whole && !joined.is_empty()).then_some(joined))
    }
}

impl<'a> Node<'a> {
    /// The text at `path`.
    ///
    /// # Errors
    /// [`ReadError::Ambiguous`] where a key on the way repeats, or has a twin that some reader takes for it (another
    /// case, spaces around it, an index in brackets), and where a list has more members than the one that is named.
    pub fn find(&self, path: &Path) -> Result<Found<'_>, ReadError> {
        match self.reach(path)? {
            Reached::Node(Node::Text(text)) => Ok(Found::Text(text)),
            Reached::Node(Node::Null) | Reached::Absent => Ok(Found::Absent),
            Reached::Node(Node::Sealed) => Ok(Found::Sealed),
            Reached::Node(Node::Unclear(what)) => Err(ReadError::ambiguous(path, what)),
            Reached::Node(Node::List(_)) => {
                Err(ReadError::ambiguous(path, "a list, or a repeated element"))
            }
            Reached::Node(Node::Map(_)) => {
                Err(ReadError::unreadable(path, "content where a text was expected"))
            }
        }
    }

    /// The rows at `path`: the members of a list, or a single one that is not written as a list.
    ///
    /// # Errors
    /// As [`Node::find`], and [`ReadError::Unreadable`] for more than [`ROWS_MAX`] rows.
    pub fn rows(&self, path: &Path) -> Result<&[Node<'a>], ReadError> {
        let rows = match self.reach(path)? {
            Reached::Node(Node::List(members)) => members.as_slice(),
            Reached::Node(row @ Node::Map(_)) => std::slice::from_ref(row),
            Reached::Node(Node::Null) | Reached::Absent => &[],
            Reached::Node(Node::Unclear(what)) => return Err(ReadError::ambiguous(path, what)),
            Reached::Node(Node::Text(_) | Node::Sealed) => {
                return Err(ReadError::unreadable(path, "no rows"));
            }
        };
        if rows.len() > ROWS_MAX {
            return Err(ReadError::unreadable(path, "too many rows"));
        }
        Ok(rows)
    }

    /// Whether `path` leads into sealed content.
    pub fn is_sealed(&self, path: &Path) -> bool {
        matches!(self.reach(path), Ok(Reached::Node(Node::Sealed)))
    }

    fn reach(&self, path: &Path) -> Result<Reached<'_, 'a>, ReadError> {
        let mut node = self;
        for key in path.steps() {
            node = match node {
                Node::Map(entries) => match entries.get(key) {
                    Ok(Some(found)) => found,
                    Ok(None) => return Ok(Reached::Absent),
                    Err(what) => return Err(ReadError::ambiguous(path, what)),
                },
                Node::List(members) => match (key.parse::<usize>(), members.as_slice()) {
                    (Ok(0), [only]) => only,
                    (Ok(_), []) => return Ok(Reached::Absent),
                    (Ok(_), _) => return Err(ReadError::ambiguous(path, "more than one row")),
                    (Err(_), _) => {
                        return Err(ReadError::ambiguous(path, "a list, or a repeated element"));
                    }
                },
                Node::Sealed => return Ok(Reached::Node(node)),
                Node::Unclear(what) => return Err(ReadError::ambiguous(path, what)),
                Node::Null => return Ok(Reached::Absent),
                Node::Text(text) if text.is_empty() => return Ok(Reached::Absent),
                Node::Text(_) => {
                    return Err(ReadError::unreadable(path, "a text where keys were expected"));
                }
            };
        }
        Ok(Reached::Node(node))
    }

    /// The node at `path`, to be replaced by what it wraps; `None` where it is absent.
    pub(crate) fn slot(&mut self, path: &Path) -> Result<Option<&mut Node<'a>>, ReadError> {
        let mut node = self;
        for key in path.steps() {
            let Node::Map(entries) = node else {
                return Ok(None);
            };
            node = match entries.get_mut(key) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(None),
                Err(what) => return Err(ReadError::ambiguous(path, what)),
            };
        }
        Ok(Some(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::form;
    use encoding_rs::UTF_8;

    fn check(body: &str, path: &str, expected: Result<Option<&str>, &str>) {
        let node = form::parse(body.as_bytes(), UTF_8).unwrap();
        let found = node.find(&Path::parse(path).unwrap());
        let found = found.as_ref().map(|found| found.text()).map_err(|error| match error {
            ReadError::Ambiguous { what, .. } | ReadError::Unreadable { what, .. } => *what,
        });
        assert_eq!(found, expected, "{body}");
    }

    /// One batch kept its 600 kB merchant once for each of 2,000 rows; a held agreement passed with a space behind it.
    #[test]
    fn names_are_short_and_plain() {
        let check = |name: &str, expected: Result<Option<&str>, &str>| {
            let node = Node::Map(Entries::from_iter([(
                Cow::Borrowed("id"),
                Node::Text(Cow::Borrowed(name)),
            )]));
            let path = Path::parse("id").unwrap();
            let found = Scope::whole(&node).name(&path);
            let found = found.as_ref().map(|found| *found).map_err(|error| match error {
                ReadError::Ambiguous { what, .. } | ReadError::Unreadable { what, .. } => *what,
            });
            assert_eq!(found, expected, "{name:?}");
            assert_eq!(Scope::whole(&node).joined(&[path]).is_err(), expected.is_err(), "{name:?}");
        };
        check("A1", Ok(Some("A1")));
        check("", Ok(None));
        let long = "x".repeat(NAME_BYTES_MAX);
        check(&long, Ok(Some(&long)));
        check(&format!("{long}x"), Err("a name that is too long"));
        for name in ["A1 ", " A1", "A1\u{3000}", "A\t1", "A1\0", "A1\n"] {
            check(name, Err("a name that some readers trim"));
        }
    }

    /// PHP reads an unmatched `[` as `_`, C ends at NUL, Go's JSON folds `ſ` to `s` and the Kelvin sign to `k`, Java trims control
    /// characters: none of these twins was seen.
    #[test]
    fn twins_that_only_some_languages_know_are_ambiguous() {
        let twin = Err("a key that some readers take for another");
        check("data[content=1", "data_content", twin);
        check("data%5Bcontent=1&data_content=2", "data_content", twin);
        check("txnAmt%00x=1", "txnAmt", twin);
        check("txnAmt%1Fx=1", "txnAmt", twin);
        check("%01txnAmt=1", "txnAmt", twin);
        check("user%C5%BF=1", "users", twin);
        check("%E2%84%AAey=1", "key", twin);
        check("b%C4%B1nd=1", "bind", twin);
        check("data-content=1", "data_content", Ok(None));
        check("txnAmt%20x=1", "txnAmt", Ok(None));
        check("%E5%BC%A0=1", "key", Ok(None));
    }

    #[test]
    fn twins_of_a_watched_key_are_ambiguous() {
        check("a=1&amount=5", "amount", Ok(Some("5")));
        check("a=1", "amount", Ok(None));
        check("amount=", "amount", Ok(None));
        check("amount=1&amount=1", "amount", Err("a repeated key"));
        for twin in [
            "AMOUNT=9",
            "Amount=9",
            "amount%5B%5D=9",
            "+amount=9",
            "amount%20=9",
            "amount%5B0%5D=9",
            "amount%00=9",
        ] {
            check(
                &format!("amount=1&{twin}"),
                "amount",
                Err("a key that some readers take for another"),
            );
            check(twin, "amount", Err("a key that some readers take for another"));
        }
        check("txn.amt=1", "txn_amt", Err("a key that some readers take for another"));
        check("txn_amt=1", "txn.amt", Err("a key that some readers take for another"));
        check("a=1&a=2&amount=5", "amount", Ok(Some("5")));
        check("amounts=1&amount=5", "amount", Ok(Some("5")));
    }
}
