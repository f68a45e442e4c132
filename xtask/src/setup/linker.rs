//! bpf-linker, built against the very LLVM that the compiler has: another one may not understand
//! the compiler's bitcode.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::compiler::{self, Compiler};
use crate::step::Step;

/// Requirement on the version: 0.13 is the first that handles LLVM 22.
const VERSION: &str = "~0.13";

/// Builds the linker into `folder/bin`.
pub fn install(compiler: &Compiler, folder: &Path) -> Result<()> {
    println!("setup: building bpf-linker for {} (about a minute)", compiler.identity);
    let prefix = compiler::llvm_folder(compiler)?;
    let library = prefix.join("lib/libLLVM.so");
    let runtime = library.canonicalize().unwrap_or(library);
    let runtime = runtime.parent().context("a library lies in a folder")?;
    let build = folder.join("build");
    Step::limited(Duration::from_secs(1800), &compiler.cargo)
        .args(["install", "bpf-linker", "--version", VERSION, "--locked", "--force"])
        .args(["--no-default-features", "--features", &format!("llvm-{}", compiler.llvm)])
        .arg("--root")
        .arg(folder)
        .env("LLVM_PREFIX", &prefix)
        .env("RUSTFLAGS", format!("-Clink-arg=-Wl,-rpath,{}", runtime.display()))
        .env("CARGO_TARGET_DIR", &build)
        // The work is done by LLVM, which is compiled already; what is compiled here only calls it.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .env("RUSTC", &compiler.rustc)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .run()
        .context("bpf-linker cannot be built")?;
    // A hundred megabytes that only a rebuild for another compiler would miss.
    std::fs::remove_dir_all(&build)
        .with_context(|| format!("cannot remove the build folder {}", build.display()))?;
    let version = Step::new(folder.join("bin/bpf-linker")).arg("--version").output()?;
    println!("setup: {} is ready", version.trim());
    Ok(())
}
