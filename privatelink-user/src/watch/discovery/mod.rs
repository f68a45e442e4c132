//! Finds targets that the configuration does not name by address: by DNS name, and in files that
//! other programs write.
//!
//! Both are looked at again and again. What was found last stays until something else is found:
//! neither a silent name server nor a half-written file takes targets away.

mod file_watcher;
mod finding;
mod fit;
mod name_watcher;

pub use file_watcher::FileWatcher;
pub use finding::{Finding, WatchedFile, WatchedName};
pub use fit::{Misfit, fit};
pub use name_watcher::NameWatcher;
