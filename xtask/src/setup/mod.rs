//! `cargo xtask setup`: makes a machine that has only cargo able to build and test everything.
//!
//! Other tasks install only what they need: [`toolchain`], [`demonstration`] or [`tools`].

mod compiler;
pub mod flow_reader;
mod linker;
pub mod openapi_validator;
pub mod packages;
mod python;
pub mod schemathesis;

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::bpf::Toolchain;
use crate::workspace;

/// Sets up everything: what compiling, the demonstration, tests and benchmarks need.
///
/// # Errors
/// When something is missing and cannot be had; the message says what to install.
pub fn run() -> Result<()> {
    tools()?;
    judges();
    Ok(())
}

/// Sets up what the demonstration needs; with `keep` also what it then suggests to try.
///
/// # Errors
/// As [`run`].
pub fn demonstration(keep: bool) -> Result<()> {
    toolchain()?;
    if keep {
        packages::install_missing(&[packages::DEMO, packages::LOOK_AROUND])
    } else {
        packages::install_missing(&[packages::DEMO])
    }
}

/// Sets up what the benchmarks and most tests need.
///
/// # Errors
/// As [`run`].
pub fn tools() -> Result<()> {
    toolchain()?;
    packages::install_missing(&[packages::DEMO, packages::LOOK_AROUND, packages::TEST_TOOLS])
}

/// Sets up the programs of others that judge what the gateway does. Each suite that needs one is
/// left out without it.
fn judges() {
    type Installation = fn() -> Result<()>;
    let judges: [(&str, Installation); 8] = [
        ("oracle", || packages::install_missing(&[packages::ORACLE])),
        ("packaging", || packages::install_missing(&[packages::SERVICE])),
        ("prometheus", || packages::install_missing(&[packages::PROMETHEUS])),
        ("etcd", || packages::install_missing(&[packages::ETCD])),
        ("pages", || packages::install_missing(&[packages::PAGES])),
        ("flow_reader", flow_reader::install),
        ("conformance", || {
            packages::install_missing(&[packages::JUDGES, packages::ORACLE])?;
            openapi_validator::install()
        }),
        ("api", schemathesis::install),
    ];
    for (suite, install) in judges {
        if let Err(error) = install() {
            println!("setup: going on without it, and without the suite `{suite}`: {error:#}");
        }
    }
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
