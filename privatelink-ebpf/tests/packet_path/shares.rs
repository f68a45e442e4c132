//! Two endpoints of one service, one of which takes all that it can.

use crate::{
    gateway::{
        ACME, ACME_MAC, ENDPOINT, GLOBEX, Gateway, SEND_TO_CLIENT, SEND_TO_TARGET, VENDOR, sender,
    },
    packets::{Packet, SYN, Transport},
    pressure::{Clients, live, one_source},
};
use privatelink_common::{
    EndCause, Limits, Reason, Share,
    flow::{Flow, Phase},
    policy::limited,
    share::{BLOCK_TICK_SHIFT, PORTS},
    ticks_from_millis,
};
use privatelink_ebpf::{Refused, Tables as _, Verdict, sweep};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

/// Index of the other endpoint.
const OTHER: u32 = 8;
const SEND_TO_OTHER: Verdict = Verdict::Send { ifindex: GLOBEX };

/// Two endpoints with half of everything each.
fn two(max_flows: u32) -> Gateway {
    let mut gateway = Gateway::with_room_for(&one_source(), max_flows);
    let address = gateway.parties.endpoint.ip();
    gateway.add_endpoint(OTHER, GLOBEX, address, ACME_MAC);
    let half = Share { flows: max_flows / 2, first: 0, length: 1 << 31 };
    gateway.tables.shares.insert(ENDPOINT, half);
    gateway.tables.shares.insert(OTHER, Share { first: 1 << 31, ..half });
    gateway
}

fn of(gateway: &Gateway, endpoint: u32) -> Vec<Flow> {
    let flows = live(gateway).into_iter();
    flows.filter(|flow| flow.endpoint() == endpoint && !flow.is_reverse()).collect()
}

/// Sends a packet, whatever becomes of it.
fn send(gateway: &Gateway, ifindex: u32, bytes: &[u8]) {
    let _verdict = gateway.run(ifindex, bytes);
}

/// What the endpoint's meter and the table say must be what there is.
fn check_counts(gateway: &Gateway) {
    let mut all = 0;
    for endpoint in [ENDPOINT, OTHER] {
        let flows = of(gateway, endpoint);
        let unsettled = |flow: &&Flow| flow.word & privatelink_common::flow::word::UNSETTLED != 0;
        let meter =
            gateway.tables.meter(endpoint).unwrap_or_else(|| panic!("no meter of {endpoint}"));
        assert_eq!(meter.flows.load() as usize, flows.len());
        assert_eq!(meter.unsettled.load() as usize, flows.iter().filter(unsettled).count());
        all += flows.len();
    }
    assert_eq!(
        gateway.tables.occupancy().unwrap_or_else(|| panic!("no occupancy")).flows.load() as usize,
        all
    );
    let blocks = (0..privatelink_common::maps::MAX_PORT_BLOCKS)
        .filter(|index| index / privatelink_common::share::BLOCKS == own_table(gateway))
        .filter_map(|index| gateway.tables.port_block(index))
        .map(|cell| privatelink_common::share::Block(cell.load()).flows() as usize);
    assert_eq!(blocks.sum::<usize>(), all, "ports in use");
}

fn own_table(gateway: &Gateway) -> u32 {
    let source = gateway.tables.sources.values().next().unwrap_or_else(|| panic!("no source"));
    source.blocks % privatelink_common::share::BLOCK_TABLES
}

#[test]
fn a_table_takes_no_more_flows_than_it_was_made_for() {
    let gateway = two(10_000);
    let clients = Clients::of(&gateway);
    for number in 0..40_000 {
        send(&gateway, ACME, &clients.first_packet(number));
        assert!(gateway.tables.occupancy().unwrap().flows.load() <= 10_000);
    }
    // The last eighth cannot be borrowed.
    assert_eq!(of(&gateway, ENDPOINT).len(), 8_750);
    check_counts(&gateway);
    for number in 0..5_000 {
        let (verdict, _) = gateway.run(GLOBEX, &clients.first_packet(number));
        assert_eq!(verdict, SEND_TO_TARGET, "flow {number} within the share");
    }
    assert!(of(&gateway, OTHER).len() >= 2_500 && live(&gateway).len() <= 20_000);
    assert!(of(&gateway, ENDPOINT).len() >= 5_000, "its own share is its own");
    check_counts(&gateway);
    let ends = gateway.tables.ends.lock().unwrap();
    assert!(!ends.is_empty());
    assert!(ends.iter().all(|end| end.cause == EndCause::Displaced as u32));
}

#[test]
fn established_flows_within_the_share_outlive_a_flood() {
    let gateway = two(10_000);
    let clients = Clients::of(&gateway);
    for number in 0..2_000 {
        establish(&gateway, &clients.first_packet(number));
    }
    // Half-open connections from forged senders, and datagrams that no target answers.
    for number in 0..30_000 {
        let from = SocketAddr::new(IpAddr::from([10, 9, (number >> 8) as u8, number as u8]), 5_000);
        let syn = Packet { from, ..gateway.client_packet(Transport::Tcp(SYN, 5)) };
        send(&gateway, ACME, &syn.bytes());
        send(&gateway, ACME, &clients.first_packet(number));
    }
    assert_eq!(of(&gateway, OTHER).len(), 2_000, "established flows gave way");
    for number in 2_000..5_000 {
        establish(&gateway, &clients.first_packet(number));
    }
    assert_eq!(of(&gateway, OTHER).len(), 5_000);
    check_counts(&gateway);
}

/// Otherwise a client that the rules deny could end flows without opening any.
#[test]
fn a_packet_that_opens_no_flow_ends_none() {
    let gateway = two(1_000);
    let clients = Clients::of(&gateway);
    for number in 0..1_000 {
        send(&gateway, ACME, &clients.first_packet(number));
    }
    for number in 0..125 {
        send(&gateway, GLOBEX, &clients.first_packet(number));
    }
    assert_eq!(gateway.tables.occupancy().unwrap().flows.load(), 1_000);
    // Old enough to make room for others of the same endpoint.
    gateway.tables.wait(ticks_from_millis(4_100));
    let syn = gateway.client_packet(Transport::Tcp(SYN, 5));
    let mut wrong_sum = syn.bytes();
    *wrong_sum.last_mut().unwrap() ^= 1;
    let elsewhere = SocketAddr::new(syn.to.ip(), 9);
    let refused = [
        (Reason::BadChecksum, wrong_sum),
        (Reason::TtlExpired, syn.clone().ttl(1).bytes()),
        (Reason::NoListener, Packet { to: elsewhere, ..syn.clone() }.bytes()),
        (Reason::Sender, Packet { from_mac: [1, 0, 0, 0, 0, 1], ..syn }.bytes()),
    ];
    for (expected, bytes) in refused {
        // The endpoint with more than its share, and the one with less.
        for ifindex in [ACME, GLOBEX] {
            let (verdict, _) = gateway.run(ifindex, &bytes);
            let Verdict::Drop(Refused { reason, .. }) = verdict else {
                panic!("{verdict:?} instead of {expected:?}")
            };
            assert_eq!(reason, expected);
            assert_eq!(gateway.tables.ends.lock().unwrap().len(), 0, "{expected:?}");
        }
    }
    check_counts(&gateway);
}

/// The packet passes the checks twice, but its flow is one.
#[test]
fn a_flow_for_which_another_is_displaced_counts_once_against_limits() {
    let opened = |full: bool| {
        let mut gateway = two(1_000);
        let clients = Clients::of(&gateway);
        for number in 0..if full { 1_000 } else { 0 } {
            send(&gateway, ACME, &clients.first_packet(number));
        }
        for number in 0..if full { 125 } else { 0 } {
            send(&gateway, GLOBEX, &clients.first_packet(number));
        }
        let limits = Limits { flow_nanos: 100_000_000, ..Limits::default() };
        gateway.tables.limits.insert(OTHER, limits);
        gateway.tables.endpoints.get_mut(&OTHER).unwrap().limits = limited::FLOWS;
        let displaced = gateway.tables.ends.lock().unwrap().len();
        let verdicts =
            (1_000..1_030).map(|number| gateway.run(GLOBEX, &clients.first_packet(number)).0);
        let opened = verdicts.filter(|verdict| *verdict == SEND_TO_TARGET).count();
        (opened, gateway.tables.ends.lock().unwrap().len() - displaced)
    };
    let (alone, _) = opened(false);
    assert!((10..30).contains(&alone), "{alone}");
    assert_eq!(opened(true), (alone, alone));
}

/// Opens a flow of the other endpoint, and has it answered.
fn establish(gateway: &Gateway, first: &[u8]) {
    let (verdict, out) = gateway.run(GLOBEX, first);
    assert_eq!(verdict, SEND_TO_TARGET);
    let reply = gateway.target_packet(sender(&out), Transport::Udp).bytes();
    assert_eq!(gateway.run(VENDOR, &reply).0, SEND_TO_OTHER);
}

#[test]
fn flows_without_an_answer_end_soon_when_the_table_is_short() {
    let gateway = two(1_000);
    let clients = Clients::of(&gateway);
    let sweep_all = || sweep(&gateway.tables, 0, gateway.tables.regions());
    for number in 0..700 {
        send(&gateway, ACME, &clients.first_packet(number));
    }
    gateway.tables.wait(ticks_from_millis(5_100));
    assert_eq!(sweep_all(), 0, "there is room");
    for number in 700..900 {
        send(&gateway, ACME, &clients.first_packet(number));
    }
    gateway.tables.wait(ticks_from_millis(4_000));
    // Those of before have been silent for nine seconds; the sweep stops where there is room.
    assert!(sweep_all() > 100);
    let left = of(&gateway, ENDPOINT).len();
    assert!(left <= 760, "{left}");
    assert_eq!(sweep_all(), 0);
    check_counts(&gateway);
}

#[test]
fn a_consumer_that_takes_all_ports_leaves_the_other_its_own() {
    let gateway = two(200_000);
    let clients = Clients::of(&gateway);
    let mut refused = 0;
    for number in 0..52_000 {
        let (verdict, _) = gateway.run(ACME, &clients.first_packet(number));
        if verdict != SEND_TO_TARGET {
            assert_eq!(verdict, Verdict::drop_at(Reason::PortsExhausted, ENDPOINT));
            refused += 1;
        }
    }
    let ports = PORTS as usize;
    let taken = 52_000 - refused;
    assert!(
        taken > ports * 7 / 10 && taken <= ports * 3 / 4,
        "{taken}: half of the rest can be borrowed"
    );
    let own = ports / 4;
    for number in 0..(own * 95 / 100) as u32 {
        let (verdict, _) = gateway.run(GLOBEX, &clients.first_packet(number));
        assert_eq!(verdict, SEND_TO_TARGET, "flow {number} of {own} ports that cannot be borrowed");
    }
    check_counts(&gateway);
}

#[test]
fn borrowed_ports_are_returned() {
    let gateway = two(200_000);
    let clients = Clients::of(&gateway);
    let end_all = || {
        gateway.tables.wait(2_000);
        sweep(&gateway.tables, 0, gateway.tables.regions())
    };
    for number in 0..50_000 {
        send(&gateway, ACME, &clients.first_packet(number));
    }
    // The other wants more than half of its share, and is refused now.
    let wants = |first: u32| {
        let sent = (first..first + 30_000)
            .map(|number| gateway.run(GLOBEX, &clients.first_packet(number)));
        sent.filter(|(verdict, _)| *verdict == SEND_TO_TARGET).count()
    };
    assert!(wants(0) < PORTS as usize / 4 + 1);
    assert!(end_all() > 55_000);
    gateway.tables.wait(ticks_from_millis(120_000) + (3 << BLOCK_TICK_SHIFT));
    // The first one comes back sooner, but may no longer borrow blocks that are wanted.
    for number in 0..50_000 {
        send(&gateway, ACME, &clients.first_packet(number));
    }
    assert!(wants(0) * 100 > PORTS as usize * 46, "nearly all of its half");
    check_counts(&gateway);
}

#[test]
fn a_port_is_not_given_to_another_endpoint_for_two_minutes() {
    let gateway = two(200_000);
    let clients = Clients::of(&gateway);
    let place = |(verdict, out): (Verdict, Vec<u8>)| {
        matches!(verdict, Verdict::Send { .. }).then(|| sender(&out))
    };
    let open_all = |ifindex, count| -> BTreeSet<SocketAddr> {
        (0..count)
            .filter_map(|number| place(gateway.run(ifindex, &clients.first_packet(number))))
            .collect()
    };
    let end_all = || {
        gateway.tables.wait(1_100);
        sweep(&gateway.tables, 0, gateway.tables.regions())
    };
    // More than its own half: some are borrowed from the other.
    let before = open_all(ACME, 40_000);
    assert!(before.len() > 35_000);
    assert_eq!(end_all() as usize, before.len());
    for seconds in (0..=100).step_by(25) {
        let other = open_all(GLOBEX, 20_000);
        assert!(other.len() > 10_000, "after {seconds} s");
        assert!(other.is_disjoint(&before), "after {seconds} s");
        assert_eq!(end_all() as usize, other.len());
    }
    gateway.tables.wait(ticks_from_millis(120_000) + (3 << BLOCK_TICK_SHIFT));
    assert!(!open_all(GLOBEX, 20_000).is_disjoint(&before), "later it may be");
}

#[test]
fn a_late_datagram_reaches_no_client() {
    let gateway = two(200_000);
    let clients = Clients::of(&gateway);
    let (_, out) = gateway.run(ACME, &clients.first_packet(0));
    let source = sender(&out);
    let late = gateway.target_packet(source, Transport::Udp).bytes();
    assert_eq!(gateway.run(VENDOR, &late).0, SEND_TO_CLIENT);
    gateway.tables.wait(1_100);
    assert_eq!(sweep(&gateway.tables, 0, gateway.tables.regions()), 1);
    for number in 0..30_000 {
        send(&gateway, GLOBEX, &clients.first_packet(number));
    }
    let (verdict, _) = gateway.run(VENDOR, &late);
    assert!(
        matches!(
            verdict,
            Verdict::Drop(Refused { reason: Reason::NoFlow, .. }) | Verdict::Reply { .. }
        ),
        "{verdict:?}"
    );
}

#[test]
fn the_first_datagram_of_the_target_settles_a_flow() {
    let gateway = two(1_000);
    let meter = || gateway.tables.meter(ENDPOINT).unwrap();
    let (_, out) = gateway.run(ACME, &gateway.client_packet(Transport::Udp).bytes());
    let phases = || -> BTreeSet<(bool, u32)> {
        live(&gateway).iter().map(|flow| (flow.is_reverse(), Phase::of(flow.word) as u32)).collect()
    };
    let [established, opening] = [Phase::Established as u32, Phase::Opening as u32];
    assert_eq!(phases(), BTreeSet::from([(false, established), (true, opening)]));
    assert_eq!((meter().flows.load(), meter().unsettled.load()), (1, 1));
    let reply = gateway.target_packet(sender(&out), Transport::Udp).bytes();
    assert_eq!(gateway.run(VENDOR, &reply).0, SEND_TO_CLIENT);
    assert_eq!(phases(), BTreeSet::from([(false, established), (true, established)]));
    assert_eq!((meter().flows.load(), meter().unsettled.load()), (1, 0));
    check_counts(&gateway);
}
