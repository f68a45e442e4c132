//! What reaches the host's stack from a network, and who may be a sender there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use privatelink_common::{Addr, Local, LocalKey, LocalKind, Mac, SenderKey, host};

use crate::{datapath::tables::MapTables, model::Network};

/// Where the addresses of one link are.
const LINK_LOCAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);

/// Puts the entries of a network that is attached by an interface with this Ethernet address, and at
/// which the host has these addresses.
pub(super) fn put(
    tables: &mut MapTables,
    network: &Network,
    index: u32,
    interface: Mac,
    own: impl Iterator<Item = IpAddr>,
) {
    let all = if network.opens_host() { host::ALL } else { 0 };
    let names = if network.dns { host::NAMES } else { 0 };
    tables.networks.insert(index, all | names);
    let ranges = network.subnets.iter().copied().chain([LINK_LOCAL.into()]);
    tables.senders.extend(ranges.map(|range| (sender(index, range), 1)));
    let mut put = |address: IpAddr, kind, mac| {
        let key = LocalKey { network: index, address: address.into() };
        // An endpoint's or a source address replaces it.
        tables.locals.insert(key, Local { kind: kind as u32, mac, ..Local::default() });
    };
    for address in network.subnets.iter().flat_map(|subnet| of_no_host(*subnet)) {
        put(address, LocalKind::Broadcast, [0; 6]);
    }
    // The interface's own Ethernet address, whatever addresses it has.
    put(Ipv4Addr::UNSPECIFIED.into(), LocalKind::Host, interface);
    for address in own {
        put(address, LocalKind::Host, interface);
    }
}

/// The addresses of a subnet that no host has: the first one, which is the network's own or that of
/// any of its routers, and in IPv4 the last one, which is that of all hosts. Where a subnet has only
/// two addresses, both are hosts' (RFC 3021, RFC 6164).
fn of_no_host(subnet: IpNet) -> impl Iterator<Item = IpAddr> {
    let has_any = subnet.prefix_len() + 1 < subnet.max_prefix_len();
    let last = subnet.addr().is_ipv4().then(|| subnet.broadcast());
    [Some(subnet.network()), last].into_iter().flatten().filter(move |_| has_any)
}

fn sender(network: u32, range: IpNet) -> SenderKey {
    // An IPv4 address is the end of an IPv6 one.
    let before = if range.addr().is_ipv4() { 96 } else { 0 };
    let length = SenderKey::NETWORK_BITS + before + u32::from(range.prefix_len());
    SenderKey { length, network, address: Addr::from(range.network()) }
}
