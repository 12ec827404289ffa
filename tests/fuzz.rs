//! The fuzz targets, short: seeded mutations of small seeds. `make fuzz` runs them long, guided by coverage.
#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may panic, and is told by its environment how long to run"
)]

#[path = "../fuzz/targets.rs"]
mod targets;

use rand::{Rng, SeedableRng, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

/// How many inputs each target gets; `HEFU_FUZZ_RUNS` in the environment, else enough for every day.
fn runs() -> u64 {
    std::env::var("HEFU_FUZZ_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

/// Where mutation begins: something of each kind that is read.
const SEEDS: [&[u8]; 14] = [
    b"POST /gateway/api/pay.do HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\n",
    b"GET /a/%2e%2e/b;c//d?x=1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"a=1&b=%E5%BC%A0+x&customerInfo=e2E9MX0%3D&encoding=GBK",
    b"a=1&b={x=1&y=2}&c=",
    br#"{"a":{"b":[1,2.5,null,true,"x\u5f20"]},"c":"{\"d\":1}"}"#,
    b"<?xml version=\"1.0\" encoding=\"GBK\"?><root><a>1</a><b><c>&lt;</c></b></root>\n{S:AbC+/=}",
    b"<root xmlns=\"urn:x\"><a/><a><![CDATA[1]]></a><!-- x --></root>",
    b"name=:5byg5LiJ:, pan=:NjIwMDAwMDAwMDAwMDAwNQ==:",
    b"\xD5\xC5\xC8\xFD\x82\x32\x8D\x37",
    b"\x00e2E9MSZiPTJ9",
    b"\x02{\"a\":1}",
    b"\x0fa=%2525&b=%257B%2522x%2522%253A1%257D",
    b"[final]\nsucceeded = [\"00\", \"2*\"]\nno_match = { \"66\" = { one_of = [\"name\", \"phone\"] } }\n[[final.text]]\nfield = \"m\"\nmatches = \"x.*\"\ndeclined = \"other\"\n",
    b"-----BEGIN PUBLIC KEY-----\nMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQ==\n-----END PUBLIC KEY-----\n",
];

fn mutated(rng: &mut ChaCha8Rng) -> Vec<u8> {
    const PIECES: [&[u8]; 16] = [
        b"\r\n",
        b"\0",
        b"%00",
        b"&a=",
        b"\"",
        b"\\u0061",
        b"<",
        b"]]>",
        b"&#0;",
        b"\xEF\xBB\xBF",
        b"\xFF",
        b"=",
        b"{",
        b"}",
        b"/../",
        b": ",
    ];
    let mut bytes = SEEDS.choose(rng).map(|seed| seed.to_vec()).unwrap_or_default();
    for _ in 0..rng.random_range(0..6) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..5) {
            0 => bytes.insert(at, rng.random()),
            1 => {
                drop(bytes.splice(
                    at..at,
                    PIECES.choose(rng).copied().unwrap_or_default().iter().copied(),
                ));
            }
            2 => {
                bytes.splice(at..(at + rng.random_range(0..9)).min(bytes.len()), []);
            }
            3 if at < bytes.len() => bytes[at] = rng.random(),
            _ => {
                let end = (at + rng.random_range(0..24)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

fn check(name: &str) {
    let Some((_, run)) = targets::TARGETS.iter().find(|(other, _)| *other == name) else {
        panic!("no target `{name}`")
    };
    for seed in 0..runs() {
        let bytes = mutated(&mut ChaCha8Rng::seed_from_u64(seed));
        let outcome = std::panic::catch_unwind(|| run(&bytes));
        assert!(outcome.is_ok(), "target {name}, seed {seed}: {}", bytes.escape_ascii());
    }
}

macro_rules! short {
    ($($name:ident),*) => { $(#[test] fn $name() { check(stringify!($name)); })* };
}

short!(head, path, form, json, xml, charset, unwrap, sealed, codes);
