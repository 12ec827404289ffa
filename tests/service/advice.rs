//! `POST /v1/advice` as it is answered: two providers, three channels where money went, one where none did, and a truth that only this
//! file knows. Who is better at which channel crosses, so that neither the provider nor the channel alone tells it.

use crate::{FOUR, World, world};
use hefu::domain::chance::Share;
use hefu::domain::id::{Bank, ChannelName, ProviderName};
use hefu::reconcile::concordance::{Level, Said};
use hefu::route::concordance::{Costs, Strategy};
use hefu::service::concordance::{Advice, Given};
use hefu::service::{Channel, Service};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const CHANNELS: [&str; 3] = ["a", "b", "c"];
const PROVIDERS: [&str; 2] = ["first", "second"];
/// Where nothing is sent.
const UNKNOWN: &str = "d";

/// Of a hundred matches of each provider, how many each channel bears out.
const TRUTH: [[u32; 3]; 2] = [[96, 70, 84], [60, 91, 76]];

/// Whom chance asks first: the same in every run.
fn draw() -> u128 {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let number = DRAWN.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    let mixed = |with: u64| {
        let mixed = number.wrapping_mul(with);
        (mixed ^ (mixed >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    };
    u128::from(mixed(0xBF58_476D_1CE4_E5B9)) << 64 | u128::from(mixed(0x94D0_49BB_1331_11EB))
}

struct Advised {
    world: World,
    channels: Vec<Arc<Channel>>,
    /// How many matches of each provider each channel has seen.
    seen: [[u32; 3]; 2],
}

impl Advised {
    fn new() -> Self {
        let mut world = world();
        let service: &mut Service = Arc::get_mut(&mut world.service).unwrap();
        let at_random = Costs { explore: Share::ALL, ..Costs::default() };
        service.settings.routing.strategy = Strategy::Concordance(at_random);
        service.settings.holds_per_hour = 10_000;
        service.entropy = draw;
        let named = |name: &&str| {
            let mut profile = world.channel.profile.clone();
            profile.channel = ChannelName::new(name);
            Arc::new(Channel { profile, binding: world.channel.binding })
        };
        let channels = CHANNELS.iter().map(named).collect();
        Self { world, channels, seen: [[0; 3]; 2] }
    }

    /// So many people debit at each channel, each of whom a provider takes for right; and the channel bears that out by the truth.
    async fn debit(&mut self, each: u32) {
        for number in 0..each * 3 {
            let at = usize::try_from(number % 3).unwrap();
            let person = number + 1_000 * self.seen.iter().flatten().sum::<u32>();
            let message = World::debit(&format!("{person}"), 0)
                .replace("13800000000", &format!("138{:08}", person % 100_000_000));
            let before = self.world.first.asked();
            let judged = self.world.judge(&self.channels[at], &message).await.unwrap();
            let by = usize::from(self.world.first.asked() == before);
            let nth = self.seen[by][at];
            self.seen[by][at] += 1;
            // Of each hundred so many, spread evenly.
            let share = TRUTH[by][at];
            let borne_out = (nth + 1) * share / 100 > nth * share / 100;
            self.world.settle(judged, if borne_out { "ok" } else { "phone" }).await;
        }
    }

    fn advice(&self, provider: Option<&str>, bank: Option<&str>) -> Vec<Advice> {
        let given = Given {
            provider: provider.map(ProviderName::new),
            elements: FOUR,
            bank: bank.map(Bank::new),
            said: Said::Match,
            age: None,
        };
        let channels = CHANNELS.iter().chain([&UNKNOWN]).map(|name| ChannelName::new(name));
        self.world.service.advise(&given, &channels.collect::<Vec<_>>())
    }

    /// The order that is advised, as `provider@channel`, of those of which anything is known there.
    fn check(&self, provider: Option<&str>, expected: &[&str]) {
        let advice = self.advice(provider, None);
        let known = advice.iter().filter(|it| it.rate.level == Level::Channel);
        let order: Vec<String> =
            known.map(|it| format!("{}@{}", it.provider.as_str(), it.channel.as_str())).collect();
        assert_eq!(order, expected, "{:?}", self.seen);
    }
}

#[tokio::test]
async fn advice_follows_the_truth() {
    let mut advised = Advised::new();
    advised.debit(300).await;
    let all = ["first@a", "second@b", "first@c", "second@c", "first@b", "second@a"];
    advised.check(None, &all);
    advised.check(Some("first"), &["first@a", "first@c", "first@b"]);
    advised.check(Some("second"), &["second@b", "second@c", "second@a"]);
    for it in advised.advice(None, None).iter().filter(|it| it.channel.as_str() != UNKNOWN) {
        let by = PROVIDERS.iter().position(|name| *name == it.provider.as_str()).unwrap();
        let at = CHANNELS.iter().position(|name| *name == it.channel.as_str()).unwrap();
        let (truth, count) = (f64::from(TRUTH[by][at]) / 100.0, it.rate.count);
        let (low, high) = count.interval();
        assert!(low <= truth && truth <= high && high - low < 0.2, "{truth}: {low} {high}");
        assert!((count.expected() - truth).abs() < 0.02, "{truth}: {count:?}");
    }
    // Where nothing went, what is known of the provider elsewhere, and that is said.
    let elsewhere = advised.advice(None, None);
    let elsewhere: Vec<_> = elsewhere.iter().filter(|it| it.channel.as_str() == UNKNOWN).collect();
    assert_eq!(elsewhere.len(), PROVIDERS.len());
    assert!(elsewhere.iter().all(|it| it.rate.level == Level::Provider), "{elsewhere:?}");
    // The bank of all these cards, and one of which nothing is known.
    let levels = |bank| {
        let advice = advised.advice(Some("first"), Some(bank)).into_iter();
        let at = advice.filter(|it| it.channel.as_str() != UNKNOWN);
        at.map(|it| it.rate.level).collect::<Vec<_>>()
    };
    assert_eq!(levels("620000"), [Level::Bank; 3]);
    assert_eq!(levels("699999"), [Level::Channel; 3]);
}

#[tokio::test]
async fn too_little_to_advise_by_says_so() {
    let mut advised = Advised::new();
    let nothing = advised.advice(None, None);
    assert_eq!(nothing.len(), 8);
    for it in &nothing {
        let (low, high) = it.rate.count.interval();
        assert!(it.rate.level == Level::Nowhere && low < 0.01 && high > 0.99, "{it:?}");
    }
    // Thirty samples in all, ten at a channel: of no channel is enough known, and of one provider perhaps of all.
    advised.debit(10).await;
    for it in advised.advice(None, None) {
        assert!(matches!(it.rate.level, Level::Provider | Level::Nowhere), "{it:?}");
    }
    // The first is known at one channel; the other is not asked there so often.
    while advised.seen[0][0] < 30 {
        advised.debit(1).await;
    }
    let seen = advised.seen;
    for it in advised.advice(None, None).iter().filter(|it| it.channel.as_str() != UNKNOWN) {
        let by = usize::from(it.provider.as_str() == "second");
        let at = CHANNELS.iter().position(|name| *name == it.channel.as_str()).unwrap();
        let enough = seen[by][at] >= 30;
        assert_eq!(it.rate.level == Level::Channel, enough, "{it:?} {seen:?}");
    }
}
