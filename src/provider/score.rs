//! The score of an answer about a face: how much of it is a match, and in which band it is told.

use crate::domain::answer::Answer;
use crate::domain::element::ElementSet;
use crate::domain::kind::{Band, Kind};
use crate::message::node::Node;
use crate::message::path::Path;
use crate::provider::Trouble;
use crate::provider::file::At;
use crate::provider::file::response::ScoreFile;
use crate::provider::problem::Problems;
use crate::provider::response::{Places, Reading, text};

/// A checked score.
#[derive(Debug)]
pub(crate) struct Score {
    at: Path,
    match_from: f64,
    high_from: f64,
}

impl Score {
    pub(crate) fn compile(
        file: &At<ScoreFile>,
        kind: Kind,
        places: Places,
        problems: &mut Problems,
    ) -> Option<Self> {
        let ScoreFile { at, match_from, high_from } = file.get();
        if !kind.has_likeness() {
            let message = format!("no answer of the kind `{}` has a score", kind.as_str());
            problems.file(file.span(), message, "leave it out, or say the `kind`");
        }
        let in_order = match_from.is_finite() && high_from.is_finite() && match_from <= high_from;
        if !in_order {
            let message = "`match_from` is above `high_from`";
            problems.file(file.span(), message, "what is more than enough is enough");
        }
        let at = places.read(at, problems)?;
        Some(Self { at, match_from: *match_from, high_from: *high_from })
    }

    /// Tells the band, and takes back a match for which the score is too low.
    pub(crate) fn weigh(&self, body: &Node<'_>, reading: &mut Reading) -> Result<(), Trouble> {
        let score = text(body, &self.at)?.and_then(|text| text.parse().ok());
        reading.more.band = score.filter(|score: &f64| score.is_finite()).map(|score| {
            if score >= self.high_from {
                Band::High
            } else if score >= self.match_from {
                Band::Middle
            } else {
                Band::Low
            }
        });
        match (reading.answer, reading.more.band) {
            (Answer::Match | Answer::CloseMatch, None) => Err(Trouble::Unreadable),
            (Answer::Match | Answer::CloseMatch, Some(Band::Low)) => {
                reading.answer = Answer::NoMatch(ElementSet::EMPTY);
                Ok(())
            }
            (Answer::Match | Answer::CloseMatch, Some(Band::Middle | Band::High)) => Ok(()),
            // Whoever does not say that they are alike is not overruled by a number.
            (Answer::NoMatch(_), _) => {
                reading.more.band = reading.more.band.map(|_| Band::Low);
                Ok(())
            }
            (
                Answer::NoRecord
                | Answer::NotPossible
                | Answer::Limited
                | Answer::Invalid
                | Answer::Unavailable,
                _,
            ) => {
                reading.more.band = None;
                Ok(())
            }
        }
    }
}
