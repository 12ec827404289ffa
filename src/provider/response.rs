//! The answer: from bytes through its layers and code maps to a normalised answer, and whether it is billed.

use crate::domain::answer::Answer;
use crate::domain::element::ElementSet;
use crate::domain::kind::Kind;
use crate::message::node::Node;
use crate::message::path::Path;
use crate::message::profile::XmlRule;
use crate::message::{json, xml};
use crate::provider::auth::Auth;
use crate::provider::file::response::{
    Absent, AnswersFile, FeeFile, Format, LayerFile, ResponseFile, SourceFile, XmlFile,
};
use crate::provider::file::{At, Charset, read_set};
use crate::provider::form::{self, Pairs, Values};
use crate::provider::problem::Problems;
use crate::provider::readout::Readout;
use crate::provider::score::Score;
use crate::provider::{Billable, More, Trouble};
use std::collections::{BTreeMap, BTreeSet};

/// A checked response definition.
#[derive(Debug)]
pub(crate) struct Response {
    format: Format,
    xml: Option<XmlRule>,
    charset: Charset,
    statuses: Vec<u16>,
    http: Codes,
    layers: Vec<Layer>,
    fee: Option<Fee>,
    source: Option<Source>,
    score: Option<Score>,
    readout: Option<Readout>,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    /// All elements of all sets.
    pub(crate) elements: ElementSet,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
struct Fee {
    at: Path,
    yes: Vec<String>,
    no: Vec<String>,
}

#[derive(Debug)]
struct Source {
    at: Path,
    names: BTreeMap<String, Box<str>>,
}

type Codes = BTreeMap<String, Answer>;

#[derive(Debug)]
struct Layer {
    code: Vec<Path>,
    absent: Absent,
    next: BTreeSet<String>,
    answers: Codes,
    billable: BTreeSet<String>,
    uncertain: BTreeSet<String>,
}

/// What an answer said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) answer: Answer,
    pub(crate) code: Option<String>,
    pub(crate) billable: Billable,
    pub(crate) source: Option<Box<str>>,
    pub(crate) trouble: Option<Trouble>,
    pub(crate) more: More,
}

/// The text at a place, if there is one and every reader sees the same.
pub(crate) fn text(body: &Node<'_>, place: &Path) -> Result<Option<String>, Trouble> {
    let found = body.find(place).map_err(|_| Trouble::Unreadable)?;
    Ok(found.text().map(str::to_owned))
}

impl Response {
    /// Checks a definition.
    pub(crate) fn compile(
        file: &ResponseFile,
        charset: Charset,
        Asked { elements: asked, kind }: Asked,
        problems: &mut Problems,
    ) -> Self {
        let layers = file.layers.get();
        if layers.is_empty() {
            let hint = "add a `[[response.layers]]` with its `code`";
            problems.file(file.layers.span(), "an answer has at least one layer", hint);
        }
        for (at, layer) in layers.iter().enumerate() {
            if at + 1 == layers.len() && (!layer.next.is_empty() || layer.absent == Absent::Next) {
                let hint = "leave out `next` and `absent`, or add the layer that they mean";
                problems.file(layer.code.span(), "the last layer has no next one", hint);
            }
        }
        let places = Places { format: *file.format.get() };
        Self {
            format: places.format,
            xml: xml_rule(file, problems),
            charset,
            statuses: file.statuses.clone(),
            http: codes(&file.http, asked, problems),
            layers: layers
                .iter()
                .map(|layer| Layer::compile(layer, asked, places, problems))
                .collect(),
            fee: file.fee.as_ref().and_then(|fee| Fee::compile(fee, places, problems)),
            source: file.source.as_ref().and_then(|it| Source::compile(it, places, problems)),
            score: file.score.as_ref().and_then(|it| Score::compile(it, kind, places, problems)),
            readout: Readout::compile(file, kind, places, problems),
        }
    }

    /// Reads an answer to a question about `set`.
    pub(crate) fn read(&self, status: u16, body: &[u8], set: ElementSet, auth: &Auth) -> Reading {
        if !self.statuses.contains(&status) {
            return self.read_status(status, set);
        }
        let body = match self.parse(body, auth) {
            Ok(body) => body,
            Err(trouble) => return Reading::trouble(trouble, None),
        };
        self.judge(&body, set).unwrap_or_else(|trouble| Reading::trouble(trouble, None))
    }

    /// Goes through the layers to the one that has the word.
    fn judge(&self, body: &Node<'_>, set: ElementSet) -> Result<Reading, Trouble> {
        for layer in &self.layers {
            match layer.code(body)? {
                None if layer.absent == Absent::Next => {}
                None => return Err(Trouble::Unreadable),
                Some(code) if layer.next.contains(&code) => {}
                Some(code) => return self.conclude(layer, code, set, body),
            }
        }
        Err(Trouble::Unreadable)
    }

    fn read_status(&self, status: u16, set: ElementSet) -> Reading {
        let code = format!("http_{status}");
        match self.http.get(&status.to_string()) {
            Some(answer) => Reading {
                answer: answer.about(set),
                code: Some(code),
                billable: Billable::No,
                source: None,
                trouble: None,
                more: More::NOTHING,
            },
            None => Reading::trouble(Trouble::Status, Some(code)),
        }
    }

    fn parse<'b>(&self, body: &'b [u8], auth: &Auth) -> Result<Node<'b>, Trouble> {
        let unreadable = |_| Trouble::Unreadable;
        let form = match self.format {
            Format::Form => Some(Values::Escaped),
            Format::RawForm => Some(Values::Raw),
            Format::Json | Format::Xml => None,
        };
        let pairs = form.map(|values| form::read(body, values).ok_or(Trouble::Unreadable));
        let pairs: Option<Pairs> = pairs.transpose()?;
        if !auth.vouches_for(pairs.as_ref()) {
            return Err(Trouble::Signature);
        }
        let text = |bytes: &[u8]| self.charset.decode(bytes).ok_or(Trouble::Unreadable);
        match (pairs, &self.xml) {
            (Some(pairs), _) => {
                let field = |(name, value): &(Vec<u8>, Vec<u8>)| {
                    Ok((text(name)?.into(), Node::Text(text(value)?.into())))
                };
                pairs.iter().map(field).collect::<Result<_, _>>().map(Node::Map)
            }
            (None, Some(rule)) => {
                let named = xml::declared(body).map_err(unreadable)?;
                if !self.charset.is_named(named.as_deref()) {
                    return Err(Trouble::Unreadable);
                }
                xml::parse(&text(body)?, rule).map_err(unreadable)
            }
            (None, None) => {
                let body = std::str::from_utf8(body).map_err(|_| Trouble::Unreadable)?;
                json::parse(body).map_err(unreadable)
            }
        }
    }

    fn conclude(
        &self,
        layer: &Layer,
        code: String,
        set: ElementSet,
        body: &Node<'_>,
    ) -> Result<Reading, Trouble> {
        let answer = layer.answers.get(&code);
        let said = self.fee.as_ref().map(|fee| fee.said(body)).transpose()?.flatten();
        let by_list = match answer {
            Some(_) if layer.billable.contains(&code) => Billable::Yes,
            Some(_) if !layer.uncertain.contains(&code) => Billable::No,
            Some(_) | None => Billable::Uncertain,
        };
        let source = self.source.as_ref().map(|source| source.said(body)).transpose()?.flatten();
        let mut reading = Reading {
            answer: answer.map_or(Answer::Unavailable, |answer| answer.about(set)),
            billable: said.unwrap_or(by_list),
            source,
            trouble: answer.is_none().then_some(Trouble::Unmapped),
            code: Some(code),
            more: More::NOTHING,
        };
        if let Some(score) = &self.score {
            score.weigh(body, &mut reading)?;
        }
        if let Some(readout) = &self.readout {
            readout.take(body, &mut reading)?;
        }
        Ok(reading)
    }
}

impl Fee {
    fn compile(file: &FeeFile, places: Places, problems: &mut Problems) -> Option<Self> {
        let at = places.read(&file.at, problems)?;
        Some(Self { at, yes: file.yes.clone(), no: file.no.clone() })
    }

    fn said(&self, body: &Node<'_>) -> Result<Option<Billable>, Trouble> {
        let Some(flag) = text(body, &self.at)? else { return Ok(None) };
        let no = self.no.contains(&flag).then_some(Billable::No);
        Ok(if self.yes.contains(&flag) { Some(Billable::Yes) } else { no })
    }
}

impl Source {
    fn compile(file: &SourceFile, places: Places, problems: &mut Problems) -> Option<Self> {
        for name in file.names.values().filter(|name| name.get().trim().is_empty()) {
            problems.file(name.span(), "a source has a name", "");
        }
        let names = file
            .names
            .iter()
            .map(|(name, source)| (name.get().clone(), source.get().as_str().into()));
        Some(Self { at: places.read(&file.at, problems)?, names: names.collect() })
    }

    fn said(&self, body: &Node<'_>) -> Result<Option<Box<str>>, Trouble> {
        Ok(text(body, &self.at)?.and_then(|name| self.names.get(&name).cloned()))
    }
}

/// How places in an answer are written.
#[derive(Clone, Copy)]
pub(crate) struct Places {
    format: Format,
}

impl Places {
    pub(crate) fn read(self, place: &At<String>, problems: &mut Problems) -> Option<Path> {
        let text = place.get();
        let (path, hint) = match self.format {
            Format::Form | Format::RawForm => {
                let path = Path::parse(text).ok().filter(|path| path.keys().count() == 1);
                (path, "it is the name of a field")
            }
            Format::Json | Format::Xml => {
                let path = text.strip_prefix('/').and_then(|text| Path::parse(text).ok());
                (path, "write the keys from the outside in, each after a `/`: `/data/result`")
            }
        };
        if path.is_none() {
            problems.file(place.span(), format!("`{text}` is no place in such an answer"), hint);
        }
        path
    }
}

/// What an XML answer is; to be told for XML and for nothing else.
fn xml_rule(file: &ResponseFile, problems: &mut Problems) -> Option<XmlRule> {
    match (file.format.get(), &file.xml) {
        (Format::Xml, None) => {
            let hint = "add `xml = { root = \"…\" }`, with its `namespace` if it has one";
            problems.file(file.format.span(), "an XML answer has a root", hint);
            None
        }
        (Format::Xml, Some(xml)) => {
            let XmlFile { root, namespace } = xml.get();
            if root.get().is_empty() {
                problems.file(root.span(), "a root has a name", "");
            }
            Some(XmlRule { root: root.get().clone(), namespace: namespace.clone(), tail: None })
        }
        (Format::Json | Format::Form | Format::RawForm, None) => None,
        (Format::Json | Format::Form | Format::RawForm, Some(xml)) => {
            problems.file(xml.span(), "the answer is no XML", "leave it out, or set `format`");
            None
        }
    }
}

impl Reading {
    const fn trouble(trouble: Trouble, code: Option<String>) -> Self {
        Self {
            answer: Answer::Unavailable,
            code,
            billable: Billable::Uncertain,
            source: None,
            trouble: Some(trouble),
            more: More::NOTHING,
        }
    }
}

impl Answer {
    /// The answer to a question about `set`: a code may name elements that this question did not ask about.
    fn about(self, set: ElementSet) -> Self {
        match self {
            Self::NoMatch(elements) => Self::NoMatch(elements.intersection(set)),
            Self::Match
            | Self::CloseMatch
            | Self::NoRecord
            | Self::NotPossible
            | Self::Limited
            | Self::Invalid
            | Self::Unavailable => self,
        }
    }
}

impl Layer {
    fn compile(
        file: &LayerFile,
        asked: ElementSet,
        places: Places,
        problems: &mut Problems,
    ) -> Self {
        if file.code.get().is_empty() {
            problems.file(file.code.span(), "a layer has a code", "name where it stands");
        }
        let answers = codes(&file.answers, asked, problems);
        for code in &file.next {
            if answers.contains_key(code.get()) {
                let message =
                    format!("`{}` has an answer, and leaves it to the next layer", code.get());
                problems.file(code.span(), message, "keep one of the two");
            }
        }
        for code in file.billable.iter().filter(|code| file.uncertain.contains(code)) {
            let message = format!("`{}` is billed, and perhaps not", code.get());
            problems.file(code.span(), message, "keep one of the two");
        }
        for code in file.billable.iter().chain(&file.uncertain) {
            if !answers.contains_key(code.get()) {
                let message = format!("`{}` has a price and no meaning", code.get());
                problems.file(code.span(), message, "say what it means under `answers`");
            }
        }
        let set = |codes: &[At<String>]| codes.iter().map(|code| code.get().clone()).collect();
        Self {
            code: file.code.get().iter().filter_map(|at| places.read(at, problems)).collect(),
            absent: file.absent,
            next: set(&file.next),
            answers,
            billable: set(&file.billable),
            uncertain: set(&file.uncertain),
        }
    }

    /// The layer's code: every part must be there.
    fn code(&self, body: &Node<'_>) -> Result<Option<String>, Trouble> {
        let parts: Option<Vec<String>> =
            self.code.iter().map(|place| text(body, place)).collect::<Result<_, _>>()?;
        Ok(parts.map(|parts| parts.join("/")))
    }
}

/// One map from codes to answers; a code that stands for two is a problem.
fn codes(file: &AnswersFile, asked: ElementSet, problems: &mut Problems) -> Codes {
    let mut codes = Codes::new();
    let mut add = |code: &At<String>, answer: Answer, problems: &mut Problems| {
        if codes.insert(code.get().clone(), answer).is_some() {
            let message = format!("`{}` means two answers", code.get());
            problems.file(code.span(), message, "keep one of the two");
        }
    };
    let lists = [
        (&file.matches, Answer::Match),
        (&file.close_match, Answer::CloseMatch),
        (&file.no_record, Answer::NoRecord),
        (&file.not_possible, Answer::NotPossible),
        (&file.limited, Answer::Limited),
        (&file.invalid, Answer::Invalid),
        (&file.unavailable, Answer::Unavailable),
    ];
    for (list, answer) in lists {
        for code in list {
            add(code, answer, problems);
        }
    }
    for (code, words) in &file.no_match {
        let elements = read_set(words, problems);
        for word in words.iter().filter(|_| !asked.is_superset(elements)) {
            let message = format!("`{}` is no element of any set here", word.get());
            problems.file(word.span(), message, "name only what is asked");
        }
        add(code, Answer::NoMatch(elements), problems);
    }
    codes
}
