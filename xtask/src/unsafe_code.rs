//! `docs/unsafe.md`: where our code and that of the libraries in the binary is unsafe, and why we
//! trust it. Written by `cargo xtask docs`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::package::{Dependencies, Source, TARGET};
use crate::tidy;
use crate::workspace;

const PAGE: &str = "docs/unsafe.md";

/// The crates that are shipped.
const CRATES: [&str; 3] = ["privatelink-common", "privatelink-ebpf", "privatelink-user"];

/// Libraries that read what strangers send, or that much depends on: what they are unsafe for.
const NOTES: [(&str, &str); 14] = [
    ("aya", "calls `bpf(2)` and maps the kernel's memory; pinned to one version"),
    ("aya-ebpf", "calls the kernel's helpers; the verifier checks every access of the object"),
    ("aya-obj", "reads the object that we built and embedded, never a stranger's"),
    ("bytes", "shared buffers; of the tokio project, with tests under Miri"),
    ("hyper", "reads HTTP on the control socket and of metrics"),
    ("httparse", "reads heads of requests by SIMD; fuzzed by its authors"),
    ("libc", "declares functions of the C library and calls none"),
    ("mio", "epoll and sockets; of the tokio project"),
    ("nix", "system calls with checked arguments"),
    ("ring", "TLS for health checks and webhooks; C and assembly of BoringSSL"),
    ("rustix", "system calls without the C library"),
    ("serde_json", "reads requests and the journal"),
    ("tokio", "tasks, sockets and timers; tests under Miri and loom"),
    ("zerocopy", "reads maps and ring buffers as structs; layouts are checked when compiled"),
];

/// Writes the page, or with `check` compares it.
///
/// # Errors
/// When it cannot be written, or is out of date and `check` is set.
pub fn write(check: bool) -> Result<()> {
    let page = workspace::root().join(PAGE);
    let text = text()?;
    if std::fs::read_to_string(&page).is_ok_and(|old| old == text) {
        return Ok(());
    }
    ensure!(!check, "{PAGE} is out of date: run `cargo xtask docs`");
    std::fs::write(&page, text).with_context(|| format!("cannot write {PAGE}"))?;
    println!("docs: wrote {PAGE}");
    Ok(())
}

fn text() -> Result<String> {
    let mut text = "# Unsafe code\n\n\
                    Written by `cargo xtask docs`. `cargo xtask tidy` refuses unsafe code in any \
                    other place, and\nclippy refuses a block without a reason. Rust calls code \
                    unsafe where the compiler cannot check that\nmemory is used correctly.\n\n\
                    ## In the binary and the datapath\n"
        .to_owned();
    let root = workspace::root();
    for name in CRATES {
        for file in rust_files(&root.join(name).join("src"))? {
            let code = read(&file)?;
            let places = places(&code);
            if places.is_empty() {
                continue;
            }
            let _ = writeln!(text, "\n`{}`:\n", file.strip_prefix(&root)?.display());
            for (place, reason) in places {
                let _ = writeln!(text, "- `{place}`: {reason}");
            }
        }
    }
    text.push_str(
        "\n## In libraries\n\nLibraries that are part of the binary or of the datapath, with the \
         number of lines on which something\nunsafe begins. `packaging/release` runs cargo-deny \
         and cargo-audit over all of them.\n\n| library | lines | what for |\n|---|---|---|\n",
    );
    let dependencies = Dependencies::of(&Source::here()?, TARGET)?;
    for ((name, version), library) in &dependencies.libraries {
        let mut lines = 0;
        for file in rust_files(&library.folder.join("src"))? {
            lines += read(&file)?.lines().filter(|line| tidy::is_unsafe(line)).count();
        }
        if lines > 0 && !library.is_ours {
            let note = NOTES.iter().find(|note| note.0 == name).map_or("", |note| note.1);
            let _ = writeln!(text, "| {name} {version} | {lines} | {note} |");
        }
    }
    Ok(text)
}

fn read(file: &Path) -> Result<String> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        // Some libraries keep their sources elsewhere.
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// What each unsafe place is in, and its reason.
fn places(code: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let (mut function, mut reason) = (String::new(), String::new());
    let mut in_reason = false;
    for line in code.lines() {
        let trimmed = line.trim();
        if let Some(name) = defined(trimmed) {
            function = name;
        }
        if let Some(start) = trimmed.strip_prefix("// SAFETY:") {
            start.trim().clone_into(&mut reason);
            in_reason = true;
        } else if let (true, Some(more)) = (in_reason, trimmed.strip_prefix("// ")) {
            reason = format!("{reason} {more}");
        } else {
            in_reason = false;
        }
        if tidy::is_unsafe(line) {
            let why = if reason.is_empty() { "see its `# Safety`" } else { &reason };
            found.push((function.clone(), why.to_owned()));
            reason.clear();
        }
    }
    found
}

/// The function or implementation that a line begins.
fn defined(line: &str) -> Option<String> {
    let line = line.trim_end_matches('{').trim();
    if let Some(at) = line.find("fn ").filter(|at| *at == 0 || line[..*at].ends_with(' ')) {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let name: String = line[at + 3..].chars().take_while(|c| is_name(*c)).collect();
        if line.starts_with("//") {
            return None;
        }
        // A function whose name a macro fills in.
        return Some(if name.is_empty() { "macro".to_owned() } else { name });
    }
    (line.starts_with("impl") || line.starts_with(concat!("unsafe", " impl")))
        .then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_its_function_and_its_reason() {
        let open = "unsafe";
        let code = format!(
            "impl Cell {{\n    pub fn load(&self) -> u32 {{\n        // SAFETY: the pointer is\n        \
             // valid.\n        {open} {{ read(self.0) }}\n    }}\n}}\n// SAFETY: plain data.\n\
             {open} impl Pod for Key {{}}\n"
        );
        let found = places(&code);
        let expected = [
            ("load".to_owned(), "the pointer is valid.".to_owned()),
            (format!("{open} impl Pod for Key {{}}"), "plain data.".to_owned()),
        ];
        assert_eq!(found, expected);
    }
}
