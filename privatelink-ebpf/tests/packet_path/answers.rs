//! What the senders of refused packets are told, and when they are told nothing.

use crate::{
    gateway::{ACME, CLIENT_MAC, ENDPOINT, Gateway, Parties, VENDOR},
    packets::{ACK, FIN, Packet, RST, SYN, Transport, fault, fold, sum, transport_holds},
};
use etherparse::{SlicedPacket, TransportSlice};
use privatelink_common::{Admission, Reason, Refusal};
use privatelink_ebpf::{Refused, Verdict};
use proptest::prelude::*;
use std::net::SocketAddr;

/// What is wrong with an answer, if anything is.
pub fn answer_fault(frame: &[u8]) -> Option<String> {
    if let Some(fault) = fault(frame) {
        return Some(fault);
    }
    let v4 = frame[14] >> 4 == 4;
    let (length, header) = if v4 {
        (u16::from_be_bytes([frame[16], frame[17]]), 34)
    } else {
        (u16::from_be_bytes([frame[18], frame[19]]) + 40, 54)
    };
    if usize::from(length) + 14 != frame.len() {
        return Some("padded, or longer than its packet".into());
    }
    if length > if v4 { 576 } else { 1280 } {
        return Some("longer than every link carries".into());
    }
    let holds = match frame[if v4 { 23 } else { 20 }] {
        6 => transport_holds(frame),
        1 if v4 => sum(&frame[header..]) == 0xffff,
        58 if !v4 => {
            let pseudo = sum(&frame[22..54]) + 58 + u32::from(length) - 40;
            fold(pseudo + sum(&frame[header..])) == 0xffff
        }
        protocol => return Some(format!("protocol {protocol}")),
    };
    (!holds).then(|| "wrong checksum".into())
}

/// A frame that its receiver sends back just as it is.
pub fn turned_around(frame: &[u8]) -> Vec<u8> {
    let (first, second) = if frame[14] >> 4 == 4 { (26, 30) } else { (22, 38) };
    let mut back = frame.to_vec();
    back[..6].copy_from_slice(&frame[6..12]);
    back[6..12].copy_from_slice(&frame[..6]);
    let length = second - first;
    back[first..second].copy_from_slice(&frame[second..second + length]);
    back[second..second + length].copy_from_slice(&frame[first..second]);
    back
}

/// What a packet from acme gets that is refused for a reason.
fn told(gateway: &Gateway, packet: &Packet, reason: Reason) -> Option<Vec<u8>> {
    let bytes = packet.bytes();
    let refused = Refused { reason, endpoint: Some(ENDPOINT) };
    match gateway.outcome(ACME, &bytes) {
        (Verdict::Reply { refused: told, ifindex: ACME }, out) => {
            assert_eq!(told, refused);
            assert_eq!(answer_fault(&out), None);
            Some(out)
        }
        (verdict, out) => {
            assert_eq!((verdict, out), (Verdict::Drop(refused), bytes));
            None
        }
    }
}

/// Sequence number, acknowledgment number, and the flags RST and ACK of a reset.
fn numbers(frame: &[u8]) -> (u32, u32, bool, bool) {
    match SlicedPacket::from_ethernet(frame).unwrap().transport {
        Some(TransportSlice::Tcp(tcp)) => {
            assert!(!tcp.syn() && !tcp.fin() && !tcp.psh());
            (tcp.sequence_number(), tcp.acknowledgment_number(), tcp.rst(), tcp.ack())
        }
        other => panic!("{other:?} is no reset"),
    }
}

/// The four examples of RFC 9293, section 3.10.7.1: with and without ACK, with what counts.
#[test]
fn a_reset_has_the_numbers_that_its_receiver_accepts() {
    for parties in Parties::both() {
        let mut gateway = Gateway::new(&parties);
        gateway.admit(Admission::Pending);
        let reset = |flags, payload: &[u8]| {
            let packet = gateway.client_packet(Transport::Tcp(flags, u32::MAX - 1));
            numbers(&told(&gateway, &packet.payload(payload), Reason::Pending).unwrap())
        };
        // The sequence numbers wrap.
        assert_eq!(reset(SYN, b""), (0, u32::MAX, true, true));
        assert_eq!(reset(SYN, b"fast"), (0, 3, true, true));
        assert_eq!(reset(FIN, b"x"), (0, 0, true, true));
        assert_eq!(reset(0, b""), (0, u32::MAX - 1, true, true));
        let acknowledged = reset(ACK, b"data");
        assert_eq!((acknowledged.1, acknowledged.2, acknowledged.3), (0, true, false));
    }
}

#[test]
fn a_declared_silence_is_kept_for_pending_and_rejected_only() {
    for parties in Parties::both() {
        let mut gateway = Gateway::new(&parties);
        gateway.endpoint().refusal = Refusal::Drop as u32;
        for transport in [Transport::Tcp(SYN, 1), Transport::Udp] {
            for (admission, reason) in [
                (Admission::Pending, Reason::Pending),
                (Admission::Rejected, Reason::Rejected),
                (Admission::Expired, Reason::Expired),
            ] {
                gateway.admit(admission);
                assert_eq!(told(&gateway, &gateway.client_packet(transport), reason), None);
            }
            gateway.admit(Admission::Available);
            let to = SocketAddr::new(parties.endpoint.ip(), 9);
            let packet = Packet { to, ..gateway.client_packet(transport) };
            assert!(told(&gateway, &packet, Reason::NoListener).is_some());
        }
    }
}

/// RFC 4443, section 2.4: what anybody can cause without end is told to nobody without end. A reset
/// is no longer than what it answers, and ends a connection that would go on asking.
#[test]
fn a_flood_of_refused_datagrams_is_answered_in_part() {
    for parties in Parties::both() {
        let mut gateway = Gateway::new(&parties);
        gateway.tables.errors_per_tick = 3;
        gateway.admit(Admission::Pending);
        let [datagram, syn] =
            [Transport::Udp, Transport::Tcp(SYN, 1)].map(|kind| gateway.client_packet(kind));
        for _ in 0..2 {
            let told = |packet| told(&gateway, packet, Reason::Pending).is_some();
            assert_eq!([0; 5].map(|_| told(&datagram)), [true, true, true, false, false]);
            assert_eq!([0; 5].map(|_| told(&syn)), [true; 5]);
            gateway.tables.wait(1);
        }
    }
}

/// Both ends of a flow whose connection is rejected are told, whoever speaks.
#[test]
fn whichever_end_speaks_is_told() {
    for parties in Parties::both() {
        let mut gateway = Gateway::new(&parties);
        let source = gateway.open(Transport::Tcp(SYN, 1));
        gateway.admit(Admission::Rejected);
        let request = gateway.client_packet(Transport::Tcp(ACK, 2));
        assert!(told(&gateway, &request, Reason::Rejected).is_some());
        let reply = gateway.target_packet(source, Transport::Tcp(ACK, 2));
        let (verdict, out) = gateway.outcome(VENDOR, &reply.bytes());
        let refused = Refused { reason: Reason::Rejected, endpoint: Some(ENDPOINT) };
        assert_eq!(verdict, Verdict::Reply { refused, ifindex: VENDOR });
        assert_eq!(answer_fault(&out), None);
        assert_eq!(crate::gateway::sender(&out), source);
    }
}

#[test]
fn what_one_host_cannot_have_sent_is_not_answered() {
    for parties in Parties::both() {
        let mut gateway = Gateway::new(&parties);
        gateway.admit(Admission::Rejected);
        let senders: &[&str] = if parties.client.is_ipv4() {
            &["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.1.1.1", "255.255.255.255"]
        } else {
            &["::", "::1", "ff02::1", "ff0e::7"]
        };
        for transport in [Transport::Tcp(SYN, 1), Transport::Udp] {
            let packet = gateway.client_packet(transport);
            for sender in senders {
                let from = SocketAddr::new(sender.parse().unwrap(), 40_000);
                let packet = Packet { from, ..packet.clone() };
                assert_eq!(told(&gateway, &packet, Reason::Sender), None, "{sender}");
            }
            let mut mac = CLIENT_MAC;
            mac[0] |= 1;
            let packet = packet.macs(mac, crate::gateway::ACME_MAC);
            assert_eq!(told(&gateway, &packet, Reason::Sender), None, "from a group");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A reset is never answered, and neither is an ICMP error, whatever it is about.
    #[test]
    fn answers_are_not_answered(
        v6 in any::<bool>(),
        flags in any::<u8>(),
        udp in any::<bool>(),
        ttl in any::<u8>(),
        length in 0..1600_usize,
        admission in 0..6_u32,
        port in prop_oneof![Just(80_u16), any::<u16>()],
    ) {
        let mut gateway = Gateway::new(&if v6 { Parties::v6() } else { Parties::v4() });
        gateway.endpoint().admission = admission;
        let transport = if udp { Transport::Udp } else { Transport::Tcp(flags, 7) };
        let to = SocketAddr::new(gateway.parties.endpoint.ip(), port);
        let packet = gateway.client_packet(transport).ttl(ttl).payload(&vec![1; length]);
        let (verdict, out) = gateway.outcome(ACME, &Packet { to, ..packet }.bytes());
        if let Verdict::Reply { .. } = verdict {
            let about_the_way = out[if v6 { 20 } else { 23 }] != 6;
            prop_assert!(udp || flags & RST == 0 || about_the_way);
            prop_assert_eq!(answer_fault(&out), None);
            let (again, _) = gateway.outcome(ACME, &turned_around(&out));
            prop_assert!(matches!(again, Verdict::Drop(_)), "{:?}", again);
        }
    }
}
