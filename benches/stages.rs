//! What each stage of an inspected exchange costs: those that can be run alone, by themselves; the rest of judging and of settling, by
//! what these take as a whole. What is left of a request's processor time is reading, forwarding and writing: `side_by_side` tells.

use crate::micro::rules;
use crate::pure::{NOW, Pure};
use crate::store::admission;
use crate::timed::{nanos, nanos_of};
use crate::world;
use futures::FutureExt as _;
use hefu::crypto::fingerprint::Fingerprinter;
use hefu::domain::answer::Answer;
use hefu::domain::element::ElementSet;
use hefu::domain::id::{KeyId, ProviderName};
use hefu::domain::outcome::Outcome;
use hefu::domain::payment::{Mode, Scenario};
use hefu::message::extract::{Request, extract};
use hefu::message::outcome;
use hefu::policy::{Basis, Facts, Policy, Verification, decide};
use hefu::proxy::head::check_head;
use hefu::reconcile::{Expected, Verified, compare};
use hefu::store::{Evidence, Witness};
use std::hint::black_box;
use std::time::Duration;

/// How many payments are admitted in a batch: each is kept.
const ADMITTED: u32 = 5_000;

/// Stages and what they cost in nanoseconds, in the order of a payment's life.
#[derive(Debug)]
pub(crate) struct Stages(pub(crate) Vec<(&'static str, f64)>);

impl Stages {
    /// Measures them.
    pub(crate) fn measure() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut pure = Pure::new(dir.path());
        let framing = nanos(|| check_head(black_box(&pure.head)).unwrap());
        let mut parts = vec![("framing", framing)];
        let judging = judging(&pure);
        let settling = settling(&pure);
        let mut settled = Vec::new();
        let judge = nanos_of(ADMITTED, || settled.push(pure.judge())) - framing;
        let mut waiting = settled.into_iter();
        let settle = nanos_of(ADMITTED, || pure.settle(waiting.next().unwrap()));
        for (stages, rest, whole) in
            [(judging, "the rest of judging", judge), (settling, "the rest of settling", settle)]
        {
            let known: f64 = stages.iter().map(|(_, nanos)| nanos).sum();
            parts.extend(stages);
            parts.push((rest, whole - known));
        }
        Self(parts)
    }

    /// Prints them.
    pub(crate) fn print(&self) {
        println!("{:<24} {:>8}", "stage", "ns");
        for (name, nanos) in &self.0 {
            println!("{name:<24} {nanos:>8.0}");
        }
        let all: f64 = self.0.iter().map(|(_, nanos)| nanos).sum();
        println!("{:<24} {all:>8.0}", "together");
    }
}

fn judging(pure: &Pure) -> Vec<(&'static str, f64)> {
    let head = check_head(&pure.head).unwrap();
    let request = Request::post(&head.path, world::FORM, &pure.body);
    let profile = &pure.channel.profile;
    let extracted = extract(profile, &request).unwrap();
    let elements = &extracted.payments.first().unwrap().payment.elements;
    let fingerprinter = Fingerprinter::new(KeyId(1), &[7; 32]).unwrap();
    let tuple = fingerprinter.tuple(elements, elements.set()).unwrap();
    let (store, channel, road) = (&pure.service.store, pure.channel.name(), profile.road.as_ref());
    let evidence = Evidence {
        answer: Answer::Match,
        elements: ElementSet::EMPTY,
        witness: Witness::Provider(ProviderName::new("upv")),
        road: None,
        at: NOW,
        until: NOW.plus(Duration::from_hours(1)),
        beside: None,
        origin: None,
    };
    store.put_evidence(tuple, None, evidence);
    assert!(store.evidence(&tuple, channel, road, NOW).is_some());
    let policy = Policy::default();
    let facts = Facts {
        scenario: Scenario::Debit,
        mode: Mode::Enforce,
        basis: Basis::Verified(Verification::Answered(Answer::Match)),
        asserted: false,
        held: false,
        spared: false,
    };
    let mut number = 0;
    vec![
        ("extract", nanos(|| extract(profile, black_box(&request)).unwrap())),
        (
            "fingerprint",
            nanos(|| fingerprinter.tuple(black_box(elements), elements.set()).unwrap()),
        ),
        ("lookup", nanos(|| store.evidence(black_box(&tuple), channel, road, NOW))),
        ("fifty rules", rules::nanos()),
        ("decide", nanos(|| decide(&policy, black_box(&facts)))),
        (
            "admit",
            nanos_of(ADMITTED, || {
                number += 1;
                store.admit(admission(number)).now_or_never().unwrap().unwrap()
            }),
        ),
    ]
}

fn settling(pure: &Pure) -> Vec<(&'static str, f64)> {
    let profile = &pure.channel.profile;
    let request = Request::post("/gateway/api/backtransreq.do", world::FORM, &pure.body);
    let message = extract(profile, &request).unwrap().message;
    let answer = world::answer();
    let told = outcome::read(profile, message, None, &answer).whole();
    assert_eq!(told.code.unwrap(), "00");
    let expected = Expected {
        verified: Some(Verified { answer: Answer::Match, elements: message.checks }),
        checks: message.checks,
    };
    vec![
        ("parse", nanos(|| outcome::read(profile, message, None, black_box(&answer)))),
        ("compare", nanos(|| compare(black_box(&expected), Outcome::Succeeded))),
    ]
}
