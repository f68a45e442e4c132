//! What a suite needs from the kernel or the machine, and whether we have it.

use anyhow::{Context as _, Result, bail, ensure};

use super::upgrade;
use crate::setup::{flow_reader, openapi_validator, packages, schemathesis};

/// What a suite needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// Nothing: any user may run it.
    None,
    /// Python's scapy, as an independent judge of packets.
    Scapy,
    /// Python's flowlogs-reader, as an independent reader of the flow log.
    FlowReader,
    /// mandoc and shellcheck, as judges of manual pages and scripts.
    Pages,
    /// etcd, as the store that gateways share.
    Etcd,
    /// All of [`Privilege::Root`], and etcd.
    Fleet,
    /// systemd's tools, as an independent judge of the unit.
    Systemd,
    /// All of [`Privilege::Root`], and Python's schemathesis, which thinks of requests.
    Schemathesis,
    /// All of [`Privilege::Root`], and Prometheus, which reads metrics and rules.
    Prometheus,
    /// All of [`Privilege::Root`], and the daemon of the previous release.
    Previous,
    /// All of [`Privilege::Root`], and minutes or an hour: it is run only where it is named.
    Hour,
    /// All of [`Privilege::Root`], and the judges of `cargo xtask conformance`.
    Conformance,
    /// Loading programs and maps.
    Bpf,
    /// Network namespaces, and programs on their interfaces.
    Root,
}

const NET_ADMIN: u32 = 12;
const SYS_ADMIN: u32 = 21;
const BPF: u32 = 39;

impl Privilege {
    /// # Errors
    /// When this process lacks something; the error names it.
    pub fn check(self) -> Result<()> {
        if self == Self::Scapy {
            let command = packages::install_command(packages::ORACLE);
            ensure!(packages::are_met(packages::ORACLE), "needs scapy; as root: {command}");
        }
        if self == Self::Systemd {
            let command = packages::install_command(packages::SERVICE);
            ensure!(packages::are_met(packages::SERVICE), "needs systemd; as root: {command}");
        }
        if self == Self::Pages {
            let command = packages::install_command(packages::PAGES);
            ensure!(
                packages::are_met(packages::PAGES),
                "needs mandoc and shellcheck; as root: {command}"
            );
        }
        if self == Self::Prometheus {
            let command = packages::install_command(packages::PROMETHEUS);
            ensure!(
                packages::are_met(packages::PROMETHEUS),
                "needs Prometheus; as root: {command}"
            );
        }
        if self == Self::Etcd || self == Self::Fleet {
            let command = packages::install_command(packages::ETCD);
            ensure!(packages::are_met(packages::ETCD), "needs etcd; as root: {command}");
        }
        if self == Self::FlowReader {
            ensure!(flow_reader::program().exists(), "needs flowlogs-reader: cargo xtask setup");
        }
        if self == Self::Schemathesis {
            ensure!(schemathesis::program().exists(), "needs schemathesis: cargo xtask setup");
        }
        if self == Self::Conformance {
            let are_met = packages::are_met(packages::JUDGES)
                && packages::are_met(packages::ORACLE)
                && openapi_validator::program().exists();
            ensure!(are_met, "needs the judges: cargo xtask conformance");
        }
        if self == Self::Previous {
            ensure!(upgrade::is_built(), "needs the previous release: cargo xtask test upgrade");
        }
        let status = std::fs::read_to_string("/proc/self/status")
            .context("cannot read which capabilities this process has")?;
        self.check_in(&status)
    }

    fn check_in(self, status: &str) -> Result<()> {
        let effective = status
            .lines()
            .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
            .context("the kernel does not say which capabilities this process has")?;
        for (bit, name) in self.capabilities() {
            if effective >> bit & 1 == 0 {
                bail!("needs {name}; run it as root");
            }
        }
        Ok(())
    }

    fn capabilities(self) -> &'static [(u32, &'static str)] {
        match self {
            Self::None
            | Self::FlowReader
            | Self::Scapy
            | Self::Systemd
            | Self::Pages
            | Self::Etcd => &[],
            Self::Bpf => &[(BPF, "CAP_BPF"), (NET_ADMIN, "CAP_NET_ADMIN")],
            Self::Root
            | Self::Fleet
            | Self::Previous
            | Self::Hour
            | Self::Prometheus
            | Self::Schemathesis
            | Self::Conformance => {
                &[(BPF, "CAP_BPF"), (NET_ADMIN, "CAP_NET_ADMIN"), (SYS_ADMIN, "CAP_SYS_ADMIN")]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lacking_capability_is_named() {
        let user = "Name:\tcargo\nCapEff:\t0000000000000000\n";
        let bpf_only = "CapEff:\t0000008000001000\n";
        let root = "CapEff:\t000001ffffffffff\n";
        assert!(Privilege::None.check_in(user).is_ok());
        assert!(Privilege::Bpf.check_in(user).unwrap_err().to_string().contains("CAP_BPF"));
        assert!(Privilege::Bpf.check_in(bpf_only).is_ok());
        let lack = Privilege::Root.check_in(bpf_only).unwrap_err().to_string();
        assert!(lack.contains("CAP_SYS_ADMIN"), "{lack}");
        assert!(Privilege::Root.check_in(root).is_ok());
    }
}
