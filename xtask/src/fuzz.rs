//! `cargo xtask fuzz`: inputs that nobody thought of, guided by which code they reach. It needs
//! neither another compiler nor a cargo subcommand: what it takes are flags of the pinned one.

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

use crate::setup;
use crate::step::Step;
use crate::test::privilege::Privilege;
use crate::workspace;

const PACKAGE: &str = "privatelink-fuzz";
const PROFILE: &str = "fuzz";

/// What makes the compiler note which code an input reaches, and what it is compared with.
const COVERAGE: [&str; 7] = [
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

/// What to fuzz.
#[derive(Args)]
pub struct Arguments {
    /// The packet function on the host, the parser of the configuration, or what the name server is
    /// asked; all of them unless given
    target: Option<Target>,
    /// Fuzz the programs in the kernel instead, and compare them with the host's function (root)
    #[arg(long, conflicts_with = "target")]
    kernel: bool,
    /// How long, for each
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// Something that can be fuzzed on the host.
#[derive(Clone, Copy, ValueEnum)]
enum Target {
    /// The packet function
    Packets,
    /// The parser of the configuration
    Configuration,
    /// What the name server is asked
    Queries,
    /// What the HTTPS process says to the daemon
    Messages,
}

impl Target {
    const ALL: [Self; 4] = [Self::Packets, Self::Configuration, Self::Queries, Self::Messages];

    fn name(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Configuration => "configuration",
            Self::Queries => "queries",
            Self::Messages => "messages",
        }
    }

    /// Longest input.
    fn longest(self) -> u32 {
        match self {
            Self::Packets => 1_024,
            Self::Configuration => 8_192,
            Self::Queries => 512,
            Self::Messages => 2_048,
        }
    }
}

/// # Errors
/// When something does not build, or when a fault was found.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::toolchain()?;
    if arguments.kernel {
        return kernel(arguments.seconds);
    }
    // Build scripts and macros are for the host, and are left as they are where a target is named.
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    Step::cargo("build")
        .args(["--package", PACKAGE, "--profile", PROFILE, "--target", &triple])
        .args(["--bin", "packets", "--bin", "configuration", "--bin", "queries"])
        .args(["--bin", "messages"])
        .env("RUSTFLAGS", COVERAGE.join(" "))
        .run()
        .context("the fuzzer needs a C++ compiler beside the rest")?;
    let targets = arguments.target.as_ref().map_or(&Target::ALL[..], std::slice::from_ref);
    targets.iter().try_for_each(|target| fuzz(*target, &triple, arguments.seconds))
}

fn fuzz(target: Target, triple: &str, seconds: u64) -> Result<()> {
    let name = target.name();
    let named = workspace::root().join("tests/fuzz/corpus").join(name);
    // What was found before is where the next run goes on.
    let grown = workspace::target_dir().join("fuzz-corpus").join(name);
    let faults = workspace::target_dir().join("fuzz-faults").join(name);
    for folder in [&grown, &faults] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    Step::new(workspace::target_dir().join(triple).join(PROFILE).join(name))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.longest()))
        .arg(format!("-artifact_prefix={}/", faults.display()))
        .args(["-timeout=10", "-print_final_stats=1", "-verbosity=1"])
        .args([grown, named])
        .run()
        .with_context(|| {
            let folder = faults.display();
            format!(
                "see the input in {folder}; to play it: cargo run -p {PACKAGE} --bin {name} FILE"
            )
        })
}

fn kernel(seconds: u64) -> Result<()> {
    Privilege::Root.check()?;
    Step::cargo("build")
        .args(["--package", PACKAGE, "--profile", PROFILE, "--bin", "kernel"])
        .run()?;
    let program = workspace::target_dir().join(PROFILE).join("kernel");
    Step::new(program).arg("--seconds").arg(seconds.to_string()).run()
}
