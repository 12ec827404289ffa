//! What accidents and attackers do to a message, at random: bytes anywhere, and fields as each format has them.

use hefu::message::profile::Format;
use hefu::sim::Sample;
use rand::{Rng, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

/// A message with one or two of its parts changed.
pub(crate) fn mutate(mut sample: Sample, format: Format, rng: &mut ChaCha8Rng) -> Sample {
    for _ in 0..rng.random_range(1..=2) {
        if rng.random_bool(0.05) {
            content_type(&mut sample, rng);
            continue;
        }
        let in_query = sample.method == "GET";
        let mut text = if in_query {
            sample.path.split_once('?').map_or(Vec::new(), |(_, query)| query.as_bytes().to_vec())
        } else {
            std::mem::take(&mut sample.body)
        };
        match format {
            _ if rng.random_bool(0.4) => bytes(&mut text, rng),
            Format::Form => form(&mut text, rng),
            Format::Json => json(&mut text, rng),
            Format::Xml => xml(&mut text, rng),
            Format::Pairs | Format::Text => bytes(&mut text, rng),
        }
        if in_query {
            let path = sample.path.split('?').next().unwrap_or_default();
            sample.path = format!("{path}?{}", String::from_utf8_lossy(&text));
        } else {
            sample.body = text;
        }
    }
    sample
}

fn content_type(sample: &mut Sample, rng: &mut ChaCha8Rng) {
    let others = [
        "application/json",
        "text/xml; charset=GBK",
        "application/x-www-form-urlencoded; charset=gbk",
        "text/plain",
        "application/json; charset=utf-16",
        "application/xml;charset=utf-8;charset=gbk",
    ];
    let other = others.choose(rng).unwrap();
    for (name, value) in &mut sample.headers {
        if name.eq_ignore_ascii_case("content-type") {
            (*other).clone_into(value);
        }
    }
}

fn bytes(text: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    const PIECES: [&[u8]; 24] = [
        b"&",
        b"=",
        b"%",
        b"+",
        b";",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b"<",
        b">",
        b"/",
        b"\0",
        b" ",
        b"\r\n",
        b"\\",
        b"%26",
        b"\xEF\xBB\xBF",
        b"\xFF\xFE",
        b"\xD5",
        b"\xC0\xAF",
        b"%00",
        b"\xE3\x80\x80",
    ];
    let at = rng.random_range(0..=text.len());
    match rng.random_range(0..6) {
        0 => text.insert(at, rng.random()),
        1 => drop(text.splice(at..at, PIECES.choose(rng).unwrap().iter().copied())),
        2 if at < text.len() => drop(text.remove(at)),
        3 if at < text.len() => text[at] = rng.random(),
        4 => {
            let end = (at + rng.random_range(0..64)).min(text.len());
            let piece = text[at..end].to_vec();
            let to = rng.random_range(0..=text.len());
            text.splice(to..to, piece);
        }
        _ => text.truncate(at),
    }
}

/// Another spelling of a key, which some reader may take for it.
fn twin(key: &str, rng: &mut ChaCha8Rng) -> String {
    match rng.random_range(0..7) {
        0 => key.to_owned(),
        1 => key.to_uppercase(),
        2 => key.to_lowercase(),
        3 => format!(" {key}"),
        4 => format!("{key} "),
        5 => format!("{key}[]"),
        _ => {
            let at = rng.random_range(0..=key.len());
            key.chars()
                .enumerate()
                .map(|(i, c)| if i == at { c.to_ascii_uppercase() } else { c })
                .collect()
        }
    }
}

fn value(rng: &mut ChaCha8Rng) -> &'static str {
    [
        "1",
        "",
        "0",
        "999",
        "6200000000000005",
        "0100",
        "1e3",
        "-0",
        "1.0",
        "张三",
        "null",
        "9007199254740993",
    ]
    .choose(rng)
    .unwrap()
}

fn insert(text: &mut Vec<u8>, at: usize, piece: &str) {
    text.splice(at..at, piece.bytes());
}

fn form(text: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let shown = String::from_utf8_lossy(text).into_owned();
    let keys: Vec<&str> =
        shown.split('&').filter_map(|field| Some(field.split_once('=')?.0)).collect();
    let Some(key) = keys.choose(rng) else { return };
    let mut key = twin(key, rng).replace(' ', if rng.random() { "+" } else { "%20" });
    if rng.random_bool(0.2)
        && let Some(first) = key.bytes().next()
    {
        key = format!("%{first:02x}{}", key.get(1..).unwrap_or_default());
    }
    let separator = if rng.random_bool(0.1) { ";" } else { "&" };
    let field = format!("{key}={}", value(rng));
    if rng.random() {
        insert(text, 0, &format!("{field}{separator}"));
    } else {
        let end = text.len();
        insert(text, end, &format!("{separator}{field}"));
    }
}

fn json(text: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let shown = String::from_utf8_lossy(text).into_owned();
    let opens: Vec<usize> = shown.match_indices('{').map(|(at, _)| at + 1).collect();
    let quoted: Vec<&str> = shown.split('"').skip(1).step_by(2).collect();
    let (Some(&at), Some(key)) = (opens.choose(rng), quoted.choose(rng)) else { return };
    let mut key = twin(key, rng);
    if rng.random_bool(0.3)
        && let Some(first) = key.bytes().next().filter(u8::is_ascii)
    {
        key = format!("\\u{first:04x}{}", key.get(1..).unwrap_or_default());
    }
    let value = match rng.random_range(0..4) {
        0 => format!("\"{}\"", value(rng)),
        1 => "null".to_owned(),
        2 => "{\"a\":1}".to_owned(),
        _ => value(rng).to_owned(),
    };
    match rng.random_range(0..8) {
        0 => insert(text, at, "/* x */"),
        1 => {
            let end = text.len();
            insert(text, end, "{\"a\":1}");
        }
        2 => insert(text, 0, "\u{FEFF}"),
        _ => insert(text, at, &format!("\"{key}\":{value},")),
    }
}

fn xml(text: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let shown = String::from_utf8_lossy(text).into_owned();
    let ends: Vec<(usize, &str)> = shown
        .match_indices("</")
        .filter_map(|(at, _)| Some((at, shown.get(at + 2..)?.split('>').next()?)))
        .collect();
    let Some(&(at, name)) = ends.choose(rng) else { return };
    // Positions are of the lossy text: where they differ from the bytes', the change falls elsewhere, which is as good.
    let at = at.min(text.len());
    let end = (at + 3 + name.len()).min(text.len());
    match rng.random_range(0..12) {
        0 => insert(text, at, "<![CDATA[9]]>"),
        1 => insert(text, at, "<!-- x -->9"),
        2 => insert(text, at, "&#57;"),
        3 => insert(text, at, "&amp;"),
        4 => insert(text, at, " \r\n"),
        5 => insert(text, at, "<?x y?>"),
        6 => {
            let name = twin(name, rng).replace([' ', '[', ']'], "");
            insert(text, end, &format!("<{name}>{}</{name}>", value(rng)));
        }
        7 => insert(text, end, &format!("<{name} xmlns=\"urn:x\">{}</{name}>", value(rng))),
        8 => insert(text, end, &format!("<p:{name} xmlns:p=\"urn:x\">{}</p:{name}>", value(rng))),
        9 => insert(text, 0, "<!DOCTYPE x [<!ENTITY e \"9\">]>"),
        10 => {
            let end = text.len();
            insert(text, end, "<x/>");
        }
        _ => insert(text, end, "<x>9</x>"),
    }
}
