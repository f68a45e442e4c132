//! The `privatelink` command.

use clap::Parser as _;
use privatelink_user::cli::{args::Cli, commands, exit::Exit};

fn main() -> Exit {
    let cli = Cli::parse();
    commands::dispatch(&cli).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        commands::exit_code(&error)
    })
}
