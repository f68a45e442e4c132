//! The shares of targets in groups: each group has its own, however many of its targets take flows.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    model::{Name, Weight},
    state::targets::Behind,
};

/// Larger weights are made smaller: a table has no more places.
const LARGEST: u128 = 65_535;

/// The weights of the targets of one family, none of which is zero.
pub(super) fn weights<'a>(
    targets: impl Iterator<Item = (IpAddr, Behind<'a>)>,
    groups: &BTreeMap<Name, Weight>,
) -> BTreeMap<IpAddr, u32> {
    let targets: Vec<_> = targets.filter(|(_, one)| one.weight.get() != 0).collect();
    if groups.is_empty() {
        return targets.into_iter().map(|(address, one)| (address, one.weight.get())).collect();
    }
    let mut totals: BTreeMap<&Name, u128> = BTreeMap::new();
    for (_, one) in &targets {
        if let Some(group) = one.group {
            *totals.entry(group).or_default() += u128::from(one.weight.get());
        }
    }
    // A target has its part of its group's share: over a common denominator, as far as that goes.
    let common = totals.values().try_fold(1_u128, |all, total| {
        let next = all / divisor(all, *total) * total;
        (next < 1 << 64).then_some(next)
    });
    let common = common.unwrap_or(1 << 64);
    let parts = targets.into_iter().filter_map(|(address, one)| {
        let group = one.group?;
        let share = u128::from(groups.get(group)?.get());
        let part = share * u128::from(one.weight.get()) * (common / totals.get(group)?);
        (part != 0).then_some((address, part))
    });
    let parts: Vec<(IpAddr, u128)> = parts.collect();
    let unit = parts.iter().fold(0, |unit, (_, part)| divisor(unit, *part)).max(1);
    let largest = parts.iter().map(|(_, part)| part / unit).max().unwrap_or(1);
    let fitted = |part: u128| {
        let part = part / unit;
        if largest <= LARGEST { part } else { (part * LARGEST / largest).max(1) }
    };
    // Not beyond the largest, by the line above.
    let weight = |part| u32::try_from(fitted(part)).unwrap_or(u32::MAX);
    parts.into_iter().map(|(address, part)| (address, weight(part))).collect()
}

/// The greatest common divisor.
fn divisor(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PortRange;

    fn spread(groups: &[(&str, i64)], targets: &[(u8, Option<&str>, i64)]) -> Vec<(u8, u32)> {
        let weight = |weight: i64| Weight::try_from(weight).unwrap();
        let ports: PortRange = "80".parse().unwrap();
        let names: Vec<(u8, Option<Name>, Weight)> = targets
            .iter()
            .map(|(last, group, of)| (*last, group.map(|one| one.parse().unwrap()), weight(*of)))
            .collect();
        let behind = names.iter().map(|(last, group, weight)| {
            let one = Behind { weight: *weight, ports, group: group.as_ref() };
            (IpAddr::from([10, 0, 0, *last]), one)
        });
        let groups =
            groups.iter().map(|(name, share)| (name.parse().unwrap(), weight(*share))).collect();
        let last = |address: IpAddr| match address {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(_) => 0,
        };
        weights(behind, &groups).into_iter().map(|(address, of)| (last(address), of)).collect()
    }

    #[test]
    fn a_group_has_its_share_however_many_targets_it_has() {
        let groups = [("blue", 90), ("green", 10)];
        let (blue, green) = (Some("blue"), Some("green"));
        let two = [(1, blue, 100), (2, blue, 100), (3, green, 100), (4, None, 100)];
        assert_eq!(spread(&groups, &two), [(1, 9), (2, 9), (3, 2)]);
        // One of them is away: the group's share is the other's.
        assert_eq!(spread(&groups, &two[1..]), [(2, 9), (3, 1)]);
        // So it is where a group is away, or has no share.
        assert_eq!(spread(&groups, &two[..2]), [(1, 1), (2, 1)]);
        assert_eq!(spread(&[("blue", 0), ("green", 1)], &two), [(3, 1)]);
        let uneven = [(1, blue, 1), (2, blue, 2), (3, green, 7)];
        assert_eq!(spread(&[("blue", 1), ("green", 1)], &uneven), [(1, 1), (2, 2), (3, 3)]);
    }

    #[test]
    fn without_groups_weights_are_as_written() {
        let targets = [(1, Some("blue"), 30), (2, None, 60), (3, None, 0)];
        assert_eq!(spread(&[], &targets), [(1, 30), (2, 60)]);
    }

    #[test]
    fn weights_that_share_nothing_are_rounded() {
        let primes = [65_521, 65_519, 65_497, 65_479, 65_449, 65_447];
        let names = ["a", "b", "c", "d", "e", "f"];
        let groups: Vec<(&str, i64)> = names.iter().map(|name| (*name, 1)).collect();
        let mut targets: Vec<(u8, Option<&str>, i64)> = Vec::new();
        for (number, (name, prime)) in names.iter().zip(primes).enumerate() {
            let first = u8::try_from(2 * number).unwrap();
            targets.extend([(first, Some(*name), prime - 1), (first + 1, Some(*name), 1)]);
        }
        let all = spread(&groups, &targets);
        assert_eq!(all.len(), 12);
        for (last, weight) in all {
            assert_eq!(weight > 60_000, last % 2 == 0, "{last} {weight}");
            assert!((1..=65_535).contains(&weight));
        }
    }
}
