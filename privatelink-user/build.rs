//! Puts the BPF object into the daemon: `OUT_DIR/privatelink.bpf.o`.
//!
//! `PRIVATELINK_BPF_OBJECT=PATH` takes an object built beforehand; otherwise it is compiled here,
//! with what `cargo xtask setup` chose.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

#[path = "../xtask/src/bpf.rs"]
mod bpf;

const PREBUILT: &str = "PRIVATELINK_BPF_OBJECT";

fn main() -> ExitCode {
    match provide_object() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line: returning the error would bury the advice under a backtrace.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn provide_object() -> Result<()> {
    println!("cargo:rerun-if-env-changed={PREBUILT}");
    let object = match std::env::var_os(PREBUILT) {
        Some(path) => {
            println!("cargo:rerun-if-changed={}", Path::new(&path).display());
            PathBuf::from(path)
        }
        None => compile()?,
    };
    let out = std::env::var_os("OUT_DIR").context("cargo did not set OUT_DIR")?;
    let destination = Path::new(&out).join("privatelink.bpf.o");
    std::fs::copy(&object, &destination)
        .with_context(|| format!("cannot copy the BPF object {}", object.display()))?;
    Ok(())
}

/// Compiles the datapath and returns the object's path.
fn compile() -> Result<PathBuf> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").context("cargo sets this")?;
    let root = Path::new(&manifest).parent().context("the crate lies in the workspace")?;
    for input in [
        "Cargo.lock",
        "Cargo.toml",
        "privatelink-common/Cargo.toml",
        "privatelink-common/src",
        "privatelink-ebpf/Cargo.toml",
        "privatelink-ebpf/src",
        bpf::Toolchain::FILE,
    ] {
        println!("cargo:rerun-if-changed={}", root.join(input).display());
    }
    let mut build = bpf::Toolchain::load(root)?.cargo(root, "build");
    let status = build.status().with_context(|| format!("cannot start {build:?}"))?;
    ensure!(status.success(), "the BPF object does not build ({status}); its errors are above");
    Ok(bpf::Toolchain::object(root))
}
