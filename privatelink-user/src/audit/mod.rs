//! The audit log: who has changed what, from where, and who was refused.
//!
//! ```text
//! attempt, on disk ─► the change ─► result
//! ```
//!
//! An attempt is on disk before anything changes, so what cannot be recorded does not happen. Each
//! line has the digest of the line before, across files, so that no line can be altered, removed or
//! inserted without all later ones. Nothing is ever removed: whoever moves full files away keeps
//! them.

mod caller;
mod file;
mod log;
mod reader;
mod refusals;
mod shared;

pub use caller::{entry_of, may_see};
pub use reader::AuditReader;
pub use shared::Audit;

/// The directory of the log below the state directory.
pub const DIRECTORY: &str = "audit";
