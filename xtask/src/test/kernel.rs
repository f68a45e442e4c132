//! The suites of the BPF object inside another kernel, in a virtual machine without any device
//! but a serial line. It is emulated, so that every machine can run it, and the same.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::outcome::Outcome;
use super::suites::SUITES;
use super::{Summary, test_programs};
use crate::setup::packages;
use crate::step::Step;
use crate::workspace;

/// The kernel that can be tried: Debian 12's own.
pub const VERSION: &str = "6.1";

/// What the package of that kernel is called, but for its build number.
const PACKAGE: (&str, &str) = ("linux-image-6.1.0-", "-cloud-amd64");

/// A module of it that suites need: pairs of interfaces.
const MODULE: &str = "veth.ko";

/// Booting takes ten seconds; the rest is for the suites, which are slow when emulated.
const LIMIT: Duration = Duration::from_secs(900);

/// Files that suites read, at the path where they were compiled.
const FILES: [&str; 1] = ["tests/verifier-budget.toml"];

/// Boots the kernel and runs the suites in it.
///
/// # Errors
/// When the machine cannot be had or started.
pub fn run(filter: Option<&str>) -> Result<Summary> {
    packages::install_missing(&[packages::VIRTUAL_MACHINE])?;
    let folder = workspace::root().join("target").join(format!("kernel-{VERSION}"));
    let kernel = kernel_image(&folder)?;
    let names: Vec<&str> =
        SUITES.iter().filter(|suite| suite.in_other_kernels).map(|suite| suite.name).collect();
    let programs = test_programs(&names)?;
    let archive = file_system(&folder, &programs, filter)?;
    boot(&kernel, &archive, &names)
}

/// The kernel's image, downloaded and unpacked but not installed.
fn kernel_image(folder: &Path) -> Result<PathBuf> {
    if let Some(image) = unpacked_image(folder) {
        return Ok(image);
    }
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let package = match newest_package()? {
        Some(package) => package,
        None => {
            packages::update_lists()?;
            newest_package()?.context("Debian's package lists have no kernel 6.1 for clouds")?
        }
    };
    Step::limited(Duration::from_secs(300), "apt-get")
        // Root's downloads are otherwise handed to a user that may not write here.
        .args(["-q", "-o", "APT::Sandbox::User=root", "download", &package])
        .current_dir(folder)
        .run()?;
    let archive = files_in(folder)?
        .into_iter()
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get left no package in {}", folder.display()))?;
    Step::new("dpkg").arg("-x").arg(&archive).arg(folder).run()?;
    std::fs::remove_file(&archive)?;
    unpacked_image(folder).with_context(|| format!("the package {package} has no kernel image"))
}

fn unpacked_image(folder: &Path) -> Option<PathBuf> {
    let name = |path: &PathBuf| path.file_name()?.to_str().map(str::to_owned);
    files_in(&folder.join("boot"))
        .ok()?
        .into_iter()
        .find(|path| name(path).is_some_and(|name| name.starts_with("vmlinuz-")))
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn newest_package() -> Result<Option<String>> {
    let pattern = format!("^{}[0-9]+{}$", PACKAGE.0, PACKAGE.1);
    let listing = Step::new("apt-cache").args(["search", "--names-only", &pattern]).output()?;
    Ok(newest(&listing))
}

/// The package with the highest build number among `apt-cache search`'s lines.
fn newest(listing: &str) -> Option<String> {
    let build = |package: &str| -> Option<u32> {
        package.strip_prefix(PACKAGE.0)?.strip_suffix(PACKAGE.1)?.parse().ok()
    };
    let packages = listing.lines().filter_map(|line| line.split_whitespace().next());
    let newest = packages.max_by_key(|package| build(package))?;
    build(newest).map(|_| newest.to_owned())
}

/// Packs the test programs, the libraries that they need, and what starts them.
fn file_system(
    folder: &Path,
    programs: &[(String, PathBuf)],
    filter: Option<&str>,
) -> Result<PathBuf> {
    let root = folder.join("root");
    if root.exists() {
        std::fs::remove_dir_all(&root)?;
    }
    for mount_point in ["proc", "sys", "dev", "tmp", "bin", "suites"] {
        std::fs::create_dir_all(root.join(mount_point))?;
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox"))?;
    for (name, program) in programs {
        let stripped = root.join("suites").join(name);
        Step::new("strip").arg("-o").arg(&stripped).arg(program).output()?;
        for library in libraries(program)? {
            copy_into(&root, &library)?;
        }
    }
    let modules = Step::new("find").arg(folder.join("lib/modules")).args(["-name", MODULE]);
    let module = modules.output()?;
    std::fs::copy(module.trim_end(), root.join(MODULE))
        .with_context(|| format!("cannot copy the module {MODULE} of kernel {VERSION}"))?;
    for file in FILES {
        copy_into(&root, &workspace::root().join(file))?;
    }
    let names: Vec<&str> = programs.iter().map(|(name, _)| name.as_str()).collect();
    let init = root.join("init");
    std::fs::write(&init, init_script(&names, filter))?;
    std::fs::set_permissions(&init, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let archive = folder.join("initramfs.cpio");
    Step::new("sh")
        .args(["-c", "find . | busybox cpio --quiet -o -H newc >\"$0\""])
        .arg(&archive)
        .current_dir(&root)
        .run()?;
    Ok(archive)
}

/// The shared libraries of a program, its dynamic linker among them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    Ok(paths_in(&Step::new("ldd").arg(program).output()?))
}

/// The paths in what `ldd` prints.
fn paths_in(listing: &str) -> Vec<PathBuf> {
    let path =
        |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(Into::into);
    listing.lines().filter_map(path).collect()
}

/// Copies a file to the same path below `root`.
fn copy_into(root: &Path, file: &Path) -> Result<()> {
    let destination = root.join(file.strip_prefix("/").unwrap_or(file));
    if let Some(folder) = destination.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::copy(file, &destination).with_context(|| format!("cannot copy {}", file.display()))?;
    Ok(())
}

/// What the machine does: mount, run each suite, power off.
fn init_script(names: &[&str], filter: Option<&str>) -> String {
    // It is put in single quotes; a test's name has none.
    let filter =
        filter.map_or_else(String::new, |filter| format!("'{}'", filter.replace('\'', "")));
    let suites: String = names
        .iter()
        .map(|name| format!("/suites/{name} {filter}\necho \"{ENDED} {name} $?\"\n"))
        .collect();
    format!(
        "#!/bin/busybox sh\n\
         /bin/busybox mkdir -p /usr/bin /sbin\n\
         /bin/busybox --install -s /usr/bin\n\
         export PATH=/usr/bin:/bin RUST_BACKTRACE=1\n\
         mount -t proc proc /proc\n\
         mount -t sysfs sys /sys\n\
         mount -t devtmpfs dev /dev\n\
         mount -t bpf bpf /sys/fs/bpf\n\
         ip link set lo up\n\
         insmod /{MODULE}\n\
         uname -r\n\
         {suites}\
         poweroff -f\n"
    )
}

/// How the machine reports that a suite ended; its exit status follows.
const ENDED: &str = "privatelink-suite-ended";

fn boot(kernel: &Path, archive: &Path, names: &[&str]) -> Result<Summary> {
    let mut summary = Summary::default();
    let mut outcome = Outcome::default();
    let mut ended = Vec::new();
    Step::limited(LIMIT, "qemu-system-x86_64")
        .args(["-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "2048"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"])
        .args(["-no-reboot", "-append", "console=ttyS0 loglevel=3 panic=-1"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(archive)
        .run_watched(|line| {
            outcome.read(line);
            ended.extend(ended_suite(line));
        })
        .context("the virtual machine does not start")?;
    for name in names {
        match ended.iter().find(|(ended, _)| ended == name) {
            None => summary.broken.push(format!("suite {name} did not end in kernel {VERSION}")),
            Some((_, 0)) => {}
            Some((_, status)) if outcome.failed == 0 => {
                summary.broken.push(format!("suite {name} ended with exit status {status}"));
            }
            Some(_) => {}
        }
    }
    ensure!(!names.is_empty(), "no suite is meant for other kernels");
    summary.outcome += outcome;
    Ok(summary)
}

/// Name and exit status of the suite that a line of the console reports.
fn ended_suite(line: &str) -> Option<(String, i32)> {
    let mut words = line.trim().strip_prefix(ENDED)?.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_taken_by_number() {
        let listing = "linux-image-6.1.0-9-cloud-amd64 - Linux 6.1\n\
                       linux-image-6.1.0-56-cloud-amd64 - Linux 6.1\n\
                       linux-image-6.1.0-x-cloud-amd64 - other\n";
        assert_eq!(newest(listing).as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(newest(""), None);
    }

    #[test]
    fn libraries_are_found_with_and_without_an_arrow() {
        let listing = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x3)\n";
        let expected: [PathBuf; 2] =
            ["/lib/libc.so.6".into(), "/lib64/ld-linux-x86-64.so.2".into()];
        assert_eq!(paths_in(listing), expected);
    }

    #[test]
    fn each_suite_reports_its_end() {
        let script = init_script(&["elf"], Some("the_maps"));
        assert!(script.contains("/suites/elf 'the_maps'\n"), "{script}");
        assert!(script.contains(&format!("echo \"{ENDED} elf $?\"")), "{script}");
        assert_eq!(ended_suite(&format!("{ENDED} elf 101\r")), Some(("elf".into(), 101)));
        assert_eq!(ended_suite("[    0.1] panic"), None);
    }
}
