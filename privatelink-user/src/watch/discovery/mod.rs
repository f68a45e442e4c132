//! Finds targets that the configuration does not name by address: by DNS name, and in files that
//! other programs write.
//!
//! Both are looked at again and again. What was found last stays until something else is found:
//! neither a silent name server nor a half-written file takes targets away.

mod files;
mod finding;
mod fit;
mod lookups;

pub use files::Lists;
pub use finding::{Finding, List, Question};
pub use fit::{Misfit, fit};
pub use lookups::Names;
