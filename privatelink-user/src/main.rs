//! The `privatelink` command.

use clap::Parser as _;
use privatelink_user::cli::{args::Cli, exit::Exit};

fn main() -> Exit {
    Cli::parse().run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        Exit::of(&error)
    })
}
