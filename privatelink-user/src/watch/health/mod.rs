//! Health checks: probes targets and reports changes of their health.
//!
//! ```text
//! Model, Inputs, HostFacts ─wanted_checks─► Checks ─probe─► targets
//!                                    HealthReports ◄─Assessment─┘
//! ```
//!
//! All checks run on a thread of their own, so that the daemon's loop never waits for a slow target
//! and a check never waits for a large reload. Results come back as [`HealthReport`]s and become an
//! input to the maps. Counters of clients' flows ([`Symptoms`]), for which several parties vouch
//! ([`vouched_for`]), only trigger an early check.

mod assessment;
mod check;
mod engine;
mod inquiry;
mod jitter;
mod planned;
mod probe;
mod suspicion;
mod symptoms;
mod witnesses;

pub use assessment::{Assessment, Outcome, Thresholds};
pub use check::{Check, Obstacle};
pub use engine::{Checks, HealthReport, HealthReports};
pub use inquiry::Inquiry;
pub use planned::wanted_checks;
pub use symptoms::Symptoms;
pub use witnesses::vouched_for;
