//! Security rules and limits of endpoints, as the maps hold them.

use std::{collections::BTreeMap, ops::RangeInclusive};

use privatelink_common::{
    Limits,
    policy::{BYTE_SHIFT, limited},
};

use super::rule_set::Rule;
use crate::model::{self, Model, Name};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// An endpoint's rules: without `allow`, they are those that allow its network's clients all ports.
pub(super) fn rules(endpoint: &model::Endpoint, network: &model::Network) -> Vec<Rule> {
    const ALL: RangeInclusive<u16> = 0..=u16::MAX;
    if endpoint.allow.is_empty() {
        return network.clients().map(|from| Rule::new(from, ALL)).collect();
    }
    let rules = endpoint.allow.iter().flat_map(|rule| {
        let ranges = rule.ports.iter().map(|range| range.first().get()..=range.last().get());
        let ranges: Vec<_> = ranges.collect();
        let ranges = if ranges.is_empty() { vec![ALL] } else { ranges };
        ranges.into_iter().map(|ports| Rule { from: rule.from, ports, protocol: rule.protocol })
    });
    rules.collect()
}

/// How many flows endpoints without a limit of their own may have, by principal: equal parts of what
/// the others leave of its quota.
pub(super) fn flow_parts(model: &Model) -> BTreeMap<&Name, u64> {
    let limited = model.principals().values();
    let limited = limited.filter_map(|one| Some((&one.name, one.quota.flows?.get())));
    // What others leave, and for how many.
    let mut left: BTreeMap<&Name, (u64, u64)> =
        limited.map(|(name, flows)| (name, (flows, 0))).collect();
    if left.is_empty() {
        return BTreeMap::new();
    }
    for endpoint in model.endpoints().values() {
        let network = model.networks().get(&endpoint.network);
        let Some((rest, count)) = network.and_then(|one| left.get_mut(&one.principal)) else {
            continue;
        };
        match endpoint.limits.flows {
            Some(limit) => *rest = rest.saturating_sub(limit.get()),
            None => *count += 1,
        }
    }
    let part = |(rest, count): (u64, u64)| (rest / count.max(1)).max(1);
    left.into_iter().map(|(name, of)| (name, part(of))).collect()
}

/// The record of an endpoint's limits, and the bits that say which there are. Without a limit of
/// flows of its own, it has this part of its principal's quota.
pub(super) fn limits(limits: &model::Limits, part: Option<u64>) -> (Limits, u16) {
    let given = |limit: Option<model::Quantity>| limit.map(model::Quantity::get);
    let pause = |limit: Option<u64>| limit.map_or(0, |rate| NANOS_PER_SECOND.div_ceil(rate.max(1)));
    let record = Limits {
        flow_nanos: pause(given(limits.new_flows_per_second)),
        packet_nanos: pause(given(limits.packets_per_second)),
        byte_nanos: given(limits.bits_per_second)
            .map_or(0, |rate| ((8 * NANOS_PER_SECOND) << BYTE_SHIFT).div_ceil(rate.max(1))),
        flows: given(limits.flows)
            .or(part)
            .map_or(0, |flows| u32::try_from(flows).unwrap_or(u32::MAX)),
        reserved: 0,
    };
    let flows = record.flows != 0 || record.flow_nanos != 0;
    let packets = record.packet_nanos != 0 || record.byte_nanos != 0;
    let bits = if flows { limited::FLOWS } else { 0 } | if packets { limited::PACKETS } else { 0 };
    (record, bits)
}
