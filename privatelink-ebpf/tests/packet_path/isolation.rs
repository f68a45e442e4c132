//! Nothing crosses that was not let through, and what is not ours is left alone.

use crate::{
    gateway::{
        ACME, ACME_MAC, CLIENT_MAC, ENDPOINT, GLOBEX, Gateway, Parties, SEND_TO_CLIENT,
        SEND_TO_TARGET, STRANGER, TARGET_MAC, VENDOR, VENDOR_MAC,
    },
    packets::{ACK, Packet, Transport},
};
use privatelink_common::{Admission, Reason, TargetState};
use privatelink_ebpf::Verdict;
use proptest::{collection::vec, prelude::*};
use std::net::SocketAddr;

const TCP_DATA: Transport = Transport::Tcp(ACK, 5);
const ELSEWHERE_MAC: [u8; 6] = [0x02, 9, 9, 9, 9, 9];

#[test]
fn a_packet_crosses_if_all_conditions_hold() {
    for parties in Parties::both() {
        let gateway = Gateway::new(&parties);
        assert_eq!(gateway.verdict(&gateway.syn()), SEND_TO_TARGET);
        assert_eq!(gateway.verdict(&gateway.client_packet(Transport::Udp)), SEND_TO_TARGET);
    }
}

#[test]
fn nothing_crosses_from_another_network() {
    for parties in Parties::both() {
        let gateway = Gateway::new(&parties);
        for ifindex in [GLOBEX, VENDOR, STRANGER] {
            gateway.assert_passes(ifindex, &gateway.syn().bytes());
            gateway.assert_passes(ifindex, &gateway.client_packet(Transport::Udp).bytes());
        }
    }
}

#[test]
fn the_same_addresses_in_another_network_are_not_the_flow() {
    for parties in Parties::both() {
        let gateway = Gateway::new(&parties);
        for transport in [TCP_DATA, Transport::Udp] {
            let source = gateway.open(transport);
            let there = gateway.client_packet(transport);
            let back = gateway.target_packet(source, transport);
            assert_eq!(gateway.run(VENDOR, &back.bytes()).0, SEND_TO_CLIENT);
            for ifindex in [GLOBEX, VENDOR, STRANGER] {
                gateway.assert_passes(ifindex, &there.bytes());
            }
            for ifindex in [GLOBEX, ACME, STRANGER] {
                gateway.assert_passes(ifindex, &back.bytes());
            }
        }
    }
}

/// Enough networks that some of their packets are looked for where the flow's slots are.
#[test]
fn not_even_one_network_in_thousands_shares_a_flow() {
    for parties in Parties::both() {
        let mut gateway = Gateway::new(&parties);
        let source = gateway.open(Transport::Udp);
        let there = gateway.client_packet(Transport::Udp).bytes();
        let back = gateway.target_packet(source, Transport::Udp).bytes();
        for number in 100..4_000 {
            gateway.tables.networks.insert(number, number);
            gateway.tables.hosts.insert(number, privatelink_common::host::ALL);
            gateway.assert_passes(number, &there);
            gateway.assert_passes(number, &back);
        }
    }
}

/// Two consumers with the same addresses, each with its own flow: replies find their own.
#[test]
fn two_networks_with_the_same_addresses_stay_apart() {
    for parties in Parties::both() {
        let mut gateway = Gateway::new(&parties);
        let globex_mac = [0x02, 0xab, 1, 1, 1, 1];
        gateway.add_endpoint(ENDPOINT + 1, GLOBEX, parties.endpoint.ip(), globex_mac);
        let acme = gateway.open(Transport::Udp);
        let globex = gateway.client_packet(Transport::Udp).macs(CLIENT_MAC, globex_mac);
        let (verdict, out) = gateway.run(GLOBEX, &globex.bytes());
        assert_eq!(verdict, SEND_TO_TARGET);
        let globex = crate::gateway::sender(&out);
        assert_ne!(acme, globex);
        for (source, ifindex) in [(acme, ACME), (globex, GLOBEX)] {
            let back = gateway.target_packet(source, Transport::Udp);
            assert_eq!(gateway.run(VENDOR, &back.bytes()).0, Verdict::Send { ifindex });
        }
    }
}

#[test]
fn only_listeners_are_reached() {
    for parties in Parties::both() {
        let gateway = Gateway::new(&parties);
        for port in [0, 79, 81, 8080, 0x5000] {
            let to = SocketAddr::new(parties.endpoint.ip(), port);
            for packet in [gateway.syn(), gateway.client_packet(Transport::Udp)] {
                let verdict = gateway.verdict(&Packet { to, ..packet });
                assert_eq!(verdict, Verdict::drop_at(Reason::NoListener, ENDPOINT));
            }
        }
    }
}

#[test]
fn a_provider_opens_nothing() {
    for parties in Parties::both() {
        let gateway = Gateway::new(&parties);
        let source = gateway.open(Transport::Udp);
        for transport in [Transport::Tcp(2, 1), TCP_DATA, Transport::Udp] {
            for port in [0, 80, 1023, 40_000, 65_535] {
                let source = SocketAddr::new(parties.sources[0], port);
                let verdict =
                    gateway.run(VENDOR, &gateway.target_packet(source, transport).bytes()).0;
                assert_eq!(verdict, Verdict::drop(Reason::NoFlow));
            }
        }
        // A flow is one target's: not another host's, not another port's, not TCP's.
        let reply = gateway.target_packet(source, Transport::Udp);
        let other_port = SocketAddr::new(parties.target.ip(), parties.target.port() + 1);
        let other_host = SocketAddr::new(parties.sources[1], parties.target.port());
        for from in [other_port, other_host] {
            let (verdict, _) = gateway.run(VENDOR, &Packet { from, ..reply.clone() }.bytes());
            assert_eq!(verdict, Verdict::drop(Reason::NoFlow));
        }
        let (verdict, _) = gateway.run(VENDOR, &reply.transport(TCP_DATA).bytes());
        assert_eq!(verdict, Verdict::drop(Reason::NoFlow));
    }
}

#[test]
fn admission_acts_on_the_next_packet_both_ways() {
    let refusals = [
        (Admission::Absent, Reason::Rejected),
        (Admission::Pending, Reason::Pending),
        (Admission::Rejected, Reason::Rejected),
        (Admission::Expired, Reason::Expired),
    ];
    for parties in Parties::both() {
        for transport in [TCP_DATA, Transport::Udp] {
            let mut gateway = Gateway::new(&parties);
            let source = gateway.open(transport);
            let there = gateway.client_packet(transport).bytes();
            let back = gateway.target_packet(source, transport).bytes();
            for (admission, reason) in refusals {
                let refused = Verdict::drop_at(reason, ENDPOINT);
                gateway.admit(admission);
                assert_eq!(gateway.run(ACME, &there).0, refused);
                assert_eq!(gateway.run(VENDOR, &back).0, refused);
                assert_eq!(gateway.verdict(&gateway.syn()), refused);
                gateway.admit(Admission::Available);
                assert_eq!(gateway.run(ACME, &there).0, SEND_TO_TARGET);
                assert_eq!(gateway.run(VENDOR, &back).0, SEND_TO_CLIENT);
            }
        }
    }
}

#[test]
fn draining_keeps_flows_and_refuses_new_ones() {
    for parties in Parties::both() {
        let mut gateway = Gateway::new(&parties);
        let source = gateway.open(TCP_DATA);
        gateway.admit(Admission::Draining);
        assert_eq!(gateway.verdict(&gateway.client_packet(TCP_DATA)), SEND_TO_TARGET);
        let back = gateway.target_packet(source, TCP_DATA).bytes();
        assert_eq!(gateway.run(VENDOR, &back).0, SEND_TO_CLIENT);
        let refused = Verdict::drop_at(Reason::Rejected, ENDPOINT);
        assert_eq!(gateway.verdict(&gateway.client_packet(Transport::Udp)), refused);
    }
}

#[test]
fn an_absent_target_gets_and_sends_nothing() {
    for parties in Parties::both() {
        let mut gateway = Gateway::new(&parties);
        let source = gateway.open(Transport::Udp);
        gateway.target().state = TargetState::Absent as u32;
        let refused = Verdict::drop_at(Reason::NoTarget, ENDPOINT);
        let there = gateway.client_packet(Transport::Udp);
        assert_eq!(gateway.verdict(&there), refused);
        let back = gateway.target_packet(source, Transport::Udp).bytes();
        assert_eq!(gateway.run(VENDOR, &back).0, refused);
        assert_eq!(gateway.verdict(&gateway.syn()), refused);
    }
}

#[test]
fn frames_for_another_mac_pass() {
    for parties in Parties::both() {
        let gateway = Gateway::new(&parties);
        let source = gateway.open(Transport::Udp);
        let there = |packet: Packet| packet.macs(CLIENT_MAC, ELSEWHERE_MAC).bytes();
        gateway.assert_passes(ACME, &there(gateway.syn()));
        gateway.assert_passes(ACME, &there(gateway.client_packet(TCP_DATA)));
        gateway.assert_passes(ACME, &there(gateway.client_packet(Transport::Udp)));
        // VENDOR's address is ours, but not on this side.
        let wrong_side = gateway.client_packet(Transport::Udp).macs(CLIENT_MAC, VENDOR_MAC);
        gateway.assert_passes(ACME, &wrong_side.bytes());
        let back = gateway.target_packet(source, Transport::Udp).macs(TARGET_MAC, ELSEWHERE_MAC);
        gateway.assert_passes(VENDOR, &back.bytes());
        let unknown = SocketAddr::new(parties.sources[1], 5);
        let back = gateway.target_packet(unknown, TCP_DATA).macs(TARGET_MAC, ACME_MAC);
        gateway.assert_passes(VENDOR, &back.bytes());
    }
}

/// What the gateway would refuse, had it been for the gateway.
#[test]
fn packets_that_cannot_be_followed_pass_if_they_are_for_another_mac() {
    for parties in Parties::both() {
        let gateway = Gateway::new(&parties);
        let good = gateway.syn().macs(CLIENT_MAC, ELSEWHERE_MAC).bytes();
        let protocol_at = if parties.client.is_ipv4() { 23 } else { 20 };
        for protocol in [0, 1, 44, 50, 58, 132] {
            let mut other = good.clone();
            other[protocol_at] = protocol;
            gateway.assert_passes(ACME, &other);
        }
        gateway.assert_passes(ACME, &good[..60]);
    }
}

/// A frame that is not for an address of ours, in any network, of any shape.
#[derive(Clone, Debug)]
enum Foreign {
    Packet { host: u16, port: u16, transport: Transport },
    EtherType(u16, Vec<u8>),
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_not_ours_passes_as_it_came(
        foreign in foreign(),
        v6 in any::<bool>(),
        at in 0..4_usize,
    ) {
        let parties = if v6 { Parties::v6() } else { Parties::v4() };
        let gateway = Gateway::new(&parties);
        let (ifindex, mac) = [
            (ACME, ACME_MAC), (VENDOR, VENDOR_MAC), (GLOBEX, ELSEWHERE_MAC), (STRANGER, ACME_MAC),
        ][at];
        let bytes = match foreign {
            Foreign::Packet { host, port, transport } => {
                let [high, low] = host.to_be_bytes();
                let to = if v6 {
                    [0xfd, 0xee, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, high, low].into()
                } else {
                    [10, 9, high, low].into()
                };
                let to = SocketAddr::new(to, port);
                Packet::new(parties.client, to, transport).macs(CLIENT_MAC, mac).bytes()
            }
            Foreign::EtherType(kind, payload) => {
                let mut bytes = gateway.syn().bytes();
                bytes[12..14].copy_from_slice(&kind.to_be_bytes());
                bytes.truncate(14);
                bytes.extend(payload);
                bytes
            }
        };
        gateway.assert_passes(ifindex, &bytes);
    }
}

fn foreign() -> impl Strategy<Value = Foreign> {
    let transport =
        prop_oneof![any::<u8>().prop_map(|flags| Transport::Tcp(flags, 1)), Just(Transport::Udp),];
    let kind = any::<u16>().prop_filter("ours", |kind| ![0x0800, 0x0806, 0x86dd].contains(kind));
    prop_oneof![
        (any::<u16>(), any::<u16>(), transport)
            .prop_map(|(host, port, transport)| Foreign::Packet { host, port, transport }),
        (kind, vec(any::<u8>(), 0..60))
            .prop_map(|(kind, payload)| Foreign::EtherType(kind, payload)),
    ]
}
