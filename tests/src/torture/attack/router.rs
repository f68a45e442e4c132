//! Messages by which a router would change the gateway's host.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::{Generator, addresses::address};
use crate::{
    packet::{Given, Packet, neighbour},
    torture::scene::{OWN, SERVER},
};

/// Prefix option: on-link, for addresses, for ever.
const PREFIX: [u8; 16] =
    [3, 4, 64, 0xc0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

impl Generator {
    /// A router advertisement with preference "high" and a prefix, or a redirect.
    pub(super) fn router(&mut self, tenant: usize) -> Vec<u8> {
        let [own, gateway] = self.macs[tenant];
        let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xbad);
        let at = |address: IpAddr| SocketAddr::new(address, 0);
        match self.noise.below(3) {
            0 => {
                let to = at(neighbour::ALL_NODES.into());
                // Hop limit 64, preference high, a lifetime of 1,800 seconds.
                let mut content = [0u8; 8].to_vec();
                let prefix =
                    Ipv6Addr::new(0xfd00, 0xbad, 0, self.noise.below(4) as u16, 0, 0, 0, 0);
                content.extend(PREFIX);
                content.extend(prefix.octets());
                content.extend([1, 1]);
                content.extend(own);
                Packet::icmp(at(link_local.into()), to, (134, 0), 0x4008_0708)
                    .payload(&content)
                    .ttl(255)
                    .between(own, neighbour::ALL_NODES_MAC)
                    .build(&Given::default())
            }
            1 => {
                let to = address(&OWN[usize::from(tenant == super::PROVIDER)], true);
                let mut content = link_local.octets().to_vec();
                if let IpAddr::V6(server) = address(&SERVER, true) {
                    content.extend(server.octets());
                }
                Packet::icmp(at(link_local.into()), at(to), (137, 0), 0)
                    .payload(&content)
                    .ttl(255)
                    .between(own, gateway)
                    .build(&Given::default())
            }
            _ => {
                let to = address(&OWN[usize::from(tenant == super::PROVIDER)], false);
                let quote = Packet::udp(
                    SocketAddr::new(to, 9),
                    SocketAddr::new(address(&SERVER, false), 9),
                );
                let from = self.client(tenant, false);
                Packet::icmp(at(from), at(to), (5, 1), 0x0a01_0002)
                    .about(quote, 28)
                    .between(own, gateway)
                    .build(&Given::default())
            }
        }
    }
}
