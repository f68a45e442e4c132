//! What the API may write: which objects result from a request, and whether the caller may.
//!
//! ```text
//! request ─Writer─► Objects ─config─► Model ─► as any other configuration
//! ```
//!
//! Nothing here validates: whether the objects fit together is decided where files are. A caller
//! who does not administer learns nothing of what is not its own: a name that is others' answers
//! as one that does not exist.

mod content;
mod error;
mod reach;
mod writer;

pub use error::{Fault, WriteError};
pub use writer::{Condition, Outcome, Step, Writer, Writing};

#[cfg(test)]
mod alone;
#[cfg(test)]
mod equivalence;
#[cfg(test)]
mod tests;
