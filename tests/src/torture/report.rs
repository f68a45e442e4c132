//! What a run has shown.

use std::{fmt, path::PathBuf};

use serde::Serialize;

/// Violations of a round that are listed one by one.
pub const SHOWN: usize = 5;

/// The outcomes of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Repeats the run.
    pub seed: u64,
    /// Each attack under each setting.
    pub outcomes: Vec<Outcome>,
}

/// One attack under one setting.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Name of the attack.
    pub attack: &'static str,
    /// Name of the setting of the gateway's host.
    pub setting: &'static str,
    /// Frames that the attack has sent.
    pub frames: u64,
    /// Frames that the gateway delivered to a tenant.
    pub arrivals: u64,
    /// Those that an open flow or the sender's own question explains.
    pub explained: u64,
    /// Frames that the captures lost: none may be.
    pub lost_by_captures: u64,
    /// Arrivals that nothing explains.
    pub violations_total: u64,
    /// The first of them, as text.
    pub violations: Vec<String>,
    /// The capture of the violations.
    pub kept: Option<PathBuf>,
    /// How long it took.
    pub seconds: f64,
}

impl Report {
    /// Begins the report of the run with this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, outcomes: Vec::new() }
    }

    /// Whether nothing was violated, and nothing missed.
    pub fn passes(&self) -> bool {
        self.outcomes.iter().all(|one| one.violations_total == 0 && one.lost_by_captures == 0)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<12} {:<18} {:>9} {:>9} {:>9} {:>6} {:>10} {:>6.1}",
            self.setting,
            self.attack,
            self.frames,
            self.arrivals,
            self.explained,
            self.lost_by_captures,
            self.violations_total,
            self.seconds
        )?;
        for violation in &self.violations {
            write!(f, "\n    {violation}")?;
        }
        if let Some(path) = &self.kept {
            write!(f, "\n    capture: {}", path.display())?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<12} {:<18} {:>9} {:>9} {:>9} {:>6} {:>10} {:>6}",
            "host", "attack", "frames", "arrivals", "explained", "lost", "violations", "s"
        )?;
        for outcome in &self.outcomes {
            writeln!(f, "{outcome}")?;
        }
        let sum = |of: fn(&Outcome) -> u64| self.outcomes.iter().map(of).sum::<u64>();
        writeln!(
            f,
            "seed {}: {} frames, {} arrivals, {} explained, {} lost by captures, {} violations",
            self.seed,
            sum(|one| one.frames),
            sum(|one| one.arrivals),
            sum(|one| one.explained),
            sum(|one| one.lost_by_captures),
            sum(|one| one.violations_total)
        )
    }
}
