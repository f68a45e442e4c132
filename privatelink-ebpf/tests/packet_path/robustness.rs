//! Frames that nobody should send: no panic, and nothing malformed goes on.

use crate::{
    answers::{answer_fault, turned_around},
    gateway::{ACME, Gateway, Parties, VENDOR},
    neighbours::{advertisement_fault, solicitation},
    packets::{ACK, Packet, SYN, Transport, fault, sum, transport_holds},
};
use etherparse::SlicedPacket;
use privatelink_ebpf::Verdict;
use proptest::{collection::vec, prelude::*, sample::Index};
use std::panic::{AssertUnwindSafe, catch_unwind};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn arbitrary_bytes_are_survived(ingress in ingress(), bytes in vec(any::<u8>(), 0..200)) {
        let gateway = Gateway::new(&Parties::v4());
        check(&gateway, ingress, &bytes)?;
    }

    /// The addresses are right, what follows is anything.
    #[test]
    fn arbitrary_packets_for_the_gateway_are_survived(
        kind in 0..3_u8,
        ingress in ingress(),
        mut tail in vec(any::<u8>(), 0..120),
    ) {
        let parties = if kind == 0 { Parties::v4() } else { Parties::v6() };
        let gateway = Gateway::new(&parties);
        let source = gateway.open(Transport::Udp);
        let like = if ingress == ACME {
            gateway.client_packet(Transport::Udp)
        } else {
            gateway.target_packet(source, Transport::Udp)
        }
        .bytes();
        // The Ethernet header alone, or the addresses of the IP header too.
        let addresses = if kind == 0 { 26..34 } else { 22..54 };
        let mut bytes = like[..14].to_vec();
        bytes.append(&mut tail);
        if kind != 1 && bytes.len() >= addresses.end {
            bytes[14] = like[14];
            bytes[addresses.clone()].copy_from_slice(&like[addresses]);
        }
        check(&gateway, ingress, &bytes)?;
    }

    #[test]
    fn mutated_packets_are_survived(
        original in original(),
        edits in vec(edit(), 1..4),
        mend in any::<bool>(),
    ) {
        let (gateway, ingress, mut bytes) = original.prepare();
        for edit in &edits {
            edit.apply(&mut bytes);
        }
        if mend {
            mend_header_checksum(&mut bytes);
        }
        check(&gateway, ingress, &bytes)?;
    }

    /// A frame cut short anywhere holds less than its headers say.
    #[test]
    fn truncated_packets_never_go_on(original in original(), cut in any::<Index>()) {
        let (gateway, ingress, mut bytes) = original.prepare();
        bytes.truncate(cut.index(bytes.len()));
        let (verdict, _) = gateway.run(ingress, &bytes);
        prop_assert!(!matches!(verdict, Verdict::Send { .. }), "{verdict:?}");
    }
}

/// A length of an IPv6 packet beyond 65,535 must not be mistaken for that.
#[test]
fn an_ipv6_packet_that_its_frame_does_not_hold_never_goes_on() {
    let mut gateway = Gateway::new(&Parties::v6());
    (gateway.endpoint().mtu, gateway.target().mtu) = (u16::MAX, u16::MAX);
    let mut bytes = gateway.syn().payload(&vec![0; 65_515]).bytes();
    assert!(matches!(gateway.run(ACME, &bytes).0, Verdict::Drop(_)), "too long for any way out");
    bytes.truncate(14 + 65_535);
    assert!(matches!(gateway.run(ACME, &bytes).0, Verdict::Drop(_)), "too short for its header");
}

/// Runs a frame and judges what comes out.
fn check(gateway: &Gateway, ingress: u32, bytes: &[u8]) -> Result<(), TestCaseError> {
    let run = catch_unwind(AssertUnwindSafe(|| gateway.outcome(ingress, bytes)));
    let Ok((verdict, out)) = run else {
        return Err(TestCaseError::fail(format!("panic on {bytes:02x?}")));
    };
    match verdict {
        Verdict::Send { ifindex } if ifindex != ingress => {
            prop_assert_eq!(fault(&out), None, "{:02x?} from {:02x?}", &out, bytes);
            prop_assert_eq!(out.len(), bytes.len());
            if SlicedPacket::from_ethernet(bytes).is_ok() && transport_holds(bytes) {
                prop_assert!(transport_holds(&out), "{:02x?} from {:02x?}", &out, bytes);
            }
        }
        Verdict::Send { .. } => {
            prop_assert_eq!(fault(&out), None, "{:02x?} from {:02x?}", &out, bytes);
            prop_assert_eq!(advertisement_fault(&out), None, "{:02x?} from {:02x?}", &out, bytes);
        }
        Verdict::Reply { ifindex, .. } => {
            prop_assert_eq!(ifindex, ingress);
            prop_assert_eq!(answer_fault(&out), None, "{:02x?} from {:02x?}", &out, bytes);
            let back = turned_around(&out);
            let (verdict, _) = gateway.outcome(ingress, &back);
            let again = matches!(verdict, Verdict::Reply { .. } | Verdict::Next(_));
            prop_assert!(!again, "{:02x?} is answered", &back);
        }
        Verdict::Pass => prop_assert_eq!(&out[..], bytes),
        Verdict::Drop(_) => prop_assert_eq!(&out[..], bytes, "refused, but changed"),
        Verdict::Next(stage) => prop_assert!(false, "stopped before {stage:?}"),
    }
    Ok(())
}

fn mend_header_checksum(frame: &mut [u8]) {
    if frame.len() >= 34 && frame[12..14] == [8, 0] {
        frame[24..26].fill(0);
        let check = !(sum(&frame[14..34]) as u16);
        frame[24..26].copy_from_slice(&check.to_be_bytes());
    }
}

fn ingress() -> impl Strategy<Value = u32> {
    prop_oneof![Just(ACME), Just(VENDOR)]
}

/// A valid frame, before anything happens to it.
#[derive(Clone, Debug)]
enum Original {
    Packet { v6: bool, reply: bool, transport: Transport, opened: bool },
    Solicitation,
}

impl Original {
    fn prepare(&self) -> (Gateway, u32, Vec<u8>) {
        match *self {
            Self::Packet { v6, reply, transport, opened } => {
                let gateway = Gateway::new(&if v6 { Parties::v6() } else { Parties::v4() });
                let (ingress, packet): (u32, Packet) = if reply {
                    let source = gateway.open(transport);
                    (VENDOR, gateway.target_packet(source, transport))
                } else {
                    if opened {
                        gateway.open(transport);
                    }
                    (ACME, gateway.client_packet(transport))
                };
                (gateway, ingress, packet.bytes())
            }
            Self::Solicitation => {
                let gateway = Gateway::new(&Parties::v6());
                let bytes = solicitation(&gateway.parties).bytes();
                (gateway, ACME, bytes)
            }
        }
    }
}

fn original() -> impl Strategy<Value = Original> {
    let transport = prop_oneof![
        Just(Transport::Tcp(SYN, 1)),
        Just(Transport::Tcp(ACK, 2)),
        Just(Transport::Udp),
    ];
    let packet = (any::<bool>(), any::<bool>(), transport, any::<bool>()).prop_map(
        |(v6, reply, transport, opened)| Original::Packet { v6, reply, transport, opened },
    );
    prop_oneof![8 => packet, 1 => Just(Original::Solicitation)]
}

#[derive(Clone, Debug)]
enum Edit {
    Flip {
        at: Index,
        bit: u8,
    },
    /// Somewhere in the headers, where a change matters most.
    FlipHeader {
        at: usize,
        bit: u8,
    },
    Put {
        at: usize,
        byte: u8,
    },
    Cut(Index),
    Extend(Vec<u8>),
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Flip { at, bit } => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Self::FlipHeader { at, bit } => {
                let at = at % bytes.len();
                bytes[at] ^= 1 << bit;
            }
            Self::Put { at, byte } => {
                let at = at % bytes.len();
                bytes[at] = *byte;
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Extend(tail) => bytes.extend_from_slice(tail),
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let bit = 0..8_u8;
    prop_oneof![
        (any::<Index>(), bit.clone()).prop_map(|(at, bit)| Edit::Flip { at, bit }),
        (12..62_usize, bit).prop_map(|(at, bit)| Edit::FlipHeader { at, bit }),
        (12..62_usize, any::<u8>()).prop_map(|(at, byte)| Edit::Put { at, byte }),
        any::<Index>().prop_map(Edit::Cut),
        vec(any::<u8>(), 1..80).prop_map(Edit::Extend),
    ]
}
