//! Attacks the isolation of tenants in network namespaces; `docs/security.md` describes it.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum as _};
use privatelink_tests::torture::{self, Plan, attack::Attack, fairness, scene::Setting};

#[derive(Debug, Parser)]
#[command(name = "torture")]
struct Arguments {
    /// What to attack
    subject: Subject,
    /// Repeats a run with the same frames
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Frames of all attacks together
    #[arg(long, default_value_t = 1_100_000)]
    frames: u64,
    /// This attack only; may be given more than once
    #[arg(long, value_name = "NAME")]
    attack: Vec<Attack>,
    /// This setting of the gateway's host only; may be given more than once
    #[arg(long, value_name = "NAME")]
    host: Vec<Setting>,
    /// Where to keep the captures of violations
    #[arg(long, value_name = "DIRECTORY", default_value = "target/torture")]
    keep: PathBuf,
    /// Frames per second of a flood
    #[arg(long, default_value_t = 20_000)]
    rate: u32,
    /// How long each flood is measured
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Subject {
    /// What one tenant receives of another
    Isolation,
    /// What one tenant's flood costs another
    Fairness,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("torture: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<bool> {
    if matches!(arguments.subject, Subject::Fairness) {
        return fairness(&arguments);
    }
    std::fs::create_dir_all(&arguments.keep)
        .with_context(|| format!("cannot create {}", arguments.keep.display()))?;
    let or_all = |chosen: Vec<Attack>| {
        if chosen.is_empty() { Attack::value_variants().to_vec() } else { chosen }
    };
    let settings =
        if arguments.host.is_empty() { Setting::value_variants().to_vec() } else { arguments.host };
    let report = torture::run(&Plan {
        seed: arguments.seed,
        frames: arguments.frames,
        attacks: or_all(arguments.attack),
        settings,
        keep: arguments.keep,
    })?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(report.passes())
}

fn fairness(arguments: &Arguments) -> Result<bool> {
    let floods: &[Attack] =
        if arguments.attack.is_empty() { &fairness::FLOODS } else { &arguments.attack };
    let figures = fairness::run(arguments.seed, arguments.rate, arguments.seconds, floods)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
    } else {
        print!("{figures}");
    }
    Ok(figures.passes())
}
