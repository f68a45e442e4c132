//! The contract of the API: its paths and types, without behaviour.

pub mod path;
pub mod types;
