//! Which compiler makes BPF objects: the pinned one with `core` from source, or Debian's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::packages;
use crate::bpf;
use crate::step::Step;
use crate::workspace;

/// A compiler that can make BPF objects.
pub struct Compiler {
    /// Name, version and LLVM, as one line.
    pub identity: String,
    /// Its cargo.
    pub cargo: PathBuf,
    /// The compiler.
    pub rustc: PathBuf,
    /// Whether `core` is compiled from source.
    pub build_std: bool,
    /// Major version of its LLVM.
    pub llvm: u32,
    /// The LLVM library that the linker is to use, and where `llvm-config` belongs to it.
    pub llvm_prefix: LlvmPrefix,
}

/// Where the linker's LLVM comes from.
pub enum LlvmPrefix {
    /// The library that the compiler itself carries.
    Library(PathBuf),
    /// An installed LLVM with its development files.
    Installed(PathBuf),
}

/// Takes the pinned compiler when the source of `core` can be had for it, else Debian's.
pub fn choose() -> Result<Compiler> {
    let reason = match pinned() {
        Ok(compiler) => return Ok(compiler),
        Err(reason) => reason,
    };
    println!("setup: the toolchain in use cannot build for BPF: {reason:#}");
    println!("setup: falling back to Debian's compiler, which has `core` for BPF prebuilt");
    match debian() {
        Ok(compiler) => Ok(compiler),
        Err(other) => bail!(
            "no compiler for the BPF target.\n\
             The toolchain in use: {reason:#}\n\
             Debian's compiler: {other:#}\n\
             Either of these mends it; then run `cargo xtask setup` again:\n\
             \x20 rustup component add rust-src\n\
             \x20 {}",
            packages::install_command(packages::BPF_COMPILER)
        ),
    }
}

fn pinned() -> Result<Compiler> {
    let sysroot = PathBuf::from(Step::new("rustc").args(["--print", "sysroot"]).output()?.trim());
    let rustc = sysroot.join("bin/rustc");
    let llvm_library = own_llvm(&sysroot.join("lib"))?;
    add_core_source(&sysroot)?;
    let (identity, llvm) = identity(&rustc)?;
    Ok(Compiler {
        identity: format!("{identity}, core from source"),
        cargo: sysroot.join("bin/cargo"),
        rustc,
        build_std: true,
        llvm,
        llvm_prefix: LlvmPrefix::Library(llvm_library),
    })
}

/// The LLVM library that a toolchain carries: the linker must have exactly this one.
fn own_llvm(folder: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"libLLVM.so."))
        })
        .with_context(|| format!("{} has no LLVM library of its own", folder.display()))
}

fn add_core_source(sysroot: &Path) -> Result<()> {
    let source = sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml");
    if source.is_file() {
        return Ok(());
    }
    println!("setup: adding the source of `core` to the toolchain");
    Step::limited(Duration::from_secs(180), "rustup")
        .args(["component", "add", "rust-src"])
        .run()
        .context("the source of `core` (component rust-src) cannot be added")?;
    anyhow::ensure!(source.is_file(), "rustup added rust-src, but {} is absent", source.display());
    Ok(())
}

fn debian() -> Result<Compiler> {
    const LLVM: u32 = 22;
    packages::install_missing(&[packages::BPF_COMPILER])?;
    let rustc = PathBuf::from("/usr/bin/rustc");
    let (identity, llvm) = identity(&rustc)?;
    anyhow::ensure!(
        llvm == LLVM,
        "{} is built on LLVM {llvm}, but the linker would get LLVM {LLVM}",
        rustc.display()
    );
    Ok(Compiler {
        identity: format!("{identity}, core prebuilt by Debian"),
        cargo: PathBuf::from("/usr/bin/cargo"),
        rustc,
        build_std: false,
        llvm,
        llvm_prefix: LlvmPrefix::Installed(PathBuf::from(format!("/usr/lib/llvm-{LLVM}"))),
    })
}

/// What `rustc -vV` says: one line that names the build, and the LLVM's major version.
fn identity(rustc: &Path) -> Result<(String, u32)> {
    let text = Step::new(rustc).arg("-vV").current_dir(Path::new("/")).output()?;
    parse_identity(&text).with_context(|| {
        format!(
            "`{} -vV` does not name its LLVM; it is needed for {}",
            rustc.display(),
            bpf::TARGET
        )
    })
}

fn parse_identity(text: &str) -> Option<(String, u32)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let llvm = field("LLVM version:")?;
    let major = llvm.split('.').next()?.parse().ok()?;
    let hash = field("commit-hash:").unwrap_or("unknown");
    Some((format!("{} [{hash}], LLVM {llvm}", text.lines().next()?), major))
}

/// The folder that the linker's LLVM is taken from at build time, made if need be.
pub fn llvm_folder(compiler: &Compiler) -> Result<PathBuf> {
    let library = match &compiler.llvm_prefix {
        LlvmPrefix::Installed(folder) => return Ok(folder.clone()),
        LlvmPrefix::Library(library) => library,
    };
    let folder = workspace::root().join("target/toolchain/llvm");
    let link = folder.join("lib/libLLVM.so");
    std::fs::create_dir_all(folder.join("lib"))?;
    if link.symlink_metadata().is_ok() {
        std::fs::remove_file(&link)?;
    }
    std::os::unix::fs::symlink(library, &link)
        .with_context(|| format!("cannot link {} to the toolchain's LLVM", link.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_is_known_by_its_build_and_llvm() {
        let text = "rustc 1.95.0 (598 2026-04-14)\nbinary: rustc\ncommit-hash: 598abc\n\
                    release: 1.95.0\nLLVM version: 22.1.2\n";
        let (identity, llvm) = parse_identity(text).expect("it names its LLVM");
        assert_eq!(llvm, 22);
        assert_eq!(identity, "rustc 1.95.0 (598 2026-04-14) [598abc], LLVM 22.1.2");
        assert_eq!(parse_identity("rustc 1.95.0\nbinary: rustc\n"), None);
    }
}
