//! Compiled security rules answer as the rules themselves do. No privilege.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use privatelink_common::{Endpoint, RuleKey, TCP, UDP, hash::HashKeys, policy::RuleNode};
use privatelink_ebpf::{
    MemoryTables,
    flows::rules::{is_allowed, root_of},
};
use privatelink_user::{
    desired::rule_set::{Rule, compile},
    model::Protocol,
};
use proptest::prelude::*;

const SET: [u32; 2] = [7, 7];
const BOTH: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

/// The rules as the datapath finds them.
fn tables(rules: &[Rule]) -> MemoryTables {
    let mut tables = MemoryTables::new(1, HashKeys([0; HashKeys::LEN]));
    let nodes = compile(rules).into_iter();
    tables.rules.extend(nodes.map(|(number, node)| (RuleKey { set: SET, number }, node)));
    tables
}

fn asks(tables: &MemoryTables, client: IpAddr, port: u16, protocol: Protocol) -> bool {
    let family = if client.is_ipv4() { RuleNode::ROOT_V4 } else { RuleNode::ROOT_V6 };
    let root = root_of(family, if protocol == Protocol::Tcp { TCP.into() } else { UDP.into() });
    let endpoint = Endpoint { rules: SET, ..Endpoint::default() };
    is_allowed(tables, &endpoint, &client.into(), root, port)
}

/// One rule after the other.
fn walks(rules: &[Rule], client: IpAddr, port: u16, protocol: Protocol) -> bool {
    rules.iter().any(|rule| {
        let by = rule.protocol.is_none_or(|only| only == protocol);
        by && rule.from.contains(&client) && rule.ports.contains(&port)
    })
}

/// What may be decided otherwise than next to it: the ends of each rule, and what is beside them.
fn edges(rules: &[Rule]) -> (Vec<IpAddr>, Vec<u16>) {
    let mut clients: Vec<IpAddr> = vec![
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv4Addr::BROADCAST.into(),
        Ipv6Addr::UNSPECIFIED.into(),
    ];
    clients.push(Ipv6Addr::from_bits(u128::MAX).into());
    let mut ports = vec![0, 1, u16::MAX];
    for Rule { from, ports: range, .. } in rules {
        for (end, beside) in [(from.network(), -1), (from.broadcast(), 1)] {
            clients.push(end);
            clients.push(match end {
                IpAddr::V4(v4) => {
                    Ipv4Addr::from_bits(v4.to_bits().wrapping_add_signed(beside)).into()
                }
                IpAddr::V6(v6) => {
                    Ipv6Addr::from_bits(v6.to_bits().wrapping_add_signed(beside.into())).into()
                }
            });
        }
        ports.extend([*range.start(), *range.end()]);
        ports.extend([range.start().wrapping_sub(1), range.end().wrapping_add(1)]);
    }
    clients.dedup();
    ports.sort_unstable();
    ports.dedup();
    (clients, ports)
}

fn assert_agrees(rules: &[Rule]) {
    let tables = tables(rules);
    let (clients, ports) = edges(rules);
    for client in clients {
        for &port in &ports {
            for protocol in BOTH {
                let asked = asks(&tables, client, port, protocol);
                let walked = walks(rules, client, port, protocol);
                assert_eq!(asked, walked, "{client} to {protocol} port {port} by {rules:?}");
            }
        }
    }
}

/// Few addresses and ports, so that rules overlap, touch and repeat.
fn rule() -> impl Strategy<Value = Rule> {
    let v4 = (0..64_u32, 0..=32_u8).prop_map(|(bits, length)| {
        IpNet::from(
            Ipv4Net::new(Ipv4Addr::from_bits(bits << 2 | bits << 26), length)
                .unwrap_or_else(|error| panic!("{error}")),
        )
    });
    let v6 = (0..64_u128, 0..=128_u8).prop_map(|(bits, length)| {
        let address = Ipv6Addr::from_bits(bits << 1 | bits << 63 | bits << 122);
        IpNet::from(Ipv6Net::new(address, length).unwrap_or_else(|error| panic!("{error}")))
    });
    let port = || prop_oneof![0..20_u16, 65_530..=u16::MAX, any::<u16>()];
    let ports =
        prop_oneof![Just(0..=u16::MAX), (port(), port()).prop_map(|(a, b)| a.min(b)..=a.max(b)),];
    let protocol = prop_oneof![
        2 => Just(None),
        1 => Just(Some(Protocol::Tcp)),
        1 => Just(Some(Protocol::Udp)),
    ];
    (prop_oneof![v4, v6], ports, protocol).prop_map(|(from, ports, protocol)| Rule {
        from: from.trunc(),
        ports,
        protocol,
    })
}

proptest! {
    #[test]
    fn a_compiled_set_answers_as_its_rules_do(rules in proptest::collection::vec(rule(), 0..24)) {
        assert_agrees(&rules);
    }

    #[test]
    fn so_it_does_for_any_client_and_port(
        rules in proptest::collection::vec(rule(), 0..200),
        v4 in any::<u32>(),
        v6 in any::<u128>(),
        port in any::<u16>(),
    ) {
        let tables = tables(&rules);
        for client in [IpAddr::from(Ipv4Addr::from_bits(v4)), Ipv6Addr::from_bits(v6).into()] {
            for protocol in BOTH {
                let walked = walks(&rules, client, port, protocol);
                prop_assert_eq!(asks(&tables, client, port, protocol), walked);
            }
        }
    }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

const ALL: RangeInclusive<u16> = 0..=u16::MAX;

#[test]
fn the_largest_sets_fit_and_agree() {
    let apart: Vec<Rule> = (0..256_u32)
        .map(|n| Rule::new(net(&format!("10.{}.{}.0/25", n / 16, n % 16)), ALL))
        .collect();
    assert_agrees(&apart);
    let nested: Vec<Rule> = (0..=128_u8)
        .map(|length| {
            let from = Ipv6Net::new(Ipv6Addr::from_bits(u128::MAX / 3), length).unwrap().trunc();
            let first = u16::from(length / 16) * 100;
            Rule::new(from.into(), first..=first + 50)
        })
        .collect();
    assert_agrees(&nested);
    let ports: Vec<Rule> =
        (0..256_u16).map(|n| Rule::new(net("10.1.0.0/16"), n * 200 + 1..=n * 200 + 3)).collect();
    assert_agrees(&ports);
    // A network with thousands of prefixes, none of which touches the next.
    let many: Vec<Rule> = (0..4096_u32)
        .map(|n| Rule::new(net(&format!("10.{}.{}.0/25", n / 256, n % 256)), ALL))
        .collect();
    let tables = tables(&many);
    for rule in &many {
        let IpAddr::V4(last) = rule.from.broadcast() else { unreachable!() };
        let beside = Ipv4Addr::from_bits(last.to_bits() + 1);
        assert!(asks(&tables, rule.from.network(), 80, Protocol::Tcp), "{rule:?}");
        assert!(asks(&tables, last.into(), 80, Protocol::Tcp), "{rule:?}");
        assert!(!asks(&tables, beside.into(), 80, Protocol::Tcp), "{rule:?}");
    }
}

/// An IPv6 packet from `::ffff:10.1.0.9` is none from 10.1.0.9.
#[test]
fn no_mapped_sender_matches_a_rule_of_ipv4() {
    let tables = tables(&[Rule::new(net("0.0.0.0/0"), ALL)]);
    let mapped: Ipv6Addr = "::ffff:10.1.0.9".parse().unwrap();
    assert!(!asks(&tables, mapped.into(), 80, Protocol::Tcp));
    assert!(asks(&tables, "10.1.0.9".parse().unwrap(), 80, Protocol::Tcp));
}

#[test]
fn a_rule_of_one_family_matches_no_client_of_the_other() {
    let tables = tables(&[Rule::new(net("::/0"), ALL)]);
    assert!(!asks(&tables, "10.1.0.9".parse().unwrap(), 80, Protocol::Tcp));
    assert!(asks(&tables, "2001:db8::1".parse().unwrap(), 80, Protocol::Tcp));
}

/// A part of a set that the daemon is just removing allows nobody more.
#[test]
fn an_incomplete_set_allows_no_more_than_the_whole() {
    let rules: Vec<Rule> = (0..100_u32)
        .map(|n| Rule::new(net(&format!("10.1.{n}.0/25")), 80..=80 + (n as u16 % 7)))
        .collect();
    let whole = compile(&rules);
    for left_out in whole.keys() {
        let mut tables = tables(&rules);
        tables.rules.remove(&RuleKey { set: SET, number: *left_out });
        let (clients, ports) = edges(&rules);
        for client in clients {
            for &port in &ports {
                assert!(
                    !asks(&tables, client, port, Protocol::Udp)
                        || walks(&rules, client, port, Protocol::Udp),
                    "{client} {port}"
                );
            }
        }
    }
    let none: BTreeMap<u32, RuleNode> = compile(&[]);
    assert!(none.is_empty(), "no rule, no node: nobody is allowed");
}
