//! XML 1.0, read strictly: one root of the name and namespace that the profile gives, no DTD, no prefixes; and the tail after it.

use crate::message::node::{DEPTH_MAX, ENTRIES_MAX, Entries, Node, ReadError};
use crate::message::profile::XmlRule;
use encoding_rs::Encoding;
use regex::bytes::Regex;
use roxmltree::{Document, ParsingOptions};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The most attributes of one tag.
const ATTRIBUTES_MAX: usize = 256;

/// The XML declaration (XML 1.0 production 23) as every reader takes it.
static DECLARATION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let quoted = |name: &str, value: &str| format!(r#"\s+{name}\s*=\s*(?:"{value}"|'{value}')"#);
    let version = quoted("version", r"1\.0");
    let standalone = quoted("standalone", "(?:yes|no)");
    let encoding = r#"\s+encoding\s*=\s*(?:"([A-Za-z][\w.\-]*)"|'([A-Za-z][\w.\-]*)')"#;
    Regex::new(&format!(r"\A<\?xml(?-u:{version}(?:{encoding})?(?:{standalone})?\s*\?>)")).ok()
});

/// The charset that the XML declaration names, where there is one.
///
/// # Errors
/// [`ReadError::Ambiguous`] for a declaration that readers take differently.
pub fn declared(body: &[u8]) -> Result<Option<Cow<'_, str>>, ReadError> {
    if !body.starts_with(b"<?xml") {
        return Ok(None);
    }
    let found = DECLARATION.as_ref().and_then(|pattern| pattern.captures(body));
    let found = found.ok_or_else(|| {
        ReadError::ambiguous("xml", "a declaration that some readers do not take")
    })?;
    let named = found.get(1).or(found.get(2));
    Ok(named.map(|name| String::from_utf8_lossy(name.as_bytes())))
}

/// The charset named by the declaration.
///
/// # Errors
/// As [`declared`], and [`ReadError::Unreadable`] for one that is not supported.
pub fn encoding(body: &[u8]) -> Result<Option<&'static Encoding>, ReadError> {
    let Some(label) = declared(body)? else { return Ok(None) };
    crate::message::charset::by_label(&label)
        .map(Some)
        .ok_or_else(|| ReadError::unreadable("charset", "an unsupported charset"))
}

/// Parses a document and the tail that `rule` allows after it. Paths begin below the root.
///
/// # Errors
/// [`ReadError::Ambiguous`] for what readers take differently: a DTD, prefixes, another namespace, anything else after the
/// root; [`ReadError::Unreadable`] for what is no XML, another root, too deep or too much.
pub fn parse<'b>(text: &str, rule: &XmlRule) -> Result<Node<'b>, ReadError> {
    let unreadable = |what| ReadError::unreadable("xml", what);
    let document = without_tail(text, rule)?;
    if document.contains("<!DOCTYPE") {
        return Err(ReadError::ambiguous("xml", "a document type"));
    }
    if !has_few_attributes(document) {
        return Err(unreadable("too many attributes"));
    }
    let nodes = u32::try_from(ENTRIES_MAX.saturating_mul(4)).unwrap_or(u32::MAX);
    let options = ParsingOptions { allow_dtd: false, nodes_limit: nodes, entity_resolver: None };
    let parsed = Document::parse_with_options(document, options)
        .map_err(|_| unreadable("not an XML document"))?;
    let root = parsed.root_element();
    if root.tag_name().name() != rule.root {
        return Err(unreadable("another root element"));
    }
    let reader = Reader { text: document, namespace: rule.namespace.as_deref() };
    let mut entries = ENTRIES_MAX;
    match reader.value(root, DEPTH_MAX, &mut entries)? {
        Node::Text(text) if text.is_empty() => Ok(Node::Map(Entries::default())),
        node @ Node::Map(_) => Ok(node),
        Node::Text(_) | Node::Null | Node::List(_) | Node::Sealed | Node::Unclear(_) => {
            Err(unreadable("text where elements were expected"))
        }
    }
}

/// Whether no tag has more than [`ATTRIBUTES_MAX`] attributes, and all tags that declare namespaces no more together: the parser
/// compares each attribute with all before it, and each declaration with all that it inherits.
fn has_few_attributes(document: &str) -> bool {
    let mut declaring = 0_usize;
    // Within a tag that is well formed stands no other `<`, so each tag is seen; in comments and sections more may be.
    document.split('<').skip(1).filter(|piece| !piece.starts_with(['/', '!', '?'])).all(|piece| {
        let (mut count, mut quote) = (0_usize, None);
        for byte in piece.bytes() {
            match (quote, byte) {
                (None, b'>') => break,
                (None, b'=') => count = count.saturating_add(1),
                (None, b'"' | b'\'') => quote = Some(byte),
                (Some(open), _) if open == byte => quote = None,
                (None | Some(_), _) => (),
            }
        }
        if count > 0 && piece.contains("xmlns") {
            declaring = declaring.saturating_add(count);
        }
        count <= ATTRIBUTES_MAX && declaring <= ATTRIBUTES_MAX
    })
}

/// The document, where what follows it is what the profile allows: white space, or its tail.
fn without_tail<'t>(text: &'t str, rule: &XmlRule) -> Result<&'t str, ReadError> {
    let Some(tail) = &rule.tail else { return Ok(text) };
    let end = format!("</{}>", rule.root);
    // A document ends with its root's end tag, so the last one there is ends it; a root without content has none.
    let Some(at) = text.rfind(&end) else { return Ok(text) };
    let (document, rest) =
        text.split_at_checked(at.saturating_add(end.len())).unwrap_or((text, ""));
    let whole = tail.find(rest).is_some_and(|found| found.len() == rest.len());
    if whole || rest.trim().is_empty() {
        Ok(document)
    } else {
        Err(ReadError::ambiguous("xml", "text after the document that the profile does not list"))
    }
}

struct Reader<'t> {
    text: &'t str,
    namespace: Option<&'t str>,
}

impl Reader<'_> {
    fn value<'b>(
        &self,
        element: roxmltree::Node<'_, '_>,
        depth: usize,
        entries: &mut usize,
    ) -> Result<Node<'b>, ReadError> {
        let unreadable = |what| ReadError::unreadable("xml", what);
        let depth = depth.checked_sub(1).ok_or_else(|| unreadable("nested too deeply"))?;
        let name = element.tag_name();
        let source = self.text.get(element.range()).unwrap_or_default();
        if !source.get(1..).is_some_and(|tag| tag.starts_with(name.name())) {
            return Err(ReadError::ambiguous("xml", "an element with a prefix"));
        }
        if name.namespace() != self.namespace {
            return Err(ReadError::ambiguous("xml", "another namespace than the profile's"));
        }
        let mut children: Vec<(Cow<'b, str>, Node<'b>)> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut words = false;
        for child in element.children() {
            if child.is_text() {
                words |= !child.text().unwrap_or_default().trim().is_empty();
            }
            if !child.is_element() {
                continue;
            }
            *entries = entries.checked_sub(1).ok_or_else(|| unreadable("too many elements"))?;
            let node = self.value(child, depth, entries)?;
            let name = child.tag_name().name();
            match places.get(name).and_then(|at| children.get_mut(*at)) {
                Some((_, Node::List(members))) => members.push(node),
                Some((_, first)) => {
                    let earlier = std::mem::replace(first, Node::Null);
                    *first = Node::List(vec![earlier, node]);
                }
                None => {
                    places.insert(name.to_owned(), children.len());
                    children.push((Cow::Owned(name.to_owned()), node));
                }
            }
        }
        Ok(match (children.is_empty(), words) {
            (true, _) => leaf(element, source),
            (false, false) => Node::Map(children.into_iter().collect()),
            (false, true) => Node::Unclear("text between elements"),
        })
    }
}

/// The text of an element without children.
fn leaf<'b>(element: roxmltree::Node<'_, '_>, source: &str) -> Node<'b> {
    let text = element.text().unwrap_or_default();
    let inside = source.split_once('>').map_or("", |(_, rest)| rest);
    let inside = inside.rsplit_once("</").map_or("", |(inside, _)| inside);
    let sections = inside.matches("<![CDATA[").count();
    let only_section = sections == 1 && inside.starts_with("<![CDATA[") && inside.ends_with("]]>");
    if element.attributes().len() > 0 {
        Node::Unclear("an attribute on an element with text")
    } else if element.children().any(|child| !child.is_text()) {
        Node::Unclear("a comment or an instruction within text")
    } else if sections > 0 && !only_section {
        Node::Unclear("a CDATA section beside text")
    } else if text.trim() != text {
        Node::Unclear("white space around text")
    } else if source.contains('\r') {
        Node::Unclear("a carriage return within text")
    } else {
        Node::Text(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::path::Path;
    use proptest::prelude::*;

    fn rule(tail: Option<&str>, namespace: Option<&str>) -> XmlRule {
        let tail = tail.map(|tail| regex::Regex::new(tail).unwrap());
        XmlRule { root: "m".to_owned(), namespace: namespace.map(str::to_owned), tail }
    }

    fn found(text: &str, rule: &XmlRule, path: &str) -> String {
        let found = parse(text, rule).and_then(|node| {
            let found = node.find(&Path::parse(path).unwrap())?;
            Ok(found.text().map_or("absent".to_owned(), str::to_owned))
        });
        found.unwrap_or_else(|error| match error {
            ReadError::Ambiguous { what, .. } => format!("ambiguous: {what}"),
            ReadError::Unreadable { what, .. } => format!("unreadable: {what}"),
        })
    }

    #[test]
    fn documents_read_as_every_reader_reads_them() {
        let check = |inside: &str, expected: &str| {
            assert_eq!(
                found(&format!("<m>{inside}</m>"), &rule(None, None), "a/b"),
                expected,
                "{inside}"
            );
        };
        check("<a><b>1</b></a>", "1");
        check("\r\n  <a>\r\n<b>张·三</b><!-- x --></a>\n", "张·三");
        check("<a><b>&lt;&#x5F20;&amp;</b></a>", "<张&");
        check("<a><b><![CDATA[1&2]]></b></a>", "1&2");
        check("<a><b/></a>", "absent");
        check("<a/>", "absent");
        check("", "absent");
        check("<c>text</c><a><c> spaced </c><b>1</b></a>", "1");
        check("<a><b>1</b><b>2</b></a>", "ambiguous: a list, or a repeated element");
        check("<a><b>1</b></a><a><b>1</b></a>", "ambiguous: a list, or a repeated element");
        check("<a><b>1</b><B>2</B></a>", "ambiguous: a key that some readers take for another");
        check("<a><b> 1</b></a>", "ambiguous: white space around text");
        check("<a><b>1&#13;2</b></a>", "1\r2");
        check("<a><b>1\r\n2</b></a>", "ambiguous: a carriage return within text");
        check("<a><b>1<!-- -->2</b></a>", "ambiguous: a comment or an instruction within text");
        check("<a><b>1<?x?></b></a>", "ambiguous: a comment or an instruction within text");
        check("<a><b>1<![CDATA[2]]></b></a>", "ambiguous: a CDATA section beside text");
        check("<a><b x='1'>1</b></a>", "ambiguous: an attribute on an element with text");
        check("<a>0<b>1</b></a>", "ambiguous: text between elements");
        check("<x:a xmlns:x='y'><b>1</b></x:a>", "ambiguous: an element with a prefix");
        check("<a xmlns='y'><b>1</b></a>", "ambiguous: another namespace than the profile's");
        check("<a><b>&amp</b></a>", "unreadable: not an XML document");
        check("<a><b>&e;</b></a>", "unreadable: not an XML document");
        check("<a><b>&#0;</b></a>", "unreadable: not an XML document");
        check("<a><b>1</a></b>", "unreadable: not an XML document");
        check("<a><b>]]></b></a>", "unreadable: not an XML document");
        check("words", "unreadable: text where elements were expected");
    }

    #[test]
    fn one_root_of_the_profile_and_nothing_but_its_tail() {
        let check = |text: &str, rule: &XmlRule, expected: &str| {
            assert_eq!(found(text, rule, "a"), expected, "{text}");
        };
        let plain = rule(None, None);
        check("<?xml version=\"1.0\" encoding=\"GBK\"?>\n<m><a>1</a></m>\r\n", &plain, "1");
        check("<n><a>1</a></n>", &plain, "unreadable: another root element");
        check("<m><a>1</a></m><m><a>2</a></m>", &plain, "unreadable: not an XML document");
        check("<m><a>1</a></m>x", &plain, "unreadable: not an XML document");
        check("\u{FEFF}<m><a>1</a></m>", &plain, "1");
        check("<!DOCTYPE m><m><a>1</a></m>", &plain, "ambiguous: a document type");
        check(
            "<!DOCTYPE m [<!ENTITY e '1'>]><m><a>&e;</a></m>",
            &plain,
            "ambiguous: a document type",
        );
        let spaced = rule(None, Some("urn:x"));
        check("<m xmlns='urn:x'><a>1</a></m>", &spaced, "1");
        check("<m><a>1</a></m>", &spaced, "ambiguous: another namespace than the profile's");
        check(
            "<m xmlns='urn:x'><a xmlns=''>1</a></m>",
            &spaced,
            "ambiguous: another namespace than the profile's",
        );
        let tailed = rule(Some(r"\s*\{S:[A-Za-z0-9+/=]+\}\s*"), None);
        check("<m><a>1</a></m>\r\n{S:AbC+/=}\n", &tailed, "1");
        check("<m><a>1</a></m>", &tailed, "1");
        check("<m/>{S:A}", &tailed, "unreadable: not an XML document");
        check(
            "<m><a>1</a></m>{S:A}x",
            &tailed,
            "ambiguous: text after the document that the profile does not list",
        );
        check(
            "<m><a>1</a></m>{S:A}<m><a>2</a></m>{S:A}",
            &tailed,
            "unreadable: not an XML document",
        );
    }

    #[test]
    fn the_declaration_names_the_charset() {
        let check = |body: &str, expected: Result<Option<&str>, ()>| {
            let named = declared(body.as_bytes());
            let named = named.as_ref().map(Option::as_deref).map_err(|_| ());
            assert_eq!(named, expected, "{body}");
        };
        check("<m/>", Ok(None));
        check("<?xml version=\"1.0\"?><m/>", Ok(None));
        check("<?xml version='1.0' encoding='GBK'?><m/>", Ok(Some("GBK")));
        check(
            "<?xml version=\"1.0\" encoding = \"UTF-8\" standalone=\"yes\" ?>",
            Ok(Some("UTF-8")),
        );
        check("<?xml encoding=\"GBK\" version=\"1.0\"?>", Err(()));
        check("<?xml version=\"1.1\"?>", Err(()));
        check("<?xml version=\"1.0\" encoding=\"GBK\" encoding=\"UTF-8\"?>", Err(()));
        check("<?xml", Err(()));
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = format!("<m>{}1{}</m>", "<a>".repeat(10_000), "</a>".repeat(10_000));
        assert!(parse(&deep, &rule(None, None)).is_err());
        let wide = format!("<m>{}</m>", "<a/>".repeat(ENTRIES_MAX + 1));
        assert!(parse(&wide, &rule(None, None)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(<m>)?([<>/&;#x!\\[\\]?a-c='\" \r\n-]|<a>|</a>|<!--|-->|CDATA\\[|张){0,60}(</m>)?") {
            let _ = parse(&text, &rule(Some("x*"), None));
        }
    }
}
