//! The libraries that are part of the binary or of the BPF object inside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Source;
use crate::bpf;
use crate::step::Step;

/// What is shipped: the daemon, and the datapath that it embeds.
const ROOTS: [&str; 2] = ["privatelink-user", bpf::PACKAGE];

/// Libraries with how they depend on each other; ours are among them.
pub struct Dependencies {
    /// By name and version.
    pub libraries: BTreeMap<(String, String), Library>,
}

/// One library.
#[derive(Debug)]
pub struct Library {
    /// Its licence, as an SPDX expression.
    pub licence: Option<String>,
    /// Where its sources are.
    pub folder: PathBuf,
    /// Whether it is one of the workspace.
    pub is_ours: bool,
    /// The SHA-256 of the archive that it came in.
    pub checksum: Option<String>,
    /// Name and version of those that it needs.
    pub needs: BTreeSet<(String, String)>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: PathBuf,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

impl Dependencies {
    /// Reads them from cargo, for the target of the daemon and that of the datapath.
    ///
    /// # Errors
    /// When cargo does not answer.
    pub fn of(source: &Source, target: &str) -> Result<Self> {
        let metadata = Step::cargo("metadata")
            .args(["--format-version=1", "--locked", "--filter-platform", target])
            .args(["--filter-platform", bpf::TARGET])
            .current_dir(&source.root)
            .output()?;
        let lock = source.root.join("Cargo.lock");
        let lock = std::fs::read_to_string(&lock)
            .with_context(|| format!("cannot read {}", lock.display()))?;
        Self::read(&metadata, &lock)
    }

    fn read(metadata: &str, lock: &str) -> Result<Self> {
        let metadata: Metadata =
            serde_json::from_str(metadata).context("cannot read what `cargo metadata` prints")?;
        let lock: Lock = toml::from_str(lock).context("cannot read Cargo.lock")?;
        let packages: BTreeMap<&str, &Package> =
            metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
        let nodes: BTreeMap<&str, &Node> =
            metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let mut libraries = BTreeMap::new();
        let roots = metadata.packages.iter().filter(|one| ROOTS.contains(&one.name.as_str()));
        let mut waiting: Vec<&str> = roots.map(|package| package.id.as_str()).collect();
        while let Some(id) = waiting.pop() {
            let package = packages.get(id).with_context(|| format!("cargo lists no {id}"))?;
            let node = nodes.get(id).with_context(|| format!("cargo resolved no {id}"))?;
            let linked = |edge: &&Edge| edge.dep_kinds.iter().any(|kind| kind.kind.is_none());
            let needs: Vec<&str> =
                node.deps.iter().filter(linked).map(|edge| edge.pkg.as_str()).collect();
            let is_new = libraries
                .insert(package.key(), package.library(&needs, &packages, &lock))
                .is_none();
            if is_new {
                waiting.extend(needs);
            }
        }
        Ok(Self { libraries })
    }
}

impl Package {
    fn key(&self) -> (String, String) {
        (self.name.clone(), self.version.clone())
    }

    fn library(&self, needs: &[&str], packages: &BTreeMap<&str, &Self>, lock: &Lock) -> Library {
        let same = |locked: &&Locked| locked.name == self.name && locked.version == self.version;
        Library {
            licence: self.license.clone(),
            folder: self.manifest_path.parent().map(Into::into).unwrap_or_default(),
            is_ours: self.source.is_none(),
            checksum: lock.package.iter().find(same).and_then(|locked| locked.checksum.clone()),
            needs: needs.iter().filter_map(|id| packages.get(id)).map(|one| one.key()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{
        "packages": [
            {"id": "u", "name": "privatelink-user", "version": "1.0.0", "license": "MIT",
             "manifest_path": "/src/user/Cargo.toml", "source": null},
            {"id": "e", "name": "privatelink-ebpf", "version": "1.0.0", "license": "MIT",
             "manifest_path": "/src/ebpf/Cargo.toml", "source": null},
            {"id": "a", "name": "linked", "version": "2.0.0", "license": "ISC",
             "manifest_path": "/registry/linked/Cargo.toml", "source": "registry"},
            {"id": "b", "name": "builds", "version": "3.0.0", "license": "ISC",
             "manifest_path": "/registry/builds/Cargo.toml", "source": "registry"}
        ],
        "resolve": {"nodes": [
            {"id": "u", "deps": [
                {"pkg": "a", "dep_kinds": [{"kind": null}]},
                {"pkg": "b", "dep_kinds": [{"kind": "build"}, {"kind": "dev"}]}]},
            {"id": "e", "deps": []}, {"id": "a", "deps": []}, {"id": "b", "deps": []}
        ]}
    }"#;

    #[test]
    fn what_is_linked_counts_and_what_only_builds_does_not() {
        let lock = "[[package]]\nname = \"linked\"\nversion = \"2.0.0\"\nchecksum = \"abc\"\n";
        let read = Dependencies::read(METADATA, lock).expect("it is read");
        let names: Vec<&str> = read.libraries.keys().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["linked", "privatelink-ebpf", "privatelink-user"]);
        let linked = &read.libraries[&("linked".to_owned(), "2.0.0".to_owned())];
        assert_eq!(linked.checksum.as_deref(), Some("abc"));
        assert!(!linked.is_ours);
    }
}
