//! A healthy host, and faults planted in it one at a time.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::*;
use crate::config;

/// 31 January 2026.
const NOW: u64 = 1_769_860_800;
/// A certificate that ends on 1 March 2026.
const CERTIFICATE: &str = include_str!("tests/certificate.pem");

const CONFIG: &str = r#"
[gateway]
name = "gw-a"
metrics = "127.0.0.1:9469"
metrics_token_file = "/etc/privatelink/metrics.token"

[api]
listen = "127.0.0.1:9443"
certificate = "/etc/privatelink/api.pem"
key = "/etc/privatelink/api.key"

[gateway.flow_log]
to = "/var/log/privatelink/flows.log"

[[network]]
name = "acme"
principal = "acme"
interface = "eth1"
subnets = ["10.1.0.0/24", "fd00:1::/64"]
dns = true

[[network]]
name = "vendor"
principal = "vendor"
interface = "eth2"
vlan = 7
subnets = ["10.0.0.0/24"]

[[service]]
name = "web"
principal = "vendor"
network = "vendor"
acceptance = "automatic"
allow = ["acme"]
source_addresses = ["10.0.0.240"]
listener = [{ protocol = "tcp", port = 80 }]
target = [{ address = "10.0.0.10" }, { address = "web.example.com" }]
"#;

/// What a healthy host has.
const FILES: &[(&str, &str)] = &[
    ("proc/sys/kernel/osrelease", "6.12.3-amd64"),
    ("proc/sys/net/core/bpf_jit_enable", "1"),
    ("proc/sys/net/core/bpf_jit_harden", "0"),
    ("proc/sys/kernel/bpf_stats_enabled", "0"),
    ("proc/sys/kernel/unprivileged_bpf_disabled", "2"),
    ("proc/meminfo", "MemTotal:       16315444 kB\nMemFree: 1 kB"),
    ("proc/net/softnet_stat", "0000a1 00000000 00000001\n0000b2 00000000 00000000"),
    ("proc/net/dev", "Inter-| Receive\n face |bytes\n  eth1: 1 2\n  eth2: 3 4"),
    ("proc/net/vlan/config", "VLAN Dev name    | VLAN ID\nName-Type: X\neth2.7  | 7  | eth2"),
    ("proc/mounts", "/dev/vda1 / ext4 rw,relatime 0 0\nbpf /sys/fs/bpf bpf rw 0 0"),
    ("proc/net/udp", "  sl  local_address rem_address   st\n 1: 0100007F:0035 00000000:0000 07"),
    ("proc/sys/net/ipv4/neigh/default/gc_thresh3", "1024"),
    ("proc/sys/net/ipv6/neigh/default/gc_thresh3", "1024"),
    ("proc/sys/net/ipv4/conf/all/rp_filter", "1"),
    ("run/chrony/chronyd.pid", "77"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance"),
    ("sys/devices/system/cpu/cpu1/online", "1"),
    ("sys/fs/bpf/privatelink/SETTINGS", ""),
    ("etc/resolv.conf", "search example.com\nnameserver 192.0.2.53"),
    ("etc/privatelink/metrics.token", "x"),
    ("etc/privatelink/api.key", "x"),
    ("etc/privatelink/api.pem", CERTIFICATE),
    ("var/lib/privatelink/state.journal", ""),
    ("var/log/privatelink/flows.log", ""),
];

/// A host in a directory of its own.
struct Planted {
    root: tempfile::TempDir,
    config: String,
    now: u64,
    room: Room,
}

impl Planted {
    fn healthy() -> Self {
        let root = tempfile::tempdir().unwrap();
        let room = Room { free: 1 << 40, files: 1 << 20 };
        let host = Self { root, config: CONFIG.into(), now: NOW, room };
        FILES.iter().for_each(|(path, text)| host.write(path, text));
        for interface in ["eth1", "eth2"] {
            let at = |path: &str| format!("sys/class/net/{interface}/{path}");
            for (path, text) in [
                ("type", "1"),
                ("flags", "0x1003"),
                ("carrier", "1"),
                ("mtu", "1500"),
                ("statistics/rx_crc_errors", "0"),
                ("statistics/rx_missed_errors", "0"),
                ("device/vendor", "0x1af4"),
                ("queues/rx-0/rps_cpus", "0"),
                ("queues/rx-1/rps_cpus", "0"),
            ] {
                host.write(&at(path), text);
            }
            host.write(&format!("proc/sys/net/ipv6/conf/{interface}/disable_ipv6"), "0");
            for family in ["ipv4", "ipv6"] {
                host.write(&format!("proc/sys/net/{family}/conf/{interface}/forwarding"), "0");
            }
        }
        for secret in ["metrics.token", "api.key"] {
            host.chmod(&format!("etc/privatelink/{secret}"), 0o640);
        }
        host.chmod("var/lib/privatelink", 0o750);
        host
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    fn remove(&self, path: &str) {
        let path = self.at(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }

    fn chmod(&self, path: &str, mode: u32) {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn configure(&mut self, from: &str, to: &str) {
        assert!(self.config.contains(from), "{from}");
        self.config = self.config.replacen(from, to, 1);
    }

    fn examine(&self) -> Vec<Finding> {
        let loaded = config::from_text("gateway.toml", &self.config);
        let model = loaded.unwrap_or_else(|faults| panic!("{faults}")).model;
        let mut host = HostView::below(self.root.path(), self.now);
        host.room = Some(self.room);
        examine(&host, Some(&model))
    }
}

#[test]
fn nothing_is_found_on_a_healthy_host() {
    assert_eq!(Planted::healthy().examine(), []);
}

/// What makes a host ill, and which check finds it.
type Fault = (&'static str, fn(&mut Planted));

const FAULTS: &[Fault] = &[
    ("kernel-release", |host| host.write("proc/sys/kernel/osrelease", "5.10.0-28-amd64")),
    ("kernel-tc", |host| {
        host.write("proc/sys/kernel/osrelease", "6.1.0-18-amd64");
        host.configure("interface = \"eth1\"", "interface = \"eth1\"\nmode = \"tc\"");
    }),
    ("bpf-jit", |host| host.write("proc/sys/net/core/bpf_jit_enable", "0")),
    ("bpf-jit-harden", |host| host.write("proc/sys/net/core/bpf_jit_harden", "2")),
    ("bpf-stats", |host| host.write("proc/sys/kernel/bpf_stats_enabled", "1")),
    ("bpf-unprivileged", |host| host.write("proc/sys/kernel/unprivileged_bpf_disabled", "0")),
    ("memory", |host| host.write("proc/meminfo", "MemTotal:         262144 kB")),
    ("cpu-governor", |host| {
        host.write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave");
    }),
    ("backlog", |host| host.write("proc/net/softnet_stat", "0000a1 0000001f 00000001")),
    ("clock-past", |host| host.now = 1_000_000),
    ("clock-unkept", |host| host.remove("run/chrony")),
    ("clock-source", |host| {
        host.write("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet");
    }),
    ("interface-missing", |host| {
        host.remove("sys/class/net/eth1");
        host.write("proc/net/dev", "  eth2: 3 4");
    }),
    ("interface-ethernet", |host| host.write("sys/class/net/eth1/type", "772")),
    ("interface-down", |host| host.write("sys/class/net/eth1/flags", "0x1002")),
    ("interface-carrier", |host| host.write("sys/class/net/eth1/carrier", "0")),
    ("interface-mtu", |host| host.write("sys/class/net/eth1/mtu", "1000")),
    ("interface-jumbo", |host| {
        host.write("sys/class/net/eth1/mtu", "9000");
        host.configure("interface = \"eth1\"", "interface = \"eth1\"\nmode = \"native\"");
    }),
    ("interface-errors", |host| host.write("sys/class/net/eth2/statistics/rx_crc_errors", "12")),
    ("interface-vlan", |host| host.remove("proc/net/vlan")),
    ("interface-port", |host| host.write("sys/class/net/eth1/master/ifindex", "9")),
    ("interface-native", |host| {
        host.remove("sys/class/net/eth1/device");
        host.configure("interface = \"eth1\"", "interface = \"eth1\"\nmode = \"native\"");
    }),
    ("interface-queues", |host| host.remove("sys/class/net/eth1/queues/rx-1")),
    ("ipv6-off", |host| host.write("proc/sys/net/ipv6/conf/eth1/disable_ipv6", "1")),
    ("forwarding-v4", |host| {
        host.configure("interface = \"eth1\"", "interface = \"eth1\"\nhost = \"all\"");
        host.write("proc/sys/net/ipv4/conf/eth1/forwarding", "1");
    }),
    ("forwarding-v6", |host| {
        host.configure("interface = \"eth1\"", "interface = \"eth1\"\nhost = \"all\"");
        host.write("proc/sys/net/ipv6/conf/eth1/forwarding", "1");
    }),
    ("rp-filter", |host| {
        host.configure("interface = \"eth1\"", "interface = \"eth1\"\nhost = \"all\"");
        host.write("proc/sys/net/ipv4/conf/all/rp_filter", "0");
    }),
    ("neighbours", |host| host.write("proc/sys/net/ipv4/neigh/default/gc_thresh3", "3")),
    ("state-volatile", |host| {
        host.write("proc/mounts", "bpf /sys/fs/bpf bpf rw 0 0\ntmpfs /var tmpfs rw 0 0");
    }),
    ("state-writable", |host| host.chmod("var/lib/privatelink", 0o777)),
    ("disk-read-only", |host| {
        let mounts = "/dev/vda1 / ext4 rw 0 0\nbpf /sys/fs/bpf bpf rw 0 0\n\
                      /dev/vdb1 /var/lib/privatelink ext4 ro,relatime 0 0";
        host.write("proc/mounts", mounts);
    }),
    ("disk-full", |host| host.room.free = 1 << 20),
    ("disk-files", |host| host.room.files = 3),
    ("flow-log-missing", |host| host.remove("var/log/privatelink")),
    ("bpffs", |host| host.write("proc/mounts", "/dev/vda1 / ext4 rw 0 0")),
    ("bpffs-read-only", |host| {
        host.write("proc/mounts", "/dev/vda1 / ext4 rw 0 0\nbpf /sys/fs/bpf bpf ro 0 0");
    }),
    ("pins-foreign", |host| host.write("sys/fs/bpf/privatelink/cilium_lxc", "")),
    ("port-53", |host| {
        let socket = "  sl  local_address rem_address st\n 1: 00000000:0035 00000000:0000 07";
        host.write("proc/net/udp", socket);
    }),
    ("resolver", |host| host.write("etc/resolv.conf", "search example.com")),
    ("certificate-missing", |host| host.remove("etc/privatelink/api.pem")),
    ("certificate-broken", |host| host.write("etc/privatelink/api.pem", "x")),
    ("certificate-expired", |host| host.now += 40 * 86_400),
    ("certificate-ends", |host| host.now += 20 * 86_400),
    ("secret-missing", |host| host.remove("etc/privatelink/api.key")),
    ("secret-open", |host| host.chmod("etc/privatelink/metrics.token", 0o644)),
];

#[test]
fn each_planted_fault_is_found_and_no_other() {
    let mut known = BTreeSet::new();
    for (check, plant) in FAULTS {
        let mut host = Planted::healthy();
        plant(&mut host);
        let found = host.examine();
        let names: BTreeSet<&str> = found.iter().map(|finding| finding.check).collect();
        assert_eq!(names, BTreeSet::from([*check]), "{found:#?}");
        for finding in &found {
            assert!(finding.detail.len() > 20 && finding.remedy.len() > 10, "{finding:?}");
            assert!(!finding.detail.ends_with('.') && !finding.remedy.ends_with('.'));
        }
        assert!(known.insert(*check), "{check} is planted twice");
    }
    assert!(known.len() >= 25);
    let page = include_str!("../../../docs/doctor.md");
    let is_missing = |check: &&&str| !page.contains(&format!("`{check}`"));
    let missing: Vec<_> = known.iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "docs/doctor.md lacks {missing:?}");
}

#[test]
fn without_a_configuration_the_kernel_and_the_clock_are_looked_at() {
    let host = Planted::healthy();
    let view = |now| HostView::below(host.root.path(), now);
    assert_eq!(examine(&view(NOW), None), []);
    host.write("proc/sys/net/core/bpf_jit_enable", "0");
    let found = examine(&view(7), None);
    let names: Vec<&str> = found.iter().map(|finding| finding.check).collect();
    assert_eq!(names, ["clock-past", "bpf-jit"], "errors come first");
}

/// A network namespace whose `/sys` is that of the host.
#[test]
fn interfaces_of_another_namespace_are_not_looked_at() {
    let host = Planted::healthy();
    host.write("sys/class/net/eth1/flags", "0x1002");
    host.write("sys/class/net/eth9/flags", "0x1003");
    assert_eq!(host.examine(), []);
}

/// Packets of clients on a VLAN go back to where they come from.
#[test]
fn a_vlan_of_clients_needs_no_interface_of_its_own() {
    let mut host = Planted::healthy();
    host.configure("interface = \"eth1\"", "interface = \"eth1\"\nvlan = 9");
    assert_eq!(host.examine(), []);
}

/// What is not there, as in a container, is no fault, but for what every gateway needs.
#[test]
fn a_host_without_files_does_not_panic() {
    let empty = tempfile::tempdir().unwrap();
    let model = config::from_text("gateway.toml", CONFIG).unwrap().model;
    let found = examine(&HostView::below(Path::new(empty.path()), NOW), Some(&model));
    assert!(found.iter().any(|finding| finding.check == "bpffs"), "{found:?}");
}
