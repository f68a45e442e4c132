//! The packages that are tried: the previous release, the one that is checked out, and that one
//! once more under a higher version.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::package::{self, Source};
use crate::step::Step;

/// The last state of the project before releases had tags.
const BEFORE_RELEASES: &str = "0351ae3e";

/// Packages by the names under which the machine knows them.
pub type Packages = [(&'static str, PathBuf); 3];

/// Builds the packages.
///
/// # Errors
/// When one does not build.
pub fn make(folder: &Path) -> Result<Packages> {
    let current = Source::here()?;
    let mut next = current.clone();
    next.version.push_str("+next");
    let commit = previous_release()?;
    let previous = Source::of_commit(&commit, &folder.join("previous"))?;
    let build = |source: &Source| -> Result<PathBuf> {
        let packages = folder.join("packages");
        std::fs::create_dir_all(&packages)
            .with_context(|| format!("cannot create {}", packages.display()))?;
        package::debian_package(source, &packages)
    };
    Ok([
        ("current.deb", build(&current)?),
        ("next.deb", build(&next)?),
        ("previous.deb", build(&previous)?),
    ])
}

/// The newest tagged release that led to what is checked out, other than that itself.
fn previous_release() -> Result<String> {
    let tags = Step::new("git")
        .args(["tag", "--merged", "HEAD~1", "--list", "v*", "--sort=-version:refname"])
        .output()?;
    Ok(tags.lines().next().unwrap_or(BEFORE_RELEASES).to_owned())
}
