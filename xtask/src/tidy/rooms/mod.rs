//! The rooms of each crate, and which may import from which.
//!
//! A room is a folder, or a file, directly below `src`. The lists say the order; everything else is
//! read off the code: see [`tree`] for how a path leads to the file that defines what it names.

mod circles;
mod source;
mod summary;
mod tokens;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};

use self::circles::Graph;
use self::tree::{Arrow, Tree};
use super::finding::Finding;

/// A crate whose files must not form a circle, and whose rooms import in one direction only.
struct Rules {
    folder: &'static str,
    /// A room imports only from rooms before it. Where the list is empty, only circles are faults.
    order: &'static [&'static str],
    /// Pairs of places whose arrows, from the first to the second, close a circle that must be.
    exceptions: &'static [(&'static str, &'static str)],
}

const CRATES: [Rules; 3] = [
    Rules { folder: "privatelink-common", order: &[], exceptions: &[] },
    Rules {
        folder: "privatelink-ebpf",
        order: &["wire", "environment", "flows", "stages", "lib", "bpf"],
        // A global BPF function is a function of its own to the verifier: it reaches the maps, and
        // what stands for the maps calls it.
        exceptions: &[("bpf/maps", "bpf/operations")],
    },
    Rules {
        folder: "privatelink-user",
        order: &[
            "timestamp",
            "chain",
            "supervision",
            "token_bucket",
            "digest",
            "framing",
            "confinement",
            "etcd",
            "model",
            "interface",
            "host",
            "datapath",
            "state",
            "access",
            "config",
            "objects",
            "desired",
            "flow_log",
            "watch",
            "view",
            "audit",
            "events",
            "dns",
            "trial",
            "backbone",
            "api",
            "metrics",
            "daemon",
            "doctor",
            "cli",
            "lib",
            "main",
        ],
        exceptions: &[],
    },
];

/// Checks the crates that have rooms; `files` are all of the project's.
///
/// # Errors
/// When a manifest or a file cannot be read.
pub fn check(root: &Path, files: &[String]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for rules in &CRATES {
        findings.extend(House::read(root, files, rules)?.findings());
    }
    Ok(findings)
}

/// Prints rooms, files, arrows and circles of each crate.
///
/// # Errors
/// As [`check`].
pub fn summarise(root: &Path, files: &[String]) -> Result<()> {
    for rules in &CRATES {
        print!("{}", House::read(root, files, rules)?.summary());
    }
    Ok(())
}

/// A crate, read.
struct House<'a> {
    rules: &'a Rules,
    files: BTreeMap<String, String>,
    tree: Tree,
    arrows: Vec<Arrow>,
}

impl<'a> House<'a> {
    fn read(root: &Path, files: &[String], rules: &'a Rules) -> Result<Self> {
        let source = format!("{}/src/", rules.folder);
        let ours = files.iter().filter(|file| file.starts_with(&source) && file.ends_with(".rs"));
        // A file that is deleted but not yet committed is still listed.
        let texts = ours.filter_map(|file| {
            Some((file.clone(), std::fs::read_to_string(root.join(file)).ok()?))
        });
        let manifest = root.join(rules.folder).join("Cargo.toml");
        let manifest = std::fs::read_to_string(&manifest)
            .with_context(|| format!("cannot read {}", manifest.display()))?;
        Self::new(rules, &manifest, texts.collect())
    }

    fn new(rules: &'a Rules, manifest: &str, files: BTreeMap<String, String>) -> Result<Self> {
        let manifest: toml::Table =
            manifest.parse().with_context(|| format!("{}/Cargo.toml", rules.folder))?;
        let programs = programs(&manifest, rules.folder);
        let library = format!("{}/src/lib.rs", rules.folder);
        let name = rules.folder.replace('-', "_");
        let tree = Tree::read(&files, Some(&library), &name, &programs)?;
        let arrows = tree.arrows();
        Ok(Self { rules, files, tree, arrows })
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = self.unknown_rooms();
        findings.extend(self.arrows.iter().filter_map(|arrow| self.against_the_order(arrow)));
        findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        let mut seen = BTreeSet::new();
        findings.retain(|one| seen.insert((one.file.clone(), one.line, one.message.clone())));
        findings.extend(self.circles());
        findings.extend(self.needless_exceptions());
        findings
    }

    fn unknown_rooms(&self) -> Vec<Finding> {
        if self.rules.order.is_empty() {
            return Vec::new();
        }
        let rooms: BTreeSet<&str> = self.tree.files().iter().map(|file| self.room(file)).collect();
        let unknown = rooms.into_iter().filter(|room| !self.rules.order.contains(room));
        let report = |room: &str| {
            let message =
                format!("`{room}` is a new room: give it a place in the order in {}", file!());
            Finding::error(&format!("{}/src", self.rules.folder), None, message)
        };
        unknown.map(report).collect()
    }

    fn against_the_order(&self, arrow: &Arrow) -> Option<Finding> {
        let rank = |room: &str| self.rules.order.iter().position(|one| *one == room);
        let from = self.room(&arrow.from);
        let is_against = |to: &str| {
            rank(from).zip(rank(to)).is_some_and(|(importing, imported)| imported > importing)
        };
        let (to, named) = (self.room(&arrow.to), self.room(&arrow.named));
        let path = &arrow.path;
        let message = if is_against(to) {
            format!("`{path}`: {from} -> {to} runs against the order of rooms ({})", arrow.to)
        } else if is_against(named) && named != "lib" {
            format!(
                "`{path}`: {from} -> {named} runs against the order of rooms; {named} only \
                 re-exports it from {to}, so name {to}"
            )
        } else {
            return None;
        };
        Some(Finding::error(&arrow.from, Some(arrow.line), message))
    }

    /// Which file needs which, but for the exceptions.
    fn graph(&self) -> Graph<'_> {
        let mut graph = Graph::new();
        for arrow in &self.arrows {
            if arrow.is_needed && arrow.from != arrow.to && self.exception(arrow).is_none() {
                graph.entry(&arrow.from).or_default().insert(&arrow.to);
            }
        }
        graph
    }

    /// The number of the exception that this arrow is under.
    fn exception(&self, arrow: &Arrow) -> Option<usize> {
        self.rules
            .exceptions
            .iter()
            .position(|(from, to)| self.is_at(&arrow.from, from) && self.is_at(&arrow.to, to))
    }

    /// Whether a file is the module at `place`, or below it.
    fn is_at(&self, file: &str, place: &str) -> bool {
        let inside = self.inside(file).strip_suffix(".rs");
        let after = inside.and_then(|inside| inside.strip_prefix(place));
        after.is_some_and(|after| after.is_empty() || after.starts_with('/'))
    }

    fn circles(&self) -> Vec<Finding> {
        let graph = self.graph();
        let report = |knot: BTreeSet<&str>| {
            let chain = circles::chain(&graph, &knot);
            let mut steps = chain.windows(2).filter_map(|step| self.step(step)).peekable();
            let first = steps.peek().map(|arrow| (arrow.from.clone(), arrow.line));
            let mut message = format!("a circle of {} files:", knot.len());
            for arrow in steps {
                let line = format!(
                    "\n    {}:{}: `{}` of {}",
                    arrow.from, arrow.line, arrow.path, arrow.to
                );
                message.push_str(&line);
            }
            let others: Vec<&str> = knot.into_iter().filter(|file| !chain.contains(file)).collect();
            if !others.is_empty() {
                message.push_str(&format!("\n    also in it: {}", others.join(", ")));
            }
            let (file, line) = first.unwrap_or_default();
            Finding::error(&file, Some(line), message)
        };
        circles::knots(&graph).into_iter().map(report).collect()
    }

    /// The first import that leads from one file to another.
    fn step(&self, step: &[&str]) -> Option<&Arrow> {
        let [from, to] = step else { return None };
        let mut arrows = self.arrows.iter();
        arrows.find(|arrow| arrow.is_needed && arrow.from == *from && arrow.to == *to)
    }

    /// An exception that closes no circle has outlived its reason.
    fn needless_exceptions(&self) -> Vec<Finding> {
        let graph = self.graph();
        let mut findings = Vec::new();
        for (number, (from, to)) in self.rules.exceptions.iter().enumerate() {
            let closes = self.arrows.iter().any(|arrow| {
                self.exception(arrow) == Some(number) && {
                    let mut with = graph.clone();
                    with.entry(&arrow.from).or_default().insert(&arrow.to);
                    circles::knots(&with).len() > circles::knots(&graph).len()
                }
            });
            let exists = |place: &str| self.tree.files().iter().any(|file| self.is_at(file, place));
            if exists(from) && exists(to) && !closes {
                let message = format!(
                    "{from} and {to} form no circle any more: take the exception out of {}",
                    file!()
                );
                findings.push(Finding::error(&format!("{}/src", self.rules.folder), None, message));
            }
        }
        findings
    }

    /// A file's path below `src`.
    fn inside<'f>(&self, file: &'f str) -> &'f str {
        let below = file.strip_prefix(self.rules.folder);
        below.and_then(|below| below.strip_prefix("/src/")).unwrap_or(file)
    }

    fn room<'f>(&self, file: &'f str) -> &'f str {
        let inside = self.inside(file);
        let first = inside.split_once('/').map_or(inside, |(folder, _)| folder);
        first.strip_suffix(".rs").unwrap_or(first)
    }
}

/// The root files of a package's programs.
fn programs(manifest: &toml::Table, folder: &str) -> Vec<String> {
    let declared = manifest.get("bin").and_then(toml::Value::as_array).into_iter().flatten();
    let mut paths: Vec<String> = declared
        .filter_map(|program| Some(format!("{folder}/{}", program.get("path")?.as_str()?)))
        .collect();
    if paths.is_empty() {
        paths.push(format!("{folder}/src/main.rs"));
    }
    paths
}

#[cfg(test)]
mod tests;
