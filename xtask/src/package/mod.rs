//! `cargo xtask package`: what a release consists of, as files that a host can install.
//!
//! Everything is made from one tree of staged files ([`contents`]) around one static binary
//! ([`binary`]), and depends on the commit alone: neither on the folder nor on the time of the
//! build. `--verify` shows that by a second build in another folder.

mod archive;
mod binary;
mod configuration;
mod contents;
mod deb;
mod dependencies;
mod image;
mod licences;
mod rpm;
mod sbom;
mod source;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

pub use self::binary::TARGET;
pub use self::dependencies::Dependencies;
pub use self::source::Source;
use crate::setup::{self, packages};
use crate::step::Step;
use crate::workspace;

/// The name of the package, and of the binary in it.
const NAME: &str = "privatelink";
/// The file that lists the checksums of all others.
const CHECKSUMS: &str = "SHA256SUMS";

/// What to make.
#[derive(clap::Args)]
pub struct Arguments {
    /// Build once more in another folder, and fail if any file differs
    #[arg(long)]
    verify: bool,
    /// Sign the checksums with this SSH key (the private one, or the public one of an agent's)
    #[arg(long, value_name = "FILE")]
    sign: Option<PathBuf>,
}

/// Makes all packages of the checked-out commit in `target/package/`.
///
/// # Errors
/// When something cannot be had or built, or differs where it must not.
pub fn run(arguments: &Arguments) -> Result<()> {
    prepare()?;
    let source = Source::here()?;
    let folder = workspace::root().join("target/package").join(&source.version);
    make_all(&source, &target_dir(), &folder)?;
    if arguments.verify {
        verify(&source, &folder)?;
    }
    if let Some(key) = &arguments.sign {
        sign(key, &folder)?;
    }
    print!("{}", std::fs::read_to_string(folder.join(CHECKSUMS))?);
    println!("package: all files are in {}", folder.display());
    Ok(())
}

/// Makes the Debian package of a tree of sources, and nothing else; returns its path.
///
/// # Errors
/// When it does not build.
pub fn debian_package(source: &Source, folder: &Path) -> Result<PathBuf> {
    prepare()?;
    let binary = binary::build(source, &target_dir())?;
    let staged = contents::stage(source, &binary, &folder.join("tree"))?;
    deb::make(source, &staged, folder)
}

/// Installs what packaging needs.
fn prepare() -> Result<()> {
    setup::toolchain()?;
    packages::install_missing(&[packages::PACKAGING])?;
    binary::install_target()
}

/// Cargo's folder for these builds: their flags differ from those of other builds.
fn target_dir() -> PathBuf {
    workspace::root().join("target/package/build")
}

fn make_all(source: &Source, target_dir: &Path, folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder)?;
    let binary = binary::build(source, target_dir)?;
    let tree = folder.join("tree");
    let staged = contents::stage(source, &binary, &tree)?;
    let made = [
        deb::make(source, &staged, folder)?,
        rpm::make(source, &staged, folder)?,
        archive::make(source, &staged, folder)?,
        image::make(source, &binary, folder)?,
        copy(&tree.join(contents::SBOM), &folder.join(format!("{}.cdx.json", source.label())))?,
    ];
    std::fs::remove_dir_all(&tree)?;
    let names = made.iter().filter_map(|path| path.file_name());
    let sums = Step::new("sha256sum").args(names).current_dir(folder).output()?;
    std::fs::write(folder.join(CHECKSUMS), sums).context("cannot write the checksums")
}

fn copy(from: &Path, to: &Path) -> Result<PathBuf> {
    std::fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(to.to_owned())
}

/// Builds a copy of the sources elsewhere, with nothing of the first build, and compares.
fn verify(source: &Source, folder: &Path) -> Result<()> {
    let other = std::env::temp_dir().join(format!("{NAME}-verify-{}", std::process::id()));
    let outcome = (|| {
        let copied = source.exported(&other.join("a/folder/of/another/name"))?;
        let second = other.join("packages");
        make_all(&copied, &other.join("build"), &second)?;
        let sums = |folder: &Path| std::fs::read_to_string(folder.join(CHECKSUMS));
        let (first, second) = (sums(folder)?, sums(&second)?);
        let differing: Vec<&str> =
            first.lines().filter(|line| !second.lines().any(|other| other == *line)).collect();
        ensure!(differing.is_empty(), "not reproducible: {}", differing.join(", "));
        println!("package: a second build in {} gave the same files", other.display());
        Ok(())
    })();
    if outcome.is_ok() {
        std::fs::remove_dir_all(&other)
            .with_context(|| format!("cannot remove {}", other.display()))?;
    }
    outcome
}

/// Writes `SHA256SUMS.sig`, which `ssh-keygen -Y verify` checks.
fn sign(key: &Path, folder: &Path) -> Result<()> {
    let key = std::path::absolute(key)?;
    let signature = folder.join(format!("{CHECKSUMS}.sig"));
    if signature.exists() {
        std::fs::remove_file(&signature)?;
    }
    Step::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", NAME, "-f"])
        .arg(key)
        .arg(folder.join(CHECKSUMS))
        .run()
        .context("cannot sign the checksums")
}
