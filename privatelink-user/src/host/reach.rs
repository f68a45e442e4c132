//! By which interfaces the host is reached, and reaches others: what a network that keeps its
//! packets from the host would cut.

use std::{
    collections::BTreeSet,
    fmt, fs,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use nix::ifaddrs::getifaddrs;

use crate::model::Attachment;

/// What would be cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The host's way to everything that it has no other route to.
    DefaultRoute,
    /// A connection to a program that listens on the host.
    Login {
        /// The host's end.
        local: SocketAddr,
        /// The other end.
        peer: SocketAddr,
    },
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DefaultRoute => f.write_str("the host's default route leads through it"),
            Self::Login { local, peer } => {
                write!(f, "{peer} is connected to the host's {local} through it")
            }
        }
    }
}

/// What the host would lose at an attachment, if anything; connections to ports that `is_ours`
/// knows do not count.
///
/// Where there is no such interface, or the host does not tell, there is nothing.
pub fn reach(attachment: &Attachment, is_ours: impl Fn(u16) -> bool) -> Option<Reach> {
    let interface = stack(attachment)?;
    if has_default_v4(&table("route"), &interface)
        || has_default_v6(&table("ipv6_route"), &interface)
    {
        return Some(Reach::DefaultRoute);
    }
    let own = own_addresses(&interface);
    let sockets = sockets(&table("tcp")).chain(sockets(&table("tcp6"))).collect::<Vec<_>>();
    login(&sockets, &own, is_ours)
}

/// The name of the interface that the host's own stack uses at an attachment.
fn stack(attachment: &Attachment) -> Option<String> {
    match &attachment.vlan {
        None => Some(attachment.interface.to_string()),
        Some(vlan) => {
            vlan_interface(&table("vlan/config"), attachment.interface.as_str(), vlan.get())
        }
    }
}

/// The host's own addresses at an attachment; `None` if the host has no such interface.
pub fn addresses_at(attachment: &Attachment) -> Option<BTreeSet<IpAddr>> {
    let mut all = getifaddrs().ok()?;
    let name = attachment.interface.as_str();
    all.any(|one| one.interface_name == name)
        .then(|| stack(attachment).map(|name| own_addresses(&name)).unwrap_or_default())
}

/// One of the kernel's tables of this network namespace; empty where it has none.
fn table(name: &str) -> String {
    fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default()
}

/// The interface of a VLAN.
fn vlan_interface(table: &str, parent: &str, vlan: u32) -> Option<String> {
    table.lines().find_map(|line| {
        let mut fields = line.split('|').map(str::trim);
        let (name, number, of) = (fields.next()?, fields.next()?, fields.next()?);
        (of == parent && number.parse() == Ok(vlan)).then(|| name.to_owned())
    })
}

/// A route that refuses packets.
const REJECT: u32 = 0x200;

fn has_default_v4(table: &str, interface: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [name, destination, _, flags, _, _, _, mask, ..] = fields[..] else { return false };
        let refuses = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & REJECT != 0);
        name == interface && destination == "00000000" && mask == "00000000" && !refuses
    })
}

fn has_default_v6(table: &str, interface: &str) -> bool {
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [destination, length, _, _, _, _, _, _, flags, name] = fields[..] else { return false };
        let refuses = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & REJECT != 0);
        let all = length == "00" && destination.bytes().all(|digit| digit == b'0');
        name == interface && all && !refuses
    })
}

fn own_addresses(interface: &str) -> BTreeSet<IpAddr> {
    let Ok(all) = getifaddrs() else { return BTreeSet::new() };
    let of = all.filter(|one| one.interface_name == interface);
    of.filter_map(|one| {
        let address = one.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    })
    .collect()
}

/// A TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    local: SocketAddr,
    peer: SocketAddr,
    state: u8,
}

const ESTABLISHED: u8 = 1;
const LISTEN: u8 = 10;

fn sockets(table: &str) -> impl Iterator<Item = Socket> {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, peer) = (end(fields.next()?)?, end(fields.next()?)?);
        let state = u8::from_str_radix(fields.next()?, 16).ok()?;
        Some(Socket { local, peer, state })
    })
}

/// An end of a socket: words of the address as the machine has them, and the port.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for word in address.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let address = match (<[u8; 4]>::try_from(&bytes[..]), <[u8; 16]>::try_from(&bytes[..])) {
        (Ok(v4), _) => IpAddr::from(v4),
        (_, Ok(v6)) => Ipv6Addr::from(v6).to_canonical(),
        (Err(_), Err(_)) => return None,
    };
    Some(SocketAddr::new(address, port))
}

fn login(
    sockets: &[Socket],
    own: &BTreeSet<IpAddr>,
    is_ours: impl Fn(u16) -> bool,
) -> Option<Reach> {
    let listening = sockets.iter().filter(|socket| socket.state == LISTEN);
    let ports: BTreeSet<u16> = listening.map(|socket| socket.local.port()).collect();
    let found = sockets.iter().find(|socket| {
        let Socket { local, peer, state } = socket;
        *state == ESTABLISHED
            && own.contains(&local.ip())
            && !own.contains(&peer.ip())
            && ports.contains(&local.port())
            && !is_ours(local.port())
    });
    found.map(|socket| Reach::Login { local: socket.local, peer: socket.peer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes_are_found_by_interface() {
        let v4 = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth1\t0000010A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
            eth2\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n";
        assert!(has_default_v4(v4, "eth0"));
        assert!(!has_default_v4(v4, "eth1") && !has_default_v4(v4, "eth2"));
        let none = "00000000000000000000000000000000";
        let v6 = format!(
            "{none} 00 {none} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n\
             {none} 00 {none} 00 {none} ffffffff 00000001 00000000 00200200 lo\n\
             fd000000000000000000000000000000 40 {none} 00 {none} 00000100 00000001 00000000 00000001 eth1\n"
        );
        assert!(has_default_v6(&v6, "eth0"));
        assert!(!has_default_v6(&v6, "lo") && !has_default_v6(&v6, "eth1"));
    }

    #[test]
    fn a_vlans_interface_is_found_by_its_parent() {
        let table = "VLAN Dev name\t | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\n\
            eth0.7         | 7  | eth0\nblue           | 8  | eth0\n";
        assert_eq!(vlan_interface(table, "eth0", 8).as_deref(), Some("blue"));
        assert_eq!(vlan_interface(table, "eth1", 8), None);
    }

    #[test]
    fn a_login_is_a_connection_to_a_port_that_somebody_listens_on() {
        let word = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
        let own = word([10, 1, 0, 1]);
        let peer = word([10, 1, 0, 9]);
        let mapped = format!("{}{}{}{own}", word([0; 4]), word([0; 4]), word([0, 0, 255, 255]));
        let mapped_peer = mapped.replace(&own, &peer);
        let v4 = format!(
            "  sl  local_address rem_address   st\n\
             0: 00000000:0016 00000000:0000 0A\n\
             1: {own}:C000 {peer}:0050 01\n"
        );
        let v6 = format!("  sl  local_address\n 0: {mapped}:0016 {mapped_peer}:D431 01 0:0\n");
        let addresses = BTreeSet::from([IpAddr::from([10, 1, 0, 1])]);
        let outward: Vec<_> = sockets(&v4).collect();
        assert_eq!(outward.len(), 2);
        assert_eq!(login(&outward, &addresses, |_| false), None, "it only connects to others");
        let all: Vec<_> = sockets(&v4).chain(sockets(&v6)).collect();
        let found = login(&all, &addresses, |_| false).unwrap().to_string();
        assert_eq!(found, "10.1.0.9:54321 is connected to the host's 10.1.0.1:22 through it");
        assert_eq!(login(&all, &addresses, |port| port == 22), None);
        assert_eq!(login(&all, &BTreeSet::new(), |_| false), None, "by another interface");
    }
}
