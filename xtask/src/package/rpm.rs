//! The package for Fedora, RHEL, SUSE and what is derived from them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::contents::{CONFIGURATION, CONFIGURATION_MODE, Staged};
use super::{NAME, Source};
use crate::step::Step;

/// Makes the package.
///
/// # Errors
/// When rpmbuild refuses it, or it does not contain the staged files.
pub fn make(source: &Source, staged: &Staged, folder: &Path) -> Result<PathBuf> {
    let top = folder.join("rpmbuild");
    std::fs::create_dir_all(&top)?;
    let template = crate::workspace::root().join("packaging/rpm/privatelink.spec");
    let template = std::fs::read_to_string(&template)
        .with_context(|| format!("cannot read {}", template.display()))?;
    let spec = top.join("privatelink.spec");
    std::fs::write(&spec, filled(&template, source, staged))?;
    let define = |name: &str, value: &str| format!("--define={name} {value}");
    Step::new("rpmbuild")
        .env("SOURCE_DATE_EPOCH", source.epoch.to_string())
        .args(["-bb", "--quiet", "--target=x86_64"])
        .arg(define("_topdir", &top.to_string_lossy()))
        .arg(define("_buildhost", "localhost"))
        .arg(define("use_source_date_epoch_as_buildtime", "1"))
        .arg(define("clamp_mtime_to_source_date_epoch", "1"))
        .arg(define("_binary_payload", "w9.gzdio"))
        // Part of the package's header otherwise, with the folder of the build.
        .arg(define("_build_id_links", "none"))
        .arg(&spec)
        .run()?;
    let name = format!("{NAME}-{}-1.x86_64.rpm", source.version);
    let package = folder.join(&name);
    std::fs::rename(top.join("RPMS/x86_64").join(&name), &package)
        .with_context(|| format!("rpmbuild made no {name}"))?;
    std::fs::remove_dir_all(&top)?;
    let listing = Step::new("rpm").args(["-q", "-p", "-l", "--dbpath"]);
    // Without a database of installed packages, which Debian does not have.
    let listing = listing.arg(std::env::temp_dir()).arg(&package).output()?;
    super::archive::check("the RPM package", &listing, staged)?;
    Ok(package)
}

fn filled(template: &str, source: &Source, staged: &Staged) -> String {
    let mut files = String::new();
    for file in &staged.files {
        let _ = writeln!(files, "%attr(-, root, root) \"/{}\"", file.display());
    }
    let _ = writeln!(files, "%dir %attr({CONFIGURATION_MODE:04o}, root, root) /{CONFIGURATION}");
    for folder in ["usr/share/privatelink", "usr/share/doc/privatelink"] {
        let _ = writeln!(files, "%dir /{folder}");
    }
    template
        .replace("@VERSION@", &source.version)
        .replace("@STAGE@", &staged.root.to_string_lossy())
        .replace("@FILES@\n", &files)
}
