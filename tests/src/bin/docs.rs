//! Writes the generated sections of `docs/`; `cargo xtask docs` starts it.

use std::{path::Path, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use privatelink_tests::pages;

/// Writes the sections of docs/ that are generated from code.
#[derive(Debug, Parser)]
#[command(name = "docs")]
struct Arguments {
    /// Change nothing; fail if a page is out of date.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("docs: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let stale = pages::stale(&root, &pages::sections())?;
    for page in &stale {
        if arguments.check {
            eprintln!("{}:{}: out of date: run `cargo xtask docs`", page.page, page.line);
        } else {
            page.rewrite()?;
            println!("wrote {}", page.page);
        }
    }
    if stale.is_empty() {
        println!("docs: {} generated sections are up to date", pages::sections().len());
    }
    let fails = arguments.check && !stale.is_empty();
    Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
