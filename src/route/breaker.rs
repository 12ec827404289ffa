//! A breaker: a provider that fails is left alone for a while, and then tried by one question at a time.

use crate::domain::clock::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// Over how long failures count.
const WINDOW: Duration = Duration::from_secs(30);

/// How many questions count at most.
const KEPT: usize = 64;

/// How many failures there must be; and they must be at least half of what counts.
const FAILURES: usize = 5;

/// How long the first pause is; each that follows is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// How long a pause is at most.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// How many trials must succeed, one after the other.
const TRIALS: u32 = 3;

/// What a question says of a provider's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answered.
    Well,
    /// It did not, or not in its language.
    Failed,
    /// Nothing: it was not asked.
    Unknown,
}

/// What somebody who may ask is holding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// After which pause it is a trial.
    trial: Option<u32>,
}

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// Everybody may ask.
    Closed,
    /// One at a time may.
    HalfOpen,
    /// Nobody may.
    Open,
}

impl Stands {
    /// The word used in the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

#[derive(Debug)]
enum State {
    Closed,
    Open { until: Timestamp },
    HalfOpen { trying: bool, well: u32 },
}

/// The breaker of one provider.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    /// When something was asked, and whether it failed.
    recent: VecDeque<(Timestamp, bool)>,
    /// How many pauses there were since it last closed.
    pauses: u32,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed, recent: VecDeque::new(), pauses: 0 }
    }
}

impl Breaker {
    /// How it stands at `now`.
    pub fn stands(&self, now: Timestamp) -> Stands {
        match self.state {
            State::Closed => Stands::Closed,
            State::Open { until } if now < until => Stands::Open,
            State::Open { .. } | State::HalfOpen { .. } => Stands::HalfOpen,
        }
    }

    /// Whether one more may ask at `now`. What it came to must be told with [`Self::heard`], even if it is nothing.
    pub fn admits(&mut self, now: Timestamp) -> Option<Pass> {
        match &mut self.state {
            State::Closed => return Some(Pass { trial: None }),
            State::Open { until } if now < *until => return None,
            State::Open { .. } => self.state = State::HalfOpen { trying: true, well: 0 },
            State::HalfOpen { trying: true, .. } => return None,
            State::HalfOpen { trying, .. } => *trying = true,
        }
        Some(Pass { trial: Some(self.pauses) })
    }

    /// What came of a question.
    pub fn heard(&mut self, pass: Pass, health: Health, now: Timestamp) {
        match (&mut self.state, pass.trial) {
            (State::Closed, None) => self.count(health, now),
            (State::HalfOpen { trying, well }, Some(pause)) if pause == self.pauses => {
                *trying = false;
                match health {
                    Health::Unknown => (),
                    Health::Failed => self.pause(now),
                    Health::Well if *well + 1 < TRIALS => *well += 1,
                    Health::Well => *self = Self::default(),
                }
            }
            // It was asked before the last pause, or that pause is over: an old word.
            (State::Closed | State::Open { .. } | State::HalfOpen { .. }, _) => (),
        }
    }

    fn count(&mut self, health: Health, now: Timestamp) {
        match health {
            Health::Unknown => return,
            Health::Well => self.recent.push_back((now, false)),
            Health::Failed => self.recent.push_back((now, true)),
        }
        let counts = |at: Timestamp| now < at.plus(WINDOW);
        while self.recent.len() > KEPT || self.recent.front().is_some_and(|(at, _)| !counts(*at)) {
            self.recent.pop_front();
        }
        let failures = self.recent.iter().filter(|(_, failed)| *failed).count();
        if failures >= FAILURES && failures.saturating_mul(2) >= self.recent.len() {
            self.pause(now);
        }
    }

    fn pause(&mut self, now: Timestamp) {
        let longer = 2_u32.checked_pow(self.pauses).unwrap_or(u32::MAX);
        let pause = FIRST_PAUSE.saturating_mul(longer).min(LONGEST_PAUSE);
        self.pauses = self.pauses.saturating_add(1);
        self.recent.clear();
        self.state = State::Open { until: now.plus(pause) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By letters: `w`ell, `f`ailed, `u`nknown as soon as one may ask, `-` where nobody may; digits are seconds that pass.
    fn check(story: &str, expected: Stands) {
        let (mut breaker, mut now) = (Breaker::default(), Timestamp::from_millis(1_000_000));
        for (at, letter) in story.chars().enumerate() {
            let health = match letter {
                'w' => Health::Well,
                'f' => Health::Failed,
                'u' => Health::Unknown,
                '-' => {
                    assert_eq!(breaker.admits(now), None, "{story:?} at {at}");
                    continue;
                }
                digit => {
                    now = now.plus(Duration::from_secs(digit.to_digit(10).unwrap().into()));
                    continue;
                }
            };
            let pass = breaker.admits(now);
            assert!(pass.is_some(), "{story:?} at {at}");
            breaker.heard(pass.unwrap(), health, now);
        }
        assert_eq!(breaker.stands(now), expected, "{story:?}");
    }

    #[test]
    fn it_opens_is_tried_and_closes() {
        check("", Stands::Closed);
        check("ffff", Stands::Closed);
        check("fffff-", Stands::Open);
        // Half of them must fail, within the window.
        check("wwwwwwfffff", Stands::Closed);
        check("wwwwwwffffff-", Stands::Open);
        check("ffff9999f", Stands::Closed);
        // It is no failure where nobody was asked.
        check("ffffuuuu", Stands::Closed);
        // Three trials close it, and nothing else does.
        check("fffff1-1", Stands::HalfOpen);
        check("fffff2ww", Stands::HalfOpen);
        check("fffff2www", Stands::Closed);
        check("fffff2uuww", Stands::HalfOpen);
        // Each pause is twice as long.
        check("fffff2wf-2-2", Stands::HalfOpen);
        check("fffff2f4f4-4", Stands::HalfOpen);
        // After it closed, all is forgotten.
        check("fffff2wwwffff", Stands::Closed);
        check("fffff2wwwfffff-2", Stands::HalfOpen);
    }

    /// One who fails `failing` of every `of` questions, one question each `every`, for an hour, after a calm half minute: how often it is
    /// asked, and how often it is left alone.
    fn flapping((failing, of): (u64, u64), every: Duration) -> (u64, u64) {
        let (mut breaker, mut now) = (Breaker::default(), Timestamp::from_millis(1_000_000));
        let calm = now.plus(WINDOW);
        let end = now.plus(Duration::from_hours(1));
        let (mut asked, mut left_alone) = (0, 0);
        while now < end {
            if let Some(pass) = breaker.admits(now) {
                let fails = now >= calm && asked % of < failing;
                breaker.heard(pass, if fails { Health::Failed } else { Health::Well }, now);
                asked += 1;
            } else {
                left_alone += 1;
            }
            now = now.plus(every);
        }
        (asked, left_alone)
    }

    /// What counts is the share that fails, however good and bad take turns and however well it went before.
    #[test]
    fn one_that_flaps_is_left_alone_where_it_fails_half_of_the_time() {
        // At most how many of a hundred questions reach it; all of them where it is never left alone.
        let check = |share, millis, percent| {
            let (asked, left_alone) = flapping(share, Duration::from_millis(millis));
            let (all, shown) =
                (asked + left_alone, format!("{share:?} every {millis} ms: {asked} asked"));
            assert!(asked * 100 <= all * percent, "{shown} of {all}");
            assert_eq!(left_alone == 0, percent == 100, "{shown} of {all}");
        };
        // Often enough for five to fail within the window.
        for millis in [50, 500, 2_000, 3_000] {
            check((1, 2), millis, 20);
            check((2, 3), millis, 20);
            check((1, 1), millis, 20);
            // Each in turn for long enough to be taken for well.
            check((10, 20), millis, 80);
            check((1, 3), millis, 100);
            check((2, 5), millis, 100);
            check((0, 1), millis, 100);
        }
        // So seldom that five never do: nobody is spared much.
        check((1, 2), 6_000, 100);
    }

    #[test]
    fn one_trial_at_a_time_and_old_words_do_not_count() {
        let (mut breaker, now) = (Breaker::default(), Timestamp::from_millis(1_000_000));
        let old = breaker.admits(now).unwrap();
        for _ in 0..5 {
            let pass = breaker.admits(now).unwrap();
            breaker.heard(pass, Health::Failed, now);
        }
        breaker.heard(old, Health::Well, now);
        assert_eq!(breaker.stands(now), Stands::Open);
        let later = now.plus(Duration::from_secs(2));
        let trial = breaker.admits(later).unwrap();
        assert_eq!(breaker.admits(later), None);
        breaker.heard(old, Health::Well, later);
        assert_eq!(breaker.admits(later), None);
        breaker.heard(trial, Health::Failed, later);
        assert_eq!(breaker.stands(later), Stands::Open);
    }
}
