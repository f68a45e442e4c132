//! The suites of the tests crate, with what each needs. The manifest and this table must agree:
//! a suite that is never run is worse than none.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use super::privilege::Privilege;
use crate::workspace;

/// The package that holds the suites.
pub const PACKAGE: &str = "privatelink-tests";

/// One test target.
pub struct Suite {
    /// The target's name.
    pub name: &'static str,
    /// What it needs.
    pub privilege: Privilege,
    /// Whether it tests the BPF object against the running kernel alone, so that it also means
    /// something on another kernel in a virtual machine.
    pub in_other_kernels: bool,
}

/// Every suite, least privileged first: what fails without privilege need not be looked for with.
pub const SUITES: &[Suite] = &[
    suite("elf", Privilege::None, true),
    suite("frames", Privilege::None, false),
    suite("rules", Privilege::None, false),
    suite("oracle", Privilege::Scapy, false),
    suite("flow_reader", Privilege::FlowReader, false),
    suite("docs", Privilege::None, false),
    suite("etcd", Privilege::Etcd, false),
    suite("packaging", Privilege::Systemd, false),
    suite("pages", Privilege::Pages, false),
    suite("verifier", Privilege::Bpf, true),
    suite("prog_run", Privilege::Bpf, true),
    suite("reconcile", Privilege::Root, false),
    suite("netns", Privilege::Root, false),
    suite(super::upgrade::SUITE, Privilege::Previous, false),
    suite("hour", Privilege::Hour, false),
    suite("cut", Privilege::Hour, false),
    suite("fleet", Privilege::Fleet, false),
    suite("prometheus", Privilege::Prometheus, false),
    suite("api", Privilege::Schemathesis, false),
    suite("conformance", Privilege::Conformance, false),
];

const fn suite(name: &'static str, privilege: Privilege, in_other_kernels: bool) -> Suite {
    Suite { name, privilege, in_other_kernels }
}

/// Compares the table with the tests' manifest.
///
/// # Errors
/// When the manifest has a suite that the table lacks, or the reverse.
pub fn check_table() -> Result<()> {
    let path = workspace::root().join("tests/Cargo.toml");
    let manifest = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let known: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
    let faults = differences(&manifest, &known)?;
    ensure!(faults.is_empty(), "{}: {}", path.display(), faults.join("; "));
    Ok(())
}

/// How the `[[test]]` targets of `manifest` differ from the suites `known`.
pub fn differences(manifest: &str, known: &[&str]) -> Result<Vec<String>> {
    let manifest: toml::Table = manifest.parse().context("the tests' manifest is not TOML")?;
    let targets = manifest.get("test").and_then(toml::Value::as_array);
    let declared: BTreeSet<&str> =
        targets.into_iter().flatten().filter_map(|target| target.get("name")?.as_str()).collect();
    let known: BTreeSet<&str> = known.iter().copied().collect();
    let table = file!();
    let unknown = declared
        .difference(&known)
        .map(|name| format!("it has the suite `{name}`: give it a line in {table}"));
    let absent = known
        .difference(&declared)
        .map(|name| format!("the suite `{name}` in {table} has no [[test]] there"));
    Ok(unknown.chain(absent).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_and_table_must_agree() {
        let manifest = "[[test]]\nname = 'elf'\n[[test]]\nname = 'extra'\n";
        let faults = differences(manifest, &["elf", "netns"]).expect("it is TOML");
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("`extra`"));
        assert!(faults[1].contains("`netns`"));
        assert_eq!(differences(manifest, &["elf", "extra"]).expect("TOML"), Vec::<String>::new());
    }
}
