//! `cargo xtask tidy`: the house rules that no compiler checks.

mod commits;
mod finding;
mod manifests;
mod rooms;
mod sources;

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use self::finding::{Finding, Severity};
pub use self::sources::is_unsafe;
use crate::step::Step;
use crate::test::suites;
use crate::workspace;

/// What to print.
#[derive(clap::Args)]
pub struct Arguments {
    /// Print rooms, files, arrows between rooms and circles instead of checking
    #[arg(long, hide = true)]
    rooms: bool,
}

/// # Errors
/// When a rule is broken; each breach has been printed.
pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.rooms {
        return rooms::summarise(&workspace::root(), &tracked_files()?);
    }
    check()
}

/// # Errors
/// As [`run`].
pub fn check() -> Result<()> {
    let root = workspace::root();
    let mut findings = manifests::check(&root)?;
    if let Err(fault) = suites::check_table() {
        findings.push(Finding::error("tests/Cargo.toml", None, fault.to_string()));
    }
    let files = tracked_files()?;
    for file in &files {
        // A file that is deleted but not yet committed is still listed.
        let Ok(text) = std::fs::read_to_string(root.join(file)) else { continue };
        findings.extend(sources::check(file, &text));
    }
    findings.extend(rooms::check(&root, &files)?);
    findings.extend(commits::check()?);
    findings.iter().for_each(Finding::print);
    let errors = findings.iter().filter(|one| one.severity == Severity::Error).count();
    ensure!(errors == 0, "{errors} breaches of the house rules");
    println!("tidy: {} files follow the house rules", files.len());
    Ok(())
}

/// The text files that git knows or would add.
fn tracked_files() -> Result<Vec<String>> {
    const TEXT: [&str; 8] = ["rs", "toml", "md", "c", "h", "sh", "py", "json"];
    let listing = Step::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("cannot list the project's files")?;
    let is_text = |file: &&str| {
        Path::new(file).extension().is_some_and(|e| TEXT.iter().any(|text| e == *text))
    };
    Ok(listing.lines().filter(is_text).map(str::to_owned).collect())
}
