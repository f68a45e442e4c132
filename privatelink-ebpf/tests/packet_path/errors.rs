//! ICMP errors about what the gateway has sent: its sender learns of them as if there was no gateway.

use crate::{
    gateway::{
        ACME, ACME_MAC, CLIENT_MAC, Gateway, SEND_TO_CLIENT, SEND_TO_TARGET, TARGET_MAC, VENDOR,
        VENDOR_MAC,
    },
    packets::{Transport, fault},
    translation::{content, parties},
};
use etherparse::PacketBuilder;
use privatelink_common::Mac;
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

/// Quotes of more would not fit into a packet of 1,500 bytes.
const MOST: usize = 1400;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever a gateway sent, an error about any part of it reaches the one who sent it to the
    /// gateway, about exactly what that one sent.
    #[test]
    fn errors_are_about_what_the_sender_sent(
        parties in parties(),
        content in content(),
        is_tcp in any::<bool>(),
        about_request in any::<bool>(),
        router in any::<Option<[u8; 16]>>(),
        shown in prop_oneof![8..40_usize, 8..MOST],
        error in (0..3_usize, any::<u8>(), any::<[u8; 4]>()),
        ttl in 2..=255_u8,
    ) {
        // The last of 17 bytes is half of TCP's checksum, which nobody could translate.
        prop_assume!(!is_tcp || shown != 17);
        let gateway = Gateway::new(&parties);
        let content = content.fit(&parties, is_tcp);
        let source = gateway.open(content.transport);
        let sent = content.put(if about_request {
            gateway.client_packet(content.transport)
        } else {
            gateway.target_packet(source, content.transport)
        });
        let (from, to) = if about_request { (ACME, VENDOR) } else { (VENDOR, ACME) };
        let (verdict, carried) = gateway.run(from, &sent.bytes());
        prop_assert_eq!(verdict, if about_request { SEND_TO_TARGET } else { SEND_TO_CLIENT });

        let peer = if about_request { parties.target } else { parties.client };
        let reporter = router.map_or(peer.ip(), |bytes| of_family(bytes, peer));
        let mut error = Error { kind: kinds(peer)[error.0], code: error.1, rest: error.2 };
        // So have extensions, of which these bytes would speak: see the fixtures.
        error.rest[if peer.is_ipv4() { 1 } else { 0 }] = 0;
        // Reports of a path's MTU have rules of their own: see `path_mtu.rs`.
        prop_assume!((error.kind, error.code) != if peer.is_ipv4() { (3, 4) } else { (2, 0) });
        let (told, by): (SocketAddr, SocketAddr) = if about_request {
            (source, parties.endpoint)
        } else {
            (parties.endpoint, source)
        };
        let (here, there) = if about_request {
            ((TARGET_MAC, VENDOR_MAC), (ACME_MAC, CLIENT_MAC))
        } else {
            ((CLIENT_MAC, ACME_MAC), (VENDOR_MAC, TARGET_MAC))
        };
        let report = error.bytes(here, (reporter, told.ip()), ttl, &quote(&carried, shown));
        let (verdict, out) = gateway.run(to, &report);
        prop_assert_eq!(verdict, if about_request { SEND_TO_CLIENT } else { SEND_TO_TARGET });

        let hops = sent.ttl - 1;
        let original = quote(&sent.clone().ttl(hops).bytes(), shown);
        let expected = error.bytes(there, (by.ip(), sent.from.ip()), ttl - 1, &original);
        prop_assert_eq!(&out, &expected);
        prop_assert_eq!(fault(&out), None);
    }

    /// A message of any bytes at all never leaves the gateway unless it quotes a flow's packet.
    #[test]
    fn made_up_errors_go_nowhere(
        parties in parties(),
        kind in 0..3_usize,
        content in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let gateway = Gateway::new(&parties);
        gateway.open(Transport::Udp);
        let error = Error { kind: kinds(parties.client)[kind], code: 0, rest: [0; 4] };
        let ends = (parties.client.ip(), parties.endpoint.ip());
        let report = error.bytes((CLIENT_MAC, ACME_MAC), ends, 64, &content);
        let (verdict, out) = gateway.run(ACME, &report);
        prop_assert!(matches!(verdict, privatelink_ebpf::Verdict::Drop(_)), "{:?}", verdict);
        prop_assert_eq!(out, report);
    }
}

/// Types that are errors, in the family of an address.
fn kinds(address: SocketAddr) -> [u8; 3] {
    if address.is_ipv4() { [3, 11, 12] } else { [1, 2, 3] }
}

fn of_family(bytes: [u8; 16], like: SocketAddr) -> IpAddr {
    if like.is_ipv4() { <[u8; 4]>::try_from(&bytes[..4]).unwrap().into() } else { bytes.into() }
}

/// As much as that of the IP packet in a frame, without what pads the frame.
fn quote(frame: &[u8], shown: usize) -> Vec<u8> {
    let (is_v4, packet) = (frame[14] >> 4 == 4, &frame[14..]);
    let at = if is_v4 { 2 } else { 4 };
    let length = usize::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
    let (header, length) = if is_v4 { (20, length) } else { (40, length + 40) };
    packet[..length.min(header + shown).min(MOST)].to_vec()
}

#[derive(Clone, Copy, Debug)]
struct Error {
    kind: u8,
    code: u8,
    rest: [u8; 4],
}

impl Error {
    /// The frame of an error that quotes this.
    fn bytes(&self, macs: (Mac, Mac), ends: (IpAddr, IpAddr), ttl: u8, quote: &[u8]) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2(macs.0, macs.1);
        let mut bytes = Vec::new();
        match ends {
            (IpAddr::V4(from), IpAddr::V4(to)) => builder
                .ipv4(from.octets(), to.octets(), ttl)
                .icmpv4_raw(self.kind, self.code, self.rest)
                .write(&mut bytes, quote)
                .unwrap(),
            (IpAddr::V6(from), IpAddr::V6(to)) => builder
                .ipv6(from.octets(), to.octets(), ttl)
                .icmpv6_raw(self.kind, self.code, self.rest)
                .write(&mut bytes, quote)
                .unwrap(),
            (from, to) => panic!("{from} and {to} are of two families"),
        }
        bytes
    }
}
