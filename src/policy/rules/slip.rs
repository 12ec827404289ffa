//! Slips: what people write who do not write CEL every day. They are looked for before the parser, whose messages name tokens.

use super::attribute::Attribute;
use super::mistake::{Mistake, What};
use std::ops::Range;

/// What stands outside of texts and of comments, which go from `//` to the end of the line: the byte, the character.
fn outside(source: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut quote, mut escaped) = (None, false);
    let (mut comment, mut before) = (false, ' ');
    source.char_indices().filter(move |(_, letter)| {
        comment =
            *letter != '\n' && (comment || quote.is_none() && (before, *letter) == ('/', '/'));
        before = *letter;
        if comment {
            return false;
        }
        let Some(open) = quote else {
            quote = Some(*letter).filter(|letter| matches!(letter, '"' | '\''));
            return true;
        };
        if !escaped && *letter == open {
            quote = None;
        }
        escaped = !escaped && *letter == '\\';
        false
    })
}

/// How many round brackets are closed and not opened, and opened and not closed.
pub(super) fn brackets(source: &str) -> (usize, usize) {
    let (mut missing, mut open) = (0_usize, 0_usize);
    for (_, letter) in outside(source) {
        match letter {
            '(' => open = open.saturating_add(1),
            ')' if open == 0 => missing = missing.saturating_add(1),
            ')' => open = open.saturating_sub(1),
            _ => (),
        }
    }
    (missing, open)
}

/// Full-width marks, which a Chinese keyboard writes, and what they are meant to be.
const FULL_WIDTH: [(char, &str); 16] = [
    ('（', "("),
    ('）', ")"),
    ('，', ","),
    ('。', "."),
    ('“', "\""),
    ('”', "\""),
    ('‘', "'"),
    ('’', "'"),
    ('！', "!"),
    ('＝', "="),
    ('＞', ">"),
    ('＜', "<"),
    ('＆', "&"),
    ('｜', "|"),
    ('【', "["),
    ('】', "]"),
];

/// The slips in `source`, by place.
pub(super) fn find(source: &str) -> Vec<Mistake> {
    let mut found = marks(source);
    if found.is_empty() {
        found = words(source);
    }
    if found.is_empty()
        && let Some(open) = unclosed(source)
    {
        found.push(Mistake::new(open..source.len(), What::OpenText));
    }
    if found.is_empty() {
        found = pairs(source);
    }
    found.sort_by_key(|mistake| mistake.span.start);
    found
}

/// Marks that mean something else here, or nothing.
fn marks(source: &str) -> Vec<Mistake> {
    let mut found = Vec::new();
    let letters: Vec<(usize, char)> = outside(source).collect();
    let at = |index: Option<usize>| index.and_then(|index| letters.get(index)).map(|it| it.1);
    for (index, (byte, letter)) in letters.iter().enumerate() {
        let (before, after) = (at(index.checked_sub(1)), at(index.checked_add(1)));
        let full = FULL_WIDTH.iter().find(|(wide, _)| wide == letter);
        let what = match (letter, before, after) {
            ('=', Some('=' | '!' | '<' | '>'), _)
            | ('=', _, Some('='))
            | ('&', Some('&'), _)
            | ('&', _, Some('&'))
            | ('|', Some('|'), _)
            | ('|', _, Some('|')) => continue,
            ('=', _, Some(order @ ('>' | '<'))) => {
                What::Meant(format!("={order}"), format!("{order}="))
            }
            ('=', ..) => What::Meant("=".into(), "==".into()),
            ('&', ..) => What::Meant("&".into(), "&&".into()),
            ('|', ..) => What::Meant("|".into(), "||".into()),
            ('>', Some('<'), _) => What::Meant("<>".into(), "!=".into()),
            (';', ..) => What::Meant(";".into(), "&& ||".into()),
            _ => match full {
                Some((wide, plain)) => What::Meant(wide.to_string(), (*plain).to_owned()),
                None => continue,
            },
        };
        found.push(Mistake::new(*byte..byte.saturating_add(letter.len_utf8()), what));
    }
    found
}

/// Words for what CEL writes with marks, and names in Chinese.
fn words(source: &str) -> Vec<Mistake> {
    let mut found = Vec::new();
    for span in runs(source) {
        let word = source.get(span.clone()).unwrap_or_default();
        let meant = match word.to_ascii_lowercase().as_str() {
            "and" => "&&",
            "or" => "||",
            "not" => "!",
            "like" => ".contains(\"…\") .matches(\"…\")",
            "is" => "==",
            "true" | "false" | "in" if word.chars().any(char::is_uppercase) => {
                &word.to_ascii_lowercase()
            }
            _ if word.is_ascii() => continue,
            _ => {
                let label = |attribute: &Attribute| {
                    let zh = attribute.about().zh;
                    zh.starts_with(word) || word.starts_with(zh)
                };
                let named = Attribute::ALL.into_iter().find(label);
                let what = match named {
                    Some(attribute) => What::Meant(word.to_owned(), attribute.name().to_owned()),
                    None => What::NotAName(word.to_owned()),
                };
                found.push(Mistake::new(span, what));
                continue;
            }
        };
        found.push(Mistake::new(span, What::Meant(word.to_owned(), meant.to_owned())));
    }
    found
}

/// Runs of letters and digits outside of texts.
fn runs(source: &str) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (byte, letter) in outside(source) {
        if letter.is_alphanumeric() || letter == '_' {
            let end = byte.saturating_add(letter.len_utf8());
            match runs.last_mut() {
                Some(run) if run.end == byte => run.end = end,
                Some(_) | None => runs.push(byte..end),
            }
        }
    }
    runs
}

/// Where a text begins that does not end.
fn unclosed(source: &str) -> Option<usize> {
    // Of a text its opening quote alone stands outside, and of the last one what closes it does not follow.
    let (byte, quote) =
        outside(source).filter(|(_, letter)| matches!(letter, '"' | '\'')).last()?;
    let within = source.get(byte.saturating_add(1)..).unwrap_or_default();
    let mut escaped = false;
    let closed = within.chars().any(|letter| {
        let closes = !escaped && letter == quote;
        escaped = !escaped && letter == '\\';
        closes
    });
    (!closed).then_some(byte)
}

/// Brackets without their other half.
fn pairs(source: &str) -> Vec<Mistake> {
    let (mut open, mut found) = (Vec::new(), Vec::new());
    let mut alone = |byte: usize, bracket: char| {
        found.push(Mistake::new(byte..byte.saturating_add(1), What::Unpaired(bracket)));
    };
    for (byte, letter) in outside(source) {
        let opens = match letter {
            '(' | '[' | '{' => {
                open.push((byte, letter));
                continue;
            }
            ')' => '(',
            ']' => '[',
            '}' => '{',
            _ => continue,
        };
        if open.last().is_some_and(|(_, bracket)| *bracket == opens) {
            open.pop();
        } else {
            alone(byte, letter);
        }
    }
    for (byte, bracket) in open {
        alone(byte, bracket);
    }
    found
}

/// What is wrong at `at`, where the parser stopped.
pub(super) fn unexpected(source: &str, at: usize) -> What {
    let rest = source.get(at..).unwrap_or_default().trim_start();
    let before = source.get(..at).unwrap_or_default().trim_end();
    let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let mark = rest.chars().next().map(String::from);
    let next = if word.is_empty() { mark } else { Some(word) };
    let dangling =
        before.ends_with(['=', '<', '>', '&', '|', '+', '-', '*', '!', '.', ',', '?', ':']);
    match next {
        None => What::Ends,
        Some(next) if dangling => What::ValueMissing(next),
        Some(next) => What::OperatorMissing(next),
    }
}
