//! Announces the gateway's addresses to a network.
//!
//! Hosts resolve an address once, and then remember the Ethernet address for as long as it seems
//! to work. So when an address is first served, or its interface has another Ethernet address than
//! before, the gateway announces it to all hosts on the link: by an ARP announcement (RFC 5227),
//! or by an unsolicited neighbour advertisement (RFC 4861).

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use etherparse::PacketBuilder;
use privatelink_common::Mac;

use crate::{datapath::tables::MapTables, host::HostFacts};

/// Length of both addresses of an Ethernet header; a tag follows them.
const MACS: usize = 12;
/// EtherType of a tagged frame.
const TAGGED: [u8; 2] = [0x81, 0];
const BROADCAST: Mac = [0xff; 6];
/// The group of all nodes on a link, and its Ethernet address.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];
/// Hosts ignore a neighbour message with another hop limit: it may come from beyond the link.
const ON_LINK: u8 = 255;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// The override flag: hosts replace the address that they know.
const OVERRIDE: [u8; 4] = [0x20, 0, 0, 0];
/// The option with the sender's Ethernet address, and its length in units of eight bytes.
const TARGET_LINK_ADDRESS: [u8; 2] = [2, 1];

/// Where the gateway's addresses are: Ethernet addresses by interface, VLAN (zero is none), and
/// address.
pub type ServedAddresses = BTreeMap<(u32, u16, IpAddr), Mac>;

/// The addresses that these maps serve, on interfaces that are up.
pub fn served_addresses(tables: &MapTables, facts: &HostFacts) -> ServedAddresses {
    let is_up = |ifindex: &u32| facts.link_at(*ifindex).is_some_and(|link| link.up);
    // The map holds the index + 1, because an absent entry of an array reads as 0.
    let untagged = tables
        .attachments
        .iter()
        .filter_map(|(ifindex, network)| Some((network.checked_sub(1)?, (*ifindex, 0))));
    let tagged =
        tables.tagged.iter().map(|(key, network)| (*network, (key.ifindex, key.vlan as u16)));
    let attachments: BTreeMap<u32, (u32, u16)> =
        untagged.chain(tagged).filter(|(_, (ifindex, _))| is_up(ifindex)).collect();
    let served = tables.locals.iter().filter(|(_, local)| local.is_served());
    let locals = served.filter_map(|(key, local)| {
        let (ifindex, vlan) = attachments.get(&key.network)?;
        Some(((*ifindex, *vlan, key.address.to_ip()), local.mac))
    });
    locals.collect()
}

/// The frame that announces an address, tagged unless `vlan` is zero.
pub fn frame(mac: Mac, vlan: u16, address: IpAddr) -> Vec<u8> {
    let frame = match address {
        IpAddr::V4(v4) => arp(mac, v4, v4),
        IpAddr::V6(v6) => advertisement(mac, v6),
    };
    tagged(vlan, frame)
}

/// The frame that asks whether another host has an address: an ARP probe (RFC 5227), or the
/// solicitation of duplicate address detection (RFC 4862).
pub fn probe(mac: Mac, vlan: u16, address: IpAddr) -> Vec<u8> {
    let frame = match address {
        IpAddr::V4(v4) => arp(mac, Ipv4Addr::UNSPECIFIED, v4),
        IpAddr::V6(v6) => solicitation(mac, v6),
    };
    tagged(vlan, frame)
}

fn tagged(vlan: u16, mut frame: Vec<u8>) -> Vec<u8> {
    if vlan != 0 {
        let [high, low] = vlan.to_be_bytes();
        frame.splice(MACS..MACS, [TAGGED[0], TAGGED[1], high, low]);
    }
    frame
}

fn arp(mac: Mac, sender: Ipv4Addr, address: Ipv4Addr) -> Vec<u8> {
    let (sender, asked) = (sender.octets(), address.octets());
    // Ethernet, IPv4, their lengths, and a request.
    let kind = [0, 1, 8, 0, 6, 4, 0, 1];
    let type_of_frame = [8, 6];
    [&BROADCAST[..], &mac, &type_of_frame, &kind, &mac, &sender, &[0; 6], &asked].concat()
}

fn solicitation(mac: Mac, address: Ipv6Addr) -> Vec<u8> {
    let [.., high, middle, low] = address.octets();
    let group = Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        0xff00 | u16::from(high),
        u16::from_be_bytes([middle, low]),
    );
    let mut frame = Vec::with_capacity(78);
    let packet = PacketBuilder::ethernet2(mac, [0x33, 0x33, 0xff, high, middle, low])
        .ipv6([0; 16], group.octets(), ON_LINK)
        .icmpv6_raw(NEIGHBOUR_SOLICITATION, 0, [0; 4]);
    // Writing to a vector cannot fail.
    let _ = packet.write(&mut frame, &address.octets());
    frame
}

fn advertisement(mac: Mac, address: Ipv6Addr) -> Vec<u8> {
    let payload = [&address.octets()[..], &TARGET_LINK_ADDRESS, &mac].concat();
    let mut frame = Vec::with_capacity(86);
    let packet = PacketBuilder::ethernet2(mac, ALL_NODES_MAC)
        .ipv6(address.octets(), ALL_NODES.octets(), ON_LINK)
        .icmpv6_raw(NEIGHBOUR_ADVERTISEMENT, 0, OVERRIDE);
    // Writing to a vector cannot fail.
    let _ = packet.write(&mut frame, &payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Link;
    use etherparse::{Icmpv6Type, NetSlice, SlicedPacket, TransportSlice};
    use privatelink_common::{Local, LocalKey, LocalKind, TagKey};

    const MAC: Mac = [2, 0, 0, 0, 0, 9];

    #[test]
    fn an_arp_announcement_asks_for_the_senders_own_address() {
        let frame = frame(MAC, 0, "10.1.0.50".parse().unwrap());
        let packet = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(NetSlice::Arp(arp)) = packet.net else { panic!("{packet:?}") };
        assert_eq!(arp.operation(), etherparse::ArpOperation::REQUEST);
        assert_eq!(
            (arp.sender_hw_addr(), arp.sender_protocol_addr()),
            (&MAC[..], &[10, 1, 0, 50][..])
        );
        assert_eq!(arp.target_protocol_addr(), [10, 1, 0, 50]);
    }

    #[test]
    fn an_advertisement_overrides_what_all_nodes_knew() {
        let address: Ipv6Addr = "fd00:1::50".parse().unwrap();
        let frame = frame(MAC, 101, address.into());
        let packet = SlicedPacket::from_ethernet(&frame).unwrap();
        assert_eq!(packet.vlan_ids()[..], [etherparse::VlanId::try_new(101).unwrap()]);
        let Some(NetSlice::Ipv6(ip)) = &packet.net else { panic!("{packet:?}") };
        assert_eq!((ip.header().destination_addr(), ip.header().hop_limit()), (ALL_NODES, 255));
        let Some(TransportSlice::Icmpv6(icmp)) = packet.transport else { panic!("no ICMPv6") };
        assert!(icmp.is_checksum_valid(address.octets(), ALL_NODES.octets()));
        let Icmpv6Type::NeighborAdvertisement(flags) = icmp.icmp_type() else { panic!("{icmp:?}") };
        assert!(flags.r#override && !flags.solicited && !flags.router);
        assert_eq!(icmp.payload(), [&address.octets()[..], &[2, 1], &MAC].concat());
    }

    #[test]
    fn addresses_are_told_of_where_the_link_is_up() {
        let mut tables = MapTables::default();
        tables.attachments.extend([(3, 1), (4, 2)]);
        tables.tagged.insert(TagKey { ifindex: 3, vlan: 7 }, 2);
        for network in [0, 1, 2] {
            let address: IpAddr = "10.1.0.50".parse().unwrap();
            let kind = LocalKind::Endpoint as u32;
            let local = Local { kind, mac: MAC, ..Local::default() };
            tables.locals.insert(LocalKey { network, address: address.into() }, local);
        }
        let mut facts = HostFacts::default();
        let link = |index, up| Link {
            index,
            name: format!("eth{index}"),
            mac: Some(MAC),
            mtu: 1500,
            up,
            allmulti: true,
            tag: None,
        };
        facts.insert_link(link(3, true));
        facts.insert_link(link(4, false));
        let address = "10.1.0.50".parse().unwrap();
        let expected = [((3, 0, address), MAC), ((3, 7, address), MAC)];
        assert_eq!(served_addresses(&tables, &facts).into_iter().collect::<Vec<_>>(), expected);
    }
}
