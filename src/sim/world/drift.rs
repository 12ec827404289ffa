//! How registers come to differ.

/// How many of a thousand customers differ between registers, by reason.
#[derive(Clone, Copy, Debug)]
pub struct Drift {
    /// Changed the phone at the bank; the core and slow copies still hold the old one.
    pub stale_phone: u32,
    /// Changed the phone at the operator and told the core, but not the bank.
    pub operator_only: u32,
    /// Changed the name at the bank; the core and slow copies still hold the old one.
    pub renamed: u32,
    /// Mistyped an element, so that every register disagrees.
    pub mistyped: u32,
    /// Will change the phone (one in eight: the name) at the bank right after a bind or a verification.
    pub mover: u32,
}

impl Default for Drift {
    fn default() -> Self {
        Self { stale_phone: 60, operator_only: 40, renamed: 10, mistyped: 20, mover: 60 }
    }
}
