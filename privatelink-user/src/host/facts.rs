//! Interfaces and neighbours as plain data, kept up to date message by message.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
};
use privatelink_common::Mac;

use crate::model::Attachment;

/// What the daemon knows about its host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    links: BTreeMap<u32, Link>,
    /// Kinds of interfaces that the kernel makes in software, such as `veth`, by index.
    kinds: BTreeMap<u32, String>,
    neighbours: BTreeMap<(u32, IpAddr), Neighbour>,
    own: BTreeSet<(u32, IpAddr)>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index, which the kernel does not change while the interface exists.
    pub index: u32,
    /// Its name, which an operator may change.
    pub name: String,
    /// Its Ethernet address; `None` if it is no Ethernet interface.
    pub mac: Option<Mac>,
    /// The largest IP packet that it carries.
    pub mtu: u32,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether it accepts every multicast frame.
    pub allmulti: bool,
    /// For a VLAN interface, the index of the parent and the VLAN.
    pub tag: Option<(u32, u32)>,
}

/// What the kernel knows about a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its Ethernet address, which frames to it carry.
    pub mac: Mac,
    /// Whether an operator set it as permanent, so that the kernel does not resolve it.
    pub fixed: bool,
}

impl HostFacts {
    /// The interface of this name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    /// The interface of this index.
    pub fn link_at(&self, index: u32) -> Option<&Link> {
        self.links.get(&index)
    }

    /// The kind of an interface that the kernel makes in software, such as `veth`.
    pub fn kind(&self, index: u32) -> Option<&str> {
        self.kinds.get(&index).map(String::as_str)
    }

    /// Notes the kind of an interface.
    pub fn insert_kind(&mut self, index: u32, kind: String) {
        self.kinds.insert(index, kind);
    }

    /// The interface that the host's own stack uses in a network: that of the attachment, or the
    /// VLAN interface on it.
    pub fn stack(&self, attachment: &Attachment) -> Option<&Link> {
        let link = self.link(attachment.interface.as_str())?;
        self.stack_of(link.index, attachment.vlan.as_ref().map_or(0, |vlan| vlan.get()))
    }

    /// The same of an interface by its index, and a VLAN; zero is none.
    pub fn stack_of(&self, index: u32, vlan: u32) -> Option<&Link> {
        match vlan {
            0 => self.link_at(index),
            vlan => self.links.values().find(|found| found.tag == Some((index, vlan))),
        }
    }

    /// The neighbour with this address, if its Ethernet address is known.
    pub fn neighbour(&self, ifindex: u32, address: IpAddr) -> Option<Neighbour> {
        self.neighbours.get(&(ifindex, address)).copied()
    }

    /// The host's own addresses on an interface.
    pub fn own_addresses(&self, ifindex: u32) -> impl Iterator<Item = IpAddr> {
        self.own.iter().filter(move |(index, _)| *index == ifindex).map(|(_, address)| *address)
    }

    /// The indices of the interfaces on which the host has an address.
    pub fn interfaces_with(&self, address: IpAddr) -> impl Iterator<Item = u32> {
        self.own.iter().filter(move |(_, own)| *own == address).map(|(index, _)| *index)
    }

    /// Adds one of the host's own addresses.
    pub fn insert_own_address(&mut self, ifindex: u32, address: IpAddr) -> bool {
        self.own.insert((ifindex, address))
    }

    /// Adds or replaces an interface.
    pub fn insert_link(&mut self, link: Link) -> bool {
        let index = link.index;
        self.links.insert(index, link.clone()) != Some(link)
    }

    /// Adds or replaces a neighbour.
    pub fn insert_neighbour(
        &mut self,
        ifindex: u32,
        address: IpAddr,
        neighbour: Neighbour,
    ) -> bool {
        self.neighbours.insert((ifindex, address), neighbour) != Some(neighbour)
    }

    /// Applies one message of the kernel; returns whether it changed anything.
    pub fn apply(&mut self, message: &RouteNetlinkMessage) -> bool {
        // Messages of all other kinds change nothing here.
        #[expect(clippy::wildcard_enum_match_arm, reason = "six kinds of fifty matter here")]
        match message {
            RouteNetlinkMessage::NewLink(link) => {
                if let Some(kind) = kind(link) {
                    self.insert_kind(link.header.index, kind);
                }
                read_link(link).is_some_and(|link| self.insert_link(link))
            }
            // A port that leaves its bridge causes a message of the bridge family, and still exists.
            RouteNetlinkMessage::DelLink(link) => {
                link.header.interface_family != AddressFamily::Bridge
                    && self.remove_link(link.header.index)
            }
            RouteNetlinkMessage::NewAddress(message) => {
                own_address(message).is_some_and(|own| self.own.insert(own))
            }
            RouteNetlinkMessage::DelAddress(message) => {
                own_address(message).is_some_and(|own| self.own.remove(&own))
            }
            RouteNetlinkMessage::NewNeighbour(message) => self.apply_neighbour(message),
            RouteNetlinkMessage::DelNeighbour(message) => destination(message)
                .is_some_and(|address| self.remove_neighbour(message.header.ifindex, address)),
            _ => false,
        }
    }

    fn remove_link(&mut self, index: u32) -> bool {
        self.neighbours.retain(|(ifindex, _), _| *ifindex != index);
        self.own.retain(|(ifindex, _)| *ifindex != index);
        self.kinds.remove(&index);
        self.links.remove(&index).is_some()
    }

    fn remove_neighbour(&mut self, ifindex: u32, address: IpAddr) -> bool {
        self.neighbours.remove(&(ifindex, address)).is_some()
    }

    fn apply_neighbour(&mut self, message: &NeighbourMessage) -> bool {
        let Some(address) = destination(message) else { return false };
        let ifindex = message.header.ifindex;
        match read_neighbour(message) {
            Some(neighbour) => self.insert_neighbour(ifindex, address, neighbour),
            None => self.remove_neighbour(ifindex, address),
        }
    }
}

fn read_link(message: &LinkMessage) -> Option<Link> {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: None,
        mtu: 0,
        up: flags.contains(LinkFlags::Up),
        allmulti: flags.contains(LinkFlags::Allmulti),
        tag: tag(message),
    };
    for attribute in &message.attributes {
        if let LinkAttribute::IfName(name) = attribute {
            link.name.clone_from(name);
        } else if let LinkAttribute::Address(bytes) = attribute {
            link.mac = Mac::try_from(bytes.as_slice()).ok();
        } else if let LinkAttribute::Mtu(mtu) = attribute {
            link.mtu = *mtu;
        }
    }
    // Bridges send messages about their ports in another family, without most attributes.
    (!link.name.is_empty() && link.mtu != 0).then_some(link)
}

/// The kind of an interface that the kernel makes in software.
fn kind(message: &LinkMessage) -> Option<String> {
    message.attributes.iter().find_map(|attribute| {
        let LinkAttribute::LinkInfo(infos) = attribute else { return None };
        infos.iter().find_map(|info| {
            if let LinkInfo::Kind(kind) = info { Some(kind.to_string()) } else { None }
        })
    })
}

/// The parent of a VLAN interface, and its VLAN.
fn tag(message: &LinkMessage) -> Option<(u32, u32)> {
    let mut parent = None;
    let mut vlan = None;
    for attribute in &message.attributes {
        if let LinkAttribute::Link(index) = attribute {
            parent = Some(*index);
        } else if let LinkAttribute::LinkInfo(infos) = attribute {
            vlan = infos.iter().find_map(|info| {
                let LinkInfo::Data(InfoData::Vlan(vlan)) = info else { return None };
                vlan.iter().find_map(|part| {
                    if let InfoVlan::Id(id) = part { Some(u32::from(*id)) } else { None }
                })
            });
        }
    }
    parent.zip(vlan)
}

/// The interface that a message is about.
pub(super) fn link_of(message: &RouteNetlinkMessage) -> Option<u32> {
    let (RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link)) = message else {
        return None;
    };
    Some(link.header.index)
}

/// The neighbour that a message is about.
pub(super) fn neighbour_of(message: &RouteNetlinkMessage) -> Option<(u32, IpAddr)> {
    let (RouteNetlinkMessage::NewNeighbour(message) | RouteNetlinkMessage::DelNeighbour(message)) =
        message
    else {
        return None;
    };
    destination(message).map(|address| (message.header.ifindex, address))
}

/// The neighbour that the kernel has deleted, according to a message.
pub(super) fn deleted_neighbour(message: &RouteNetlinkMessage) -> Option<(u32, IpAddr)> {
    let RouteNetlinkMessage::DelNeighbour(message) = message else { return None };
    destination(message).map(|address| (message.header.ifindex, address))
}

fn own_address(message: &AddressMessage) -> Option<(u32, IpAddr)> {
    // On a point-to-point link, `Address` is the peer's and `Local` the host's own.
    let (mut local, mut address) = (None, None);
    for attribute in &message.attributes {
        if let AddressAttribute::Local(own) = attribute {
            local = Some(*own);
        } else if let AddressAttribute::Address(own) = attribute {
            address = Some(*own);
        }
    }
    local.or(address).map(|address| (message.header.index, address))
}

fn destination(message: &NeighbourMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| {
        if let NeighbourAttribute::Destination(address) = attribute {
            if let NeighbourAddress::Inet(v4) = address {
                return Some(IpAddr::V4(*v4));
            }
            if let NeighbourAddress::Inet6(v6) = address {
                return Some(IpAddr::V6(*v6));
            }
        }
        None
    })
}

/// The neighbour, if the state of the entry says that its Ethernet address is valid.
fn read_neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let state = message.header.state;
    let fixed = state == NeighbourState::Permanent;
    let learnt = matches!(
        state,
        NeighbourState::Reachable
            | NeighbourState::Stale
            | NeighbourState::Delay
            | NeighbourState::Probe
    );
    if !fixed && !learnt {
        return None;
    }
    message.attributes.iter().find_map(|attribute| {
        let NeighbourAttribute::LinkLayerAddress(bytes) = attribute else { return None };
        Some(Neighbour { mac: Mac::try_from(bytes.as_slice()).ok()?, fixed })
    })
}

/// Whether an address is valid on one link only, so that hosts beyond it cannot use it.
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 10));

    fn neighbour(state: NeighbourState, mac: Option<[u8; 6]>) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = 3;
        message.header.state = state;
        let IpAddr::V4(v4) = HOP else { unreachable!() };
        message.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)));
        if let Some(mac) = mac {
            message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
        }
        message
    }

    fn link(name: &str, mtu: u32) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = 3;
        message.attributes.push(LinkAttribute::IfName(name.into()));
        message.attributes.push(LinkAttribute::Mtu(mtu));
        message.attributes.push(LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]));
        message
    }

    #[test]
    fn a_neighbour_counts_while_its_address_is_valid() {
        let mut facts = HostFacts::default();
        let mac = [2, 0, 0, 0, 0, 9];
        for (state, mac, changed, known) in [
            (NeighbourState::Incomplete, None, false, false),
            (NeighbourState::Reachable, Some(mac), true, true),
            (NeighbourState::Stale, Some(mac), false, true),
            (NeighbourState::Probe, Some(mac), false, true),
            (NeighbourState::Failed, None, true, false),
        ] {
            let message = RouteNetlinkMessage::NewNeighbour(neighbour(state, mac));
            assert_eq!(facts.apply(&message), changed, "{state}");
            assert_eq!(facts.neighbour(3, HOP).is_some(), known, "{state}");
        }
        facts
            .apply(&RouteNetlinkMessage::NewNeighbour(neighbour(NeighbourState::Stale, Some(mac))));
        let gone = RouteNetlinkMessage::DelNeighbour(neighbour(NeighbourState::Stale, Some(mac)));
        assert!(facts.apply(&gone));
        assert_eq!(facts.neighbour(3, HOP), None);
    }

    #[test]
    fn the_hosts_own_addresses_come_and_go() {
        let mut facts = HostFacts::default();
        let mut message = AddressMessage::default();
        message.header.index = 3;
        message.attributes.push(AddressAttribute::Address("10.0.0.9".parse().unwrap()));
        message.attributes.push(AddressAttribute::Local(HOP));
        assert!(facts.apply(&RouteNetlinkMessage::NewAddress(message.clone())));
        assert!(!facts.apply(&RouteNetlinkMessage::NewAddress(message.clone())));
        assert_eq!(facts.own_addresses(3).collect::<Vec<_>>(), [HOP]);
        assert_eq!(facts.own_addresses(4).count(), 0);
        assert!(facts.apply(&RouteNetlinkMessage::DelAddress(message)));
        assert_eq!(facts, HostFacts::default());
    }

    #[test]
    fn an_interface_may_be_renamed_and_go_with_its_neighbours() {
        let mut facts = HostFacts::default();
        assert!(facts.apply(&RouteNetlinkMessage::NewLink(link("a", 1500))));
        assert!(!facts.apply(&RouteNetlinkMessage::NewLink(link("a", 1500))));
        assert!(facts.apply(&RouteNetlinkMessage::NewLink(link("a", 9000))));
        assert!(facts.apply(&RouteNetlinkMessage::NewLink(link("b", 9000))));
        assert_eq!(facts.link("a"), None);
        assert_eq!(facts.link("b").map(|link| link.mtu), Some(9000));
        facts.insert_neighbour(3, HOP, Neighbour { mac: [2; 6], fixed: false });
        let mut port = link("b", 9000);
        port.header.interface_family = AddressFamily::Bridge;
        assert!(!facts.apply(&RouteNetlinkMessage::DelLink(port)), "it only left a bridge");
        assert!(facts.apply(&RouteNetlinkMessage::DelLink(link("b", 9000))));
        assert_eq!(facts, HostFacts::default());
    }
}
