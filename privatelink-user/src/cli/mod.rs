//! The command line: arguments, the client of the API, and the commands.

pub mod args;
pub mod client;
pub mod commands;
pub mod exit;
