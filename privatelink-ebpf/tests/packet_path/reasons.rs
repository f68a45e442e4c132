//! Every reason that the packet function gives: what leads to it, and what it is counted for.

use crate::{
    gateway::{ACME, ENDPOINT, Gateway, Parties, SEND_TO_CLIENT, SEND_TO_TARGET, SERVICE, VENDOR},
    packets::{ACK, FIN, Packet, RST, SYN, Transport},
};
use privatelink_common::{Admission, ListenerKey, Pool, Reason, TCP, TargetState};
use privatelink_ebpf::Verdict;

/// Asserts that the client's first packet, a SYN unless it is edited, is refused at the
/// endpoint in a gateway that was prepared so; for both families.
fn assert_refused(
    reason: Reason,
    prepare: impl Fn(&mut Gateway),
    edit: impl Fn(Packet, bool) -> Vec<u8>,
) {
    for parties in Parties::both() {
        let mut gateway = Gateway::new(&parties);
        prepare(&mut gateway);
        let bytes = edit(gateway.syn(), parties.client.is_ipv4());
        let (verdict, _) = gateway.run(ACME, &bytes);
        assert_eq!(verdict, Verdict::drop_at(reason, ENDPOINT));
        // The same for a source address is nobody's in particular, where it is a fault of the
        // packet alone.
        let of_packet = [
            Reason::Malformed,
            Reason::BadChecksum,
            Reason::Options,
            Reason::Fragment,
            Reason::FragmentLong,
            Reason::FragmentUnknown,
            Reason::Protocol,
        ];
        if of_packet.contains(&reason) {
            let source = std::net::SocketAddr::new(parties.sources[0], 5000);
            let packet = gateway.target_packet(source, Transport::Tcp(SYN, 1));
            let (verdict, _) = gateway.run(VENDOR, &edit(packet, parties.client.is_ipv4()));
            assert_eq!(verdict, Verdict::drop(reason));
        }
    }
}

fn as_is(packet: Packet, _v4: bool) -> Vec<u8> {
    packet.bytes()
}

fn nothing(_gateway: &mut Gateway) {}

/// Replaces bytes of the IP header, whose checksum then follows.
fn put(mut bytes: Vec<u8>, at: usize, new: &[u8]) -> Vec<u8> {
    bytes[at..at + new.len()].copy_from_slice(new);
    if bytes[12..14] == [8, 0] {
        bytes[24..26].fill(0);
        let end = (14 + usize::from(bytes[14] & 0xf) * 4).max(34);
        let check = !(crate::packets::sum(&bytes[14..end]) as u16);
        bytes[24..26].copy_from_slice(&check.to_be_bytes());
    }
    bytes
}

#[test]
fn malformed() {
    let refused = |edit: &dyn Fn(Vec<u8>, bool) -> Vec<u8>| {
        assert_refused(Reason::Malformed, nothing, |packet, v4| edit(packet.bytes(), v4));
    };
    // Another version; longer than the frame; shorter than the transport header.
    refused(&|bytes, v4| put(bytes, 14, if v4 { &[0x65] } else { &[0x40] }));
    refused(&|bytes, v4| put(bytes, if v4 { 16 } else { 18 }, &[5, 0]));
    refused(&|bytes, v4| put(bytes, if v4 { 16 } else { 18 }, &[0, if v4 { 39 } else { 19 }]));
    // TCP's data offset below its least, and beyond the packet.
    for offset in [0x40, 0xf0] {
        refused(&|bytes, v4| put(bytes, if v4 { 46 } else { 66 }, &[offset]));
    }
    // UDP's length below its least, and beyond the packet.
    for length in [7_u8, 200] {
        assert_refused(Reason::Malformed, nothing, |packet, v4| {
            let bytes = packet.transport(Transport::Udp).bytes();
            put(bytes, if v4 { 38 } else { 58 }, &[0, length])
        });
    }
    assert_refused(Reason::Malformed, nothing, |packet, v4| {
        let mut bytes = packet.bytes();
        bytes.truncate(if v4 { 14 + 20 + 19 } else { 14 + 40 + 19 });
        bytes
    });
}

#[test]
fn bad_checksum() {
    let parties = Parties::v4();
    let gateway = Gateway::new(&parties);
    gateway.open(Transport::Udp);
    for packet in [gateway.syn(), gateway.client_packet(Transport::Udp)] {
        let mut bytes = packet.bytes();
        bytes[25] ^= 1;
        let (verdict, _) = gateway.run(ACME, &bytes);
        assert_eq!(verdict, Verdict::drop_at(Reason::BadChecksum, ENDPOINT));
    }
    let gateway = Gateway::new(&Parties::v6());
    let bare = gateway.client_packet(Transport::BareUdp);
    assert_eq!(gateway.verdict(&bare), Verdict::drop_at(Reason::BadChecksum, ENDPOINT));
}

#[test]
fn ttl_expired() {
    for ttl in [0, 1] {
        assert_refused(Reason::TtlExpired, nothing, |packet, _| packet.ttl(ttl).bytes());
        // Within a flow, both ways.
        for parties in Parties::both() {
            let gateway = Gateway::new(&parties);
            let source = gateway.open(Transport::Udp);
            let refused = Verdict::drop_at(Reason::TtlExpired, ENDPOINT);
            assert_eq!(gateway.verdict(&gateway.client_packet(Transport::Udp).ttl(ttl)), refused);
            let back = gateway.target_packet(source, Transport::Udp).ttl(ttl);
            assert_eq!(gateway.run(VENDOR, &back.bytes()).0, refused);
        }
    }
}

#[test]
fn options() {
    assert_refused(Reason::Options, nothing, |packet, v4| {
        const AUTHENTICATION: u8 = 51;
        if v4 { source_routed(packet.bytes()) } else { put(packet.bytes(), 20, &[AUTHENTICATION]) }
    });
}

/// An IPv4 packet with the option "loose source route".
fn source_routed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.splice(34..34, [131, 7, 4, 10, 0, 0, 1, 0]);
    let length = (bytes.len() - 14) as u16;
    put(put(bytes, 14, &[0x47]), 16, &length.to_be_bytes())
}

#[test]
fn fragment() {
    const GRE: u8 = 47;
    assert_refused(Reason::Fragment, nothing, |packet, v4| {
        let bytes = packet.payload(&[0; 12]).bytes();
        if v4 {
            put(put(bytes, 23, &[GRE]), 20, &[0x20, 0])
        } else {
            fragment_v6(&put(bytes, 20, &[GRE]), 1)
        }
    });
}

#[test]
fn fragments_that_cannot_be() {
    const FRAGMENT: usize = 20;
    let place = |packet: Packet, place: u16| put(packet.bytes(), FRAGMENT, &place.to_be_bytes());
    let refused = |reason, offset: u16, more: bool, length: usize| {
        assert_refused(reason, nothing, |packet, v4| {
            // Past the header, TCP's content is a multiple of eight bytes with four more.
            let packet = packet.payload(&vec![0; length]);
            if v4 {
                place(packet, (offset / 8) | (u16::from(more) << 13))
            } else {
                let bytes = packet.bytes();
                fragment_v6(&bytes, offset | u16::from(more))
            }
        });
    };
    refused(Reason::FragmentUnknown, 800, true, 4);
    refused(Reason::FragmentUnknown, 800, false, 5);
    refused(Reason::FragmentLong, 65_528, false, 4);
    refused(Reason::Malformed, 800, true, 5);
    refused(Reason::FragmentUnknown, 8, false, 0);
}

/// The IPv6 packet of a frame with a fragment header before its content.
fn fragment_v6(bytes: &[u8], place: u16) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let [high, low] = place.to_be_bytes();
    let header = [bytes[20], 0, high, low, 0, 0, 0, 9];
    bytes.splice(54..54, header);
    let length = (bytes.len() - 54) as u16;
    bytes[18..20].copy_from_slice(&length.to_be_bytes());
    bytes[20] = 44;
    bytes
}

#[test]
fn protocol() {
    for protocol in [1, 58, 132] {
        assert_refused(Reason::Protocol, nothing, |packet, v4| {
            put(packet.bytes(), if v4 { 23 } else { 20 }, &[protocol])
        });
    }
}

#[test]
fn no_listener() {
    assert_refused(
        Reason::NoListener,
        |gateway| {
            let port = gateway.parties.endpoint.port().to_be();
            let key = ListenerKey { service: SERVICE, port, protocol: TCP.into() };
            gateway.tables.listeners.remove(&key).unwrap();
        },
        as_is,
    );
}

#[test]
fn no_flow() {
    for flags in [0, ACK, FIN, RST, SYN | ACK, SYN | FIN, SYN | RST, FIN | ACK, RST | ACK] {
        assert_refused(Reason::NoFlow, nothing, |packet, _| packet.flags(flags).bytes());
    }
    for parties in Parties::both() {
        let gateway = Gateway::new(&parties);
        let source = std::net::SocketAddr::new(parties.sources[0], 5000);
        let packet = gateway.target_packet(source, Transport::Udp);
        assert_eq!(gateway.run(VENDOR, &packet.bytes()).0, Verdict::drop(Reason::NoFlow));
    }
}

#[test]
fn pending_rejected_expired() {
    let admissions = [
        (Admission::Pending, Reason::Pending),
        (Admission::Rejected, Reason::Rejected),
        (Admission::Absent, Reason::Rejected),
        (Admission::Draining, Reason::Rejected),
        (Admission::Expired, Reason::Expired),
    ];
    for (admission, reason) in admissions {
        assert_refused(reason, |gateway| gateway.admit(admission), as_is);
    }
}

#[test]
fn no_target() {
    let absent = |gateway: &mut Gateway| gateway.target().state = TargetState::Absent as u32;
    assert_refused(Reason::NoTarget, absent, as_is);
    let no_backend = |gateway: &mut Gateway| gateway.tables.backends.clear();
    assert_refused(Reason::NoTarget, no_backend, as_is);
    let empty_pool = |gateway: &mut Gateway| {
        for listener in gateway.tables.listeners.values_mut() {
            (listener.backends_v4, listener.backends_v6) = (Pool::default(), Pool::default());
        }
    };
    assert_refused(Reason::NoTarget, empty_pool, as_is);
    let no_source = |gateway: &mut Gateway| {
        let service = gateway.tables.services.get_mut(&SERVICE).unwrap();
        (service.sources_v4, service.sources_v6) = (Pool::default(), Pool::default());
    };
    assert_refused(Reason::NoTarget, no_source, as_is);
}

#[test]
fn no_neighbour() {
    assert_refused(Reason::NoNeighbour, |gateway| gateway.target().hop = [0; 6], as_is);
    // Flows wait for it, and go on when it is there again; replies do not need it.
    for parties in Parties::both() {
        let mut gateway = Gateway::new(&parties);
        let source = gateway.open(Transport::Udp);
        let hop = std::mem::take(&mut gateway.target().hop);
        let there = gateway.client_packet(Transport::Udp);
        let refused = Verdict::drop_at(Reason::NoNeighbour, ENDPOINT);
        assert_eq!(gateway.verdict(&there), refused);
        let back = gateway.target_packet(source, Transport::Udp);
        assert_eq!(gateway.run(VENDOR, &back.bytes()).0, SEND_TO_CLIENT);
        gateway.target().hop = hop;
        assert_eq!(gateway.verdict(&there), SEND_TO_TARGET);
    }
}

#[test]
fn flow_table_full() {
    for parties in Parties::both() {
        let gateway = Gateway::new(&parties);
        let refused = (1..=200_u16).find_map(|port| {
            let from = std::net::SocketAddr::new(parties.client.ip(), port);
            let verdict = gateway.verdict(&Packet { from, ..gateway.syn() });
            (verdict != SEND_TO_TARGET).then_some((port, verdict))
        });
        let (port, verdict) = refused.unwrap();
        assert_eq!(verdict, Verdict::drop_at(Reason::FlowTableFull, ENDPOINT));
        assert!(port > 60, "it holds what it was made for, not {port}");
    }
}

#[test]
fn contended() {
    use privatelink_ebpf::Tables;
    let hold = |gateway: &mut Gateway| {
        for index in 0..gateway.tables.regions() {
            gateway.tables.region(index).unwrap().lock.store(1);
        }
    };
    assert_refused(Reason::Contended, hold, as_is);
}

#[test]
fn too_big() {
    let narrow = |gateway: &mut Gateway| gateway.target().mtu = 60;
    assert_refused(Reason::TooBig, narrow, |packet, _| packet.payload(&[0; 40]).bytes());
    for parties in Parties::both() {
        let mut gateway = Gateway::new(&parties);
        let source = gateway.open(Transport::Udp);
        (gateway.endpoint().mtu, gateway.target().mtu) = (600, 500);
        let header = if parties.client.is_ipv4() { 28 } else { 48 };
        let there =
            |mtu: usize| gateway.client_packet(Transport::Udp).payload(&vec![0; mtu - header]);
        let back = |mtu: usize| {
            gateway.target_packet(source, Transport::Udp).payload(&vec![0; mtu - header])
        };
        let refused = Verdict::drop_at(Reason::TooBig, ENDPOINT);
        assert_eq!(gateway.verdict(&there(500)), SEND_TO_TARGET);
        assert_eq!(gateway.verdict(&there(501)), refused);
        assert_eq!(gateway.run(VENDOR, &back(600).bytes()).0, SEND_TO_CLIENT);
        assert_eq!(gateway.run(VENDOR, &back(601).bytes()).0, refused);
    }
}

#[test]
fn internal() {
    let no_endpoint = |gateway: &mut Gateway| gateway.tables.endpoints.clear();
    assert_refused(Reason::Internal, no_endpoint, as_is);
    let no_service = |gateway: &mut Gateway| gateway.tables.services.clear();
    assert_refused(Reason::Internal, no_service, as_is);
    let no_target = |gateway: &mut Gateway| gateway.tables.targets.clear();
    assert_refused(Reason::Internal, no_target, as_is);
}
