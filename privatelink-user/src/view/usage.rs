//! How much of a limited thing is in use.

/// How much of something is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The amount that is in use.
    pub used: u64,
    /// The amount that there is.
    pub of: u64,
}

impl Usage {
    /// The share that is in use.
    pub fn ratio(self) -> f64 {
        if self.of == 0 { 0.0 } else { self.used as f64 / self.of as f64 }
    }
}
