//! Finds targets that the configuration does not name by address: by DNS name, and in files that
//! other programs write.
//!
//! Both are looked at again and again. What was found last stays until something else is found:
//! neither a silent name server nor a half-written file takes targets away.

mod files;
mod fit;
mod lookups;

pub use files::{List, Lists};
pub use fit::{Misfit, fit};
pub use lookups::{Names, Question};

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A name has these addresses, or why that is not known.
    Name(Question, Result<Vec<std::net::IpAddr>, String>),
    /// A file lists these targets, or why that is not known.
    List(List, Result<Vec<crate::state::targets::Listed>, String>),
}
