//! The interfaces of networks, as `/sys` and `/proc` show them.

use std::collections::BTreeSet;

use super::{Finding, HostView};
use crate::model::{AttachMode, Model, Network};

/// What `type` says of an Ethernet interface.
const ETHERNET: i64 = 1;
/// The bit of `flags` of an interface that is up.
const UP: i64 = 1;
/// The smallest MTU of an interface that carries IPv6.
const LEAST_MTU: i64 = 1_280;
/// The largest with which drivers keep a frame in one page, as native XDP needs it as a rule.
const ONE_PAGE: i64 = 3_498;

/// Looks at the interface of each network.
pub fn examine(host: &HostView, model: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    let present = present(host);
    let mut shown: Vec<String> = host.list("/sys/class/net");
    shown.retain(|name| name != "bonding_masters");
    // In another network namespace `/sys` may still show the interfaces of the host's.
    let is_shown = shown.into_iter().collect::<BTreeSet<_>>() == present;
    for network in model.networks().values() {
        let interface = network.attachment.interface.as_str();
        let sys = format!("/sys/class/net/{interface}");
        if !present.contains(interface) {
            found.push(Finding::error(
                "interface-missing",
                format!("network {}: there is no interface {interface}", network.name),
                format!("create it, or correct `interface` of network {}", network.name),
            ));
            continue;
        }
        if is_shown {
            found.extend(link(host, network, &sys));
            found.extend(carrying(host, network, &sys));
        }
        // Only next hops to targets are looked up by the host's stack.
        if model.services().values().any(|service| service.network == network.name) {
            found.extend(vlan(host, network));
        }
        found.extend(stack(host, network));
    }
    found.extend(neighbours(host, model));
    found
}

/// The interfaces of this network namespace.
fn present(host: &HostView) -> BTreeSet<String> {
    let text = host.text("/proc/net/dev").unwrap_or_default();
    let names = text.lines().filter_map(|line| line.split_once(':'));
    names.map(|(name, _)| name.trim().to_owned()).collect()
}

/// Whether frames come and go.
fn link(host: &HostView, network: &Network, sys: &str) -> Vec<Finding> {
    let (name, interface) = (&network.name, network.attachment.interface.as_str());
    let mut found = Vec::new();
    if host.number(format!("{sys}/type")).is_some_and(|kind| kind != ETHERNET) {
        found.push(Finding::error(
            "interface-ethernet",
            format!("network {name}: {interface} is not an Ethernet interface"),
            format!("give network {name} an Ethernet interface"),
        ));
    }
    let flags = host.text(format!("{sys}/flags"));
    let flags = flags.and_then(|text| i64::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    if flags.is_some_and(|flags| flags & UP == 0) {
        found.push(Finding::error(
            "interface-down",
            format!("network {name}: {interface} is down"),
            format!("run `ip link set {interface} up`"),
        ));
    } else if host.number(format!("{sys}/carrier")) == Some(0) {
        found.push(Finding::error(
            "interface-carrier",
            format!("network {name}: {interface} has no carrier"),
            "connect the cable, or start what is at the other end",
        ));
    }
    let Some(mtu) = host.number(format!("{sys}/mtu")) else { return found };
    if mtu < LEAST_MTU {
        found.push(Finding::error(
            "interface-mtu",
            format!("network {name}: {interface} carries {mtu} bytes, less than IPv6 needs"),
            format!("run `ip link set {interface} mtu 1500`"),
        ));
    }
    if mtu > ONE_PAGE && network.mode == AttachMode::Native {
        found.push(Finding::warning(
            "interface-jumbo",
            format!("network {name}: many drivers refuse native XDP at an MTU of {mtu}"),
            format!("run `ip link set {interface} mtu {ONE_PAGE}`, or set `mode = \"tc\"`"),
        ));
    }
    for (counter, what) in [
        ("rx_crc_errors", "frames were damaged on the cable"),
        ("rx_missed_errors", "frames were lost, because the card had no buffers"),
    ] {
        let path = format!("{sys}/statistics/{counter}");
        if let Some(count) = host.number(path).filter(|count| *count > 0) {
            found.push(Finding::warning(
                "interface-errors",
                format!("network {name}: {count} {what} at {interface} since the boot"),
                format!(
                    "run `ethtool -S {interface}`; for buffers, `ethtool -G {interface} rx 4096`"
                ),
            ));
        }
    }
    found
}

fn vlan(host: &HostView, network: &Network) -> Option<Finding> {
    let (id, interface) = (network.attachment.vlan.as_ref()?, &network.attachment.interface);
    let known = host.text("/proc/net/vlan/config").unwrap_or_default();
    let is_known = known.lines().any(|line| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        cells.next() == Some(id.to_string().as_str()) && cells.next() == Some(interface.as_str())
    });
    (!is_known).then(|| {
        Finding::error(
            "interface-vlan",
            format!(
                "network {}: the host has no interface for vlan {id} of {interface}",
                network.name
            ),
            format!("run `ip link add link {interface} name {interface}.{id} type vlan id {id}`"),
        )
    })
}

/// Whether another part of the kernel takes the frames, and how many processors do the work.
fn carrying(host: &HostView, network: &Network, sys: &str) -> Vec<Finding> {
    let (name, interface) = (&network.name, network.attachment.interface.as_str());
    let mut found = Vec::new();
    if host.exists(format!("{sys}/master")) {
        found.push(Finding::error(
            "interface-port",
            format!("network {name}: {interface} is a port of a bridge or a bond, which takes its frames"),
            format!("name the bridge or bond as `interface`, or run `ip link set {interface} nomaster`"),
        ));
    }
    let is_software = !host.exists(format!("{sys}/device"));
    if is_software && network.mode == AttachMode::Native {
        found.push(Finding::warning(
            "interface-native",
            format!("network {name}: {interface} is made in software, and is not served well by native XDP"),
            format!("leave out `mode` of network {name}: \"auto\" takes tc"),
        ));
    }
    let queues = host.list(format!("{sys}/queues"));
    let queues = queues.iter().filter(|queue| queue.starts_with("rx-")).count();
    let processors = host
        .list("/sys/devices/system/cpu")
        .into_iter()
        .filter(|cpu| cpu.strip_prefix("cpu").is_some_and(|number| number.parse::<u32>().is_ok()));
    let processors = processors.count();
    if !is_software && queues == 1 && processors > 1 {
        found.push(Finding::warning(
            "interface-queues",
            format!(
                "network {name}: one of {processors} processors takes all packets of {interface}"
            ),
            format!("run `ethtool -L {interface} combined {processors}`"),
        ));
    }
    found
}

/// What the host's own stack does on the interface.
fn stack(host: &HostView, network: &Network) -> Vec<Finding> {
    let (name, interface) = (&network.name, network.attachment.interface.as_str());
    let setting = |family: &str, key: &str| {
        host.number(format!("/proc/sys/net/{family}/conf/{interface}/{key}"))
    };
    let mut found = Vec::new();
    let has_v6 = network.subnets.iter().any(|subnet| subnet.addr().is_ipv6());
    if has_v6 && setting("ipv6", "disable_ipv6") == Some(1) {
        found.push(Finding::error(
            "ipv6-off",
            format!(
                "network {name} has IPv6, which is off on {interface}: its next hops are not found"
            ),
            format!("run `sysctl -w net.ipv6.conf.{interface}.disable_ipv6=0`"),
        ));
    }
    if !network.opens_host() {
        return found;
    }
    for (family, check) in [("ipv4", "forwarding-v4"), ("ipv6", "forwarding-v6")] {
        if setting(family, "forwarding").is_some_and(|value| value != 0) {
            found.push(Finding::warning(
                check,
                format!(
                    "network {name} has `host = \"all\"`, and the host carries its {family} packets \
                     into other networks"
                ),
                format!("run `sysctl -w net.{family}.conf.{interface}.forwarding=0`"),
            ));
        }
    }
    let strict =
        setting("ipv4", "rp_filter").max(host.number("/proc/sys/net/ipv4/conf/all/rp_filter"));
    if strict.is_some_and(|value| value != 1) {
        found.push(Finding::warning(
            "rp-filter",
            format!("network {name} has `host = \"all\"`, and its hosts may forge senders of other networks"),
            format!("run `sysctl -w net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.{interface}.rp_filter=1`"),
        ));
    }
    found
}

/// Whether the kernel's tables take the next hops of all targets.
fn neighbours(host: &HostView, model: &Model) -> Vec<Finding> {
    let targets: usize = model.services().values().map(|service| service.targets.len()).sum();
    let mut found = Vec::new();
    for family in ["ipv4", "ipv6"] {
        let key = format!("net.{family}.neigh.default.gc_thresh3");
        let most = host.number(format!("/proc/sys/{}", key.replace('.', "/")));
        let wanted = i64::try_from(2 * targets).unwrap_or(i64::MAX);
        if let Some(most) = most.filter(|most| *most < wanted) {
            found.push(Finding::error(
                "neighbours",
                format!(
                    "the kernel keeps {most} neighbours ({key}), and there are {targets} targets"
                ),
                format!("run `sysctl -w {key}={}`", wanted.max(1_024)),
            ));
        }
    }
    found
}
