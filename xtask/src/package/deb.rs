//! The package for Debian and what is derived from it.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::contents::Staged;
use super::{NAME, Source};
use crate::step::Step;

/// What dpkg runs.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Units need systemd 252; scripts enable and start them by Debian's own programs.
const DEPENDS: &str = "init-system-helpers (>= 1.54~), passwd, systemd (>= 252)";

/// Makes the package.
///
/// # Errors
/// When dpkg-deb refuses it, or it does not contain the staged files.
pub fn make(source: &Source, staged: &Staged, folder: &Path) -> Result<PathBuf> {
    let control = staged.root.join("DEBIAN");
    std::fs::create_dir_all(&control)?;
    std::fs::set_permissions(&control, std::fs::Permissions::from_mode(0o755))?;
    let sums = Step::new("md5sum").args(&staged.files).current_dir(&staged.root).output()?;
    std::fs::write(control.join("md5sums"), sums)?;
    let size = installed_size(staged)?;
    std::fs::write(control.join("control"), control_text(&source.version, size))?;
    for script in SCRIPTS {
        let to = control.join(script);
        // The scripts belong to the programs that make packages, not to what is packaged.
        std::fs::copy(crate::workspace::root().join("packaging/debian").join(script), &to)
            .with_context(|| format!("cannot copy the script {script}"))?;
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o755))?;
    }
    let package = folder.join(format!("{NAME}_{}_amd64.deb", source.version));
    let made = Step::new("dpkg-deb")
        .env("SOURCE_DATE_EPOCH", source.epoch.to_string())
        // Several threads would cut the data into other blocks on another machine.
        .args(["--root-owner-group", "-Zxz", "--threads-max=1", "--build"])
        .arg(&staged.root)
        .arg(&package)
        .run();
    std::fs::remove_dir_all(&control)?;
    made?;
    let listing = Step::new("dpkg-deb").arg("--contents").arg(&package).output()?;
    super::archive::check("the Debian package", &listing, staged)?;
    Ok(package)
}

/// In KiB, each file rounded up: so that it does not depend on the file system of the build.
fn installed_size(staged: &Staged) -> Result<u64> {
    let sizes = staged.files.iter().map(|file| {
        let metadata = std::fs::metadata(staged.root.join(file))?;
        Ok(metadata.len().div_ceil(1024))
    });
    sizes.sum()
}

fn control_text(version: &str, size: u64) -> String {
    let mut text = String::new();
    let fields = [
        ("Package", NAME),
        ("Version", version),
        ("Architecture", "amd64"),
        ("Maintainer", "The privatelink authors"),
        ("Installed-Size", &size.to_string()),
        ("Depends", DEPENDS),
        ("Section", "net"),
        ("Priority", "optional"),
        ("Homepage", "https://github.com/privatelink/privatelink"),
        ("Description", "private-link gateway for Linux hosts"),
    ];
    for (name, value) in fields {
        let _ = writeln!(text, "{name}: {value}");
    }
    text.push_str(
        " Publishes single services of one network as private addresses in another,\n \
         without a route between the two, by XDP programs and one daemon.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dpkg_understands_the_control_file() {
        let text = control_text("0.1.0~git20260101000000.abcdef01", 12);
        assert!(text.lines().any(|line| line == "Installed-Size: 12"), "{text}");
        let description = text.split_once("Description: ").expect("it has one").1;
        assert!(description.lines().skip(1).all(|line| line.starts_with(' ')), "{text}");
        assert!(text.ends_with('\n'), "{text}");
    }
}
