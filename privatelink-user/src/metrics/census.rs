//! The source ports in use at one moment. They run out, and no counter shows it, so the flow table is
//! walked now and then.

use std::{collections::BTreeMap, net::IpAddr};

use privatelink_common::flow::Flow;

use super::inventory::{Inventory, Service};
use crate::view::usage::Usage;

/// Ports that one source address has towards each port of each target.
pub const PORTS: u64 = 64_512;

/// What a source port is used for: indices of source address and target, the target's port, and the
/// protocol. Flows that agree in these need different source ports.
type PortUse = (u16, u16, u16, u8);

/// Source ports in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census(BTreeMap<PortUse, u64>);

impl Census {
    /// Counts the flows in these slots of the flow table.
    pub fn of(slots: impl Iterator<Item = Flow>) -> Self {
        let mut uses = BTreeMap::new();
        for flow in slots.filter(|slot| !slot.is_reverse()) {
            let [port, _] = flow.provider_port_pair();
            let port_use = (flow.source, flow.target, port, flow.protocol());
            *uses.entry(port_use).or_default() += 1;
        }
        Self(uses)
    }

    /// Flows by target index.
    pub fn by_target(&self) -> BTreeMap<u32, u64> {
        let mut flows = BTreeMap::new();
        for ((_, target, ..), count) in &self.0 {
            *flows.entry(u32::from(*target)).or_default() += count;
        }
        flows
    }

    /// The source ports in use towards that port of a target where they are fullest, for each service
    /// of the inventory.
    ///
    /// Services that share source addresses and a target's address share these ports.
    pub fn fullest(&self, inventory: &Inventory) -> Vec<Usage> {
        let shared = self.by_address(inventory);
        let mut fullest = vec![Usage::default(); inventory.services.len()];
        for target in &inventory.targets {
            let Some(service) = inventory.services.get(target.service) else { continue };
            let Some(most) = fullest.get_mut(target.service) else { continue };
            let sources = sources(service, target.address);
            let of = PORTS * sources.len() as u64;
            most.of = most.of.max(of);
            let from = (service.network.as_str(), target.address, 0, 0);
            let to = (service.network.as_str(), target.address, u16::MAX, u8::MAX);
            for (_, by_source) in shared.range(from..=to) {
                let used = sources.iter().filter_map(|source| by_source.get(source)).sum();
                let here = Usage { used, of };
                if here.ratio() > most.ratio() {
                    *most = here;
                }
            }
        }
        fullest
    }

    /// The flows by address instead of index: each service has an index of its own for a target that
    /// it shares with others.
    fn by_address<'a>(
        &self,
        inventory: &'a Inventory,
    ) -> BTreeMap<(&'a str, IpAddr, u16, u8), BTreeMap<IpAddr, u64>> {
        let targets: BTreeMap<u32, (&str, IpAddr)> = inventory
            .targets
            .iter()
            .filter_map(|target| {
                let service = inventory.services.get(target.service)?;
                Some((target.index, (service.network.as_str(), target.address)))
            })
            .collect();
        let mut shared: BTreeMap<_, BTreeMap<IpAddr, u64>> = BTreeMap::new();
        for (&(source, target, port, protocol), count) in &self.0 {
            let source = inventory.sources.get(&source.into());
            let target = targets.get(&target.into());
            if let Some((source, (network, address))) = source.zip(target) {
                let by_source = shared.entry((*network, *address, port, protocol)).or_default();
                *by_source.entry(*source).or_default() += count;
            }
        }
        shared
    }
}

/// The source addresses from which the gateway speaks to this target.
fn sources(service: &Service, target: IpAddr) -> Vec<IpAddr> {
    let sources = service.sources.iter().copied();
    sources.filter(|source| source.is_ipv4() == target.is_ipv4()).collect()
}

#[cfg(test)]
mod tests {
    use privatelink_common::{
        TCP, UDP,
        flow::{Phase, word},
    };

    use super::*;
    use crate::metrics::inventory::tests::inventory;

    /// A flow of these indices to this port.
    fn flow(source: u16, target: u16, port: u16, protocol: u8) -> Flow {
        let life = word::LIVE | Phase::Established.bits();
        Flow {
            word: life | u32::from(protocol) << word::PROTOCOL_SHIFT,
            source,
            target,
            provider_ports: u32::from_ne_bytes({
                let [a, b] = port.to_be_bytes();
                [a, b, 4, 0]
            }),
            ..Flow::default()
        }
    }

    #[test]
    fn the_fullest_port_of_a_target_counts_with_all_who_share_it() {
        let inventory = inventory();
        // Of two services with one target address, of which the second has one source address more.
        let reverse = Flow { word: word::LIVE | word::REVERSE, ..Flow::default() };
        let flows = [
            flow(0, 1, 80, TCP),
            flow(0, 2, 80, TCP),
            flow(1, 2, 80, TCP),
            flow(2, 2, 80, TCP),
            flow(0, 1, 80, UDP),
            flow(0, 1, 81, TCP),
            // An index of an object that has been removed.
            flow(7, 1, 80, TCP),
            flow(0, 9, 80, TCP),
            reverse,
        ];
        let census = Census::of(flows.into_iter());
        let fullest = census.fullest(&inventory);
        assert_eq!(census.by_target(), BTreeMap::from([(1, 4), (2, 3), (9, 1)]));
        assert_eq!(fullest, [Usage { used: 3, of: 2 * PORTS }, Usage { used: 4, of: 3 * PORTS }]);
        assert_eq!(Census::default().fullest(&inventory)[0], Usage { used: 0, of: 2 * PORTS });
    }
}
