//! The licences of everything that is in the binary, in the file that Debian calls `copyright`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Source;
use super::dependencies::Dependencies;

/// How files with licences begin.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT"];

/// The C library that is linked, whose package has its licence.
const MUSL: &str = "/usr/share/doc/musl/copyright";

const RULE: &str =
    "\n--------------------------------------------------------------------------------\n";

/// The text: an overview, then each different licence once with those that it covers.
///
/// # Errors
/// When a file cannot be read.
pub fn text(source: &Source, dependencies: &Dependencies) -> Result<String> {
    let mut covered: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut overview = String::new();
    for ((name, version), library) in &dependencies.libraries {
        if library.is_ours {
            continue;
        }
        let licence = library.licence.as_deref().unwrap_or("see below");
        let texts = texts_in(&library.folder)?;
        let note = if texts.is_empty() { " (its package has no text)" } else { "" };
        let _ = writeln!(overview, "  {name} {version}: {licence}{note}");
        for text in texts {
            covered.entry(text).or_default().push(format!("{name} {version}"));
        }
    }
    let musl = std::fs::read_to_string(MUSL).with_context(|| format!("cannot read {MUSL}"))?;
    covered.entry(musl.trim().to_owned()).or_default().push("musl".to_owned());
    let mut all = format!(
        "privatelink is licensed under MIT or Apache-2.0, at your choice.\n\
         Source: {}\n{RULE}\n{}\n{RULE}\n\
         The binary contains the Rust standard library (MIT OR Apache-2.0), musl (MIT), and these \
         libraries:\n\n{overview}",
        "https://github.com/privatelink/privatelink",
        std::fs::read_to_string(source.root.join("LICENSE-MIT"))
            .context("cannot read LICENSE-MIT")?
            .trim(),
    );
    for (text, libraries) in covered {
        let _ = write!(all, "{RULE}\n{}:\n\n{text}\n", libraries.join(", "));
    }
    Ok(all)
}

/// The different licence texts of a library.
fn texts_in(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        if path.is_file() && NAMES.iter().any(|start| name.starts_with(start)) {
            files.push(path);
        }
    }
    files.sort();
    let read = |path: &std::path::PathBuf| -> Result<String> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).replace('\r', "").trim().to_owned())
    };
    files.iter().map(read).collect()
}
