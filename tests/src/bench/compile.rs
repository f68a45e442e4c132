//! Compiles the C programs, when the benchmark runs and on the machine it runs on.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

const HEADERS: [(&str, &str); 2] = [
    ("bench.h", include_str!("../../bench/bench.h")),
    ("reference_new.h", include_str!("../../bench/reference_new.h")),
];

/// A C source of the benchmark.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// The harness's own program.
    Wrapper,
    /// Floor, drop and redirect.
    Simple,
    /// The C full NAT.
    Reference,
    /// The same, opening a flow for every packet that has none.
    ReferenceNew,
}

impl Source {
    fn text(self) -> &'static str {
        match self {
            Self::Wrapper => include_str!("../../bench/wrapper.bpf.c"),
            Self::Simple => include_str!("../../bench/simple.bpf.c"),
            Self::Reference | Self::ReferenceNew => include_str!("../../bench/reference.bpf.c"),
        }
    }
}

/// Compiles a source and returns the object file.
///
/// # Errors
///
/// When clang is missing or refuses the source; its own message is part of the error.
pub fn object(source: Source) -> Result<Vec<u8>> {
    let directory = tempfile::tempdir().context("making a directory for the C sources")?;
    for (name, text) in HEADERS {
        write(directory.path(), name, text)?;
    }
    write(directory.path(), "program.c", source.text())?;

    let mut clang = Command::new("clang");
    clang
        .current_dir(directory.path())
        .args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Werror", "-idirafter"])
        // Debian keeps asm/types.h per architecture, where a BPF compiler does not look.
        .arg(format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH));
    if matches!(source, Source::ReferenceNew) {
        clang.arg("-DNEW_FLOWS");
    }
    let output = clang
        .args(["-c", "program.c", "-o", "program.o"])
        .output()
        .context("clang does not start: install clang, llvm, libbpf-dev and linux-libc-dev")?;
    if !output.status.success() {
        bail!("clang refused {source:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    std::fs::read(directory.path().join("program.o")).context("reading the compiled object")
}

fn write(directory: &Path, name: &str, text: &str) -> Result<()> {
    std::fs::write(directory.join(name), text).with_context(|| format!("writing {name}"))
}

/// The first line of `clang --version`.
pub fn compiler() -> String {
    Command::new("clang")
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| {
            String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
        })
        .unwrap_or_else(|| "unknown".to_owned())
}
