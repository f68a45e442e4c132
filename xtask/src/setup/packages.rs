//! Debian packages: which are needed, why, and how they are installed without ever waiting for
//! somebody to type.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::step::Step;

/// One thing that a Debian package provides.
pub struct Need {
    package: &'static str,
    probe: Probe,
    reason: &'static str,
}

/// How one sees that the thing is there, from whichever package.
enum Probe {
    /// A program on the path.
    Program(&'static str),
    /// A file.
    File(&'static str),
}

use Probe::{File, Program};

/// What the demonstration starts.
pub const DEMO: &[Need] = &[
    need("iproute2", Program("ip"), "makes namespaces and links"),
    need("util-linux", Program("nsenter"), "enters a namespace without hiding the BPF file system"),
    need("ethtool", Program("ethtool"), "turns offloads off and on"),
    need("curl", Program("curl"), "is the consumer of the demonstration"),
];

/// What the demonstration suggests to try in networks that it leaves in place.
pub const LOOK_AROUND: &[Need] = &[
    need("tcpdump", Program("tcpdump"), "records what crosses a link"),
    need("bind9-dnsutils", Program("dig"), "asks for names"),
];

/// What tests and benchmarks start besides.
pub const TEST_TOOLS: &[Need] = &[
    need("dnsperf", Program("dnsperf"), "measures how many queries the name server answers"),
    need("bind9-utils", Program("named-checkzone"), "judges exported zones"),
    need(
        "systemd",
        Program("systemd-socket-activate"),
        "starts the name server as a service would",
    ),
    need("dnsmasq-base", Program("dnsmasq"), "is a name server of a consumer's own"),
    need("python3", Program("python3"), "runs the independent judges"),
    need("openssl", Program("openssl"), "signs the certificates of servers and callers"),
    need("iputils-ping", Program("ping"), "pings endpoints"),
    need("traceroute", Program("traceroute"), "shows the gateway as a hop"),
    need("iperf3", Program("iperf3"), "measures throughput through the gateway"),
    need(
        "wireguard-go",
        Program("wireguard-go"),
        "encrypts between sites where the kernel does not",
    ),
    need("wireguard-tools", Program("wg"), "judges keys, and is the peer of attackers"),
    need("nftables", Program("nft"), "is what the benchmark compares with"),
    need("clang", Program("clang"), "compiles the benchmark's reference in C"),
    need("llvm", Program("llvm-objdump"), "shows the BPF object's code"),
    need("libbpf-dev", File("/usr/include/bpf/bpf_helpers.h"), "headers of the reference in C"),
];

/// What judges packets independently. Tests do without it, and say so.
pub const ORACLE: &[Need] = &[need(
    "python3-scapy",
    File("/usr/lib/python3/dist-packages/scapy/__init__.py"),
    "recomputes what the datapath computes",
)];

/// What judges the packaged unit. Tests do without it, and say so.
pub const SERVICE: &[Need] =
    &[need("systemd", Program("systemd-analyze"), "checks the unit, also where it does not run")];

/// What reads metrics, alert rules and the dashboard's queries. Tests do without it, and say so.
pub const PROMETHEUS: &[Need] = &[
    need("prometheus", Program("prometheus"), "scrapes a gateway"),
    need("prometheus", Program("promtool"), "checks metrics, and tests alert rules"),
];

/// The store that gateways share. Tests do without it, and say so.
pub const ETCD: &[Need] = &[
    need("etcd-server", Program("etcd"), "is the store of a fleet"),
    need("etcd-client", Program("etcdctl"), "makes users and roles there"),
    need("openssl", Program("openssl"), "signs the certificates of servers and callers"),
];

/// Other people's clients and tools, which judge conformance. Tests do without them, and say so.
pub const JUDGES: &[Need] = &[
    need("bind9-dnsutils", Program("dig"), "asks for names"),
    need("knot-dnsutils", Program("kdig"), "asks for names"),
    need("ldnsutils", Program("drill"), "asks for names"),
    need("unbound", Program("unbound"), "forwards queries to the gateway"),
    need("mandoc", Program("mandoc"), "reads manual pages"),
    need("shellcheck", Program("shellcheck"), "reads scripts"),
    need("nftables", Program("nft"), "keeps a host's kernel silent"),
];

/// What judges manual pages and shell scripts. Tests do without it, and say so.
pub const PAGES: &[Need] = &[
    need("mandoc", Program("mandoc"), "checks manual pages"),
    need("shellcheck", Program("shellcheck"), "checks shell scripts"),
];

/// What a Python program in a folder of its own needs.
pub const PYTHON: &[Need] =
    &[need("python3-venv", File("/usr/share/doc/python3-venv"), "makes such a folder")];

/// What starts another kernel.
pub const VIRTUAL_MACHINE: &[Need] = &[
    need("qemu-system-x86", Program("qemu-system-x86_64"), "runs the kernel"),
    need("busybox-static", File("/bin/busybox"), "packs and is the system around the suites"),
    need("binutils", Program("strip"), "makes the test programs small"),
];

/// What makes packages.
pub const PACKAGING: &[Need] = &[
    need("dpkg", Program("dpkg-deb"), "makes the Debian package"),
    need("rpm", Program("rpmbuild"), "makes the RPM package"),
    need("musl-tools", Program("musl-gcc"), "compiles C for a static binary"),
    need("xz-utils", Program("xz"), "compresses packages"),
];

/// What makes and boots a machine with systemd.
pub const MACHINE: &[Need] = &[
    need("mmdebstrap", Program("mmdebstrap"), "makes the machine's root"),
    need("e2fsprogs", Program("mkfs.ext4"), "puts the root on a disk"),
    need("qemu-system-x86", Program("qemu-system-x86_64"), "runs the machine"),
];

/// The compiler that is taken when `core` cannot be compiled from source.
pub const BPF_COMPILER: &[Need] = &[
    need("rustc-web", File("/usr/bin/rustc"), "a compiler with BPF and LLVM 22"),
    need("cargo-web", File("/usr/bin/cargo"), "its cargo"),
    need(
        "libstd-rust-web-dev-bpf",
        File("/usr/lib/rustlib/bpfel-unknown-none/lib"),
        "`core` for BPF, prebuilt",
    ),
    need("llvm-22-dev", File("/usr/lib/llvm-22/lib/libLLVM.so"), "the LLVM of bpf-linker"),
    need("g++", Program("g++"), "links bpf-linker with LLVM"),
];

const fn need(package: &'static str, probe: Probe, reason: &'static str) -> Need {
    Need { package, probe, reason }
}

/// The command that installs all of `needs`.
pub fn install_command(needs: &[Need]) -> String {
    let packages: BTreeSet<_> = needs.iter().map(|need| need.package).collect();
    let packages: Vec<_> = packages.into_iter().collect();
    format!("apt-get install --yes --no-install-recommends {}", packages.join(" "))
}

/// Installs what is absent of these sets of needs.
///
/// # Errors
/// When some are still absent afterwards; the message has the command to type.
pub fn install_missing(sets: &[&'static [Need]]) -> Result<()> {
    let needs = || sets.iter().flat_map(|set| set.iter());
    let missing: Vec<&Need> = needs().filter(|need| !need.is_met()).collect();
    if missing.is_empty() {
        println!("setup: all {} system packages are there", needs().count());
        return Ok(());
    }
    for need in &missing {
        println!("setup: missing {}: {}", need.package, need.reason);
    }
    let packages: BTreeSet<_> = missing.iter().map(|need| need.package).collect();
    let outcome = apt_install(&packages);
    let still: Vec<_> =
        missing.iter().filter(|need| !need.is_met()).map(|need| need.package).collect();
    if still.is_empty() {
        return Ok(());
    }
    let advice = format!("install them as root: apt-get install {}", still.join(" "));
    match outcome {
        Err(reason) => Err(reason.context(advice)),
        Ok(()) => bail!("the packages were installed but do not provide what is needed; {advice}"),
    }
}

/// Whether nothing of `needs` is absent.
pub fn are_met(needs: &[Need]) -> bool {
    needs.iter().all(Need::is_met)
}

impl Need {
    fn is_met(&self) -> bool {
        match self.probe {
            Program(name) => is_on_path(name),
            File(path) => Path::new(path).exists(),
        }
    }
}

/// Whether a program can be started by name, by us or by root.
fn is_on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(Into::into))
        .any(|folder| folder.join(name).is_file())
}

fn apt_install(packages: &BTreeSet<&str>) -> Result<()> {
    update_lists()?;
    let options = ["install", "--yes", "--no-install-recommends"];
    let arguments: Vec<&str> = options.iter().chain(packages).copied().collect();
    apt(Duration::from_secs(900), &arguments).context("cannot install the packages")
}

/// Reads the package lists.
///
/// # Errors
/// When it cannot, for want of privilege or of a mirror.
pub fn update_lists() -> Result<()> {
    apt(Duration::from_secs(180), &["update"]).context("cannot read the package lists")
}

/// Runs apt-get as root: as we are, or by sudo where that asks no password.
fn apt(limit: Duration, arguments: &[&str]) -> Result<()> {
    let step = if nix::unistd::geteuid().is_root() {
        Step::limited(limit, "env")
    } else if Step::new("sudo").args(["-n", "true"]).succeeds() {
        Step::limited(limit, "sudo").args(["-n", "env"])
    } else {
        bail!("installing needs root, and sudo is absent or asks for a password");
    };
    step.arg("DEBIAN_FRONTEND=noninteractive")
        .args(["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"])
        .args(arguments)
        .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demonstration_needs_few_packages() {
        let demo: BTreeSet<_> = DEMO.iter().map(|need| need.package).collect();
        assert_eq!(demo, BTreeSet::from(["curl", "ethtool", "iproute2", "util-linux"]));
    }

    #[test]
    fn the_command_names_each_package_once() {
        let command = install_command(PROMETHEUS);
        assert_eq!(command, "apt-get install --yes --no-install-recommends prometheus");
    }
}
