//! Health checks: asks targets whether they serve, and tells what changes.
//!
//! ```text
//! Model, Inputs, HostFacts ─wanted─► Checks ─probe─► targets
//!                              HealthReports ◄─Assessment─┘
//! ```
//!
//! All checks run on one thread of their own, so that neither waits for the other: the daemon's
//! loop for a slow target, or a check for a large reload. What is found out goes back as
//! [`HealthReport`]s and becomes an input to the maps. What clients' flows tell ([`Symptoms`]) only
//! brings a check forward.

mod assessment;
mod check;
mod engine;
mod jitter;
mod planned;
mod probe;
mod symptoms;

pub use assessment::{Assessment, Outcome, Thresholds};
pub use check::{Check, Obstacle};
pub use engine::{Checks, HealthReport, HealthReports};
pub use planned::wanted_checks;
pub use symptoms::Symptoms;
