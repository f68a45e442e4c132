//! Many flows, and many CPUs: ports, room, and both directions or none.

use crate::{
    gateway::{ACME, ENDPOINT, Gateway, Parties, SEND_TO_CLIENT, SEND_TO_TARGET, VENDOR, sender},
    packets::{Packet, Transport},
};
use privatelink_common::{Reason, flow::Flow};
use privatelink_ebpf::{MemoryFrame, Tables as _, Verdict, process, sweep};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Mutex,
    thread,
};

/// Ports that a source address has to give.
const PORTS: usize = 65_536 - 1_024;

/// The first packet of the client of this number, made from one that etherparse built.
pub struct Clients {
    like: Vec<u8>,
}

impl Clients {
    pub fn of(gateway: &Gateway) -> Self {
        Self { like: gateway.client_packet(Transport::BareUdp).payload(&[]).bytes() }
    }

    /// 50,000 ports of each address.
    pub fn first_packet(&self, number: u32) -> Vec<u8> {
        let mut bytes = self.like.clone();
        bytes[29] = 100 + (number / 50_000) as u8;
        let port = 1 + (number % 50_000) as u16;
        bytes[34..36].copy_from_slice(&port.to_be_bytes());
        bytes[24..26].fill(0);
        let check = !(crate::packets::sum(&bytes[14..34]) as u16);
        bytes[24..26].copy_from_slice(&check.to_be_bytes());
        bytes
    }
}

pub fn one_source() -> Parties {
    Parties { sources: vec!["10.0.0.240".parse().unwrap()], ..Parties::v4() }
}

pub fn live(gateway: &Gateway) -> Vec<Flow> {
    gateway.tables.slots().iter().map(|slot| slot.load()).filter(Flow::is_live).collect()
}

/// Source address and port of a flow.
fn place(flow: &Flow) -> (u16, u16) {
    (flow.source, flow.provider_port_pair()[1])
}

/// So many that most have a direction in a far region, and regions have many that end at once.
#[test]
fn of_a_full_table_each_flow_ends_once_unless_its_client_speaks() {
    const FLOWS: u32 = 60_000;
    let gateway = Gateway::with_room_for(&one_source(), FLOWS);
    let clients = Clients::of(&gateway);
    for number in 0..FLOWS {
        let (verdict, _) = gateway.run(ACME, &clients.first_packet(number));
        assert_eq!(verdict, SEND_TO_TARGET, "flow {number}");
    }
    let who = |flow: &Flow| (flow.client, flow.consumer_ports);
    gateway.tables.wait(2_000);
    // A third is kept by packets from the client; for another, only the target speaks.
    let (mut kept, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for slot in gateway.tables.slots().iter().filter(|slot| slot.load().is_live()) {
        let flow = slot.load();
        let third = flow.consumer_port_pair()[0] % 3;
        if third == 0 {
            kept.insert(who(&flow));
        } else {
            silent.insert(who(&flow));
        }
        if third != 2 && flow.is_reverse() == (third == 1) {
            slot.seen(gateway.tables.now());
        }
    }
    let sweep_all = || -> u32 {
        let strides = (0..gateway.tables.regions()).step_by(16);
        strides.map(|first| sweep(&gateway.tables, first, 16)).sum()
    };
    assert_eq!((sweep_all(), sweep_all()), (silent.len() as u32, 0));
    let ended: Vec<_> =
        gateway.tables.ends.lock().unwrap().iter().map(|end| who(&end.flow)).collect();
    assert_eq!(ended.len(), silent.len());
    assert_eq!(ended.into_iter().collect::<BTreeSet<_>>(), silent);
    let left = live(&gateway);
    assert_eq!(left.len(), 2 * kept.len());
    assert_eq!(left.iter().map(who).collect::<BTreeSet<_>>(), kept);
}

#[test]
pub fn one_source_address_serves_sixty_thousand_flows_to_one_target() {
    let gateway = Gateway::with_room_for(&one_source(), 60_000);
    let clients = Clients::of(&gateway);
    let mut given = BTreeSet::new();
    for number in 0..60_000 {
        let (verdict, out) = gateway.run(ACME, &clients.first_packet(number));
        assert_eq!(verdict, SEND_TO_TARGET, "flow {number}");
        let source = sender(&out);
        assert!(source.port() >= 1_024);
        assert!(given.insert(source), "{source} was given twice");
    }
}

#[test]
fn ports_run_out_only_when_nearly_all_are_taken() {
    let gateway = Gateway::with_room_for(&one_source(), 66_000);
    let clients = Clients::of(&gateway);
    let refused = (0..).find_map(|number| {
        let verdict = gateway.run(ACME, &clients.first_packet(number)).0;
        (verdict != SEND_TO_TARGET).then_some((number as usize, verdict))
    });
    let (taken, verdict) = refused.unwrap();
    assert_eq!(verdict, Verdict::drop_at(Reason::PortsExhausted, ENDPOINT));
    assert!(taken * 100 >= PORTS * 95, "refused after {taken} of {PORTS} ports");
    assert_eq!(live(&gateway).len(), 2 * taken, "a flow that was refused left something behind");
    println!("ports exhausted after {taken} of {PORTS}");
}

#[test]
fn a_table_takes_as_many_flows_as_it_was_made_for() {
    let sources = (0..4).map(|last| IpAddr::from([10, 0, 0, 240 + last])).collect();
    let gateway = Gateway::with_room_for(&Parties { sources, ..Parties::v4() }, 100_000);
    let clients = Clients::of(&gateway);
    for number in 0..100_000 {
        let mut frame = MemoryFrame::new(clients.first_packet(number), ACME);
        assert_eq!(process(&mut frame, &gateway.tables), SEND_TO_TARGET, "flow {number}");
    }
    assert_eq!(live(&gateway).len(), 200_000);
    assert_eq!(gateway.tables.counters.lock().unwrap()[&ENDPOINT].new_flows, 100_000);
}

/// Threads stand for CPUs that get the first packets of the same clients at the same time.
#[test]
fn flows_that_are_opened_at_once_get_one_port_each_and_both_directions() {
    const FLOWS: u32 = 3_000;
    // Those that come too late for the same flow need room for a moment.
    let gateway = Gateway::with_room_for(&one_source(), FLOWS + 4);
    let clients = Clients::of(&gateway);
    let sent: Mutex<BTreeSet<(u32, SocketAddr)>> = Mutex::default();
    thread::scope(|scope| {
        for thread in 0..4 {
            let (gateway, clients, sent) = (&gateway, &clients, &sent);
            scope.spawn(move || {
                for step in 0..FLOWS {
                    // Some go through the clients one way, some the other.
                    let number = if thread % 2 == 0 { step } else { FLOWS - 1 - step };
                    let source = open_patiently(gateway, &clients.first_packet(number));
                    sent.lock().unwrap().insert((number, source));
                }
            });
        }
    });
    let sent = sent.into_inner().unwrap();
    assert_eq!(sent.len(), FLOWS as usize, "a client was given two ports");
    let ports: BTreeSet<_> = sent.iter().map(|(_, source)| source).collect();
    assert_eq!(ports.len(), FLOWS as usize, "a port was given to two clients");

    let (reverse, forward): (Vec<_>, Vec<_>) =
        live(&gateway).into_iter().partition(Flow::is_reverse);
    let of = |flows: &[Flow]| -> BTreeSet<_> {
        flows.iter().map(|flow| (flow.client, flow.consumer_ports, place(flow))).collect()
    };
    assert_eq!(forward.len(), FLOWS as usize);
    assert_eq!(reverse.len(), FLOWS as usize);
    assert_eq!(of(&forward), of(&reverse));
    assert_eq!(gateway.tables.counters.lock().unwrap()[&ENDPOINT].new_flows, u64::from(FLOWS));
}

/// Sends a first packet until no preempted thread is in its way; a CPU is never preempted there.
fn open_patiently(gateway: &Gateway, bytes: &[u8]) -> SocketAddr {
    loop {
        match gateway.run(ACME, bytes) {
            (SEND_TO_TARGET, out) => return sender(&out),
            (verdict, _) => {
                assert_eq!(verdict, Verdict::drop_at(Reason::Contended, ENDPOINT));
                thread::yield_now();
            }
        }
    }
}

#[test]
fn a_full_table_keeps_the_flows_that_are_established() {
    let gateway = Gateway::new(&Parties::v4());
    let mut opened = Vec::new();
    for port in 1..=400_u16 {
        let from = SocketAddr::new(gateway.parties.client.ip(), port);
        let packet = Packet { from, ..gateway.client_packet(Transport::Udp) };
        let (verdict, out) = gateway.run(ACME, &packet.bytes());
        if verdict == SEND_TO_TARGET {
            let reply = gateway.target_packet(sender(&out), Transport::Udp);
            assert_eq!(gateway.run(VENDOR, &reply.bytes()).0, SEND_TO_CLIENT);
            opened.push(packet);
        } else {
            assert_eq!(verdict, Verdict::drop_at(Reason::FlowTableFull, ENDPOINT));
        }
    }
    assert_eq!(opened.len(), 60, "the table was made for 60");
    assert_eq!(live(&gateway).len(), 2 * opened.len());
    for packet in &opened {
        assert_eq!(gateway.verdict(packet), SEND_TO_TARGET);
    }
}
