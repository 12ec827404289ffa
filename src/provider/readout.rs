//! What an answer has read from a document: elements, which are parsed here and handed on to who asked.

use crate::domain::answer::Answer;
use crate::domain::element::{Element, Elements};
use crate::domain::identity::{IdNumber, IdType};
use crate::domain::kind::Kind;
use crate::domain::person::Name;
use crate::message::node::Node;
use crate::message::path::Path;
use crate::provider::Trouble;
use crate::provider::file::response::ResponseFile;
use crate::provider::file::{At, read_words};
use crate::provider::problem::Problems;
use crate::provider::response::{Places, Reading, text};

/// How long a code of no map may be: of a number as much may be shown.
const CODE_MAX: usize = 6;

/// Checked places of what is read.
#[derive(Debug)]
pub(crate) struct Readout {
    kind: Kind,
    name: Option<Path>,
    id_number: Option<Path>,
}

impl Readout {
    pub(crate) fn compile(
        file: &ResponseFile,
        kind: Kind,
        places: Places,
        problems: &mut Problems,
    ) -> Option<Self> {
        let reads = kind.reads();
        let Some(table) = &file.read else {
            if !reads.is_empty() {
                let hint = format!("say where they are in `read`: {reads}");
                let message = "it reads elements, and says not where";
                problems.file(file.format.span(), message, &hint);
            }
            return None;
        };
        let mut readout = Self { kind, name: None, id_number: None };
        let known: Vec<&str> = reads.iter().map(Element::as_str).collect();
        for (word, place) in table.get() {
            let read = |text: &str| Element::from_word(text).filter(|it| reads.contains(*it));
            let place = places.read(place, problems);
            for element in read_words(std::slice::from_ref(word), read, &known, problems) {
                match element {
                    Element::Name => readout.name.clone_from(&place),
                    Element::IdNumber => readout.id_number.clone_from(&place),
                    // No kind reads them.
                    Element::Pan
                    | Element::Phone
                    | Element::Cvv2
                    | Element::Expiry
                    | Element::AccountLevel
                    | Element::FaceImage
                    | Element::IdCardImage
                    | Element::BusinessName
                    | Element::CreditCode
                    | Element::CertificateNumber => (),
                }
            }
        }
        let words = |word: &&str| table.get().keys().any(|key: &At<String>| key.get() == word);
        for missing in known.iter().filter(|word| !words(word)) {
            let message = format!("it says not where `{missing}` is");
            problems.file(table.span(), message, "each that it reads has a place");
        }
        Some(readout)
    }

    /// Takes what was read where that is all of it; a number that fails its check digit was misread.
    pub(crate) fn take(&self, body: &Node<'_>, reading: &mut Reading) -> Result<(), Trouble> {
        // A code is kept. One of no map may be anything that was read, however written, but for so few digits.
        if reading.trouble == Some(Trouble::Unmapped) {
            let is_digits = |code: &str| code.bytes().all(|b| b.is_ascii_digit() || b == b'-');
            let is_short = |code: &String| code.len() <= CODE_MAX && is_digits(code);
            reading.code = reading.code.take().filter(is_short);
        }
        let at = |place: &Option<Path>| match place {
            Some(place) => text(body, place),
            None => Ok(None),
        };
        let (name, number) = (at(&self.name)?, at(&self.id_number)?);
        if !matches!(reading.answer, Answer::Match | Answer::CloseMatch) {
            return Ok(());
        }
        let number = number.and_then(|text| IdNumber::parse(&text, IdType::ResidentId).ok());
        let name = name.and_then(|text| Name::parse(&text).ok());
        let read = Elements { name, id_number: number, ..Elements::default() };
        if read.set() == self.kind.reads() {
            reading.more.read = Some(Box::new(read));
        } else {
            reading.answer = Answer::NotPossible;
        }
        Ok(())
    }
}
