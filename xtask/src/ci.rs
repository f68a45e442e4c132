//! `cargo xtask ci`: every check, cheapest first. All of them run, so that one run shows every
//! fault.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::step::Step;
use crate::test::{self, Summary};
use crate::{check_elf, clippy, doc, docs, fmt, setup, tidy};

/// # Errors
/// When any check failed; the last lines name them.
pub fn run() -> Result<()> {
    setup::run()?;
    let mut failures = Vec::new();
    let mut tests = Summary::default();
    let mut check = |name: &str, work: &mut dyn FnMut() -> Result<()>| {
        println!("== {name}");
        let start = Instant::now();
        let outcome = work();
        println!("== {name}: {:.1} s", start.elapsed().as_secs_f32());
        if let Err(error) = outcome {
            println!("== {name} failed: {error:#}");
            failures.push(name.to_owned());
        }
    };
    check("tidy", &mut tidy::check);
    check("fmt", &mut || fmt::run(true));
    check("clippy", &mut clippy::host);
    check("clippy for BPF", &mut clippy::datapath);
    check("test", &mut || {
        tests = test::summarise(&test::Selection::default())?;
        tests.verdict()
    });
    check("docs", &mut || docs::run(true));
    check("doc", &mut doc::run);
    check("deny", &mut deny);
    check("check-elf", &mut check_elf::run);
    if !failures.is_empty() {
        println!("{tests}");
        bail!("these checks failed: {}", failures.join(", "));
    }
    println!("all checks passed; the tests:\n{tests}");
    Ok(())
}

/// Licences and sources of the dependencies, where cargo-deny is installed: building it takes
/// minutes, so it is optional.
fn deny() -> Result<()> {
    if !Step::cargo("deny").arg("--version").succeeds() {
        println!("skipped: cargo-deny is not installed (cargo install --locked cargo-deny)");
        return Ok(());
    }
    Step::cargo("deny").args(["check", "licenses", "bans", "sources"]).run()
}
