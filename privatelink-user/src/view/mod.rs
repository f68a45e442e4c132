//! What people are shown, computed from values.

pub mod difference;
pub mod flows;
pub mod status;
pub mod usage;
pub mod whois;
