//! XML as a strict gateway reads it, and as payment cores write it: elements and text, no prefixes, no document types.

/// An element: its own text, or the elements in it.
#[derive(Debug, Default)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// The first child of this name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first element at `a/b/c` below this one, or an empty one.
    pub(super) fn at(&self, path: &str) -> &str {
        let found = path.split('/').try_fold(self, |element, name| element.child(name));
        found.map_or("", |element| element.text.as_str())
    }

    /// The same, where it is not empty.
    pub(super) fn some(&self, path: &str) -> Option<String> {
        Some(self.at(path)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// The elements called `name` in the element at `path`.
    pub(super) fn all<'e>(&'e self, path: &str, name: &'e str) -> impl Iterator<Item = &'e Self> {
        let found = path.split('/').try_fold(self, |element, name| element.child(name));
        let children = found.map_or(&[][..], |element| &element.children);
        children.iter().filter(move |child| child.name == name)
    }
}

/// Reads a document; yields its root and what follows it. A second element of one name is left to the caller.
pub(super) fn parse(text: &str) -> Option<(Element, &str)> {
    let mut reader = Reader(text);
    if let Some(rest) = text.strip_prefix("<?xml ") {
        reader.0 = rest.split_once("?>")?.1;
    }
    reader.space_and_comments()?;
    let root = reader.element(0)?;
    Some((root, reader.0))
}

struct Reader<'t>(&'t str);

impl Reader<'_> {
    fn element(&mut self, depth: u8) -> Option<Element> {
        let mut element = Element { name: self.take("<")?.name()?, ..Element::default() };
        while !self.0.trim_start().starts_with(['>', '/']) {
            let name = self.space()?.name()?;
            let quote = self.take("=")?.0.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let (value, rest) = self.0.get(1..)?.split_once(quote)?;
            self.0 = rest;
            element.attributes.push((name, unescape(value)?));
        }
        self.0 = self.0.trim_start();
        if let Some(rest) = self.0.strip_prefix("/>") {
            self.0 = rest;
            return Some(element);
        }
        self.take(">")?;
        loop {
            if let Some(rest) = self.0.strip_prefix("<![CDATA[") {
                let (text, rest) = rest.split_once("]]>")?;
                element.text.push_str(text);
                self.0 = rest;
            } else if let Some(rest) = self.0.strip_prefix("<!--") {
                self.0 = rest.split_once("-->")?.1;
            } else if let Some(rest) = self.0.strip_prefix("</") {
                self.0 = rest;
                (self.name()? == element.name).then_some(())?;
                self.0 = self.0.trim_start();
                self.take(">")?;
                break;
            } else if self.0.starts_with('<') {
                element.children.push(self.element(depth.checked_add(1).filter(|d| *d < 32)?)?);
            } else {
                let (text, rest) = self.0.split_at(self.0.find('<')?);
                element.text.push_str(&unescape(text)?);
                self.0 = rest;
            }
        }
        if !element.children.is_empty() {
            element.text.trim().is_empty().then_some(())?;
            element.text.clear();
        }
        Some(element)
    }

    fn take(&mut self, what: &str) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(what)?;
        Some(self)
    }

    fn space(&mut self) -> Option<&mut Self> {
        let rest = self.0.trim_start();
        (rest.len() < self.0.len()).then_some(())?;
        self.0 = rest;
        Some(self)
    }

    fn space_and_comments(&mut self) -> Option<()> {
        loop {
            self.0 = self.0.trim_start();
            let Some(rest) = self.0.strip_prefix("<!--") else { return Some(()) };
            self.0 = rest.split_once("-->")?.1;
        }
    }

    fn name(&mut self) -> Option<String> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let end = self.0.find(|c| !is_name(c)).unwrap_or(self.0.len());
        let (name, rest) = self.0.split_at(end);
        (!name.is_empty()).then_some(())?;
        self.0 = rest;
        Some(name.to_owned())
    }
}

/// Text with its references resolved; line ends become `\n`, as XML 1.0 (2.11) says.
fn unescape(raw: &str) -> Option<String> {
    let mut text = String::with_capacity(raw.len());
    let mut parts = raw.split('&');
    text.push_str(parts.next()?);
    for part in parts {
        let (name, rest) = part.split_once(';')?;
        match name {
            "lt" => text.push('<'),
            "gt" => text.push('>'),
            "amp" => text.push('&'),
            "quot" => text.push('"'),
            "apos" => text.push('\''),
            _ => {
                let number = name.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => number.parse(),
                };
                text.push(char::from_u32(code.ok()?)?);
            }
        }
        text.push_str(rest);
    }
    Some(text.replace("\r\n", "\n").replace('\r', "\n"))
}

/// An element with ready content.
pub(super) fn tag(name: &str, content: &str) -> String {
    format!("<{name}>{content}</{name}>")
}

/// An element with a text.
pub(super) fn leaf(name: &str, text: &str) -> String {
    tag(name, &escape(text))
}

/// Elements with a text each.
pub(super) fn leaves(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, text)| leaf(name, text)).collect()
}

/// The same document with `between` wherever no text can be: the layouts that cores write.
pub(super) fn spread(document: &str, between: &str) -> String {
    let mut spread = String::with_capacity(document.len() * 2);
    let mut opened = false;
    for tag in document.split_inclusive('>') {
        let bare = tag.starts_with('<');
        let closes = tag.starts_with("</");
        // Between a start tag and its own end tag stands an empty text.
        if bare && !spread.is_empty() && !(opened && closes) {
            spread.push_str(between);
        }
        opened = !tag.contains("</") && !tag.ends_with("/>") && !tag.ends_with("?>");
        spread.push_str(tag);
    }
    spread
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_to_their_end_and_no_further() {
        let check = |text: &str, path: &str, expected: Option<(&str, &str)>| {
            let found = parse(text).map(|(root, rest)| (root.at(path).to_owned(), rest.to_owned()));
            let expected = expected.map(|(value, rest)| (value.to_owned(), rest.to_owned()));
            assert_eq!(found, expected, "{text}");
        };
        check("<a><b>1</b></a>", "b", Some(("1", "")));
        check("<?xml version=\"1.0\"?>\n<a x='1' y = \"2\"><b/><c>2</c></a>\n{S:x}", "c", None);
        check(
            "<?xml version=\"1.0\"?>\n<a x='1' y=\"2\"><b/><c>2</c></a>\n{S:x}",
            "c",
            Some(("2", "\n{S:x}")),
        );
        check("<a>\r\n <!-- c --><b>阿·&#x4E3D; &amp;amp;</b></a>", "b", Some(("阿·丽 &amp;", "")));
        check("<a><b><![CDATA[1<2]]></b></a>", "b", Some(("1<2", "")));
        check("<a><b></a></b>", "b", None);
        check("<a>text<b/></a>", "b", None);
        check("<a><b>&unknown;</b></a>", "b", None);
        assert_eq!(
            spread("<?xml?><a><b>1</b><c></c><d/></a>", "_"),
            "<?xml?>_<a>_<b>1</b>_<c></c>_<d/>_</a>"
        );
        assert_eq!(leaf("a", "1 < 2 & 3"), "<a>1 &lt; 2 &amp; 3</a>");
    }
}
