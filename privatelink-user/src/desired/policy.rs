//! Security rules and limits of endpoints, as the maps hold them.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use privatelink_common::{
    Addr, Limits, Rule, RuleKey,
    policy::{BYTE_SHIFT, limited},
};

use crate::model;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The records of an endpoint's rules.
pub(super) fn rules(endpoint: &model::Endpoint, network: &model::Network) -> Vec<Rule> {
    if endpoint.allow.is_empty() {
        let all = |client| {
            let (address, mask) = prefix(client);
            Rule { address, mask, first_port: 0, last_port: u16::MAX }
        };
        return network.clients().map(all).collect();
    }
    let ranges = |rule: &model::SecurityRule| {
        let ports = rule.ports.iter().map(|range| (range.first().get(), range.last().get()));
        let ports: Vec<_> = ports.collect();
        if ports.is_empty() { vec![(0, u16::MAX)] } else { ports }
    };
    let records = endpoint.allow.iter().flat_map(|rule| {
        let (address, mask) = prefix(rule.from);
        ranges(rule).into_iter().map(move |(first_port, last_port)| Rule {
            address,
            mask,
            first_port,
            last_port,
        })
    });
    records.collect()
}

/// Address and mask of a prefix; an IPv4 one is within the mapped addresses.
fn prefix(net: IpNet) -> (Addr, Addr) {
    let mask = match net.netmask() {
        IpAddr::V4(mask) => {
            let all = u128::MAX << 32 | u128::from(Ipv4Addr::to_bits(mask));
            Ipv6Addr::from_bits(all)
        }
        IpAddr::V6(mask) => mask,
    };
    (net.network().into(), mask.into())
}

/// Puts a set of rules and returns its key. Sets with the same content share it.
pub(super) fn put_set(all: &mut BTreeMap<RuleKey, Rule>, records: &[Rule]) -> [u32; 2] {
    let mut hasher = DefaultHasher::new();
    for rule in records {
        let Rule { address, mask, first_port, last_port } = rule;
        (address, mask, first_port, last_port).hash(&mut hasher);
    }
    let mut number = hasher.finish();
    loop {
        let set = [number as u32, (number >> 32) as u32];
        let keys = (0..).map(|number| RuleKey { set, number });
        // Two different sets with one hash: the later one, in the order of endpoints, takes the
        // next number.
        let taken = records.iter().zip(keys.clone());
        let mut taken = taken.filter_map(|(rule, key)| all.get(&key).map(|there| there != rule));
        if taken.any(|differs| differs) {
            number = number.wrapping_add(1);
            continue;
        }
        all.extend(keys.zip(records.iter().copied()));
        return set;
    }
}

/// The record of an endpoint's limits, and the bits that say which there are.
pub(super) fn limits(limits: &model::Limits) -> (Limits, u16) {
    let given = |limit: Option<model::Quantity>| limit.map(model::Quantity::get);
    let pause = |limit: Option<u64>| limit.map_or(0, |rate| NANOS_PER_SECOND.div_ceil(rate.max(1)));
    let record = Limits {
        flow_nanos: pause(given(limits.new_flows_per_second)),
        packet_nanos: pause(given(limits.packets_per_second)),
        byte_nanos: given(limits.bits_per_second)
            .map_or(0, |rate| ((8 * NANOS_PER_SECOND) << BYTE_SHIFT).div_ceil(rate.max(1))),
        flows: given(limits.flows).map_or(0, |flows| u32::try_from(flows).unwrap_or(u32::MAX)),
        reserved: 0,
    };
    let flows = record.flows != 0 || record.flow_nanos != 0;
    let packets = record.packet_nanos != 0 || record.byte_nanos != 0;
    let bits = if flows { limited::FLOWS } else { 0 } | if packets { limited::PACKETS } else { 0 };
    (record, bits)
}
