//! The machine a benchmark runs on: a network namespace of its own, one CPU, and its description.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, unshare};
use nix::unistd::Pid;
use serde::Serialize;

use super::packet::Macs;

/// The gateway's two interfaces, which contexts and devmaps refer to. No packet of a test run
/// leaves through them.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Index of the interface in the consumer's network.
    pub consumer: u32,
    /// Index of the interface in the provider's network.
    pub provider: u32,
    /// Addresses on the way.
    pub macs: Macs,
}

impl Ports {
    /// Name of the interface in the consumer's network.
    pub const CONSUMER: &str = "consumer0";
    /// Name of the interface in the provider's network.
    pub const PROVIDER: &str = "provider0";

    /// Moves this thread to a new network namespace and makes the two interfaces there. The
    /// namespace goes when the process ends.
    ///
    /// # Errors
    ///
    /// Without the privilege, or without iproute2.
    pub fn in_private_namespace() -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET)
            .context("no new network namespace: run the benchmark as root")?;
        let macs = Macs {
            client: [2, 0, 0, 0, 1, 1],
            consumer_port: [2, 0, 0, 0, 1, 0xfe],
            provider_port: [2, 0, 0, 0, 2, 0xfe],
            target: [2, 0, 0, 0, 2, 1],
        };
        let status = Command::new("ip")
            .args(["link", "add", Self::CONSUMER, "address", &text(macs.consumer_port)])
            .args(["type", "veth", "peer", "name", Self::PROVIDER])
            .args(["address", &text(macs.provider_port)])
            .status()
            .context("ip does not start: install iproute2")?;
        ensure!(status.success(), "ip could not add a veth pair: {status}");
        Ok(Self {
            consumer: if_nametoindex(Self::CONSUMER).context("looking up the veth")?,
            provider: if_nametoindex(Self::PROVIDER).context("looking up the veth")?,
            macs,
        })
    }
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The machine's description, by which a reader can judge the figures.
#[derive(Debug, Serialize)]
pub struct Machine {
    kernel: String,
    architecture: &'static str,
    cpu: String,
    cpus: usize,
    pinned_to: usize,
    compiler: String,
    load_average: String,
}

impl Machine {
    /// Pins this thread to one CPU, the last that it may use unless one is named, and describes the
    /// machine.
    ///
    /// # Errors
    ///
    /// When the CPU does not exist or is not allowed.
    pub fn pinned(cpu: Option<usize>) -> Result<Self> {
        let this = Pid::from_raw(0);
        let allowed = sched_getaffinity(this).context("asking for the CPU affinity")?;
        let allowed: Vec<usize> =
            (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false)).collect();
        let chosen = match cpu {
            Some(cpu) => cpu,
            None => *allowed.last().context("this process may use no CPU")?,
        };
        let mut set = CpuSet::new();
        set.set(chosen).with_context(|| format!("there is no CPU {chosen}"))?;
        sched_setaffinity(this, &set).with_context(|| format!("pinning to CPU {chosen}"))?;

        let cpuinfo = read("/proc/cpuinfo");
        let cpu = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or("unknown", |(_, model)| model.trim());
        Ok(Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            architecture: std::env::consts::ARCH,
            cpu: cpu.to_owned(),
            cpus: allowed.len(),
            pinned_to: chosen,
            compiler: super::compile::compiler(),
            load_average: read("/proc/loadavg").trim().to_owned(),
        })
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "kernel {} {}, {} x {}, pinned to CPU {}",
            self.kernel, self.architecture, self.cpus, self.cpu, self.pinned_to
        )?;
        write!(f, "C by {}, load average at the start {}", self.compiler, self.load_average)
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|_| "unknown".to_owned())
}
