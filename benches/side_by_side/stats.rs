//! Medians, and ratios of paired rounds.

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
