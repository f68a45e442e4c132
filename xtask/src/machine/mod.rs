//! `cargo xtask test machine`: the packages on a machine of their own, with systemd as init: they
//! are installed, configured, restarted, upgraded under traffic, removed and purged.
//!
//! The machine is Debian 12, emulated so that every host can run it. What is tried is in
//! `tests/machine/`; it reports by lines on the machine's serial console ([`report`]).

mod packages;
mod report;
mod root;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use self::report::Report;
use crate::setup;
use crate::step::Step;
use crate::workspace;

/// The kernels that the machine has: Debian 12's own, and its newer one.
pub const KERNELS: [&str; 2] = ["6.1", "6.12"];

/// Two boots and all checks take about eight minutes on two cores of a laptop.
const LIMIT: Duration = Duration::from_secs(2400);

/// Boots the machine with one kernel, or with each, and tries the packages on it.
///
/// # Errors
/// When a check failed, or the machine cannot be made or started.
pub fn run(kernel: Option<&str>) -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "making the machine's disk needs root");
    setup::packages::install_missing(&[setup::packages::MACHINE])?;
    let folder = workspace::root().join("target/machine");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let packages = packages::make(&folder)?;
    let root = root::make(&folder)?;
    let disk = folder.join("disk.img");
    let mut reports = Vec::new();
    for version in KERNELS.into_iter().filter(|version| kernel.is_none_or(|one| one == *version)) {
        root::write_disk(&root, &packages, &disk)?;
        reports.push(boot(&root, version, &disk)?);
    }
    let text: String = reports.iter().map(ToString::to_string).collect();
    std::fs::write(folder.join("report.txt"), &text).context("cannot write the report")?;
    println!("{text}");
    let passed: usize = reports.iter().map(|report| report.passed()).sum();
    let failed: usize = reports.iter().map(|report| report.failed()).sum();
    println!("{passed} passed, {failed} failed");
    ensure!(failed == 0 && passed > 0, "{failed} checks failed on the machine");
    Ok(())
}

fn boot(root: &Path, version: &str, disk: &Path) -> Result<Report> {
    let (kernel, memory) = root::kernel(root, version)?;
    let mut report = Report::of(version);
    Step::limited(LIMIT, "qemu-system-x86_64")
        .args(["-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "2048"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(memory)
        .arg("-drive")
        .arg(format!("file={},format=raw,if=virtio,cache=unsafe", disk.display()))
        .args([
            "-append",
            "console=ttyS0 loglevel=4 panic=-1 root=/dev/vda rw systemd.show_status=0 \
             systemd.mask=serial-getty@ttyS0.service",
        ])
        .run_watched(|line| report.read(line))
        .context("the virtual machine does not start")?;
    Ok(report)
}
