//! Addresses that hosts can have, and name servers.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::{
    decode::OneOrMore,
    diagnostic::{Fault, Report},
    source::{Located, Location},
};

/// Whether a host can have this address; if not, reports why.
pub(super) fn is_host(address: IpAddr, at: Location, report: &mut Report) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    let wrong = if address.is_unspecified() {
        "the unspecified address"
    } else if address.is_loopback() {
        "a loopback address"
    } else if address.is_multicast() || broadcast {
        "a multicast or broadcast address"
    } else {
        return true;
    };
    report.push(
        Fault::new(format!("`{address}` is {wrong}"))
            .at(at)
            .help("use an address that a host in the network can have"),
    );
    false
}

/// The network and broadcast address of an IPv4 subnet, which no host can have.
pub(super) fn reserved(subnet: IpNet) -> Option<[IpAddr; 2]> {
    let shared = matches!(subnet, IpNet::V4(v4) if v4.prefix_len() <= 30);
    shared.then(|| [subnet.network(), subnet.broadcast()])
}

/// Subnets separated by commas, for a message.
pub(super) fn list(subnets: &[IpNet]) -> String {
    subnets.iter().map(IpNet::to_string).collect::<Vec<_>>().join(", ")
}

/// The name servers of a list; none if there is no list.
pub(super) fn resolvers(raw: Option<Located<OneOrMore<IpAddr>>>) -> Vec<IpAddr> {
    raw.into_iter().flat_map(|list| list.value.0).map(|server| server.value).collect()
}
