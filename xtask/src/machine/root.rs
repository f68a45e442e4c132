//! The machine's root and its disk.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::KERNELS;
use super::packages::Packages;
use crate::step::Step;
use crate::workspace;

/// What is in the root besides what Debian requires; the kernels come with it.
const INCLUDED: &str = "systemd,systemd-sysv,init-system-helpers,initramfs-tools,iproute2,ethtool,\
                        python3,busybox-static,procps,kmod,bpftool,\
                        linux-image-cloud-amd64,linux-image-6.12-cloud-amd64";

/// The sources of packages on a Debian host, which then are those of the machine too.
const SOURCES: &str = "/etc/apt/sources.list.d/debian.sources";

/// Where the machine looks for what it tries.
const TRIED: &str = "opt/machine";

/// Units that start it, and what wants them.
const UNITS: [(&str, &str); 3] = [
    ("machine-networks.service", "multi-user.target"),
    ("machine-provider.service", "multi-user.target"),
    ("machine-stages.service", "graphical.target"),
];

/// Makes the root, unless there is one with the same packages.
///
/// # Errors
/// When mmdebstrap fails.
pub fn make(folder: &Path) -> Result<PathBuf> {
    let root = folder.join("root");
    // Written last: a root that is only half made has none.
    let record = folder.join("root.packages");
    if std::fs::read_to_string(&record).is_ok_and(|made| made == INCLUDED) {
        return Ok(root);
    }
    if root.exists() {
        std::fs::remove_dir_all(&root)
            .with_context(|| format!("cannot remove {}", root.display()))?;
    }
    let step = Step::limited(Duration::from_secs(1200), "mmdebstrap")
        .args(["--variant=minbase", "--include", INCLUDED, "bookworm"])
        .arg(&root);
    let is_debian = std::fs::read_to_string(SOURCES).is_ok_and(|text| text.contains("bookworm"));
    step.args(is_debian.then_some(SOURCES)).run()?;
    std::fs::write(&record, INCLUDED)?;
    Ok(root)
}

/// Image and initial file system of a kernel in the root.
///
/// # Errors
/// When the root has no kernel of that version.
pub fn kernel(root: &Path, version: &str) -> Result<(PathBuf, PathBuf)> {
    let boot = root.join("boot");
    let mut images = Vec::new();
    for entry in
        std::fs::read_dir(&boot).with_context(|| format!("cannot read {}", boot.display()))?
    {
        images.extend(release(&entry?.file_name().to_string_lossy()).map(str::to_owned));
    }
    let release = images
        .into_iter()
        .find(|release| release.starts_with(&format!("{version}.")))
        .with_context(|| format!("the machine's root has no kernel {version} of {KERNELS:?}"))?;
    Ok((boot.join(format!("vmlinuz-{release}")), boot.join(format!("initrd.img-{release}"))))
}

fn release(image: &str) -> Option<&str> {
    image.strip_prefix("vmlinuz-")
}

/// Writes a disk with the root, the packages and what tries them.
///
/// # Errors
/// When a file cannot be copied, or mkfs fails.
pub fn write_disk(root: &Path, packages: &Packages, disk: &Path) -> Result<()> {
    let tried = root.join(TRIED);
    if tried.exists() {
        std::fs::remove_dir_all(&tried)?;
    }
    std::fs::create_dir_all(&tried)?;
    let checks = workspace::root().join("tests/machine");
    let entries =
        std::fs::read_dir(&checks).with_context(|| format!("cannot read {}", checks.display()))?;
    for entry in entries {
        let entry = entry?;
        copy(&entry.path(), &tried.join(entry.file_name()))?;
    }
    for (name, package) in packages {
        copy(package, &tried.join(name))?;
    }
    for (unit, target) in UNITS {
        let units = root.join("etc/systemd/system");
        let wants = units.join(format!("{target}.wants"));
        std::fs::create_dir_all(&wants)?;
        copy(&checks.join(unit), &units.join(unit))?;
        let link = wants.join(unit);
        if !link.is_symlink() {
            symlink(format!("/etc/systemd/system/{unit}"), &link)?;
        }
    }
    if disk.exists() {
        std::fs::remove_file(disk)?;
    }
    Step::new("truncate").args(["--size=2G"]).arg(disk).run()?;
    Step::new("mkfs.ext4").args(["-q", "-F", "-d"]).arg(root).arg(disk).run()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    let executable = to.extension().is_some_and(|one| one == "sh" || one == "py");
    let mode = if executable { 0o755 } else { 0o644 };
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_names_one_kernel() {
        let folder = std::env::temp_dir().join(format!("privatelink-boot-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("boot")).expect("it is made");
        for name in ["vmlinuz-6.1.0-9-cloud", "vmlinuz-6.12.7-cloud", "initrd.img-6.12.7-cloud"] {
            std::fs::write(folder.join("boot").join(name), "").expect("it is written");
        }
        let found = |version| kernel(&folder, version).map(|(image, _)| image);
        assert!(found("6.1").expect("there is one").ends_with("vmlinuz-6.1.0-9-cloud"));
        assert!(found("6.12").expect("there is one").ends_with("vmlinuz-6.12.7-cloud"));
        assert!(found("5.10").is_err());
        std::fs::remove_dir_all(&folder).expect("it is removed");
    }
}
