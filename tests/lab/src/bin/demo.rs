//! Shows a newcomer how a page crosses from a provider's network to a consumer's.
//!
//! Lays the lab, starts the daemon with a configuration such as `examples/quickstart.toml`, and
//! prints each step as it happens. Exits with 0 only if the page was received.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use privatelink_lab::demo;

/// Carries a web page from a provider's network to a consumer's, and shows how.
#[derive(Debug, Parser)]
struct Arguments {
    /// Leave everything up, with commands to play on, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// The `privatelink` binary [default: the one beside this program].
    #[arg(long, value_name = "PATH")]
    daemon: Option<PathBuf>,
    /// The gateway's configuration; its interfaces are `veth-acme` and `veth-vendor`.
    #[arg(long, value_name = "FILE", default_value = "examples/quickstart.toml")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let interrupts = match demo::Interrupts::watch() {
        Ok(interrupts) => interrupts,
        Err(error) => return fail(&error),
    };
    match demo::run(&arguments.config, arguments.daemon.as_deref(), arguments.keep, &interrupts) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("\nThe demonstration failed: {error:#}");
    ExitCode::FAILURE
}
