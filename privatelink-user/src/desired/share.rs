//! The share of each endpoint: its part of the flow table, and of its service's source ports.

use std::collections::{BTreeMap, BTreeSet};

use privatelink_common::{
    Share, Source,
    share::{BLOCK_PORTS, BLOCK_TABLES, BLOCKS},
};

use crate::{
    model::{Endpoint, Model},
    state::ids::{Family, Ids},
};

/// A number for the network. It usually keeps equal source addresses of different networks from
/// sharing blocks of ports. It depends on the name only, because it must not change while there are
/// flows.
pub(super) fn network_number(name: &str) -> u32 {
    // FNV-1a: the standard library's hash may change with its version.
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// An endpoint that has a share.
#[derive(Clone, Copy, Debug)]
pub struct Sharer {
    /// Index of the endpoint.
    pub endpoint: u32,
    /// Index of its service.
    pub service: u32,
    /// Its share, relative to the weights of others.
    pub weight: u32,
}

/// The shares of all endpoints of a configuration, by index.
pub fn of_endpoints(model: &Model, ids: &Ids) -> BTreeMap<u32, Share> {
    let sharers = model.endpoints().values().filter_map(|endpoint| {
        let service = model.services().get(&endpoint.service)?;
        let (index, service) = (ids.endpoint(endpoint)?, ids.service(service)?);
        Some(Sharer { endpoint: index, service, weight: endpoint.weight.get() })
    });
    shares(&sharers.collect::<Vec<_>>(), model.gateway().max_flows.get())
}

/// The source addresses of one family that an endpoint's flows leave from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortPool {
    /// Source ports that the endpoint may count on.
    share: u64,
    /// The tables of the addresses' blocks.
    tables: BTreeSet<u32>,
}

/// What an endpoint has of its service's source ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourcePorts {
    /// What it may count on.
    pub share: u64,
    /// What it has.
    pub used: u64,
    /// What it has beyond its share of either family's.
    pub borrowed: u64,
}

impl SourcePorts {
    /// Sums up an endpoint's pools; `used` is what [`Reader::source_ports`] returns.
    ///
    /// [`Reader::source_ports`]: crate::datapath::bpf::Reader::source_ports
    pub fn of(endpoint: u32, pools: &[PortPool], used: &BTreeMap<(u32, u32), u64>) -> Self {
        pools.iter().fold(Self::default(), |sum, pool| {
            let tables = pool.tables.iter().filter_map(|table| used.get(&(endpoint, *table)));
            let used: u64 = tables.sum();
            Self {
                share: sum.share + pool.share,
                used: sum.used + used,
                borrowed: sum.borrowed + used.saturating_sub(pool.share),
            }
        })
    }
}

/// The source addresses of each endpoint, by index, given the [shares](of_endpoints).
pub fn port_pools(
    model: &Model,
    ids: &Ids,
    shares: &BTreeMap<u32, Share>,
) -> BTreeMap<u32, Vec<PortPool>> {
    let tables: BTreeMap<u32, u32> = ids
        .sources()
        .map(|(index, network, address)| {
            (index, Source::at(address.into(), network_number(network)).blocks % BLOCK_TABLES)
        })
        .collect();
    let of = |endpoint: &Endpoint| {
        let service = model.services().get(&endpoint.service)?;
        let index = ids.endpoint(endpoint)?;
        let share = shares.get(&index)?;
        let pools = Family::BOTH.map(|family| ids.source_pool(service, family));
        // Two addresses may have the same table: what is in use there is counted once.
        let mut counted = BTreeSet::new();
        let pools = pools.into_iter().filter(|pool| pool.count != 0).map(|pool| PortPool {
            share: u64::from(share.blocks(pool.count * BLOCKS).1) * u64::from(BLOCK_PORTS),
            tables: tables
                .range(pool.first..pool.first + pool.count)
                .map(|(_, table)| *table)
                .filter(|table| counted.insert(*table))
                .collect(),
        });
        Some((index, pools.collect()))
    };
    model.endpoints().values().filter_map(of).collect()
}

/// The shares of all endpoints: of the flow table for each in proportion to its weight, and of the
/// ports in proportion to its weight among the endpoints of its service.
pub fn shares(sharers: &[Sharer], max_flows: u32) -> BTreeMap<u32, Share> {
    let weight = |sharer: &Sharer| u64::from(sharer.weight.max(1));
    let all: u64 = sharers.iter().map(weight).sum();
    let mut services = BTreeMap::<u32, Vec<&Sharer>>::new();
    for sharer in sharers {
        services.entry(sharer.service).or_default().push(sharer);
    }
    let mut shares = BTreeMap::new();
    for sharers in services.values() {
        let whole: u64 = sharers.iter().copied().map(weight).sum();
        let mut before = 0;
        for sharer in sharers {
            let flows = u64::from(max_flows) * weight(sharer) / all;
            let first = part(before, whole);
            before += weight(sharer);
            let share = Share {
                // Zero would stand for the whole table.
                flows: u32::try_from(flows).unwrap_or(u32::MAX).max(1),
                first: first as u32,
                // The whole is 2^32, which is written as zero.
                length: (part(before, whole) - first) as u32,
            };
            shares.insert(sharer.endpoint, share);
        }
    }
    shares
}

/// A part in 2^32 parts of the whole.
fn part(of: u64, whole: u64) -> u64 {
    let parts = (u128::from(of) << 32) / u128::from(whole);
    u64::try_from(parts).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sharers() -> impl Strategy<Value = Vec<Sharer>> {
        let one = (0..4_u32, 1..1_000_u32);
        proptest::collection::vec(one, 1..200).prop_map(|all| {
            (1..)
                .zip(all)
                .map(|(endpoint, (service, weight))| Sharer { endpoint, service, weight })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn shares_of_the_table_fit_into_it(sharers in sharers(), max_flows in 1_000..100_000_000_u32) {
            let shares = shares(&sharers, max_flows);
            prop_assert_eq!(shares.len(), sharers.len());
            let sum: u64 = shares.values().map(|share| u64::from(share.flows)).sum();
            // An endpoint has at least one.
            prop_assert!(sum <= u64::from(max_flows) + sharers.len() as u64);
        }

        #[test]
        fn a_greater_weight_is_no_smaller_share(sharers in sharers()) {
            let shares = shares(&sharers, 1_000_000);
            for (a, b) in sharers.iter().zip(&sharers[1..]) {
                let of = |sharer: &Sharer| shares[&sharer.endpoint].flows;
                prop_assert!(a.weight < b.weight || of(a) >= of(b));
                prop_assert!(a.weight > b.weight || of(a) <= of(b));
            }
        }

        #[test]
        fn the_blocks_of_a_service_are_shared_out_without_overlap_or_gap(
            sharers in sharers(),
            sources in 1..8_u32,
        ) {
            let shares = shares(&sharers, 1_000_000);
            for service in 0..4 {
                let mut next = 0;
                let of_service = sharers.iter().filter(|sharer| sharer.service == service);
                let blocks = of_service.map(|sharer| shares[&sharer.endpoint].blocks(sources * BLOCKS));
                let mut any = false;
                for (first, count) in blocks {
                    any = true;
                    // With fewer blocks than endpoints, two share one.
                    prop_assert!(first == next || first + 1 == next, "{} {}", first, next);
                    next = first + count;
                }
                prop_assert!(!any || next == sources * BLOCKS);
            }
        }
    }

    #[test]
    fn one_endpoint_has_everything() {
        let shares = shares(&[Sharer { endpoint: 5, service: 1, weight: 7 }], 20_000);
        assert_eq!(shares[&5], Share { flows: 20_000, first: 0, length: 0 });
    }

    #[test]
    fn a_network_keeps_its_number() {
        // A change here would move blocks of ports while flows are counted in them.
        assert_eq!(network_number("vendor"), 0x97b0_c453);
        assert_ne!(network_number("vendor"), network_number("globex"));
    }
}
