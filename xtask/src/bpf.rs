//! How the datapath is compiled for the kernel.
//!
//! `cargo xtask setup` finds a compiler and a linker for the BPF target and records them in
//! [`Toolchain::FILE`]. The build script of `privatelink-user` (which includes this file) and
//! xtask both start the compiler through [`Toolchain::cargo`], so that the object that is
//! shipped and the one that is linted are made alike.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// The target triple of the datapath: little-endian BPF.
pub const TARGET: &str = "bpfel-unknown-none";
/// The package that holds the datapath.
pub const PACKAGE: &str = "privatelink-ebpf";
/// The binary target of that package which is loaded into the kernel.
pub const BINARY: &str = "privatelink-datapath";

/// The compiler and linker that `cargo xtask setup` chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toolchain {
    /// Identity of the compiler that the linker was built for.
    pub compiler: String,
    /// Cargo of that compiler.
    pub cargo: PathBuf,
    /// The compiler itself.
    pub rustc: PathBuf,
    /// Whether `core` is compiled from source instead of taken prebuilt.
    pub build_std: bool,
    /// The bpf-linker executable.
    pub linker: PathBuf,
}

impl Toolchain {
    /// Where the choice is recorded, relative to the workspace root.
    pub const FILE: &str = "target/toolchain/bpf.toml";
    /// Build directory of the object, relative to the workspace root. It is shared by all host
    /// profiles, since the object does not depend on them.
    pub const TARGET_DIR: &str = "target/bpf";

    /// Reads the choice recorded for the workspace at `root`.
    ///
    /// # Errors
    /// When setup has not run, or what it chose has since been removed.
    pub fn load(root: &Path) -> Result<Self> {
        let path = root.join(Self::FILE);
        let advice = "run `cargo xtask setup`";
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("the BPF toolchain is not set up: {advice}"))?;
        let toolchain: Self = toml::from_str(&text)
            .with_context(|| format!("{} is not understood: {advice}", path.display()))?;
        for tool in [&toolchain.cargo, &toolchain.rustc, &toolchain.linker] {
            anyhow::ensure!(tool.is_file(), "{} no longer exists: {advice}", tool.display());
        }
        Ok(toolchain)
    }

    /// Where the built object lies in the workspace at `root`.
    pub fn object(root: &Path) -> PathBuf {
        root.join(Self::TARGET_DIR).join(TARGET).join("release").join(BINARY)
    }

    /// `cargo SUBCOMMAND` for the datapath's binary, in the workspace at `root`.
    pub fn cargo(&self, root: &Path, subcommand: &str) -> Command {
        let mut command = Command::new(&self.cargo);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(belongs_to_outer_cargo) {
                command.env_remove(name);
            }
        }
        // v3 has the atomic operations that return the old value, and 32-bit jumps.
        let flags = ["-Ctarget-cpu=v3", "-Cdebuginfo=2", "-Clink-arg=--btf"].map(str::to_owned);
        let flags: Vec<String> = flags.into_iter().chain(self.remapped_paths(root)).collect();
        command
            .current_dir(root)
            .stdin(Stdio::null())
            .env("RUSTC", &self.rustc)
            // Both `-Z build-std` and the inline assembly in aya-ebpf are unstable on this target.
            .env("RUSTC_BOOTSTRAP", "1")
            // Not a flag: flags are part of the names of symbols, and the path of the linker
            // would make the object depend on the folder where it is built.
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &self.linker)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .args([subcommand, "--release", "--package", PACKAGE, "--bin", BINARY])
            .args(["--target", TARGET])
            .arg("--target-dir")
            .arg(root.join(Self::TARGET_DIR));
        if self.build_std {
            command.arg("-Zbuild-std=core");
        }
        command
    }
}

impl Toolchain {
    /// Flags that keep the folders of this machine out of what is compiled: the object names the
    /// sources of its instructions, and is to be the same wherever it is built.
    fn remapped_paths(&self, root: &Path) -> Vec<String> {
        let mut folders = vec![(root.to_owned(), SOURCES)];
        if let Some(sysroot) = self.rustc.parent().and_then(Path::parent) {
            folders.push((sysroot.join("lib/rustlib/src/rust"), LIBRARY_SOURCES));
        }
        if let Some(home) = cargo_home() {
            folders.push((home.join("registry/src"), DEPENDENCY_SOURCES));
        }
        let flag = |(folder, name): (PathBuf, &str)| {
            format!("--remap-path-prefix={}={name}", folder.display())
        };
        folders.into_iter().map(flag).collect()
    }
}

/// What stands for the workspace in names of source files.
pub const SOURCES: &str = "/usr/src/privatelink";
/// What stands for the sources of the standard library.
pub const LIBRARY_SOURCES: &str = "/usr/src/rust";
/// What stands for the sources of dependencies.
pub const DEPENDENCY_SOURCES: &str = "/usr/src/registry";

/// Where cargo keeps what it has downloaded.
pub fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
}

/// Whether an environment variable was set by (or for) the host's cargo invocation, and would
/// mislead the one for BPF.
fn belongs_to_outer_cargo(name: &str) -> bool {
    const KEPT: [&str; 6] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
    ];
    let per_build = ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "CLIPPY_", "DEP_"];
    let plain = ["RUSTUP_TOOLCHAIN", "TARGET", "HOST", "OUT_DIR", "PROFILE", "OPT_LEVEL", "DEBUG"];
    !KEPT.iter().any(|prefix| name.starts_with(prefix))
        && (plain.contains(&name) || per_build.iter().any(|prefix| name.starts_with(prefix)))
}
