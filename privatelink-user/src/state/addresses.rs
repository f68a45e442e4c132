//! The addresses of endpoints that leave the choice to the gateway (`addresses = "auto"`).
//!
//! An endpoint keeps its address for as long as it exists and nothing in the configuration needs
//! that address. A freed address is assigned again as late as possible: a consumer that still
//! remembers it must not reach another service.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    host::HostFacts,
    model::{AddressPair, Endpoint, EndpointAddresses, Model, Name, Network, TargetAddress},
    state::{beside::Beside, ids::Family},
};

/// How many addresses at the start of an IPv6 subnet are assigned from.
const IPV6_WINDOW: u128 = 0xffff;

/// No address is left for an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the network `{network}` has no free {family} address for the endpoint `{endpoint}`: add a \
     subnet, or write the address"
)]
pub struct NoAddress {
    /// Name of the endpoint.
    pub endpoint: Name,
    /// Name of the network without a free address.
    pub network: Name,
    /// `IPv4` or `IPv6`.
    pub family: &'static str,
}

/// One endpoint's addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The network that they are in.
    pub network: Name,
    /// The IPv4 address, if the network has that family.
    pub v4: Option<Ipv4Addr>,
    /// The IPv6 address, if the network has that family.
    pub v6: Option<Ipv6Addr>,
}

impl Lease {
    /// Its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
    }
}

/// The addresses that were last assigned in a network, by family.
pub type LastGiven = [Option<IpAddr>; 2];

/// Every address that was assigned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The leases by endpoint.
    pub leases: BTreeMap<Name, Lease>,
    /// Where the next search for a free address begins, by network.
    pub latest: BTreeMap<Name, LastGiven>,
}

impl Addresses {
    /// The addresses of an endpoint, configured or assigned; `None` if it has none yet.
    pub fn of(&self, endpoint: &Endpoint) -> Option<AddressPair> {
        match endpoint.addresses {
            EndpointAddresses::Fixed(pair) => Some(pair),
            EndpointAddresses::Auto => {
                let lease = self.leases.get(&endpoint.name)?;
                AddressPair::new(lease.v4, lease.v6)
            }
        }
    }

    /// Assigns addresses to endpoints that need some, and frees those of endpoints that were
    /// removed.
    ///
    /// # Errors
    /// When a network has none left; nothing is changed then.
    pub fn assign(
        &mut self,
        model: &Model,
        facts: &HostFacts,
        beside: &Beside,
    ) -> Result<(), NoAddress> {
        let mut wanting: BTreeMap<&Name, Vec<&Endpoint>> = BTreeMap::new();
        for endpoint in model.endpoints().values() {
            if endpoint.addresses == EndpointAddresses::Auto {
                wanting.entry(&endpoint.network).or_default().push(endpoint);
            }
        }
        let is_known = |name: &Name| model.endpoints().contains_key(name);
        let spared = self.leases.iter();
        let spared = spared.filter(|(name, _)| !is_known(name) && beside.spares(name.as_str()));
        let spared = spared.map(|(name, lease)| (name.clone(), lease.clone()));
        let mut next = Self { leases: spared.collect(), latest: BTreeMap::new() };
        if beside.spares_all() {
            next.latest = self.latest.clone();
        }
        for (name, endpoints) in wanting {
            let Some(network) = model.networks().get(name) else { continue };
            let mut room = Room::of(model, network, facts);
            room.latest = self.latest.get(name).copied().unwrap_or_default();
            let others = next.leases.values().filter(|lease| lease.network == *name);
            room.taken.extend(others.flat_map(Lease::addresses));
            let leases = self.leases_in(network, &endpoints, &mut room)?;
            next.leases.extend(leases);
            next.latest.insert(name.clone(), room.latest);
        }
        *self = next;
        Ok(())
    }

    /// What [`Self::assign`] would give those of the `added` endpoints that are `wanting` an address
    /// in this network; `None` if it would have to take one from another endpoint, or has none left.
    pub(super) fn adding(
        &self,
        model: &Model,
        added: &[Endpoint],
        network: &Network,
        wanting: &[&Endpoint],
        facts: &HostFacts,
    ) -> Option<Self> {
        let mut room = Room::of(model, network, facts);
        for endpoint in added.iter().filter(|one| one.network == network.name) {
            room.fix(endpoint);
        }
        room.latest = self.latest.get(&network.name).copied().unwrap_or_default();
        let mut kept = self.leased(&network.name);
        if !kept.all(|address| room.keep(address)) {
            return None;
        }
        let leases = self.leases_in(network, wanting, &mut room).ok()?;
        let latest = [(network.name.clone(), room.latest)].into();
        Some(Self { leases: leases.into_iter().collect(), latest })
    }

    /// Whether an endpoint of a network was given this address.
    pub(super) fn is_leased(&self, network: &Name, address: IpAddr) -> bool {
        self.leased(network).any(|leased| leased == address)
    }

    fn leased(&self, network: &Name) -> impl Iterator<Item = IpAddr> {
        let leases = self.leases.values().filter(move |lease| lease.network == *network);
        leases.flat_map(|lease| {
            let both = [lease.v4.map(IpAddr::V4), lease.v6.map(IpAddr::V6)];
            both.into_iter().flatten()
        })
    }

    fn leases_in(
        &self,
        network: &Network,
        endpoints: &[&Endpoint],
        room: &mut Room<'_>,
    ) -> Result<Vec<(Name, Lease)>, NoAddress> {
        // What stays is taken before the first new address is chosen.
        let kept: Vec<LastGiven> =
            endpoints.iter().map(|endpoint| self.kept(network, endpoint, room)).collect();
        let mut leases = Vec::new();
        for (endpoint, kept) in endpoints.iter().zip(kept) {
            let mut lease = Lease { network: network.name.clone(), v4: None, v6: None };
            for (family, kept) in Family::BOTH.into_iter().zip(kept) {
                if !network.subnets.iter().any(|subnet| family.holds(subnet.addr())) {
                    continue;
                }
                let address = kept.or_else(|| room.take(family)).ok_or_else(|| NoAddress {
                    endpoint: endpoint.name.clone(),
                    network: network.name.clone(),
                    family: if family == Family::V4 { "IPv4" } else { "IPv6" },
                })?;
                match address {
                    IpAddr::V4(v4) => lease.v4 = Some(v4),
                    IpAddr::V6(v6) => lease.v6 = Some(v6),
                }
            }
            leases.push((endpoint.name.clone(), lease));
        }
        Ok(leases)
    }

    /// The addresses that an endpoint has and may keep.
    fn kept(&self, network: &Network, endpoint: &Endpoint, room: &mut Room<'_>) -> LastGiven {
        let lease = self.leases.get(&endpoint.name).filter(|lease| lease.network == network.name);
        let Some(lease) = lease else { return LastGiven::default() };
        let both = [lease.v4.map(IpAddr::V4), lease.v6.map(IpAddr::V6)];
        both.map(|address| address.filter(|address| room.keep(*address)))
    }
}

/// The free addresses of a network.
struct Room<'a> {
    network: &'a Network,
    facts: &'a HostFacts,
    ifindex: Option<u32>,
    taken: BTreeSet<IpAddr>,
    latest: LastGiven,
}

impl<'a> Room<'a> {
    fn of(model: &Model, network: &'a Network, facts: &'a HostFacts) -> Self {
        let link = facts.stack(&network.attachment);
        let mut taken: BTreeSet<IpAddr> = network.gateways.iter().copied().collect();
        if let Some(link) = link {
            taken.extend(facts.own_addresses(link.index));
        }
        for service in model.services().values().filter(|s| s.network == network.name) {
            taken.extend(service.source_addresses.iter().copied());
            taken.extend(service.targets.iter().filter_map(|target| match target.address {
                TargetAddress::Ip(address) => Some(address),
                TargetAddress::Dns(_) => None,
            }));
        }
        let ifindex = link.map(|link| link.index);
        let mut room = Self { network, facts, ifindex, taken, latest: LastGiven::default() };
        for endpoint in model.endpoints().values().filter(|e| e.network == network.name) {
            room.fix(endpoint);
        }
        room
    }

    /// Takes the addresses that an endpoint of the network is configured with.
    fn fix(&mut self, endpoint: &Endpoint) {
        if let EndpointAddresses::Fixed(pair) = endpoint.addresses {
            self.taken.extend(pair.iter());
        }
    }

    /// Takes an address that was assigned before, if nothing else has it now.
    fn keep(&mut self, address: IpAddr) -> bool {
        let usable = self.network.subnets.iter().any(|subnet| {
            let (first, last) = hosts(*subnet);
            subnet.contains(&address) && (first..=last).contains(&number(address))
        });
        usable && self.taken.insert(address)
    }

    /// Takes the next free address below the one that was assigned last, and after the lowest
    /// continues with the highest: people mostly number hosts from the lowest address up.
    fn take(&mut self, family: Family) -> Option<IpAddr> {
        let subnets = self.network.subnets.iter().filter(|subnet| family.holds(subnet.addr()));
        let mut windows: Vec<(u128, u128)> = subnets.map(|subnet| window(*subnet)).collect();
        windows.sort_unstable_by(|a, b| b.cmp(a));
        let latest = &mut self.latest[family as usize];
        let start = latest.map_or(u128::MAX, number);
        let below = windows.iter().filter(|(first, _)| *first < start);
        let below = below.map(|(first, last)| (*first, (*last).min(start - 1)));
        let above = windows.iter().filter(|(_, last)| *last >= start);
        let above = above.map(|(first, last)| ((*first).max(start), *last));
        let mut candidates = below.chain(above).flat_map(|(first, last)| (first..=last).rev());
        let free = candidates.find_map(|candidate| {
            let address = address(candidate, family);
            let neighbour = self.ifindex.and_then(|index| self.facts.neighbour(index, address));
            (neighbour.is_none() && !self.taken.contains(&address)).then_some(address)
        })?;
        *latest = Some(free);
        self.taken.insert(free);
        Some(free)
    }
}

/// The first and the last address of a subnet that a host can have.
fn hosts(subnet: IpNet) -> (u128, u128) {
    let (first, last) = (number(subnet.network()), number(subnet.broadcast()));
    let edges = subnet.max_prefix_len() - subnet.prefix_len() >= 2;
    match subnet {
        _ if !edges => (first, last),
        IpNet::V4(_) => (first + 1, last - 1),
        // The first one is the routers' of the subnet; there is no broadcast address.
        IpNet::V6(_) => (first + 1, last),
    }
}

/// The part of a subnet that addresses are taken from.
fn window(subnet: IpNet) -> (u128, u128) {
    let (first, last) = hosts(subnet);
    match subnet {
        IpNet::V4(_) => (first, last),
        IpNet::V6(_) => (first, last.min(number(subnet.network()) + IPV6_WINDOW)),
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn address(number: u128, family: Family) -> IpAddr {
    match family {
        // Never out of range for the family; no host has the broadcast address.
        Family::V4 => u32::try_from(number).map_or(Ipv4Addr::BROADCAST, Ipv4Addr::from_bits).into(),
        Family::V6 => Ipv6Addr::from_bits(number).into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        config,
        host::{Link, Neighbour},
    };

    /// A network of 14 addresses; the gateway, a source, a target, the interface and a neighbour
    /// have one each.
    fn model(endpoints: &[&str]) -> Model {
        model_of("\"10.1.0.0/28\", \"fd00:1::/64\"", endpoints)
    }

    fn model_of(subnets: &str, endpoints: &[&str]) -> Model {
        let mut text = format!(
            "[gateway]\nname = \"gw\"\n\
             [[network]]\nname = \"n\"\nprincipal = \"p\"\ninterface = \"eth1\"\n\
             subnets = [{subnets}]\ngateway = [\"10.1.0.1\"]\n\
             [[service]]\nname = \"s\"\nprincipal = \"p\"\nnetwork = \"n\"\n\
             source_addresses = [\"10.1.0.14\"]\n\
             [[service.listener]]\nprotocol = \"tcp\"\nport = 80\n\
             [[service.target]]\naddress = \"10.1.0.13\"\n"
        );
        for endpoint in endpoints {
            let (name, addresses) = endpoint.split_once(' ').unwrap_or((endpoint, "\"auto\""));
            text += &format!(
                "[[endpoint]]\nname = \"{name}\"\nservice = \"s\"\nnetwork = \"n\"\n\
                 addresses = {addresses}\n"
            );
        }
        config::from_text("t.toml", &text).unwrap_or_else(|faults| panic!("{faults}")).model
    }

    fn facts() -> HostFacts {
        let mut facts = HostFacts::default();
        facts.insert_link(Link {
            index: 3,
            name: "eth1".into(),
            mac: Some([2; 6]),
            mtu: 1500,
            up: true,
            allmulti: false,
            tag: None,
        });
        facts.insert_own_address(3, "10.1.0.12".parse().unwrap());
        let neighbour = Neighbour { mac: [4; 6], fixed: false };
        facts.insert_neighbour(3, "10.1.0.11".parse().unwrap(), neighbour);
        facts
    }

    fn given(addresses: &Addresses) -> Vec<String> {
        let leases = addresses.leases.iter();
        leases
            .map(|(name, lease)| format!("{name} {} {}", lease.v4.unwrap(), lease.v6.unwrap()))
            .collect()
    }

    #[test]
    fn what_somebody_has_is_not_given_out() {
        let mut addresses = Addresses::default();
        addresses
            .assign(&model(&["a", "b", "c [\"10.1.0.9\"]"]), &facts(), &Beside::none())
            .unwrap();
        assert_eq!(given(&addresses), ["a 10.1.0.10 fd00:1::ffff", "b 10.1.0.8 fd00:1::fffe"]);
    }

    #[test]
    fn addresses_are_kept_and_used_again_as_late_as_possible() {
        let mut addresses = Addresses::default();
        let facts = facts();
        addresses.assign(&model(&["a", "b"]), &facts, &Beside::none()).unwrap();
        addresses.assign(&model(&["b", "c"]), &facts, &Beside::none()).unwrap();
        let b = "b 10.1.0.9 fd00:1::fffe";
        assert_eq!(given(&addresses), [b, "c 10.1.0.8 fd00:1::fffd"]);
        // Once around, what was given up is found again.
        let names = ["b", "c", "d", "e", "f", "g", "h", "i", "j"];
        addresses.assign(&model(&names), &facts, &Beside::none()).unwrap();
        assert_eq!(given(&addresses)[0], b);
        let v4: BTreeSet<_> = addresses.leases.values().map(|lease| lease.v4.unwrap()).collect();
        let expected = (2..=10).map(|last| Ipv4Addr::new(10, 1, 0, last)).collect();
        assert_eq!(v4, expected);
        let before = addresses.clone();
        let error = addresses
            .assign(&model(&[&names[..], &["k"]].concat()), &facts, &Beside::none())
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("`n`") && text.contains("IPv4") && text.contains("`k`"), "{text}");
        assert_eq!(addresses, before);
    }

    #[test]
    fn what_is_declared_goes_before() {
        let mut addresses = Addresses::default();
        addresses.assign(&model(&["a"]), &facts(), &Beside::none()).unwrap();
        addresses.assign(&model(&["a", "b [\"10.1.0.10\"]"]), &facts(), &Beside::none()).unwrap();
        assert_eq!(given(&addresses), ["a 10.1.0.9 fd00:1::ffff"]);
        // A subnet that is no more.
        addresses
            .assign(
                &model_of("\"10.1.0.0/28\", \"fd00:2::/112\"", &["a"]),
                &facts(),
                &Beside::none(),
            )
            .unwrap();
        assert_eq!(given(&addresses), ["a 10.1.0.9 fd00:2::ffff"]);
        addresses.assign(&model_of("\"10.1.0.0/28\"", &["a"]), &facts(), &Beside::none()).unwrap();
        assert_eq!(addresses.leases[&"a".parse::<Name>().unwrap()].v6, None);
    }

    #[test]
    fn small_and_large_subnets_have_hosts() {
        for (subnet, first, last) in [
            ("10.1.0.0/30", "10.1.0.1", "10.1.0.2"),
            ("10.1.0.0/31", "10.1.0.0", "10.1.0.1"),
            ("10.1.0.7/32", "10.1.0.7", "10.1.0.7"),
            ("10.0.0.0/8", "10.0.0.1", "10.255.255.254"),
            ("fd00::/64", "fd00::1", "fd00::ffff"),
            ("fd00::/120", "fd00::1", "fd00::ff"),
            ("fd00::6/127", "fd00::6", "fd00::7"),
        ] {
            let expected = [first, last].map(|text| number(text.parse().unwrap()));
            assert_eq!(window(subnet.parse().unwrap()), expected.into(), "{subnet}");
        }
    }

    proptest! {
        #[test]
        fn no_two_endpoints_share_and_none_moves(
            steps in prop::collection::vec(prop::collection::btree_set(0..12u8, 0..9), 1..12)
        ) {
            let mut addresses = Addresses::default();
            for step in steps {
                let names: Vec<String> = step.iter().map(|number| format!("e{number}")).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let before = addresses.clone();
                addresses.assign(&model(&names), &facts(), &Beside::none()).unwrap();
                prop_assert_eq!(addresses.leases.len(), names.len());
                let v4: BTreeSet<_> = addresses.leases.values().map(|lease| lease.v4).collect();
                prop_assert_eq!(v4.len(), names.len());
                for (name, lease) in &addresses.leases {
                    prop_assert!(before.leases.get(name).is_none_or(|old| old == lease));
                }
                let same = addresses.clone();
                addresses.assign(&model(&names), &facts(), &Beside::none()).unwrap();
                prop_assert_eq!(same, addresses.clone());
            }
        }
    }
}
