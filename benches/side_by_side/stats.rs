//! Medians, and ratios of paired rounds.

use std::time::Duration;

/// How long requests took, sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// What so many thousandths did not take longer than, in microseconds.
    pub(crate) fn at(&self, thousandths: usize) -> Option<f64> {
        let last = self.0.len().checked_sub(1)?;
        let time = self.0.get((self.0.len() * thousandths / 1000).min(last))?;
        Some(time.as_secs_f64() * 1e6)
    }

    /// Takes more of them in.
    pub(crate) fn add(&mut self, more: Vec<Duration>) {
        self.0.extend(more);
        self.0.sort_unstable();
    }
}

/// A ratio over rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    /// The middle one.
    pub(crate) median: f64,
    /// The lowest.
    pub(crate) low: f64,
    /// The highest.
    pub(crate) high: f64,
}

/// The middle value; of an even number the upper one.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// `left` to `right`, round by round: what disturbed a round disturbed both.
pub(crate) fn ratios(left: &[f64], right: &[f64]) -> Spread {
    let ratios: Vec<f64> = left.iter().zip(right).map(|(left, right)| left / right).collect();
    let low = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let high = ratios.iter().copied().fold(0.0, f64::max);
    Spread { median: median(&ratios), low, high }
}

/// With so many decimal places.
pub(crate) fn rounded(value: f64, places: i32) -> f64 {
    let scale = 10_f64.powi(places);
    (value * scale).round() / scale
}
