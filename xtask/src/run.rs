//! `cargo xtask run`: the demonstration between network namespaces; `cargo xtask run-here`: the daemon on
//! this host.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;

use crate::progress;
use crate::setup;
use crate::step::Step;
use crate::workspace;

/// The configuration that the demonstration shows.
const QUICKSTART: &str = "examples/quickstart.toml";

/// How to show it.
#[derive(clap::Args)]
pub struct Demonstration {
    /// Leave the demonstration's networks in place, to look around in them
    #[arg(long)]
    keep: bool,
    /// Further arguments of the program that is started
    #[arg(last = true)]
    rest: Vec<OsString>,
}

/// What to start on this host.
#[derive(clap::Args)]
pub struct Daemon {
    /// The configuration: a file, or a directory of *.toml
    #[arg(long, value_name = "PATH")]
    config: PathBuf,
    /// Further arguments of the daemon
    #[arg(last = true)]
    rest: Vec<OsString>,
}

/// # Errors
/// When the machine cannot be set up or something does not compile.
pub fn daemon(arguments: &Daemon) -> Result<()> {
    setup::toolchain()?;
    progress::build(&["--release", "--package", "privatelink-user"])?;
    // The caller's path is meant from where the caller is.
    let config = std::path::absolute(&arguments.config)?;
    Step::new(workspace::target_dir().join("release/privatelink"))
        .args(["run", "--config"])
        .arg(config)
        .args(&arguments.rest)
        .exec()
}

/// # Errors
/// When the machine cannot be set up or something does not compile.
pub fn demonstrate(arguments: &Demonstration) -> Result<()> {
    setup::demonstration(arguments.keep)?;
    // Not optimised, since it shows a few packets: that takes half the time to build.
    progress::build(&progress::daemon_and("privatelink-lab", "demo"))?;
    let programs = workspace::target_dir().join("debug");
    Step::new(programs.join("demo"))
        .args(arguments.keep.then_some("--keep"))
        .arg("--daemon")
        .arg(programs.join("privatelink"))
        .args(["--config", QUICKSTART])
        .args(&arguments.rest)
        .exec()
}
