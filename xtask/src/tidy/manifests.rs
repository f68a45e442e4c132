//! The members' manifests: shared lints, and which crate may depend on which.

use std::path::Path;

use anyhow::{Context as _, Result};
use toml::{Table, Value};

use super::finding::Finding;

/// Each crate of ours, with those of ours that it may depend on. The datapath knows nothing of
/// the daemon, the daemon gets the datapath as bytes only, and only the tests see both.
const ARROWS: [(&str, &[&str]); 7] = [
    ("privatelink-common", &[]),
    ("privatelink-ebpf", &["privatelink-common"]),
    ("privatelink-user", &["privatelink-common"]),
    ("privatelink-lab", &[]),
    (
        "privatelink-tests",
        &["privatelink-common", "privatelink-ebpf", "privatelink-lab", "privatelink-user"],
    ),
    ("privatelink-fuzz", &["privatelink-common", "privatelink-tests", "privatelink-user"]),
    ("xtask", &[]),
];

/// Checks every member of the workspace at `root`.
pub fn check(root: &Path) -> Result<Vec<Finding>> {
    let workspace = read(&root.join("Cargo.toml"))?;
    let members = workspace.get("workspace").and_then(|table| table.get("members"));
    let members = members.and_then(Value::as_array).context("Cargo.toml names no members")?;
    let mut findings = Vec::new();
    for member in members.iter().filter_map(Value::as_str) {
        let file = format!("{member}/Cargo.toml");
        findings.extend(check_member(&file, &read(&root.join(&file))?));
    }
    Ok(findings)
}

fn read(path: &Path) -> Result<Table> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().with_context(|| format!("{} is not TOML", path.display()))
}

fn check_member(file: &str, manifest: &Table) -> Vec<Finding> {
    let mut findings = Vec::new();
    let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace"));
    if inherits != Some(&Value::Boolean(true)) {
        let message = "the workspace's lints are not inherited: add `[lints] workspace = true`";
        findings.push(Finding::error(file, None, message));
    }
    let name = manifest.get("package").and_then(|package| package.get("name"));
    let name = name.and_then(Value::as_str).unwrap_or_default();
    let Some((_, allowed)) = ARROWS.iter().find(|(of, _)| *of == name) else {
        let message = format!("`{name}` is a new crate: say in xtask's tidy what it may depend on");
        findings.push(Finding::error(file, None, message));
        return findings;
    };
    for dependency in dependencies(manifest) {
        let ours = ARROWS.iter().any(|(of, _)| *of == dependency);
        // A crate's tests may turn on its own features by depending on it.
        if ours && dependency != name && !allowed.contains(&dependency.as_str()) {
            let message = format!("`{name}` must not depend on `{dependency}`");
            findings.push(Finding::error(file, None, message));
        }
    }
    findings
}

/// Names of all dependencies: of every kind, for every target.
fn dependencies(manifest: &Table) -> Vec<String> {
    let mut names = Vec::new();
    for (key, value) in manifest {
        let Some(table) = value.as_table() else { continue };
        if key.ends_with("dependencies") {
            names.extend(table.iter().map(|(name, spec)| package_name(name, spec)));
        } else if key == "target" {
            names.extend(table.values().filter_map(Value::as_table).flat_map(dependencies));
        }
    }
    names
}

/// A dependency may be renamed where it is used.
fn package_name(name: &str, spec: &Value) -> String {
    spec.get("package").and_then(Value::as_str).unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let manifest = text.parse().expect("the test's manifest is TOML");
        check_member("x/Cargo.toml", &manifest).into_iter().map(|f| f.message).collect()
    }

    #[test]
    fn lints_must_be_inherited() {
        let found = findings("[package]\nname = 'xtask'\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("lints"), "{found:?}");
        assert!(findings("[package]\nname = 'xtask'\n[lints]\nworkspace = true\n").is_empty());
    }

    #[test]
    fn arrows_are_never_reversed() {
        let user = "[package]\nname = 'privatelink-user'\n[lints]\nworkspace = true\n";
        assert!(findings(&format!("{user}[dependencies]\nprivatelink-common = '1'\n")).is_empty());
        for wrong in [
            "[dependencies]\nprivatelink-ebpf = '1'\n",
            "[build-dependencies]\nprivatelink-ebpf.workspace = true\n",
            "[dependencies]\ndatapath = { package = 'privatelink-ebpf', path = '..' }\n",
            "[target.'cfg(unix)'.dev-dependencies]\nprivatelink-ebpf = '1'\n",
        ] {
            let found = findings(&format!("{user}{wrong}"));
            assert_eq!(found, ["`privatelink-user` must not depend on `privatelink-ebpf`"]);
        }
    }

    #[test]
    fn a_crate_without_a_rule_is_refused() {
        let found = findings("[package]\nname = 'utils'\n[lints]\nworkspace = true\n");
        assert!(found[0].contains("new crate"), "{found:?}");
    }
}
