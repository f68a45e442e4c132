//! The tarball, for hosts without either kind of package, and how an archive is compared with
//! the list of files.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::Source;
use super::contents::Staged;
use crate::step::Step;

/// What makes an archive depend on names and contents alone.
pub const OPTIONS: [&str; 5] =
    ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"];

/// Makes the tarball.
///
/// # Errors
/// When tar fails, or it does not contain the staged files.
pub fn make(source: &Source, staged: &Staged, folder: &Path) -> Result<PathBuf> {
    let label = source.label();
    let tarball = folder.join(format!("{label}-x86_64.tar.gz"));
    Step::new("tar")
        .args(OPTIONS)
        .arg(format!("--mtime=@{}", source.epoch))
        // Without the time of its making, which gzip would add.
        .args(["--use-compress-program=gzip -9n", "--transform"])
        .arg(format!("s,^\\.,{label},"))
        .arg("-C")
        .arg(&staged.root)
        .arg("-cf")
        .arg(&tarball)
        .arg(".")
        .run()?;
    let listing = Step::new("tar").arg("-tf").arg(&tarball).output()?;
    check("the tarball", &listing, staged)?;
    Ok(tarball)
}

/// Compares what an archive lists with the files that it is to have.
///
/// # Errors
/// When a file is missing.
pub fn check(archive: &str, listing: &str, staged: &Staged) -> Result<()> {
    let absent: Vec<String> = staged
        .files
        .iter()
        .map(|file| format!("/{}", file.display()))
        .filter(|file| !listing.lines().any(|line| line.ends_with(file.as_str())))
        .collect();
    ensure!(absent.is_empty(), "{archive} lacks {}", absent.join(", "));
    Ok(())
}
