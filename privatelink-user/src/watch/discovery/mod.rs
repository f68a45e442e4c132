//! Finds targets that the configuration does not name by address: by DNS name, and in files that
//! other programs write.
//!
//! Both are polled. The last result stays valid until there is another: neither a silent name
//! server nor a half-written file removes targets.

mod file_watcher;
mod finding;
mod fit;
mod name_watcher;
mod tasks;

pub use file_watcher::FileWatcher;
pub use finding::{Finding, WatchedFile, WatchedName};
pub use fit::{Misfit, fit};
pub use name_watcher::NameWatcher;
