//! The answer: from bytes through its layers and code maps to a normalised answer, and whether it is billed.

use crate::domain::answer::Answer;
use crate::domain::element::ElementSet;
use crate::provider::auth::Auth;
use crate::provider::file::{
    Absent, AnswersFile, At, Charset, FeeFile, Format, LayerFile, ResponseFile, read_set,
};
use crate::provider::form::{self, Pairs, Values};
use crate::provider::problem::Problems;
use crate::provider::{Billable, Trouble};
use std::collections::{BTreeMap, BTreeSet};

/// A checked response definition.
#[derive(Debug)]
pub(crate) struct Response {
    format: Format,
    charset: Charset,
    statuses: Vec<u16>,
    http: Codes,
    layers: Vec<Layer>,
    fee: Option<FeeFile>,
}

type Codes = BTreeMap<String, Answer>;

#[derive(Debug)]
struct Layer {
    code: Vec<String>,
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
    pub(crate) trouble: Option<Trouble>,
}

/// An answer whose values can be looked up.
enum Body {
    Json(serde_json::Value),
    Form(BTreeMap<String, String>),
}

impl Body {
    /// The text at a place; numbers and flags as JSON writes them.
    fn at(&self, place: &str) -> Option<String> {
        match self {
            Self::Form(fields) => fields.get(place).cloned(),
            Self::Json(json) => match json.pointer(place)? {
                serde_json::Value::String(text) => Some(text.clone()),
                serde_json::Value::Number(number) => Some(number.to_string()),
                serde_json::Value::Bool(flag) => Some(flag.to_string()),
                serde_json::Value::Null
                | serde_json::Value::Array(_)
                | serde_json::Value::Object(_) => None,
            },
        }
    }
}

impl Response {
    /// Checks a definition; `asked` are all elements of all its sets.
    pub(crate) fn compile(
        file: &ResponseFile,
        charset: Charset,
        asked: ElementSet,
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
            for place in layer.code.get().iter().chain(file.fee.iter().map(|fee| &fee.at)) {
                if file.format == Format::Json && !place.get().starts_with('/') {
                    let message = format!("`{}` is no JSON pointer", place.get());
                    problems.file(place.span(), message, "it begins with `/` (RFC 6901)");
                }
            }
        }
        Self {
            format: file.format,
            charset,
            statuses: file.statuses.clone(),
            http: codes(&file.http, asked, problems),
            layers: layers.iter().map(|layer| Layer::compile(layer, asked, problems)).collect(),
            fee: file.fee.clone(),
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
        for layer in &self.layers {
            let code = layer.code(&body);
            match &code {
                None if layer.absent == Absent::Next => {}
                None => return Reading::trouble(Trouble::Unreadable, None),
                Some(code) if layer.next.contains(code) => {}
                Some(code) => return self.judge(layer, code, set, &body),
            }
        }
        Reading::trouble(Trouble::Unreadable, None)
    }

    fn read_status(&self, status: u16, set: ElementSet) -> Reading {
        let code = format!("http_{status}");
        match self.http.get(&status.to_string()) {
            Some(answer) => Reading {
                answer: answer.about(set),
                code: Some(code),
                billable: Billable::No,
                trouble: None,
            },
            None => Reading::trouble(Trouble::Status, Some(code)),
        }
    }

    fn parse(&self, body: &[u8], auth: &Auth) -> Result<Body, Trouble> {
        let values = match self.format {
            Format::Json => {
                let json = serde_json::from_slice(body).map_err(|_| Trouble::Unreadable)?;
                return if auth.vouches_for(None) {
                    Ok(Body::Json(json))
                } else {
                    Err(Trouble::Signature)
                };
            }
            Format::Form => Values::Escaped,
            Format::RawForm => Values::Raw,
        };
        let pairs: Pairs = form::read(body, values).ok_or(Trouble::Unreadable)?;
        if !auth.vouches_for(Some(&pairs)) {
            return Err(Trouble::Signature);
        }
        let text = |bytes: &[u8]| self.charset.decode(bytes).ok_or(Trouble::Unreadable);
        let fields = pairs.iter().map(|(name, value)| Ok((text(name)?, text(value)?)));
        fields.collect::<Result<_, _>>().map(Body::Form)
    }

    fn judge(&self, layer: &Layer, code: &str, set: ElementSet, body: &Body) -> Reading {
        let answer = layer.answers.get(code);
        let said = self.fee.as_ref().and_then(|fee| {
            let flag = body.at(fee.at.get())?;
            let [yes, no] = [&fee.yes, &fee.no].map(|values| values.contains(&flag));
            if yes { Some(Billable::Yes) } else { no.then_some(Billable::No) }
        });
        let by_list = match answer {
            Some(_) if layer.billable.contains(code) => Billable::Yes,
            Some(_) if !layer.uncertain.contains(code) => Billable::No,
            Some(_) | None => Billable::Uncertain,
        };
        Reading {
            answer: answer.map_or(Answer::Unavailable, |answer| answer.about(set)),
            code: Some(code.to_owned()),
            billable: said.unwrap_or(by_list),
            trouble: answer.is_none().then_some(Trouble::Unmapped),
        }
    }
}

impl Reading {
    const fn trouble(trouble: Trouble, code: Option<String>) -> Self {
        let billable = Billable::Uncertain;
        Self { answer: Answer::Unavailable, code, billable, trouble: Some(trouble) }
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
    fn compile(file: &LayerFile, asked: ElementSet, problems: &mut Problems) -> Self {
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
            code: file.code.get().iter().map(|place| place.get().clone()).collect(),
            absent: file.absent,
            next: set(&file.next),
            answers,
            billable: set(&file.billable),
            uncertain: set(&file.uncertain),
        }
    }

    /// The layer's code: every part must be there.
    fn code(&self, body: &Body) -> Option<String> {
        let parts: Option<Vec<String>> = self.code.iter().map(|place| body.at(place)).collect();
        parts.map(|parts| parts.join("/"))
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
