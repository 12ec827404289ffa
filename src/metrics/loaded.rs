//! Whether what was put in force last could be.

use super::Metrics;
use std::sync::PoisonError;

/// What is put in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loaded {
    /// The files.
    Files,
    /// What comes through the admin API.
    Managed,
}

impl Metrics {
    /// What is in force was loaded anew, or was bad and the old one stays: the one part may be good while the other is not.
    pub fn on_load(&self, of: Loaded, successful: bool) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if successful {
            failed.remove(&of);
        } else {
            failed.insert(of);
        }
        self.reload.set(i64::from(failed.is_empty()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change through the admin API said that all was well while the files were bad.
    #[test]
    fn what_is_good_in_one_part_hides_nothing_of_the_other() {
        let metrics = Metrics::new().unwrap();
        let check = |of, successful, expected| {
            metrics.on_load(of, successful);
            assert_eq!(metrics.reload.get(), expected, "{of:?}");
        };
        check(Loaded::Files, false, 0);
        check(Loaded::Managed, true, 0);
        check(Loaded::Managed, false, 0);
        check(Loaded::Files, true, 0);
        check(Loaded::Managed, true, 1);
    }
}
