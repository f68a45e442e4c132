//! Build steps of the project: `cargo xtask --help` lists them.

mod bench;
mod bpf;
mod build;
mod check_elf;
mod ci;
mod clippy;
mod conformance;
mod doc;
mod docs;
mod elf;
mod fmt;
mod fuzz;
mod machine;
mod package;
mod progress;
mod run;
mod setup;
mod step;
mod test;
mod tidy;
mod torture;
mod unsafe_code;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Build steps of the project.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building and testing need
    Setup,
    /// Compile the workspace
    Build {
        /// Optimise
        #[arg(long)]
        release: bool,
    },
    /// Show a private link between network namespaces; this host's own network stays as it is
    Run(run::Demonstration),
    /// Start the daemon on this host, whose interfaces it attaches to
    RunHere(run::Daemon),
    /// Run the tests that the privileges of this process allow
    Test(test::Selection),
    /// Measure the datapath
    Bench {
        /// Arguments of the benchmark
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Attack the isolation of tenants between network namespaces
    Torture {
        /// Arguments of the attacks
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Fuzz packets, configurations, DNS queries and what the HTTPS process says
    Fuzz(fuzz::Arguments),
    /// Make the packages of a release: Debian, RPM, tarball, OCI image, checksums
    Package(package::Arguments),
    /// Have other people's tools judge what is promised; `docs/conformance.md` lists the verdicts
    Conformance,
    /// Check the house rules that no compiler checks
    Tidy(tidy::Arguments),
    /// Check that the kernel can load the BPF object
    CheckElf,
    /// Lint the host's code and the datapath
    Clippy,
    /// Format the code
    Fmt {
        /// Change nothing; fail if something is not formatted
        #[arg(long)]
        check: bool,
    },
    /// Build the crates' documentation
    Doc,
    /// Write the sections of docs/ that are generated from code
    Docs {
        /// Change nothing; fail if one is out of date
        #[arg(long)]
        check: bool,
    },
    /// Run every check
    Ci,
}

fn main() -> ExitCode {
    match perform(&Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: &Task) -> Result<()> {
    match task {
        Task::Setup => setup::run(),
        Task::Build { release } => build::run(*release),
        Task::Run(arguments) => run::demonstrate(arguments),
        Task::RunHere(arguments) => run::daemon(arguments),
        Task::Test(selection) => test::run(selection),
        Task::Bench { arguments } => bench::run(arguments),
        Task::Torture { arguments } => torture::run(arguments),
        Task::Fuzz(arguments) => fuzz::run(arguments),
        Task::Package(arguments) => package::run(arguments),
        Task::Tidy(arguments) => tidy::run(arguments),
        Task::Conformance => conformance::run(),
        Task::CheckElf => check_elf::run(),
        Task::Clippy => clippy::run(),
        Task::Fmt { check } => fmt::run(*check),
        Task::Doc => doc::run(),
        Task::Docs { check } => docs::run(*check),
        Task::Ci => ci::run(),
    }
}
