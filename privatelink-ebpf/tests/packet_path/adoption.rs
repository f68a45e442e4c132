//! Flows that come from another table, and the counts that they are part of.

use crate::{
    gateway::{ACME, ACME_MAC, ENDPOINT, GLOBEX, Gateway, SEND_TO_TARGET, VENDOR, sender},
    packets::{ACK, Packet, SYN, Transport},
    pressure::{Clients, live, one_source},
};
use privatelink_common::{
    TCP,
    flow::{Flow, Phase, word},
    share::{BLOCK_PORTS, Block, FIRST_PORT, block_index},
};
use privatelink_ebpf::{Tables as _, flows::adopt::adopt, sweep};
use proptest::{collection::vec, prelude::*};
use std::net::{IpAddr, SocketAddr};

/// Index of the other endpoint.
const OTHER: u32 = 8;

fn table(max_flows: u32) -> Gateway {
    let mut gateway = Gateway::with_room_for(&one_source(), max_flows);
    let address = gateway.parties.endpoint.ip();
    gateway.add_endpoint(OTHER, GLOBEX, address, ACME_MAC);
    gateway
}

/// What is counted must be what there is.
fn check_counts(gateway: &Gateway) {
    let flows = live(gateway);
    let forward = || flows.iter().filter(|flow| !flow.is_reverse());
    for endpoint in [ENDPOINT, OTHER] {
        let meter = gateway.tables.meter(endpoint).unwrap();
        let own = || forward().filter(|flow| flow.endpoint() == endpoint);
        let unsettled = own().filter(|flow| flow.word & word::UNSETTLED != 0).count();
        let counted = (meter.flows.load() as usize, meter.unsettled.load() as usize);
        assert_eq!(counted, (own().count(), unsettled), "endpoint {endpoint}");
    }
    let occupancy = gateway.tables.occupancy().unwrap().flows.load();
    assert_eq!(occupancy as usize, forward().count());
    let blocks = gateway.tables.sources.values().next().unwrap().blocks;
    let in_blocks: usize = (FIRST_PORT..1 << 16)
        .step_by(BLOCK_PORTS as usize)
        .filter_map(|port| gateway.tables.port_block(block_index(blocks, port)))
        .map(|cell| Block(cell.load()).flows() as usize)
        .sum();
    assert_eq!(in_blocks, flows.len() - forward().count(), "ports in use");
}

/// A flow as the release before has it: it knows nothing of blocks, so that any endpoint has any
/// port, and nothing of flows that are not settled, except by their phase.
fn of_the_release_before(flow: &Flow) -> Flow {
    let is_tcp = flow.word & word::PROTOCOL == u32::from(TCP) << word::PROTOCOL_SHIFT;
    let is_open = matches!(Phase::of(flow.word), Phase::Established | Phase::HalfClosed);
    let marks = if is_tcp && !is_open { word::UNSETTLED } else { 0 };
    let [_, port] = flow.provider_port_pair();
    let endpoint = if port.is_multiple_of(2) { ENDPOINT } else { OTHER };
    Flow { endpoint: endpoint as u16, word: flow.word & !word::UNSETTLED | marks, ..*flow }
}

/// The next packet of a flow, of TCP or UDP: from its client, its target, and its client again.
fn go_on(gateway: &Gateway, number: u32, is_tcp: bool, step: u8, source: &mut SocketAddr) {
    let from = SocketAddr::new(IpAddr::from([10, 9, (number >> 8) as u8, number as u8]), 5_000);
    let flags = [SYN, SYN | ACK, ACK][usize::from(step)];
    let transport = if is_tcp { Transport::Tcp(flags, 5) } else { Transport::Udp };
    if step == 1 {
        let _verdict = gateway.run(VENDOR, &gateway.target_packet(*source, transport).bytes());
        return;
    }
    let bytes = if is_tcp {
        Packet { from, ..gateway.client_packet(transport) }.bytes()
    } else {
        Clients::of(gateway).first_packet(number)
    };
    let (verdict, out) = gateway.run(ACME, &bytes);
    assert_eq!(verdict, SEND_TO_TARGET);
    *source = sender(&out);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_adopted_flow_is_counted_once_until_it_ends(
        kinds in vec((any::<bool>(), 0..3_u8, 0..3_u8), 1..160),
        room in prop_oneof![Just(20), Just(300), Just(5_000)],
        is_former in any::<bool>(),
    ) {
        let (old, new) = (table(1_000), table(room));
        let mut sources = vec![SocketAddr::from(([0; 4], 0)); kinds.len()];
        let enter_all = || {
            let as_found = |flow| if is_former { of_the_release_before(&flow) } else { flow };
            let flows: Vec<_> = live(&old).into_iter().map(as_found).collect();
            let entered = flows.iter().filter(|flow| adopt(&new.tables, flow)).count();
            assert_eq!(live(&new).len(), entered, "of {}", flows.len());
            assert!(room < 300 || entered == flows.len());
            check_counts(&new);
        };
        for round in 0..3 {
            // Packets go by the old table until the last time that its flows are entered.
            for (number, (is_tcp, first, last)) in (0_u32..).zip(&kinds) {
                let source = &mut sources[number as usize];
                let steps = if round == 0 { 0..=*first } else { first + 1..=*last };
                for step in steps.filter(|_| round < 2) {
                    go_on(&old, number, *is_tcp, step, source);
                }
            }
            old.tables.wait(3);
            new.tables.wait(3);
            enter_all();
        }
        new.tables.wait(1 << 20);
        let sweep_all = || sweep(&new.tables, 0, new.tables.regions());
        prop_assert!(sweep_all() > 0);
        sweep_all();
        prop_assert_eq!(live(&new).len(), 0);
        check_counts(&new);
    }
}
