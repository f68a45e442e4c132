//! The binary of a release: static, so that it starts on every distribution, and the same from
//! whichever folder it is built.
//!
//! Users and groups are then looked up in `/etc/passwd` and `/etc/group`, and through nscd where
//! a host has other directories of users.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use object::Object as _;

use super::{NAME, Source};
use crate::bpf;
use crate::step::Step;

/// The target: Linux with musl, which is linked statically.
pub const TARGET: &str = "x86_64-unknown-linux-musl";

/// Adds the standard library for the target to the toolchain.
///
/// # Errors
/// When it is absent and rustup cannot add it.
pub fn install_target() -> Result<()> {
    let library = || -> Result<bool> {
        let print = ["--print", "target-libdir", "--target", TARGET];
        let folder = Step::new("rustc").args(print).output()?;
        Ok(Path::new(folder.trim()).is_dir())
    };
    if library()? {
        return Ok(());
    }
    println!("package: missing the standard library for {TARGET}");
    let limit = std::time::Duration::from_secs(600);
    Step::limited(limit, "rustup").args(["target", "add", TARGET]).run()?;
    ensure!(library()?, "`rustup target add {TARGET}` did not add the standard library");
    Ok(())
}

/// Compiles the daemon; returns the path of the binary.
///
/// # Errors
/// When it does not compile, or is not what a release may contain.
pub fn build(source: &Source, target_dir: &Path) -> Result<PathBuf> {
    Step::cargo("build")
        .args(["--release", "--locked", "--package", "privatelink-user", "--target", TARGET])
        .env("CARGO_TARGET_DIR", target_dir)
        // They apply to the target alone, neither to build scripts nor to the datapath.
        .env("CARGO_ENCODED_RUSTFLAGS", remapped_paths(&source.hidden)?.join("\x1f"))
        .env("CC_x86_64_unknown_linux_musl", "musl-gcc")
        .env("SOURCE_DATE_EPOCH", source.epoch.to_string())
        .current_dir(&source.root)
        .run()?;
    let binary = target_dir.join(TARGET).join("release").join(NAME);
    check(&binary, &source.hidden)?;
    Ok(binary)
}

fn remapped_paths(root: &Path) -> Result<Vec<String>> {
    let sysroot = Step::new("rustc").args(["--print", "sysroot"]).output()?;
    let home = bpf::cargo_home().context("neither CARGO_HOME nor HOME is set")?;
    let folders = [
        (root.to_owned(), bpf::SOURCES),
        (Path::new(sysroot.trim()).join("lib/rustlib/src/rust"), bpf::LIBRARY_SOURCES),
        (home.join("registry/src"), bpf::DEPENDENCY_SOURCES),
    ];
    let flag = |(folder, name): (PathBuf, &str)| {
        format!("--remap-path-prefix={}={name}", folder.display())
    };
    Ok(folders.into_iter().map(flag).collect())
}

/// A binary that needs a shared library, or names the folder where it was built, is refused.
fn check(binary: &Path, hidden: &Path) -> Result<()> {
    let bytes = std::fs::read(binary)
        .with_context(|| format!("cargo left no binary at {}", binary.display()))?;
    let elf = object::File::parse(bytes.as_slice()).context("the binary is not ELF")?;
    let interpreter = elf.section_by_name(".interp").is_some();
    ensure!(!interpreter, "{} needs a dynamic linker", binary.display());
    let path = hidden.to_string_lossy();
    let named = bytes.windows(path.len()).any(|window| window == path.as_bytes());
    ensure!(!named, "{} contains the path {path}", binary.display());
    Ok(())
}
