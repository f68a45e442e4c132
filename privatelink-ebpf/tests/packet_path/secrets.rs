//! What other hosts see of a flow says nothing of the keys that place it in the table.

use crate::{
    gateway::{ACME, Gateway, KEYS, Parties, SEND_TO_TARGET, sender},
    packets::Transport,
};
use privatelink_common::hash::HashKeys;
use std::net::SocketAddr;

/// Flows of one client.
const FLOWS: u16 = 500;

/// The sources of flows from the client's ports, in their order.
fn sources(parties: &Parties, keys: [u32; HashKeys::LEN]) -> Vec<SocketAddr> {
    let gateway = Gateway::with_keys(parties, 4 * u32::from(FLOWS), HashKeys(keys));
    let source = |number| {
        let mut packet = gateway.client_packet(Transport::Udp);
        packet.from.set_port(10_000 + number);
        let (verdict, out) = gateway.run(ACME, &packet.bytes());
        assert_eq!(verdict, SEND_TO_TARGET);
        sender(&out)
    };
    (0..FLOWS).map(source).collect()
}

/// If the hash of the table chose source ports, a provider that sees them could compute its keys,
/// and a client that knew the keys could fill one region with its flows.
#[test]
fn a_source_port_depends_on_no_key_of_the_table() {
    for parties in Parties::both() {
        let before = sources(&parties, KEYS.0);
        for key in 0..HashKeys::LEN {
            let mut keys = KEYS.0;
            keys[key] ^= 0x1000_0010;
            let equal = before.iter().zip(sources(&parties, keys)).filter(|(a, b)| **a == *b);
            let equal = equal.count();
            if key < HashKeys::SIP {
                assert_eq!(equal, usize::from(FLOWS), "key {key}");
            } else {
                assert!(equal < 10, "{equal} ports are the same with another key {key}");
            }
        }
    }
}

/// Neighbouring tuples get ports that have nothing to do with each other.
#[test]
fn source_ports_are_spread_evenly() {
    for parties in Parties::both() {
        let sources = sources(&parties, KEYS.0);
        // By chance, one in four falls into each quarter of the ports: 125, with a deviation of 10.
        let quarter = |number: u16| {
            let first = 1024 + number * 16_128;
            sources
                .iter()
                .filter(|source| (first..=first + 16_127).contains(&source.port()))
                .count()
        };
        for number in 0..4 {
            assert!((75..=175).contains(&quarter(number)), "{number}: {}", quarter(number));
        }
        let steps = sources.windows(2).map(|pair| pair[1].port().wrapping_sub(pair[0].port()));
        let mut steps: Vec<u16> = steps.collect();
        steps.sort_unstable();
        let most = steps.chunk_by(|a, b| a == b).map(<[u16]>::len).max();
        assert!(most < Some(6), "{most:?} steps between ports are the same");
    }
}
