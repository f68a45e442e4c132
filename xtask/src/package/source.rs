//! The tree of sources that is packaged, with its version and its time.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::bpf;
use crate::step::Step;
use crate::workspace;

/// Sources of one commit.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where they are.
    pub root: PathBuf,
    /// The folder that no file of a package may name: the root, or what it is in.
    pub hidden: PathBuf,
    /// The version of the packages; later commits have higher ones, and a release the highest.
    pub version: String,
    /// The commit's time, which everything in the packages has, in seconds since 1970.
    pub epoch: u64,
}

impl Source {
    /// The checked-out sources of this workspace.
    ///
    /// # Errors
    /// When git does not know them.
    pub fn here() -> Result<Self> {
        let root = workspace::root();
        let changed = !git(&root, &["status", "--porcelain", "--untracked-files=no"])?.is_empty();
        if changed {
            println!("package: the checkout has changes, so nobody else can build these packages");
        }
        let mut source = Self::at(&root, "HEAD")?;
        if changed {
            source.version.push_str(".changed");
        }
        Ok(source)
    }

    /// The sources of another commit, exported to `folder` in this workspace. Hiding all of the
    /// workspace keeps the flags the same, and thus the compiled dependencies.
    ///
    /// # Errors
    /// When git does not know the commit.
    pub fn of_commit(commit: &str, folder: &Path) -> Result<Self> {
        let source = Self::at(&workspace::root(), commit)?;
        export(&workspace::root(), commit, folder)?;
        Ok(Self { root: folder.to_owned(), ..source })
    }

    /// A copy of committed sources in another folder.
    ///
    /// # Errors
    /// When the sources have changes that are not committed.
    pub fn exported(&self, folder: &Path) -> Result<Self> {
        ensure!(!self.version.ends_with(".changed"), "commit the changes before comparing builds");
        export(&self.root, "HEAD", folder)?;
        Ok(Self { root: folder.to_owned(), hidden: folder.to_owned(), ..self.clone() })
    }

    /// Name and version, as names of files begin.
    pub fn label(&self) -> String {
        format!("{}-{}", super::NAME, self.version)
    }

    /// The commit's time as SBOM and image write it.
    ///
    /// # Errors
    /// When `date` is absent.
    pub fn timestamp(&self) -> Result<String> {
        let seconds = format!("@{}", self.epoch);
        let time = Step::new("date").args(["-u", "-d", &seconds, "+%Y-%m-%dT%H:%M:%SZ"]);
        Ok(time.output()?.trim().to_owned())
    }

    fn at(root: &Path, commit: &str) -> Result<Self> {
        let epoch = git(root, &["show", "--no-patch", "--format=%ct", commit])?
            .parse()
            .context("git names no time of the commit")?;
        let manifest = git(root, &["show", &format!("{commit}:Cargo.toml")])?;
        let manifest: Manifest = toml::from_str(&manifest).context("cannot read Cargo.toml")?;
        let release = manifest.workspace.package.version;
        let tags = git(root, &["tag", "--points-at", commit])?;
        let hidden = root.to_owned();
        let mut source = Self { root: root.to_owned(), hidden, version: release.clone(), epoch };
        if !tags.lines().any(|tag| tag.strip_prefix('v') == Some(&release)) {
            let day = source.timestamp()?.replace(|c: char| !c.is_ascii_digit(), "");
            let commit = git(root, &["rev-parse", "--short=8", commit])?;
            // `~` sorts before the release itself, in Debian and in RPM.
            source.version = format!("{release}~git{day}.{commit}");
        }
        Ok(source)
    }
}

#[derive(Deserialize)]
struct Manifest {
    workspace: Workspace,
}

#[derive(Deserialize)]
struct Workspace {
    package: Package,
}

#[derive(Deserialize)]
struct Package {
    version: String,
}

fn git(root: &Path, arguments: &[&str]) -> Result<String> {
    let output = Step::new("git").args(arguments).current_dir(root).output()?;
    Ok(output.trim().to_owned())
}

/// Writes the files of a commit to `folder`, with the record of the BPF toolchain, so that they
/// compile without a set-up of their own.
fn export(root: &Path, commit: &str, folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    Step::new("sh")
        .args(["-c", "git archive --format=tar \"$0\" | tar -x -C \"$1\"", commit])
        .arg(folder)
        .current_dir(root)
        .run()?;
    let record = folder.join(bpf::Toolchain::FILE);
    if let Some(parent) = record.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::copy(workspace::root().join(bpf::Toolchain::FILE), &record)
        .context("cannot copy the record of the BPF toolchain")?;
    Ok(())
}
