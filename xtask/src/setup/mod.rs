//! `cargo xtask setup`: makes a machine that has only cargo able to build and test everything.

mod compiler;
pub mod flow_reader;
mod linker;
pub mod packages;
mod python;
pub mod schemathesis;

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::bpf::Toolchain;
use crate::workspace;

/// Sets up the BPF toolchain and the programs that tests use.
///
/// # Errors
/// When something is missing and cannot be had; the message says what to install.
pub fn run() -> Result<()> {
    toolchain()?;
    packages::install_missing(packages::TEST_TOOLS)?;
    if let Err(error) = packages::install_missing(packages::ORACLE) {
        println!("setup: going on without it, and without the suite `oracle`: {error:#}");
    }
    if let Err(error) = packages::install_missing(packages::SERVICE) {
        println!("setup: going on without it, and without the suite `packaging`: {error:#}");
    }
    if let Err(error) = packages::install_missing(packages::PROMETHEUS) {
        println!("setup: going on without it, and without the suite `prometheus`: {error:#}");
    }
    if let Err(error) = flow_reader::install() {
        println!("setup: going on without it, and without the suite `flow_reader`: {error:#}");
    }
    if let Err(error) = schemathesis::install() {
        println!("setup: going on without it, and without the suite `api`: {error:#}");
    }
    Ok(())
}

/// Sets up what compiling needs, and nothing else.
///
/// # Errors
/// When no compiler or linker for the BPF target can be had.
pub fn toolchain() -> Result<Toolchain> {
    let folder = toolchain_dir();
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    // Two set-ups at once would build the linker twice, one over the other.
    let lock = File::create(folder.join("lock")).context("cannot create the set-up's lock file")?;
    lock.lock().context("cannot wait for another set-up")?;

    let chosen = compiler::choose()?;
    let linker = folder.join("bin/bpf-linker");
    let toolchain = Toolchain {
        compiler: chosen.identity.clone(),
        cargo: chosen.cargo.clone(),
        rustc: chosen.rustc.clone(),
        build_std: chosen.build_std,
        linker,
    };
    if Toolchain::load(&workspace::root()).is_ok_and(|recorded| recorded == toolchain) {
        println!("setup: BPF toolchain: {}; bpf-linker is built for it", chosen.identity);
        return Ok(toolchain);
    }
    linker::install(&chosen, &folder)?;
    let text = toml::to_string(&toolchain).context("cannot write down the BPF toolchain")?;
    let file = workspace::root().join(Toolchain::FILE);
    std::fs::write(&file, format!("# Written by `cargo xtask setup`.\n{text}"))
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("setup: wrote {}", Toolchain::FILE);
    Ok(toolchain)
}

/// The folder that holds the linker; it does not follow `CARGO_TARGET_DIR`, so that every build
/// of this checkout finds it.
fn toolchain_dir() -> PathBuf {
    workspace::root().join("target/toolchain")
}
