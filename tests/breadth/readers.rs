//! Readers of JSON, forms and XML that share no code with Hefu: libraries of this language, and the standard libraries of
//! Python, Node and the JDK as child processes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hefu::message::profile::Format;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What one reader reads: fields by path, in its order; nothing where it does not take the document.
pub(crate) type Fields = Option<Vec<(String, String)>>;

/// A document as a channel gets it.
pub(crate) struct Document<'a> {
    pub(crate) format: Format,
    /// Text, already decoded from its charset; forms as bytes.
    pub(crate) body: &'a [u8],
    /// `utf-8` or `gb18030`.
    pub(crate) charset: &'static str,
}

struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    fn start(program: &str, script: &str) -> Option<Self> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/breadth/readers");
        let started = Command::new(program)
            .arg(dir.join(script))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = started.ok()?;
        let (stdin, stdout) = (child.stdin.take()?, child.stdout.take()?);
        Some(Self { child, stdin, stdout: BufReader::new(stdout) })
    }

    fn ask(&mut self, line: &str) -> BTreeMap<String, Fields> {
        writeln!(self.stdin, "{line}").unwrap();
        self.stdin.flush().unwrap();
        let mut told = String::new();
        self.stdout.read_line(&mut told).unwrap();
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told:?} to {line}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Readers {
    python: Process,
    node: Process,
    /// Where there is a JDK.
    java: Option<Process>,
}

impl Readers {
    pub(crate) fn start() -> Self {
        let missing = "is missing: `scripts/setup test` installs it";
        Self {
            python: Process::start("python3", "readers.py")
                .unwrap_or_else(|| panic!("python3 {missing}")),
            node: Process::start("node", "readers.js").unwrap_or_else(|| panic!("node {missing}")),
            java: Process::start("java", "Readers.java"),
        }
    }

    /// What every reader of the format reads.
    pub(crate) fn read(&mut self, document: &Document<'_>) -> BTreeMap<String, Fields> {
        let &Document { format, body, charset } = document;
        let word = match format {
            Format::Form => "form",
            Format::Json => "json",
            Format::Xml => "xml",
            Format::Pairs | Format::Text => return BTreeMap::new(),
        };
        let body64 = STANDARD.encode(body);
        let line = format!(r#"{{"format":"{word}","charset":"{charset}","body":"{body64}"}}"#);
        let mut told = self.python.ask(&line);
        told.extend(self.node.ask(&line));
        if let Some(java) = self.java.as_mut().filter(|_| word != "json") {
            told.extend(java.ask(&format!("{word} {charset} {body64}")));
        }
        match format {
            Format::Json => drop(told.insert("serde_json".to_owned(), serde(body))),
            Format::Form if charset == "utf-8" => {
                let read = form_urlencoded::parse(body).into_owned().collect();
                told.insert("form_urlencoded".to_owned(), Some(read));
            }
            Format::Xml => {
                told.insert("xml-rs".to_owned(), xml_rs(body));
                told.insert("quick-xml".to_owned(), quick_xml(body));
            }
            Format::Form | Format::Pairs | Format::Text => (),
        }
        told
    }
}

fn serde(body: &[u8]) -> Fields {
    let mut fields = Vec::new();
    flat(&serde_json::from_slice(body).ok()?, "", &mut fields);
    Some(fields)
}

fn flat(value: &Value, path: &str, fields: &mut Vec<(String, String)>) {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") };
    match value {
        Value::Null => (),
        Value::String(text) => fields.push((path.to_owned(), text.clone())),
        Value::Bool(_) | Value::Number(_) => fields.push((path.to_owned(), value.to_string())),
        Value::Array(members) => {
            members
                .iter()
                .enumerate()
                .for_each(|(at, inner)| flat(inner, &join(&at.to_string()), fields));
        }
        Value::Object(entries) => {
            entries.iter().for_each(|(key, inner)| flat(inner, &join(key), fields));
        }
    }
}

/// Elements as a tree, so that repeated siblings get their index.
#[derive(Default)]
struct Element {
    text: String,
    children: Vec<(String, Element)>,
}

impl Element {
    fn flat(&self, path: &str, fields: &mut Vec<(String, String)>) {
        if self.children.is_empty() {
            fields.push((path.to_owned(), self.text.clone()));
        }
        for (at, (name, child)) in self.children.iter().enumerate() {
            let alike =
                |all: &[(String, Self)]| all.iter().filter(|(other, _)| other == name).count();
            let place = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            match alike(&self.children) {
                1 => child.flat(&place, fields),
                _ => child.flat(&format!("{place}/{}", alike(&self.children[..at])), fields),
            }
        }
    }
}

fn close(stack: &mut Vec<(String, Element)>) -> Option<()> {
    let (name, element) = stack.pop()?;
    stack.last_mut()?.1.children.push((name, element));
    Some(())
}

fn fields_of(mut stack: Vec<(String, Element)>) -> Fields {
    let (_, document) = stack.pop()?;
    let [(_, root)] = document.children.as_slice() else { return None };
    let mut fields = Vec::new();
    root.children.is_empty().then_some(()).map_or_else(|| root.flat("", &mut fields), |()| ());
    stack.is_empty().then_some(fields)
}

fn xml_rs(body: &[u8]) -> Fields {
    use xml::reader::XmlEvent;
    let mut stack = vec![(String::new(), Element::default())];
    for event in xml::EventReader::new(body) {
        match event.ok()? {
            XmlEvent::StartElement { name, .. } => {
                stack.push((name.local_name, Element::default()));
            }
            XmlEvent::EndElement { .. } => close(&mut stack)?,
            XmlEvent::Characters(text) | XmlEvent::CData(text) | XmlEvent::Whitespace(text) => {
                stack.last_mut()?.1.text.push_str(&text);
            }
            _ => (),
        }
    }
    fields_of(stack)
}

fn quick_xml(body: &[u8]) -> Fields {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_reader(body);
    reader.config_mut().expand_empty_elements = true;
    let mut stack = vec![(String::new(), Element::default())];
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => {
                let name = tag.local_name().as_ref().to_owned();
                stack.push((name, Element::default()));
            }
            Event::End(_) => close(&mut stack)?,
            Event::Text(text) => stack.last_mut()?.1.text.push_str(&text.xml10_content()),
            Event::CData(text) => stack.last_mut()?.1.text.push_str(&text.xml10_content()),
            Event::GeneralRef(name) => {
                let resolved = match name.resolve_char_ref().ok()? {
                    Some(c) => c.to_string(),
                    None => quick_xml::escape::resolve_predefined_entity(&name)?.to_owned(),
                };
                stack.last_mut()?.1.text.push_str(&resolved);
            }
            Event::Eof => break,
            Event::Empty(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => (),
        }
    }
    fields_of(stack)
}
