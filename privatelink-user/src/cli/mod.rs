//! The command line: arguments, the client of the API, and the commands.
//!
//! A command stands in one file of `commands/`: its arguments, from which clap makes the parser,
//! the help and the manual page, and what it does. Those that belong together share a file.

mod absence;
mod age;
pub mod args;
pub mod client;
pub(crate) mod commands;
pub mod daemon;
mod examples;
pub mod exit;
mod globals;
mod logging;
mod manual;
mod moment;
mod order;
mod print;
mod terminal;
mod top;
